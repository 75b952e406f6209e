"""Tests of where ids lie in a table's partitions."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1_embed.partitions import STRATEGIES, Partitions

SEVEN_ROWS = [Partitions.even(7, 3, strategy) for strategy in STRATEGIES]


def in_tensors(starts, part):
    return tf.gather(tf.constant(starts, part.dtype), part)


@pytest.mark.parametrize("partitions", SEVEN_ROWS)
def test_the_ids_of_the_parts_lie_one_after_another(partitions):
    parts = [np.arange(7)[ids] for ids in partitions.ids_of_parts]
    assert [len(ids) for ids in parts] == list(partitions.sizes)
    assert np.concatenate(parts).tolist() == partitions.ids(0, 7).tolist()


@pytest.mark.parametrize("partitions", SEVEN_ROWS)
def test_places_invert_ids(partitions):
    np.testing.assert_array_equal(partitions.places(partitions.ids(2, 7)), np.arange(2, 7))


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
@pytest.mark.parametrize("partitions", SEVEN_ROWS)
def test_places_of_tensors_are_those_of_arrays(partitions, dtype):
    with tf.Graph().as_default(), tf.Session() as session:
        places = partitions.places(tf.constant(np.arange(7), dtype), in_tensors)
        assert places.dtype == dtype
        np.testing.assert_array_equal(session.run(places), partitions.places(np.arange(7)))


def test_a_slice_of_ids_stays_a_slice_where_ids_lie_in_order():
    mod, div = SEVEN_ROWS
    assert div.places(slice(2, 5)) == slice(2, 5)
    np.testing.assert_array_equal(mod.places(slice(2, 5)), mod.places(np.arange(2, 5)))
