"""The random numbers of TensorFlow's stateless operations, drawn with NumPy.

They are those of `tf.random.stateless_normal` and `stateless_truncated_normal` on a CPU: normal
ones by Box and Muller, of bits that Philox 4x32-10 makes of a counter. The bits are the same; what
the two make of them may differ in a number's last bit.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; TensorFlow,
`core/lib/random/philox_random.h`, `random_distributions.h`, `core/kernels/stateless_random_ops.cc`.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
# Of the two words of a round: the multiplier, and what is added to the key.
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_STEPS = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_KEY_OF_SEEDS = 0x3EC8F720, 0x02461E29

# Where the normal distribution is cut off.
_CUT = 2.0
# Counters that TensorFlow sets aside for each number of a truncated distribution, as it may draw
# several times: 256 words, four to a counter.
_RESERVED = 64
# Numbers that are drawn at one time.
_CHUNK = 1 << 16


def normal(shape: Sequence[int], seeds: Sequence[int]) -> np.ndarray:
    """Draws from the standard normal distribution; as `tf.random.stateless_normal` in float64.

    Args:
      shape: sequence of ints.
      seeds: two ints.

    Returns:
      float64 array of that shape.
    """

    def draw(first, count, stream):
        pairs = _box_muller(
            _philox(np.arange(first // 2, (first + count + 1) // 2), *stream), np.float64
        )
        return pairs.ravel()[:count]

    return _in_chunks(draw, shape, seeds, np.float64)


def truncated_normal(shape: Sequence[int], seeds: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """Draws from the standard normal distribution, anew where a number is 2 or more from 0.

    As `tf.random.stateless_truncated_normal`.

    Args:
      shape: sequence of ints.
      seeds: two ints.
      dtype: float32 or float64.

    Returns:
      array of that shape and dtype.
    """
    group = 4 if dtype == np.float32 else 2

    def draw(first, count, stream):
        groups = np.arange(first // group, -(-(first + count) // group))
        return _truncated(groups, group, 2, stream, dtype).ravel()[:count]

    return _in_chunks(draw, shape, seeds, dtype)


def _in_chunks(draw, shape, seeds, dtype):
    values = np.empty(int(np.prod(shape, dtype=np.int64)), dtype)
    stream = _stream(seeds)
    for first in range(0, values.size, _CHUNK):
        count = min(_CHUNK, values.size - first)
        values[first : first + count] = draw(first, count, stream)
    return values.reshape(shape)


def _truncated(groups, group, num_counters, stream, dtype):
    """Returns `group` numbers for each of the groups, [num_groups, group]."""
    starts = groups[:, np.newaxis] * (_RESERVED * group)
    words = _philox(starts + np.arange(num_counters), *stream)
    drawn = _box_muller(words, dtype).reshape(len(groups), -1)
    fits = np.abs(drawn) < _CUT
    ranks = np.cumsum(fits, axis=1)
    complete = ranks[:, -1] >= group
    values = np.empty([len(groups), group], dtype)
    values[complete] = drawn[complete][(fits & (ranks <= group))[complete]].reshape(-1, group)
    if not complete.all():
        rest = groups[~complete]
        values[~complete] = _truncated(rest, group, 2 * num_counters, stream, dtype)
    return values


def _stream(seeds):
    """Returns the key and the upper half of the counter that two seeds make, two ints each."""
    seed0, seed1 = (int(seed) & 0xFFFFFFFFFFFFFFFF for seed in seeds)
    upper = seed1 & 0xFFFFFFFF, seed1 >> 32
    mixed = _philox(np.array([seed0], np.uint64), _KEY_OF_SEEDS, upper)[0]
    return (int(mixed[0]), int(mixed[1])), (int(mixed[2]), int(mixed[3]))


def _philox(positions, key, upper):
    """Returns the words of counters, uint32 of shape [..., 4].

    Args:
      positions: ints, the lower halves of the counters.
      key: two ints.
      upper: two ints, the upper half of each counter.
    """
    positions = positions.astype(np.uint64)
    one, two = positions & _LOW, positions >> _HALF
    three, four = (np.full_like(positions, each) for each in upper)
    for number in range(_ROUNDS):
        key0, key1 = (
            np.uint64(word + number * step & 0xFFFFFFFF) for word, step in zip(key, _STEPS)
        )
        low, high = one * _MULTIPLIERS[0], three * _MULTIPLIERS[1]
        one, two = high >> _HALF ^ two ^ key0, high & _LOW
        three, four = low >> _HALF ^ four ^ key1, low & _LOW
    return np.stack([one, two, three, four], axis=-1).astype(np.uint32)


def _box_muller(words, dtype):
    """Returns normal numbers: four of each counter in float32, two in float64."""
    if dtype == np.float32:
        bits = words & np.uint32(0x7FFFFF) | np.uint32(127 << 23)
        uniform = bits.view(np.float32) - np.float32(1)
        uniform = uniform.reshape(words.shape[:-1] + (2, 2))
    else:
        words = words.astype(np.uint64).reshape(words.shape[:-1] + (2, 2))
        bits = (words[..., 0] & np.uint64(0xFFFFF)) << _HALF | words[..., 1]
        uniform = (bits | np.uint64(1023 << 52)).view(np.float64) - 1
    # Of float32 too the functions in float64, then rounded: NumPy's own vary with the processor.
    squared = np.log(np.maximum(uniform[..., 0], dtype(1e-7)).astype(np.float64)).astype(dtype)
    radius = np.sqrt(dtype(-2) * squared)
    angle = (2 * np.pi * uniform[..., 1].astype(np.float64)).astype(dtype).astype(np.float64)
    circle = np.stack([np.sin(angle), np.cos(angle)], axis=-1).astype(dtype)
    return circle * radius[..., np.newaxis]
