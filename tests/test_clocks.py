"""New rows take the steps of a table of their own, also where Adam had counted for long."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.optimizers import CONTRIB, KERAS
from support.tables import bits, load_checkpoint
from tf1_embed.checkpoint.clocks import find_clocks
from tf1_embed.checkpoint.files.meta import read_initial_values
from tf1_embed.checkpoint.files.reader import CheckpointReader

RATE = 0.01
NUM_OLD, NUM_NEW = 4, 2


def adam(beta1=0.9, beta2=0.999, **kwargs):
    return tf.train.AdamOptimizer(RATE, beta1, beta2, **kwargs)


def of_their_module(optimizers, name, **kwargs):
    """Returns a function that makes the optimizer of that kind with the rate of this module."""
    return lambda: type(optimizers[name]())(RATE, **kwargs)


OPTIMIZERS = {"adam": adam, "adam_other_betas": lambda: adam(0.5, 0.9)}
for name, optimizers, kwargs in [
    ("contrib_adamax", CONTRIB, {}),
    ("contrib_nadam", CONTRIB, {}),
    ("contrib_lazy_adam", CONTRIB, {}),
    ("keras_adam", KERAS, {}),
    ("keras_adam_amsgrad", KERAS, {"amsgrad": True}),
    ("keras_adamax", KERAS, {}),
    ("keras_nadam", KERAS, {}),
]:
    if name in optimizers:
        OPTIMIZERS[name] = of_their_module(optimizers, name, **kwargs)


class Program:
    """A table and another variable, which get a gradient of 1 for each lookup."""

    def __init__(self, num_rows, make_optimizer, wrap=False, use_resource=True):
        with tf.Graph().as_default() as graph, tf.variable_scope("", use_resource=use_resource):
            zeros = tf.zeros_initializer()
            self.table = tf.get_variable("table", [num_rows, 2], initializer=zeros)
            self.other = tf.get_variable("other", [3], initializer=zeros)
            self.step = tf.train.get_or_create_global_step()
            self.ids = tf.placeholder(tf.int64, [None])
            vectors = tf.nn.embedding_lookup(self.table, self.ids)
            loss = tf.reduce_sum(vectors) + tf.reduce_sum(self.other)
            optimizer = make_optimizer()
            if wrap:
                rows = tf1_embed.Rows.range(NUM_OLD, num_rows, size=num_rows)
                optimizer = tf1_embed.TrainableRowsOptimizer(
                    optimizer, {self.table: rows}, slots="full"
                )
            variables = [self.table, self.other]
            pairs = list(zip(tf.gradients(loss, variables), variables))
            with tf.control_dependencies([optimizer.apply_gradients(pairs)]):
                self.train_op = tf.assign_add(self.step, 1)
            self.variables = {each.op.name: each for each in tf.global_variables()}
            self.saver = tf.train.Saver()
            self.session = tf.Session(graph=graph)
            self.session.run(tf.global_variables_initializer())

    def train(self, ids, num_steps=1):
        for _ in range(num_steps):
            self.session.run(self.train_op, {self.ids: ids})

    def set(self, **values):
        with self.session.graph.as_default():
            for name, value in values.items():
                self.variables[name].load(value, self.session)

    def save(self, path, meta=True):
        with self.session.graph.as_default():
            return self.saver.save(self.session, str(path), write_meta_graph=meta)

    def restore(self, prefix):
        with self.session.graph.as_default():
            self.saver.restore(self.session, str(prefix))
        return self

    def steps(self, ids, row, count=12):
        """Returns the steps of a row, and of the other variable, over the learning rate."""
        values = [self.session.run([self.table, self.other])]
        for _ in range(count):
            self.train(ids)
            values.append(self.session.run([self.table, self.other]))
        rows, others = zip(*values)
        return -np.diff(np.stack(rows)[:, row, 0]) / RATE, -np.diff(np.stack(others)[:, 0]) / RATE


def trained(tmp_path, make_optimizer=adam, num_steps=120, meta=True, use_resource=True):
    """Returns the checkpoint of a program that trained for some time."""
    program = Program(NUM_OLD, make_optimizer, use_resource=use_resource)
    program.train(range(NUM_OLD), num_steps)
    return program.save(tmp_path / "old", meta)


def grow(old, out, **kwargs):
    written = tf1_embed.grow_checkpoint(
        old,
        ["table"],
        str(out),
        num_new_rows=NUM_NEW,
        initializer=tf1_embed.initializers.zeros(),
        **kwargs,
    )
    return {each.name: each for each in written}


@pytest.mark.parametrize("wrap", [True, False], ids=["wrapped", "unmodified"])
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_new_rows_of_a_grown_checkpoint_take_the_steps_of_a_table_of_their_own(
    name, wrap, tmp_path
):
    make_optimizer, is_adamax = OPTIMIZERS[name], "adamax" in name
    old = trained(tmp_path, make_optimizer)
    if is_adamax:
        with pytest.raises(ValueError, match="may be AdaMax.*--clocks fresh.*--clocks keep"):
            grow(old, tmp_path / "grown")
    grow(old, tmp_path / "grown", clocks="fresh" if is_adamax else None)
    own, _ = Program(1, make_optimizer).steps([0], 0)
    _, others_before = Program(NUM_OLD, make_optimizer).restore(old).steps([0], 0)
    program = Program(NUM_OLD + NUM_NEW, make_optimizer, wrap).restore(tmp_path / "grown")
    before = program.session.run(program.table)[:NUM_OLD]
    steps, others = program.steps([0, NUM_OLD], NUM_OLD)
    np.testing.assert_allclose(steps, own, rtol=1e-3)
    assert is_adamax or (0 < others).all() and (others <= 1.001 * others_before).all()
    if wrap:
        after = program.session.run(program.table)[:NUM_OLD]
        np.testing.assert_array_equal(bits(after), bits(before))


def test_a_clock_that_goes_on_lets_new_rows_step_too_far(tmp_path):
    old = Program(NUM_OLD, adam)
    warm = {"other/Adam": np.ones(3), "other/Adam_1": np.ones(3)}
    old.set(beta1_power=0.0, beta2_power=0.999**3000, **warm)
    grow(old.save(tmp_path / "old"), tmp_path / "grown", clocks="keep")
    program = Program(NUM_OLD + NUM_NEW, adam, wrap=True).restore(tmp_path / "grown")
    steps, others = program.steps([0, NUM_OLD], NUM_OLD)
    np.testing.assert_allclose(steps[:3], [3.1, 4.2, 4.9], atol=0.1)
    assert steps.max() > 6
    np.testing.assert_allclose(others, 1, rtol=0.03)


@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
def test_the_saved_graph_tells_what_underflown_clocks_begin_with(use_resource, tmp_path):
    program = Program(NUM_OLD, lambda: adam(0.5, 0.97), use_resource=use_resource)
    program.set(beta1_power=0.0, beta2_power=0.0)
    old = program.save(tmp_path / "old")
    assert read_initial_values(old, ["beta1_power", "beta2_power", "table", "absent"]) == {
        "beta1_power": 0.5,
        "beta2_power": np.float32(0.97),
    }
    written = grow(old, tmp_path / "grown")
    grown = load_checkpoint(tmp_path / "grown")
    assert (grown["beta1_power"], grown["beta2_power"]) == (0.5, np.float32(0.97))
    assert written["beta1_power"].note == (
        "0 → 0.5, begins anew as new rows do; what trains beside them steps 0.35 times as far at "
        "first"
    )
    assert written["table"].note is None


@pytest.mark.parametrize("content", [b"", b"\x0a", b"\x12\xff\xff\x03", b"hello" * 99, None])
def test_a_graph_that_cannot_be_read_tells_nothing(content, tmp_path):
    if content is not None:
        (tmp_path / "old.meta").write_bytes(content)
    assert read_initial_values(str(tmp_path / "old"), ["beta1_power"]) == {}


def test_growth_says_how_far_others_step_after_a_short_training(tmp_path):
    old = trained(tmp_path, num_steps=10)
    note = grow(old, tmp_path / "grown")["beta1_power"].note
    _, before = Program(NUM_OLD, adam).restore(old).steps([0], 0, count=1)
    _, after = Program(NUM_OLD + NUM_NEW, adam).restore(tmp_path / "grown").steps([0], 0, count=1)
    assert f"steps {after[0] / before[0]:.2g} times as far" in note
    assert 2 < after[0] / before[0] < 2.1


def test_powers_that_agree_tell_the_default_betas_without_a_graph(tmp_path):
    grow(trained(tmp_path, meta=False), tmp_path / "grown")
    grown = load_checkpoint(tmp_path / "grown")
    assert (grown["beta1_power"], grown["beta2_power"]) == (np.float32(0.9), np.float32(0.999))


def test_powers_and_the_global_step_tell_other_betas_without_a_graph(tmp_path):
    old = trained(tmp_path, lambda: adam(0.8, 0.99), num_steps=100, meta=False)
    grow(old, tmp_path / "grown")
    grown = load_checkpoint(tmp_path / "grown")
    assert (grown["beta1_power"], grown["beta2_power"]) == (np.float32(0.8), np.float32(0.99))


@pytest.mark.parametrize(
    "set_to",
    [
        {"beta1_power": 0.0},  # underflown
        {"beta1_power": 0.8**100, "beta2_power": 0.99**100},  # of another count than the step
    ],
    ids=["underflown", "another count"],
)
def test_what_a_clock_begins_with_is_asked_where_nothing_tells(set_to, tmp_path):
    program = Program(NUM_OLD, adam)
    program.train([0], 30)
    program.set(**set_to)
    old = program.save(tmp_path / "old", meta=False)
    with pytest.raises(ValueError, match=r"'beta1_power'.* beta1, .*--slot-value beta1_power=0.9"):
        grow(old, tmp_path / "grown")
    assert not list(tmp_path.glob("grown*"))
    grow(old, tmp_path / "grown", slot_values={"beta1_power": 0.9, "beta2_power": 0.999})
    assert load_checkpoint(tmp_path / "grown")["beta1_power"] == np.float32(0.9)
    grow(old, tmp_path / "kept", clocks="keep")
    kept = load_checkpoint(tmp_path / "kept")
    assert kept["beta1_power"] == np.float32(set_to["beta1_power"])


def test_clocks_must_be_fresh_or_kept(tmp_path):
    old = trained(tmp_path, num_steps=1)
    with pytest.raises(ValueError, match='`clocks` must be "fresh" or "keep", got \'reset\''):
        grow(old, tmp_path / "grown", clocks="reset")


def test_clocks_stay_where_no_slot_of_the_tables_has_one(tmp_path):
    def both():
        """Momentum for the table; Adam's clocks are another network's."""
        with tf.name_scope("critic"):
            value = tf.get_variable("value", initializer=1.0)
            adam().minimize(value, var_list=[value])
        return tf.train.MomentumOptimizer(RATE, 0.9)

    program = Program(NUM_OLD, both)
    program.set(**{"critic/beta1_power": 0.25})
    written = grow(program.save(tmp_path / "old"), tmp_path / "grown")
    assert not written["critic/beta1_power"].changed
    assert load_checkpoint(tmp_path / "grown")["critic/beta1_power"] == 0.25


@pytest.mark.skipif("keras_adam" not in KERAS, reason="Keras' optimizers need an older TensorFlow")
def test_a_clock_that_the_learning_rate_depends_on_is_asked_about(tmp_path):
    keras_adam = type(KERAS["keras_adam"]())
    old = trained(tmp_path, lambda: keras_adam(RATE, decay=0.1), num_steps=3)
    with pytest.raises(ValueError, match="learning rate depends on it.*--clocks keep"):
        grow(old, tmp_path / "grown")
    grow(old, tmp_path / "grown", slot_values={"iter": 0})
    assert load_checkpoint(tmp_path / "grown")["Adam/iter"] == 0


def test_a_merge_lets_clocks_begin_anew_with_the_slots_of_frozen_rows(tmp_path):
    old = trained(tmp_path)
    grow(old, tmp_path / "grown")
    tf1_embed.split_checkpoint(
        str(tmp_path / "grown"), ["table"], str(tmp_path / "split"), num_old_rows=NUM_OLD
    )
    # Split, old rows keep their slots, so nothing begins anew when they are merged.
    with CheckpointReader(str(tmp_path / "split")) as reader:
        assert sorted(clock.kind for clock in find_clocks(reader)) == ["beta1_power", "beta2_power"]
    tf1_embed.merge_checkpoint(str(tmp_path / "split"), ["table"], str(tmp_path / "merged"))
    before, after = load_checkpoint(tmp_path / "grown"), load_checkpoint(tmp_path / "merged")
    assert after["beta1_power"] == before["beta1_power"]

    with tf.Graph().as_default(), tf.Session() as session:
        table = tf1_embed.get_grown_table("table", NUM_NEW, checkpoint=old)
        loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, [0, NUM_OLD]))
        train_op = adam().minimize(loss, tf.train.get_or_create_global_step())
        session.run(tf.global_variables_initializer())
        for _ in range(5):
            session.run(train_op)
        split = tf.train.Saver().save(session, str(tmp_path / "trained"))
    tf1_embed.merge_checkpoint(split, ["table"], str(tmp_path / "anew"))
    assert load_checkpoint(tmp_path / "anew")["beta1_power"] == np.float32(0.9)
    tf1_embed.merge_checkpoint(split, ["table"], str(tmp_path / "kept"), clocks="keep")
    np.testing.assert_allclose(load_checkpoint(tmp_path / "kept")["beta1_power"], 0.9**6, rtol=1e-5)


def test_a_delta_lets_clocks_begin_anew_in_its_base(tmp_path):
    old = trained(tmp_path)
    grow(old, tmp_path / "grown")
    delta, out = str(tmp_path / "delta"), str(tmp_path / "out")
    tf1_embed.extract_delta(old, str(tmp_path / "grown"), ["table"], delta)
    tf1_embed.apply_delta(old, delta, out)
    steps, _ = Program(NUM_OLD + NUM_NEW, adam, wrap=True).restore(out).steps([0, 5], 5)
    np.testing.assert_allclose(steps, 1, rtol=1e-3)
