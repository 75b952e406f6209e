import gzip
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.tables import assert_same, special_rows
from tf1_embed.vocabulary.tokens import MAX_TOKEN_BYTES
from tf1_embed.word_vectors import FORMATS, HowTokens, open_word_vectors, write_word_vectors
from tf1_embed.word_vectors.header import MAX_DIM

TEXT = ["word2vec", "glove"]
WITH_TOKENS = ["word2vec", "word2vec-bin", "glove"]

ROWS = np.array([[0.0, -1.5, 2e-3], [1.0, 1e30, -1e-30], [2.0, 0.1, 16777216]], np.float32)
NAMES = ["the", "café", "日本"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The path of a file that each example of a test writes anew."""
    return tmp_path_factory.mktemp("word_vectors") / "vectors"


def read(path, format=None, chunk_bytes=1 << 20):
    """Returns (tokens, vectors) of a whole file, and asserts all that it says about itself."""
    file = open_word_vectors(str(path), format, chunk_bytes)
    tokens, vectors = [], [np.empty([0, file.dim], file.dtype)]
    for chunk_tokens, chunk in file.chunks():
        assert chunk.dtype == file.dtype
        assert chunk.shape[1] == file.dim
        assert 1 <= len(chunk) <= max(1, chunk_bytes // chunk[0].nbytes)
        assert chunk_tokens is None or len(chunk_tokens) == len(chunk)
        tokens.extend(chunk_tokens or [])
        vectors.append(chunk)
    vectors = np.concatenate(vectors)
    assert vectors.shape == (file.num_rows, file.dim)
    return tokens, vectors


def write(path, format, tokens, vectors, chunk_rows=2, **kwargs):
    chunks = (
        (tokens and tokens[start : start + chunk_rows], vectors[start : start + chunk_rows])
        for start in range(0, len(vectors), chunk_rows)
    )
    write_word_vectors(path, format, len(vectors), vectors.shape[1], chunks, **kwargs)


def as_file(path, content):
    path.write_bytes(content)
    return path


# Round trips.


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("chunk_bytes", [1, 24, 1 << 20])
def test_rows_come_back_bit_for_bit_and_the_format_is_guessed(path, format, chunk_bytes):
    write(path, format, NAMES, ROWS, force=True)
    for named in (format, None):
        tokens, vectors = read(path, named, chunk_bytes)
        assert tokens == ([] if format == "npy" else NAMES)
        assert_same(vectors, ROWS)


@settings(max_examples=150)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40), st.sampled_from(FORMATS))
def test_any_floats_come_back_bit_for_bit(path, patterns, format):
    vectors = np.array(patterns, np.uint32).view(np.float32)[:, np.newaxis]
    if format in TEXT:
        vectors[np.isnan(vectors)] = np.nan
    write(path, format, [str(i) for i in range(len(vectors))], vectors, force=True)
    assert_same(read(path, format)[1], vectors)


def test_floats_that_two_roundings_would_move_come_back_from_text(path):
    # This float's shortest digits are those of its neighbour once they are rounded to a double.
    vectors = np.array([[0x15AE43FD, 0x7F7FFFFF, 1]], np.uint32).view(np.float32)
    shortest = np.format_float_scientific(vectors[0, 0], unique=True)
    assert np.float32(float(shortest)) == np.nextafter(vectors[0, 0], np.float32(1))
    for format in TEXT:
        write(path, format, ["a"], vectors, force=True)
        assert_same(read(path, format)[1], vectors)


@pytest.mark.parametrize("format", ["word2vec-bin", "npy"])
def test_every_special_bit_survives_the_binary_formats(path, format):
    vectors = special_rows()
    write(path, format, [str(i) for i in range(len(vectors))], vectors, force=True)
    assert_same(read(path, format, chunk_bytes=24)[1], vectors)


@pytest.mark.parametrize("format", TEXT)
def test_text_keeps_all_special_values_but_the_payload_of_nan(path, format):
    vectors = special_rows()
    write(path, format, [str(i) for i in range(len(vectors))], vectors, force=True)
    got = read(path, format)[1]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(vectors))
    assert_same(got[~np.isnan(vectors)], vectors[~np.isnan(vectors)])


TOKENS = st.text(min_size=1).filter(lambda token: "\n" not in token)


@settings(max_examples=100)
@given(st.lists(TOKENS, min_size=1, unique=True), st.sampled_from(WITH_TOKENS))
def test_any_tokens_come_back(path, tokens, format):
    vectors = np.arange(2 * len(tokens), dtype=np.float32).reshape(-1, 2)
    try:
        write(path, format, tokens, vectors, force=True)
    except ValueError as error:
        # What the format cannot keep is never written.
        assert "cannot keep" in str(error)
        if format != "word2vec-bin":
            assert set(tokens[0]) & set(" \t\ufeff")
        return
    assert read(path, format, chunk_bytes=24)[0] == tokens


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", "<>")
def test_npy_of_any_float_and_byte_order_is_read_as_numpy_does(path, dtype, order):
    expected = special_rows(dtype)
    with open(str(path), "wb") as file:
        np.save(file, expected.astype(np.dtype(dtype).newbyteorder(order)))
    tokens, vectors = read(path, "npy", chunk_bytes=40)
    assert tokens == []
    assert_same(vectors, expected)
    write(path, "npy", None, expected, force=True)
    assert_same(np.load(str(path), allow_pickle=False), expected)
    assert_same(read(path)[1], expected)


@pytest.mark.parametrize("format", FORMATS)
def test_row_count_and_dim_may_be_numbers_of_numpy(path, format):
    num_rows, dim = np.array(ROWS.shape)
    write_word_vectors(path, format, num_rows, dim, [(NAMES, ROWS)], force=True)
    assert_same(read(path)[1], ROWS)


@pytest.mark.parametrize("format", WITH_TOKENS)
def test_float16_is_written_as_float32(path, format):
    vectors = ROWS[:, [0, 0]].astype(np.float16)
    write(path, format, NAMES, vectors, force=True)
    assert_same(read(path, format)[1], vectors.astype(np.float32))


# Files as other programs write them.


@pytest.mark.parametrize(
    "content, format",
    [
        (b"2 3\na 1 2 3\nb 4 5 6\n", "word2vec"),
        (b"2 3\na 1 2 3 \nb 4 5 6 \n", "word2vec"),  # word2vec itself ends lines in a space
        (b"2 3   \r\na 1 2 3\r\nb 4 5 6\r\n", "word2vec"),
        (b"2 3\na 1 2 3\nb 4 5 6", "word2vec"),
        (b"a 1 2 3\nb 4 5 6\n", "glove"),
        (b"a 1 2 3\nb 4 5 6", "glove"),
        (b"a 1e0 +2. 3.0000000000\r\nb 4 5 .6e1\r\n", "glove"),
        (
            b"2 3\na "
            + np.float32([1, 2, 3]).tobytes()
            + b"\nb "
            + np.float32([4, 5, 6]).tobytes(),
            "word2vec-bin",
        ),
        (
            b"2 3\na " + np.float32([1, 2, 3]).tobytes() + b"b " + np.float32([4, 5, 6]).tobytes(),
            "word2vec-bin",
        ),
    ],
)
def test_variants_of_a_format_are_read(path, content, format):
    as_file(path, content)
    for named in (format, None):
        tokens, vectors = read(path, named)
        assert tokens == ["a", "b"]
        assert_same(vectors, np.array([[1, 2, 3], [4, 5, 6]], np.float32))


@pytest.mark.parametrize("header", [b"", b"3 2\n"])
def test_tokens_with_spaces_are_read_from_the_right(path, header):
    as_file(path, header + b"a 1 2\nNew York 3 4\n. . 1 5 6\n")
    tokens, vectors = read(path)
    assert tokens == ["a", "New York", ". . 1"]
    np.testing.assert_array_equal(vectors, [[1, 2], [3, 4], [5, 6]])


def test_white_space_of_unicode_belongs_to_the_token(path):
    tokens = ["a\u00a0b", "\u3000", "c\x85", "d\u2028", "e\t", "\x0b"]
    as_file(path, "".join(f"{token} 1 2\n" for token in tokens).encode())
    assert read(path, "glove")[0] == tokens


# Bad files.

FLOATS = np.float32([1, 2]).tobytes()


@pytest.mark.parametrize(
    "content, format, match",
    [
        (b"", "word2vec", "line 1: expected a header of word2vec"),
        (b"", "word2vec-bin", "line 1: expected a header of word2vec"),
        (b"", "glove", "line 1: expected a token and 1 to"),
        (b"", "npy", "expected a .npy file"),
        (b"a\nb\n", "glove", "line 1: expected a token and 1 to"),
        (b"a 1 2\n", "word2vec", "line 1: expected a header .* got b'a 1 2'"),
        (b"2\na 1\n", "word2vec", "line 1: expected a header"),
        (b"0 2\n", "word2vec", "line 1: expected a header"),
        (b"1 0\na\n", "word2vec", "line 1: expected a header"),
        (b"-1 2\n", "word2vec-bin", "line 1: expected a header"),
        (b"1 %d\na " % (MAX_DIM + 1) + b"1 " * 140000, "word2vec", "line 1: expected a header"),
        (b"9" * 5000 + b" 2\n", "word2vec", "line 1: expected a header"),
        (b"9" * 5000, "word2vec-bin", "line 1: expected a header"),
        # Columns and numbers.
        (b"2 2\na 1 2\nb 1\n", "word2vec", "line 3: expected a token and 2 .* got 1 of them"),
        (b"a 1 2\nb 1\n", "glove", "line 2: .* got 1 of them"),
        (b"a 1 2\nb  1\n", "glove", "line 2: .* got b''"),
        (b"a 1 2\nb 1  2\n", "glove", "line 2: .* got b''"),
        (b"a 1 2\nb\t1\t2\n", "glove", "line 2: .* got 0 of them"),
        (b"a 1 2\n\n", "glove", "line 2: .* got 0 of them"),
        (b"2 2\na 1 2\n\nb 1 2\n", "word2vec", "line 3: .* got 0 of them"),
        (b"a 1 2\nb 1 x2\n", "glove", "line 2: .* got b'x2'"),
        (b"a 1 2\nb 1 2-3\n", "glove", "line 2: .* got b'2-3'"),
        (b"a 1 2\nb 0,5 2\n", "glove", "line 2: .* got b'0,5'"),
        (b"a 1 2\nb 1 \xff\n", "glove", r"line 2: .* got b'\\xff'"),
        (b"a 1 2\nb 1 1e39\n", "glove", "line 2: .* got b'1e39'"),
        (b"a 1 2\nb inf -1e400\nc -1e39 inf\n", "glove", "line 3: .* got b'-1e39'"),
        (b"New York 1 2\na 1 2\n", "glove", "line 1: .* got b'York'"),
        # Headers that lie.
        (b"3 2\na 1 2\nb 1 2\n", "word2vec", "line 1: expected 3 rows of dim 2, which need 19"),
        (b"3 2\na 10 20\nb 10 20\n", "word2vec", "expected 3 rows, got 2"),
        (b"1 2\na 1 2\nb 1 2\n", "word2vec", "line 3: expected 1 rows, got more"),
        (b"1 2\na 1 2\n\n", "word2vec", "line 3: expected 1 rows, got more"),
        (b"1 2\na " + FLOATS + b"b " + FLOATS, "word2vec-bin", "1 rows of dim 2, got more"),
        (b"1 2\na " + FLOATS + b"\n\n", "word2vec-bin", "1 rows of dim 2, got more"),
        (b"2 2\na " + FLOATS + b"b " + FLOATS[:7], "word2vec-bin", "line 1: expected 2 rows .* 24"),
        (b"2 2\na " + FLOATS + b"b.... " + FLOATS[:7], "word2vec-bin", "row 1: expected 2 floats"),
        (b"2 2\na " + FLOATS + b"\nb" + b"." * 10, "word2vec-bin", "row 1: .* and no space"),
        (b"2 2\na " + FLOATS + b"\n\nb " + FLOATS, "word2vec-bin", "row 1: .* and no space"),
        # Tokens.
        (b"a 1 2\nb 1 2\na 1 2\n", "glove", "line 3: token 'a' is that of line 1 again"),
        (b"2 2\na 1 2\na 1 2\n", "word2vec", "line 3: token 'a' is that of line 2 again"),
        (b"2 2\na " + FLOATS + b"a " + FLOATS, "word2vec-bin", "row 1: token 'a' is that of row 0"),
        (b"a 1 2\ncaf\xe9 1 2\n", "glove", r"line 2: expected a token in UTF-8, got b'caf\\xe9'"),
        (b"1 2\n\xe9 " + FLOATS, "word2vec-bin", "row 0: expected a token in UTF-8"),
        (b"a 1 2\n 1 2\n", "glove", "line 2: expected a token of 1 to .* got one of 0"),
        (b"1 2\n " + FLOATS + b"1", "word2vec-bin", "row 0: expected a token of 1 to"),
        (b"\xef\xbb\xbfa 1 2\n", "glove", "line 1: expected a token, got a byte order mark"),
        (b"x" * (MAX_TOKEN_BYTES + 1) + b" 1 2\n", "glove", "line 1: expected a token of 1 to"),
        (b"1 2\n" + b"x" * (MAX_TOKEN_BYTES + 9), "word2vec-bin", "row 0: .* and no space"),
        (b"x" * (MAX_TOKEN_BYTES + 26 * MAX_DIM), "glove", "line 1: expected at most"),
        (b"1" + b" 1" * (MAX_DIM + 1), "glove", "line 1: expected a token and 1 to"),
    ],
)  # fmt: skip
def test_bad_file_is_refused_with_its_name_and_line(path, content, format, match):
    as_file(path, content)
    with pytest.raises(ValueError, match=match) as caught:
        read(path, format)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(path))


@pytest.mark.parametrize("format", ["word2vec", "word2vec-bin"])
@pytest.mark.parametrize("header", [b"999999999999999 100000\n", b"100 100000\n", b"900000000 1\n"])
def test_header_that_promises_more_than_the_file_holds_allocates_nothing(path, format, header):
    as_file(path, header + b"a 1 2 3\n")
    assert_refused_in_little_memory(path, format, "which need .* bytes or more, got a file of")


@pytest.mark.parametrize("format", FORMATS)
def test_file_without_line_ends_does_not_fill_the_memory(path, format):
    with open(str(path), "wb") as file:
        file.write(b"1 1\n" if format.startswith("word2vec") else b"")
        file.truncate(1 << 30)
    assert_refused_in_little_memory(path, format, "expected")


def assert_refused_in_little_memory(path, format, match):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match):
            read(path, format)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
        path.write_bytes(b"")


def npy(path, array, **kwargs):
    with open(str(path), "wb") as file:
        np.save(file, array, **kwargs)
    return path.read_bytes()


def test_npy_of_anything_but_rows_of_floats_is_refused(path):
    for array in (
        np.zeros(3, np.float32),
        np.zeros([2, 2, 2], np.float32),
        np.zeros([2, 2], np.int32),
        np.zeros([0, 2], np.float32),
        np.zeros([2, 0], np.float32),
    ):
        npy(path, array)
        with pytest.raises(ValueError, match="expected a .npy file of floats .* may be 0, got"):
            read(path)
    for array in (
        np.asfortranarray(np.zeros([2, 2], np.float32)),
        np.array([[b"a"]]),
        np.zeros([2, 2], [("x", np.float32)]),
        np.array([["a", None]], object),
    ):
        npy(path, array, allow_pickle=True)
        with pytest.raises(ValueError, match="expected a .npy file of numbers, .* np.save"):
            read(path)
    with open(str(path), "wb") as file:
        np.savez(file, np.zeros([2, 2]))
    with pytest.raises(ValueError, match="got an archive, which starts with b'PK"):
        read(path, "npy")


@pytest.mark.parametrize("change", [-1, 1, -36])
def test_npy_of_another_size_than_its_shape_is_refused(path, change):
    content = npy(path, ROWS)
    as_file(path, content[:change] if change < 0 else content + b"\0" * change)
    with pytest.raises(ValueError, match=rf"expected {len(content)} bytes for its shape \[3, 3\]"):
        read(path)


def test_npy_cut_short_in_its_header_is_refused(path):
    as_file(path, npy(path, ROWS)[:100])
    with pytest.raises(ValueError, match="expected a header of .* got 90; the file is damaged"):
        read(path)


def test_npy_cut_short_while_it_is_read_is_an_error(path):
    content = npy(path, ROWS)
    chunks = open_word_vectors(path, chunk_bytes=12).chunks()
    next(chunks)
    as_file(path, content[:-1])
    with pytest.raises(ValueError, match="was cut short while it was read"):
        list(chunks)


@pytest.mark.parametrize("content", [b"", b"\n", b"the\nof\n", b"a b c\n", b"PK\x03\x04"])
def test_format_that_does_not_show_is_asked_for(path, content):
    as_file(path, content)
    match = r"expected word vectors, got a file that starts .* `format` \(--format\)"
    with pytest.raises(ValueError, match=match):
        open_word_vectors(path)


def test_unknown_format_is_refused_with_the_known_ones(path):
    as_file(path, b"a 1 2\n")
    match = "`format` must be one of word2vec, word2vec-bin, glove, npy; got 'word2vec-text'"
    with pytest.raises(ValueError, match=match):
        open_word_vectors(path, "word2vec-text")
    with pytest.raises(ValueError, match=match):
        write(path, "word2vec-text", NAMES, ROWS, force=True)


def test_file_that_does_not_exist_is_refused(tmp_path):
    for format in (None,) + FORMATS:
        with pytest.raises(FileNotFoundError):
            open_word_vectors(tmp_path / "nothing", format)


# Fuzz: right result or ValueError.

PARTS = st.sampled_from(
    [b"a", b"b", b"\n", b" ", b"\r", b"1", b"2", b"-", b".", b"e", b"nan", b"inf", b"\0", b"\xff"]
    + [
        b"\xc3\xa9",
        b"\xef\xbb\xbf",
        b"\x93NUMPY\x01\0",
        b"2 1\n",
        b"999999999 9\n",
        FLOATS,
        b"1 2\n",
    ]
)


def assert_read_or_refused(path, content, format):
    as_file(path, content)
    try:
        tokens, vectors = read(path, format, chunk_bytes=16)
    except ValueError as error:
        assert not isinstance(error, UnicodeError)
        assert str(path) in str(error)
        return
    # What is read is written and read again.
    if not any(set(token) & set(" \r\n\ufeff") for token in tokens):
        write(path, "word2vec-bin" if tokens else "npy", tokens, vectors, force=True)
        again_tokens, again = read(path, "word2vec-bin" if tokens else "npy")
        assert again_tokens == tokens
        assert_same(again, vectors)


@settings(max_examples=200)
@given(st.lists(PARTS, max_size=20).map(b"".join) | st.binary(), st.sampled_from((None,) + FORMATS))
def test_any_bytes_are_read_or_refused(path, content, format):
    assert_read_or_refused(path, content, format)


VALID = {
    "word2vec": b"3 2\nthe 0.25 -1\nof 1e3 nan\nNew York 3 4\n",
    "word2vec-bin": b"2 2\nthe " + FLOATS + b"\nof " + FLOATS + b"\n",
    "glove": "the 0.25 -1\ncafé 1e3 nan\nNew York 3 4\n".encode(),
    "npy": b"\x93NUMPY\x01\0F\0"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }".ljust(69)
    + b"\n"
    + FLOATS * 2,
}


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=150)
@given(st.data())
def test_damaged_files_are_read_or_refused(path, format, data):
    content = bytearray(VALID[format])
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        stop = start + data.draw(st.integers(0, 4))
        content[start:stop] = data.draw(PARTS | st.binary(max_size=4))
    assert_read_or_refused(path, bytes(content), data.draw(st.sampled_from([format, None])))


@pytest.mark.parametrize("format", FORMATS)
def test_files_that_are_damaged_for_the_fuzz_are_valid(path, format):
    assert read(as_file(path, VALID[format]), format)[1].shape[1] == 2
    for size in range(len(VALID[format])):
        assert_read_or_refused(path, VALID[format][:size], format)


# Writing.


def test_file_is_not_overwritten_without_force(tmp_path):
    path = as_file(tmp_path / "vectors", b"mine")
    with pytest.raises(FileExistsError, match="vectors exists; .* force=True"):
        write(path, "glove", NAMES, ROWS)
    assert path.read_bytes() == b"mine"
    write(path, "glove", NAMES, ROWS, force=True)
    assert_same(read(path)[1], ROWS)
    assert os.listdir(str(tmp_path)) == ["vectors"]


def test_folder_is_made(tmp_path):
    write(tmp_path / "sub" / "vectors", "glove", NAMES, ROWS)
    assert_same(read(tmp_path / "sub" / "vectors")[1], ROWS)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_failure_midway_leaves_nothing_behind_and_the_old_file_as_it_was(tmp_path, format, error):
    path = as_file(tmp_path / "vectors", b"mine")

    def chunks():
        yield NAMES[:2], ROWS[:2]
        raise error

    with pytest.raises(error):
        write_word_vectors(path, format, 3, 3, chunks(), force=True)
    assert os.listdir(str(tmp_path)) == ["vectors"]
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "num_rows, dim, match",
    [
        (2, 3, "`chunks` must have 2 rows in all, got 3 or more"),
        (4, 3, "`chunks` must have 4 rows in all, got 3"),
        (3, 2, r"`chunks` must have vectors of shape \[m, 2\], got \[2, 3\]"),
        (0, 3, "`num_rows` must be at least 1 and `dim` 1 to"),
        (3, 0, "`num_rows` must be at least 1 and `dim` 1 to"),
        (3, MAX_DIM + 1, "`num_rows` must be at least 1 and `dim` 1 to"),
    ],
)
def test_chunks_that_are_not_what_was_promised_are_refused(tmp_path, format, num_rows, dim, match):
    chunks = [(NAMES[:2], ROWS[:2]), (NAMES[2:], ROWS[2:])]
    with pytest.raises(ValueError, match=match):
        write_word_vectors(tmp_path / "vectors", format, num_rows, dim, chunks)
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("format", WITH_TOKENS)
@pytest.mark.parametrize(
    "tokens, match",
    [
        (["a", "b\n", "c"], "row 1: the format .* cannot keep a line break"),
        (["\ufeffa", "b", "c"], "row 0: the format .* cannot keep a byte order mark"),
        (["a", "", "c"], "row 1: expected a token of 1 to"),
        (["a", "b", "a"], "row 2: token 'a' is that of row 0 again"),
        (["a", "\udce9", "c"], "row 1: expected a token in UTF-8"),
        (["a", "b", "c" * (MAX_TOKEN_BYTES + 1)], "row 2: expected a token of 1 to"),
        (["a", "b"], "must have a token for each of 1 rows, got 0"),
        (None, "must have a token for each of 2 rows, got none"),
    ],
)
def test_tokens_that_could_not_be_read_again_are_refused(tmp_path, format, tokens, match):
    with pytest.raises(ValueError, match=f"`chunks`.*{match}"):
        write(tmp_path / "vectors", format, tokens, ROWS)
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize(
    "format, tokens, match",
    [
        ("word2vec-bin", ["a", "New York", "c"], "row 1: .* cannot keep a space, got 'New York'"),
        ("glove", ["New York", "a", "c"], "row 0: .* cannot keep a space in the first token"),
        ("glove", ["a\tb", "a", "c"], "row 0: .* cannot keep a tab in the first token"),
    ],
)
def test_tokens_that_one_format_cannot_keep_are_refused(tmp_path, format, tokens, match):
    with pytest.raises(ValueError, match=match):
        write(tmp_path / "vectors", format, tokens, ROWS)
    write(
        tmp_path / "vectors", "word2vec" if "\t" not in tokens[0] else "word2vec-bin", tokens, ROWS
    )
    assert read(tmp_path / "vectors")[0] == tokens


@pytest.mark.parametrize("format", TEXT)
def test_tokens_with_spaces_come_back(path, format):
    tokens = ["the", ". . .", "at name@domain.com"]
    write(path, format, tokens, ROWS, force=True)
    assert read(path)[0] == tokens


@pytest.mark.parametrize("format", WITH_TOKENS)
def test_compressed_files_are_read_whatever_they_are_called(path, format):
    write(path, format, NAMES, ROWS, force=True)
    plain = path.read_bytes()
    as_file(path, gzip.compress(plain))
    tokens, vectors = read(path)
    assert tokens == NAMES
    assert_same(vectors, ROWS)
    for damaged in (gzip.compress(plain)[:-12], b"\x1f\x8b\x08" + bytes(30)):
        as_file(path, damaged)
        with pytest.raises(ValueError, match="is damaged or truncated"):
            read(path)


def test_compressed_npy_is_refused(path):
    write(path, "npy", None, ROWS, force=True)
    as_file(path, gzip.compress(path.read_bytes()))
    with pytest.raises(ValueError, match="compressed by gzip is not read; unpack it"):
        open_word_vectors(path, "npy")


def test_tabs_may_stand_for_spaces(path):
    for content in (b"the\t1 2\nof\t3 4\n", b"2 2\nthe\t1\t2\nof\t3\t4\n"):
        as_file(path, content)
        tokens, vectors = read(path)
        assert tokens == ["the", "of"]
        assert vectors.tolist() == [[1, 2], [3, 4]]


def test_matrix_without_tokens_is_refused_unless_its_first_numbers_are_tokens(path):
    as_file(path, b"0.125 1.5 -2.25\n3.75 4.5 5.25\n")
    with pytest.raises(ValueError, match="matrix without tokens.*np.save.*--format glove"):
        open_word_vectors(path)
    tokens, vectors = read(path, "glove")
    assert tokens == ["0.125", "3.75"]
    assert vectors.tolist() == [[1.5, -2.25], [4.5, 5.25]]


def test_binary_file_is_recognised_although_its_first_token_has_a_space(path):
    as_file(path, b"2 2\nNew York " + FLOATS + b"\nthe " + FLOATS + b"\n")
    with pytest.raises(ValueError, match="a word has a space, .* the format word2vec-bin"):
        read(path)


@pytest.mark.parametrize("format", WITH_TOKENS)
@pytest.mark.parametrize("duplicates, kept", [("first", [0, 1, 3]), ("last", [1, 2, 3])])
def test_one_row_of_a_token_counts_if_so_told(path, format, duplicates, kept):
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    tokens = ["the", "of", "the", "cat"]
    if format == "word2vec-bin":
        lines = [f"{token} ".encode() + row.tobytes() for token, row in zip(tokens, rows)]
    else:
        lines = [f"{token} {row[0]} {row[1]}".encode() for token, row in zip(tokens, rows)]
    header = [] if format == "glove" else [b"4 2"]
    as_file(path, b"\n".join(header + lines) + b"\n")
    with pytest.raises(ValueError, match=r"'the' is that of .* again.* \(--duplicates first\)"):
        read(path, format)
    how = HowTokens(duplicates=duplicates)
    vectors = open_word_vectors(path, format, chunk_bytes=16, how=how)
    assert (vectors.num_rows, vectors.num_left_out) == (3, 1)
    chunks = list(vectors.chunks())
    assert sum((each for each, _ in chunks), []) == [tokens[row] for row in kept]
    assert_same(np.concatenate([each for _, each in chunks]), rows[kept])


@pytest.mark.parametrize("format", WITH_TOKENS)
def test_tokens_of_other_encodings_are_read_if_so_told(path, format):
    write(path, format, ["a", "b", "c"], ROWS, force=True)
    as_file(path, path.read_bytes().replace(b"b ", b"\xe9 ", 1))
    with pytest.raises(ValueError, match=r"\(--encoding\).*\(--errors replace\)"):
        read(path, format)
    for how, expected in [
        (HowTokens(encoding="latin-1"), "é"),
        (HowTokens(errors="replace"), "\ufffd"),
        (HowTokens(errors="backslashreplace"), "\\xe9"),
    ]:
        ((tokens, _),) = open_word_vectors(path, format, how=how).chunks()
        assert tokens == ["a", expected, "c"]
    with pytest.raises(ValueError, match="expected a token of 1 to"):
        list(open_word_vectors(path, format, how=HowTokens(errors="ignore")).chunks())


def test_how_tokens_are_read_is_checked(path):
    as_file(path, VALID["glove"])
    with pytest.raises(ValueError, match="`encoding` must be one that Python knows"):
        open_word_vectors(path, how=HowTokens(encoding="utf-9"))
    with pytest.raises(ValueError, match="`duplicates` must be one of first, last, error"):
        open_word_vectors(path, how=HowTokens(duplicates="both"))


def test_dtypes_that_would_lose_bits_are_refused(tmp_path):
    for format in WITH_TOKENS:
        with pytest.raises(TypeError, match="must be float32 or float16, got float64"):
            write(tmp_path / "vectors", format, NAMES, ROWS.astype(np.float64))
    with pytest.raises(TypeError, match="must be all float16, all float32 or all .* got int32"):
        write(tmp_path / "vectors", "npy", NAMES, np.zeros([3, 3], np.int32))
    mixed = [(None, ROWS[:2]), (None, ROWS[2:].astype(np.float64))]
    with pytest.raises(TypeError, match="must be all float16, all float32 or all .* got float64"):
        write_word_vectors(tmp_path / "vectors", "npy", 3, 3, mixed)
    assert os.listdir(str(tmp_path)) == []
