"""The checksum of tensors of strings in a checkpoint, which is not that of their bytes.

    bytes       length ... length, as varints | uint32 masked CRC-32C of the lengths | the strings
    checksum    of the lengths as uint32 (uint64 from 2**32 on), that CRC-32C, and the strings

Source: `WriteStringTensor` in `tensorflow/core/util/tensor_bundle/tensor_bundle.cc`.
"""

from __future__ import annotations

from typing import Iterable, Iterator

import numpy as np

from tf1_embed.checkpoint.files.crc32c import Crc32c, mask
from tf1_embed.checkpoint.files.sstable import SSTableError, read_varint

# A varint has seven bits a byte: this many bytes hold 64 bits.
_MAX_VARINT_BYTES = 10


def split_strings(content: bytes, count: int) -> Iterator[bytes]:
    """Yields the strings of a tensor.

    Args:
      content: the tensor's bytes.
      count: int, how many strings they are.

    Raises:
      SSTableError: if the bytes are no such tensor.

    Example:
      >>> list(split_strings(bytes([1, 2]) + b"sum." + b"abb", 2))
      [b'a', b'bb']
    """
    lengths, position = [], 0
    for _ in range(count):
        length, position = read_varint(content, position)
        lengths.append(length)
    position += 4
    if position + sum(lengths) != len(content):
        raise SSTableError("the strings are not as long as they are said to be")
    for length in lengths:
        yield content[position : position + length]
        position += length


def masked_sum_of_strings(chunks: Iterable[np.ndarray], count: int) -> int | None:
    """Returns the masked CRC-32C of a tensor of strings; holds the lengths in memory, no more.

    Args:
      chunks: iterable of uint8 arrays, the tensor's bytes.
      count: int, how many strings they are.

    Returns:
      int; None if the bytes are no such tensor.
    """
    chunks, head = iter(chunks), b""
    while len(head) < _MAX_VARINT_BYTES * count + 4:
        chunk = next(chunks, None)
        if chunk is None:
            break
        head += chunk.tobytes()
    lengths, position = [], 0
    try:
        for _ in range(count):
            length, position = read_varint(head, position)
            lengths.append(length)
    except SSTableError:
        return None
    crc = Crc32c()
    crc.update(b"".join(each.to_bytes(4 if each < 1 << 32 else 8, "little") for each in lengths))
    sum_of_lengths, strings = head[position : position + 4], head[position + 4 :]
    if sum_of_lengths != mask(crc.value()).to_bytes(4, "little"):
        return None
    crc.update(sum_of_lengths)
    crc.update(strings)
    size = len(strings)
    for chunk in chunks:
        crc.update(chunk)
        size += chunk.size
    return mask(crc.value()) if size == sum(lengths) else None
