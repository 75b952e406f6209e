import functools
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.optimizers import (
    CONTRIB,
    CONTRIB_DENSE,
    CUSTOM,
    KERAS,
    TRAIN,
    AdamWeightDecay,
    apply_gradients,
)
from support.tables import assert_same, bits, counting_rows, special_rows
from tf1_embed import Rows, TrainableRowsOptimizer

OPTIMIZERS = {**TRAIN, **CUSTOM, **KERAS}

NUM_ROWS, DIM = 20, 3
ROWS = {
    "suffix": Rows.range(14, 20, size=NUM_ROWS),
    "prefix": Rows.range(0, 6, size=NUM_ROWS),
    "scattered": Rows.of([2, 3, 9, 15, 16, 19], size=NUM_ROWS),
    "all": Rows.range(0, NUM_ROWS, size=NUM_ROWS),
    "none": Rows.range(0, 0, size=NUM_ROWS),
}
# Each table of the grid: its name, its trainable rows, the form of its gradient.
TABLES = {f"{form}_{kind}": ROWS[kind] for form in ("sparse", "dense") for kind in ROWS}

# Ids of all kinds of rows, with duplicates; then some that leave tables without a trainable row.
BATCHES = [[0, 19, 2, 2, 15, 4, 19, 9, 2], [8, 10, 11, 8], [3, 3, 17, 5], [16, 1, 16]]


# The grid: every optimizer, cold and warm slots, sparse and dense gradients, ref and resource
# variables, all kinds of rows, both places for slots. Each is held against a table of just the
# trainable rows, and its frozen rows against what they were, bit for bit.


class Model:
    """A table for each kind of rows and form of gradient, and a bias, under one optimizer.

    Args:
      make_optimizer: function that returns the base optimizer.
      use_resource: bool, the kind of the variables.
      forms: strings, the forms of gradients, "sparse" or "dense", that there is a table for.
      layout: "plain" (whole tables under the base optimizer), "small" (tables of just the trainable
        rows under it), "rows" or "full" (whole tables, wrapped, with these slots).
    """

    def __init__(self, make_optimizer, use_resource, layout, forms=("sparse", "dense")):
        self.layout = layout
        with tf.Graph().as_default() as graph, tf.variable_scope("", use_resource=use_resource):
            tf.set_random_seed(1)
            global_step = tf.train.get_or_create_global_step()
            bias = tf.get_variable("bias", initializer=np.ones([DIM], np.float32))
            self.tables, self.ids = {}, {}
            loss = tf.reduce_sum(tf.square(bias - 0.5))
            for name, rows in TABLES.items():
                if not name.startswith(forms):
                    continue
                value, target = _initial(name), _target()
                if layout == "small":
                    if not rows.count:
                        continue
                    value, target = value[rows.ids()], target[rows.ids()]
                with tf.variable_scope("model"):
                    table = tf.get_variable(name, initializer=value)
                self.tables[name] = table
                self.ids[name] = tf.placeholder(tf.int32, [None])
                if name.startswith("dense"):
                    loss += tf.reduce_sum(tf.square(table - target))
                else:
                    loss += tf.reduce_sum(tf.square(tf.gather(table, self.ids[name]) - 0.5))
            variables = [bias] + list(self.tables.values())
            gradients = tf.gradients(loss, variables)
            # Some optimizers decay weights at once, others would read them for the loss after it.
            with tf.control_dependencies([getattr(each, "values", each) for each in gradients]):
                pairs = list(zip(gradients, variables))
                self.optimizer = make_optimizer()
                if layout in ("rows", "full"):
                    wrapped = {table: TABLES[name] for name, table in self.tables.items()}
                    self.optimizer = TrainableRowsOptimizer(self.optimizer, wrapped, slots=layout)
                self.train_op = apply_gradients(self.optimizer, pairs, global_step)
            self._variables = {each.op.name: each for each in tf.global_variables()}
            self._initialize = tf.global_variables_initializer()
            # Graph rewriting moves constants across multiplications, one way in one graph and
            # another way in another, and so the last bit of a step.
            config = tf.ConfigProto()
            config.graph_options.rewrite_options.disable_meta_optimizer = True
            self._session = tf.Session(graph=graph, config=config)

    def train(self, batches, state=None):
        """Trains from the initial values, or from `state`; returns the values of all variables."""
        self._session.run(self._initialize)
        if state is not None:
            self._load(state)
        for batch in batches:
            feed = {}
            for name, ids in self.ids.items():
                feed[ids] = np.array(batch)
                if self.layout == "small":
                    kept = feed[ids][TABLES[name].contains(batch)]
                    feed[ids] = TABLES[name].position(kept)
            self._session.run(self.train_op, feed)
        return self._session.run(self._variables)

    def _load(self, state):
        feed = {}
        for name, variable in self._variables.items():
            if name.endswith("/trainable_rows"):
                continue
            value = state[name.replace("/trainable_rows/", "/")]
            if variable.shape != value.shape:
                value = value[TABLES[_table_of(name)].ids()]
            feed[variable.initializer.inputs[1]] = value
        self._session.run([self._variables[each].initializer for each in self._variables], feed)


def _target():
    return np.random.RandomState(2).randn(NUM_ROWS, DIM).astype(np.float32)


def _initial(name):
    values = np.random.RandomState(1).randn(NUM_ROWS, DIM).astype(np.float32)
    return _with_special_rows(name, values)


def _with_special_rows(name, values):
    """Puts the bits that arithmetic loses into the frozen rows of a table, or of a slot of it."""
    frozen = (~TABLES[_table_of(name)]).ids()
    values = values.copy()
    values[frozen] = np.tile(special_rows("float32", DIM), [2, 1])[: len(frozen)]
    return values


def _table_of(name):
    """Returns the table that a variable is, or is a slot of, or None."""
    return next((table for table in TABLES if table in name), None)


@functools.lru_cache(maxsize=None)
def _warm_state(optimizer, use_resource):
    """Returns the values of all variables after training on all rows, made special where frozen."""
    state = Model(OPTIMIZERS[optimizer], use_resource, "plain").train(BATCHES[:3])
    return {
        name: _with_special_rows(name, value)
        if _table_of(name) and value.shape == (NUM_ROWS, DIM)
        else value
        for name, value in state.items()
    }


@functools.lru_cache(maxsize=None)
def _small_states(optimizer, use_resource):
    """Returns the values after training tables of just the trainable rows, cold and warm."""
    model = Model(OPTIMIZERS[optimizer], use_resource, "small")
    return model.train(BATCHES), model.train(BATCHES, _warm_state(optimizer, use_resource))


def _mismatches(actual, before, small):
    """Compares all variables with those before training, and with those of small tables."""
    found = []
    for name, value in actual.items():
        table = _table_of(name)
        if name.endswith("/trainable_rows"):
            continue
        own_name = name.replace("/trainable_rows/", "/")
        if table and value.shape == (NUM_ROWS, DIM):
            rows = TABLES[table]
            frozen = (~rows).ids()
            if not np.array_equal(bits(value[frozen]), bits(before[own_name][frozen])):
                found.append(f"{name}: frozen rows moved")
            value = value[rows.ids()]
        if table and not TABLES[table].count:
            continue
        if value.tobytes() != small[own_name].tobytes():
            error = np.max(np.abs(value - small[own_name]))
            found.append(f"{name}: trainable rows differ from those of a small table by {error}")
        if own_name == f"model/{table}" and np.array_equal(value, before[own_name][rows.ids()]):
            found.append(f"{name}: trainable rows did not move")
    return found


@pytest.mark.parametrize("slots", ["rows", "full"])
@pytest.mark.parametrize(
    ("optimizer", "use_resource"),
    [pytest.param(each, False, id=f"{each}-ref") for each in {**TRAIN, **CUSTOM}]
    + [pytest.param(each, True, id=f"{each}-resource") for each in OPTIMIZERS],
)
def test_trainable_rows_move_as_a_table_of_their_own_and_frozen_rows_stay(
    optimizer, use_resource, slots
):
    model = Model(OPTIMIZERS[optimizer], use_resource, slots)
    cold, warm = _small_states(optimizer, use_resource)
    before = model.train([])
    assert _mismatches(model.train(BATCHES), before, cold) == []
    state = _warm_state(optimizer, use_resource)
    assert _mismatches(model.train(BATCHES, state), state, warm) == []


@pytest.mark.parametrize("optimizer", {**CONTRIB, **CONTRIB_DENSE})
def test_trainable_rows_move_as_a_table_of_their_own_under_contrib(optimizer):
    make_optimizer = {**CONTRIB, **CONTRIB_DENSE}[optimizer]
    forms = ("dense",) if optimizer in CONTRIB_DENSE else ("sparse", "dense")
    model, small = (Model(make_optimizer, True, layout, forms) for layout in ("rows", "small"))
    assert _mismatches(model.train(BATCHES), model.train([]), small.train(BATCHES)) == []


