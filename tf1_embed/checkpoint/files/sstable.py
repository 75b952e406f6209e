"""Sorted tables of keys and values, LevelDB's file format, in which checkpoints keep their index.

    file    block ... block | no meta blocks | index block | footer
    block   entry ... entry | uint32 restart point ... | uint32 count | type byte | masked CRC-32C
    entry   shared, rest, value lengths as varints | rest of the key | value

Source: LevelDB, `doc/table_format.md`; TensorFlow's copy is in `tensorflow/core/lib/io`.
"""

from __future__ import annotations

import struct
from typing import Mapping

from tf1_embed.checkpoint.files.crc32c import crc32c, mask

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5
# As TensorFlow's own.
_BLOCK_BYTES = 256 << 10
# TensorFlow's writer lets at most 16 keys share what begins them. Without a limit the keys of a
# small file might take any amount of memory.
_MAX_SHARING = 64


class SSTableError(ValueError):
    """The bytes are no whole sorted table."""


def read_sstable(content: bytes) -> dict[bytes, bytes]:
    """Returns the keys and values of a sorted table.

    Args:
      content: bytes, the file's.

    Returns:
      dict from key to value, both bytes, in the file's order.

    Raises:
      SSTableError: if the bytes are truncated, damaged, or compressed.

    Example:
      >>> read_sstable(write_sstable({b"b": b"2", b"a": b"1"}))
      {b'a': b'1', b'b': b'2'}
    """
    if len(content) < _FOOTER_BYTES:
        raise SSTableError(f"{len(content)} bytes are too few for the footer")
    footer = content[-_FOOTER_BYTES:]
    if struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise SSTableError("the file does not end as an index does")
    _, position = _read_handle(footer, 0)
    handle, _ = _read_handle(footer, position)
    entries, end, last = {}, 0, None
    for _, encoded in _entries(_block(content, handle)):
        (offset, size), _ = _read_handle(encoded, 0)
        if offset < end:
            raise SSTableError("the blocks overlap")
        end = offset + size
        for key, value in _entries(_block(content, (offset, size))):
            if last is not None and key <= last:
                raise SSTableError("the keys are out of order")
            entries[key], last = value, key
    return entries


def write_sstable(entries: Mapping[bytes, bytes]) -> bytes:
    """Returns the bytes of a sorted table.

    Args:
      entries: dict from key to value, both bytes, in any order.
    """
    content = bytearray()
    handles = {}
    block = []
    size = 0
    for key in sorted(entries):
        block.append((key, entries[key]))
        size += len(key) + len(entries[key])
        if size >= _BLOCK_BYTES:
            handles[key] = _append_block(content, block)
            block, size = [], 0
    if block:
        handles[block[-1][0]] = _append_block(content, block)
    meta = _append_block(content, [])
    index = _append_block(content, handles.items())
    footer = meta + index
    content += footer.ljust(_FOOTER_BYTES - 8, b"\0") + struct.pack("<Q", _MAGIC)
    return bytes(content)


def write_varint(value: int) -> bytes:
    """Returns a number as bytes of seven bits, the lowest first."""
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Returns the number that starts at a position of `data`, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128 and value < 1 << 64:
            return value, position
    raise SSTableError("a number does not end")


def _read_handle(data, position):
    offset, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return (offset, size), position


def _block(content, handle):
    offset, size = handle
    stop = offset + size
    if stop + _TRAILER_BYTES > len(content):
        raise SSTableError("a block reaches beyond the end of the file")
    kind, checksum = struct.unpack("<BI", content[stop : stop + _TRAILER_BYTES])
    if mask(crc32c(content[offset : stop + 1])) != checksum:
        raise SSTableError("the checksum of a block does not match")
    if kind != 0:
        raise SSTableError("a block is compressed, which TensorFlow's writer never does")
    return content[offset:stop]


def _entries(block):
    if len(block) < 4:
        raise SSTableError("a block has no restart points")
    stop = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    if stop < 0:
        raise SSTableError("a block has more restart points than bytes")
    position, key, sum_of_keys = 0, b"", 0
    while position < stop:
        shared, position = read_varint(block, position)
        rest, position = read_varint(block, position)
        size, position = read_varint(block, position)
        end = position + rest + size
        if shared > len(key) or end > stop:
            raise SSTableError("an entry reaches beyond its block")
        key = key[:shared] + block[position : position + rest]
        sum_of_keys += len(key)
        if sum_of_keys > _MAX_SHARING * len(block):
            raise SSTableError("the keys of a block are longer than a writer makes them")
        yield key, block[position + rest : end]
        position = end


def _append_block(content, entries):
    """Appends a block; returns its handle. Each key is whole, so each entry is a restart point."""
    block, restarts = bytearray(), []
    for key, value in entries:
        restarts.append(len(block))
        lengths = (0, len(key), len(value))
        block += b"".join(write_varint(each) for each in lengths) + key + value
    restarts = restarts or [0]
    block += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    handle = write_varint(len(content)) + write_varint(len(block))
    block.append(0)
    content += block + struct.pack("<I", mask(crc32c(bytes(block))))
    return handle
