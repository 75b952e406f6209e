"""No option of a command writes to what it reads, however that is called."""

import os
from pathlib import Path

import pytest

from support.tables import counting_rows, save_checkpoint
from tf1_embed.cli import main


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A folder with the checkpoints old and new, vocabularies, vectors and links."""
    save_checkpoint(tmp_path / "old", {"e": counting_rows(3)})
    save_checkpoint(tmp_path / "new", {"e": counting_rows(5)})
    words = ["a", "b", "c", "d", "e"]
    (tmp_path / "old.txt").write_text("".join(f"{each}\n" for each in words[:3]))
    (tmp_path / "new.txt").write_text("".join(f"{each}\n" for each in words))
    (tmp_path / "v.index").write_text("".join(f"{each} 1 2\n" for each in words))
    (tmp_path / "page.svg").write_text("".join(f"{each}\n" for each in words))
    os.symlink("old.txt", str(tmp_path / "soft"))
    os.link(str(tmp_path / "old.txt"), str(tmp_path / "hard"))
    os.symlink("old.index", str(tmp_path / "link.index"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


EXPORT = "export old --table e --format glove --vocab old.txt --out"
GROW = "grow old --old-vocab old.txt --new-vocab new.txt --out"


@pytest.mark.parametrize(
    "command, read",
    [
        (f"{EXPORT} old.data-00000-of-00001", "PREFIX"),
        (f"{EXPORT} old.index", "PREFIX"),
        (f"{EXPORT} link.index", "PREFIX"),
        (f"{EXPORT} old.txt", "--vocab"),
        (f"{EXPORT} ./old.txt", "--vocab"),
        (f"{EXPORT} soft", "--vocab"),
        (f"{EXPORT} hard", "--vocab"),
        (f"{EXPORT} ../{{folder}}/old.txt", "--vocab"),
        ("import v.index --table e --out v", "FILE"),
        ("import v.index --table e --out w --vocab-out v.index", "FILE"),
        (f"{GROW} old", "PREFIX"),
        (f"{GROW} link", "PREFIX"),
        ("grow old --table e --rows 1 --initializer a.index.npy --out a", None),
        ("delta extract old new --table e --out new", "GROWN"),
        ("plot old new --table e --new-vocab page.svg --out page.svg", "--new-vocab"),
        ("merge old --table e --out old", "PREFIX"),
        ("split new --table e --old-rows 3 --out new", "PREFIX"),
    ],
)
@pytest.mark.parametrize("more", ["--force", "--force --dry-run"])
def test_what_is_read_is_never_written_to(workdir, capsys, command, read, more):
    before = contents(workdir)
    command = command.format(folder=workdir.name)
    assert main(command.split() + more.split()) == 2
    message = capsys.readouterr().err
    if read is None:
        assert "there is no file 'a.index.npy'" in message
    else:
        assert "would replace" in message and f"which is read ({read})" in message
    assert contents(workdir) == before


def test_two_outputs_are_two_files(workdir, capsys):
    before = contents(workdir)
    command = "import v.index --table e --out w --vocab-out ./w.index --force"
    assert main(command.split()) == 2
    assert "--out and --vocab-out would both write" in capsys.readouterr().err.replace(
        "--vocab-out and --out", "--out and --vocab-out"
    )
    assert contents(workdir) == before


def test_files_that_are_not_there_are_named_with_those_that_are(workdir, capsys):
    assert main(f"{GROW} x --reserved first:1".replace("new.txt", "now.txt").split()) == 2
    assert "there is no file 'now.txt'; did you mean 'new.txt'?" in capsys.readouterr().err
    assert main(["import", "nowhere/vectors", "--table", "e", "--out", "x"]) == 2
    assert capsys.readouterr().err == "tf1-embed: there is no file 'nowhere/vectors'\n"


def test_folders_for_output_are_made(workdir):
    assert main("grow old --rows 2 --out runs/grown/model".split()) == 0
    assert Path("runs/grown/model.index").exists()
    assert main("export old --format npy --out vectors/e.npy".split()) == 0
    assert Path("vectors/e.npy").exists()
    # Not by what fails, nor by what only says what it would do.
    assert main("grow old --rows 2 --out other/model --dry-run".split()) == 0
    assert main("grow old --rows 2 --initializer copy_of:9 --out other/model".split()) == 2
    assert not Path("other").exists()
