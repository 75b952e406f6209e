"""Tables and checkpoints that several tests use."""

import numpy as np
import tensorflow.compat.v1 as tf

DTYPES = ["float16", "bfloat16", "float32", "float64"]

_EXPONENT_BITS = {"float16": 5, "bfloat16": 8, "float32": 8, "float64": 11}


def numpy_dtype(dtype):
    """Returns the NumPy dtype of a `tf.DType` or its name."""
    return np.dtype(tf.as_dtype(dtype).as_numpy_dtype)


def counting_rows(num_rows, dim=2, dtype="float32", start=0):
    """Returns [num_rows, dim], or [num_rows] if `dim` is None; row i holds `start + i`."""
    rows = np.arange(start, start + num_rows, dtype=np.float64)
    if dim is not None:
        rows = np.repeat(rows[:, np.newaxis], dim, axis=1)
    return rows.astype(numpy_dtype(dtype))


def bits(values):
    """Returns the bits of floats as unsigned ints, for which NaN equals itself and -0 is not 0."""
    values = np.ascontiguousarray(values)
    return values.view({2: np.uint16, 4: np.uint32, 8: np.uint64}[values.dtype.itemsize])


def assert_same(got, expected):
    """Asserts that two arrays, or two dicts of arrays by name, are the same bit for bit."""
    if isinstance(expected, dict):
        assert set(got) == set(expected)
        for name, value in expected.items():
            assert_same(got[name], value)
        return
    got, expected = np.asarray(got), np.asarray(expected)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    if expected.dtype == object:
        assert got.tolist() == expected.tolist()
    else:
        assert got.tobytes() == expected.tobytes()


def in_partitions(rows, count, strategy):
    """Returns the rows of a table in the order in which its partitions hold them."""
    if strategy == "mod":
        return np.concatenate([rows[part::count] for part in range(count)])
    return rows


def special_rows(dtype="float32", dim=2):
    """Returns [14, dim] of the bits that arithmetic loses: NaNs of all kinds, -0, denormals."""
    size = 8 * numpy_dtype(dtype).itemsize
    mantissa = size - 1 - _EXPONENT_BITS[tf.as_dtype(dtype).name]
    sign, infinity = 1 << (size - 1), ((1 << _EXPONENT_BITS[tf.as_dtype(dtype).name]) - 1)
    infinity <<= mantissa
    quiet = 1 << (mantissa - 1)
    patterns = [
        infinity | quiet,
        infinity | quiet | 5,  # a NaN with a payload
        sign | infinity | quiet | 3,
        infinity | 1,  # signalling NaNs
        sign | infinity | 9,
        infinity,
        sign | infinity,
        0,
        sign,  # -0
        1,  # the smallest denormal
        sign | 1,
        (1 << mantissa) - 1,  # the largest denormal
        1 << mantissa,
        infinity - 1,  # the largest number
    ]
    column = np.array(patterns, {16: np.uint16, 32: np.uint32, 64: np.uint64}[size])
    return np.repeat(column[:, np.newaxis], dim, axis=1).view(numpy_dtype(dtype))


def save_checkpoint(prefix, values, partitions=None):
    """Writes variables of the given names and values with a plain `tf.train.Saver`.

    Args:
      prefix: path of the checkpoint.
      values: dict from name to array.
      partitions: int; if given, variables are stored in so many slices.
    """
    partitioner = tf.fixed_size_partitioner(partitions) if partitions else None
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("", partitioner=partitioner, use_resource=False):
            for name, value in values.items():
                if partitioner is None:
                    tf.get_variable(name, initializer=tf.constant(value))
                else:
                    tf.get_variable(name, value.shape, value.dtype, initializer=_slice_of(value))
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(session, str(prefix), write_meta_graph=False)


def _slice_of(value):
    def initialize(shape, dtype=None, partition_info=None):
        # Not tf.slice, under which TensorFlow 1.13 turns a -0 among zeros into 0.
        offsets = partition_info.var_offset
        part = [slice(start, start + length) for start, length in zip(offsets, shape)]
        return tf.constant(value[tuple(part)])

    return initialize


def load_checkpoint(prefix):
    """Returns a dict from the name of each tensor of a checkpoint to its value."""
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def flip_byte(path, position):
    """Changes one byte of a file."""
    content = bytearray(path.read_bytes())
    content[position] ^= 0x41
    path.write_bytes(bytes(content))


def truncate(path, num_bytes):
    """Cuts the last bytes off a file."""
    path.write_bytes(path.read_bytes()[:-num_bytes])
