"""Tables by their names: patterns, partitions, axes, and optimizers made before the variables."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.tables import counting_rows
from tf1_embed import Rows, TrainableRowsOptimizer

NEW_ROWS = Rows.range(4, 6, size=6)


def sgd():
    return tf.train.GradientDescentOptimizer(0.5)


def adam():
    return tf.train.AdamOptimizer(0.1)


def build(partitions=None):
    """Returns the tables of a model, and a loss that touches rows 0 and 5 of each."""
    partitioner = tf.fixed_size_partitioner(partitions) if partitions else None
    ones = tf.ones_initializer()
    with tf.variable_scope("model"):
        tables = [
            tf.get_variable(name, [6, 2], initializer=ones, partitioner=partitioner)
            for name in ("entities", "entity_bias", "relations")
        ]
    loss = sum(tf.reduce_sum(tf.nn.embedding_lookup(each, [0, 5])) for each in tables)
    return tables, loss


def moved(session, tables, train_op):
    """Returns which rows of each table a step moves."""
    session.run(tf.global_variables_initializer())
    session.run(train_op)
    read = [tf.nn.embedding_lookup(each, np.arange(6)) for each in tables]
    return [np.flatnonzero((each != 1).any(axis=1)).tolist() for each in session.run(read)]


@pytest.mark.parametrize("slots", ["rows", "full"])
@pytest.mark.parametrize("partitions", [None, 2])
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["model/entities"], [[5], [0, 5], [0, 5]]),
        (["model/ent*"], [[5], [5], [0, 5]]),
        (["model/entities", "*/rel*"], [[5], [0, 5], [5]]),
        (["model/entities:0"], [[5], [0, 5], [0, 5]]),
    ],
)
def test_names_are_found_when_gradients_are_computed(session, keys, expected, partitions, slots):
    strategy = "mod" if partitions else None
    rows = dict.fromkeys(keys, NEW_ROWS)
    optimizer = TrainableRowsOptimizer(adam(), rows, slots, partition_strategy=strategy)
    tables, loss = build(partitions)
    assert moved(session, tables, optimizer.minimize(loss)) == expected


@pytest.mark.parametrize("slots", ["rows", "full"])
@pytest.mark.parametrize("base", [sgd, adam])
def test_one_optimizer_finds_its_tables_and_has_its_slots_in_every_graph(base, slots):
    optimizer, names = TrainableRowsOptimizer(base(), {"model/ent*": [5]}, slots), []
    for _ in range(2):
        with tf.Graph().as_default(), tf.Session() as session:
            tables, loss = build()
            assert moved(session, tables, optimizer.minimize(loss)) == [[5], [5], [0, 5]]
            names.append(sorted(each.op.name for each in tf.global_variables()))
    assert names[0] == names[1]


def test_pattern_finds_tables_that_come_later(session):
    optimizer = TrainableRowsOptimizer(sgd(), {"*": [5]})
    tables, loss = build()
    optimizer.minimize(loss)
    late = tf.get_variable("late", [6, 2], initializer=tf.ones_initializer())
    train_op = optimizer.minimize(loss + tf.reduce_sum(late))
    assert moved(session, tables + [late], train_op) == [[5]] * 4


def test_pattern_passes_over_slots_and_what_does_not_train(session):
    tables, loss = build()
    adam().minimize(loss)
    tf.get_variable("model/entries", [6, 2], trainable=False)
    optimizer = TrainableRowsOptimizer(sgd(), {"model/ent*": [5]})
    assert moved(session, tables, optimizer.minimize(loss)) == [[5], [5], [0, 5]]


@pytest.mark.parametrize("axis", [{"projection": 1}, {"proj*": 1}, 0])
def test_axis_of_a_name(session, axis):
    key = "projection" if axis else "projection:1"
    # Square, so that no error of shapes helps.
    optimizer = TrainableRowsOptimizer(sgd(), {key: [1], "table": [2]}, axis=axis)
    variables = [
        tf.get_variable(name, [3, 3], initializer=tf.zeros_initializer())
        for name in ("table", "projection")
    ]
    train_op = optimizer.minimize(tf.reduce_sum(variables[0] + variables[1]))
    session.run(tf.global_variables_initializer())
    session.run(train_op)
    table, projection = session.run(variables)
    assert table.tolist() == [[0] * 3, [0] * 3, [-0.5] * 3]
    assert projection.tolist() == [[0, -0.5, 0]] * 3


# Bad input.


@pytest.mark.parametrize("call", ["minimize", "apply_gradients", "summary", "check_train_op"])
def test_name_that_matches_nothing_lists_the_trainable_variables(graph, call):
    _, loss = build()
    optimizer = TrainableRowsOptimizer(sgd(), {"entities": [5]})
    train_op = sgd().minimize(loss)
    arguments = {
        "minimize": [loss],
        "apply_gradients": [sgd().compute_gradients(loss)],
        "summary": [],
        "check_train_op": [train_op],
    }
    message = "`trainable_rows` has 'entities', .*: model/entities, model/entity_bias, model/rel"
    with pytest.raises(KeyError, match=message):
        getattr(optimizer, call)(*arguments[call])


def test_table_that_two_names_mean_is_refused(graph):
    _, loss = build()
    for rows in ({"model/ent*": [5], "model/entities": [4]}, {"model/*": [5], "*/entities": [5]}):
        with pytest.raises(ValueError, match="'model/entities' is wrapped twice"):
            TrainableRowsOptimizer(sgd(), rows).minimize(loss)


def test_axis_that_is_of_no_table_or_contradicts_is_refused(graph):
    _, loss = build()
    with pytest.raises(KeyError, match="`axis` has 'projection', .*whose rows are given: model/e"):
        optimizer = TrainableRowsOptimizer(sgd(), {"model/entities": [5]}, axis={"projection": 1})
        optimizer.minimize(loss)
    with pytest.raises(ValueError, match="`axis` of variable 'model/entities' is both 0 and 1"):
        TrainableRowsOptimizer(sgd(), {"model/entities:0": [1]}, axis=1).minimize(loss)


def test_number_has_no_rows_that_could_train(graph):
    scale = tf.get_variable("scale", [])
    with pytest.raises(ValueError, match="'scale' is a number, and has no rows that could train"):
        TrainableRowsOptimizer(sgd(), {scale: [0]})
    TrainableRowsOptimizer(sgd(), {scale: []})


@pytest.mark.skipif(not tf.executing_eagerly(), reason="TensorFlow 1 is in graph mode")
def test_eager_mode_is_an_error():
    variable = tf.Variable(counting_rows(6))
    with pytest.raises(RuntimeError, match="graph mode"):
        TrainableRowsOptimizer(sgd(), {"Variable": [5]}).minimize(lambda: variable)
