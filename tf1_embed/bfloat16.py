"""bfloat16 in NumPy, which does not know it: the upper two bytes of a float32.

Arrays of it are of the dtype `BFLOAT16`, a field of that name with the bits, as TensorFlow has its
quantized dtypes. They are moved, compared and stored as they are; numbers are made of them where
numbers are needed. `values.view(tf.bfloat16.as_numpy_dtype)` makes them TensorFlow's, and `as_bits`
makes TensorFlow's arrays such.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BFLOAT16 = np.dtype([("bfloat16", "<u2")])


def name_of(dtype: Any) -> str:
    """Returns the name of a dtype, "bfloat16" for `BFLOAT16` and for TensorFlow's own.

    Args:
      dtype: what has a `name`, such as an `np.dtype` or a `tf.DType`.
    """
    return "bfloat16" if dtype == BFLOAT16 else dtype.name


def as_bits(values: np.ndarray) -> np.ndarray:
    """Returns an array of `BFLOAT16` for one of TensorFlow's bfloat16, any other as it is."""
    return values.view(BFLOAT16) if values.dtype.name == "bfloat16" else values


def as_numbers(values: np.ndarray) -> np.ndarray:
    """Returns an array of float32 for one of bfloat16, any other as it is.

    Example:
      >>> as_numbers(cast(np.float32([1.0, -2.5]), BFLOAT16))
      array([ 1. , -2.5], dtype=float32)
    """
    values = as_bits(values)
    if values.dtype != BFLOAT16:
        return values
    return (values.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def cast(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Returns numbers in another dtype, rounded as TensorFlow rounds them.

    Args:
      values: array of numbers that NumPy knows.
      dtype: `np.dtype` of numbers, `BFLOAT16` among them.

    Example:
      >>> as_numbers(cast(np.float64([1 + 2**-8, 1 + 3 * 2**-8]), BFLOAT16)).tolist()
      [1.0, 1.015625]
    """
    dtype = np.dtype(dtype)
    with np.errstate(all="ignore"):
        if dtype.itemsize == 2 and dtype.kind in "fV":
            # TensorFlow rounds twice.
            values = np.ascontiguousarray(values, np.float32).reshape(np.shape(values))
        if dtype != BFLOAT16:
            return values.astype(dtype)
    bits = values.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    nan = bits & np.uint32(1 << 31) | np.uint32(0x7FC00000)
    upper = np.where(np.isnan(values), nan, rounded) >> np.uint32(16)
    return np.asarray(upper, "<u2").view(BFLOAT16)
