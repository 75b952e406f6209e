"""What a command prints, whatever can be printed; and what it says when it fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.tables import counting_rows, load_checkpoint, save_checkpoint
from tf1_embed.checkpoint.files.writer import CheckpointWriter
from tf1_embed.cli import main
from tf1_embed.new_files.working_folder import WorkingFolder

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A folder with the checkpoint old."""
    save_checkpoint(tmp_path / "old", {"e": counting_rows(5)})
    monkeypatch.chdir(tmp_path)
    return tmp_path


GROW = "grow old --table e --rows 2 --initializer zeros --out new".split()


def run_process(workdir, *arguments, **options):
    """Runs the command in a process; returns what became of it."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT), **options.pop("settings", {}))
    options = dict({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}, **options)
    return subprocess.run(
        [sys.executable, "-m", "tf1_embed", *arguments],
        cwd=str(workdir),
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=120,
        **options,
    )


def test_what_the_locale_lacks_is_written_in_what_it_has(workdir):
    done = run_process(workdir, *GROW, settings={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stderr == b""
    assert b"[5, 2] -> [7, 2]" in done.stdout
    assert (workdir / "new.index").exists()


def closed_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("arguments", [["inspect", "old"], GROW, ["--help"], ["grow", "--help"]])
def test_pipe_that_nobody_reads_is_no_error(workdir, arguments):
    writing = closed_pipe()
    done = run_process(workdir, *arguments, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (workdir / "new.index").exists() == (arguments == GROW)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_device_is_told_and_is_no_error(workdir):
    with open("/dev/full", "wb") as full:
        done = run_process(workdir, *GROW, stdout=full)
        assert done.returncode == 0
        assert b"what it says could not be printed: " in done.stderr
        done = run_process(workdir, "inspect", "nothing", stderr=full)
        assert (done.returncode, done.stdout) == (2, b"")


def test_there_may_be_no_stdout_at_all(workdir, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(GROW) == 0
    monkeypatch.setattr(sys, "stderr", None)
    assert main(GROW) == 2


NAME = "e\x1b[31mred\r\u202e\nforged"
ESCAPED = r"e\x1b[31mred\r\u202e\nforged"


def test_control_characters_of_names_are_escaped(workdir, capsys):
    # A Saver would refuse the name.
    with CheckpointWriter("odd") as writer:
        writer.add(NAME, np.dtype("float32"), [5, 2], [counting_rows(5)])
    for command in (
        ["inspect", "odd"],
        ["inspect", "odd", "*", "--rows", "0"],
        ["grow", "odd", "--table", "*", "--rows", "1", "--out", "grown"],
        ["verify", "odd", "grown", "--table", "*"],
        ["verify", "grown.rows.json", "grown"],
        ["split", "odd", "--table", "*", "--old-rows", "2", "--out", "split"],
    ):
        assert main(command) == 0
        out = capsys.readouterr().out
        assert ESCAPED in out and NAME[:5] not in out and "\nforged" not in out
    assert main(["inspect", "odd", "none"]) == 2
    assert main(["grow", "odd", "--table", "none", "--rows", "1", "--out", "x"]) == 2
    assert main(["grow", "odd", "--table", NAME, "--rows", "a", "--out", "x"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_interrupt_says_what_is_written(workdir, capsys, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", interrupt)
        assert main(GROW) == 130
    assert capsys.readouterr().err == "tf1-embed: interrupted; nothing was written\n"
    assert not list(workdir.glob("*new*"))
    with monkeypatch.context() as patched:
        # When all has its name, and the rest is cleared away.
        patched.setattr(WorkingFolder, "clear", interrupt)
        assert main(GROW) == 130
    error = capsys.readouterr().err
    assert error.startswith("tf1-embed: interrupted, after this was written: ")
    assert "new.index" in error and "new.rows.json" in error
    assert load_checkpoint("new")["e"].shape == (7, 2)


@pytest.mark.parametrize(
    "command, wrong, nearest",
    [
        ("inpsect old", "inpsect", "inspect"),
        ("delta aply old d --out x", "aply", "apply"),
        ("export old --format gloev --out x", "gloev", "glove"),
        ("inspect old --slotz", "--slotz", "--slots"),
        ("grow old --rows 1 --out x --tabel=e", "--tabel=e", "--table"),
    ],
)
def test_word_that_is_most_like_an_unknown_one_is_proposed(
    workdir, capsys, command, wrong, nearest
):
    with pytest.raises(SystemExit) as caught:
        main(command.split())
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert wrong in error and error.endswith(f"did you mean {nearest}?\n")


@pytest.mark.parametrize(
    "command, expected",
    [
        ("grow old --rows 0 --out x", "--rows must be a number of new rows, 1 or more, or NAME=K"),
        ("grow old --rows two --out x", "got 'two'"),
        ("grow old --table E --rows 1 --out x", "holds no variable 'E'"),
        ("grow old --rows 1 --initializer f=zeros --out x", "--initializer has 'f', which is none"),
        ("grow old --rows 1 --slot-value Adm=1 --out x", "--slot-value has 'Adm'"),
        ("grow old --rows f=1 --table e --out x", "--rows has 'f', which is none of the tables"),
        ("grow old --rows 1 --rows e=1 --out x", "give one --rows K for all tables, or NAME=K"),
        ("grow old --rows e=1 --rows e=1 --out x", "--rows is given twice for e"),
        ("grow old --rows 1 --drop-missing --out x", "--drop-missing needs --old-vocab"),
        ("grow old --rows 1 --first-column --out x", "--first-column says how a vocabulary is"),
        ("grow old --rows 1 --out old.index/x", "Not a directory"),
        ("split old --trainable-rows 0:99999999999 --out x", "the table has 5 rows, 0 to 4"),
        ("split old --trainable-rows 3:3 --out x", "3:3 has no row"),
        ("split old --trainable-rows x --out x", "--trainable-rows must be ids and ranges"),
        (f"split old --trainable-rows 0:{10**30} --out x", "--trainable-rows must be ids and"),
        ("split old --old-rows 9 --out x", "--old-rows"),
        ("merge old --out x", "say which table is meant with --table NAME: old has no tables"),
        ("inspect old nothing", "no variable matches 'nothing'; there are 'e'"),
        ("grow old --rows 1000000000000 --initializer zeros --out x", "bytes of memory"),
    ],
)
def test_errors_speak_of_options(workdir, capsys, command, expected):
    before = sorted(workdir.iterdir())
    assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.startswith("tf1-embed: ") and len(error.splitlines()) == 1
    assert "num_" not in error and "force=True" not in error and "`" not in error
    assert sorted(workdir.iterdir()) == before


def test_output_that_exists_is_refused_in_the_words_of_the_command(workdir, capsys):
    assert main(GROW) == 0
    assert main(GROW) == 2
    expected = "tf1-embed: checkpoint new exists; choose another name, or replace it with --force\n"
    assert capsys.readouterr().err == expected


def test_graph_from_before_is_named_where_it_stays(workdir, capsys):
    assert main(GROW) == 0
    assert "stays as it was" not in capsys.readouterr().out
    (workdir / "new.meta").write_bytes(b"of the old code")
    assert main([*GROW, "--force"]) == 0
    assert "new.meta stays as it was: a graph from before" in capsys.readouterr().out
    assert (workdir / "new.meta").read_bytes() == b"of the old code"
    assert main([*GROW, "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["graph_left"] == "new.meta"


def test_graphs_of_a_saved_model_are_named_where_they_stay(workdir, capsys):
    model = workdir / "model"
    (model / "variables").mkdir(parents=True)
    save_checkpoint(model / "variables" / "variables", {"e": counting_rows(5)})
    (model / "saved_model.pb").write_bytes(b"")
    assert main("shrink model --table e --rows 4 --out less".split()) == 0
    assert "the graphs of the SavedModel model stay" in capsys.readouterr().out


def test_missing_package_is_named_with_the_line_that_installs_it(workdir, capsys, monkeypatch):
    from tf1_embed.commands import inspect

    for module, expected in [
        ("tensorflow", "needs the package tensorflow (1.13.1 or newer), which is not installed"),
        ("numpy", "this needs the package numpy, which is not installed: pip install numpy"),
    ]:

        def fail(arguments, module=module):
            raise ModuleNotFoundError(f"No module named '{module}.x'", name=f"{module}.x")

        monkeypatch.setattr(inspect, "_run", fail)
        assert main(["inspect", "old"]) == 2
        error = capsys.readouterr().err
        assert expected in error and f"pip install {module}" in error


def test_error_without_words_is_named(workdir, capsys, monkeypatch):
    from tf1_embed.commands import inspect

    for error, expected in [(MemoryError(), "memory does not suffice"), (KeyError(), "KeyError")]:

        def fail(arguments, error=error):
            raise error

        monkeypatch.setattr(inspect, "_run", fail)
        assert main(["inspect", "old"]) == 2
        assert expected in capsys.readouterr().err


def test_vocabulary_in_an_error_is_named_with_its_file(workdir, capsys):
    for name, words in (("old.txt", "abcde"), ("new.txt", "abxyz")):
        Path(name).write_text("".join(f"{each}\n" for each in words))
    assert main("grow old --old-vocab old.txt --new-vocab new.txt --out x".split()) == 2
    error = capsys.readouterr().err
    assert "--new-vocab new.txt lacks 3 of 5 old tokens" in error
    assert "drop their rows with --drop-missing" in error


def test_rows_are_printed_as_they_are(workdir, capsys):
    rows = np.array([[0.1, -1], [np.nan, np.inf], [16777216, 1e-30]], np.float32)
    save_checkpoint("m", {"e": rows, "bias": np.float32([1, 2, 3])})
    assert main("inspect m e --rows 0,2".split()) == 0
    assert capsys.readouterr().out == "e[0]: [0.100000001, -1]\ne[2]: [16777216, 1e-30]\n"
    assert main("inspect m --rows 1:2".split()) == 0
    assert capsys.readouterr().out == "e[1]: [nan, inf]\n"
    assert main("inspect m bias --rows 1".split()) == 0
    assert capsys.readouterr().out == "bias[1]: 2\n"
    assert main("inspect m bias --rows 3".split()) == 2
