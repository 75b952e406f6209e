"""CRC-32C, the checksum of TensorFlow's checkpoints, in NumPy, at gigabytes a second.

A message is a polynomial over GF(2), and its checksum the remainder modulo P, that of CRC-32C. The
usual ways go byte by byte. Here whole blocks fold into what follows them: with y = x^64, one word,

    y^6777 = y^484 + y^100 + 1   (mod P)

so a word may be dropped if it is added (xor) to the words 6293, 6677 and 6777 places further on.
Squaring doubles the distances, and 2 * 6293 words fold at once, by three calls of `np.bitwise_xor`.

Source of the idea: Russell, "Chorba: A novel CRC32 implementation", arXiv 2412.16398, 2024. The
exponents were found by search for this polynomial; a test checks them.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

# x^32 + ... + 1, in the reflected notation of the standard (RFC 3720): bit 31 is x^0.
POLYNOMIAL = 0x82F63B78
_ONE = 1 << 31
# x^_ORDER = 1 (mod P).
_ORDER = (1 << 31) - 1

# Exponents of y in y^first = y^second + y^third + 1.
FOLD = (2 * 6777, 2 * 484, 2 * 100)
_BLOCK = FOLD[0] - FOLD[1]
# With fewer bytes than these, no block is left that folds.
_MAX_REST = 8 * (FOLD[0] + _BLOCK)
# Bytes that are folded at one time: they stay in the processor's cache.
_PIECE = 1 << 19


class Crc32c:
    """A CRC-32C in the making, fed with bytes from the first to the last.

    Example:
      >>> crc = Crc32c()
      >>> crc.update(b"12345")
      >>> crc.update(b"6789")
      >>> hex(crc.value())
      '0xe3069283'
    """

    def __init__(self) -> None:
        """Starts with no bytes."""
        self._num_bytes = 0
        # Less than 210 KB that have the same remainder as all bytes so far.
        self._rest = np.empty(0, np.uint8)

    @classmethod
    def after(cls, crc: int, num_bytes: int) -> Crc32c:
        """Returns that of `num_bytes` bytes of which only the CRC-32C is known.

        Example:
          >>> crc = Crc32c.after(crc32c(b"12345"), 5)
          >>> crc.update(b"6789")
          >>> crc.value() == crc32c(b"123456789")
          True
        """
        new = cls()
        new._num_bytes = num_bytes
        # Four bytes with the same remainder; x^32 is undone by its inverse.
        remainder = _multiply(crc ^ _register(num_bytes), _power(_ORDER - 32))
        new._rest = np.array([remainder], "<u4").view(np.uint8)
        return new

    def update(self, data: Any) -> None:
        """Adds the bytes that come next, any contiguous ones, such as those of a NumPy array."""
        data = np.frombuffer(data, np.uint8)
        self._num_bytes += data.size
        size = self._rest.size
        words = np.empty(min(size + data.size, _MAX_REST + _PIECE) // 8 + 1, np.uint64)
        content = words.view(np.uint8)
        content[:size] = self._rest
        for start in range(0, data.size, _PIECE):
            piece = data[start : start + _PIECE]
            content[size : size + piece.size] = piece
            size += piece.size
            folded = 8 * _fold(words[: size // 8])
            content[: size - folded] = content[folded:size]
            size -= folded
        self._rest = content[:size].copy()

    def value(self) -> int:
        """Returns the CRC-32C of the bytes so far, an int in [0, 2**32)."""
        return _remainder(self._rest) ^ _register(self._num_bytes)


def crc32c(data: Any) -> int:
    """Returns the CRC-32C of bytes, such as those of a contiguous NumPy array.

    Example:
      >>> hex(crc32c(b"123456789"))
      '0xe3069283'
    """
    crc = Crc32c()
    crc.update(data)
    return crc.value()


def mask(crc: int) -> int:
    """Returns a checksum as TensorFlow stores it, so that checksums of checksums work."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def unmask(masked: int) -> int:
    """Returns the checksum that `mask` made `masked` from."""
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def _register(num_bytes):
    """Returns what the register adds: it starts as all ones, and all ones are added in the end."""
    return _multiply(0xFFFFFFFF, _power(8 * num_bytes)) ^ 0xFFFFFFFF


def _fold(words):
    """Folds the words from the first on, in place; returns how many are folded away, an int."""
    start = 0
    while words.size - start >= FOLD[0] + _BLOCK:
        source = words[start : start + _BLOCK]
        for distance in (_BLOCK, FOLD[0] - FOLD[2], FOLD[0]):
            target = words[start + distance : start + distance + _BLOCK]
            np.bitwise_xor(target, source, out=target)
        start += _BLOCK
    return start


def _remainder(data):
    """Returns data * x^32 modulo P."""
    # Halves, quarters and so on are added to what follows them, each shifted by its length. Zeros
    # in front change nothing.
    values = np.zeros(1 << max(0, (data.size - 1) // 4).bit_length(), np.uint32)
    values.view(np.uint8)[4 * values.size - data.size :] = data
    while values.size > 1:
        half = values.size // 2
        values = _times(values[:half], _power(32 * half)) ^ values[half:]
    return _multiply(int(values[0]), _power(32))


def _times(values, factor):
    """Multiplies each of an array of polynomials by `factor`, modulo P."""
    product = np.zeros_like(values)
    for byte, table in enumerate(_tables(factor)):
        product ^= table[(values >> np.uint32(8 * byte)) & np.uint32(255)]
    return product


@functools.lru_cache(maxsize=64)
def _tables(factor):
    """Returns, for each of the four bytes of a polynomial, the products of its 256 values."""
    tables = np.zeros([4, 256], np.uint32)
    for byte in range(4):
        for bit in range(8):
            product = _multiply(1 << (8 * byte + bit), factor)
            # The product of a value that has this bit: that of its lower bits, plus the bit's.
            tables[byte, 1 << bit : 2 << bit] = tables[byte, : 1 << bit] ^ np.uint32(product)
    return tables


@functools.lru_cache(maxsize=1024)
def _power(exponent):
    """Returns x^exponent modulo P."""
    result, square = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            result = _multiply(result, square)
        square = _multiply(square, square)
        exponent >>= 1
    return result


def _multiply(left, right):
    """Returns the product of two polynomials modulo P."""
    product = 0
    for bit in range(31, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (POLYNOMIAL if right & 1 else 0)
    return product
