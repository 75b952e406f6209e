"""CRC-32C, the checksum of TensorFlow's checkpoints, in NumPy, at gigabytes a second.

A message is a polynomial over GF(2), and its checksum the remainder modulo P, that of CRC-32C. The
usual ways go byte by byte. Here whole blocks fold into what follows them: with y = x^64, one word,

    y^6777 = y^484 + y^100 + 1   (mod P)

so a word may be dropped if it is added (xor) to the words 6293, 6677 and 6777 places further on.
Squaring doubles the distances, and 6293 * 8 words fold at once, by three calls of `np.bitwise_xor`.

Source of the idea: Russell, "Chorba: A novel CRC32 implementation", arXiv 2412.16398, 2024. The
exponents were found by search for this polynomial; a test checks them.
"""

import functools

import numpy as np

# x^32 + ... + 1, in the reflected notation of the standard (RFC 3720): bit 31 is x^0.
POLYNOMIAL = 0x82F63B78
_ONE = 1 << 31

# Exponents of y in y^first = y^second + y^third + 1, and how often they are doubled.
FOLD = (6777, 484, 100)
_DOUBLINGS = (3, 0)


def crc32c(data, previous=0):
    """Returns the CRC-32C of bytes, or of bytes that follow others.

    Args:
      data: bytes-like, contiguous, such as a NumPy array.
      previous: int, the CRC-32C of the bytes before these.

    Returns:
      int in [0, 2**32).

    Example:
      >>> hex(crc32c(b"123456789"))
      '0xe3069283'
      >>> crc32c(b"6789", previous=crc32c(b"12345")) == crc32c(b"123456789")
      True
    """
    data = np.frombuffer(data, np.uint8)
    # The register starts as all ones, and all ones are added in the end.
    register = _multiply(previous ^ 0xFFFFFFFF, _power(8 * data.size))
    return _remainder(data) ^ register ^ 0xFFFFFFFF


def mask(crc):
    """Returns a checksum as TensorFlow stores it, so that checksums of checksums work."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def unmask(masked):
    """Returns the checksum that `mask` made `masked` from."""
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def _remainder(data):
    """Returns data * x^32 modulo P."""
    # Zeros in front change nothing.
    words = np.zeros(data.size // 8 + 1, np.uint64)
    words.view(np.uint8)[8 * words.size - data.size :] = data
    for doublings in _DOUBLINGS:
        words = _fold(words, *(exponent << doublings for exponent in FOLD))
    # Halves, quarters and so on are added to what follows them, each shifted by its length.
    values = np.zeros(1 << (2 * words.size - 1).bit_length(), np.uint32)
    values[values.size - 2 * words.size :] = words.view(np.uint32)
    while values.size > 1:
        half = values.size // 2
        values = _times(values[:half], _power(32 * half)) ^ values[half:]
    return _multiply(int(values[0]), _power(32))


def _fold(words, first, second, third):
    block = first - second
    start = 0
    while words.size - start >= first + block:
        source = words[start : start + block]
        for distance in (first - second, first - third, first):
            target = words[start + distance : start + distance + block]
            np.bitwise_xor(target, source, out=target)
        start += block
    return words[start:]


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
            # Each value with this bit is the one without it, and the bit.
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
