"""The index of a checkpoint: what tensors it holds, and where their bytes are.

TensorFlow's own reader does not tell where, and to read some rows of a tensor it loads the whole.

A tensor that was saved whole has one entry, under its name. One that was saved in slices has an
entry without bytes that lists the slices, and an entry for each of them under a key of its own.

Source: `tensorflow/core/protobuf/tensor_bundle.proto` and `tensorflow/core/util/tensor_bundle`; for
the keys of slices `tensorflow/core/util/saved_tensor_slice_util.cc` and
`tensorflow/core/lib/strings/ordered_code.cc`.
"""

from __future__ import annotations

import functools
import operator
from typing import Any, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple

from tf1_embed.checkpoint.files.sstable import (
    SSTableError,
    read_sstable,
    read_varint,
    write_sstable,
    write_varint,
)

# Kinds of fields of a protocol buffer, and the tags of those that are read: number and kind.
_VARINT, _FIXED64, BYTES, _FIXED32 = 0, 1, 2, 5
_NUM_SHARDS, _ENDIANNESS = 1 << 3 | _VARINT, 2 << 3 | _VARINT
_DTYPE, _SHAPE, _SHARD = 1 << 3 | _VARINT, 2 << 3 | BYTES, 3 << 3 | _VARINT
_OFFSET, _SIZE, _CRC, _SLICE = (
    4 << 3 | _VARINT,
    5 << 3 | _VARINT,
    6 << 3 | _FIXED32,
    7 << 3 | BYTES,
)
_DIM, _DIM_SIZE = 2 << 3 | BYTES, 1 << 3 | _VARINT
_EXTENT, _START, _LENGTH = 1 << 3 | BYTES, 1 << 3 | _VARINT, 2 << 3 | _VARINT

_HEADER_KEY = b""
# Says: one data file, little-endian, by a writer of version 1.
_HEADER = b"\x08\x01\x1a\x02\x08\x01"


# One (start, length) for each axis; a length of None is the whole axis.
Extents = Tuple[Tuple[int, Optional[int]], ...]


class Entry(NamedTuple):
    """Where a tensor, or a slice of one, lies.

    Attributes:
      dtype: int, TensorFlow's number of the dtype.
      shape: tuple of ints; of a slice, its own.
      shard: int, which of the data files.
      offset: int, in bytes, from the start of the data file.
      size: int, in bytes.
      crc: int, the masked CRC-32C of the bytes.
      slices: tuple of the `Extents` of each slice, if the tensor was saved in slices.
    """

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    slices: tuple[Extents, ...]

    @property
    def num_values(self) -> int:
        """How many values are in the shape."""
        return num_values(self.shape)


def num_values(shape: Sequence[int]) -> int:
    """Returns how many values a shape has. NumPy's product would overflow on a damaged one."""
    return functools.reduce(operator.mul, shape, 1)


def read_index(content: bytes) -> tuple[dict[bytes, Entry], int]:
    """Returns the entries of an index.

    Args:
      content: bytes, those of the `.index` file.

    Returns:
      dict from key, bytes, to `Entry`; and int, the number of data files.

    Raises:
      SSTableError: if the bytes are no whole index of a little-endian checkpoint.
    """
    entries = read_sstable(content)
    if _HEADER_KEY not in entries:
        raise SSTableError("there is no header")
    header = dict(fields(entries.pop(_HEADER_KEY)))
    if header.get(_ENDIANNESS, 0) != 0:
        raise SSTableError("the checkpoint is of a big-endian machine")
    return {key: _read_entry(value) for key, value in entries.items()}, header.get(_NUM_SHARDS, 1)


def write_index(entries: Mapping[bytes, Entry]) -> bytes:
    """Returns the bytes of the `.index` file of a checkpoint of one data file.

    Args:
      entries: dict from key, bytes, to `Entry`.
    """
    encoded = {key: _write_entry(entry) for key, entry in entries.items()}
    encoded[_HEADER_KEY] = _HEADER
    return write_sstable(encoded)


