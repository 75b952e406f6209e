"""The audit, held against graphs that are run: what it reports moves, what it does not stays."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.optimizers import CONTRIB, CUSTOM, KERAS, TRAIN, apply_gradients
from support.tables import bits, counting_rows, special_rows
from tf1_embed import Rows, TrainableRowsOptimizer, freeze_rows, project_rows
from tf1_embed.auditing import audit

# The corpus: every optimizer, form of gradient and kind of variable, with warm slots and special
# rows. Gradients do not depend on what the table holds, so that a NaN stays in its row.

NUM_FROZEN, NUM_ROWS, DIM = 18, 22, 2
FROZEN = Rows.range(0, NUM_FROZEN, size=NUM_ROWS)
MASK = np.float32(np.arange(NUM_ROWS) >= NUM_FROZEN)[:, np.newaxis]
VALUES = np.concatenate([special_rows(dim=DIM), counting_rows(NUM_ROWS - 14)])

ORDINARY = slice(14, NUM_FROZEN)  # of the frozen rows

ALL_OPTIMIZERS = {**TRAIN, **CUSTOM, **KERAS, **CONTRIB}
# They have slots without rows, or none that can be told from others.
NO_FULL_SLOTS = ("adam_weight_decay", "contrib_shampoo")
GRID = [
    (name, kind)
    for name in sorted(ALL_OPTIMIZERS)
    for kind in ("ref", "resource")
    # Optimizers of Keras take resource variables; those of contrib take their time.
    if kind == "resource" or name not in {**KERAS, **CONTRIB}
]


def looked_up(table, ids):
    return tf.reduce_sum(tf.gather(table, ids) * [3.0, -2.0])


def multiplied(table, ids):
    return tf.reduce_sum(tf.matmul(tf.ones([5, DIM]), table, transpose_b=True) * 0.1)


def mixed(table, ids):
    return multiplied(MASK * table + tf.stop_gradient((1 - MASK) * table), ids)


def as_it_is(pairs, table):
    return pairs


def dropped(pairs, table):
    return freeze_rows(pairs, {table: FROZEN})


def dropped_by_hand(pairs, table):
    [(gradient, _)] = pairs
    kept = gradient.indices >= NUM_FROZEN
    values, indices = (tf.boolean_mask(each, kept) for each in (gradient.values, gradient.indices))
    return [(tf.IndexedSlices(values, indices, gradient.dense_shape), table)]


def times_zero(pairs, table):
    [(gradient, _)] = pairs
    if not isinstance(gradient, tf.IndexedSlices):
        return [(gradient * MASK, table)]
    values = gradient.values * tf.gather(MASK, gradient.indices)
    return [(tf.IndexedSlices(values, gradient.indices, gradient.dense_shape), table)]


# From a name to the loss, what is done to its gradient, the slots of a wrapped optimizer.
FORMS = {
    "slices": (looked_up, as_it_is, None),
    "slices_dropped": (looked_up, dropped, None),
    "slices_dropped_by_hand": (looked_up, dropped_by_hand, None),
    "slices_times_zero": (looked_up, times_zero, None),
    "slices_wrapped": (looked_up, as_it_is, "rows"),
    "dense": (multiplied, as_it_is, None),
    "dense_dropped": (multiplied, dropped, None),
    "dense_times_zero": (multiplied, times_zero, None),
    "dense_wrapped_full": (multiplied, as_it_is, "full"),
    "mixed": (mixed, as_it_is, None),
}


class Corpus:
    """A table for each form of gradient, under one optimizer."""

    def __init__(self, name, kind):
        ids = tf.placeholder(tf.int32, [None])
        self.tables, warm, self.train_ops = {}, [], {}
        with tf.variable_scope("", use_resource=kind == "resource"):
            step = tf.train.get_or_create_global_step()
            for form, (loss, change, slots) in FORMS.items():
                if slots == "full" and name in NO_FULL_SLOTS:
                    continue
                table = tf.get_variable(form, initializer=VALUES)
                optimizer = ALL_OPTIMIZERS[name]()
                pairs = [(tf.gradients(loss(table, ids), table)[0], table)]
                with tf.variable_scope("", reuse=tf.AUTO_REUSE):
                    warm.append(apply_gradients(optimizer, [(tf.ones_like(table), table)], step))
                    if slots:
                        optimizer = TrainableRowsOptimizer(optimizer, {table: ~FROZEN}, slots)
                    train_op = apply_gradients(optimizer, change(pairs, table), step)
                self.tables[form], self.train_ops[form] = table, train_op
        tables = list(self.tables.values())
        initialize = tf.global_variables_initializer()
        feed = {ids: np.arange(NUM_ROWS)}
        config = tf.ConfigProto()
        # Rewriting the graph takes longer than running it.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.Session(config=config) as session:
            session.run(initialize)
            self.cold = self._train(session, feed)
            session.run(initialize)
            for _ in range(2):
                session.run(warm)
            session.run([each.initializer for each in tables])
            self.warm = self._train(session, feed)

    def _train(self, session, feed):
        for _ in range(2):
            session.run(self.train_ops, feed)
        return session.run(self.tables)

    def names(self, form):
        """Returns the names of what the audit finds."""
        table = self.tables[form]
        with table.graph.as_default():
            return {each.name for each in audit(self.train_ops[form], {table: FROZEN})}


def moved(after, rows=slice(0, NUM_FROZEN)):
    return bool((bits(after[rows]) != bits(VALUES[rows])).any())


@pytest.mark.parametrize("name, kind", GRID)
def test_what_moves_is_reported_and_what_stays_is_not(name, kind):
    with tf.Graph().as_default():
        corpus = Corpus(name, kind)
    for form in corpus.tables:
        names, cold, warm = corpus.names(form), corpus.cold[form], corpus.warm[form]
        assert moved(warm, slice(NUM_FROZEN, None)), "a trainable row must move"
        assert moved(warm) == bool(names), (form, names)
        # Which finding it is, is told by the rows without special bits. All is finite here.
        names -= {"special-bits-move", "moves-if-not-finite"}
        assert moved(warm, ORDINARY) == bool(names), (form, names)
        if names == {"optimizer-moves-when-warm"}:
            assert not moved(cold, ORDINARY), form
        elif names and name in {**TRAIN, **CUSTOM}:
            # What others compute by hand is not told apart so finely.
            assert moved(cold, ORDINARY), (form, names)


# Other ways to write a table. Each is run once, and compared with what the audit finds.


def sgd(table, ids, rows=None):
    loss = looked_up(table, ids)
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    if rows is None:
        return optimizer.minimize(loss, var_list=[table])
    return TrainableRowsOptimizer(optimizer, {table: rows}).minimize(loss, var_list=[table])


def sgd_of_slices(table, ids, keep):
    """Trains on what `keep` makes of the gradient's values and indices."""
    gradient = tf.gradients(looked_up(table, ids), table)[0]
    slices = tf.IndexedSlices(*keep(gradient.values, gradient.indices), gradient.dense_shape)
    return tf.train.GradientDescentOptimizer(0.1).apply_gradients([(slices, table)])


