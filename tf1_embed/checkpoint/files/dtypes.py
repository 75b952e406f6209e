"""The dtypes of the checkpoint format, by its own numbers.

Source: `tensorflow/core/framework/types.proto`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tf1_embed.bfloat16 import BFLOAT16, name_of

# In the order of their numbers, from 1 on: a NumPy type, or None for what has no size of its own.
# What NumPy does not know is, as in TensorFlow, a structure of one field: its name and its bits.
_TYPES = {
    "float32": np.float32,
    "float64": np.float64,
    "int32": np.int32,
    "uint8": np.uint8,
    "int16": np.int16,
    "int8": np.int8,
    "string": None,
    "complex64": np.complex64,
    "int64": np.int64,
    "bool": np.bool_,
    "qint8": [("qint8", "i1")],
    "quint8": [("quint8", "u1")],
    "qint32": [("qint32", "<i4")],
    "bfloat16": BFLOAT16,
    "qint16": [("qint16", "<i2")],
    "quint16": [("quint16", "<u2")],
    "uint16": np.uint16,
    "complex128": np.complex128,
    "float16": np.float16,
    "resource": None,
    "variant": None,
    "uint32": np.uint32,
    "uint64": np.uint64,
    **{
        name: [(name, "u1")]
        for name in (
            "float8_e5m2 float8_e4m3fn float8_e4m3fnuz float8_e4m3b11fnuz float8_e5m2fnuz "
            "int4 uint4 int2 uint2 float4_e2m1fn"
        ).split()
    },
}
_FLOATS = ("float16", "bfloat16", "float32", "float64")


class DType(NamedTuple):
    """A dtype of tensors in a checkpoint.

    Attributes:
      number: int, the format's.
      name: string, as TensorFlow and NumPy have it.
      numpy: `np.dtype` of the values, None if they have no size of their own, as strings have not.
      is_floating: bool, whether they are floats that tables may be of.
    """

    number: int
    name: str
    numpy: np.dtype | Any
    is_floating: bool

    @property
    def size(self) -> int:
        """How many bytes a value takes, 0 if it has no size of its own."""
        return 0 if self.numpy is None else self.numpy.itemsize


_BY_NUMBER = {
    number: DType(number, name, None if of is None else np.dtype(of), name in _FLOATS)
    for number, (name, of) in enumerate(_TYPES.items(), 1)
}
_BY_NAME = {dtype.name: dtype for dtype in _BY_NUMBER.values()}


def of_number(number: int) -> DType | None:
    """Returns the dtype of that number in the format, None if it is not known."""
    return _BY_NUMBER.get(number)


def as_dtype(dtype: Any) -> DType:
    """Returns the `DType` of the same name as an `np.dtype` or a `DType`.

    Raises:
      TypeError: if checkpoints hold none of that name.

    Example:
      >>> as_dtype(np.dtype("float32"))[:2]
      (1, 'float32')
    """
    name = dtype.name if isinstance(dtype, DType) else name_of(dtype)
    if name not in _BY_NAME:
        raise TypeError(f"`dtype` must be a dtype that checkpoints hold, got {dtype}")
    return _BY_NAME[name]
