"""Every code and command block of README.md and the docs does what the page shows.

A page's Python blocks run in their order, as one program; what they print is the `text` block below
them. Commands in a `console` block run, or are checked where a run takes minutes. "…" in what is
shown stands for anything. A block of any other kind needs a test of its own, or fails.
"""

import contextlib
import io
import json
import re
import shlex
import sys
import textwrap
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support import adoptions
from support.tables import bits, load_checkpoint
from tf1_embed.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
ADOPTING = ROOT / "docs" / "adopting.md"

Block = namedtuple("Block", "page line section language text")

FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def read_blocks(page):
    """Returns a list of the `Block`s of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    blocks = []
    for fence in FENCE.finditer(text):
        headings = HEADING.findall(FENCE.sub("", text[: fence.start()]))
        line = text.count("\n", 0, fence.start()) + 1
        blocks.append(Block(page, line, headings[-1] if headings else "", *fence.groups()[1:]))
    return blocks


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """The working folder, with the checkpoints that the pages speak of."""
    for folder in ("base", "grown", "demo/seed_0", "shop", "parts", "estimator"):
        (tmp_path / "runs" / folder).mkdir(parents=True)
    monkeypatch.chdir(str(tmp_path))
    save_trained_model("runs/base/model.ckpt", {"embedding": [10, 2], "bias": [10]})
    export_model("runs/exported", [10, 2])
    # What `make demo` leaves.
    shapes = {"entities": [125, 256], "relations": [46, 256]}
    save_trained_model("runs/demo/seed_0/base.ckpt", shapes)
    save_trained_model("runs/shop/model.ckpt", {"users": [30, 2], "items": [20, 2]})
    save_trained_model("runs/parts/model.ckpt", {"table": [11, 2]}, partitions=3)
    save_trained_model("runs/estimator/model.ckpt-1000", {"embedding": [10, 2], "bias": [10]})
    return tmp_path


def save_trained_model(prefix, shapes, partitions=None):
    """Saves variables that Adam has trained."""
    with tf.Graph().as_default(), tf.Session() as session:
        partitioner = tf.fixed_size_partitioner(partitions) if partitions else None
        for name, shape in shapes.items():
            tf.get_variable(name, shape, partitioner=partitioner)
        loss = tf.add_n([tf.reduce_sum(variable) for variable in tf.trainable_variables()])
        train_op = tf.train.AdamOptimizer(0.1).minimize(loss)
        session.run(tf.global_variables_initializer())
        session.run(train_op)
        tf.train.Saver().save(session, prefix)


def export_model(folder, shape):
    """Exports a model that looks ids up."""
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int64, [None])
        vectors = tf.nn.embedding_lookup(tf.get_variable("embedding", shape), ids)
        session.run(tf.global_variables_initializer())
        tf.saved_model.simple_save(session, folder, {"ids": ids}, {"vectors": vectors})


# Blocks that stand for themselves


@pytest.mark.parametrize("page", [page for page in PAGES if page != ADOPTING], ids=name_of)
def test_page_does_what_it_shows(page, workdir, capsys):
    names, printed = {}, None
    for block in read_blocks(page):
        where = f"{name_of(page)}:{block.line}"
        if block.language == "python":
            printed = run_python(block, names)
        elif block.language == "console":
            printed = run_console(block, capsys)
        elif block.language == "diff":
            run_diff(block, names)
        elif block.language == "text":
            assert printed is not None, f"{where}: nothing above it prints this"
            assert_shown(block.text, printed, where)
            printed = None
        elif block.language == "json":
            assert_same_keys(json.loads(block.text), "runs/grown/model.ckpt.rows.json")
        else:
            # Directives are for the site, whose warnings are errors.
            assert block.language in ("{eval-rst}", "{toctree}", "{include}"), (
                f"{where}: no test runs blocks of {block.language or 'no language'!r}"
            )


def run_python(block, names):
    """Runs a block with the names of those before it, which it adds to; returns its output."""
    # So that errors, and an audit, name the line in the page.
    code = "\n" * block.line + block.text
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(block.page), "exec"), names)
    return printed.getvalue()


def run_diff(block, names):
    """Runs what the lines are before the change, which fails as the page says, and after it."""
    given = {"num_old": 10, "num_rows": 12, "dim": 2, "ids": [3, 11, 0], "tf": tf}
    before, after = (
        "".join(line[1:] for line in block.text.splitlines(True) if not line.startswith(sign))
        for sign in "+-"
    )
    with tf.Graph().as_default(), pytest.raises(ValueError, match="No gradients provided"):
        exec(before, dict(given))
    with tf.Graph().as_default(), tf.Session() as session:
        trained = dict(given, tf1_embed=tf1_embed)
        exec(after, trained)
        session.run(tf.global_variables_initializer())
        rows = session.run(trained["e"])
        session.run(trained["train_op"])
        moved = (bits(session.run(trained["e"])) != bits(rows)).any(axis=1)
    # Row 11 is the new one of the batch. Adam moves row 10 when there is something to go on with.
    assert np.flatnonzero(moved).tolist() == [11]


def run_console(block, capsys):
    """Runs the block's commands; returns "…" if any is checked only, so that nothing is known."""
    printed = None
    assert block.text.startswith("$ "), block
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        where = f"{name_of(block.page)}:{block.line}: {command}"
        words = shlex.split(command)
        if words[0] != "tf1-embed":
            assert words[0] in CHECKS, f"{where}: no test runs this"
            CHECKS[words[0]](words)
            printed = "…"
            continue
        capsys.readouterr()
        # Who has something to report ends with 1.
        assert main(words[1:]) in ((0, 1) if words[1] in ("audit", "diff", "verify") else (0,)), (
            where
        )
        if shown:
            assert_shown(shown, capsys.readouterr().out, where)
    return printed


