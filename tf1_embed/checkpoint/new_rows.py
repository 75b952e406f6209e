"""Values for the new rows of a table in a checkpoint, by the initializers that graphs take."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from tf1_embed import initializers, philox
from tf1_embed.bfloat16 import as_bits, as_numbers, cast, name_of
from tf1_embed.checkpoint.files.dtypes import DType


class OldRows:
    """What an initializer of new rows sees of the old ones, read from the checkpoint by chunks.

    Attributes:
      name: string, the variable's name.
      num_rows: int.
      maths: what it computes with.
    """

    name: str
    num_rows: int
    maths: type[Maths]

    def __init__(self, name: str, num_rows: int, read: Callable[[np.ndarray], np.ndarray]):
        """Takes `read(ids)`, which returns an array of those old rows."""
        self.name, self.num_rows, self.maths = name, num_rows, Maths
        self.gather = read


class Maths:
    """What initializers compute with, in NumPy; TensorFlow's is `graph/maths.py`."""

    eigh = staticmethod(np.linalg.eigh)
    matmul = staticmethod(np.matmul)
    maximum = staticmethod(np.maximum)
    normal = staticmethod(philox.normal)
    reshape = staticmethod(np.reshape)
    sqrt = staticmethod(np.sqrt)
    transpose = staticmethod(np.transpose)
    truncated_normal = staticmethod(philox.truncated_normal)

    @staticmethod
    def as_float64(values: np.ndarray) -> np.ndarray:
        """Returns numbers of any dtype in float64."""
        return as_numbers(values).astype(np.float64)

    @staticmethod
    def cast(values: np.ndarray, dtype: DType) -> np.ndarray:
        """Returns numbers in a dtype of the checkpoint."""
        return cast(values, dtype.numpy)

    @staticmethod
    def check_finite(values: np.ndarray, message: str) -> np.ndarray:
        """Returns the values; raises a ValueError if one is NaN or infinity."""
        if not np.isfinite(values).all():
            raise ValueError(message)
        return values

    @staticmethod
    def repeat(row: np.ndarray, shape: Sequence[int], dtype: DType) -> np.ndarray:
        """Returns rows that all are equal to `row`, float64, or a number."""
        return np.array(np.broadcast_to(cast(row, dtype.numpy), shape))

    @staticmethod
    def sum_of_rows(rows: np.ndarray) -> np.ndarray:
        """Returns the sum of rows, of the shape of one."""
        return rows.sum(axis=0)

    @staticmethod
    def host(function: Callable, inputs: Sequence[Any], shape: Sequence[int], dtype: Any) -> Any:
        """Returns what a function of arrays returns, of that shape and `np.dtype`."""
        return function(*inputs)

    @staticmethod
    def sum_over_chunks(
        function: Callable,
        shape: Sequence[int],
        old_rows: OldRows,
        step: int,
        ids: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns the float64 sum of `function(chunk, start)`, as `initializers.sum_over_chunks`.

        A chunk has up to `step` of the old rows, in float64, of all or of `ids`.
        """
        count = old_rows.num_rows if ids is None else len(ids)
        total = np.zeros(shape)
        with np.errstate(all="ignore"):
            for start in range(0, count, step):
                chosen = np.arange(start, min(start + step, count))
                chosen = chosen if ids is None else ids[chosen]
                rows = Maths.as_float64(old_rows.gather(chosen))
                total = total + function(rows, start)
        return total


def make_new_rows(
    initializer: Any, num_new_rows: int, old_rows: OldRows, row_shape: Sequence[int], dtype: DType
) -> np.ndarray:
    """Returns the values of new rows.

    Args:
      initializer: one of `tf1_embed.initializers`, a TensorFlow initializer, or an array of shape
        [num_new_rows, ...].
      num_new_rows: int.
      old_rows: `OldRows`.
      row_shape: tuple of ints.
      dtype: `DType`.

    Returns:
      array of shape [num_new_rows, ...] and that dtype.

    Raises:
      TypeError: if the initializer is of no known kind, or `initializers.mean` without its
        parentheses.
      ValueError: if the values have another shape or dtype, or old rows whose statistics are needed
        hold NaN or infinity.
      CheckpointDamaged: if old rows that are needed are damaged.
    """
    shape = [num_new_rows] + list(row_shape)
    initializer = initializers.told_apart(initializer)
    if not callable(initializer):
        values = np.asarray(initializer)
    elif getattr(initializer, "needs_tensorflow", True):
        values = _run(initializer, shape, old_rows, dtype)
    else:
        values = initializer(shape, dtype, old_rows)
    initializers.check_values(old_rows.name, values.shape, name_of(values.dtype), shape, dtype.name)
    return as_bits(values).astype(dtype.numpy, copy=False)


def _run(initializer, shape, old_rows, dtype):
    """Returns the values that an initializer of TensorFlow's gives, or one made with it."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        dtype = tf.as_dtype(dtype.name)
        if not isinstance(initializer, initializers.RowInitializer):
            return session.run(initializer(shape, dtype=dtype))
        seen = _OldRowsInGraph(old_rows, shape[1:], dtype)
        try:
            return session.run(initializer(shape, dtype, seen))
        except tf.errors.OpError as error:
            if seen.error is not None:
                raise seen.error from None
            if isinstance(error, tf.errors.InvalidArgumentError):
                raise ValueError(error.message.split(" : ")[0]) from None
            raise


class _OldRowsInGraph:
    """`OldRows` for an initializer that computes with TensorFlow.

    Attributes:
      error: exception that stopped the reading, or None. TensorFlow would raise another in its
        place.
    """

    def __init__(self, old_rows, row_shape, dtype):
        self.name, self.num_rows, self.error = old_rows.name, old_rows.num_rows, None
        self._read, self._row_shape, self._dtype = old_rows.gather, list(row_shape), dtype

    def gather(self, ids):
        """Returns the old rows of the given ids, a `tf.Tensor` of shape [m, ...]."""
        import tensorflow.compat.v1 as tf

        read = getattr(tf, "numpy_function", tf.py_func)
        rows = read(self._read_or_note, [tf.convert_to_tensor(ids)], self._dtype)
        rows.set_shape([None] + self._row_shape)
        return rows

    def _read_or_note(self, ids):
        try:
            return self._read(ids).view(self._dtype.as_numpy_dtype)
        except Exception as error:
            self.error = error
            raise
