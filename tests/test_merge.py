import hashlib
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tables import (
    DTYPES,
    bits,
    counting_rows,
    flip_byte,
    load_checkpoint,
    save_checkpoint,
    special_rows,
    truncate,
)

import tf1_embed
from tf1_embed.checkpoint import writer
from tf1_embed.cli import main

OTHERS = {
    "bias": special_rows()[:, 0].copy(),
    "global_step": np.int64(2**53 + 1),
    "is_ready": np.array([True, False]),
    "words": np.array([b"caf\xc3\xa9", b"", b"\x00\xff"], object),
    "no_rows": np.zeros([0, 3], np.float32),
    "embedding_new_rows/Adam": counting_rows(4, start=40),
}


@pytest.fixture
def grown(tmp_path):
    """The prefix of a checkpoint of 14 frozen rows and 4 new ones, in a folder of its own."""
    (tmp_path / "grown").mkdir()
    tables = {"embedding": special_rows(), "embedding_new_rows": counting_rows(4, start=14)}
    return save_checkpoint(tmp_path / "grown" / "model.ckpt-3", dict(OTHERS, **tables))


def files_of(folder):
    """Returns a dict from each file under a folder to the SHA-256 of what it holds."""
    return {
        str(path.relative_to(str(folder))): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


def assert_same(got, expected):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    if expected.dtype == object:
        assert got.tolist() == expected.tolist()
    else:
        assert got.dtype == expected.dtype
        assert got.tobytes() == expected.tobytes()


def test_merged_table_is_old_and_new_rows_bit_for_bit_under_the_old_name(grown, tmp_path):
    shapes = tf1_embed.merge_checkpoint(grown, ["embedding"], tmp_path / "merged")
    assert shapes == {"embedding": (18, 2)}
    merged = load_checkpoint(tmp_path / "merged")
    assert set(merged) == set(OTHERS) | {"embedding"}
    assert_same(bits(merged["embedding"][:14]), bits(special_rows()))
    assert_same(merged["embedding"][14:], counting_rows(4, start=14))


def test_other_variables_pass_through_bit_for_bit(grown, tmp_path):
    tf1_embed.merge_checkpoint(grown, ["embedding"], tmp_path / "merged")
    merged = load_checkpoint(tmp_path / "merged")
    for name, expected in OTHERS.items():
        assert_same(merged[name], expected)


def test_input_is_untouched_and_nothing_but_the_output_is_written(grown, tmp_path):
    before = files_of(tmp_path)
    tf1_embed.merge_checkpoint(grown, ["embedding"], tmp_path / "merged")
    after = files_of(tmp_path)
    assert {name: after[name] for name in before} == before
    written = set(after) - set(before)
    assert "merged.index" in written
    assert all(name.startswith("merged.") for name in written)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 2])
def test_tables_of_any_dtype_and_rank_merge_and_open_through_a_saver(tmp_path, dtype, dim):
    old = special_rows(dtype) if dim else special_rows(dtype)[:, 0].copy()
    new = counting_rows(3, dim, dtype)
    grown = save_checkpoint(tmp_path / "grown", {"a/e": old, "a/e_new_rows": new})
    assert tf1_embed.merge_checkpoint(grown, ["a/e"], tmp_path / "merged")["a/e"][0] == 17
    with tf.Graph().as_default(), tf.Session() as session:
        variable = tf.get_variable("a/e", [17] + ([dim] if dim else []), dtype)
        tf.train.Saver().restore(session, str(tmp_path / "merged"))
        got = session.run(variable)
    assert_same(bits(got), np.concatenate([bits(old), bits(new)]))


def test_several_tables_merge_at_once(tmp_path):
    values = {}
    for table in ("real", "imaginary"):
        values[table], values[f"{table}_new_rows"] = counting_rows(5), counting_rows(2, start=5)
    grown = save_checkpoint(tmp_path / "grown", values)
    shapes = tf1_embed.merge_checkpoint(grown, ["real", "imaginary"], tmp_path / "merged")
    assert shapes == {"real": (7, 2), "imaginary": (7, 2)}
    merged = load_checkpoint(tmp_path / "merged")
    assert set(merged) == {"real", "imaginary"}
    for table in merged.values():
        assert_same(table, counting_rows(7))