def assert_shown(shown, printed, where):
    if printed != "…":
        pattern = re.escape(shown).replace(re.escape("…"), ".*?")
        assert re.fullmatch(pattern, printed, re.DOTALL), f"{where}\n{printed}"


def assert_same_keys(shown, path):
    written = json.loads(Path(path).read_text(encoding="utf-8"))
    assert set(shown) == set(written)
    (shown,), (written,) = shown["tables"].values(), written["tables"].values()
    assert set(shown) == set(written)


# Commands that take minutes: .ci/run runs them, or tests/clusters. What can be wrong are names.


def check_make(words):
    (target,) = words[1:]
    assert re.search(rf"^{target}:.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


def check_pip(words):
    (path,) = words[2:]
    assert words[1] == "install" and path in (".", ".[tf]")
    assert '"tf": [' in (ROOT / "setup.py").read_text(encoding="utf-8")


def check_venv(words):
    assert words[1:] == ["-m", "venv", "env"]


def check_python(words):
    assert words[1] == "-m"
    sources = list(ROOT.joinpath(*words[2].split(".")).glob("*.py"))
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    assert sources and all(f'"{word}"' in text for word in words if word.startswith("--"))


def check_export(words):
    name, value = words[1].split("=", 1)
    if name == "PATH":
        assert value == "$PWD/.venv/tf2/bin:$PATH"
    else:
        assert name == "TF_CONFIG" and set(json.loads(value)) == {"cluster", "task"}


CHECKS = {
    "make": check_make,
    "pip": check_pip,
    "env/bin/pip": check_pip,
    "python3": check_venv,
    "python": check_python,
    "export": check_export,
}


# docs/adopting.md, whose numbered sections test_adopting.py runs


def test_blocks_of_adopting_are_those_that_tests_know():
    sections = [f"{each.number}. {each.title}" for each in adoptions.read_sections().values()]
    estimators = (ROOT / "tests" / "test_estimators.py").read_text(encoding="utf-8")
    lookups = (ROOT / "tests" / "test_lookup.py").read_text(encoding="utf-8")
    saved = (ROOT / "tests" / "test_saved_models.py").read_text(encoding="utf-8")
    shared = []
    for block in read_blocks(ADOPTING):
        if block.section == "What all sections share":
            shared.append(block.language)
        elif block.section == "Estimators":
            assert all(part in estimators for part in block.text.split("\n\n\n")), block
        elif block.section == "Only a SavedModel":
            assert "test_page_of_adopting" in saved, block
        elif block.section == "Keras models":
            assert textwrap.indent(block.text, "    ") in lookups, block
        else:
            assert block.section in sections, block
            assert block.language in ("diff", "python", "sh"), block
    # The first command is that of all sections without one; the tests below run the others.
    assert shared == ["python", "python", "sh", "sh"]


def test_what_all_sections_of_adopting_share_makes_whole_programs(tmp_path, monkeypatch):
    section = adoptions.read_sections()[1]
    outcome = adoptions.run_section(section, tmp_path)
    blocks = [each for each in read_blocks(ADOPTING) if each.section == "What all sections share"]
    begin, end = [block.text for block in blocks if block.language == "python"]
    program = "\n".join([begin.replace("num = 6", "num = 8"), section.after, end])
    monkeypatch.chdir(str(tmp_path))
    with tf.Graph().as_default():
        exec(program, {"checkpoint": "grown", "batches": adoptions.BATCHES})
    table = load_checkpoint("new")["table"]
    np.testing.assert_array_equal(bits(table), bits(outcome.trained["table"]))


def test_commands_that_all_sections_of_adopting_share_split_and_merge(tmp_path, monkeypatch):
    section = adoptions.read_sections()[12]
    outcome = adoptions.run_section(section, tmp_path)
    monkeypatch.chdir(str(tmp_path))
    for path in list(tmp_path.glob("split.*")) + list(tmp_path.glob("merged.*")):
        path.unlink()
    blocks = [each for each in read_blocks(ADOPTING) if each.section == "What all sections share"]
    (commands,) = [block.text for block in blocks if "merge" in block.text]
    for command in commands.splitlines():
        assert main(shlex.split(command)[1:]) == 0
    table = load_checkpoint("merged")["table"]
    np.testing.assert_array_equal(bits(table), bits(outcome.trained["table"]))


# What pages name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_is_fenced(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    assert not re.findall(r"\n\n    \S.*", text), "no test runs indented blocks"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def anchors_of(page):
    """Returns the anchors of a page's headings, as code hosts and the site make them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {each.strip().replace(" ", "-") for each in words}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_headings(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target, anchor in re.findall(r"\]\((?!https:)([^)#]*)#([^)]+)\)", text):
        there = (page.parent / target).resolve() if target else page
        assert anchor in anchors_of(there), f"{target}#{anchor}"


def test_site_with_a_link_that_leads_nowhere_is_found_out(tmp_path):
    sys.path.insert(0, str(ROOT / "docs"))
    from check_links import broken_links

    (tmp_path / "a.html").write_text(
        '<h1 id="top"><a href="b.html#here">b</a> <a href="#top"></a> <a href="https://x.y/z"></a>'
        '<a href="b.html#gone"></a> <img src="no.svg"></h1>'
    )
    (tmp_path / "b.html").write_text('<p id="here"><a href="a.html">a</a></p>')
    assert broken_links(tmp_path) == ["a.html: b.html#gone", "a.html: no.svg"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tests_and_programs_that_are_named_are_there(page):
    text = page.read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, name
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z0-9-]+)`", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"`((?:benchmarks|examples|tests|notebooks)/[\w/]+\.\w+)", text):
        assert (ROOT / path).exists(), path


def test_errors_of_the_library_are_said_by_its_code():
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    _, in_a_program, by_the_command = re.split(
        r"^## Said by (?:tf1_embed|the command).*$", text, flags=re.M
    )
    # Adjacent strings of the code are one message.
    code = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tf1_embed/**/*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    headings = re.findall(r"^### (.*)$", in_a_program + by_the_command, re.M)
    assert len(headings) > 10
    for heading in headings:
        assert heading in code or "command not found" in heading, heading


def test_ideas_of_the_question_are_where_the_page_says():
    page = (ROOT / "docs" / "how_it_works.md").read_text(encoding="utf-8")
    section = page.partition("## The question, in the code\n")[2].partition("\n## ")[0]
    places = re.findall(r"\| `([\w/]+\.py)` \| `(\w+)` \|$", section, re.MULTILINE)
    assert len(places) == section.count("\n| ") - 1 >= 6
    for path, name in places:
        code = (ROOT / "tf1_embed" / path).read_text(encoding="utf-8")
        assert re.search(rf"^(def|class) {name}\b", code, re.MULTILINE), (path, name)


def test_reference_has_every_public_name_once():
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/api").glob("*.md"))
    named = re.findall(r"^\.\. auto\w+:: tf1_embed\.(\w+)$", text, re.MULTILINE)
    assert sorted(named) == sorted(set(tf1_embed.__all__) - {"__version__"})


@pytest.mark.parametrize("name", ["steps", "optimizers", "growing"])
def test_pictures_of_the_benchmarks_are_drawn_from_their_tables(name):
    pytest.importorskip("matplotlib")
    from benchmarks import pictures

    caption = "SGD, batches of 1024" if name == "steps" else None
    _, *rows = pictures.read_table(name, caption)
    told = {pictures.ratio(cell) for row in rows for cell in row[1:]}
    figure = pictures.BENCHMARKS[name]()
    drawn = {x for axes in figure.axes for line in axes.lines for x in line.get_xdata()}
    assert len(told & drawn) >= 4


def test_picture_of_the_rows_shows_that_none_of_the_old_ones_moved():
    pytest.importorskip("matplotlib")
    from benchmarks import pictures

    said = [axes.get_xlabel() for axes in pictures.draw_rows().axes]
    assert said == [f"{moved} of 16 old rows moved" for moved in (16, 16, 0)]
