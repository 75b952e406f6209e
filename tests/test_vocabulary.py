import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf1_embed import Rows
from tf1_embed.vocabulary import (
    Reserved,
    append_map,
    id_map,
    parse_reserved,
    read_vocabulary,
)
from tf1_embed.vocabulary.tokens import MAX_TOKEN_BYTES


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The path of a vocabulary file that each example of a test writes anew."""
    return tmp_path_factory.mktemp("vocabulary") / "words.txt"


def read(path, content):
    path.write_bytes(content)
    return read_vocabulary(str(path))


# Files.

FILES = {
    "LF": (b"a\nb\n", ["a", "b"]),
    "CRLF": (b"a\r\nb\r\n", ["a", "b"]),
    "both": (b"a\r\nb\nc\r\n", ["a", "b", "c"]),
    "no last line end": (b"a\nb", ["a", "b"]),
    "CR at the end of the file": (b"a\nb\r", ["a", "b"]),
    "CR alone": (b"a\rb\nc\r\r\nd\n", ["a\rb", "c\r", "d"]),
    "spaces": (b" a \nNew York\n \n\t\n", [" a ", "New York", " ", "\t"]),
    "line ends of Unicode": (
        "a\x85b\u2028c\x0bd\x0ce\nf\n".encode(),
        ["a\x85b\u2028c\x0bd\x0ce", "f"],
    ),
    "not ASCII": ("café\n日本\n😀\n".encode(), ["café", "日本", "😀"]),
    "composed and not": ("é\ne\u0301\n".encode(), ["é", "e\u0301"]),
    "NUL": (b"a\0b\na\n", ["a\0b", "a"]),
    "mark in the middle": ("a\n\ufeffb\n".encode(), ["a", "\ufeffb"]),
    "long": (b"x" * 5000 + b"\nb\n", ["x" * 5000, "b"]),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_lines_are_the_tokens_that_the_lookup_tables_of_tensorflow_see(path, graph, session, name):
    content, tokens = FILES[name]
    assert read(path, content) == tokens
    if not hasattr(tf, "lookup"):
        return  # TF 1.13
    whole_line, line_number = (
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(str(path), tf.string, whole_line, tf.int64, line_number), -1
    )
    ids = table.lookup(tf.constant([token.encode() for token in tokens]))
    session.run(tf.tables_initializer())
    size, got = session.run([table.size(), ids])
    assert (size, got.tolist()) == (len(tokens), list(range(len(tokens))))


@pytest.mark.parametrize(
    "content, match",
    [
        (b"", "words.txt: expected one token a line, got an empty file"),
        (b"\n", "line 1: expected a token of 1 to .* got one of 0"),
        (b"a\n\nb\n", "line 2: expected a token of 1 to .* got one of 0"),
        (b"a\r\n\r\n", "line 2: expected a token of 1 to .* got one of 0"),
        (b"a\nb\n\n", "line 3: expected a token of 1 to .* got one of 0"),
        (b"a\nb\nc\nb\n", "line 4: token 'b' is that of line 2 again"),
        (b"a\nb\r\nb\n", "line 3: token 'b' is that of line 2 again"),
        (b"a\ncaf\xe9\n", r"line 2: expected a token in UTF-8, got b'caf\\xe9', whose byte 3"),
        (b"a\n\xed\xa0\x80\n", "line 2: expected a token in UTF-8"),  # a surrogate
        (b"\xef\xbb\xbfa\nb\n", "line 1: expected a token, got a byte order mark"),
        ("a\n".encode("utf-16"), "line 1: expected a token in UTF-8"),
        (b"a\n" + b"x" * (MAX_TOKEN_BYTES + 1) + b"\n", "line 2: expected at most 1048576 bytes"),
        (b"a\n" + b"x" * (MAX_TOKEN_BYTES + 10), "line 2: expected at most 1048576 bytes"),
    ],
)
def test_bad_file_is_refused_with_its_name_and_line(path, content, match):
    with pytest.raises(ValueError, match=match) as caught:
        read(path, content)
    assert "words.txt" in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_longest_token_is_read_whatever_its_line_end(path, end):
    longest = b"x" * MAX_TOKEN_BYTES
    assert read(path, longest + end) == [longest.decode()]
    with pytest.raises(ValueError, match="line 1: expected at most"):
        read(path, longest + b"x" + end)


def test_file_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.txt"):
        read_vocabulary(tmp_path / "nothing.txt")


TOKENS = st.text(min_size=1).filter(lambda token: not set(token) & set("\n\r\ufeff"))


@settings(max_examples=150)
@given(st.lists(TOKENS, min_size=1, unique=True), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_tokens_come_back_as_they_were_written(path, tokens, line_end, last_has_one):
    text = line_end.join(tokens) + (line_end if last_has_one else "")
    assert read(path, text.encode("utf-8")) == tokens


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r", b" ", b"\xc3", b"\xa9", b"\xef\xbb\xbf", b"\0"]))
)
def test_any_bytes_give_tokens_or_a_value_error(path, parts):
    content = b"".join(parts)
    try:
        tokens = read(path, content)
    except ValueError as error:
        assert "words.txt" in str(error)
        return
    lines = content.split(b"\n")
    lines = lines[:-1] if lines[-1] == b"" else lines
    assert [token.encode() for token in tokens] == [
        line[:-1] if line.endswith(b"\r") else line for line in lines
    ]
    assert len(set(tokens)) == len(tokens)
    assert "" not in tokens


# Maps. Row i of the old table holds i, so that a grown table shows where its rows came from.


@st.composite
def growths(draw):
    """Draws (old tokens, new tokens that have them all, in any order, reserved)."""
    old = draw(st.lists(st.integers(0, 30).map(str), unique=True, max_size=10))
    added = draw(st.lists(st.integers(31, 60).map(str), unique=True, max_size=10))
    new = draw(st.permutations(old + added))
    return old, new, Reserved(draw(st.integers(0, 2)), draw(st.integers(0, 2)))


def all_old_ids(mapped):
    """Returns the old id of each row of a grown table, a list."""
    return mapped.old_ids(range(mapped.num_rows)).tolist()


@settings(max_examples=200)
@given(growths())
def test_every_old_token_keeps_its_row_and_reserved_rows_their_place(growth):
    old, new, reserved = growth
    num_old_rows = reserved.first + len(old) + reserved.last
    mapped = id_map(old, new, num_old_rows, reserved)
    expected = (
        list(range(reserved.first))
        + [reserved.first + old.index(token) if token in old else -1 for token in new]
        + list(range(num_old_rows - reserved.last, num_old_rows))
    )
    assert all_old_ids(mapped) == expected
    assert mapped.num_old_rows == num_old_rows
    assert mapped.new_rows == Rows.where(np.array(expected, np.int64) < 0)
    # No old row is lost, none is there twice.
    assert sorted(mapped.old_ids((~mapped.new_rows).ids())) == list(range(num_old_rows))
    assert all_old_ids(id_map(old, new, reserved=tuple(reserved))) == expected


@settings(max_examples=100)
@given(st.data())
def test_dropped_tokens_lose_their_rows_and_no_others_do(data):
    old, new, reserved = data.draw(growths().filter(lambda growth: growth[0]))
    dropped = data.draw(st.lists(st.sampled_from(old), unique=True, max_size=len(old) - 1))
    kept = [token for token in new if token not in dropped]
    mapped = id_map(old, kept, reserved=reserved, drop_missing=True)
    end = mapped.num_rows - reserved.last
    assert all_old_ids(mapped)[reserved.first : end] == [
        reserved.first + old.index(token) if token in old else -1 for token in kept
    ]


@pytest.mark.parametrize("missing", [1, 8])
def test_missing_tokens_are_refused_by_name_and_number(missing):
    old = [f"t{i}" for i in range(10)]
    with pytest.raises(ValueError) as caught:
        id_map(old, ["new"] + old[missing:])
    message = str(caught.value)
    named = ", ".join(repr(token) for token in old[: min(missing, 5)])
    assert f"lacks {missing} of 10 old tokens, such as {named}. Add them" in message
    assert "drop_missing=True (--drop-missing)" in message


@pytest.mark.parametrize("drop_missing", [False, True])
def test_vocabularies_without_a_common_token_are_refused(drop_missing):
    with pytest.raises(ValueError, match="lacks 2 of 2 .* Are both vocabularies of the same table"):
        id_map(["a", "b"], ["A", "B"], drop_missing=drop_missing)


@pytest.mark.parametrize("rows, remedy", [(5, "first:2 or last:1"), (2, "trained with")])
def test_table_of_another_row_count_is_refused_with_a_hint_of_reserved_rows(rows, remedy):
    match = rf"a row for each of 3 old tokens and 1 \+ 0 reserved rows .* got {rows} rows.*{remedy}"
    with pytest.raises(ValueError, match=match):
        id_map(["a", "b", "c"], ["a", "b", "c"], num_old_rows=rows, reserved=Reserved(1, 0))


@pytest.mark.parametrize("argument", ["old_tokens", "new_tokens"])
def test_token_given_twice_is_refused(argument):
    tokens = {"old_tokens": ["a", "b"], "new_tokens": ["a", "b"]}
    tokens[argument] = ["a", "b", "b", "a", "b"]
    with pytest.raises(
        ValueError, match=f"`{argument}` must have each token once, got 'b' 3 times"
    ):
        id_map(**tokens)


@settings(max_examples=100)
@given(st.integers(0, 5), st.integers(0, 2), st.integers(0, 2), st.integers(1, 5))
def test_appended_rows_come_before_the_reserved_last_ones(num_tokens, first, last, num_new_rows):
    num_old_rows = first + num_tokens + last
    mapped = append_map(num_old_rows, num_new_rows, Reserved(first, last))
    start = first + num_tokens
    assert all_old_ids(mapped) == (
        list(range(start)) + [-1] * num_new_rows + list(range(start, num_old_rows))
    )
    size = num_old_rows + num_new_rows
    assert mapped.new_rows == Rows.range(start, start + num_new_rows, size)
    assert mapped.num_old_rows == num_old_rows
    # As a vocabulary would that has new tokens at its end.
    old = [str(i) for i in range(num_tokens)]
    new = old + [f"new {i}" for i in range(num_new_rows)]
    by_vocabulary = id_map(old, new, reserved=Reserved(first, last))
    assert all_old_ids(by_vocabulary) == all_old_ids(mapped)


def test_appending_nothing_or_to_fewer_rows_than_are_reserved_is_refused():
    with pytest.raises(ValueError, match="`num_new_rows` .--rows. must be positive, got 0"):
        append_map(5, 0)
    with pytest.raises(ValueError, match="`reserved` must be at most the table's 2 rows, got 2 at"):
        append_map(2, 1, Reserved(2, 1))
    for reserved in (Reserved(-1, 0), Reserved(0, -1)):
        with pytest.raises(ValueError, match="`reserved` must be numbers of rows, not negative"):
            append_map(5, 1, reserved)
        with pytest.raises(ValueError, match="`reserved` must be numbers of rows, not negative"):
            id_map(["a"], ["a"], reserved=reserved)


@pytest.mark.parametrize(
    "text, reserved",
    [
        ("first:1", (1, 0)),
        ("last:2", (0, 2)),
        ("first:1,last:2", (1, 2)),
        ("last:2,first:1", (1, 2)),
        ("first:0", (0, 0)),
    ],
)
def test_reserved_rows_are_parsed(text, reserved):
    assert parse_reserved(text) == Reserved(*reserved)


@pytest.mark.parametrize(
    "text",
    ["", "first", "first:", "first:x", "first:-1", "middle:1", "first:1,", "first:1,first:2"]
    + ["first:1 last:1", " first:1", "first:1\n", "first:1.5", "first:٣", "first:" + "9" * 5000],
)
def test_other_texts_of_reserved_rows_are_refused(text):
    with pytest.raises(ValueError, match="reserved rows must be first:N, last:N or first:N,last:N"):
        parse_reserved(text)


def test_scores_behind_tabs_are_no_part_of_a_token(tmp_path):
    path = tmp_path / "words.vocab"
    path.write_bytes(b"<unk>\t0\n_the\t-3.47864\n_of\t-1e-3\n")
    with pytest.raises(ValueError, match=r"TOKEN<TAB>SCORE, such as .* \(--first-column\)"):
        read_vocabulary(str(path))
    assert read_vocabulary(str(path), first_column=True) == ["<unk>", "_the", "_of"]
    # What is not so in every line is a token with a tab.
    path.write_bytes(b"a\t1\nb\tc\n")
    assert read_vocabulary(str(path)) == ["a\t1", "b\tc"]
    with pytest.raises(ValueError, match="token 'a' is that of line 1 again"):
        path.write_bytes(b"a\t1\na\t2\n")
        read_vocabulary(str(path), first_column=True)