# One table: its first rows are special and frozen, the last four train, unless a test says else.

SIZE = 18
SUFFIX = Rows.range(14, SIZE, size=SIZE)


def special_value(rows=SUFFIX, dtype="float32"):
    """Returns [SIZE, 2]: special bits in frozen rows, in trainable row i the value i."""
    value = counting_rows(rows.size, dtype=dtype)
    frozen = (~rows).ids()
    value[frozen] = np.tile(special_rows(dtype), [2, 1])[: len(frozen)]
    return value


def make_table(value=None, name="table", **kwargs):
    value = special_value() if value is None else value
    return tf.get_variable(name, initializer=value, **kwargs)


def lookup_loss(table, ids):
    return tf.reduce_sum(tf.square(tf.gather(table, ids) - 0.5))


def sgd(learning_rate=1.0):
    return tf.train.GradientDescentOptimizer(learning_rate)


def momentum():
    return tf.train.MomentumOptimizer(0.1, 0.9)


def adam():
    return tf.train.AdamOptimizer(0.1)


def names(variables):
    return sorted(each.op.name for each in variables)


def initialize(session):
    session.run(tf.global_variables_initializer())


def assert_frozen(value, rows=SUFFIX, before=None):
    before = special_value(rows, value.dtype.name) if before is None else before
    frozen = (~rows).ids()
    np.testing.assert_array_equal(bits(value[frozen]), bits(before[frozen]))


@pytest.fixture(params=["rows", "full"])
def slots(request):
    return request.param


# Gradients and their application.


def test_norm_counts_trainable_rows_alone_with_duplicates_summed(session, variables):
    table = make_table(counting_rows(SIZE))
    loss = tf.reduce_sum(tf.gather(table, [15, 15, 15, 15, 3, 3]))
    plain = sgd().compute_gradients(loss, [table])
    optimizer = TrainableRowsOptimizer(sgd(), {table: SUFFIX})
    pairs = optimizer.compute_gradients(loss, [table])
    initialize(session)
    assert session.run(tf.global_norm([plain[0][0]])) == pytest.approx(np.sqrt(12))
    only_trainable = tf.train.GradientDescentOptimizer(1.0).compute_gradients(
        tf.reduce_sum(tf.gather(table, [15] * 4)), [table]
    )
    assert session.run(tf.global_norm([only_trainable[0][0]])) == pytest.approx(2.83, abs=0.01)
    assert session.run(tf.global_norm([pairs[0][0]])) == pytest.approx(5.66, abs=0.01)


@pytest.mark.parametrize("make_optimizer", [sgd, momentum, adam])
def test_gradients_may_be_clipped_between_the_two_calls(session, variables, slots, make_optimizer):
    table = make_table()
    small = make_table(special_value()[SUFFIX.ids()], "small")
    ids, positions = [15, 3, 15, 17, 4, 15], [1, 1, 3, 1]
    optimizer = TrainableRowsOptimizer(make_optimizer(), {table: SUFFIX}, slots=slots)
    pairs = optimizer.compute_gradients(lookup_loss(table, ids), [table])
    clipped, norm = tf.clip_by_global_norm([gradient for gradient, _ in pairs], 1.0)
    train_op = optimizer.apply_gradients(zip(clipped, [table]))
    base = make_optimizer()
    gradient = tf.convert_to_tensor(tf.gradients(lookup_loss(small, positions), small)[0])
    summed = tf.IndexedSlices(tf.gather(gradient, [1, 3]), [1, 3], [4, 2])
    [small_clipped], small_norm = tf.clip_by_global_norm([summed], 1.0)
    small_train_op = base.apply_gradients([(small_clipped, small)])
    initialize(session)
    for _ in range(3):
        assert session.run(norm) == pytest.approx(session.run(small_norm), rel=1e-6)
        session.run([train_op, small_train_op])
    value = session.run(table)
    assert_frozen(value)
    np.testing.assert_allclose(value[SUFFIX.ids()], session.run(small), rtol=1e-6)
    assert (value[[15, 17]] != special_value()[[15, 17]]).all()


def test_minimize_gives_the_base_optimizer_duplicates_of_trainable_rows(session, variables):
    class Recorder(tf.train.GradientDescentOptimizer):
        def apply_gradients(self, grads_and_vars, *args, **kwargs):
            self.pairs = list(grads_and_vars)
            return super().apply_gradients(self.pairs, *args, **kwargs)

    table = make_table()
    base = Recorder(1.0)
    TrainableRowsOptimizer(base, {table: SUFFIX}).minimize(lookup_loss(table, [17, 2, 17, 14]))
    initialize(session)
    [(gradient, scratch)] = base.pairs
    assert scratch.shape.as_list() == [4, 2]
    np.testing.assert_array_equal(session.run(gradient.indices), [3, 3, 0])


def test_pairs_of_tf_gradients_are_filtered(session, variables, slots):
    table, other = make_table(), make_table(counting_rows(3), "other")
    loss = lookup_loss(table, [0, 15, 3]) + tf.reduce_sum(other)
    optimizer = TrainableRowsOptimizer(sgd(0.5), {table: SUFFIX}, slots=slots)
    train_op = optimizer.apply_gradients(zip(tf.gradients(loss, [table, other]), [table, other]))
    initialize(session)
    session.run(train_op)
    value = session.run(table)
    assert_frozen(value)
    np.testing.assert_array_equal(value[14:], [[14, 14], [0.5, 0.5], [16, 16], [17, 17]])
    np.testing.assert_array_equal(session.run(other), counting_rows(3) - 0.5)


@pytest.mark.parametrize("rows", [SUFFIX, Rows.of([], size=SIZE)], ids=["suffix", "none"])
def test_global_step_is_incremented_once(session, variables, slots, rows):
    table = make_table(special_value(rows))
    step = tf.train.get_or_create_global_step()
    optimizer = TrainableRowsOptimizer(momentum(), {table: rows}, slots=slots)
    train_op = optimizer.minimize(lookup_loss(table, [15, 0]), global_step=step)
    initialize(session)
    for count in (1, 2):
        session.run(train_op)
        assert session.run(step) == count
    assert_frozen(session.run(table), rows)


def test_minimize_takes_what_that_of_tensorflow_takes(session, variables):
    table = make_table()
    losses = tf.square(tf.gather(table, [15, 2, 16])[:, 0] - 0.5)
    train_op = TrainableRowsOptimizer(sgd(0.5), {table: SUFFIX}).minimize(
        losses,
        var_list=[table],
        gate_gradients=tf.train.Optimizer.GATE_GRAPH,
        colocate_gradients_with_ops=True,
        name="step",
        grad_loss=tf.constant([1.0, 1.0, 2.0]),
    )
    assert train_op.name.startswith("step")
    initialize(session)
    session.run(train_op)
    np.testing.assert_array_equal(session.run(table)[15:, 0], [0.5, 16 - 31 / 2 * 2, 17])
    assert_frozen(session.run(table))


def test_no_trainable_row_leaves_the_rest_of_the_model_to_train(session, variables, slots):
    none = Rows.of([], size=SIZE)
    table, other = make_table(special_value(none)), make_table(counting_rows(3), "other")
    optimizer = TrainableRowsOptimizer(adam(), {table: none}, slots=slots)
    train_op = optimizer.minimize(lookup_loss(table, [0, 1]) + tf.reduce_sum(other))
    initialize(session)
    session.run(train_op)
    assert_frozen(session.run(table), none)
    assert (session.run(other) < counting_rows(3)).all()


def test_no_trainable_row_and_nothing_else_is_a_step_that_does_nothing(session, variables):
    none = Rows.of([], size=SIZE)
    table = make_table(special_value(none))
    train_op = TrainableRowsOptimizer(adam(), {table: none}).minimize(lookup_loss(table, [0]))
    initialize(session)
    session.run(train_op)
    assert_frozen(session.run(table), none)


def test_wrapper_without_tables_is_the_base_optimizer(session, variables):
    table = make_table(counting_rows(4))
    train_op = TrainableRowsOptimizer(sgd(), {}).minimize(tf.reduce_sum(table))
    initialize(session)
    session.run(train_op)
    np.testing.assert_array_equal(session.run(table), counting_rows(4) - 1)


