"""Values that need to know nothing of a new row: told, drawn, or from the old rows' statistics."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from tf1_embed.initializers.row_initializer import RowInitializer, sum_over_chunks


def zeros() -> RowInitializer:
    """Makes new rows of zeros.

    Returns:
      `RowInitializer`.
    """
    return constant(0.0)


def constant(value: Any) -> RowInitializer:
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
        return old_rows.maths.repeat(value.astype(np.float64), shape, dtype)

    return _initializer(initialize, f"constant({value.tolist()})")


def glorot_normal(seed: int = 0) -> RowInitializer:
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
        fan_in, fan_out = shape[0], shape[-1]
        # Standard deviation of a standard normal that is cut off at 2.
        stddev = float(np.sqrt(2.0 / (fan_in + fan_out)) / 0.87962566103423978)
        # Half precision is drawn in single, so that it is the same in every version.
        draw_dtype = np.float64 if dtype.name == "float64" else np.float32
        maths = old_rows.maths
        draw = maths.truncated_normal(shape, _seeds(seed, old_rows), draw_dtype)
        return maths.cast(draw * stddev, dtype)

    return _initializer(initialize, f"glorot_normal(seed={seed})")


def mean() -> RowInitializer:
    """Makes every new row the mean of the old rows.

    Returns:
      `RowInitializer`.
    """

    def initialize(shape, dtype, old_rows):
        return old_rows.maths.repeat(_mean(shape, old_rows), shape, dtype)

    return _initializer(initialize, "mean()", needs_old_rows=True)


def mean_and_covariance(seed: int = 0) -> RowInitializer:
    """Draws new rows from the normal distribution that has the old rows' mean and covariance.

    Source: Hewitt, "Initializing new word embeddings for pretrained language models", 2021: under
    a softmax over the table, new rows drawn so take little probability from the old ones.

    Args:
      seed: int; the same seed gives the same rows for a table of the same name.

    Returns:
      `RowInitializer`.
    """

    def initialize(shape, dtype, old_rows):
        maths, centre = old_rows.maths, _mean(shape, old_rows)
        dim = shape[1] if len(shape) == 2 else 1

        def scatter(rows, start):
            centred = maths.reshape(rows - centre, [-1, dim])
            return maths.matmul(maths.transpose(centred), centred)

        total = sum_over_chunks(scatter, [dim, dim], shape, old_rows)
        # Not Cholesky: fewer old rows than dimensions make a singular covariance. Of all roots the
        # symmetric one, which does not depend on the directions that a library chooses.
        variances, directions = maths.eigh(total / old_rows.num_rows)
        scaled = directions * maths.sqrt(maths.maximum(variances, 0.0))
        root = maths.matmul(scaled, maths.transpose(directions))
        draw = maths.normal([shape[0], dim], _seeds(seed, old_rows))
        offsets = maths.matmul(draw, root)
        return maths.cast(maths.reshape(offsets, shape) + centre, dtype)

    return _initializer(initialize, f"mean_and_covariance(seed={seed})", needs_old_rows=True)


def copy_of(ids: Any) -> RowInitializer:
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
                f"copy_of: the ids must name one old row for each of {shape[0]} new rows, got "
                f"{len(ids)}"
            )
        unknown = np.atleast_1d(ids)[np.atleast_1d((ids < 0) | (ids >= old_rows.num_rows))]
        if unknown.size:
            raise ValueError(
                f"copy_of: the ids must be old rows, in [0, {old_rows.num_rows}); got {unknown[0]}"
            )
        return old_rows.gather(np.broadcast_to(ids, shape[:1]))

    return _initializer(initialize, f"copy_of({ids.tolist()})", needs_old_rows=True)


def _initializer(function, description, needs_old_rows=False):
    return RowInitializer(function, description, needs_old_rows, needs_tensorflow=False)


def _mean(shape, old_rows):
    maths = old_rows.maths
    total = sum_over_chunks(lambda rows, start: maths.sum_of_rows(rows), shape[1:], shape, old_rows)
    return maths.check_finite(
        total / old_rows.num_rows,
        f"the old rows of table {old_rows.name!r} hold NaN or infinity, so they have no mean; "
        f"choose an initializer that does not use their statistics",
    )


def _seeds(seed, old_rows):
    return [seed, zlib.crc32(old_rows.name.encode()) & 0x7FFFFFFF]