def test_object_based_checkpoint_merges(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        old = tf.get_variable("old", initializer=counting_rows(5), use_resource=True)
        new = tf.get_variable("new", initializer=counting_rows(2, start=5), use_resource=True)
        session.run(tf.global_variables_initializer())
        saved = tf.train.Checkpoint(e=old, e_new_rows=new)
        prefix = saved.save(str(tmp_path / "object"), session=session)
    tf1_embed.merge_checkpoint(prefix, ["e"], tmp_path / "merged")
    merged = load_checkpoint(tmp_path / "merged")
    assert_same(merged["e/.ATTRIBUTES/VARIABLE_VALUE"], counting_rows(7))
    assert not any("e_new_rows" in name for name in merged)


def test_partitioned_variables_merge_and_pass_through(tmp_path):
    values = {
        "e": counting_rows(11),
        "e_new_rows": counting_rows(4, start=11),
        "other": counting_rows(7),
    }
    grown = save_checkpoint(tmp_path / "grown", values, partitions=2)
    tf1_embed.merge_checkpoint(grown, ["e"], tmp_path / "merged")
    merged = load_checkpoint(tmp_path / "merged")
    assert_same(merged["e"], counting_rows(15))
    assert_same(merged["other"], counting_rows(7))


@pytest.mark.parametrize("name", ["with space", "ünï-cødé", "star*?", "a.b.c", "model.ckpt-7"])
def test_prefixes_are_names_and_no_patterns(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    values = {"e": counting_rows(5), "e_new_rows": counting_rows(2, start=5)}
    grown = save_checkpoint(folder / name, values)
    tf1_embed.merge_checkpoint(grown, ["e"], folder / f"{name} merged")
    assert_same(load_checkpoint(folder / f"{name} merged")["e"], counting_rows(7))


@pytest.mark.parametrize("out", ["merged", "./merged", "sub/../merged"])
def test_relative_prefixes_are_of_the_working_folder(grown, tmp_path, monkeypatch, out):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(str(tmp_path))
    tf1_embed.merge_checkpoint(os.path.join("grown", "model.ckpt-3"), ["embedding"], out)
    assert load_checkpoint(tmp_path / "merged")["embedding"].shape == (18, 2)


def test_folder_stands_for_its_latest_checkpoint(grown, tmp_path):
    tf1_embed.merge_checkpoint(tmp_path / "grown", ["embedding"], tmp_path / "merged")
    assert load_checkpoint(tmp_path / "merged")["embedding"].shape == (18, 2)


# Bad input, by Python and by the command. Nothing is left behind.


def assert_refused(tmp_path, capfd, kind, match, arguments, out="merged"):
    """Asserts that the merge fails both ways, says why, and changes no file."""
    checkpoint, tables = arguments
    out = str(tmp_path / out)
    before = files_of(tmp_path)
    with pytest.raises(kind, match=match):
        tf1_embed.merge_checkpoint(checkpoint, tables, out)
    assert files_of(tmp_path) == before
    options = [each for table in tables for each in ("--table", table)]
    capfd.readouterr()
    assert main(["merge", str(checkpoint), *options, "--out", out]) == 2
    message = capfd.readouterr().err
    assert "tf1-embed: " in message
    assert "Traceback" not in message
    assert files_of(tmp_path) == before
    with pytest.raises(kind):
        main(["--debug", "merge", str(checkpoint), *options, "--out", out])
    return message


def test_checkpoint_that_does_not_exist_is_refused(tmp_path, capfd):
    arguments = tmp_path / "nothing", ["e"]
    message = assert_refused(tmp_path, capfd, FileNotFoundError, "found neither", arguments)
    assert "nothing" in message


def test_folder_of_the_output_must_exist(grown, tmp_path, capfd):
    match = "there is no folder '.*sub' to write the checkpoint to"
    arguments = grown, ["embedding"]
    assert_refused(tmp_path, capfd, FileNotFoundError, match, arguments, "sub/merged")


def test_checkpoint_that_exists_is_not_overwritten(grown, tmp_path, capfd):
    save_checkpoint(tmp_path / "merged", {"e": counting_rows(3)})
    match = "merged exists; choose another name"
    assert_refused(tmp_path, capfd, FileExistsError, match, (grown, ["embedding"]))
    # Nor is the input.
    out = os.path.join("grown", "model.ckpt-3")
    match = "model.ckpt-3 exists"
    assert_refused(tmp_path, capfd, FileExistsError, match, (grown, ["embedding"]), out)


@pytest.mark.parametrize("missing", ["embedding", "embedding_new_rows"])
def test_table_without_both_variables_is_refused(tmp_path, capfd, missing):
    tables = {"embedding": counting_rows(5), "embedding_new_rows": counting_rows(2)}
    tables.pop(missing)
    grown = save_checkpoint(tmp_path / "grown", tables)
    message = assert_refused(
        tmp_path, capfd, KeyError, f"no variable '{missing}'", (grown, ["embedding"])
    )
    # A KeyError prints its own quotes around what it says.
    assert message.startswith("tf1-embed: checkpoint ")


@pytest.mark.parametrize(
    "new_rows", [counting_rows(2, 3), counting_rows(2, None), counting_rows(2, dtype="float64")]
)
def test_variables_that_are_not_rows_of_one_table_are_refused(tmp_path, capfd, new_rows):
    grown = save_checkpoint(tmp_path / "grown", {"e": counting_rows(5), "e_new_rows": new_rows})
    assert_refused(tmp_path, capfd, ValueError, "are not rows of one table", (grown, ["e"]))


def test_row_split_table_is_refused_as_its_rows_are_not_known(tmp_path):
    tables = {"e": counting_rows(4), "e_trainable_rows": counting_rows(2)}
    prefix = save_checkpoint(tmp_path / "split", tables)
    with pytest.raises(ValueError, match="'e' is a row-split table.*GrownTable.read"):
        tf1_embed.merge_checkpoint(prefix, ["e"], tmp_path / "merged")


def test_tables_are_a_list(grown, tmp_path):
    with pytest.raises(ValueError, match="`tables` must be a list of names, got the string"):
        tf1_embed.merge_checkpoint(grown, "embedding", tmp_path / "merged")


def test_brackets_are_refused_as_tensorflow_would_never_find_the_output(grown, tmp_path, capfd):
    match = "`out` must be a path without brackets"
    assert_refused(tmp_path, capfd, ValueError, match, (grown, ["embedding"]), "merged[1]")


def test_truncated_checkpoint_is_refused(grown, tmp_path, capfd):
    truncate(tmp_path / "grown" / "model.ckpt-3.data-00000-of-00001", 40)
    match = "DataLossError: .* damaged"
    assert_refused(tmp_path, capfd, tf.errors.DataLossError, match, (grown, ["embedding"]))


@pytest.mark.parametrize("file", ["index", "data-00000-of-00001"])
def test_flipped_byte_is_refused(grown, tmp_path, capfd, file):
    flip_byte(tmp_path / "grown" / f"model.ckpt-3.{file}", 60)
    error = tf.errors.DataLossError
    assert_refused(tmp_path, capfd, error, "[Cc]hecksum|damaged", (grown, ["embedding"]))


def fails(function, when):
    """Returns `function`, which fails where `when`, a function of its last argument, says so."""

    def call(*args, **kwargs):
        if when(args[-1]):
            raise OSError("No space left on device")
        return function(*args, **kwargs)

    return call


@pytest.mark.parametrize("step", ["piece", "merge", "first file", "last file"])
def test_failure_midway_leaves_nothing_behind(grown, tmp_path, capfd, monkeypatch, step):
    pieces = []
    owner, name, when = {
        "piece": (writer, "_slice_spec", lambda _: len(pieces) > 2 or pieces.append(1)),
        "merge": (writer.CheckpointWriter, "_publish", lambda _: True),
        "first file": (os, "replace", lambda _: True),
        "last file": (os, "replace", lambda target: target.endswith(".index")),
    }[step]
    monkeypatch.setattr(owner, name, fails(getattr(owner, name), when))
    assert_refused(tmp_path, capfd, OSError, "No space left", (grown, ["embedding"]))


def test_interrupt_leaves_nothing_behind(grown, tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer.CheckpointWriter, "_publish", interrupt)
    before = files_of(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tf1_embed.merge_checkpoint(grown, ["embedding"], tmp_path / "merged")
    assert files_of(tmp_path) == before


# The command.


def test_command_merges_and_says_what_it_wrote(grown, tmp_path, capsys):
    out = str(tmp_path / "merged")
    assert main(["merge", grown, "--table", "embedding", "--out", out]) == 0
    assert capsys.readouterr().out.splitlines() == ["embedding: (18, 2)", f"written to {out}"]
    assert load_checkpoint(out)["embedding"].shape == (18, 2)


def test_command_merges_several_tables(tmp_path, capsys):
    values = {"a": counting_rows(3), "a_new_rows": counting_rows(1)}
    values.update(b=counting_rows(3), b_new_rows=counting_rows(2))
    grown = save_checkpoint(tmp_path / "grown", values)
    options = ["--table", "a", "--table", "b", "--out", str(tmp_path / "merged")]
    assert main(["merge", grown, *options]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["a: (4, 2)", "b: (5, 2)"]


@pytest.mark.parametrize("arguments", [[], ["merge"], ["merge", "x"], ["merge", "x", "--table"]])
def test_command_without_its_arguments_shows_its_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: tf1-embed" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["merge", "--help"], ["--version"]])
def test_command_tells_about_itself(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    expected = tf1_embed.__version__ if arguments == ["--version"] else "usage: tf1-embed"
    assert expected in capsys.readouterr().out