def test_gradients_may_be_applied_twice(session, variables, slots):
    table = make_table()
    optimizer = TrainableRowsOptimizer(adam(), {table: SUFFIX}, slots=slots)
    train_ops = [optimizer.minimize(lookup_loss(table, ids)) for ids in ([15, 0], [16, 16, 1])]
    small = make_table(special_value()[SUFFIX.ids()], "small")
    base = adam()
    small_train_ops = [base.minimize(lookup_loss(small, ids)) for ids in ([1], [2, 2])]
    assert len(tf.get_collection(tf.GraphKeys.TRAIN_OP)) == 4
    initialize(session)
    for i in (0, 1, 1, 0):
        session.run([train_ops[i], small_train_ops[i]])
    assert_frozen(session.run(table))
    assert_same(session.run(table)[14:], session.run(small))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_collection_of_training_operations_has_the_one_that_is_returned(graph, slots, optimizer):
    with tf.variable_scope("", use_resource=optimizer in KERAS):
        table, other = make_table(), make_table(counting_rows(3), "other")
        tf.add_to_collection(tf.GraphKeys.TRAIN_OP, "another")
        wrapped = TrainableRowsOptimizer(OPTIMIZERS[optimizer](), {table: SUFFIX}, slots)
        before = {key: len(graph.get_collection(key)) for key in graph.get_all_collection_keys()}
        train_op = wrapped.minimize(lookup_loss(table, [15, 0]) + lookup_loss(other, [1]))
    assert tf.get_collection(tf.GraphKeys.TRAIN_OP) == ["another", train_op]
    for key in set(graph.get_all_collection_keys()) - {"train_op", "variables"}:
        assert len(graph.get_collection(key)) == before[key], key


@pytest.mark.parametrize("optimizer", ["gradient_descent", "momentum", "adam", "adam_weight_decay"])
def test_untouched_gradients_with_duplicates_give_the_bits_of_a_table_of_their_own(
    session, variables, slots, optimizer
):
    # Values of which the sum depends on the order.
    factors = np.random.RandomState(0).randn(40, 1).astype(np.float32)
    table, small = make_table(), make_table(special_value()[14:], "small")
    loss = tf.reduce_sum(tf.gather(table, [15, 17] * 20) * factors)
    wrapped = TrainableRowsOptimizer(OPTIMIZERS[optimizer](), {table: SUFFIX}, slots)
    pairs = wrapped.compute_gradients(loss, [table])
    train_op = wrapped.apply_gradients(pairs)
    own = OPTIMIZERS[optimizer]().minimize(
        tf.reduce_sum(tf.gather(small, [1, 3] * 20) * factors), var_list=[small]
    )
    initialize(session)
    assert session.run(pairs[0][0].indices).tolist() == [15, 17]
    for _ in range(3):
        session.run([train_op, own])
    assert_same(session.run(table)[14:], session.run(small))


def test_gradients_are_those_of_compute_gradients_in_the_order_of_the_variables(session, variables):
    table, other = make_table(), make_table(counting_rows(3), "other")
    unused = make_table(counting_rows(3), "unused")
    optimizer = TrainableRowsOptimizer(sgd(0.5), {table: SUFFIX})
    loss = lookup_loss(table, [0, 15, 3]) + tf.reduce_sum(other)
    gradients = optimizer.gradients(loss, [other, unused, table])
    assert gradients[1] is None
    train_op = optimizer.apply_gradients(zip(gradients, [other, unused, table]))
    initialize(session)
    assert session.run(tf.global_norm(gradients[2:])) == pytest.approx(29 * 2**0.5)
    session.run(train_op)
    assert_frozen(session.run(table))
    np.testing.assert_array_equal(session.run(table)[15], [0.5, 0.5])
    np.testing.assert_array_equal(session.run(other), counting_rows(3) - 0.5)


@pytest.mark.parametrize("rows", [[14, 15, 16, 17], range(14, 18), slice(-4, None), special_value])
def test_rows_may_be_plain_ids(session, variables, slots, rows):
    rows = np.arange(SIZE) >= 14 if callable(rows) else rows
    table = make_table()
    train_op = TrainableRowsOptimizer(adam(), {table: rows}, slots).minimize(
        lookup_loss(table, [15, 0])
    )
    initialize(session)
    session.run(train_op)
    assert_frozen(session.run(table))
    assert (session.run(table)[15] != 15).all()


@pytest.mark.parametrize("make_optimizer", [momentum, adam])
def test_base_optimizer_may_train_all_rows_before(session, variables, make_optimizer):
    table = make_table(counting_rows(SIZE))
    base = make_optimizer()
    train_all = base.minimize(lookup_loss(table, np.arange(SIZE)))
    optimizer = TrainableRowsOptimizer(base, {table: SUFFIX}, slots="full")
    train_op = optimizer.minimize(lookup_loss(table, [15, 0]))
    initialize(session)
    session.run(train_all)
    state = [table] + [base.get_slot(table, name) for name in base.get_slot_names()]
    before = session.run(state)
    for _ in range(3):
        session.run(train_op)
    for value, value_before in zip(session.run(state), before):
        assert_frozen(value, SUFFIX, value_before)
        assert (value[15] != value_before[15]).all()
    moved = (value[[14, 16, 17]] != value_before[[14, 16, 17]]).any()
    assert moved == (make_optimizer is adam)


@pytest.mark.parametrize("make_optimizer", [sgd, adam])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_dtypes(session, variables, slots, make_optimizer, dtype):
    def make():
        return tf.train.AdamOptimizer(0.1, epsilon=1e-3) if make_optimizer is adam else sgd(0.125)

    table = make_table(special_value(dtype=dtype))
    small = make_table(special_value(dtype=dtype)[14:], "small")
    optimizer = TrainableRowsOptimizer(make(), {table: SUFFIX}, slots=slots)
    train_op = optimizer.minimize(lookup_loss(table, [15, 0, 17]), var_list=[table])
    small_train_op = make().minimize(lookup_loss(small, [1, 3]), var_list=[small])
    initialize(session)
    for _ in range(3):
        session.run([train_op, small_train_op])
    value = session.run(table)
    assert_frozen(value)
    assert_same(value[14:], session.run(small))
    assert (value[15] < 15).all()


def test_empty_batches_and_int64_ids(session, variables, slots):
    table = make_table()
    small = make_table(special_value()[14:], "small")
    ids = tf.placeholder(tf.int64, [None])
    optimizer = TrainableRowsOptimizer(adam(), {table: SUFFIX}, slots=slots)
    train_op = optimizer.minimize(lookup_loss(table, ids))
    positions = tf.placeholder(tf.int64, [None])
    small_train_op = adam().minimize(lookup_loss(small, positions))
    initialize(session)
    for batch, small_batch in (([15, 2], [1]), ([], []), ([3], []), ([17, 17], [3, 3])):
        session.run([train_op, small_train_op], {ids: batch, positions: small_batch})
        assert_frozen(session.run(table))
        assert_same(session.run(table)[14:], session.run(small))


# Slots.


def test_slots_are_of_the_trainable_rows_by_default(session, variables):
    table, other = make_table(), make_table(counting_rows(3), "other")
    optimizer = TrainableRowsOptimizer(adam(), {table: SUFFIX})
    optimizer.minimize(lookup_loss(table, [15, 0]) + tf.reduce_sum(other))
    assert optimizer.get_slot_names() == ["m", "v"]
    assert optimizer.get_slot(table, "m").shape.as_list() == [4, 2]
    assert optimizer.get_slot(table, "m").op.name == "table/trainable_rows/Adam"
    assert optimizer.get_slot(other, "v").shape.as_list() == [3, 2]
    assert optimizer.get_slot(table, "momentum") is None
    state = ["beta1_power", "beta2_power", "other/Adam", "other/Adam_1", "table/trainable_rows"]
    state += ["table/trainable_rows/Adam", "table/trainable_rows/Adam_1"]
    assert names(optimizer.variables()) == state
    assert names(tf.global_variables()) == sorted(state + ["other", "table"])
    assert names(tf.trainable_variables()) == ["other", "table"]


def test_full_slots_are_of_the_shape_of_the_table(session, variables):
    table = make_table()
    optimizer = TrainableRowsOptimizer(adam(), {table: SUFFIX}, slots="full")
    optimizer.minimize(lookup_loss(table, [15, 0]))
    assert optimizer.get_slot_names() == ["m", "v"]
    assert optimizer.get_slot(table, "m").shape.as_list() == [SIZE, 2]
    assert optimizer.get_slot(table, "m").op.name == "table/Adam"
    state = ["beta1_power", "beta2_power", "table/Adam", "table/Adam_1"]
    assert names(optimizer.variables()) == state
    assert names(tf.global_variables()) == sorted(state + ["table"])
    assert names(tf.trainable_variables()) == ["table"]


