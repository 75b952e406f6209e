"""What an initializer of new rows is, and how it sees the old ones."""

from __future__ import annotations

import inspect
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


def told_apart(initializer: Any) -> Any:
    """Returns an initializer of new rows as one of the kinds that there are.

    Returns:
      `RowInitializer`; another function, such as a TensorFlow initializer, made if its class was
      given; or what is no function: the values themselves.

    Raises:
      TypeError: if it is a string, or a function of this room that was not called.
    """
    if inspect.isfunction(initializer) and initializer.__module__.startswith(_ROOM):
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


def sum_over_chunks(
    function: Callable[[Any, Any], Any],
    shape: Sequence[int],
    shape_of_rows: Sequence[int],
    old_rows: Any,
    ids: np.ndarray | None = None,
) -> Any:
    """Returns a float64 sum over old rows, which are read chunk by chunk.

    Args:
      function: of a chunk of old rows, in float64, and the place of its first row among those that
        are summed over; it returns what the chunk adds.
      shape: list of ints, that of the sum.
      shape_of_rows: list of ints, that of the new rows.
      old_rows: what the initializer sees of them.
      ids: int64 array, the old rows that are summed over; default: all.
    """
    step = rows_in_chunk(np.float64, shape_of_rows[1:])
    return old_rows.maths.sum_over_chunks(function, shape, old_rows, step, ids)


# Where the functions are that make initializers.
_ROOM = "tf1_embed.initializers"
