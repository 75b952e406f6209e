import io
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

import tf1_embed
from support.tables import (
    bits,
    counting_rows,
    flip_byte,
    load_checkpoint,
    save_checkpoint,
    special_rows,
)
from tf1_embed.cli import main

ROOT = Path(__file__).resolve().parent.parent

COMMANDS = ["inspect", "grow", "shrink", "merge", "split", "repartition", "verify", "audit"]
COMMANDS += ["import", "export"]
COMMANDS += ["delta extract", "delta apply", "delta revert"]


@pytest.fixture(scope="module")
def base_files(tmp_path_factory):
    """A checkpoint of a small model that was trained with Adam, as its files."""
    folder = tmp_path_factory.mktemp("base")
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("embedding", initializer=counting_rows(10), use_resource=False)
        bias = tf.get_variable("bias", initializer=np.zeros(10, np.float32), use_resource=False)
        ids = tf.constant([1, 3])
        loss = tf.reduce_sum(tf.nn.embedding_lookup(table, ids)) + tf.reduce_sum(bias)
        step = tf.train.get_or_create_global_step()
        train_op = tf.train.AdamOptimizer(0.1).minimize(loss, step)
        session.run(tf.global_variables_initializer())
        session.run(train_op)
        tf.train.Saver().save(session, str(folder / "model.ckpt"), step, write_meta_graph=False)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def workdir(tmp_path, base_files, monkeypatch):
    """The working folder, with a base checkpoint in runs/base and an empty folder runs/grown."""
    (tmp_path / "runs" / "base").mkdir(parents=True)
    (tmp_path / "runs" / "grown").mkdir()
    for name, content in base_files.items():
        (tmp_path / "runs" / "base" / name).write_bytes(content)
    monkeypatch.chdir(str(tmp_path))
    return tmp_path


def run(command):
    """Runs a command line in this process; returns its exit status."""
    return main(shlex.split(command))


GROW = "grow runs/base --table embedding --rows 2 --out runs/grown/model.ckpt"


# Help and usage errors.


def run_process(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tf1_embed", *arguments],
        cwd=str(ROOT),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["grow", "--help"], ["grow"], ["no-such"]])