def slice_key(name: bytes, extents: Extents) -> bytes:
    """Returns the key of a slice of a tensor.

    Args:
      name: bytes, the tensor's name.
      extents: `Extents`.
    """
    escaped = b"\0\xff".join(part.replace(b"\xff", b"\xff\0") for part in name.split(b"\0"))
    key = b"\0" + escaped + b"\0\1" + _ordered(len(extents))
    for start, length in extents:
        key += _ordered_signed(start) + _ordered_signed(-1 if length is None else length)
    return key


def slice_shape(extents: Extents, shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the shape of a slice of a tensor of `shape`."""
    return tuple(dim if length is None else length for (_, length), dim in zip(extents, shape))


def _ordered(value):
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "big")


def _ordered_signed(value):
    # As many one bits as there are bytes, a zero bit, then the number. Of a negative number, all
    # bits are inverted.
    magnitude = ~value if value < 0 else value
    size = magnitude.bit_length() // 7 + 1
    leading = (1 << size) - 1 << (7 * size)
    bits = (value & (1 << 8 * size) - 1) ^ leading
    return bits.to_bytes(size, "big")


def _read_entry(data):
    entries = list(fields(data))
    values = dict(entries)
    dims = [dict(fields(dim)) for tag, dim in fields(values.get(_SHAPE, b"")) if tag == _DIM]
    shape = tuple(dim.get(_DIM_SIZE, 0) for dim in dims)
    slices = tuple(_read_slice(value) for tag, value in entries if tag == _SLICE)
    # Negative numbers are encoded as those from 2**63 on.
    if any(dim >> 63 for dim in shape):
        raise SSTableError("a shape has a negative dim")
    for extents in slices:
        shape_of_slice = slice_shape(extents, shape)
        stops = [start + length for (start, _), length in zip(extents, shape_of_slice)]
        if len(extents) != len(shape) or any(stop > dim for stop, dim in zip(stops, shape)):
            raise SSTableError("a slice reaches beyond the tensor's shape")
    numbers = (values.get(tag, 0) for tag in (_SHARD, _OFFSET, _SIZE, _CRC))
    return Entry(values.get(_DTYPE, 0), shape, *numbers, slices)


def _read_slice(data):
    extents = [dict(fields(extent)) for tag, extent in fields(data) if tag == _EXTENT]
    return tuple((extent.get(_START, 0), extent.get(_LENGTH)) for extent in extents)


def _write_entry(entry):
    shape = b"".join(_message(_DIM, _number(_DIM_SIZE, dim)) for dim in entry.shape)
    data = _number(_DTYPE, entry.dtype) + _message(_SHAPE, shape)
    data += _number(_SHARD, entry.shard)
    data += _number(_OFFSET, entry.offset) + _number(_SIZE, entry.size)
    if entry.crc:
        data += bytes([_CRC]) + entry.crc.to_bytes(4, "little")
    for extents in entry.slices:
        data += _message(_SLICE, b"".join(_message(_EXTENT, _write_extent(*e)) for e in extents))
    return data


def _write_extent(start, length):
    # TensorFlow takes a missing length for the whole axis, so a length of 0 is written.
    length = b"" if length is None else bytes([_LENGTH]) + write_varint(length)
    return _number(_START, start) + length


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yields the tag of each field of a protocol buffer, and its value, an int or bytes."""
    value: Any
    position = 0
    while position < len(data):
        tag, position = read_varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = read_varint(data, position)
        else:
            if kind == BYTES:
                size, position = read_varint(data, position)
            elif kind in (_FIXED32, _FIXED64):
                size = 4 if kind == _FIXED32 else 8
            else:
                raise SSTableError("an entry is no protocol buffer")
            value = data[position : position + size]
            if len(value) < size:
                raise SSTableError("an entry ends too soon")
            position += size
            if kind != BYTES:
                value = int.from_bytes(value, "little")
        yield tag, value


def _number(tag, value):
    # Zeros are left out, as TensorFlow does.
    return bytes([tag]) + write_varint(value) if value else b""


def _message(tag, content):
    return bytes([tag]) + write_varint(len(content)) + content
