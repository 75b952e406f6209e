"""Values for the new rows of a table in a checkpoint, by the initializers that graphs take."""

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed import initializers


class OldRows:
    """What an initializer of new rows sees of the old ones, read from the checkpoint by chunks.

    Attributes:
      name: string, the variable's name.
      num_rows: int.
      error: exception that stopped the reading, or None. TensorFlow would raise another in its
        place.
    """

    def __init__(self, name, num_rows, row_shape, dtype, read):
        """Takes `read(ids)`, which returns an array of those old rows."""
        self.name, self.num_rows, self.error = name, num_rows, None
        self._row_shape, self._dtype, self._read = tuple(row_shape), dtype, read

    def gather(self, ids):
        """Returns the old rows of the given ids, a `tf.Tensor` of shape [m, ...]."""
        read = getattr(tf, "numpy_function", tf.py_func)
        rows = read(self._read_or_note, [tf.convert_to_tensor(ids)], self._dtype)
        rows.set_shape((None,) + self._row_shape)
        return rows

    def _read_or_note(self, ids):
        try:
            return self._read(ids)
        except Exception as error:
            self.error = error
            raise


def make_new_rows(initializer, num_new_rows, old_rows, row_shape, dtype):
    """Returns the values of new rows.

    Args:
      initializer: one of `tf1_embed.initializers`, a TensorFlow initializer, or an array of shape
        [num_new_rows, ...].
      num_new_rows: int.
      old_rows: `OldRows`.
      row_shape: tuple of ints.
      dtype: `tf.DType`.

    Returns:
      array of shape [num_new_rows, ...] and that dtype.

    Raises:
      TypeError: if the initializer is of no known kind, or `initializers.mean` without its
        parentheses.
      ValueError: if the values have another shape or dtype, or old rows whose statistics are needed
        hold NaN or infinity.
      tf.errors.DataLossError: if old rows that are needed are damaged.
    """
    initializers.check_called(initializer)
    shape = [num_new_rows] + list(row_shape)
    if isinstance(initializer, str):
        raise TypeError(
            f"`initializer` must be one of tf1_embed.initializers, a TensorFlow initializer or an "
            f"array; got the string {initializer!r}"
        )
    if not callable(initializer):
        values = np.asarray(initializer)
        if list(values.shape) != shape or values.dtype != dtype.as_numpy_dtype:
            raise ValueError(
                f"`initializer` of {old_rows.name!r} must be of shape {shape} and {dtype.name}, "
                f"got shape {list(values.shape)} and {values.dtype}"
            )
        return values
    if isinstance(initializer, type):
        initializer = initializer()
    with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
        if isinstance(initializer, initializers.RowInitializer):
            values = initializer(shape, dtype, old_rows)
        else:
            values = initializer(shape, dtype=dtype)
        try:
            values = session.run(values)
        except tf.errors.OpError as error:
            if old_rows.error is not None:
                raise old_rows.error from None
            if isinstance(error, tf.errors.InvalidArgumentError):
                raise ValueError(error.message.split(" : ")[0]) from None
            raise
    if list(values.shape) != shape or values.dtype != dtype.as_numpy_dtype:
        raise ValueError(
            f"the initializer of {old_rows.name!r} made {values.dtype} of shape "
            f"{list(values.shape)}; expected {dtype.name} of shape {shape}"
        )
    return values