def kept_where(condition):
    def keep(values, indices):
        kept = tf.where(condition(indices))[:, 0]
        return tf.gather(values, kept), tf.gather(indices, kept)

    return keep


def partitioned(values, indices):
    parts = tf.cast(indices >= NUM_FROZEN, tf.int32)
    return [tf.dynamic_partition(each, parts, 2)[1] for each in (values, indices)]


def variable_mask(values, indices):
    mask = tf.get_variable("mask", initializer=MASK, trainable=False)
    return values * tf.gather(mask, indices), indices


def several_lookups(table, ids, rows):
    loss = looked_up(table, ids) + looked_up(table, tf.reshape(ids, [2, -1])[:, 1])
    pairs = tf.train.GradientDescentOptimizer(0.1).compute_gradients(loss, [table])
    pairs = freeze_rows(pairs, {table: rows}, sum_duplicates=True)
    pairs = [(tf.clip_by_norm(pairs[0][0].values, 1.0), *pairs)]
    return tf.train.GradientDescentOptimizer(0.1).apply_gradients([pairs[0][1]])


def after(first, second):
    def build(table, ids):
        with tf.control_dependencies([first(table, ids)]):
            return second(table, ids)

    return build


def clipped(table):
    return tf.clip_by_norm(table, 0.5, axes=[1])


def moving_average(table, ids):
    averages = tf.train.ExponentialMovingAverage(0.5)
    with tf.control_dependencies([averages.apply([table])]):
        return tf.no_op()


def moving_average_assigned(table, ids):
    averages = tf.train.ExponentialMovingAverage(0.5)
    with tf.control_dependencies([averages.apply([table])]):
        return tf.assign(table, tf.identity(averages.average(table)) * 2)


