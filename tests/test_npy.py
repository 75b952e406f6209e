"""Tests of the reading of `.npy` files."""

import numpy as np
import pytest

from support.tables import counting_rows, truncate
from tf1_embed.npy import open_npy, read_rows


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.npy"


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "<i4", ">i8", "|u1", "|b1", "<c8"])
@pytest.mark.parametrize("shape", [(6,), (6, 2), (6, 0), (6, 2, 3)])
def test_rows_are_those_that_numpy_reads(path, dtype, shape):
    expected = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    np.save(str(path), expected)
    rows = read_rows(open_npy(path), 2, 5)
    assert rows.dtype == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(rows, expected[2:5])
    np.testing.assert_array_equal(open_npy(path), np.load(str(path)))


def test_a_single_number_has_no_rows_but_is_read(path):
    np.save(str(path), np.float32(7))
    assert open_npy(path).shape == ()
    assert open_npy(path) == 7


def test_a_header_that_python_2_wrote_is_read(path):
    np.save(str(path), counting_rows(20))
    content = path.read_bytes()
    assert b"(20, 2), }  " in content
    path.write_bytes(content.replace(b"(20, 2), }  ", b"(20L, 2L), }"))
    np.testing.assert_array_equal(open_npy(path), counting_rows(20))


def test_two_arrays_in_one_file_are_refused(path):
    with open(str(path), "wb") as file:
        np.save(file, counting_rows(2))
        np.save(file, counting_rows(2))
    with pytest.raises(ValueError, match=r"expected \d+ bytes for its shape \[2, 2\], got"):
        open_npy(path)


@pytest.mark.parametrize("shape", [b"(99999999999999, 99999999999999)", b"(999999999999999999,)"])
def test_a_header_that_promises_more_than_there_is_is_refused(path, shape):
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + b", }"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(ValueError, match="bytes for its shape"):
        open_npy(path)


def test_a_file_that_becomes_shorter_is_an_error(path):
    np.save(str(path), counting_rows(20))
    values = open_npy(path)
    truncate(path, 4)
    with pytest.raises(ValueError, match="was cut short while it was read"):
        read_rows(values, 10, 20)


def test_a_file_that_is_not_there_is_not_found(path):
    with pytest.raises(FileNotFoundError):
        open_npy(path)
