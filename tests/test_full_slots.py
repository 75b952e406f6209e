"""Checkpoints of wrapped and plain programs open in each other, whatever else is frozen."""

import itertools
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.optimizers import CUSTOM, KERAS, TRAIN, AdamWeightDecay
from support.tables import bits, counting_rows
from tf1_embed import Rows, TrainableRowsOptimizer

OPTIMIZERS = {**TRAIN, **CUSTOM, **KERAS}

SIZE = 8
NEW_ROWS = Rows.range(6, SIZE, size=SIZE)
BATCH = [0, 7, 6, 1]


def adam():
    return tf.train.AdamOptimizer(0.1)


def model():
    """Returns a loss of a table and of variables of all ranks, one of them in no use."""
    table = tf.get_variable("table", initializer=counting_rows(SIZE, 4))
    kernel = tf.get_variable("kernel", [2, 4, 3])
    scale = tf.get_variable("scale", [], initializer=tf.ones_initializer())
    bias = tf.get_variable("bias", [3], initializer=tf.zeros_initializer())
    tf.get_variable("unused", [5, 2])
    partitioner = tf.fixed_size_partitioner(2)
    parts = tf.get_variable("parts", [4, 3], partitioner=partitioner)
    vectors = tf.nn.embedding_lookup(table, [BATCH])
    outputs = scale * tf.nn.conv1d(vectors, kernel, 1, "SAME") + bias
    return tf.reduce_sum((outputs + tf.nn.embedding_lookup(parts, BATCH[:1]) - 1) ** 2)


def names_of(variables):
    return sorted(each.op.name for each in variables)


