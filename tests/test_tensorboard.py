"""The scalars are the numbers they are called."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.tables import counting_rows
from tf1_embed import Rows


def draw(session, merged):
    """Returns a dict from tag to value."""
    drawn = tf.Summary.FromString(session.run(merged))
    return {each.tag: each.simple_value for each in drawn.value}


def make_table(dim=2, **kwargs):
    return tf1_embed.get_grown_table(
        "a/table", 3, old_rows=counting_rows(5, dim), initializer=counting_rows(3, dim), **kwargs
    )


@pytest.mark.parametrize("dim", [None, 2])
def test_norms_are_those_of_the_new_rows(variables, session, dim):
    table = make_table(dim)
    merged = tf1_embed.summaries(table)
    session.run(tf.global_variables_initializer())
    drawn = draw(session, merged)
    norms = np.sqrt(dim or 1) * np.arange(3)
    assert drawn["a/table/new_rows/mean_norm"] == pytest.approx(norms.mean())
    assert drawn["a/table/new_rows/largest_norm"] == pytest.approx(norms.max())
    assert "a/table/new_rows/gradient_norm" not in drawn


def test_norm_of_a_gradient_sums_the_slices_of_a_row_first(session):
    table = make_table()
    loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, [5, 0, 5, 6]) * 2)
    (sparse,) = tf.gradients(loss, [table.trainable])
    assert isinstance(sparse, tf.IndexedSlices)
    both = [
        tf1_embed.summaries(table, gradient, name=name)
        for name, gradient in (("sparse", sparse), ("dense", tf.convert_to_tensor(sparse)))
    ]
    session.run(tf.global_variables_initializer())
    for name, merged in zip(("sparse", "dense"), both):
        # Row 5 has the gradient [4, 4], row 6 [2, 2].
        assert draw(session, merged)[f"{name}/new_rows/gradient_norm"] == pytest.approx(40**0.5)


def test_changed_rows_are_what_the_last_check_found(variables, session):
    table = make_table()
    checker = tf1_embed.FrozenRowsChecker(table)
    merged = tf1_embed.summaries(table)
    session.run(tf.global_variables_initializer())
    tag = "a/table/frozen_rows/changed"
    assert np.isnan(draw(session, merged)[tag])
    checker.start(session)
    assert draw(session, merged)[tag] == 0
    session.run(tf.scatter_update(table.frozen, [1, 3], tf.zeros([2, 2])).op)
    assert draw(session, merged)[tag] == 0
    with pytest.raises(tf1_embed.FrozenRowsChanged):
        checker.check(session)
    assert draw(session, merged)[tag] == 2


def test_nothing_new_to_initialise_or_to_save(session):
    table = make_table()
    before = [tf.global_variables(), tf.local_variables(), tf.trainable_variables()]
    tf1_embed.summaries(table)
    assert [tf.global_variables(), tf.local_variables(), tf.trainable_variables()] == before


def test_old_rows_are_not_read(session):
    table = make_table()
    merged = tf1_embed.summaries(table)
    # Were they read, this would fail: they have no values yet.
    session.run(tf.assign(table.trainable, counting_rows(3)).op)
    assert draw(session, merged)["a/table/new_rows/largest_norm"] > 0


def test_in_a_monitored_session_the_hook_draws_zero(tmp_path):
    with tf.Graph().as_default():
        tf.train.get_or_create_global_step()
        table = make_table()
        loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, [0, 6]))
        optimizer = tf.train.GradientDescentOptimizer(0.1)
        ((gradient, variable),) = optimizer.compute_gradients(loss)
        train_op = optimizer.apply_gradients([(gradient, variable)], tf.train.get_global_step())
        tf1_embed.summaries(table, gradient)
        with tf.train.MonitoredTrainingSession(
            checkpoint_dir=str(tmp_path),
            save_summaries_steps=1,
            hooks=[tf1_embed.FrozenRowsHook(table)],
        ) as session:
            for _ in range(3):
                session.run(train_op)
    (path,) = [str(each) for each in tmp_path.iterdir() if "events" in each.name]
    drawn = {}
    for event in tf.train.summary_iterator(path):
        for value in event.summary.value:
            drawn.setdefault(value.tag, []).append(value.simple_value)
    assert drawn["a/table/frozen_rows/changed"] == [0, 0, 0]
    assert drawn["a/table/new_rows/gradient_norm"] == pytest.approx([2**0.5] * 3)


def test_what_is_no_table_or_no_gradient_is_refused(graph):
    table = make_table()
    with pytest.raises(TypeError, match="`table` must be a GrownTable, got"):
        tf1_embed.summaries(table.trainable)
    with pytest.raises(TypeError, match="`gradient` must be tf.IndexedSlices or a tf.Tensor"):
        tf1_embed.summaries(table, gradient=Rows.range(0, 1, 1))
