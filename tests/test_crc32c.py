import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.tables import counting_rows, save_checkpoint
from tf1_embed.checkpoint.files import crc32c as module
from tf1_embed.checkpoint.files.crc32c import FOLD, POLYNOMIAL, Crc32c, crc32c, mask, unmask
from tf1_embed.checkpoint.files.index import read_index


def slow_crc32c(data, previous=0):
    """The standard's own way, bit by bit."""
    crc = previous ^ 0xFFFFFFFF
    for byte in bytearray(data):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def random_bytes(size, seed=0):
    return np.random.RandomState(seed).randint(0, 256, size).astype(np.uint8).tobytes()


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"", 0),
        (b"a", 0xC1D04330),
        (b"123456789", 0xE3069283),
        # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_known_checksums(data, expected):
    assert crc32c(data) == expected


def test_every_short_length_agrees_with_the_bit_by_bit_way():
    data = random_bytes(300)
    for size in range(len(data)):
        assert crc32c(data[:size]) == slow_crc32c(data[:size])


# Around the lengths at which one more block folds, and a piece ends.
@pytest.mark.parametrize("size", [8 * (FOLD[0] * 2 - FOLD[1]), 1 << 19])
def test_lengths_around_those_of_a_fold_agree_with_the_bit_by_bit_way(size):
    data = random_bytes(size + 64)
    crc = slow_crc32c(data[: size - 9])
    for stop in range(size - 9, size + 18):
        assert crc32c(data[:stop]) == crc
        crc = slow_crc32c(data[stop : stop + 1], crc)


def crc_of_parts(*parts):
    crc = Crc32c()
    for part in parts:
        crc.update(part)
    return crc.value()


def test_checksum_of_parts_is_that_of_the_whole_wherever_it_is_cut():
    data = random_bytes(1 << 20)
    whole = crc32c(data)
    cuts = random.Random(0)
    for _ in range(20):
        first, second = sorted(cuts.randint(0, len(data)) for _ in range(2))
        assert crc_of_parts(data[:first], data[first:second], data[second:]) == whole


@given(st.lists(st.binary(max_size=200)))
def test_any_bytes_after_any_others(parts):
    assert crc_of_parts(*parts) == slow_crc32c(b"".join(parts))


@pytest.mark.parametrize("size", [0, 1, 7, 300_000])
def test_summing_goes_on_from_a_known_checksum(size):
    first, second = random_bytes(size), random_bytes(200_003, seed=1)
    crc = Crc32c.after(crc32c(first), size)
    assert crc.value() == crc32c(first)
    crc.update(second)
    assert crc.value() == crc32c(first + second)


def test_checksum_so_far_does_not_end_the_summing():
    crc = Crc32c()
    data = random_bytes(300_000)
    for start in range(0, len(data), 100_000):
        crc.update(data[start : start + 100_000])
        assert crc.value() == crc32c(data[: start + 100_000]) == crc.value()


def test_every_flipped_bit_changes_the_checksum():
    data = np.frombuffer(random_bytes(1 << 19), np.uint8).copy()
    whole = crc32c(data)
    positions = random.Random(0)
    for _ in range(50):
        position, bit = positions.randrange(data.size), positions.randrange(8)
        data[position] ^= 1 << bit
        assert crc32c(data) != whole
        data[position] ^= 1 << bit
    assert crc32c(data) == whole


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64, np.bool_, np.complex128])
def test_arrays_and_views_are_bytes(dtype):
    array = counting_rows(300).astype(dtype)
    expected = slow_crc32c(array.tobytes())
    assert crc32c(array) == crc32c(memoryview(array)) == crc32c(bytearray(array)) == expected


def test_the_exponents_fold():
    first, second, third = (module._power(64 * exponent) for exponent in FOLD)
    assert first == second ^ third ^ 1 << 31


def test_masks_are_undone():
    crc = crc32c(b"foo")
    assert len({crc, mask(crc), mask(mask(crc))}) == 3
    for each in (0, 1, crc, mask(crc), 0xFFFFFFFF):
        assert unmask(mask(each)) == each
        assert 0 <= mask(each) < 1 << 32


def test_tensorflow_writes_the_same_checksums(tmp_path):
    values = {
        "large": np.random.RandomState(0).rand(3000, 100),
        "small": counting_rows(3),
        "scalar": np.int64(7),
        "empty": np.zeros([0, 2], np.float32),
    }
    save_checkpoint(tmp_path / "m", values)
    entries, _ = read_index((tmp_path / "m.index").read_bytes())
    data = (tmp_path / "m.data-00000-of-00001").read_bytes()
    assert set(entries) == {name.encode() for name in values}
    for entry in entries.values():
        assert mask(crc32c(data[entry.offset : entry.offset + entry.size])) == entry.crc
