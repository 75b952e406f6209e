"""Values for new rows, drawn at random or from the statistics of the old ones.

An initializer here is a `RowInitializer`, for the `initializer` argument of
`tf1_embed.get_grown_table`. TensorFlow's own initializers, arrays and tensors serve there too;
what these add is the sight of the old rows. Statistics are taken when the variable is initialised,
in float64 and chunk by chunk, so that the old table never lies in memory a second time.

Random values depend on `seed` and on the table's name alone, not on the graph's seed: two runs give
the same rows, and two tables (the real and the imaginary part of an embedding) different ones.
"""

import inspect
import zlib

import numpy as np
import tensorflow.compat.v1 as tf

# Rows of the old table that are looked at in one go when its statistics are taken.
CHUNK_ROWS = 1 << 15


class RowInitializer:
    """A function that makes the values of new rows, knowing the old ones.

    Attributes:
      needs_old_rows: bool, whether the values depend on those of the old rows.
    """

    def __init__(self, function, description, needs_old_rows=False):
        """Takes `function(shape, dtype, old_rows) -> tf.Tensor of that shape and dtype`.

        `shape` is a list of ints, `[num_new_rows, dim]` or `[num_new_rows]`; `dtype` a `tf.DType`;
        `old_rows` has `name` (string), `num_rows` (int) and `gather(ids)`, which returns old rows.
        """
        self._function = function
        self._description = description
        self.needs_old_rows = needs_old_rows

    def __call__(self, shape, dtype, old_rows):
        """Returns the new rows, a `tf.Tensor` of `shape` and `dtype`."""
        return self._function(shape, dtype, old_rows)

    def __repr__(self):
        return self._description


def check_called(initializer):
    """Raises a TypeError if an initializer is a function of this module that was not called."""
    if inspect.isfunction(initializer) and initializer.__module__ == __name__:
        name = initializer.__name__
        raise TypeError(
            f"`initializer` is the function initializers.{name} itself: call it, "
            f"initializers.{name}(...), for the initializer that it makes"
        )


def zeros():
    """Makes new rows of zeros.

    Returns:
      `RowInitializer`.
    """
    return constant(0.0)


def constant(value):
    """Makes every new row equal to `value`.

    Args:
      value: a number, or one row, floats of shape [dim].

    Returns:
      `RowInitializer`.
    """
    value = np.asarray(value)

    def initialize(shape, dtype, old_rows):
        if value.shape not in ((), tuple(shape[1:])):
            raise ValueError(
                f"`value` must be a number or one row of shape {shape[1:]}, got shape {value.shape}"
            )
        # Through NumPy in float64 first: bfloat16 knows no other cast from ints.
        row = tf.cast(tf.constant(value.astype(np.float64)), dtype)
        return tf.zeros(shape, dtype) + row

    return RowInitializer(initialize, f"constant({value.tolist()})")


def glorot_normal(seed=0):
    """Draws new rows as Glorot and Bengio did, from a truncated normal distribution.

    The standard deviation is sqrt(2 / (num_new_rows + dim)), as for
    `tf.glorot_normal_initializer` on a variable of the new rows, which is what the question's
    `xavier_initializer(uniform=False)` did.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.

    Args:
      seed: int; the same seed gives the same rows for a table of the same name.

    Returns:
      `RowInitializer`.
    """

    def initialize(shape, dtype, old_rows):
        draw_dtype = _draw_dtype(dtype)
        fan_in, fan_out = shape[0], shape[-1]
        # Standard deviation of a standard normal that is cut off at 2.
        stddev = np.sqrt(2.0 / (fan_in + fan_out)) / 0.87962566103423978
        draw = tf.random.stateless_truncated_normal(shape, _seeds(seed, old_rows), dtype=draw_dtype)
        return tf.cast(draw * stddev, dtype)

    return RowInitializer(initialize, f"glorot_normal(seed={seed})")


def mean():
    """Makes every new row the mean of the old rows.

    Returns:
      `RowInitializer`.
    """

    def initialize(shape, dtype, old_rows):
        return tf.zeros(shape, dtype) + tf.cast(_mean(shape, old_rows), dtype)

    return RowInitializer(initialize, "mean()", needs_old_rows=True)


def mean_and_covariance(seed=0):
    """Draws new rows from the normal distribution that has the old rows' mean and covariance.

    Source: Hewitt, "Initializing new word embeddings for pretrained language models", 2021: under
    a softmax over the table, new rows drawn so take little probability from the old ones.

    Args:
      seed: int; the same seed gives the same rows for a table of the same name.

    Returns:
      `RowInitializer`.
    """

    def initialize(shape, dtype, old_rows):
        centre = _mean(shape, old_rows)
        dim = shape[1] if len(shape) == 2 else 1

        def scatter(rows):
            centred = tf.reshape(rows - centre, [-1, dim])
            return tf.matmul(centred, centred, transpose_a=True)

        total = _sum_over_chunks(scatter, [dim, dim], old_rows)
        # Not Cholesky: fewer old rows than dimensions make a singular covariance.
        variances, directions = tf.linalg.eigh(total / old_rows.num_rows)
        deviations = directions * tf.sqrt(tf.maximum(variances, 0))
        draw = tf.random.stateless_normal([shape[0], dim], _seeds(seed, old_rows), dtype=tf.float64)
        offsets = tf.matmul(draw, deviations, transpose_b=True)
        return tf.cast(tf.reshape(offsets, shape) + centre, dtype)

    return RowInitializer(initialize, f"mean_and_covariance(seed={seed})", needs_old_rows=True)


def copy_of(ids):
    """Makes each new row a copy of an old one, bit for bit.

    Args:
      ids: int, the old row that every new row copies; or ints of shape [num_new_rows].

    Returns:
      `RowInitializer`.
    """
    ids = np.asarray(ids)
    if not np.issubdtype(ids.dtype, np.integer) or ids.ndim > 1:
        raise TypeError(f"`ids` must be an int or a vector of ints, got {ids!r}")

    def initialize(shape, dtype, old_rows):
        if ids.ndim and len(ids) != shape[0]:
            raise ValueError(
                f"`ids` must name one old row for each of {shape[0]} new rows, got {len(ids)}"
            )
        unknown = np.atleast_1d(ids)[np.atleast_1d((ids < 0) | (ids >= old_rows.num_rows))]
        if unknown.size:
            raise ValueError(
                f"`ids` must be old rows, in [0, {old_rows.num_rows}); got {unknown[0]}"
            )
        return old_rows.gather(np.broadcast_to(ids, shape[:1]))

    return RowInitializer(initialize, f"copy_of({ids.tolist()})", needs_old_rows=True)


def _mean(shape, old_rows):
    total = _sum_over_chunks(lambda rows: tf.reduce_sum(rows, axis=0), shape[1:], old_rows)
    return tf.check_numerics(
        total / old_rows.num_rows,
        f"the old rows of table {old_rows.name!r} hold NaN or infinity, so they have no mean; "
        f"choose an initializer that does not use their statistics",
    )


def _sum_over_chunks(function, shape, old_rows):
    """Returns the float64 sum of `function(chunk of old rows in float64)`, of `shape`."""

    def add_chunk(start, total):
        stop = tf.minimum(start + CHUNK_ROWS, old_rows.num_rows)
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


def _draw_dtype(dtype):
    # Half precision is drawn in single, so that it is the same in every version.
    return tf.float64 if dtype == tf.float64 else tf.float32


def _seeds(seed, old_rows):
    return [seed, zlib.crc32(old_rows.name.encode()) & 0x7FFFFFFF]
