"""Where the old rows come from: a checkpoint, an array, a `.npy` file, a variable.

Each source knows its shape and dtype while the graph is built, and adds the operations that bring
the values in when the variable is initialised. The values never enter the GraphDef, and memory
holds them once.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed import raw_ops
from tf1_embed.checkpoint.files.catalog import Catalog
from tf1_embed.checkpoint.files.find import Files
from tf1_embed.graph.variables import is_ref
from tf1_embed.npy import open_npy, read_rows
from tf1_embed.partitions import Partitions
from tf1_embed.rows import CHUNK_BYTES

# Bytes of an array that are on their way into a variable at one time. Larger than elsewhere, since
# each chunk is several operations of the graph, which take longer to make than to run.
GRAPH_CHUNK_BYTES = 4 * CHUNK_BYTES


class CheckpointRows:
    """The rows of one tensor of a checkpoint, TF1 or TF2 object-based, whole or partitioned.

    Attributes:
      prefix: string, the checkpoint's prefix.
      tensor_name: string, the tensor's own name in the checkpoint.
      shape: tuple of ints.
      dtype: `tf.DType`.
    """

    prefix: str
    tensor_name: str
    shape: tuple[int, ...]
    dtype: tf.DType

    def __init__(self, checkpoint: str | os.PathLike, name: str):
        """Finds the tensor; reads no values.

        Args:
          checkpoint: string, a checkpoint prefix, or a folder, whose latest checkpoint is taken, on
            any file system that TensorFlow reads.
          name: string, the variable's name, or the tensor's own name in the checkpoint.

        Raises:
          FileNotFoundError: if there is no such checkpoint.
          KeyError: if it holds no such variable; the error lists those that it holds.
          CheckpointDamaged: if it is truncated or damaged. A flipped byte among the values is found
            by TensorFlow's checksum when the variable is initialised.
        """
        catalog = Catalog(checkpoint, _GFILE)
        self.prefix = catalog.prefix
        self.tensor_name = catalog.find(name)
        catalog.check_coverage(self.tensor_name)
        self.shape = catalog.shape(self.tensor_name)
        self.dtype = tf.as_dtype(catalog.entry(self.tensor_name).dtype)
        self._stored = tuple(catalog.partitions(self.tensor_name))

    def reads_parts(self, partitions: Partitions) -> bool:
        """Tells whether the rows of each partition are better read by themselves.

        Raises:
          ValueError: if the rows are stored in other partitions, from which they cannot be read in
            the order of their ids.
        """
        if partitions.strategy == "mod" and len(self._stored) > 1:
            if self._stored != partitions.sizes:
                raise ValueError(
                    f"checkpoint {self.prefix} holds {self.tensor_name!r} in {len(self._stored)} "
                    f"partitions of {list(self._stored)} rows, but here it would have "
                    f"{len(partitions.sizes)} of {list(partitions.sizes)}. With "
                    f'`partition_strategy` "mod" the ids of a row depend on their number: give '
                    f"`partitioner`, tf.fixed_size_partitioner({len(self._stored)}), or, if "
                    f'lookups in the trained model went by "div", `partition_strategy="div"`'
                )
        return len(self._stored) > 1

    def part(self, ids: slice, places: tuple[int, int]) -> tf.Tensor:
        """Returns the rows at the places from start to stop - 1; reads no others."""
        start, stop = places
        extents = ":".join([f"{start},{stop - start}"] + ["-"] * (len(self.shape) - 1))
        value = self._restore(" ".join(map(str, self.shape)) + " " + extents)
        value.set_shape((stop - start,) + self.shape[1:])
        return value

    def value(self) -> tf.Tensor:
        """Returns the rows as a `tf.Tensor`, read when the variable is initialised."""
        value = self._restore("")
        value.set_shape(self.shape)
        return value

    def _restore(self, shape_and_slice):
        # Only the CPU reads checkpoints.
        with tf.device("/cpu:0"):
            (value,) = raw_ops.RestoreV2(
                prefix=self.prefix,
                tensor_names=[self.tensor_name],
                shape_and_slices=[shape_and_slice],
                dtypes=[self.dtype],
                name="old_rows_from_checkpoint",
            )
        return value


class ArrayRows:
    """The rows of a NumPy array, memory-mapped or not, or of a `.npy` file.

    The array is read when the variable is initialised, chunk by chunk, and copied: what becomes of
    the array later does not touch the variable.

    Attributes:
      shape: tuple of ints.
      dtype: `tf.DType`.
    """

    shape: tuple[int, ...]
    dtype: tf.DType

    def __init__(self, values: Any):
        """Takes an array, or opens the `.npy` file at the path `values`; reads no values.

        Raises:
          FileNotFoundError: if there is no such file.
          ValueError: if the file is no `.npy` file of numbers, row by row, or is truncated.
        """
        self._is_file = isinstance(values, (str, os.PathLike))
        self._values = _open_npy(os.fspath(values)) if self._is_file else np.asanyarray(values)
        self.shape = self._values.shape
        self.dtype = _as_dtype(self._values.dtype)

    def reads_parts(self, partitions: Partitions) -> bool:
        """Tells whether the rows of each partition are better read by themselves."""
        return True

    def part(self, ids: slice, places: tuple[int, int]) -> tf.Tensor:
        """Returns the rows of the given ids."""
        return ArrayRows(self._values[ids]).value()

    def value(self) -> tf.Tensor:
        """Returns the rows as a `tf.Tensor`, read when the variable is initialised.

        An initial value made in one piece by a Python function would lie in memory twice, since
        `Assign` cannot take over a buffer of NumPy's. So the pieces are written into a temporary
        variable, whose buffer `Assign` does take over.
        """
        if not self._values.size:
            return tf.zeros(self.shape, self.dtype)
        num_rows = self.shape[0]
        row_bytes = self._values.nbytes // num_rows
        # Enough for a few dozen chunks at least, so that the graph stays small.
        chunk_rows = max(1, GRAPH_CHUNK_BYTES // row_bytes, num_rows // 256)
        read = self._chunk_reader(chunk_rows)
        with tf.device("/cpu:0"), tf.name_scope("old_rows_from_array") as scope:
            buffer = raw_ops.TemporaryVariable(shape=self.shape, dtype=self.dtype, var_name=scope)
            previous: list = []
            for start in range(0, num_rows, chunk_rows):
                stop = min(start + chunk_rows, num_rows)
                bounds = tf.constant([start, stop], tf.int64)
                # The reading alone waits for the chunk before: TensorFlow 1.13 and 1.14 walk every
                # path through an initial value, and a second one a chunk would double their number.
                with tf.control_dependencies(previous):
                    chunk = numpy_function(read, [bounds], self.dtype)
                chunk.set_shape((stop - start,) + self.shape[1:])
                written = raw_ops.StridedSliceAssign(
                    ref=buffer, begin=[start], end=[stop], strides=[1], value=chunk
                )
                previous = [written.op]
            with tf.control_dependencies(previous):
                return raw_ops.DestroyTemporaryVariable(ref=buffer, var_name=scope)

    def _chunk_reader(self, chunk_rows):
        source, dtype = self._values, self.dtype.as_numpy_dtype
        if self._is_file:
            return lambda bounds: read_rows(source, *bounds.tolist())
        return lambda bounds: np.array(source[slice(*bounds)], dtype, order="C")


class VariableRows:
    """The rows of a variable: its value, or its initial value if it has none yet.

    Attributes:
      shape: tuple of ints.
      dtype: `tf.DType`.
    """

    shape: tuple[int, ...]
    dtype: tf.DType

    def __init__(self, variable: tf.Variable):
        """Takes a `tf.Variable` of known shape."""
        self._variable = variable
        self.shape = tuple(variable.shape.as_list())
        self.dtype = variable.dtype.base_dtype

    def reads_parts(self, partitions: Partitions) -> bool:
        """Tells whether the rows of each partition are better read by themselves."""
        return False

    def value(self) -> tf.Tensor:
        """Returns the rows as a `tf.Tensor`, read when the new variable is initialised."""
        variable = self._variable
        return tf.cond(
            tf.is_variable_initialized(variable),
            lambda: read_variable(variable),
            lambda: tf.identity(variable.initial_value),
        )


def is_tensor(value: Any) -> bool:
    """Tells a tensor or a variable from an array, as `tf.is_tensor`, which TF 1.13 lacks."""
    return isinstance(value, tf.Tensor) or hasattr(value, "initial_value")


def read_variable(variable: tf.Variable) -> tf.Tensor:
    """Reads a variable for the initial value of another, as it stands at that point of the graph.

    Where a ref variable occurs in an initial value, TensorFlow puts a second evaluation of the
    variable's own initial value in its place, which would hold the old table in memory twice. It
    finds the variable by its name; an alias has another.
    """
    if not is_ref(variable):
        return variable.read_value()
    with tf.device(variable.device):
        alias = raw_ops.VariableV2(
            shape=variable.shape,
            dtype=variable.dtype.base_dtype,
            shared_name=variable.op.name,
            name=f"{os.path.basename(variable.op.name)}_alias",
        )
    return tf.identity(alias)


def _read_file(path):
    with tf.gfile.GFile(path, "rb") as file:
        return file.read()


# For checkpoints that are not on a local disk.
_GFILE = Files(
    lambda path: tf.gfile.Exists(path) and not tf.gfile.IsDirectory(path),
    _read_file,
    lambda path: tf.gfile.Stat(path).length,
)


def _open_npy(path):
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"`old_rows` must be an array or the path of a .npy file; no file at {path!r}"
        )
    try:
        return open_npy(path)
    except ValueError as error:
        raise ValueError(f"`old_rows` cannot be read as a .npy file: {error}") from error


def _as_dtype(dtype):
    try:
        if dtype.hasobject:
            # To TensorFlow objects are strings.
            raise TypeError
        return tf.as_dtype(dtype.newbyteorder("="))
    except TypeError:
        raise TypeError(f"`old_rows` must be floats of a TensorFlow dtype, got {dtype}") from None


def numpy_function(
    function: Callable[..., np.ndarray], inputs: Sequence[Any], dtype: tf.DType
) -> tf.Tensor:
    """Returns a tensor of what a function of arrays returns, of any dtype."""
    # tf.py_func is all that 1.13 has; where its successor exists, it warns.
    call = getattr(tf, "numpy_function", tf.py_func)
    if dtype != tf.bfloat16:
        return call(function, inputs, dtype)
    # 1.13 and 1.14 take no bfloat16 from Python, but they take its bits.
    bits = call(lambda *inputs: function(*inputs).view(np.uint16), inputs, tf.uint16)
    return tf.bitcast(bits, dtype)
