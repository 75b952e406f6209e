"""What initializers compute with in a graph; NumPy's is in `checkpoint/new_rows.py`."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import tensorflow.compat.v1 as tf

cast = tf.cast
eigh = tf.linalg.eigh
matmul = tf.matmul
maximum = tf.maximum
reshape = tf.reshape
sqrt = tf.sqrt
transpose = tf.transpose
check_finite = tf.check_numerics


def sum_of_rows(rows: tf.Tensor) -> tf.Tensor:
    """Returns the sum of rows, of the shape of one."""
    return tf.reduce_sum(rows, axis=0)


def repeat(row: Any, shape: Sequence[int], dtype: tf.DType) -> tf.Tensor:
    """Returns rows that all are equal to `row`, float64, or a number."""
    return tf.zeros(shape, dtype) + tf.cast(row, dtype)


def normal(shape: Sequence[int], seeds: Sequence[int]) -> tf.Tensor:
    """Draws float64 from the standard normal distribution."""
    return tf.random.stateless_normal(shape, seeds, dtype=tf.float64)


def truncated_normal(shape: Sequence[int], seeds: Sequence[int], dtype: tf.DType) -> tf.Tensor:
    """Draws from the standard normal distribution, cut off at 2."""
    return tf.random.stateless_truncated_normal(shape, seeds, dtype=dtype)


def sum_over_chunks(
    function: Callable[[tf.Tensor], tf.Tensor], shape: Sequence[int], old_rows: Any, step: int
) -> tf.Tensor:
    """Returns the float64 sum of `function(chunk of old rows in float64)`, of `shape`."""

    def add_chunk(start, total):
        stop = tf.minimum(start + step, old_rows.num_rows)
        rows = tf.cast(old_rows.gather(tf.range(start, stop)), tf.float64)
        return stop, total + function(rows)

    # One chunk at a time, or the loop would read ahead and hold several.
    _, total = tf.while_loop(
        lambda start, total: start < old_rows.num_rows,
        add_chunk,
        [tf.constant(0, tf.int64), tf.zeros(shape, tf.float64)],
        parallel_iterations=1,
        back_prop=False,
    )
    return total