def mix(table, rows):
    return tf.where(np.arange(NUM_ROWS) < NUM_FROZEN, table, rows)


def restored(table, ids):
    before = tf.gather(table, FROZEN.ids())
    with tf.control_dependencies([before]):
        step = sgd(table, ids)
    with tf.control_dependencies([step]):
        return tf.scatter_update(table, FROZEN.ids(), before)


def new_rows(table, ids=None):
    return tf.fill([NUM_ROWS - NUM_FROZEN, DIM], 0.25)


NEW_IDS = list(range(NUM_FROZEN, NUM_ROWS))

# From a name to how it is built and the findings about it.
WRITES = {
    "nothing": (lambda table, ids: looked_up(table, ids).op, []),
    "gradients of another variable": (
        lambda table, ids: tf.train.AdamOptimizer().minimize(
            looked_up(table * tf.get_variable("scale", [DIM]), ids),
            var_list=[tf.global_variables()[-1]],
        ),
        [],
    ),
    "ids that are all new": (lambda table, ids: sgd(table, NEW_IDS), []),
    "ids that are not all new": (
        lambda table, ids: sgd(table, NEW_IDS + [3]),
        ["gradient-of-frozen-rows"],
    ),
    "wrapped": (lambda table, ids: sgd(table, ids, ~FROZEN), []),
    "wrapped with a frozen row": (
        lambda table, ids: sgd(table, ids, Rows.range(NUM_FROZEN - 1, NUM_ROWS, NUM_ROWS)),
        ["gradient-of-frozen-rows"],
    ),
    "several lookups, dropped": (lambda table, ids: several_lookups(table, ids, FROZEN), []),
    "several lookups, one row kept": (
        lambda table, ids: several_lookups(table, ids, Rows.of(np.arange(1, 17), NUM_ROWS)),
        ["gradient-of-frozen-rows"],
    ),
    "where": (
        lambda table, ids: sgd_of_slices(table, ids, kept_where(lambda i: i > NUM_FROZEN - 1)),
        [],
    ),
    "where, off by one": (
        lambda table, ids: sgd_of_slices(table, ids, kept_where(lambda i: i >= NUM_FROZEN - 1)),
        ["gradient-of-frozen-rows"],
    ),
    "where of a table": (
        lambda table, ids: sgd_of_slices(
            table, ids, kept_where(lambda i: tf.gather(MASK[:, 0] > 0, i))
        ),
        [],
    ),
    "where of the place in the batch": (
        lambda table, ids: sgd_of_slices(
            table, ids[::-1], kept_where(lambda i: tf.range(tf.size(i)) >= NUM_FROZEN)
        ),
        ["gradient-of-frozen-rows"],
    ),
    "where of constant places in the batch": (
        lambda table, ids: sgd_of_slices(
            table, ids[::-1], kept_where(lambda i: np.arange(NUM_ROWS) >= NUM_FROZEN)
        ),
        ["gradient-of-frozen-rows"],
    ),
    "where of as many constants as there are frozen rows": (
        lambda table, ids: sgd_of_slices(
            table, ids, kept_where(lambda i: tf.constant([False] * 17 + [True]))
        ),
        ["gradient-of-frozen-rows"],
    ),
    "where of rows of ids": (
        lambda table, ids: sgd(
            table,
            tf.gather(ids, tf.where(tf.logical_not(tf.reshape(ids, [-1, 2]) < NUM_FROZEN))[:, 0]),
        ),
        ["gradient-of-frozen-rows"],
    ),
    "places of unique ids": (
        lambda table, ids: sgd(table, tf.unique(tf.boolean_mask(ids, ids >= NUM_FROZEN))[1]),
        ["gradient-of-frozen-rows"],
    ),
    "dynamic_partition": (lambda table, ids: sgd_of_slices(table, ids, partitioned), []),
    "a mask in a variable": (
        lambda table, ids: sgd_of_slices(table, ids, variable_mask),
        ["gradient-of-frozen-rows"],
    ),
    "frozen ids sent to a new row": (
        lambda table, ids: sgd(
            table, tf.where(ids >= NUM_FROZEN, ids, tf.fill(tf.shape(ids), NUM_FROZEN))
        ),
        [],
    ),
    "a slice of the table": (
        lambda table, ids: tf.train.GradientDescentOptimizer(0.1).minimize(
            tf.reduce_sum(table[NUM_FROZEN:]), var_list=[table]
        ),
        ["special-bits-move"],
    ),
    "a slice that takes a frozen row": (
        lambda table, ids: tf.train.GradientDescentOptimizer(0.1).minimize(
            tf.reduce_sum(table[NUM_FROZEN - 1 :]), var_list=[table]
        ),
        ["dense-gradient"],
    ),
    "a projection": (lambda table, ids: tf.assign(table, clipped(table)), ["projection"]),
    "a projection after a step": (
        after(
            lambda table, ids: sgd(table, ids, ~FROZEN),
            lambda table, ids: tf.assign(table, clipped(table)),
        ),
        ["projection"],
    ),
    "a projection of new rows": (
        lambda table, ids: project_rows(table, ~FROZEN, lambda rows: tf.clip_by_norm(rows, 0.5)),
        [],
    ),
    "a projection, selected": (
        after(
            lambda table, ids: sgd(table, ids, ~FROZEN),
            lambda table, ids: tf.assign(table, mix(table, clipped(table))),
        ),
        [],
    ),
    "a projection, multiplied": (
        lambda table, ids: tf.assign(table, (1 - MASK) * table + MASK * tf.ones_like(table)),
        ["special-bits-move"],
    ),
    "moving averages": (moving_average, []),
    "moving averages, assigned": (moving_average_assigned, ["moving-average-assigned"]),
    "assign": (lambda table, ids: tf.assign(table, tf.zeros_like(table)), ["assign"]),
    "assign_add of new rows": (
        lambda table, ids: tf.assign_add(table, tf.pad(new_rows(table), [[NUM_FROZEN, 0], [0, 0]])),
        ["special-bits-move"],
    ),
    "sliced assign": (lambda table, ids: table[NUM_FROZEN:].assign(new_rows(table)), []),
    "sliced assign from the end": (lambda table, ids: table[-4:].assign(new_rows(table)), []),
    "sliced assign of a frozen row": (
        lambda table, ids: table[NUM_FROZEN - 1 : -1].assign(new_rows(table)),
        ["assign"],
    ),
    "scatter": (lambda table, ids: tf.scatter_update(table, NEW_IDS, new_rows(table)), []),
    "scatter to frozen rows": (
        lambda table, ids: tf.scatter_update(table, ids[-6:-2], new_rows(table)),
        ["scatter"],
    ),
    "scatter of own rows": (
        lambda table, ids: tf.scatter_update(table, ids, tf.gather(table, ids)),
        [],
    ),
    "scatter_nd": (
        lambda table, ids: tf.scatter_nd_update(table, [[i] for i in NEW_IDS], new_rows(table)),
        [],
    ),
    "scatter_nd to a frozen row": (
        lambda table, ids: tf.scatter_nd_update(table, [[14]], tf.ones([1, DIM])),
        ["scatter"],
    ),
}