def _train_in_scopes(make_optimizer, value, trainable_rows=None):
    """Builds a model in variable and name scopes; returns its table and its train op."""
    with tf.variable_scope("model"):
        table, other = make_table(value), make_table(counting_rows(3), "other")
        with tf.name_scope("training"):
            optimizer = make_optimizer()
            if trainable_rows is not None:
                optimizer = TrainableRowsOptimizer(optimizer, {table: trainable_rows}, slots="full")
            loss = lookup_loss(table, [15, 2, 15]) + lookup_loss(other, [1])
            pairs = zip(tf.gradients(loss, [table, other]), [table, other])
            step = tf.train.get_or_create_global_step()
            return table, apply_gradients(optimizer, list(pairs), step)


@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
@pytest.mark.parametrize(
    "optimizer",
    ["adam", "momentum", "rmsprop_momentum_centered", "ftrl", "adam_weight_decay"]
    + [each for each in ("keras_adam",) if each in KERAS],
)
def test_checkpoint_of_a_plain_model_is_restored_with_its_slots(tmp_path, optimizer, use_resource):
    use_resource = use_resource or optimizer in KERAS  # which fails on ref variables by itself
    make_optimizer = OPTIMIZERS[optimizer]
    prefix = str(tmp_path / "model.ckpt")
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("", use_resource=use_resource):
            _, train_op = _train_in_scopes(make_optimizer, counting_rows(SIZE))
        initialize(session)
        for _ in range(2):
            session.run(train_op)
        plain_names = names(tf.global_variables())
        tf.train.Saver().save(session, prefix)
        restored = dict(zip(plain_names, session.run(_by_name())))
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("", use_resource=use_resource):
            table, train_op = _train_in_scopes(make_optimizer, counting_rows(SIZE), SUFFIX)
        assert names(tf.global_variables()) == plain_names
        tf.train.Saver().restore(session, prefix)
        for _ in range(3):
            session.run(train_op)
        for name, value in zip(plain_names, session.run(_by_name())):
            if value.shape == (SIZE, 2):
                assert_frozen(value, SUFFIX, restored[name])
                assert (value[15] != restored[name][15]).all(), name


def _by_name():
    return sorted(tf.global_variables(), key=lambda each: each.op.name)


@pytest.mark.parametrize("optimizer", ["gradient_descent", "momentum", "adam", "adam_weight_decay"])
def test_training_restored_goes_on_as_if_it_had_not_stopped(tmp_path, variables, slots, optimizer):
    def train(prefix, steps, restore_from=None):
        with tf.Graph().as_default(), tf.Session() as session:
            table = make_table(use_resource=variables == "resource")
            ids = tf.placeholder(tf.int32, [None])
            wrapped = TrainableRowsOptimizer(OPTIMIZERS[optimizer](), {table: SUFFIX}, slots=slots)
            train_op = wrapped.minimize(
                lookup_loss(table, ids), tf.train.get_or_create_global_step()
            )
            initialize(session)
            if restore_from is not None:
                tf.train.Saver().restore(session, restore_from)
            for step in steps:
                session.run(train_op, {ids: [14 + step % 4, step, 15]})
            tf.train.Saver().save(session, prefix)
            stored = [each for each in _by_name() if not each.op.name.endswith("trainable_rows")]
            return session.run(stored)

    at_once = train(str(tmp_path / "at_once"), range(6))
    train(str(tmp_path / "half"), range(3))
    resumed = train(str(tmp_path / "resumed"), range(3, 6), str(tmp_path / "half"))
    assert len(at_once) == len(resumed)
    for value, expected in zip(resumed, at_once):
        assert value.tobytes() == expected.tobytes()


# Kinds of tables.


@pytest.mark.parametrize("optimizer", ["gradient_descent", "adam", "ftrl_l1_l2_shrinkage"])
@pytest.mark.parametrize("form", ["sparse", "dense"])
def test_tables_of_rank_1(session, variables, slots, optimizer, form):
    def loss_of(bias, ids, target):
        return lookup_loss(bias, ids) if form == "sparse" else tf.reduce_sum(bias * target)

    value = special_value()[:, 0].copy()
    bias, small = make_table(value, "bias"), make_table(value[14:], "small")
    target = np.linspace(-1, 1, SIZE).astype(np.float32)
    wrapped = TrainableRowsOptimizer(OPTIMIZERS[optimizer](), {bias: SUFFIX}, slots=slots)
    train_op = wrapped.minimize(loss_of(bias, [15, 0, 17], target), var_list=[bias])
    small_loss = loss_of(small, [1, 3], target[14:])
    small_train_op = OPTIMIZERS[optimizer]().minimize(small_loss, var_list=[small])
    initialize(session)
    for _ in range(3):
        session.run([train_op, small_train_op])
    assert_frozen(session.run(bias), SUFFIX, value)
    assert_same(session.run(bias)[14:], session.run(small))
    assert session.run(bias)[15] != 15


@pytest.mark.parametrize("optimizer", ["adam", "adam_weight_decay"])
@pytest.mark.parametrize(
    ("rows", "as_dict"), [(SUFFIX, False), (Rows.of([1, 2, 9, 17], size=SIZE), True)]
)
def test_tables_with_their_rows_on_axis_1(session, variables, slots, optimizer, rows, as_dict):
    value = special_value(rows).T.copy()
    table = make_table(value)
    small = make_table(value[:, rows.ids()], "small")
    target = np.linspace(-1, 1, 2 * SIZE).reshape([2, SIZE]).astype(np.float32)
    wrapped = TrainableRowsOptimizer(
        OPTIMIZERS[optimizer](), {table: rows}, slots=slots, axis={table: 1} if as_dict else 1
    )
    train_op = wrapped.minimize(tf.reduce_sum(table * target), var_list=[table])
    small_loss = tf.reduce_sum(small * target[:, rows.ids()])
    small_train_op = OPTIMIZERS[optimizer]().minimize(small_loss, var_list=[small])
    initialize(session)
    for _ in range(3):
        session.run([train_op, small_train_op])
    actual = session.run(table)
    frozen = (~rows).ids()
    assert_same(actual[:, frozen], value[:, frozen])
    assert_same(actual[:, rows.ids()], session.run(small))
    assert (actual[:, rows.ids()] != value[:, rows.ids()]).all()


