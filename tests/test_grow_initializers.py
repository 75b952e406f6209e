"""`tf1-embed grow` with files that know something of new rows."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from support.tables import counting_rows, load_checkpoint, save_checkpoint
from tf1_embed import initializers
from tf1_embed.checkpoint.grow import grow_checkpoint
from tf1_embed.cli import main
from tf1_embed.vocabulary import id_map, read_parts
from tf1_embed.word_vectors import write_word_vectors

# Row 0 is padding; "cat" and the others are rows 1 to 4.
OLD = ["cat", "dog", "sun", "flower"]
NEW = ["sunflower", "dog", "cat", "kitten", "sun", "flower", "New York"]
VECTORS = np.float32([[1, 2], [3, 4], [5, 6]])
GROW = "grow old --old-vocab old.txt --new-vocab new.txt --reserved first:1 --out new --force"


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """The working folder: a checkpoint of five rows and a bias, vocabularies, vectors, parts."""
    monkeypatch.chdir(str(tmp_path))
    save_checkpoint("old", {"e": counting_rows(5, 2), "bias": np.arange(5, dtype=np.float32)})
    for name, tokens in (("old.txt", OLD), ("new.txt", NEW)):
        Path(name).write_text("".join(f"{each}\n" for each in tokens))
    for name, format in (("w.vec", "word2vec"), ("w.bin", "word2vec-bin"), ("w.npy", "npy")):
        tokens = ["kitten", "other", "sunflower"]
        write_word_vectors(name, format, 3, 2, [(tokens, VECTORS)])
    Path("w.txt").write_text("kitten\nother\nsunflower\n")
    Path("parts.txt").write_text("sunflower\tsun\tflower\nNew York\tkitten\tdog\ncat\tdog\n")
    return tmp_path


def run(command):
    """Runs a command line in this process; returns its exit status."""
    return main(shlex.split(command))


def grown():
    """Returns the rows of the new tokens, and of "e" all others, which must be the old ones."""
    rows = load_checkpoint("new")["e"]
    order = [0, 2, 1, 3, 4]
    np.testing.assert_array_equal(rows[[0, 2, 3, 5, 6]], counting_rows(5, 2)[order])
    return rows[[1, 4, 7]]


@pytest.mark.parametrize("file", ["w.vec", "w.bin", "w.npy --vectors-vocab w.txt"])
def test_vectors_of_a_file_are_found_by_token_and_counted(workdir, capsys, file):
    command = f"{GROW} --only-tables --initializer vectors:{file} --fallback constant:7"
    assert run(command) == 0
    np.testing.assert_array_equal(grown(), [VECTORS[2], VECTORS[0], [7, 7]])
    path = file.split()[0]
    said = f"vectors:{path}: 2 new rows known, 1 by constant(7.0) (New York)"
    assert said in capsys.readouterr().out.splitlines()
    assert run(f"{command} --json") == 0
    assert json.loads(capsys.readouterr().out)["initializers"] == [
        {
            "variable": None,
            "initializer": f"vectors:{path}",
            "num_known": 2,
            "lacking": ["New York"],
            "fallback": "constant(7.0)",
        }
    ]


def test_parts_are_means_and_new_rows_may_be_parts(workdir, capsys):
    Path("parts.txt").write_text("sunflower\tsun\tflower\nkitten\tcat\nNew York\tkitten\tdog\n")
    assert run(f"{GROW} --also bias --initializer parts:parts.txt") == 0
    np.testing.assert_array_equal(grown()[:, 0], [3.5, 1, 1.5])
    np.testing.assert_array_equal(load_checkpoint("new")["bias"][[1, 4, 7]], [3.5, 1, 1.5])
    assert "parts:parts.txt: 3 new rows known\n" in capsys.readouterr().out


def test_each_variable_may_have_its_own(workdir, capsys):
    each = "--initializer e=vectors:w.vec --initializer bias=parts:parts.txt --fallback mean"
    assert run(f"{GROW} --also bias {each}") == 0
    np.testing.assert_array_equal(grown(), [VECTORS[2], VECTORS[0], [2, 2]])
    # "New York" is the mean of "dog" and of "kitten", which has no parts itself.
    np.testing.assert_array_equal(load_checkpoint("new")["bias"][[1, 4, 7]], [3.5, 2, 2])
    printed = capsys.readouterr().out
    assert "e: vectors:w.vec: 2 new rows known, 1 by mean() (New York)" in printed
    assert "bias: parts:parts.txt: 2 new rows known, 1 by mean() (kitten)" in printed


@pytest.mark.parametrize("table", ["e", "bias"])
def test_the_command_gives_what_the_functions_give(workdir, table):
    donor = np.random.RandomState(0).randn(7, 3).astype(np.float32)
    tokens = [*OLD, "kitten", "sunflower", "lion"]
    write_word_vectors("donor.vec", "word2vec", 7, 3, [(tokens, donor)])
    new_tokens = ["sunflower", "kitten", "New York"]
    reserved = (1, 0)
    ids = {token: number for number, token in enumerate(["", *OLD, *new_tokens])}
    for text, initializer in [
        (
            "donor:donor.vec",
            initializers.from_donor(
                donor, new_tokens, OLD, tokens, reserved=reserved, fallback=initializers.mean()
            ),
        ),
        (
            "parts:parts.txt",
            initializers.mean_of(
                read_parts("parts.txt", ids.get, 5, 3), fallback=initializers.mean()
            ),
        ),
    ]:
        options = f"--table {table} --only-tables --initializer {text} --fallback mean"
        assert run(f"{GROW} {options}") == 0
        mapping = id_map(OLD, NEW, reserved=reserved)
        grow_checkpoint(
            "old", [table], "same", id_map=mapping, also=[], initializer=initializer, force=True
        )
        rows, same = load_checkpoint("new")[table], load_checkpoint("same")[table]
        assert rows.tobytes() == same.tobytes()
        assert len(np.unique(rows[[1, 4, 7]])) > 1


def test_parts_may_be_ids_of_the_grown_table(workdir):
    Path("ids.txt").write_text("4 0 5\n5 1 2\n")
    append = "grow old --table e --only-tables --out new --force --rows 2"
    # With the last row reserved the new ones are 4 and 5, and the last old one is 6.
    assert run(f"{append} --reserved last:1 --initializer parts:ids.txt") == 0
    rows = load_checkpoint("new")["e"]
    np.testing.assert_array_equal(rows[:, 0], [0, 1, 2, 3, 0.75, 1.5, 4])
    Path("ids.txt").write_text("5 0 4\n6 5 5\n")
    assert run(f"{append} --initializer parts:ids.txt") == 0
    np.testing.assert_array_equal(load_checkpoint("new")["e"][:, 0], [0, 1, 2, 3, 4, 2, 2])


def test_a_dry_run_counts_as_well(workdir, capsys):
    assert run(f"{GROW} --only-tables --dry-run --initializer vectors:w.vec --fallback mean") == 0
    assert "2 new rows known, 1 by mean() (New York)" in capsys.readouterr().out
    assert not Path("new.index").exists()


@pytest.mark.parametrize(
    "options, error",
    [
        ("--initializer vectors:w.vec", "known of 1 of 3 new tokens, such as 'New York'. Say what"),
        ("--initializer vectors:w.npy", "w.npy has no tokens: give --vectors-vocab"),
        ("--initializer vectors:w.vce", "there is no file 'w.vce'; did you mean 'w.vec'?"),
        ("--initializer e=vectors:w.vec --fallback best", "--fallback must be zeros, glorot_"),
        ("--initializer vectors:", "there is no file ''"),
        ("--initializer mean --fallback mean", "--fallback needs --initializer vectors:FILE"),
        ("--initializer mean --duplicates first", "--duplicates is for --initializer vectors:"),
        ("--initializer parts:parts.txt --vectors-vocab w.txt", "--vectors-vocab is for"),
        ("--initializer donor:w.vec", "w.vec has none of the 4 old tokens, such as ['cat', 'dog',"),
        ("--initializer parts:parts.txt", "known of 1 of 3 new tokens, such as 'kitten'"),
        ("--initializer mean --initializer zeros", "--initializer is given twice"),
        ("--initializer e=mean --initializer e=zeros", "--initializer is given twice for e"),
        ("--initializer bad.npy", "--initializer bad.npy is no .npy file of numbers"),
        ("--initializer empty.npy", "--initializer empty.npy is no .npy file of numbers"),
        ("--also bias", "--only-tables grows nothing else: give no --also with it"),
        ("--initializer zeros --seed 5", "--seed is for an --initializer or a --fallback that"),
        ("--seed 5", "--seed is for an --initializer or a --fallback that draws"),
        ("--initializer parts:bad.txt", "bad.txt, line 1: expected a token and its parts"),
        ("--initializer vectors:wide.vec", "wide.vec has vectors of dim 3, but 'e' has rows of"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_written(workdir, capsys, options, error):
    Path("bad.txt").write_text("kitten lion\n")
    Path("bad.npy").write_text("rows")
    Path("empty.npy").write_text("")
    Path("wide.vec").write_text("1 3\nkitten 1 2 3\n")
    assert run(f"{GROW} --table e --only-tables {options}") == 2
    message = capsys.readouterr().err
    assert message.startswith("tf1-embed: ") and error in message
    assert not list(workdir.glob("new.[di]*"))


@pytest.mark.parametrize("name", ["", "e="])
def test_paths_may_have_an_equals_sign(workdir, name):
    Path("day=3").mkdir()
    Path("w.vec").rename("day=3/w.vec")
    options = f"--initializer {name}vectors:day=3/w.vec --fallback glorot_normal --seed 5"
    assert run(f"{GROW} --only-tables {options}") == 0
    np.testing.assert_array_equal(grown()[:2], [VECTORS[2], VECTORS[0]])


def test_files_by_token_need_vocabularies_and_ids_are_told(workdir, capsys):
    append = "grow old --table e --only-tables --out new --rows 2"
    assert run(f"{append} --initializer vectors:w.vec") == 2
    assert "vectors:FILE needs --old-vocab and --new-vocab" in capsys.readouterr().err
    assert run(f"{append} --initializer parts:parts.txt") == 2
    assert "(without --new-vocab, tokens are ids of the grown table, 0 to 6)" in (
        capsys.readouterr().err
    )
    assert run("grow old --out new --rows e=2 --rows bias=3 --initializer parts:parts.txt") == 2
    assert "give one --rows K for all tables" in capsys.readouterr().err


def test_no_output_may_be_a_file_that_an_initializer_reads(workdir, capsys):
    Path("new.index").write_text("sunflower\tsun\nkitten\tcat\nNew York\tdog\n")
    assert run(f"{GROW} --only-tables --initializer e=parts:new.index") == 2
    assert "would replace new.index, which is read (--initializer)" in capsys.readouterr().err


def test_parts_of_tokens_that_are_unknown_or_there_twice_are_told(workdir):
    ids = {"a": 0, "b": 1, "c": 2, "": 3}
    for text, message in [
        ("c\ta\nc\tb\n", "line 2: token 'c' is that of line 1 again. Give the parts of a token in"),
        ("c a x\n", "line 1: expected a token .* got 'x', which is none"),
        ("\n", "line 1: expected a token of 1 to"),
    ]:
        Path("p.txt").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_parts("p.txt", ids.get, 2, 1)
    # An old token's line says nothing of new rows.
    Path("p.txt").write_text("a b\nc b b a\n")
    assert read_parts("p.txt", ids.get, 2, 1) == [[1, 1, 0]]