@pytest.mark.parametrize("case", sorted(WRITES))
def test_findings_are_those_of_the_way_in_which_the_table_is_written(variables, case):
    build, expected = WRITES[case]
    table = tf.get_variable("table", initializer=VALUES)
    ids = tf.placeholder(tf.int32, [None])
    train_op = build(table, ids)
    assert sorted(each.name for each in audit(train_op, {table: FROZEN})) == expected
    with tf.Session() as session:
        # Moving averages start from the table's values.
        session.run(table.initializer)
        session.run(tf.global_variables_initializer())
        session.run(train_op, {ids: np.arange(NUM_ROWS)})
        assert moved(session.run(table)) == bool(expected)


def test_rows_put_back_after_a_step_are_reported_though_they_look_as_before(variables):
    table = tf.get_variable("table", initializer=VALUES)
    train_op = restored(table, tf.placeholder(tf.int32, [None]))
    names = [each.name for each in audit(train_op, {table: FROZEN})]
    assert sorted(names) == ["gradient-of-frozen-rows", "restored-after-update"]


# Branches.


def in_branch(build):
    """Returns a tensor that runs what `build` returns, if a condition holds."""

    def step():
        with tf.control_dependencies([build()]):
            return tf.constant(1)

    return tf.cond(tf.placeholder(tf.bool, []), step, lambda: tf.constant(0))


@pytest.fixture
def table_in_branches(graph, control_flow):
    """A table that both kinds of branches take."""
    return tf.get_variable("table", initializer=VALUES, use_resource=True)


