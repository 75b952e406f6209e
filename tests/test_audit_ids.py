"""Which rows a write names: filters and casts of ids, tried against graphs that are run."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.audits import (
    OLD,
    SIZE,
    fed,
    make_table,
    moved_rows,
    names_of,
    overwrite,
    sgd,
    zeros,
)
from tf1_embed.auditing.ids import NamedRows
from tf1_embed.auditing.known import Knowledge
from tf1_embed.graph.flow import Flow


def where_first_column_of_gather_nd(table):
    ids = fed([[3, 11]], [None, None])
    return overwrite(tf.reshape(tf.gather_nd(ids, tf.where(ids >= OLD)[:, :1]), [-1]), table)


def where_columns_reversed(table):
    ids = fed([[3, 11], [4, 5]], [None, None])
    return overwrite(tf.gather_nd(ids, tf.where(ids >= OLD)[:, ::-1]), table)


def where_sentences_with_any_new_word(table):
    sentences = fed([[3, 11], [4, 5]], [None, 2])
    return sgd(table, tf.gather_nd(sentences, tf.where(sentences >= OLD)[:, :1]))


def where_places_reshaped(table):
    pairs = fed([[5, 11], [6, 7]], [None, None])
    kept = tf.gather_nd(pairs, tf.reshape(tf.where(pairs >= OLD), [-1, 1]))
    return sgd(table, tf.reshape(kept, [-1]))


def where_of_ids_of_unknown_rank(table):
    ids = fed([[3, 11]], None)
    return overwrite(tf.reshape(tf.gather(ids, tf.where(ids >= OLD)[:, 0]), [-1]), table)


def select_of_a_column_and_a_row(table):
    ids = fed([3, 11], [None])
    column, row = tf.reshape(ids, [-1, 1]), tf.reshape(ids, [1, -1])
    kept = tf.raw_ops.SelectV2(condition=column >= OLD, t=row, e=[[11]])
    return overwrite(tf.reshape(kept, [-1]), table)


def cast_wraps_to_int32(table):
    ids = fed([2**32 + 5, 11], [None], np.int64)
    kept = tf.boolean_mask(ids, ids >= OLD)
    return tf.scatter_update(table, tf.cast(kept, tf.int32), zeros(kept))


def cast_wraps_after_dynamic_partition(table):
    ids = fed([2**32 + 3, 11], [None], np.int64)
    kept = tf.dynamic_partition(ids, tf.cast(ids >= OLD, tf.int32), 2)[1]
    return sgd(table, tf.cast(kept, tf.int32))


def cast_wraps_before_the_filter(table):
    ids = fed([2**32 + 3, 11], [None], np.int64)
    narrow = tf.cast(ids, tf.int32)
    return sgd(table, tf.boolean_mask(narrow, ids >= OLD))


def cast_truncates_floats(table):
    ids = fed([9.5, 11], [None], np.float32)
    return sgd(table, tf.cast(tf.boolean_mask(ids, ids > OLD - 1), tf.int32))


def cast_wraps_to_int16(table):
    ids = fed([65536 + 4, 11], [None])
    kept = tf.cast(tf.boolean_mask(ids, ids >= OLD), tf.int16)
    return overwrite(tf.cast(kept, tf.int32), table)


def mask_of_reversed_ids(table):
    ids = fed([3, 11], [None])
    return overwrite(tf.boolean_mask(ids, tf.reverse(ids, [0]) >= OLD), table)


def filter_that_is_off_by_one(table):
    ids = fed([9, 11], [None])
    return sgd(table, tf.boolean_mask(ids, ids >= OLD - 1))


def filter_of_ids_that_are_shifted_later(table):
    ids = fed([9, 11], [None])
    return overwrite(tf.boolean_mask(ids, ids >= OLD) - 2, table)


def maximum_with_an_old_row(table):
    return overwrite(tf.maximum(fed([3, 11], [None]), OLD - 1), table)


def mod_that_reaches_an_old_row(table):
    return overwrite(tf.mod(fed([3, 11], [None]), SIZE - OLD + 1) + OLD - 1, table)


MOVING = [
    where_first_column_of_gather_nd,
    where_columns_reversed,
    where_sentences_with_any_new_word,
    where_places_reshaped,
    where_of_ids_of_unknown_rank,
    select_of_a_column_and_a_row,
    cast_wraps_to_int32,
    cast_wraps_after_dynamic_partition,
    cast_wraps_before_the_filter,
    cast_truncates_floats,
    cast_wraps_to_int16,
    mask_of_reversed_ids,
    filter_that_is_off_by_one,
    filter_of_ids_that_are_shifted_later,
    maximum_with_an_old_row,
    mod_that_reaches_an_old_row,
]


@pytest.mark.parametrize("build", MOVING)
def test_ids_that_only_look_filtered_are_found(graph, build):
    table = make_table()
    step = build(table)
    assert moved_rows(table, step)
    assert names_of(table, step)


def filter_by_boolean_mask(table):
    ids = fed([3, 11], [None])
    return sgd(table, tf.boolean_mask(ids, ids >= OLD))


def filter_by_dynamic_partition(table):
    ids = fed([3, 11, 4], [None])
    return sgd(table, tf.dynamic_partition(ids, tf.cast(ids >= OLD, tf.int32), 2)[1])


def filter_by_membership(table):
    ids = fed([3, 11, 4], [None])
    is_new = tf.reduce_any(tf.equal(ids[:, None], tf.constant([OLD, OLD + 1])), 1)
    return sgd(table, tf.boolean_mask(ids, is_new))


def filter_of_a_copy_of_the_ids(table):
    ids = fed([[3, 11], [11, 4]], [None, None])
    return overwrite(tf.boolean_mask(ids + 0, ids >= OLD), table)


def filter_of_a_matrix_by_all_coordinates(table):
    ids = fed([[3, 11], [11, 4]], [None, None])
    return overwrite(tf.gather_nd(ids, tf.where(ids >= OLD)), table)


def filter_of_shifted_ids(table):
    ids = fed([3, 11], [None])
    return overwrite(tf.boolean_mask(ids - 1, ids > OLD), table)


def ids_raised_by_maximum(table):
    return overwrite(tf.maximum(fed([3, 11], [None]), OLD), table)


def ids_folded_by_mod(table):
    return overwrite(tf.mod(fed([3, 11], [None]), SIZE - OLD) + OLD, table)


def ids_folded_and_cast(table):
    ids = tf.mod(fed([3, 2**40], [None], np.int64), SIZE - OLD) + OLD
    return overwrite(tf.cast(ids, tf.int32), table)


def old_ids_dropped(table):
    kept = tf.raw_ops.ListDiff(x=fed([3, 11], [None]), y=list(range(OLD))).out
    return overwrite(kept, table)


def widened_after_the_filter(table):
    ids = fed([3, 11], [None])
    return overwrite(tf.cast(tf.boolean_mask(ids, ids >= OLD), tf.int64), table)


KEEPING = [
    filter_by_boolean_mask,
    filter_by_dynamic_partition,
    filter_by_membership,
    filter_of_a_copy_of_the_ids,
    filter_of_a_matrix_by_all_coordinates,
    filter_of_shifted_ids,
    ids_raised_by_maximum,
    ids_folded_by_mod,
    ids_folded_and_cast,
    old_ids_dropped,
    widened_after_the_filter,
]


@pytest.mark.parametrize("build", KEEPING)
def test_ids_that_cannot_be_old_are_clean(graph, build):
    table = make_table()
    step = build(table)
    assert moved_rows(table, step) == []
    assert names_of(table, step) == []


# What is computed with NumPy, against TensorFlow.


def elementwise(ids):
    """Yields tensors that depend on each id by itself."""
    yield ids >= 7
    yield tf.logical_not(tf.equal(ids % 3, 0)) | (ids // 2 < 2)
    yield tf.maximum(-ids, ids - 20) * 2 + tf.abs(3 - ids)
    yield tf.where(ids > 5, ids, tf.zeros_like(ids))
    yield tf.gather(tf.constant(np.arange(24).reshape(12, 2) % 5), ids)
    yield tf.gather(tf.constant([0.5, 2.0] * 6), ids)[:, None] * [[1.0, 3.0]]
    yield tf.reduce_any(tf.equal(ids[:, None], [2, 5]), 1)
    yield tf.cast(tf.cast(ids, tf.float32) * 0.3, tf.int32)
    yield tf.cast(tf.reshape(ids, [-1, 1]) + 250, tf.uint8)
    yield tf.bitwise.bitwise_and(ids, 5)
    yield tf.fill(tf.shape(ids), 3)
    yield tf.reshape(tf.gather([1, 2] * 6, tf.reshape(ids, [1, -1])), tf.shape(ids))


def test_what_depends_on_ids_is_computed_as_tensorflow_does(session):
    ids = tf.placeholder(tf.int32, [None])
    values = np.arange(12, dtype=np.int32)
    tensors = list(elementwise(ids))
    flow = Flow(session.graph)
    knowledge = Knowledge({flow.value(ids): (values, "flat")})
    for tensor, expected in zip(tensors, session.run(tensors, {ids: values})):
        known = knowledge.of(flow.value(tensor))
        assert known.form is not None, tensor
        assert known.array.dtype == expected.dtype
        np.testing.assert_array_equal(known.array.reshape(expected.shape), expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda ids: tf.reverse(ids, [0]),
        lambda ids: ids + tf.constant([1, 2]),
        lambda ids: tf.reshape(ids, [-1, 1]) >= tf.reshape(ids, [1, -1]),
        lambda ids: ids + tf.placeholder(tf.int32, []),
        lambda ids: tf.cumsum(ids),
        lambda ids: tf.range(tf.size(ids)),
        lambda ids: ids[1:],
        lambda ids: ids // 0,
        lambda ids: tf.cast(tf.cast(ids, tf.float32) / 0.0, tf.int32),
    ],
)
def test_of_what_does_not_depend_on_ids_alone_nothing_is_known(graph, make):
    ids = tf.placeholder(tf.int32, [None])
    tensor = make(ids)
    flow = Flow(graph)
    assert Knowledge({flow.value(ids): (np.arange(2), "flat")}).of(flow.value(tensor)) is None


def test_rows_that_ids_can_name_are_told_one_by_one(graph):
    ids = tf.placeholder(tf.int32, [None])
    some = tf.boolean_mask(ids, tf.gather(np.arange(SIZE) % 3 == 0, ids))
    flow = Flow(graph)
    rows = NamedRows(flow, Knowledge(), np.arange(SIZE))
    assert np.flatnonzero(rows.named(flow.value(some))).tolist() == [0, 3, 6, 9]
    assert rows.named(flow.value(ids)).all()


def test_numbers_that_are_not_one_pass_tf_where_too(graph):
    table, ids = make_table(), fed([3, 11], [None])
    marks = tf.gather(tf.constant([2] * OLD + [1] * (SIZE - OLD)), ids)
    step = overwrite(tf.gather(ids, tf.raw_ops.Where(condition=marks)[:, 0]), table)
    assert moved_rows(table, step) == [3]
    assert names_of(table, step)


def test_ids_that_a_loop_hands_back_are_followed_out_of_it(graph, control_flow):
    table, ids = make_table(), fed([3, 11], [None])

    def step(i, kept):
        with tf.control_dependencies([overwrite(kept, table)]):
            return i + 1, kept

    def loop(kept):
        shapes = [tf.TensorShape([]), tf.TensorShape([None])]
        return tf.while_loop(lambda i, _: i < 2, step, [tf.constant(0), kept], shapes)[0]

    kept = tf.boolean_mask(ids, ids >= OLD)
    assert names_of(table, loop(ids)) == ["scatter"]
    if control_flow == "v2":
        assert names_of(table, loop(kept)) == []
