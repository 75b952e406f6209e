"""What TensorFlow does that this library guards against. If it stops, so may the guard."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.tables import counting_rows, save_checkpoint


@pytest.fixture
def variable(variables):
    return tf.get_variable("variable", initializer=counting_rows(4))


def look_up_2_in_a_loop(variable):
    def body(i, total):
        return i + 1, total + tf.reduce_sum(tf.gather(variable, [2]))

    return tf.while_loop(lambda i, _: i < 3, body, [0, 0.0])[1]


def look_up_2_in_a_branch_that_is_not_taken(variable):
    return tf.cond(
        tf.placeholder_with_default(False, []),
        lambda: tf.reduce_sum(tf.gather(variable, [2])),
        lambda: tf.constant(0.0),
    )


def test_gradient_of_a_lookup_in_a_loop_names_row_0_or_is_dense(variable, control_flow, session):
    (gradient,) = tf.gradients(look_up_2_in_a_loop(variable), [variable])
    session.run(tf.global_variables_initializer())
    got = session.run(gradient)
    if control_flow == "v1":
        assert isinstance(gradient, tf.IndexedSlices)
        assert set(got.indices) == {0, 2}
        assert not got.values[got.indices == 0].any()
    else:
        assert isinstance(gradient, tf.Tensor)
        assert got.tolist() == [[0, 0], [0, 0], [3, 3], [0, 0]]


def test_branch_not_taken_moves_rows_under_momentum(variable, control_flow, session):
    optimizer = tf.train.MomentumOptimizer(1.0, 0.9)
    warm_up = optimizer.minimize(tf.reduce_sum(tf.gather(variable, [0, 1, 2, 3])))
    step = optimizer.minimize(look_up_2_in_a_branch_that_is_not_taken(variable))
    session.run(tf.global_variables_initializer())
    session.run(warm_up)
    before = session.run(variable)
    session.run(step)
    assert (session.run(variable)[2] != before[2]).all()


def test_adam_moves_rows_that_the_batch_does_not_name(variable, session):
    optimizer = tf.train.AdamOptimizer(0.1)
    warm_up = optimizer.minimize(tf.reduce_sum(tf.gather(variable, [0, 1, 2, 3])))
    step = optimizer.minimize(tf.reduce_sum(tf.gather(variable, [2])))
    session.run(tf.global_variables_initializer())
    session.run(warm_up)
    before = session.run(variable)
    session.run(step)
    assert (session.run(variable) != before).all()


def test_restore_of_a_smaller_table_shrinks_a_resource_variable_and_fails_on_a_ref_one(
    variable, variables, session, tmp_path
):
    smaller = save_checkpoint(tmp_path / "smaller", {"variable": counting_rows(2)})
    session.run(tf.global_variables_initializer())
    saver = tf.train.Saver()
    if variables == "resource":
        saver.restore(session, smaller)
        assert variable.shape.as_list() == [4, 2]
        assert session.run(variable).shape == (2, 2)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match="shapes of both tensors"):
            saver.restore(session, smaller)


def test_slices_of_float16_cannot_be_put_together(tmp_path, session):
    rows = counting_rows(4, dtype="float16")
    prefix = save_checkpoint(tmp_path / "parts", {"variable": rows}, partitions=2)
    tf.get_variable("variable", [4, 2], tf.float16)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Dtype half not supported"):
        tf.train.Saver().restore(session, prefix)


def test_checkpoint_with_brackets_in_its_path_is_never_found(tmp_path, session):
    (tmp_path / "run [1]").mkdir()
    prefix = save_checkpoint(tmp_path / "run [1]" / "model", {"variable": counting_rows(4)})
    tf.get_variable("variable", [4, 2])
    with pytest.raises(ValueError, match="not a valid checkpoint"):
        tf.train.Saver().restore(session, prefix)


def test_array_as_an_initial_value_enters_the_graph_def(variables, graph):
    rows = np.zeros([1000, 100], np.float32)
    rows[:, 0] = np.arange(1000)
    tf.get_variable("variable", initializer=rows)
    assert graph.as_graph_def().ByteSize() >= rows.nbytes