def test_help_and_usage_errors_import_neither_numpy_nor_tensorflow(arguments):
    program = f"""
import sys
from tf1_embed.cli import main
try:
    main({arguments!r})
except SystemExit as error:
    modules = [each for each in ("numpy", "tensorflow") if each in sys.modules]
    print(error.code, modules, file=sys.stderr)
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=str(ROOT),
        capture_output=True,
        text=True,
    )
    code = 0 if "--help" in arguments else 2
    assert result.stderr.splitlines()[-1] == f"{code} []"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as caught:
        run(f"{command} --help")
    assert caught.value.code == 0
    assert f"usage: tf1-embed {command}" in capsys.readouterr().out


def test_version_is_told(capsys):
    with pytest.raises(SystemExit):
        run("--version")
    python = ".".join(map(str, sys.version_info[:3]))
    expected = f"tf1-embed {tf1_embed.__version__} (TensorFlow {tf.__version__}, Python {python})"
    assert capsys.readouterr().out.strip() == expected


def test_module_is_the_command():
    result = run_process("inspect", "no-such-checkpoint")
    assert result.returncode == 2
    assert result.stdout == ""
    # TensorFlow's own words are kept away.
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("tf1-embed: PREFIX must be a checkpoint prefix")


@pytest.mark.parametrize("place", ["--debug {}", "{} --debug"])
def test_debug_shows_the_error_itself(place, workdir):
    with pytest.raises(FileNotFoundError):
        run(place.format("inspect nothing"))


def test_every_help_ends_with_an_example_that_runs(workdir, capsys):
    Path("words.vec").write_text("2 2\nthe 1 2\nof 3 4\n")
    save_graph("runs/base/model.ckpt-1.meta", lambda table: tf.train.AdamOptimizer(0.1))
    examples = []
    for command in ["", *COMMANDS, "delta", "plot"]:
        with pytest.raises(SystemExit):
            run(f"{command} --help")
        text, _, example = capsys.readouterr().out.rpartition("example:\n  tf1-embed ")
        assert text and example.count("\n") == 1
        examples.append(example.strip())
    # In the order in which one has what another needs; of `delta` it is that of `delta extract`.
    order = "inspect grow shrink verify delta-extract delta-apply delta-revert split merge "
    order += "repartition audit import export"
    assert {example.split()[0] for example in examples} == {
        *(name.split("-")[0] for name in order.split()),
        "plot",
    }
    for name in order.split():
        name = name.replace("-", " ")
        for example in sorted(set(examples)):
            if example.startswith(f"{name} "):
                assert run(example) == (1 if name == "audit" else 0), capsys.readouterr().err


def test_plot_example_runs(workdir, capsys):
    pytest.importorskip("matplotlib")
    assert run(f"{GROW} --also-found") == 0
    with pytest.raises(SystemExit):
        run("plot --help")
    assert run(capsys.readouterr().out.rpartition("  tf1-embed ")[2]) == 0


def test_words_are_completed(workdir, tmp_path):
    pytest.importorskip("argcomplete")
    for line, expected in [
        ("tf1-embed in", ["inspect"]),
        ("tf1-embed grow --par", ["--partition-strategy"]),
        ("tf1-embed export runs/base --format word2vec-", ["word2vec-bin"]),
    ]:
        answer = tmp_path / "answer"
        subprocess.run(
            [sys.executable, "-m", "tf1_embed"],
            cwd=str(ROOT),
            env=dict(
                os.environ,
                _ARGCOMPLETE="1",
                _ARGCOMPLETE_IFS="\n",
                _ARGCOMPLETE_STDOUT_FILENAME=str(answer),
                COMP_LINE=line,
                COMP_POINT=str(len(line)),
            ),
            timeout=120,
        )
        assert [each.strip() for each in answer.read_text().split("\n")] == expected


# Each command does what its function does; the functions have tests of their own.


def test_inspect_hides_slots_and_takes_patterns(workdir, capsys):
    assert run("inspect runs/base") == 0
    out = capsys.readouterr().out
    assert "Adam" not in out.replace("slot variables", "")
    assert re.search(r"^embedding +float32 +\[10, 2\] +80 bytes +table$", out, re.M)
    assert "4 of them are slot variables: --slots lists them" in out
    assert run("inspect runs/base --slots") == 0
    assert "slot of embedding" in capsys.readouterr().out
    assert run("inspect runs/base 'emb*' bias/Adam") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["embedding", "bias/Adam"]


def test_table_may_be_left_out_where_there_is_one(workdir, capsys):
    assert run("grow runs/base --rows 2 --also-found --out runs/grown/g") == 0
    assert run("verify runs/base runs/grown/g") == 0
    assert run("verify runs/grown/g.rows.json runs/grown/g") == 0
    assert run("delta extract runs/base runs/grown/g --also bias --out runs/delta") == 0
    assert run("split runs/grown/g --old-rows 10 --out runs/split") == 0
    assert run("merge runs/split --out runs/merged") == 0
    assert run("export runs/grown/g --format npy --out e.npy") == 0
    assert np.load("e.npy").shape == (12, 2)
    save_checkpoint("two", {"users": counting_rows(3), "items": counting_rows(4)})
    capsys.readouterr()
    assert run("export two --format npy --out two.npy") == 2
    expected = "say which table is meant with --table NAME: two has 2 tables, items, users"
    assert expected in capsys.readouterr().err


def test_tables_get_rows_by_name(workdir, capsys):
    save_checkpoint("two", {"users": counting_rows(3), "items": counting_rows(4)})
    assert run("grow two --rows users=2 --rows items=1 --out grown") == 0
    grown = load_checkpoint("grown")
    assert (len(grown["users"]), len(grown["items"])) == (5, 5)
    out = capsys.readouterr().out
    assert "users: 3 rows kept, 0 dropped, 2 new\n" in out
    assert "items: 4 rows kept, 0 dropped, 1 new\n" in out
    assert run("grow two --table users --table items --rows users=2 --out g") == 2
    assert "--rows has no number for items" in capsys.readouterr().err
    # One pattern of tables of different sizes may mean the shards of one.
    assert run("grow two --table '*s' --rows 1 --out g") == 2
    assert "'*s' means tables of different sizes: items (4 rows)" in capsys.readouterr().err


def test_growth_says_how_many_rows_were_kept_moved_dropped_and_new(workdir, capsys):
    save_checkpoint("m", {"e": counting_rows(5)})
    write_lines("old.txt", "abcde")
    write_lines("new.txt", "xabdfg")
    grow = "grow m --old-vocab old.txt --new-vocab new.txt --drop-missing --out g --force"
    assert run(grow) == 0
    assert "e: 3 rows kept (2 of them moved), 2 dropped, 3 new\n" in capsys.readouterr().out
    assert run(f"{grow} --json") == 0
    counts = json.loads(capsys.readouterr().out)["rows"]
    assert counts == {"e": {"kept": 3, "moved": 2, "dropped": 2, "new": 3}}
    assert run(f"{GROW} --only-tables --reserved last:1") == 0
    out = capsys.readouterr().out
    assert "embedding: 10 rows kept (1 of them moved), 0 dropped, 2 new\n" in out


def test_vocabulary_of_tokens_and_scores_is_read_by_its_first_column(workdir, capsys):
    save_checkpoint("m", {"e": counting_rows(3)})
    write_lines("old.txt", ["<unk>\t0", "_the\t-3.5", "_of\t-4.25e1"])
    write_lines("new.txt", ["<unk>\t0", "_a\t-1", "_the\t-3.4", "_of\t-4"])
    grow = "grow m --old-vocab old.txt --new-vocab new.txt --out g"
    assert run(grow) == 2
    assert "look like TOKEN<TAB>SCORE" in capsys.readouterr().err
    assert run(f"{grow} --first-column --initializer zeros") == 0
    rows = load_checkpoint("m")["e"]
    assert (load_checkpoint("g")["e"] == [rows[0], [0, 0], rows[1], rows[2]]).all()
    options = "--old-vocab old.txt --new-vocab new.txt --first-column"
    assert run(f"verify m g {options}") == 0
    assert run("export m --format glove --vocab old.txt --first-column --out m.vec") == 0
    assert Path("m.vec").read_text().startswith("<unk> 0 0\n_the 1 1\n")


def test_vocabulary_of_another_length_proposes_reserved_rows(workdir, capsys):
    write_lines("old.txt", "abcd")
    write_lines("new.txt", "abcde")
    vocabularies = "--old-vocab old.txt --new-vocab new.txt"
    assert run(f"grow runs/base --only-tables {vocabularies} --out runs/grown/g") == 2
    error = capsys.readouterr().err
    assert "4 old tokens" in error and "got 10 rows" in error
    assert "--reserved first:6 or last:6" in error


def test_question_comes_last_and_needs_an_answer(workdir, capsys, monkeypatch):
    stdin = io.StringIO("")
    stdin.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run(GROW) == 2
    error = capsys.readouterr().err
    assert "[y/N] tf1-embed: no answer: the input ended; nothing was written\n" in error
    assert not list((workdir / "runs" / "grown").iterdir())
    save_checkpoint("exists", {"e": counting_rows(2)})
    for wrong in (
        "--rows 0 --out x",
        "--rows 2 --out exists",
        "--rows 2 --initializer copy_of:99 --out x",
        "--rows 2 --slot-value nothing=1 --out x",
    ):
        assert run(f"grow runs/base {wrong}") == 2
        assert "as many rows or columns" not in capsys.readouterr().err


def test_words_given_twice_are_left_out_and_counted(workdir, capsys):
    Path("twice.txt").write_text("the 1 2\nof 3 4\nthe 5 6\n")
    command = "import twice.txt --table e --out m --force"
    assert run(command) == 2
    assert "--duplicates first" in capsys.readouterr().err
    assert run(f"{command} --duplicates first --vocab-out words.txt") == 0
    assert "1 row left out" in capsys.readouterr().out
    assert load_checkpoint("m")["e"].tolist() == [[1, 2], [3, 4]]
    assert Path("words.txt").read_text() == "the\nof\n"
    assert run(f"{command} --duplicates last --json") == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == 1
    assert load_checkpoint("m")["e"].tolist() == [[3, 4], [5, 6]]


def test_inspect_as_json(workdir, capsys):
    assert run("inspect runs/base --json") == 0
    variables = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert variables["embedding"]["kind"] == "table"
    assert variables["embedding"]["shape"] == [10, 2]
    assert variables["embedding/Adam_1"]["table"] == "embedding"
    assert variables["global_step"]["dtype"] == "int64"


def test_grow_as_json_tells_each_tensor(workdir, capsys):
    assert run(f"{GROW} --also-found --json") == 0
    result = json.loads(capsys.readouterr().out)
    tensors = {each["name"]: each for each in result["tensors"]}
    assert tensors["embedding/Adam"]["old_shape"] == [10, 2]
    assert tensors["bias/Adam"]["new_shape"] == [12]
    assert result["bytes"] == sum(each["num_bytes"] for each in result["tensors"])
    assert load_checkpoint("runs/grown/model.ckpt")["bias"].shape == (12,)


@pytest.mark.parametrize("as_json", ["", " --json"])
def test_dry_run_tells_the_same_and_writes_nothing(workdir, capsys, as_json):
    assert run(f"{GROW} --also-found --dry-run{as_json}") == 0
    out = capsys.readouterr().out
    assert not list((workdir / "runs" / "grown").iterdir())
    if as_json:
        assert json.loads(out)["written"] is False
    else:
        assert re.search(r"^embedding +float32 +\[10, 2\] → \[12, 2\] +96 bytes$", out, re.M)
        assert re.search(r"^global_step +int64 +\[\] +8 bytes$", out, re.M)
        assert "would be written to runs/grown/model.ckpt" in out


def test_what_else_has_so_many_rows_is_asked_about(workdir, capsys, monkeypatch):
    # Nobody can answer.
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run(GROW) == 2
    assert "as many rows or columns as the tables: bias. Say" in capsys.readouterr().err
    assert not list((workdir / "runs" / "grown").iterdir())
    for answer, expected in [("y\n", 12), ("\n", 10), ("no\n", 10)]:
        stdin = io.StringIO(answer)
        stdin.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", stdin)
        assert run(f"{GROW} --force") == 0
        assert load_checkpoint("runs/grown/model.ckpt")["bias"].shape == (expected,)
    assert run(f"{GROW} --force --only-tables") == 0
    assert load_checkpoint("runs/grown/model.ckpt")["bias"].shape == (10,)
    assert run(f"{GROW} --force --also bias") == 0
    assert load_checkpoint("runs/grown/model.ckpt")["bias"].shape == (12,)


def test_tables_of_different_sizes_are_asked_about(workdir, capsys, monkeypatch):
    values = {"a_1": counting_rows(4), "a_2": counting_rows(3), "bias": counting_rows(4, None)}
    save_checkpoint("runs/apart", values)
    grow = "grow runs/apart --table a_* --rows 2 --out runs/grown/apart"

    def answer(*lines):
        stdin = io.StringIO("".join(lines))
        stdin.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", stdin)

    # Nobody can answer.
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run(grow) == 2
    assert "'a_*' means tables of different sizes" in capsys.readouterr().err
    question = "Append 2 rows to each of them? [y/N] "
    for given, status, last in (
        ("n\n", 2, "say how many rows each gets with --rows NAME=K\n"),
        ("what\n", 2, "the answer must be y or N, got 'what'; nothing was written\n"),
        ("", 2, "no answer: the input ended; nothing was written\n"),
        ("y\ny\n", 0, "Do they grow as well? [y/N] "),
    ):
        answer(given)
        assert run(grow) == status
        error = capsys.readouterr().err
        assert "a_1 (4 rows), a_2 (3 rows). If the model joins them" in error
        assert question in error and error.endswith(last)
    sizes = {name: len(rows) for name, rows in load_checkpoint("runs/grown/apart").items()}
    assert sizes == {"a_1": 6, "a_2": 5, "bias": 6}
    # What is wrong is said before.
    answer("y\n")
    assert run(f"{grow} --force --slot-value Adam=1") == 2
    assert question not in capsys.readouterr().err


def test_initializers_are_given_for_all_or_by_name(workdir):
    np.save("rows.npy", counting_rows(2, start=70))
    also = "--also bias --force"
    assert run(f"{GROW} {also} --initializer constant:0.5") == 0
    grown = load_checkpoint("runs/grown/model.ckpt")
    assert (grown["embedding"][10:] == 0.5).all()
    assert (grown["bias"][10:] == 0.5).all()
    assert run(f"{GROW} {also} --initializer embedding=rows.npy --initializer bias=copy_of:3") == 0
    grown = load_checkpoint("runs/grown/model.ckpt")
    assert (grown["embedding"][10:] == counting_rows(2, start=70)).all()
    assert (grown["bias"][10:] == grown["bias"][3]).all()
    drawn = []
    for seed in ("0", "1"):
        assert run(f"{GROW} {also} --initializer embedding=glorot_normal --seed {seed}") == 0
        drawn.append(load_checkpoint("runs/grown/model.ckpt")["embedding"][10:])
    assert (drawn[0] != drawn[1]).all()


@pytest.mark.parametrize(
    "options, error",
    [
        ("--initializer nothing", "--initializer must be zeros, glorot_normal"),
        ("--initializer zeros --initializer bias=mean", "give one --initializer for all"),
        ("--slot-value Adam", "--slot-value must be SLOT=NUMBER or SLOT=table, got 'Adam'"),
        ("--reserved middle:1", "reserved rows must be first:N, last:N"),
        ("--old-vocab rows.txt", "--old-vocab needs --new-vocab"),
        ("--old-vocab olt.txt", "there is no file 'olt.txt'; did you mean 'old.txt'?"),
        ("--table nothing", "holds no variable 'nothing'"),
    ],
)
def test_bad_options_are_told_and_nothing_is_written(workdir, capsys, options, error):
    for name in ("rows.txt", "old.txt"):
        Path(name).write_text("a\n")
    assert run(f"{GROW} --only-tables {options}") == 2
    message = capsys.readouterr().err
    assert message.startswith("tf1-embed: ")
    assert error in message
    assert "Traceback" not in message
    assert not list((workdir / "runs" / "grown").iterdir())


def test_slots_get_the_values_that_are_given(workdir):
    assert run(f"{GROW} --only-tables --slot-value Adam=0.25 --reset-slots") == 0
    grown = load_checkpoint("runs/grown/model.ckpt")
    assert (grown["embedding/Adam"] == 0.25).all()
    assert (grown["embedding/Adam_1"] == 0).all()


def write_lines(path, lines):
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_growth_and_comparison_by_vocabularies(workdir, capsys):
    old = [f"word{i}" for i in range(8)]
    new = ["new", *reversed(old), "other new"]
    write_lines("old.txt", old)
    write_lines("new.txt", new)
    options = "--old-vocab old.txt --new-vocab new.txt --reserved first:1 --reserved last:1"
    grow = f"grow runs/base --table embedding --only-tables --out runs/grown/g {options}"
    assert run(grow) == 0
    base = load_checkpoint("runs/base/model.ckpt-1")["embedding"]
    grown = load_checkpoint("runs/grown/g")["embedding"]
    assert grown.shape == (12, 2)
    assert (grown[0] == base[0]).all()
    assert (grown[11] == base[9]).all()
    for i, word in enumerate(old):
        assert (grown[1 + new.index(word)] == base[1 + i]).all()
    capsys.readouterr()
    assert run(f"verify runs/base runs/grown/g --table embedding {options}") == 0
    assert "all 10 old rows are the same" in capsys.readouterr().out
    # By id they are not.
    assert run("verify runs/base runs/grown/g --table embedding") == 1
    write_lines("new.txt", new[:-2])
    assert run(f"{grow} --force") == 2
    assert "--drop-missing" in capsys.readouterr().err
    assert run(f"{grow} --force --drop-missing") == 0


def test_verify_names_the_rows_that_changed(workdir, capsys):
    changed = load_checkpoint("runs/base/model.ckpt-1")
    changed["embedding"][[2, 7]] += 0.5
    save_checkpoint("runs/grown/changed", changed)
    assert run("verify runs/base runs/grown/changed --table embedding") == 1
    out = capsys.readouterr().out
    assert out == "embedding: 2 of 10 old rows changed by at most 0.5: ids 2, 7\n"
    assert run("verify runs/base runs/grown/changed --table embedding --json") == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found["first_ids"] == [2, 7]
    assert found["largest_difference"] == 0.5
    assert run("verify runs/base runs/grown/changed --table 'bi*'") == 0


def test_infinite_differences_are_json(workdir, capsys):
    save_checkpoint("old", {"e": np.zeros([3, 2], np.float32)})
    save_checkpoint("new", {"e": np.full([3, 2], np.nan, np.float32)})
    assert run("verify old new --table e --json") == 1
    assert json.loads(capsys.readouterr().out)[0]["largest_difference"] == "inf"


def test_merge_and_split_are_inverses(workdir):
    assert run(f"{GROW} --also-found") == 0
    grown = load_checkpoint("runs/grown/model.ckpt")
    split = "split runs/grown/model.ckpt --table embedding --out runs/split"
    merge = "merge runs/split --table embedding --out runs/merged --force"
    for old, new in [("--old-rows 10", ""), ("--trainable-rows 2,5:7", "--trainable-rows 2,5:7")]:
        assert run(f"{split} {old} --force") == 0
        assert set(load_checkpoint("runs/split")) > set(grown)
        assert run(f"{merge} {new}") == 0
        merged = load_checkpoint("runs/merged")
        assert set(merged) == set(grown)
        assert all(np.array_equal(merged[name], grown[name]) for name in grown)


def test_shrink_takes_away_what_grow_appended(workdir, capsys):
    assert run(f"{GROW} --also bias --clocks keep") == 0
    capsys.readouterr()
    shrink = "shrink runs/grown --table embedding --last 2 --out back --also-found"
    assert run(shrink) == 0
    assert "embedding: 10 rows kept, 2 dropped, 0 new\n" in capsys.readouterr().out
    assert run("diff runs/base back") == 0
    assert capsys.readouterr().out.endswith(" are the same, bit for bit\n")
    # One that grew before its reserved rows, by ids.
    assert run(f"{GROW} --also bias --clocks keep --force --reserved last:1") == 0
    assert run(f"{shrink} --force --reserved last:1") == 0
    assert run("diff runs/base back") == 0
    capsys.readouterr()
    assert run("shrink runs/grown --rows 9,10 --out b --also bias --json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == {"embedding": {"kept": 10, "moved": 1, "dropped": 2, "new": 0}}
    assert run("diff runs/base b") == 0
    # Nobody can be asked here.
    assert run("shrink runs/grown --rows 3 --out c") == 2
    error = capsys.readouterr().err
    assert "bias. Say whether they shrink as well: --also-found (all)" in error


def test_shrink_by_vocabulary_and_what_verify_says_of_it(workdir, capsys):
    save_checkpoint("m", {"e": counting_rows(5)})
    write_lines("old.txt", "abcde")
    write_lines("new.txt", "ca")
    vocabularies = "--old-vocab old.txt --new-vocab new.txt"
    assert run(f"shrink m {vocabularies} --reserved last:0 --out s") == 0
    assert "e: 2 rows kept (2 of them moved), 3 dropped, 0 new\n" in capsys.readouterr().out
    assert load_checkpoint("s")["e"][:, 0].tolist() == [2, 0]
    assert run(f"verify m s {vocabularies} --drop-missing") == 0
    assert run("shrink m --rows 1,3:5 --out t") == 0
    assert load_checkpoint("t")["e"][:, 0].tolist() == [0, 2]
    assert run("verify m t --removed-rows 1,3:5") == 0
    assert "e: all 2 old rows are the same, bit for bit\n" in capsys.readouterr().out
    assert run("verify m t --removed-rows 2:5") == 1
    assert run("verify t.rows.json t") == 0
    capsys.readouterr()
    assert run("verify m t") == 2
    assert "say which: --removed-rows" in capsys.readouterr().err
    write_lines("more.txt", "cax")
    assert run("shrink m --old-vocab old.txt --new-vocab more.txt --out u") == 2
    assert "--new-vocab names 1 that the table lacks" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, error",
    [
        ("--rows 0:10", "--rows 0:10 are all 10 rows: none would stay"),
        ("--rows 10", "--rows has row 10, but the table has 10 rows, 0 to 9"),
        ("--last 10", "--last must be from 1 to 9, so that of 10 rows"),
        ("--last 0", "--last must be from 1 to 9"),
        ("--last 1 --reserved first:10", "--reserved leaves none of the 10 rows for --last"),
        ("--rows 3 --reserved last:1", "--reserved is for --last and --new-vocab"),
        ("--rows 3 --old-vocab v", "--old-vocab needs --new-vocab"),
    ],
)
def test_rows_that_cannot_go_are_told(workdir, capsys, options, error):
    write_lines("v", "abcdefghij")
    assert run(f"shrink runs/base --only-tables --out s {options}") == 2
    assert error in capsys.readouterr().err
    assert not list(Path().glob("s.*"))


def test_partitions_are_changed_and_told(workdir, capsys):
    to_mod = "repartition runs/base --partitions 3 --partition-strategy mod --out p"
    assert run(to_mod) == 0
    out = capsys.readouterr().out
    assert re.search(r"embedding/Adam +float32 +\[10, 2\], 1 → 3 partitions", out)
    assert "embedding: ids are sent to its partitions by mod\n" in out
    assert run(f"{to_mod} --force --json") == 0
    tensors = {each["name"]: each for each in json.loads(capsys.readouterr().out)["tensors"]}
    assert tensors["embedding"]["partitions"] == [1, 3]
    assert tensors["bias"]["partitions"] is None
    assert run("verify runs/base p --partition-strategy mod") == 0
    assert run("verify runs/base p --partition-strategy div") == 1
    assert run("diff runs/base p --partition-strategy mod") == 0
    assert run("verify p.rows.json p --partition-strategy mod") == 0
    back = "repartition p --partitions 1 --partition-strategy mod --out w"
    assert run(back) == 0
    assert run("diff runs/base w") == 0
    assert run("repartition p --partitions 11 --partition-strategy mod --out x") == 2
    assert "10 rows in 11 partitions, of which none may be empty" in capsys.readouterr().err
    assert run("repartition p --partitions 0 --partition-strategy mod --out x") == 2
    assert "--partitions must be 1 or more, got 0" in capsys.readouterr().err


def test_deltas_are_extracted_applied_and_reverted(workdir, capsys):
    assert run(f"{GROW} --only-tables") == 0
    extract = "delta extract runs/base runs/grown/model.ckpt --table embedding --out runs/delta"
    assert run(extract) == 0
    assert run("delta apply runs/base runs/delta --out runs/again") == 0
    grown, again = load_checkpoint("runs/grown/model.ckpt"), load_checkpoint("runs/again")
    assert all(np.array_equal(again[name], grown[name]) for name in grown)
    assert run("delta revert runs/again runs/delta --out runs/back") == 0
    base, back = load_checkpoint("runs/base/model.ckpt-1"), load_checkpoint("runs/back")
    # What counts Adam's steps began anew with the new rows, and goes on from there.
    clocks = {"beta1_power", "beta2_power"}
    assert all(np.array_equal(back[name], base[name]) for name in set(base) - clocks)


def test_vectors_are_imported_and_exported_bit_for_bit(workdir, capsys):
    rows = special_rows()[5:]  # text has no payload of a NaN
    words = [f"word{i}" for i in range(len(rows))]
    save_checkpoint("runs/words", {"e": rows})
    write_lines("words.txt", words)
    for kind in ("word2vec", "word2vec-bin", "glove", "npy"):
        tokens = "" if kind == "npy" else "--vocab words.txt"
        export = (
            f"export runs/words --table e --format {kind} {tokens} --out vectors.{kind} --force"
        )
        assert run(export) == 0
        tokens = "" if kind == "npy" else "--vocab-out again.txt"
        back = f"import vectors.{kind} --table e --format {kind} {tokens} --out runs/again --force"
        assert run(back) == 0
        assert (bits(load_checkpoint("runs/again")["e"]) == bits(rows)).all()
        if kind != "npy":
            assert Path("again.txt").read_text() == Path("words.txt").read_text()
    assert run("export runs/words --table e --format glove --out vectors.glove") == 2
    assert "needs the tokens" in capsys.readouterr().err


def test_reserved_rows_are_not_exported(workdir):
    write_lines("words.txt", [f"word{i}" for i in range(8)])
    reserved = "--reserved first:1,last:1"
    export = "export runs/base --table embedding --format glove --vocab words.txt --out words.vec"
    assert run(f"{export} {reserved}") == 0
    assert run("import words.vec --table e --out runs/again --format glove") == 0
    base = load_checkpoint("runs/base/model.ckpt-1")["embedding"]
    assert (load_checkpoint("runs/again")["e"] == base[1:9]).all()


def test_damaged_export_leaves_no_file(workdir, capsys):
    save_checkpoint(workdir / "words", {"e": counting_rows(50)})
    flip_byte(workdir / "words.data-00000-of-00001", 60)
    assert run("export words --table e --format npy --out words.npy") == 2
    assert "checksum" in capsys.readouterr().err
    assert not Path("words.npy").exists()


def save_graph(path, optimizer, beside=lambda table: None):
    with tf.Graph().as_default():
        table = tf.get_variable("embedding", [10, 2], use_resource=False)
        ids = tf.placeholder(tf.int32, [None])
        loss = tf.reduce_sum(tf.nn.embedding_lookup(table, ids))
        tf.add_to_collection(tf.GraphKeys.TRAIN_OP, optimizer(table).minimize(loss))
        beside(table)
        tf.train.export_meta_graph(path)


def test_audit_finds_what_moves_and_nothing_else(workdir, capsys):
    save_graph("adam.meta", lambda table: tf.train.AdamOptimizer(0.1))
    assert run("audit adam.meta --table embedding --frozen 0:8") == 1
    assert "TrainableRowsOptimizer" in capsys.readouterr().out
    assert run("audit adam.meta --table embedding --frozen 0:8 --json") == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["table"] == "embedding"
    rows = tf1_embed.Rows.range(8, 10, size=10)
    save_graph(
        "wrapped.meta",
        lambda table: tf1_embed.TrainableRowsOptimizer(tf.train.AdamOptimizer(0.1), {table: rows}),
    )
    assert run("audit wrapped.meta --table embedding --frozen 0:8") == 0
    assert "clean" in capsys.readouterr().out
    save_graph(
        "projected.meta",
        lambda table: tf1_embed.TrainableRowsOptimizer(tf.train.AdamOptimizer(0.1), {table: rows}),
        lambda table: tf.assign(table, tf.nn.l2_normalize(table, 1), name="project_all"),
    )
    assert run("audit projected.meta --table embedding --frozen 0:8") == 1
    said = capsys.readouterr().out
    assert "clean: " in said and "'project_all' writes 'embedding'" in said
    assert run("audit projected.meta --table embedding --frozen 0:8 --json") == 1
    left_out = json.loads(capsys.readouterr().out)["not_audited"]
    assert "project_all" in {each["op"] for each in left_out if each["why"] == "not fetched"}
    # Who says what a step runs has been asked.
    fetched = "audit projected.meta --table embedding --frozen 0:8 --fetch TrainableRows/group_deps"
    assert run(fetched) == 0
    assert "project_all" in capsys.readouterr().out
    assert run("audit wrapped.meta --table embedding --frozen 0-8") == 2
    assert "--frozen must be ids and ranges" in capsys.readouterr().err


def test_a_bar_shows_on_a_terminal_only(workdir, capsys, monkeypatch):
    tqdm = pytest.importorskip("tqdm")
    assert run(f"{GROW} --only-tables") == 0
    assert capsys.readouterr().err == ""
    totals = []
    original = tqdm.tqdm

    def noted(*args, **kwargs):
        totals.append(kwargs["total"])
        return original(*args, **dict(kwargs, disable=True))

    monkeypatch.setattr(tqdm, "tqdm", noted)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert run(f"{GROW} --only-tables --force --json") == 0
    assert totals == [json.loads(capsys.readouterr().out)["bytes"]]
