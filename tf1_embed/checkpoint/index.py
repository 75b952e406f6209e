"""The index of a checkpoint: what tensors it holds, and where their bytes are.

TensorFlow's own reader does not tell where, and to read some rows of a tensor it loads the whole.

A tensor that was saved whole has one entry, under its name. One that was saved in slices has an
entry without bytes that lists the slices, and an entry for each of them under a key of its own.

Source: `tensorflow/core/protobuf/tensor_bundle.proto` and `tensorflow/core/util/tensor_bundle`; for
the keys of slices `tensorflow/core/util/saved_tensor_slice_util.cc` and
`tensorflow/core/lib/strings/ordered_code.cc`.
"""

from collections import namedtuple

from tf1_embed.checkpoint.sstable import (
    SSTableError,
    read_sstable,
    read_varint,
    write_sstable,
    write_varint,
)

_HEADER_KEY = b""
# Of one data file, little-endian, by a writer of version 1.
_HEADER = b"\x08\x01\x1a\x02\x08\x01"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Entry(namedtuple("Entry", "dtype shape shard offset size crc slices")):
    """Where a tensor, or a slice of one, lies.

    Attributes:
      dtype: int, TensorFlow's number of the dtype.
      shape: tuple of ints; of a slice, its own.
      shard: int, which of the data files.
      offset: int, in bytes, from the start of the data file.
      size: int, in bytes.
      crc: int, the masked CRC-32C of the bytes.
      slices: tuple of slices, if the tensor was saved in slices. A slice is a tuple of one
        (start, length) for each axis; a length of None is the whole axis.
    """

    __slots__ = ()


def read_index(content):
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
    header = dict(_fields(entries.pop(_HEADER_KEY)))
    if header.get(2, 0) != 0:
        raise SSTableError("the checkpoint is of a big-endian machine")
    return {key: _read_entry(value) for key, value in entries.items()}, header.get(1, 1)


def write_index(entries):
    """Returns the bytes of the `.index` file of a checkpoint of one data file.

    Args:
      entries: dict from key, bytes, to `Entry`.
    """
    encoded = {key: _write_entry(entry) for key, entry in entries.items()}
    encoded[_HEADER_KEY] = _HEADER
    return write_sstable(encoded)


def slice_key(name, extents):
    """Returns the key of a slice of a tensor.

    Args:
      name: bytes, the tensor's name.
      extents: tuple of (start, length), one for each axis; a length of None is the whole axis.
    """
    escaped = b"\0\xff".join(part.replace(b"\xff", b"\xff\0") for part in name.split(b"\0"))
    key = b"\0" + escaped + b"\0\1" + _ordered(len(extents))
    for start, length in extents:
        key += _ordered_signed(start) + _ordered_signed(-1 if length is None else length)
    return key


def _ordered(value):
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "big")


def _ordered_signed(value):
    # As many leading ones as there are bytes, then the number; for negative ones, all inverted.
    magnitude = ~value if value < 0 else value
    size = magnitude.bit_length() // 7 + 1
    leading = (1 << size) - 1 << (7 * size)
    bits = (value & (1 << 8 * size) - 1) ^ leading
    return bits.to_bytes(size, "big")


def _read_entry(data):
    dtype, shape, shard, offset, size, crc, slices = 0, (), 0, 0, 0, 0, []
    for number, value in _fields(data):
        if number == 1:
            dtype = value
        elif number == 2:
            shape = tuple(
                _signed(dict(_fields(dim)).get(1, 0)) for field, dim in _fields(value) if field == 2
            )
        elif number == 3:
            shard = value
        elif number == 4:
            offset = value
        elif number == 5:
            size = value
        elif number == 6:
            crc = value
        elif number == 7:
            extents = [dict(_fields(each)) for field, each in _fields(value) if field == 1]
            slices.append(tuple((each.get(1, 0), each.get(2)) for each in extents))
    return Entry(dtype, shape, shard, offset, size, crc, tuple(slices))


def _write_entry(entry):
    shape = b"".join(_message(2, _number(1, dim)) for dim in entry.shape)
    data = _number(1, entry.dtype) + _message(2, shape)
    data += _number(3, entry.shard) + _number(4, entry.offset) + _number(5, entry.size)
    if entry.crc:
        data += bytes([6 << 3 | _FIXED32]) + entry.crc.to_bytes(4, "little")
    for extents in entry.slices:
        data += _message(7, b"".join(_message(1, _write_extent(*each)) for each in extents))
    return data


def _write_extent(start, length):
    # A length that is left out is the whole axis, so a length of 0 is not.
    length = b"" if length is None else b"\x10" + write_varint(length)
    return _number(1, start) + length


def _fields(data):
    """Yields the number and the value of each field of a protocol buffer."""
    position = 0
    while position < len(data):
        tag, position = read_varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = read_varint(data, position)
        else:
            if kind == _BYTES:
                size, position = read_varint(data, position)
            elif kind in (_FIXED32, _FIXED64):
                size = 4 if kind == _FIXED32 else 8
            else:
                raise SSTableError("an entry is no protocol buffer")
            value = data[position : position + size]
            if len(value) < size:
                raise SSTableError("an entry ends too soon")
            position += size
            if kind != _BYTES:
                value = int.from_bytes(value, "little")
        yield tag >> 3, value


def _signed(value):
    return value - (1 << 64) if value >> 63 else value


def _number(field, value):
    # As TensorFlow does, zeros are left out.
    return bytes([field << 3 | _VARINT]) + write_varint(value) if value else b""


def _message(field, content):
    return bytes([field << 3 | _BYTES]) + write_varint(len(content)) + content
