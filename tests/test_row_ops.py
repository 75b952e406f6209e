import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.tables import bits, counting_rows, special_rows
from tf1_embed import Rows, project_rows

ROWS = [
    Rows.range(14, 20, size=20),
    Rows.range(0, 6, size=20),
    Rows.of([2, 3, 9, 15, 16, 19], size=20),
]


def to_unit_sphere(rows):
    return tf.nn.l2_normalize(rows, axis=1)


@pytest.mark.parametrize("rows", ROWS, ids=["suffix", "prefix", "scattered"])
def test_projection_to_the_unit_sphere_leaves_the_bits_of_other_rows(session, variables, rows):
    value = np.ones([20, 2], np.float32)
    value[(~rows).ids()] = special_rows()
    value[rows.ids()] = [[3, 4], [0, 2], [-6, 8], [1, 0], [5, 12], [8, 15]]
    table = tf.get_variable("table", initializer=value)
    project = project_rows(table, rows, to_unit_sphere)
    assert isinstance(project, tf.Operation)
    session.run(table.initializer)
    for _ in range(3):
        session.run(project)
    actual = session.run(table)
    np.testing.assert_array_equal(bits(actual[(~rows).ids()]), bits(special_rows()))
    np.testing.assert_allclose(np.linalg.norm(actual[rows.ids()], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(actual[rows.ids()[0]], [0.6, 0.8], rtol=1e-6)


def test_projection_of_all_rows(session, variables):
    table = tf.get_variable("table", initializer=counting_rows(3))
    session.run(table.initializer)
    session.run(project_rows(table, Rows.range(0, 3, size=3), lambda rows: rows + 10))
    np.testing.assert_array_equal(session.run(table), counting_rows(3, start=10))


def test_projection_of_no_rows(session, variables):
    table = tf.get_variable("table", initializer=counting_rows(3))
    session.run(table.initializer)
    session.run(project_rows(table, Rows.range(0, 0, size=3), lambda rows: rows + 10))
    np.testing.assert_array_equal(session.run(table), counting_rows(3))


def test_projection_of_a_table_of_rank_1(session, variables):
    table = tf.get_variable("table", initializer=counting_rows(4, None))
    session.run(table.initializer)
    session.run(project_rows(table, Rows.of([1, 3], size=4), tf.negative))
    np.testing.assert_array_equal(session.run(table), [0, -1, 2, -3])


def test_projection_runs_after_a_training_step(session, variables):
    value = counting_rows(4, start=1)
    table = tf.get_variable("table", initializer=value)
    loss = tf.reduce_sum(tf.gather(table, [3]))
    train_op = tf.train.GradientDescentOptimizer(0.5).minimize(loss)
    with tf.control_dependencies([train_op]):
        project = project_rows(table, Rows.range(2, 4, size=4), to_unit_sphere)
    session.run(table.initializer)
    session.run(project)
    actual = session.run(table)
    np.testing.assert_array_equal(actual[:2], value[:2])
    np.testing.assert_allclose(np.linalg.norm(actual[2:], axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_projection_of_other_dtypes(session, variables, dtype):
    value = np.concatenate([special_rows(dtype), counting_rows(2, dtype=dtype, start=1)])
    table = tf.get_variable("table", initializer=value)
    session.run(table.initializer)
    session.run(project_rows(table, Rows.range(14, 16, size=16), tf.negative))
    actual = session.run(table)
    np.testing.assert_array_equal(bits(actual[:14]), bits(special_rows(dtype)))
    np.testing.assert_array_equal(actual[14:], [[-1, -1], [-2, -2]])


def test_operations_get_the_name(graph):
    table = tf.get_variable("table", initializer=counting_rows(4))
    project = project_rows(table, Rows.range(2, 4, size=4), tf.negative, name="to_sphere")
    assert project.name.startswith("to_sphere/")


def test_projection_that_changes_the_shape_is_an_error(graph, variables):
    table = tf.get_variable("table", initializer=counting_rows(4))
    with pytest.raises(ValueError, match=r"`projection` must return.*\[2, 2\].*got \[2\]"):
        project_rows(table, Rows.range(2, 4, size=4), lambda rows: tf.reduce_sum(rows, 1))


def test_rows_of_another_table_are_an_error(graph):
    table = tf.get_variable("table", initializer=counting_rows(4))
    with pytest.raises(ValueError, match="'table' has 4 rows .* of a table of 5"):
        project_rows(table, Rows.range(2, 4, size=5), tf.negative)
    with pytest.raises(ValueError, match=r"`rows of variable 'table'` must be ids in \[0, 4\)"):
        project_rows(table, [2, 4], tf.negative)
    with pytest.raises(TypeError, match="expected a variable"):
        project_rows(tf.zeros([4, 2]), Rows.range(2, 4, size=4), tf.negative)
