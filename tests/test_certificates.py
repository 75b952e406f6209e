"""Certificates: written and read again, whole or not at all."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tf1_embed import Rows, __version__, certificates
from tf1_embed.certificates import Certificate, read_certificates, write_certificates

DIGEST = "0123456789abcdef" * 4
SMALL = Certificate("a/table", Rows.range(0, 10, size=12), "float32", (2,), DIGEST, "old.ckpt-7")
COLUMNS = SMALL._replace(table="p", axis=1)
OTHER = Certificate("bias", Rows.of([0, 2, 3], size=5), "bfloat16", (), DIGEST, None)

names = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=8)


tables = st.tuples(names, st.frozensets(st.integers(0, 20)), names)


@settings(max_examples=50)
@given(st.lists(tables, unique_by=lambda table: table[0]))
def test_what_is_written_is_read_again(tmp_path_factory, given_tables):
    prefix = str(tmp_path_factory.mktemp("certificates") / "model.ckpt")
    written = [SMALL._replace(table="always there, too long to be drawn"), COLUMNS]
    for name, ids, base in given_tables:
        written.append(Certificate(name, Rows.of(sorted(ids), 21), "float16", (), DIGEST, base))
    path = write_certificates(prefix, written)
    assert path == f"{prefix}.rows.json"
    for each in (prefix, path):
        assert read_certificates(each) == {one.key: one for one in written}
    assert os.listdir(os.path.dirname(prefix)) == ["model.ckpt.rows.json"]


def test_text_is_small_the_same_each_time_and_names_the_version(tmp_path):
    write_certificates(tmp_path / "one", [SMALL, OTHER])
    write_certificates(tmp_path / "two", [OTHER, SMALL])
    text = (tmp_path / "one.rows.json").read_text()
    assert text == (tmp_path / "two.rows.json").read_text()
    assert (
        text
        == f"""{{
  "format": 1,
  "tables": {{
    "a/table": {{
      "base": "old.ckpt-7",
      "dtype": "float32",
      "row_shape": [2],
      "rows": [[0, 10]],
      "sha256": "{DIGEST}",
      "size": 12
    }},
    "bias": {{
      "base": null,
      "dtype": "bfloat16",
      "row_shape": [],
      "rows": [[0, 1], [2, 4]],
      "sha256": "{DIGEST}",
      "size": 5
    }}
  }},
  "versions": {{
    "tf1_embed": "{__version__}"
  }}
}}
"""
    )


def test_an_older_file_is_replaced_and_stays_when_the_writing_fails(tmp_path, monkeypatch):
    write_certificates(tmp_path / "model", [SMALL])
    write_certificates(tmp_path / "model", [OTHER])
    assert set(read_certificates(tmp_path / "model")) == {"bias"}

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(certificates.os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        write_certificates(tmp_path / "model", [SMALL])
    assert set(read_certificates(tmp_path / "model")) == {"bias"}
    assert os.listdir(str(tmp_path)) == ["model.rows.json"]


def test_others_may_read_it_as_any_new_file(tmp_path):
    (tmp_path / "any").write_text("")
    path = write_certificates(tmp_path / "model", [SMALL])
    assert os.stat(path).st_mode == os.stat(str(tmp_path / "any")).st_mode


def test_one_table_twice_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`certificates` must be one a table"):
        write_certificates(tmp_path / "model", [SMALL, SMALL])
    with pytest.raises(FileNotFoundError, match="there is no certificate"):
        read_certificates(tmp_path / "model")
    assert os.listdir(str(tmp_path)) == []


def changed(**fields):
    """Returns a function that changes fields of the one table."""

    def change(content):
        content["tables"]["a/table"].update(fields)
        return content

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda content: [], "it has no `format`"),
        (lambda content: {}, "it has no `format`"),
        (lambda content: dict(content, format=2), "it has format 2, and this version reads 1"),
        (lambda content: dict(content, format=True), "`format` must be an int, got True"),
        (lambda content: {"format": 1}, "it has no `tables`"),
        (lambda content: dict(content, tables=[]), "`tables` must be a dict of tables, got"),
        (lambda content: dict(content, tables={"x": 3}), "it has no `sha256` of table 'x'"),
        (changed(sha256=DIGEST.upper()), "`sha256` of table 'a/table' must be 64 hexadecimal"),
        (changed(sha256=None), "`sha256`"),
        (changed(dtype=32), "`dtype`"),
        (
            changed(axis=2, table="a/table"),
            "`axis` of table 'a/table' must be an axis of it, got 2",
        ),
        (changed(axis=1, table="a/table"), "table 'a/table' is 'a/table:1' by what it says"),
        (changed(axis=1, table=""), "`table`"),
        (changed(row_shape=2), "`row_shape`"),
        (changed(row_shape=[-2]), "`row_shape`"),
        (changed(base=7), "`base`"),
        (changed(size="12"), "`size`"),
        (changed(size=True), "`size`"),
        (changed(rows=[0, 10]), "`rows`"),
        (changed(rows=[[0, 10, 11]]), "`rows`"),
        (changed(rows=[[0, 1], [2]]), "`rows`"),
        (changed(rows=[[0.0, 10.0]]), "`rows`"),
        (changed(rows=[[0, 10**30]]), "`rows`"),
        (changed(rows=[[0, 13]]), r"`runs` must be in \[0, 12\)"),
        (changed(rows=[[4, 2]]), r"`runs` must be in \[0, 12\)"),
    ],
)
def test_what_is_no_certificate_is_an_error_that_says_where(tmp_path, change, message):
    path = write_certificates(tmp_path / "model", [SMALL])
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(change(content), file)
    with pytest.raises(ValueError, match=message) as error:
        read_certificates(path)
    assert repr(path) in str(error.value)


@pytest.mark.parametrize("length", [0, 1, 40, 200])
def test_a_truncated_file_is_an_error_that_says_so(tmp_path, length):
    path = write_certificates(tmp_path / "model", [SMALL])
    text = (tmp_path / "model.rows.json").read_text()
    (tmp_path / "model.rows.json").write_text(text[:length])
    with pytest.raises(ValueError, match="it is not JSON, or truncated"):
        read_certificates(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 200000], ids=["no text", "deep"])
def test_a_file_that_is_no_json_is_an_error_that_says_so(tmp_path, content):
    (tmp_path / "model.rows.json").write_bytes(content)
    with pytest.raises(ValueError, match="it is not JSON"):
        read_certificates(tmp_path / "model")
