"""What initializers compute with in a graph; NumPy's is in `checkpoint/new_rows.py`."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.graph.sources import numpy_function

cast = tf.cast
eigh = tf.linalg.eigh
matmul = tf.matmul
maximum = tf.maximum
reshape = tf.reshape
sqrt = tf.sqrt
transpose = tf.transpose
check_finite = tf.check_numerics


def as_float64(values: tf.Tensor) -> tf.Tensor:
    """Returns numbers of any dtype in float64."""
    return tf.cast(values, tf.float64)


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


def host(
    function: Callable[..., np.ndarray], inputs: Sequence[Any], shape: Sequence[int], dtype: Any
) -> tf.Tensor:
    """Returns what a function of arrays returns, of that shape and `np.dtype`; not bfloat16."""
    value = numpy_function(function, inputs, tf.as_dtype(dtype))
    value.set_shape(shape)
    return value


def sum_over_chunks(
    function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    shape: Sequence[int],
    old_rows: Any,
    step: int,
    ids: np.ndarray | None = None,
) -> tf.Tensor:
    """Returns the float64 sum of `function(chunk, start)`, as `initializers.sum_over_chunks`.

    A chunk has up to `step` of the old rows, in float64, of all or of `ids`.
    """
    count = old_rows.num_rows if ids is None else len(ids)
    # Not as a constant: they may be as many as there are old rows.
    chosen = None if ids is None else host(lambda: ids, [], [count], np.int64)

    def add_chunk(start, total):
        stop = tf.minimum(start + step, count)
        of_chunk = tf.range(start, stop) if chosen is None else chosen[start:stop]
        rows = as_float64(old_rows.gather(of_chunk))
        return stop, total + function(rows, start)

    # One chunk at a time, or the loop would read ahead and hold several.
    _, total = tf.while_loop(
        lambda start, total: start < count,
        add_chunk,
        [tf.constant(0, tf.int64), tf.zeros(shape, tf.float64)],
        parallel_iterations=1,
        back_prop=False,
    )
    return total