def train(minimize, source=None, target=None, use_resource=True):
    """Trains three steps of `minimize(loss)`; returns all values before and after, by name."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(0)
        with tf.variable_scope("", use_resource=use_resource):
            train_op = minimize(model())
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver()
        if source is not None:
            saver.restore(session, source)
        variables = {each.op.name: each for each in tf.global_variables()}
        before = session.run(variables)
        for _ in range(3):
            session.run(train_op)
        if target is not None:
            saver.save(session, target)
        return before, session.run(variables)


def minimize_with(optimizer, loss, **kwargs):
    if isinstance(optimizer, tf.train.Optimizer):
        return optimizer.minimize(loss, **kwargs)
    variables = [each for each in tf.trainable_variables() if each.op.name != "unused"]
    return optimizer.apply_gradients(list(zip(tf.gradients(loss, variables), variables)))


@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_all_else_frozen_opens_in_the_unmodified_program_and_trains_on(
    tmp_path, optimizer, use_resource
):
    if optimizer in KERAS and not use_resource:
        pytest.skip("they fail on ref variables by themselves")
    os.chdir(str(tmp_path))
    make = OPTIMIZERS[optimizer]

    def frozen(loss):
        wrapped = TrainableRowsOptimizer(make(), {"table": NEW_ROWS}, "full", others="frozen")
        return wrapped.minimize(loss)

    def plain(loss):
        return minimize_with(make(), loss)

    train(plain, target="old", use_resource=use_resource)
    before, after = train(frozen, "old", "new", use_resource)
    for name, value in before.items():
        if value.shape == (SIZE, 4):
            np.testing.assert_array_equal(bits(after[name][:6]), bits(value[:6]), name)
        elif any(part in name for part in ("kernel", "scale", "bias", "unused", "parts")):
            np.testing.assert_array_equal(bits(after[name]), bits(value), name)
    assert (after["table"][6:] != before["table"][6:]).any(axis=1).all()
    restored, trained = train(plain, "new", use_resource=use_resource)
    assert set(restored) == set(after)
    assert (trained["table"][:1] != after["table"][:1]).all()
    assert (trained["kernel"] != after["kernel"]).any()


@pytest.mark.parametrize("slots", ["rows", "full"])
def test_new_rows_train_as_if_all_else_were_constants(slots):
    def constants(loss):
        [table] = [each for each in tf.trainable_variables() if each.op.name == "table"]
        return TrainableRowsOptimizer(adam(), {table: NEW_ROWS}).minimize(loss, var_list=[table])

    def frozen(loss):
        return TrainableRowsOptimizer(adam(), {"table": NEW_ROWS}, slots, others="frozen").minimize(
            loss
        )

    (before, expected), (_, actual) = train(constants), train(frozen)
    assert actual["table"].tobytes() == expected["table"].tobytes()
    assert actual["kernel"].tobytes() == before["kernel"].tobytes()


def test_gradients_of_what_is_frozen_are_nothing_and_keep_their_places(session):
    loss = model()
    variables = tf.trainable_variables()
    optimizer = TrainableRowsOptimizer(adam(), {"table": NEW_ROWS}, others="frozen")
    gradients = optimizer.gradients(loss, variables)
    by_name = {each.op.name: gradient for each, gradient in zip(variables, gradients)}
    assert by_name["unused"] is None
    session.run(tf.global_variables_initializer())
    others = [by_name[name] for name in by_name if name not in ("unused", "table")]
    assert session.run(tf.global_norm(others)) == 0
    table = tf.gradients(loss, [variables[0]])[0]
    norm = tf.norm(tf.gather(tf.convert_to_tensor(table), [6, 7]))
    norms = session.run([tf.global_norm(gradients), norm])
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    clipped, _ = tf.clip_by_global_norm(gradients, 1.0)
    optimizer.apply_gradients(zip(clipped, variables))


def test_wrapped_within_or_around_all_else_stays_frozen(session):
    loss = model()
    inner = TrainableRowsOptimizer(adam(), {"table": NEW_ROWS}, "full", others="frozen")
    train_op = TrainableRowsOptimizer(inner, {"bias": [2]}).minimize(loss)
    session.run(tf.global_variables_initializer())
    variables = {each.op.name: each for each in tf.trainable_variables()}
    before = session.run(variables)
    session.run(train_op)
    after = session.run(variables)
    moved = {name for name, value in before.items() if (value != after[name]).any()}
    assert moved == {"table", "bias"}
    assert (before["bias"] != after["bias"]).tolist() == [False, False, True]
    assert "bias/trainable_rows/Adam" in names_of(tf.global_variables())
    assert "table/trainable_rows/Adam" not in names_of(tf.global_variables())


# `var_list`, which may be there to freeze the rest.


def test_var_list_of_tables_alone_must_be_meant(graph):
    loss = model()
    [table] = [each for each in tf.trainable_variables() if each.op.name == "table"]
    message = '`var_list` has wrapped tables alone.*others="frozen"'
    for others in (None, "frozen"):
        optimizer = TrainableRowsOptimizer(adam(), {table: NEW_ROWS}, "full", others=others)
        for call in (optimizer.minimize, optimizer.compute_gradients):
            with pytest.raises(ValueError, match=message):
                call(loss, var_list=[table])
        assert len(optimizer.gradients(loss, [table])) == 1
    meant = TrainableRowsOptimizer(adam(), {table: NEW_ROWS}, "full", others="trainable")
    meant.minimize(loss, var_list=[table])
    assert {each for each in names_of(tf.global_variables()) if "Adam" in each} == {
        "table/Adam",
        "table/Adam_1",
    }


def test_var_list_of_more_than_tables_makes_the_slots_that_it_made(graph):
    loss = model()
    table, kernel = tf.trainable_variables()[:2]
    optimizer = TrainableRowsOptimizer(adam(), {table: NEW_ROWS}, "full", others="frozen")
    optimizer.minimize(loss, var_list=[table, kernel])
    with_slots = {
        each.rsplit("/", 1)[0] for each in names_of(tf.global_variables()) if "/A" in each
    }
    assert with_slots == {"table", "kernel"}


# Several optimizers in one graph: names and state as TensorFlow has them.


def _two_tables():
    table = tf.get_variable("table", initializer=counting_rows(SIZE))
    other = tf.get_variable("other", initializer=counting_rows(SIZE))
    weights = tf.get_variable("weights", initializer=np.ones([2, 1], np.float32))
    losses = []
    for row, target in ((7, 3), (6, -2)):
        vectors = tf.nn.embedding_lookup(table, [row]) + tf.nn.embedding_lookup(other, [row])
        losses.append(tf.reduce_sum((tf.matmul(vectors, weights) - target) ** 2))
    return losses


# The tables that each optimizer wraps, one wrapper around another.
WRAPPED = [(), ("table",), ("table", "other")]


@pytest.mark.parametrize(
    ("make", "use_resource"),
    [(adam, False), (lambda: tf.train.MomentumOptimizer(0.1, 0.9), True)],
    ids=["adam-ref", "momentum-resource"],
)
@pytest.mark.parametrize(("first", "second"), list(itertools.product(WRAPPED, repeat=2)))
def test_two_optimizers_have_the_names_and_the_state_that_they_have_unwrapped(
    first, second, make, use_resource
):
    def trained(*wrapped):
        with tf.Graph().as_default(), tf.Session() as session:
            train_ops = []
            with tf.variable_scope("model", use_resource=use_resource):
                for loss, tables in zip(_two_tables(), wrapped):
                    optimizer = make()
                    for name in tables:
                        rows = {f"model/{name}": NEW_ROWS}
                        optimizer = TrainableRowsOptimizer(optimizer, rows, slots="full")
                    train_ops.append(optimizer.minimize(loss))
            session.run(tf.global_variables_initializer())
            for train_op in train_ops * 2:
                session.run(train_op)
            return session.run({each.op.name: each for each in tf.global_variables()})

    plain, wrapped = trained((), ()), trained(first, second)
    assert set(wrapped) == set(plain)
    for name, value in plain.items():
        np.testing.assert_allclose(wrapped[name], value, rtol=1e-5, err_msg=name)


def test_optimizer_that_cannot_be_twice_in_a_graph_is_no_more_so_wrapped(graph):
    for_second = []
    for _ in range(2):
        optimizer = TrainableRowsOptimizer(AdamWeightDecay(), {"table": NEW_ROWS}, slots="full")
        for_second.append(optimizer)
    loss, other_loss = _two_tables()
    for_second[0].minimize(loss)
    with pytest.raises(ValueError, match="table/adam_m already exists"):
        for_second[1].minimize(other_loss)


@pytest.mark.parametrize("slots", ["rows", "full"])
def test_plain_optimizer_after_a_wrapped_one_trains_all_rows(session, slots):
    loss, _ = _two_tables()
    first = TrainableRowsOptimizer(adam(), {"table": NEW_ROWS}, slots=slots)
    train_ops = [first.minimize(loss), adam().minimize(loss)]
    session.run(tf.global_variables_initializer())
    [table, weights] = [each for each in tf.trainable_variables() if each.op.name != "other"]
    before = session.run(table)
    session.run(train_ops[0])
    np.testing.assert_array_equal(bits(session.run(table)[:6]), bits(before[:6]))
    session.run(train_ops[1])
    assert {f"weights/Adam_{number}" for number in (1, 2, 3)} <= set(
        names_of(tf.global_variables())
    )


# Optimizers that make slots as they apply gradients are asked to; nothing of it may be found.


def test_what_an_optimizer_leaves_in_collections_is_there_once(graph):
    class Summarizes(AdamWeightDecay):
        def apply_gradients(self, grads_and_vars, global_step=None, name=None):
            tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, tf.no_op())
            tf.summary.scalar("rate", 0.1)
            return super().apply_gradients(grads_and_vars, global_step, name)

    loss, _ = _two_tables()
    TrainableRowsOptimizer(Summarizes(), {"table": NEW_ROWS}, slots="full").minimize(loss)
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 1
    assert len(tf.get_collection(tf.GraphKeys.SUMMARIES)) == 1


def test_no_operation_but_those_of_a_step_writes_the_table(graph):
    loss, _ = _two_tables()
    TrainableRowsOptimizer(adam(), {"table": NEW_ROWS}, slots="full").minimize(loss)
    [table] = [each for each in tf.trainable_variables() if each.op.name == "table"]
    writers = [
        each.type
        for each in graph.get_operations()
        if ("Scatter" in each.type or "Apply" in each.type) and each.inputs[0].op is table.op
    ]
    assert len(writers) == 1
    assert "Scatter" in writers[0]
