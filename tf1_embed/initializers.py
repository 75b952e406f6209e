"""Values for new rows, drawn at random or from the statistics of the old ones.

An initializer here is a `RowInitializer`, for the `initializer` argument of
`tf1_embed.get_grown_table`. TensorFlow's own initializers, arrays and tensors serve there too;
what these add is the sight of the old rows. Statistics are taken when the variable is initialised,
in float64 and chunk by chunk, so that the old table never lies in memory a second time.

Each is defined once, and computed by TensorFlow in a graph and by NumPy for a checkpoint. Zeros,
constants and copies are the same bits in both. So are random values and statistics but for their
last bits: sums go in another order, and functions such as sines are rounded by other libraries.

Random values depend on `seed` and on the table's name alone, not on the graph's seed: two runs give
the same rows, and two tables (the real and the imaginary part of an embedding) different ones.
"""

from __future__ import annotations

import inspect
import zlib
from typing import Any, Callable, Sequence

import numpy as np

from tf1_embed.rows import rows_in_chunk


class RowInitializer:
    """A function that makes the values of new rows, knowing the old ones.

    Attributes:
      needs_old_rows: bool, whether the values depend on those of the old rows.
      needs_tensorflow: bool, whether the function computes with TensorFlow alone.
    """

    needs_old_rows: bool
    needs_tensorflow: bool

    def __init__(
        self,
        function: Callable[[list, Any, Any], Any],
        description: str,
        needs_old_rows: bool = False,
        needs_tensorflow: bool = True,
    ):
        """Takes `function(shape, dtype, old_rows) -> tf.Tensor of that shape and dtype`.

        `shape` is a list of ints, `[num_new_rows, dim]` or `[num_new_rows]`; `dtype` a `tf.DType`;
        `old_rows` has `name` (string), `num_rows` (int) and `gather(ids)`, which returns old rows.

        Without `needs_tensorflow` the function computes by `old_rows.maths` alone, and gets and
        returns arrays where that is NumPy's, see `tf1_embed.checkpoint.new_rows`.
        """
        self._function = function
        self._description = description
        self.needs_old_rows = needs_old_rows
        self.needs_tensorflow = needs_tensorflow

    def __call__(self, shape: list, dtype: Any, old_rows: Any) -> Any:
        """Returns the new rows, of `shape` and `dtype`: a `tf.Tensor`, or an array."""
        return self._function(shape, dtype, old_rows)

    def __repr__(self) -> str:
        return self._description


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

        def scatter(rows):
            centred = maths.reshape(rows - centre, [-1, dim])
            return maths.matmul(maths.transpose(centred), centred)

        total = _sum_over_chunks(scatter, [dim, dim], shape, old_rows)
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


def told_apart(initializer: Any) -> Any:
    """Returns an initializer of new rows as one of the kinds that there are.

    Returns:
      `RowInitializer`; another function, such as a TensorFlow initializer, made if its class was
      given; or what is no function: the values themselves.

    Raises:
      TypeError: if it is a string, or a function of this module that was not called.
    """
    if inspect.isfunction(initializer) and initializer.__module__ == __name__:
        name = initializer.__name__
        raise TypeError(
            f"`initializer` is the function initializers.{name} itself: call it, "
            f"initializers.{name}(...), for the initializer that it makes"
        )
    if isinstance(initializer, str):
        raise TypeError(
            f"`initializer` must be one of tf1_embed.initializers, a TensorFlow initializer, an "
            f"array or a tensor; got the string {initializer!r}"
        )
    return initializer() if isinstance(initializer, type) else initializer


def check_values(
    table: str, got_shape: Sequence[int], got_dtype: str, shape: Sequence[int], dtype: str
) -> None:
    """Raises a ValueError if values are not of the shape, or of the dtype, of the new rows."""
    if list(got_shape) != list(shape):
        raise ValueError(
            f"`initializer` of {table!r} must have the shape of the new rows, {list(shape)}, got "
            f"shape {list(got_shape)}"
        )
    if got_dtype != dtype:
        raise ValueError(
            f"`initializer` of {table!r} must have the dtype of the old rows, {dtype}, got "
            f"{got_dtype}"
        )


def _initializer(function, description, needs_old_rows=False):
    return RowInitializer(function, description, needs_old_rows, needs_tensorflow=False)


def _mean(shape, old_rows):
    maths = old_rows.maths
    total = _sum_over_chunks(maths.sum_of_rows, shape[1:], shape, old_rows)
    return maths.check_finite(
        total / old_rows.num_rows,
        f"the old rows of table {old_rows.name!r} hold NaN or infinity, so they have no mean; "
        f"choose an initializer that does not use their statistics",
    )


def _sum_over_chunks(function, shape, shape_of_rows, old_rows):
    """Returns the float64 sum of `function(chunk of old rows in float64)`, of `shape`."""
    step = rows_in_chunk(np.float64, shape_of_rows[1:])
    return old_rows.maths.sum_over_chunks(function, shape, old_rows, step)


def _seeds(seed, old_rows):
    return [seed, zlib.crc32(old_rows.name.encode()) & 0x7FFFFFFF]