def test_step_in_a_branch_is_reported(table_in_branches, control_flow):
    table = table_in_branches
    train_op = in_branch(lambda: sgd(table, tf.constant([1, 2])))
    [finding] = audit(train_op, {table: FROZEN})
    assert finding.name == "gradient-of-frozen-rows"
    # What is in a body is told by what runs it.
    assert tf.get_default_graph().get_operation_by_name(finding.op).type == finding.op_type
    assert ("in its body: Resource" in finding.what) == (control_flow == "v2")


def test_branch_that_reads_a_table_is_clean(table_in_branches):
    table = table_in_branches
    assert audit(in_branch(lambda: looked_up(table, [1, 2])), {table: FROZEN}) == []


def test_wrapped_step_in_a_branch_is_clean(table_in_branches):
    table, ids = table_in_branches, tf.placeholder(tf.int32, [None])
    assert audit(in_branch(lambda: sgd(table, ids, ~FROZEN)), {table: FROZEN}) == []


# Partitions and pieces.


def partitioned_table(num_parts=3):
    return tf.get_variable(
        "table",
        [NUM_ROWS, DIM],
        partitioner=tf.fixed_size_partitioner(num_parts),
        initializer=tf.zeros_initializer(),
    )


def step_of_partitions(table, strategy, rows=None):
    ids = tf.placeholder(tf.int32, [None])
    vectors = tf.nn.embedding_lookup(table, ids, partition_strategy=strategy)
    optimizer = tf.train.AdamOptimizer()
    if rows is not None:
        optimizer = TrainableRowsOptimizer(optimizer, {table: rows}, partition_strategy=strategy)
    return optimizer.minimize(tf.reduce_sum(vectors))


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_partitions_are_clean_if_their_trainable_rows_alone_train(variables, strategy):
    table = partitioned_table()
    train_op = step_of_partitions(table, strategy, ~FROZEN)
    assert audit(train_op, {table: FROZEN}, partition_strategy=strategy) == []
    parts = tuple(table)
    assert audit(train_op, {parts: FROZEN}, partition_strategy=strategy) == []


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_partitions_that_train_are_reported_one_by_one(variables, strategy):
    table = partitioned_table()
    found = audit(step_of_partitions(table, strategy), {table: FROZEN}, partition_strategy=strategy)
    with_frozen_rows = {"mod": [0, 1, 2], "div": [0, 1, 2]}[strategy]
    assert [each.table for each in found] == [f"table/part_{i}" for i in with_frozen_rows]
    assert {each.name for each in found} == {"gradient-of-frozen-rows"}


@pytest.mark.parametrize("strategy, other", [("mod", "div"), ("div", "mod")])
def test_lookup_by_another_strategy_than_that_of_the_growth_is_reported(strategy, other):
    with tf.Graph().as_default():
        table = partitioned_table()
        train_op = step_of_partitions(table, strategy, ~FROZEN)
        names = {each.name for each in audit(train_op, {table: FROZEN}, partition_strategy=other)}
    assert "partition-strategy-disagrees" in names


def test_partition_strategy_must_be_given(graph):
    table = partitioned_table()
    with pytest.raises(ValueError, match="`partition_strategy` must say how its lookups"):
        audit(tf.no_op(), {table: FROZEN})
    with pytest.raises(ValueError, match="rows in . partitions, its Rows are of a table of 5"):
        audit(tf.no_op(), {table: Rows.range(0, 3, size=5)}, partition_strategy="div")


@pytest.mark.parametrize(
    "num_new, strategy, wrong",
    [(4, "mod", True), (4, "div", True), (18, "mod", True), (18, "div", False)],
)
def test_lookup_in_pieces_is_reported_if_ids_get_other_rows(variables, num_new, strategy, wrong):
    old = tf.get_variable("old", initializer=counting_rows(18), trainable=False)
    new = tf.get_variable("new", initializer=counting_rows(num_new, start=18))
    ids = tf.placeholder(tf.int64, [None])
    vectors = tf.nn.embedding_lookup([old, new], ids, partition_strategy=strategy)
    train_op = tf.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_sum(vectors))
    found = audit(train_op, {old: Rows.range(0, 18, size=18)})
    assert [each.name for each in found] == ["lookup-in-unequal-pieces"] * wrong
    all_ids = np.arange(18 + num_new)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        try:
            looked_up_ids = session.run(vectors, {ids: all_ids})[:, 0]
        except tf.errors.InvalidArgumentError:
            looked_up_ids = None
    assert np.array_equal(looked_up_ids, all_ids) == (not wrong)