@pytest.mark.parametrize("optimizer", ["adam", "ftrl_l1_l2_shrinkage", "adam_weight_decay"])
@pytest.mark.parametrize("form", ["sparse", "dense"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_tables_of_rank_3_train_rows_on_any_axis(session, variables, slots, optimizer, form, axis):
    # All sizes are the same, so that no error of shapes helps.
    rows, value = Rows.of([1, 3], size=4), np.random.RandomState(1).randn(4, 4, 4).astype("f")
    frozen = tuple([0, 2] if each == axis else slice(None) for each in range(3))
    value.view(np.uint32)[frozen] = 0x7FA00001  # a signalling NaN
    table, small = make_table(value), make_table(np.take(value, [1, 3], axis), "small")
    looked_up = [0, 1, 1, 2, 3] if form == "sparse" else [0, 1, 2, 3]
    factors = np.random.RandomState(0).randn(len(looked_up), 4, 4).astype(np.float32)
    small_ids, small_factors = looked_up, factors
    if axis:
        small_factors = np.take(factors, [1, 3], axis)
    else:
        kept = rows.contains(looked_up)
        small_ids, small_factors = rows.position(np.array(looked_up)[kept]), factors[kept]

    def loss_of(variable, ids, factors):
        return tf.reduce_sum((tf.gather(variable, ids) if form == "sparse" else variable) * factors)

    wrapped = TrainableRowsOptimizer(OPTIMIZERS[optimizer](), {table: rows}, slots, axis=axis)
    train_op = wrapped.minimize(loss_of(table, looked_up, factors), var_list=[table])
    [gradient] = tf.gradients(loss_of(small, small_ids, small_factors), [small])
    if axis:
        gradient = tf.convert_to_tensor(gradient)  # The slices are of another axis than the rows.
    small_train_op = OPTIMIZERS[optimizer]().apply_gradients([(gradient, small)])
    initialize(session)
    for _ in range(3):
        session.run([train_op, small_train_op])
    actual = session.run(table)
    assert_same(actual[frozen], value[frozen])
    assert_same(np.take(actual, [1, 3], axis), session.run(small))
    assert (np.take(actual, [1, 3], axis) != np.take(value, [1, 3], axis)).all()


@pytest.mark.parametrize("optimizer", ["adam", "adam_weight_decay"])
def test_several_tables_of_one_model(session, variables, slots, optimizer):
    others = Rows.of([0, 5], size=SIZE)
    values = {"same_1": SUFFIX, "same_2": SUFFIX, "own": others}
    tables = {name: make_table(special_value(rows), name) for name, rows in values.items()}
    transposed = make_table(special_value().T.copy(), "transposed")
    free = make_table(counting_rows(3), "free")
    wrapped = {tables[name]: rows for name, rows in values.items()}
    optimizer = TrainableRowsOptimizer(
        OPTIMIZERS[optimizer](), {**wrapped, transposed: SUFFIX}, slots, axis={transposed: 1}
    )
    ids = [0, 15, 5, 2]
    loss = sum(lookup_loss(table, ids) for table in tables.values()) + lookup_loss(free, [1])
    train_op = optimizer.minimize(loss + tf.reduce_sum(tf.gather(transposed, [3, 16], axis=1)))
    initialize(session)
    for _ in range(3):
        session.run(train_op)
    for name, rows in values.items():
        value = session.run(tables[name])
        assert_frozen(value, rows)
        moved = [each for each in ids if rows.contains(each)]
        assert (value[moved] != special_value(rows)[moved]).any(axis=1).all()
    assert_frozen(session.run(transposed).T.copy())
    assert (session.run(transposed)[:, 16] != 16).all()
    assert (session.run(free)[1] != 1).all()


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
@pytest.mark.parametrize(
    ("rows", "strategy"),
    [(SUFFIX, "mod"), (Rows.of([0, 4, 7, 16], SIZE), "mod"), (Rows.of([0, 4, 7, 16], SIZE), "div")],
)
def test_partitioned_tables_take_rows_by_id(session, variables, slots, optimizer, strategy, rows):
    def look_up(ids):
        return tf.nn.embedding_lookup(table, ids, partition_strategy=strategy)

    table = tf.get_variable(
        "table",
        [SIZE, 2],
        partitioner=tf.fixed_size_partitioner(3),
        initializer=tf.ones_initializer,
    )
    assert len(list(table)) == 3
    batch = rows.ids()[[0, 2, 2]]
    wrapped = TrainableRowsOptimizer(
        OPTIMIZERS[optimizer](), {table: rows}, slots, partition_strategy=strategy
    )
    loss = tf.reduce_sum(tf.square(look_up(np.append(batch, (~rows).ids()[:5])) - 0.5))
    train_op = wrapped.minimize(loss)
    small = make_table(np.ones([4, 2], np.float32), "small")
    small_train_op = OPTIMIZERS[optimizer]().minimize(lookup_loss(small, [0, 2, 2]))
    initialize(session)
    # Frozen rows get their special bits by id, wherever the strategy puts them.
    value = special_value(rows)
    value[rows.ids()] = 1
    where = session.run(tf.nn.embedding_lookup(_numbered(table), np.arange(SIZE), strategy))
    flat = np.empty([SIZE, 2], np.float32)
    flat[where] = value
    for part, part_value in zip(table, np.split(flat, 3)):
        session.run(part.initializer, {part.initializer.inputs[1]: part_value})
    for _ in range(3):
        session.run([train_op, small_train_op])
    actual = session.run(look_up(np.arange(SIZE)))
    assert_frozen(actual, rows)
    # In 1.15, Adam's last bit depends on how many rows a table has.
    np.testing.assert_allclose(actual[rows.ids()], session.run(small), rtol=1e-6)
    assert (actual[batch] != 1).all()


def _numbered(table):
    """Returns tensors of the partitions' shapes, in which each row holds its place on disk."""
    return [tf.range(6) + 6 * i for i, _ in enumerate(table)]


def test_variable_of_a_single_partition_needs_no_strategy(session, variables, slots):
    table = tf.get_variable(
        "table",
        [SIZE, 2],
        partitioner=tf.fixed_size_partitioner(1),
        initializer=tf.ones_initializer,
    )
    [part] = list(table)
    assert part.op.name == "table/part_0"
    loss = tf.reduce_sum(tf.nn.embedding_lookup(table, [15, 0, 15]))
    wrapped = TrainableRowsOptimizer(momentum(), {table: SUFFIX}, slots)
    train_op = wrapped.minimize(loss)
    initialize(session)
    session.run(train_op)
    expected = np.ones([SIZE, 2], np.float32)
    expected[15] = 0.8
    np.testing.assert_allclose(session.run(part), expected, rtol=1e-6)


# Uses of tables, each held against a table of just the trainable rows in the same use: the frozen
# rows before them are constants there.


def _suffix_models(optimizer, slots, loss_of, value):
    """Builds `loss_of(table)` on a wrapped table and on constants joined with a small variable."""
    table, small = make_table(value), make_table(value[14:], "small")
    wrapped = TrainableRowsOptimizer(OPTIMIZERS[optimizer](), {table: SUFFIX}, slots)
    train_op = wrapped.minimize(loss_of(table), var_list=[table])
    small_loss = loss_of(tf.concat([tf.constant(value[:14]), small], 0))
    gradient = tf.convert_to_tensor(tf.gradients(small_loss, [small])[0])
    return table, small, train_op, OPTIMIZERS[optimizer]().apply_gradients([(gradient, small)])


def _tied_softmax(table):
    vectors = tf.gather(table, [15, 3, 2, 15])
    logits = tf.matmul(vectors, table, transpose_b=True)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=[16, 3, 17, 0], logits=logits)
    return tf.reduce_mean(losses)


def _l2_of_the_table(table):
    return tf.reduce_mean(tf.square(tf.gather(table, [15, 3]) - 1)) + 0.1 * tf.nn.l2_loss(table)


def _concat_with_a_zero_row(table):
    return lookup_loss(tf.concat([tf.zeros([1, 2]), table], 0), [0, 16, 3, 16])


def _one_hot_matmul(table):
    return tf.reduce_sum(tf.square(tf.matmul(tf.one_hot([15, 3, 15], SIZE), table) - 1))


@pytest.mark.parametrize(
    "loss_of", [_tied_softmax, _l2_of_the_table, _concat_with_a_zero_row, _one_hot_matmul]
)
@pytest.mark.parametrize("optimizer", ["momentum", "adam", "adam_weight_decay"])
def test_dense_gradients(session, variables, slots, optimizer, loss_of):
    value = np.random.RandomState(0).randn(SIZE, 2).astype(np.float32)
    # They are close to a number, and so harmless to the losses.
    value[:3] = np.array([1, 0x80000000, 0x80000001], np.uint32).view(np.float32)[:, None]
    table, small, train_op, small_train_op = _suffix_models(optimizer, slots, loss_of, value)
    initialize(session)
    for _ in range(4):
        session.run([train_op, small_train_op])
    actual = session.run(table)
    assert_frozen(actual, SUFFIX, value)
    np.testing.assert_allclose(actual[14:], session.run(small), rtol=1e-5, atol=1e-6)
    assert (actual[15] != value[15]).all()


def _loop_over(table, ids):
    """Returns the loss of lookups, one in each pass of a loop."""
    count = tf.size(ids)

    def add(i, total):
        return i + 1, total + tf.reduce_sum(tf.square(tf.gather(table, ids[i]) - 0.5))

    return tf.while_loop(lambda i, _: i < count, add, [tf.constant(0), tf.constant(0.0)])[1]


def _branch_over(table, ids):
    """Returns the loss of a lookup in a branch that is taken if a placeholder holds."""
    taken = tf.placeholder_with_default(True, [])
    return tf.cond(taken, lambda: lookup_loss(table, ids), lambda: tf.constant(0.0)), taken


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_lookup_in_a_loop(session, variables, control_flow, slots, optimizer):
    # One frozen row comes before the small table's rows as well: the loop sends id 0 a zero.
    value = special_value()
    value[0] = 1
    table, small = make_table(value), make_table(np.append(value[:1], value[14:], 0), "small")
    ids, positions = (tf.placeholder(tf.int32, [None]) for _ in range(2))
    wrapped = TrainableRowsOptimizer(OPTIMIZERS[optimizer](), {table: SUFFIX}, slots)
    train_op = wrapped.minimize(_loop_over(table, ids), var_list=[table])
    small_loss = _loop_over(small, positions)
    small_train_op = OPTIMIZERS[optimizer]().minimize(small_loss, var_list=[small])
    initialize(session)
    for batch, small_batch in (([15, 16, 2], [2, 3]), ([17, 15], [4, 2]), ([14], [1])):
        session.run([train_op, small_train_op], {ids: batch, positions: small_batch})
    actual = session.run(table)
    assert_frozen(actual, SUFFIX, value)
    np.testing.assert_allclose(actual[14:], session.run(small)[1:], rtol=1e-6)
    assert (actual[15:] != value[15:]).all()


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_lookup_in_a_branch(session, variables, control_flow, slots, optimizer):
    table, small = make_table(), make_table(special_value()[14:], "small")
    wrapped = TrainableRowsOptimizer(OPTIMIZERS[optimizer](), {table: SUFFIX}, slots)
    loss, taken = _branch_over(table, [15, 3, 16])
    train_op = wrapped.minimize(loss, var_list=[table])
    small_loss, small_taken = _branch_over(small, [1, 2])
    small_train_op = OPTIMIZERS[optimizer]().minimize(small_loss, var_list=[small])
    initialize(session)
    for is_taken in (True, False, True, False):
        session.run([train_op, small_train_op], {taken: is_taken, small_taken: is_taken})
        actual = session.run(table)
        assert_frozen(actual)
        np.testing.assert_allclose(actual[14:], session.run(small), rtol=1e-6)
    assert (actual[15:17] != special_value()[15:17]).all()


def test_zero_slices_of_frozen_ids_do_not_even_reach_the_base_optimizer(session, variables):
    table = make_table()
    gradient = tf.IndexedSlices(tf.zeros([SIZE, 2]), tf.range(SIZE), tf.constant([SIZE, 2]))
    wrapped = TrainableRowsOptimizer(tf.train.FtrlOptimizer(0.1), {table: SUFFIX})
    train_op = wrapped.apply_gradients([(gradient, table)])
    initialize(session)
    session.run(train_op)
    actual = session.run(table)
    assert_frozen(actual)
    np.testing.assert_array_equal(actual[14:], 0)  # as Ftrl does


# Constraints.


@pytest.mark.parametrize("make_optimizer", [sgd, adam])
def test_constraint_holds_for_trainable_rows_alone(session, variables, slots, make_optimizer):
    table = make_table(constraint=lambda rows: tf.clip_by_value(rows, 14.5, 15.5))
    wrapped = TrainableRowsOptimizer(make_optimizer(), {table: SUFFIX}, slots)
    train_op = wrapped.minimize(tf.reduce_sum(table) * 1e-3)
    initialize(session)
    session.run(train_op)
    actual = session.run(table)
    assert_frozen(actual)
    np.testing.assert_allclose(actual[14:, 0], [14.5, 15, 15.5, 15.5], atol=0.11)
    assert ((actual[14:] >= 14.5) & (actual[14:] <= 15.5)).all()


def test_constraint_with_slices_is_the_error_of_tensorflow(graph, slots):
    with tf.variable_scope("", use_resource=True):
        table = make_table(constraint=tf.abs)
        loss = lookup_loss(table, [15])
        with pytest.raises(RuntimeError, match="constraint function on a sparse variable"):
            sgd().minimize(loss)
        with pytest.raises(RuntimeError, match="constraint function on a sparse variable"):
            TrainableRowsOptimizer(sgd(), {table: SUFFIX}, slots).minimize(loss)


# Wrappers of optimizers.


def _train_wrapped(session, make_optimizer, steps=3, **feed):
    """Trains a table under `make_optimizer(table)`, and returns it and its value."""
    table = make_table()
    train_op = make_optimizer(table).minimize(lookup_loss(table, [15, 0, 15]), var_list=[table])
    initialize(session)
    for _ in range(steps):
        session.run(train_op)
    value = session.run(table)
    assert_frozen(value)
    assert (value[15] != 15).all()
    return value


@pytest.mark.skipif(
    not hasattr(tf.train, "experimental"), reason="TensorFlow 1.13 has no loss scales"
)
@pytest.mark.parametrize(
    "make_scale",
    [
        lambda: tf.train.experimental.FixedLossScale(8.0),
        lambda: tf.train.experimental.DynamicLossScale(initial_loss_scale=8.0),
    ],
    ids=["fixed", "dynamic"],
)
@pytest.mark.parametrize("make_optimizer", [sgd, adam])
@pytest.mark.parametrize("where", ["within", "around"])
def test_loss_scaling(graph, slots, make_scale, make_optimizer, where):
    scaled = tf.train.experimental.MixedPrecisionLossScaleOptimizer

    def within(table):
        return TrainableRowsOptimizer(
            scaled(make_optimizer(), make_scale()), {table: SUFFIX}, slots
        )

    def around(table):
        wrapped = TrainableRowsOptimizer(make_optimizer(), {table: SUFFIX}, slots)
        return scaled(wrapped, make_scale())

    with tf.variable_scope("", use_resource=True):
        with tf.Session() as session:
            value = _train_wrapped(session, within if where == "within" else around)
    with tf.Graph().as_default(), tf.Session() as session:
        expected = _train_wrapped(
            session, lambda table: TrainableRowsOptimizer(make_optimizer(), {table: SUFFIX})
        )
    np.testing.assert_allclose(value[14:], expected[14:], rtol=1e-6)


@pytest.mark.skipif(not CONTRIB, reason="tf.contrib is in TensorFlow 1 only")
def test_moving_averages_go_around_and_not_within(session, variables):
    from tensorflow.contrib.opt import MovingAverageOptimizer

    _train_wrapped(
        session,
        lambda table: MovingAverageOptimizer(TrainableRowsOptimizer(adam(), {table: SUFFIX})),
    )
    with pytest.raises(ValueError, match="MovingAverageOptimizer.*start from.*Wrap the optimizer"):
        TrainableRowsOptimizer(MovingAverageOptimizer(adam()), {})


@pytest.mark.skipif(not CONTRIB, reason="tf.contrib is in TensorFlow 1 only")
def test_optimizer_that_was_told_of_a_table_is_refused(graph, variables, slots):
    from tensorflow.contrib.opt import VariableClippingOptimizer

    table = make_table()
    clipping = VariableClippingOptimizer(sgd(), {table: [1]}, 0.5)
    message = "VariableClippingOptimizer cannot be wrapped.*'table'.*`_vars_to_clip_dims`.*project"
    with pytest.raises(ValueError, match=message):
        TrainableRowsOptimizer(clipping, {"table": SUFFIX}, slots).minimize(
            lookup_loss(table, [15])
        )
    with pytest.raises(ValueError, match=message):
        TrainableRowsOptimizer(clipping, {table: SUFFIX}, slots).minimize(lookup_loss(table, [15]))


@pytest.mark.parametrize("pattern", ["table$", "^table$", "[lL]ayer", "tab", "(", "able/"])
def test_optimizer_that_decides_by_a_name_that_ends_otherwise_is_refused(graph, slots, pattern):
    class Excluding(AdamWeightDecay):
        exclude = ()

    base = Excluding()
    base.exclude = [pattern]
    optimizer = TrainableRowsOptimizer(base, {make_table(): SUFFIX}, slots)
    [table] = tf.trainable_variables()
    if pattern not in ("table$", "^table$", "able/"):
        optimizer.minimize(lookup_loss(table, [15]))
        return
    with pytest.raises(ValueError, match="Excluding cannot be wrapped as it is.*in `exclude` does"):
        optimizer.minimize(lookup_loss(table, [15]))


@pytest.mark.skipif(not CONTRIB, reason="tf.contrib is in TensorFlow 1 only")
def test_optimizer_for_several_tasks_leaves_rows_alone_without_a_gradient(
    session, variables, slots
):
    from tensorflow.contrib.opt import MultitaskOptimizerWrapper

    table, small = make_table(), make_table(special_value()[14:], "small")
    ids, positions = (tf.placeholder(tf.int32, [None]) for _ in range(2))
    wrapped = TrainableRowsOptimizer(MultitaskOptimizerWrapper(adam()), {table: SUFFIX}, slots)
    train_op = wrapped.minimize(lookup_loss(table, ids), var_list=[table])
    own = MultitaskOptimizerWrapper(adam())
    small_train_op = own.minimize(lookup_loss(small, positions), var_list=[small])
    initialize(session)
    for batch, small_batch in (([15, 0], [1]), ([0, 3], []), ([15], [1])):
        session.run([train_op, small_train_op], {ids: batch, positions: small_batch})
        assert_frozen(session.run(table))
        assert_same(session.run(table)[14:], session.run(small))
    assert (session.run(table)[15] != 15).all()


def test_optimizer_for_ref_variables_alone_is_told_what_to_do(session):
    class Steps(tf.train.Optimizer):
        def _apply_dense(self, gradient, variable):
            return tf.assign_sub(variable, 0.5 * gradient)

        def _apply_sparse(self, gradient, variable):
            return self._apply_dense(tf.convert_to_tensor(gradient), variable)

    with tf.variable_scope("", use_resource=False):
        table = make_table()
    loss = lookup_loss(table, [15, 0])
    with pytest.raises(NotImplementedError, match='Steps has no update.*slots="rows" one of the'):
        TrainableRowsOptimizer(Steps(False, "Steps"), {table: SUFFIX}, "full").minimize(loss)
    train_op = TrainableRowsOptimizer(Steps(False, "Steps"), {table: SUFFIX}).minimize(loss)
    initialize(session)
    session.run(train_op)
    assert_frozen(session.run(table))
    np.testing.assert_array_equal(session.run(table)[15], [0.5, 0.5])


def test_strategy_is_refused_by_name_with_the_way_that_works(slots):
    with tf.Graph().as_default():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0"])

        def step():
            table = make_table(counting_rows(SIZE))
            optimizer = TrainableRowsOptimizer(adam(), {table: SUFFIX}, slots)
            return optimizer.minimize(lookup_loss(table, [15]))

        with strategy.scope():
            with pytest.raises(ValueError, match="under MirroredStrategy.*tf1_embed.get_grown_tab"):
                strategy.extended.call_for_each_replica(step)


@pytest.mark.parametrize("use_locking", [False, True])
@pytest.mark.parametrize("make_optimizer", [sgd, adam])
def test_locking(session, slots, use_locking, make_optimizer):
    value = _train_wrapped(
        session,
        lambda table: TrainableRowsOptimizer(
            make_optimizer(), {table: SUFFIX}, slots, use_locking=use_locking
        ),
    )
    scatters = [each for each in session.graph.get_operations() if each.type == "ScatterUpdate"]
    to_table = [each for each in scatters if each.inputs[0].op.name == "table"]
    assert all(each.get_attr("use_locking") == use_locking for each in to_table)
    assert np.isfinite(value[14:]).all()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_replicas_in_lockstep(graph, variables):
    environment = {name: os.environ.pop(name) for name in list(os.environ) if "proxy" in name}
    try:
        server = tf.train.Server.create_local_server()
        table = make_table()
        wrapped = TrainableRowsOptimizer(momentum(), {table: SUFFIX})
        optimizer = tf.train.SyncReplicasOptimizer(wrapped, 1, 1)
        step = tf.train.get_or_create_global_step()
        train_op = optimizer.minimize(lookup_loss(table, [15, 0]), step, var_list=[table])
        hook = optimizer.make_session_run_hook(True, num_tokens=0)
        config = tf.ConfigProto(operation_timeout_in_ms=60000)
        with tf.train.MonitoredTrainingSession(
            server.target, config=config, hooks=[hook], stop_grace_period_secs=3
        ) as session:
            for _ in range(3):
                session.run(train_op)
            value, steps = session.run([table, step])
    finally:
        os.environ.update(environment)
    assert steps == 3
    assert_frozen(value)
    assert (value[15] != 15).all()
    np.testing.assert_array_equal(value[[14, 16, 17]], special_value()[[14, 16, 17]])


@pytest.mark.skipif(not hasattr(tf, "xla"), reason="TensorFlow 1.13 has no tf.xla")
@pytest.mark.parametrize("form", ["sparse", "dense"])
@pytest.mark.parametrize("make_optimizer", [sgd, adam])
def test_step_compiled_by_xla(session, form, make_optimizer):
    table = make_table(use_resource=True)
    wrapped = TrainableRowsOptimizer(make_optimizer(), {table: SUFFIX})

    def step():
        loss = lookup_loss(table, [15, 0, 15]) if form == "sparse" else tf.reduce_sum(table)
        with tf.control_dependencies([wrapped.minimize(loss, var_list=[table])]):
            return tf.constant(0)

    [output] = tf.xla.experimental.compile(step)
    initialize(session)
    for _ in range(2):
        session.run(output)
    value = session.run(table)
    assert_frozen(value)
    assert (value[15] != 15).all()


# Cost: nothing of the size of the table.


@pytest.mark.parametrize("optimizer", ["gradient_descent", "momentum", "adam", "ftrl", "rmsprop"])
@pytest.mark.parametrize(
    "rows", [Rows.range(900, 1000, size=1000), Rows.of(range(0, 1000, 9), 1000)]
)
def test_step_makes_no_tensor_of_the_size_of_the_table(session, variables, optimizer, rows):
    table = make_table(np.zeros([1000, 2], np.float32))
    ids = tf.placeholder(tf.int32, [None])
    wrapped = TrainableRowsOptimizer(OPTIMIZERS[optimizer](), {table: rows})
    train_op = wrapped.minimize(lookup_loss(table, ids))
    initialize(session)
    assert makers_of_large_tensors(session, train_op, {ids: [1, 900, 2, 999]}) == []


SPARSE = ["gradient_descent", "momentum", "adagrad", "adadelta", "ftrl", "rmsprop"]
SPARSE += [name for name in CONTRIB if "lazy" in name]
SPARSE += [f"keras_{name}" for name in ("adadelta", "adagrad", "ftrl", "sgd_nesterov") if KERAS]


@pytest.mark.parametrize("optimizer", SPARSE)
def test_step_of_an_update_by_slices_makes_nothing_of_the_size_of_the_new_rows(
    session, variables, optimizer
):
    if optimizer in KERAS and variables == "ref":
        pytest.skip("they fail on ref variables by themselves")
    table = make_table(np.zeros([1000, 2], np.float32))
    ids = tf.placeholder(tf.int32, [None])
    make_optimizer = {**OPTIMIZERS, **CONTRIB}[optimizer]
    wrapped = TrainableRowsOptimizer(make_optimizer(), {table: Rows.range(100, 1000, size=1000)})
    train_op = wrapped.minimize(lookup_loss(table, ids))
    initialize(session)
    assert makers_of_large_tensors(session, train_op, {ids: [1, 900, 2, 999]}) == []


def makers_of_large_tensors(session, train_op, feed, size=1000):
    """Returns the names of what makes tensors of so many numbers in a step."""
    metadata = tf.RunMetadata()
    trace = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
    session.run(train_op, feed, trace, metadata)
    outputs = [
        (node.node_name, output.tensor_description)
        for device in metadata.step_stats.dev_stats
        for node in device.node_stats
        for output in node.output
    ]
    assert len(outputs) > 10
    # A ref variable is itself an output, also of those that write it; its memory is no copy.
    names = {each.op.name for each in tf.global_variables()}
    own = {each.allocation_description.ptr for name, each in outputs if name in names}
    return [
        name
        for name, each in outputs
        if np.prod([dim.size for dim in each.shape.dim]) >= size
        and each.allocation_description.ptr not in own
    ]


@pytest.mark.parametrize("slots_of", ["rows", "full"])
def test_nothing_of_the_size_of_the_table_enters_the_graph(graph, variables, slots_of):
    table = tf.get_variable("table", [100000, 8], initializer=tf.zeros_initializer())
    rows = Rows.range(90000, 100000, size=100000)
    wrapped = TrainableRowsOptimizer(adam(), {table: rows}, slots_of)
    wrapped.minimize(lookup_loss(table, [95000, 3]))
    assert graph.as_graph_def().ByteSize() < 200000


# What it says of itself.


def test_summary_and_repr_say_what_trains_and_what_that_saves(graph):
    table = tf.get_variable("model/entities", [1000, 4])
    tf.get_variable("model/weights", [4, 2])
    optimizer = TrainableRowsOptimizer(adam(), {"model/ent*": range(990, 1000)}, others="frozen")
    assert "before" not in repr(optimizer)
    described = (
        "TrainableRowsOptimizer of AdamOptimizer, {model/ent*: range(990, 1000)}, slots='rows', "
        "others='frozen'"
    )
    assert repr(optimizer) == f"<{described}>"
    assert "0 bytes" in optimizer.summary()
    optimizer.minimize(lookup_loss(table, [995]))
    assert optimizer.summary().splitlines() == [
        described,
        "table           trainable rows  frozen rows      slots",
        "model/entities              10          990  320 bytes",
        "other trainable variables, 1: frozen",
        "bytes of slots saved: 31,680",
    ]


# Bad input.


def test_gathered_slice_is_no_variable_and_the_error_says_what_to_do(graph, variables):
    vectors = tf.nn.embedding_lookup(make_table(), [1, 2])
    with pytest.raises(TypeError, match="expected a variable.*slice cannot be trained.*Rows.of"):
        TrainableRowsOptimizer(sgd(), {vectors: SUFFIX})


def test_rows_must_be_rows_of_the_table(graph, variables):
    table = make_table()
    with pytest.raises(TypeError, match=r"`rows of variable 'table'` must be Rows.*got 'new'"):
        TrainableRowsOptimizer(sgd(), {table: "new"})
    with pytest.raises(ValueError, match=r"`rows of variable 'table'` must be ids in \[0, 18\)"):
        TrainableRowsOptimizer(sgd(), {table: [18]})
    with pytest.raises(ValueError, match="'table' has 18 rows on axis 0.* of a table of 19"):
        TrainableRowsOptimizer(sgd(), {table: Rows.range(0, 5, size=19)})
    with pytest.raises(ValueError, match="'table' has 2 rows on axis 1.* of a table of 18"):
        TrainableRowsOptimizer(sgd(), {table: SUFFIX}, axis=1)
    with pytest.raises(ValueError, match="`axis` of variable 'table'.* cannot be 2"):
        TrainableRowsOptimizer(sgd(), {table: SUFFIX}, axis=2)


@pytest.mark.parametrize("make_optimizer", [sgd, adam])
def test_loss_that_does_not_touch_a_table_trains_the_rest(
    session, variables, slots, make_optimizer
):
    table, other = make_table(), make_table(counting_rows(3), "other")
    optimizer = TrainableRowsOptimizer(make_optimizer(), {table: SUFFIX}, slots)
    train_op = optimizer.minimize(tf.reduce_sum(other))
    both = lookup_loss(table, [15]) + tf.reduce_sum(other)
    only_other = optimizer.minimize(both, var_list=[other])
    with pytest.raises(ValueError, match="never changes 'table', of which 4 rows are to train"):
        optimizer.check_train_op(train_op)
    optimizer.check_train_op(optimizer.minimize(lookup_loss(table, [15, 0])))
    initialize(session)
    session.run([train_op, only_other])
    assert_same(session.run(table), special_value())
    assert (session.run(other) < counting_rows(3)).all()


def test_no_gradient_at_all_is_an_error(graph, variables):
    table = make_table()
    optimizer = TrainableRowsOptimizer(sgd(), {table: SUFFIX})
    with pytest.raises(ValueError, match="`grads_and_vars` has no gradient for any variable"):
        optimizer.apply_gradients([(None, table)])
    with pytest.raises(ValueError, match="`grads_and_vars` has no gradient for any variable"):
        optimizer.apply_gradients([])


@pytest.mark.parametrize("call", ["minimize", "compute_gradients"])
def test_table_that_does_not_train_is_an_error_that_lists_those_that_do(graph, variables, call):
    table = make_table(trainable=False)
    other, another = (make_table(counting_rows(3), name) for name in ("other", "another"))
    loss = lookup_loss(table, [15]) + tf.reduce_sum(other + another)
    optimizer = TrainableRowsOptimizer(sgd(), {table: SUFFIX})
    with pytest.raises(ValueError, match="'another', 'other'; it was made with `trainable=False`"):
        getattr(optimizer, call)(loss)


def test_table_wrapped_twice_is_an_error(graph, variables):
    table, other = make_table(), make_table(name="other")
    inner = TrainableRowsOptimizer(sgd(), {table: SUFFIX})
    with pytest.raises(ValueError, match="'table' is wrapped twice.*one TrainableRowsOptimizer"):
        TrainableRowsOptimizer(inner, {table: SUFFIX})
    middle = TrainableRowsOptimizer(inner, {other: SUFFIX})
    with pytest.raises(ValueError, match="'table' is wrapped twice"):
        TrainableRowsOptimizer(middle, {table: SUFFIX})


def test_tables_wrapped_one_by_one(session, variables):
    table, other = make_table(), make_table(name="other")
    inner = TrainableRowsOptimizer(adam(), {table: SUFFIX})
    outer = TrainableRowsOptimizer(inner, {other: SUFFIX})
    train_op = outer.minimize(lookup_loss(table, [15, 1]) + lookup_loss(other, [16, 2]))
    initialize(session)
    for _ in range(3):
        session.run(train_op)
    for each, moved in ((table, 15), (other, 16)):
        assert_frozen(session.run(each))
        assert (session.run(each)[moved] != moved).all()


def test_partition_and_its_variable_are_one_table(graph, variables):
    table = tf.get_variable("table", [SIZE, 2], partitioner=tf.fixed_size_partitioner(1))
    with pytest.raises(ValueError, match="'table/part_0' is wrapped twice"):
        TrainableRowsOptimizer(sgd(), {table: SUFFIX, list(table)[0]: SUFFIX})


@pytest.mark.parametrize("strategy", [None, "modulo"])
def test_partitioned_table_without_a_strategy_is_an_error(graph, variables, strategy):
    table = tf.get_variable("table", [SIZE, 2], partitioner=tf.fixed_size_partitioner(3))
    with pytest.raises(ValueError, match=r"'table' has 3 partitions.*\"mod\".*\"div\""):
        TrainableRowsOptimizer(sgd(), {table: SUFFIX}, partition_strategy=strategy)


def test_rows_of_a_partitioned_table_are_checked(graph, variables):
    table = tf.get_variable("table", [SIZE, 2], partitioner=tf.fixed_size_partitioner(3))
    with pytest.raises(ValueError, match="'table' has 18 rows in 3 partitions.* a table of 19"):
        TrainableRowsOptimizer(sgd(), {table: Rows.range(0, 5, size=19)}, partition_strategy="mod")
    with pytest.raises(ValueError, match=r"`rows of variable 'table'` must be ids in \[0, 18\)"):
        TrainableRowsOptimizer(sgd(), {table: [18]}, partition_strategy="mod")


def test_others_must_be_trainable_or_frozen(graph):
    with pytest.raises(ValueError, match='`others` must be "trainable" or "frozen", got \'all\''):
        TrainableRowsOptimizer(sgd(), {make_table(): SUFFIX}, others="all")


def test_slots_must_be_rows_or_full(graph):
    with pytest.raises(ValueError, match='`slots` must be "rows" or "full", got \'all\''):
        TrainableRowsOptimizer(sgd(), {make_table(): SUFFIX}, slots="all")


@pytest.mark.parametrize("optimizer", [0.1, "adam", None])
def test_optimizer_must_be_one(graph, optimizer):
    with pytest.raises(TypeError, match="`optimizer` must be an optimizer, got"):
        TrainableRowsOptimizer(optimizer, {make_table(): SUFFIX})


def test_sync_replicas_belongs_outside(graph):
    sync = tf.train.SyncReplicasOptimizer(sgd(), 1, 1)
    with pytest.raises(ValueError, match=r"SyncReplicasOptimizer\(TrainableRowsOptimizer\(...\)\)"):
        TrainableRowsOptimizer(sync, {make_table(): SUFFIX})


@pytest.mark.skipif(bool(KERAS), reason="these Keras optimizers work")
@pytest.mark.skipif(
    not hasattr(tf.keras.optimizers.Optimizer, "apply_gradients"),
    reason="TensorFlow 1.13 trains Keras models alone with its Keras optimizers",
)
def test_optimizers_of_keras_that_fail_in_graph_mode_are_refused(graph):
    optimizer = tf.keras.optimizers.Adam(0.1)
    with pytest.raises(ValueError, match="Adam of keras.* does nothing in graph mode.* tf.train"):
        TrainableRowsOptimizer(optimizer, {make_table(): SUFFIX})


def test_optimizer_that_does_nothing_is_refused(graph, variables, slots):
    class Idle(tf.train.Optimizer):
        def apply_gradients(self, grads_and_vars, global_step=None, name=None):
            return tf.no_op()

    table = make_table()
    optimizer = TrainableRowsOptimizer(Idle(False, "Idle"), {table: SUFFIX}, slots)
    with pytest.raises(ValueError, match="Idle cannot be wrapped: it does nothing in graph mode"):
        optimizer.minimize(lookup_loss(table, [15]))


def test_slots_without_rows_are_refused_if_they_are_to_be_full(graph, variables):
    class Statistics(tf.train.GradientDescentOptimizer):
        def _create_slots(self, var_list):
            for each in var_list:
                norms = tf.zeros([each.shape.as_list()[0], 7])
                self._get_or_make_slot(each, norms, "norms", self._name)

    table = make_table()
    optimizer = TrainableRowsOptimizer(Statistics(0.1), {table: SUFFIX}, slots="full")
    with pytest.raises(ValueError, match=r"Statistics cannot.*of shape \[4, 7\].*slots=\"rows\""):
        optimizer.minimize(lookup_loss(table, [15]))


def test_epsilon_that_is_zero_in_float16_is_refused():
    with tf.Graph().as_default():
        table = tf.get_variable("table", [4, 2], tf.float16)
        loss = tf.reduce_sum(tf.gather(table, [3]))
        optimizer = TrainableRowsOptimizer(
            tf.train.AdamOptimizer(), {table: Rows.range(2, 4, size=4)}
        )
        with pytest.raises(ValueError, match="1e-08, which is 0 in float16.*larger epsilon"):
            optimizer.minimize(loss)


def test_step_without_any_rows_or_gradients_does_nothing_but_count():
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("table", [4, 2])
        tf.get_variable("unused", [3])
        optimizer = TrainableRowsOptimizer(tf.train.AdamOptimizer(), {table: Rows.of([], size=4)})
        global_step = tf.train.get_or_create_global_step()
        train_op = optimizer.minimize(tf.reduce_sum(tf.gather(table, [3])), global_step)
        session.run(tf.global_variables_initializer())
        before = session.run(table)
        session.run(train_op)
        assert session.run(table).tobytes() == before.tobytes()
        assert session.run(global_step) == 1
