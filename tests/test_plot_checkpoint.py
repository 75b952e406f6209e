"""Pictures of checkpoints, as the function and as the command `tf1-embed plot`."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.tables import counting_rows, flip_byte, save_checkpoint
from tf1_embed import new_files
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.cli import main
from tf1_embed.commands import inspect
from tf1_embed.pictures.events import read_scalars
from tf1_embed.pictures.plot import plot_checkpoint

ROOT = Path(__file__).resolve().parent.parent

pytest.importorskip("matplotlib")


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """The working folder, with checkpoints before and after a growth by two rows."""
    monkeypatch.chdir(str(tmp_path))
    save_checkpoint("base", {"e": counting_rows(10, 4)})
    save_checkpoint("grown", {"e": counting_rows(12, 4)})
    return tmp_path


def run(command):
    """Runs a command line in this process; returns its exit status."""
    return main(shlex.split(command))


PLOT = "plot base grown --table e"


def titles_of(path):
    return re.findall(r"<h2>(.*?)</h2>", Path(path).read_text(encoding="utf-8"))


def write_lines(path, lines):
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_scalars(folder, scalars, steps=5):
    with tf.Graph().as_default():
        writer = tf.summary.FileWriter(folder)
    for step in range(steps):
        values = [tf.Summary.Value(tag=tag, simple_value=step * by) for tag, by in scalars.items()]
        writer.add_summary(tf.Summary(value=values), step)
    writer.close()


def test_a_page_has_every_picture_that_there_is_data_for(workdir, capsys):
    assert run(f"{PLOT} --out page.html") == 0
    assert capsys.readouterr().out == "e: 10 old rows, 2 new\nwritten: page.html\n"
    page = Path("page.html").read_text(encoding="utf-8")
    assert titles_of("page.html") == [
        "What changed",
        "Where the new rows are",
        "How long the rows are",
    ]
    assert "0 of 10 old rows changed" in page
    assert "exactly zero" in page


def test_a_page_names_what_it_shows(workdir):
    from tf1_embed import fingerprint_checkpoint

    assert run(f"{PLOT} --out page.html") == 0
    page = Path("page.html").read_text(encoding="utf-8")
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert facts["Table"] == "e"
    assert facts["Before"] == "base, float32 [10, 4]"
    assert facts["After"] == "grown, float32 [12, 4]"
    assert facts["New"] == "2 rows"
    assert facts["SHA-256 of the old rows, before"] == fingerprint_checkpoint("base", "e")
    assert facts["and after"] == "the same 10, bit for bit"
    assert "tf1_embed" in facts["Drawn by"] and "matplotlib" in facts["Drawn by"]
    # No date: the same input gives the same page.
    assert run(f"{PLOT} --out again.html") == 0
    assert Path("again.html").read_text(encoding="utf-8") == page


def test_a_page_tells_that_old_rows_are_others(workdir):
    changed = counting_rows(12, 4)
    changed[3] += 1
    save_checkpoint("grown", {"e": changed})
    assert run(f"{PLOT} --out page.html") == 0
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", Path("page.html").read_text()))
    assert re.fullmatch("[0-9a-f]{64}", facts["and after"])
    assert facts["and after"] != facts["SHA-256 of the old rows, before"]


def test_a_folder_gets_one_svg_a_kind_and_a_picture_is_of_one(workdir, capsys):
    assert run(f"{PLOT} --out pictures --json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["written"] is True
    assert [Path(each).name for each in result["paths"]] == ["changes.svg", "map.svg", "norms.svg"]
    for path in result["paths"]:
        assert Path(path).read_text(encoding="utf-8").startswith("<svg")
    assert run(f"{PLOT} --kind norms --out norms.png") == 0
    assert Path("norms.png").read_bytes().startswith(b"\x89PNG")
    assert run(f"{PLOT} --out norms2.png") == 2
    assert "choose with --kind one of changes, map, norms" in capsys.readouterr().err


def test_rows_that_changed_are_counted(workdir):
    changed = counting_rows(12, 4)
    changed[[2, 7]] += 0.5
    save_checkpoint("grown", {"e": changed})
    assert run(f"{PLOT} --kind changes --out changes.svg") == 0
    assert "2 of 10 old rows changed" in Path("changes.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_partitions_are_read_as_lookups_see_them(workdir, strategy):
    ids = np.arange(12)
    order = ids if strategy == "div" else np.argsort(ids % 3, kind="stable")
    save_checkpoint("grown", {"e": counting_rows(12, 4)[order]}, partitions=3)
    assert run(f"{PLOT} --kind changes --out changes.svg --new-partition-strategy {strategy}") == 0
    assert "0 of 10 old rows changed" in Path("changes.svg").read_text(encoding="utf-8")


def test_new_rows_that_are_not_merged_yet_are_found(workdir, capsys):
    grown = {"e": counting_rows(10, 4), "e_new_rows": counting_rows(2, 4, start=10)}
    save_checkpoint("split", grown)
    plots = {}
    for new in ("split", "grown"):
        command = f"plot base {new} --table e --out {new}.html --projector logs --force"
        assert run(command) == 0
        assert "e: 10 old rows, 2 new" in capsys.readouterr().out
        plots[new] = [
            Path(path).read_text(encoding="utf-8").replace("split, float32", "grown, float32")
            for path in (f"{new}.html", "logs/e_vectors.tsv")
        ]
    assert plots["split"] == plots["grown"]
    save_checkpoint("chosen", {"e": counting_rows(10, 4), "e_trainable_rows": counting_rows(2, 4)})
    assert run("plot base chosen --table e --out page.html") == 2
    assert "merge it first (tf1-embed merge)" in capsys.readouterr().err


def test_rows_follow_their_tokens_and_have_their_names(workdir, capsys):
    old = [f"word{i}" for i in range(8)]
    new = ["first new", *reversed(old), "other new"]
    write_lines("old.txt", old)
    write_lines("new.txt", new)
    order = np.array([0, -1, 8, 7, 6, 5, 4, 3, 2, 1, -1, 9])
    save_checkpoint("grown", {"e": np.where(order[:, None] < 0, 5.5, order[:, None] + np.zeros(4))})
    save_checkpoint("base", {"e": counting_rows(10, 4, "float64")})
    options = "--new-vocab new.txt --reserved first:1,last:1"
    both = f"--old-vocab old.txt {options}"
    assert run(f"{PLOT} --out page.html --projector logs {both}") == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "0 of 10 old rows changed" in page
    assert "first new" in page and "other new" in page and "word3" not in page
    metadata = Path("logs/e_metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert metadata[1] == "(reserved)\told\t0"
    assert metadata[-2:] == ["first new\tnew\t1", "other new\tnew\t10"]
    assert run(f"{PLOT} --out page.html --force --old-vocab old.txt") == 2
    assert "--old-vocab needs --new-vocab" in capsys.readouterr().err
    # Names alone: the ids stay.
    assert run(f"{PLOT} --out names.html {options}") == 0
    page = Path("names.html").read_text(encoding="utf-8")
    assert "other new" in page and "first new" not in page


def test_reserved_rows_stay_last_where_no_vocabulary_is_given(workdir, capsys):
    old = counting_rows(10, 4)
    save_checkpoint(
        "grown", {"e": np.concatenate([old[:9], counting_rows(2, 4, start=20), old[9:]])}
    )
    assert run("verify base grown --table e --reserved last:1") == 0
    assert run("verify base grown --table e") == 1
    assert run(f"{PLOT} --kind changes --out changes.svg --reserved first:1,last:1") == 0
    assert "0 of 10 old rows changed" in Path("changes.svg").read_text(encoding="utf-8")
    capsys.readouterr()
    for command in (f"{PLOT} --out page.html", "verify base grown --table e"):
        assert run(f"{command} --drop-missing") == 2
        assert "--drop-missing needs --old-vocab" in capsys.readouterr().err


def test_an_event_file_that_is_cut_short_is_read_up_to_there(workdir):
    write_scalars("logs", {"loss": 1})
    (path,) = Path("logs").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    assert read_scalars("logs") == {"loss": ([0, 1, 2, 3], [0, 1, 2, 3])}


def test_a_step_that_ran_again_counts_as_it_was_last(workdir):
    write_scalars("logs", {"loss": 2})
    (path,) = Path("logs").iterdir()
    path.rename("logs/events.out.tfevents.0000000001.a")
    write_scalars("logs", {"loss": 1}, steps=3)
    assert read_scalars("logs") == {"loss": ([0, 1, 2, 3, 4], [0, 1, 2, 6, 8])}


def test_a_tag_with_brackets_is_itself_and_a_pattern_is_one(workdir):
    write_scalars("logs", {"loss[1]": 1, "loss1": 2})
    assert list(read_scalars("logs", ["loss[1]"])) == ["loss1", "loss[1]"]
    write_scalars("other", {"loss[1]": 1})
    assert list(read_scalars("other", ["loss[1]"])) == ["loss[1]"]


def test_answers_are_those_of_the_queries_in_a_file(workdir, capsys):
    # Row i holds i in each number: the last row wins where the query is positive.
    queries, ids = np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]), np.array([9, 0])
    np.savez("old.npz", queries=queries, ids=ids)
    assert run(f"{PLOT} --kind answers --out answers.svg --queries old.npz") == 0
    picture = Path("answers.svg").read_text(encoding="utf-8")
    # Rows 10 and 11 stand before row 9: reciprocal ranks 1 and 1 become 1/3 and 1.
    assert "Of their MRR old answers lose 33.3% to new rows" in picture
    assert run(f"{PLOT} --out all.html --queries old.npz") == 0
    assert titles_of("all.html")[-1] == "What old answers lose"
    np.savez("other.npz", questions=queries)
    Path("text.npz").write_text("1 2 3", encoding="utf-8")
    np.savez("wide.npz", queries=np.ones([2, 5]), ids=ids)
    capsys.readouterr()
    for file, message in (
        ("other.npz", "must hold arrays named queries and ids; other.npz has questions"),
        ("text.npz", "must be a .npz file, got text.npz"),
        ("wide.npz", "must be floats of shape [batch, 4]"),
        ("none.npz", "there is no file 'none.npz'"),
    ):
        assert run(f"{PLOT} --kind answers --out b.svg --queries {file}") != 0
        assert message in capsys.readouterr().err
    assert run(f"{PLOT} --kind answers --out b.svg") != 0
    assert "kind answers needs --queries, a .npz of old queries" in capsys.readouterr().err
    assert not os.path.exists("b.svg")


def test_the_curve_is_of_the_scalars_in_event_files(workdir, capsys):
    write_scalars("logs/train", {"loss": 1, "e/new_rows/mean_norm": 2})
    write_scalars("logs/eval", {"loss": 3})
    command = f"{PLOT} --kind curve --out curve.svg --force --events logs"
    assert run(command) == 0
    curve = Path("curve.svg").read_text(encoding="utf-8")
    assert "train: loss" in curve and "eval: loss" in curve and "mean_norm" not in curve
    assert run(f"{command} --tag '*/new_rows/*'") == 0
    assert "e/new_rows/mean_norm" in Path("curve.svg").read_text(encoding="utf-8")
    assert run(f"{command} --tag nothing") == 2
    assert "got nothing; it has e/new_rows/mean_norm, loss" in capsys.readouterr().err
    assert run(f"{PLOT} --out all.html --events logs") == 0
    assert titles_of("all.html")[-1] == "How they trained"


@pytest.mark.parametrize("as_json", ["", " --json"])
def test_dry_run_tells_what_would_be_written_and_writes_nothing(workdir, capsys, as_json):
    before = sorted(workdir.rglob("*"))
    assert run(f"{PLOT} --out page.html --projector logs --dry-run{as_json}") == 0
    out = capsys.readouterr().out
    assert sorted(workdir.rglob("*")) == before
    if as_json:
        result = json.loads(out)
        assert result["written"] is False
        assert result["projection"]["num_new"] == 2
    else:
        assert "dry run: would write page.html" in out
        assert "10 old and 2 new rows for the projector" in out


@pytest.mark.parametrize(
    "command, error",
    [
        (PLOT, "give --out, --projector, or both"),
        (f"{PLOT} --out page.jpg", "--out must end in .html, .png, .svg, or be a folder"),
        (f"{PLOT} --out there.html", "there.html exists"),
        (f"{PLOT} --out c.svg --kind curve", "needs --events"),
        (f"{PLOT} --out c.svg --kind curve --events .", "must have event files"),
        (f"{PLOT} --out c.svg --kind curve --events . --dry-run", "must have event files"),
        (f"{PLOT} --out plain", "plain exists and is no folder; choose another name"),
        (f"{PLOT} --out plain --force", "plain exists and is no folder; choose another name"),
        ("plot base grown --table f --out page.html", "holds no variable 'f'"),
        ("plot grown base --table e --out page.html", "only 10 in the new"),
        ("plot base nothing --table e --out page.html", "must be a checkpoint prefix"),
    ],
)
def test_errors_are_told_and_nothing_is_written(workdir, capsys, command, error):
    for path in ("there.html", "plain"):
        Path(path).write_text("mine")
    before = sorted(workdir.rglob("*"))
    assert run(command) == 2
    message = capsys.readouterr().err
    assert message.startswith("tf1-embed: ")
    assert error in message
    assert "Traceback" not in message
    assert sorted(workdir.rglob("*")) == before
    assert Path("there.html").read_text() == "mine"


def test_kinds_that_are_none_are_refused(workdir):
    with pytest.raises(ValueError, match="`kinds` must be some of changes, map, norms, curve"):
        plot_checkpoint("base", "grown", "e", out="page.html", kinds=["all"])


def test_a_damaged_checkpoint_leaves_no_picture(workdir, capsys):
    flip_byte(workdir / "grown.data-00000-of-00001", 60)
    assert run(f"{PLOT} --out page.html") == 2
    assert "checksum" in capsys.readouterr().err
    assert not Path("page.html").exists()


def test_a_damaged_checkpoint_leaves_no_projection(workdir, capsys):
    flip_byte(workdir / "grown.data-00000-of-00001", 60)
    assert run(f"{PLOT} --projector logs") == 2
    assert "checksum" in capsys.readouterr().err
    assert not Path("logs").exists()


def test_the_rows_for_the_projector_are_read_once(workdir, monkeypatch):
    read = []

    def take(self, name, ids):
        read.append(len(ids))
        return real_take(self, name, ids)

    real_take = CheckpointReader.take
    monkeypatch.setattr(CheckpointReader, "take", take)
    assert run(f"{PLOT} --projector logs") == 0
    assert sum(read) == 12


def test_pictures_and_projector_appear_together_or_not_at_all(workdir, monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect, "_run", interrupt)
    assert run("inspect base") == 130
    assert capsys.readouterr().err == "tf1-embed: interrupted; nothing was written\n"

    # When the first of several is written, and the second has begun.
    opened = []
    real = new_files.NewFiles.open

    def interrupt_the_second(*args, **kwargs):
        opened.append(args)
        return interrupt() if len(opened) == 2 else real(*args, **kwargs)

    monkeypatch.setattr(new_files.NewFiles, "open", interrupt_the_second)
    assert run(f"{PLOT} --out pictures --projector logs") == 130
    assert capsys.readouterr().err == "tf1-embed: interrupted; nothing was written\n"
    assert not os.path.exists("pictures") and not os.path.exists("logs")


def test_without_matplotlib_the_error_says_how_to_install_it(workdir):
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from tf1_embed.cli import main\n"
        "print(main(sys.argv[1:]))"
    )

    def run_without(*arguments):
        return subprocess.run(
            [sys.executable, "-c", program, *PLOT.split(), *arguments],
            env=dict(os.environ, PYTHONPATH=str(ROOT)),
            capture_output=True,
            text=True,
            timeout=120,
        )

    result = run_without("--out", "page.html")
    assert result.stdout == "2\n"
    assert "pip install matplotlib" in result.stderr
    assert run_without("--out", "page.html", "--dry-run").stdout == "2\n"
    assert not Path("page.html").exists()
    # The projector is TensorBoard's.
    assert run_without("--projector", "logs").stdout.endswith("\n0\n")