def test_grown_table_is_clean(graph):
    table = tf1_embed.get_grown_table("table", 4, old_rows=VALUES[:18])
    vectors = tf1_embed.embedding_lookup(table, tf.placeholder(tf.int32, [None]))
    train_op = tf.train.AdamOptimizer().minimize(tf.reduce_sum(vectors))
    assert audit(train_op, {table.frozen: Rows.range(0, 18, size=18)}) == []


# What else is found.


def test_constant_of_the_size_of_the_table_is_reported(graph):
    rows = np.zeros([1 << 16, 8], np.float32)
    rows[-1] = 1  # A constant of one value is stored as one.
    table = tf.get_variable("table", initializer=rows)
    smaller = tf.constant(rows[1:])
    [finding] = audit(tf.no_op(), {table: Rows.range(0, 9, size=len(rows))})
    assert finding.name == "constant-of-table-size"
    assert finding.op != smaller.op.name


def test_epsilon_that_underflows_is_reported(graph):
    table = tf.get_variable("table", initializer=counting_rows(NUM_ROWS, dtype="float16"))
    loss = tf.reduce_sum(tf.gather(table, [1, NUM_ROWS - 1]))
    for epsilon, expected in [(1e-8, True), (1e-4, False)]:
        train_op = tf.train.AdamOptimizer(epsilon=epsilon).minimize(loss)
        names = {each.name for each in audit(train_op, {table: FROZEN})}
        assert ("epsilon-underflows" in names) == expected


def test_regulariser_of_the_whole_table_is_reported(variables):
    table = tf.get_variable("table", initializer=VALUES)
    loss = looked_up(table, [NUM_ROWS - 1]) + 0.1 * tf.nn.l2_loss(table)
    found = audit(tf.train.GradientDescentOptimizer(0.1).minimize(loss), {table: FROZEN})
    # The gradient of both: TensorFlow 1.13 makes slices of every row.
    assert {each.name for each in found} - {"gradient-of-frozen-rows", "dense-gradient"} == {
        "whole-table-regulariser"
    }
    assert "L2Loss" in {each.op_type for each in found}


def test_constraint_is_reported_as_a_projection(variables):
    table = tf.get_variable("table", initializer=VALUES, constraint=clipped)
    train_op = tf.train.GradientDescentOptimizer(0.1).minimize(multiplied(table, None))
    names = [each.name for each in audit(train_op, {table: FROZEN})]
    assert sorted(names) == ["dense-gradient", "projection"]


def test_rows_on_axis_1(variables):
    table = tf.get_variable("projection", initializer=VALUES.T.copy())
    loss = tf.reduce_sum(tf.matmul(tf.ones([3, DIM]), table))
    frozen = {table: FROZEN}
    sgd = tf.train.GradientDescentOptimizer(0.1)
    [finding] = audit(sgd.minimize(loss), frozen, axis=1)
    assert finding.name == "dense-gradient"
    pairs = freeze_rows(sgd.compute_gradients(loss), frozen, axis=1)
    [finding] = audit(sgd.apply_gradients(pairs), frozen, axis=1)
    assert finding.name == "special-bits-move"
    wrapped = TrainableRowsOptimizer(sgd, {table: ~FROZEN}, axis=1)
    assert audit(wrapped.minimize(loss), frozen, axis=1) == []


@pytest.mark.parametrize("change, found", [(as_it_is, True), (dropped, False)])
@pytest.mark.parametrize("wrap", [False, True])
def test_update_that_synchronous_replicas_leave_to_another_thread_is_seen(
    variables, wrap, change, found
):
    table = tf.get_variable("table", initializer=VALUES)
    optimizer = tf.train.AdagradOptimizer(0.1)
    if wrap:
        optimizer = TrainableRowsOptimizer(optimizer, {table: ~FROZEN})
    optimizer = tf.train.SyncReplicasOptimizer(optimizer, 1)
    step = tf.train.get_or_create_global_step()
    gradient = tf.gradients(looked_up(table, tf.placeholder(tf.int32, [None])), table)
    pairs = change([(gradient[0], table)], table)
    train_op = optimizer.apply_gradients(pairs, global_step=step)
    names = [each.name for each in audit(train_op, {table: FROZEN})]
    assert names == ["gradient-of-frozen-rows"] * (found and not wrap)
