"""The adoptions that docs/adopting.md shows, read from it and run."""

import contextlib
import os
import re
import shlex
from collections import namedtuple
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from tf1_embed.cli import main

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "adopting.md"

NUM_OLD, NUM = 6, 8
OLD_WORDS, NEW_WORDS = "bdfhjl", "abdefhjl"
OLD_BATCHES = [[0, 1, 2, 3], [4, 5, 0, 5], [3, 4, 1, 2]]
# Old and new ids together, some of them twice.
BATCHES = [[7, 0, 6, 6, 3], [6, 1, 1, 7, 2], [5, 4, 7, 0, 6]]

# Sections whose legacy code cannot go on from there: its number of ids is baked in.
CANNOT_GO_ON = {18}

Section = namedtuple("Section", "number title made_by before after num_changed commands splits")
Section.__doc__ = """A section of the document.

Attributes:
  number: int.
  title: string.
  made_by: string, the code that left what `before` begins with; empty if that was `before` itself.
  before: string, the legacy code.
  after: string, the code that has adopted tf1_embed.
  num_changed: int, how many lines differ.
  commands: list of lists of strings, the arguments of tf1-embed that grow the checkpoint.
  splits: bool, whether the table is split; else the optimizer is wrapped.
"""

Outcome = namedtuple("Outcome", "old started trained legacy names")
Outcome.__doc__ = """What a section's programs left behind.

Attributes:
  old: dict from the name of each tensor of the old model to its value.
  started: the same of what the adopted code started from.
  trained: the same of what it left, as one table each.
  legacy: the same, after the legacy code went on from there; None if it cannot, see CANNOT_GO_ON.
  names: dict of the names in the adopted code.
"""


def read_sections():
    """Returns a dict from number to `Section`."""
    parts = re.split(r"^## ", document(), flags=re.MULTILINE)
    (shared,) = [part for part in parts if part.startswith("What all sections share")]
    numbered = [part for part in parts if re.match(r"\d+\. ", part)]
    sections = [_read_section(part, _commands(shared)[:1]) for part in numbered]
    return {section.number: section for section in sections}


def document():
    """Returns the text of the document."""
    return DOCUMENT.read_text(encoding="utf-8")


def run_section(section, folder):
    """Runs the programs of a section in a folder that is there; returns their `Outcome`."""
    with _working_in(folder):
        Path("old.txt").write_text("\n".join(OLD_WORDS))
        Path("new.txt").write_text("\n".join(NEW_WORDS))
        prefix = section.commands[0][1] if section.commands else "old"
        _run(section.made_by or section.before, NUM_OLD, OLD_BATCHES, save=prefix, folder="old")
        old = _load("table.npy" if os.path.exists("table.npy") else prefix)
        grown = [command[command.index("--out") + 1] for command in section.commands]
        for command, out in zip(section.commands, grown):
            os.makedirs(os.path.dirname(out) or ".", exist_ok=True)  # The `mkdir` of section 17.
            assert main(command) == 0
        names = _run(section.after, NUM, BATCHES, (grown or [None])[-1], "new", "grown")
        started = _load(grown[0]) if grown else {"table": _initial_values(names["table"])}
        left = _left_by_itself() or "new"
        if section.splits and left == "new":
            left = _merge("new", "merged")
        trained = _load(left)
        legacy = None
        if section.number not in CANNOT_GO_ON:
            if left == "new.npy":
                os.replace(left, "table.npy")
            _run(section.before, NUM, BATCHES, left, "again", "grown")
            legacy = _load(_left_by_itself() or "again")
        return Outcome(old, started, trained, legacy, names)


def run_program(code, num):
    """Runs the code between what the document puts before all of it; returns its names."""
    names = {"tf": tf, "np": np, "num": num, "num_old": NUM_OLD, "dim": 2}
    names["ids"] = tf.placeholder(tf.int64, [None], "ids")
    exec(compile(code, str(DOCUMENT), "exec"), names)
    return names


def _run(code, num, batches, restore=None, save=None, folder=None):
    """Runs a whole program in a graph of its own; returns its names."""
    with tf.Graph().as_default(), _lookup_of_tensorflow():
        tf.set_random_seed(0)
        code = f"batches, folder = {batches}, {folder!r}\n{code}"
        names = run_program(code, num)
        if "session" not in names and "train_op" in names:
            saver = names.get("saver") or tf.train.Saver()
            with tf.Session() as session:
                session.run(tf.global_variables_initializer())
                if restore is not None:
                    saver.restore(session, restore)
                for batch in batches:
                    session.run(names["train_op"], {names["ids"]: batch})
                saver.save(session, save)
    return names


def _left_by_itself():
    """Returns where a program that makes its own session left the table, None if none did."""
    if os.path.exists("new.npy"):
        return "new.npy"
    return "grown" if os.path.isdir("grown") else None


def _load(path):
    if path.endswith(".npy"):
        return {"table": np.load(path)}
    prefix = path if os.path.exists(f"{path}.index") else tf.train.latest_checkpoint(path)
    # Not tf.train.load_checkpoint, which takes a prefix that ends in a slash for a folder.
    reader = tf.train.NewCheckpointReader(prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _merge(prefix, out):
    suffix = "_new_rows"
    tables = [name[: -len(suffix)] for name in _load(prefix) if name.endswith(suffix)]
    tf1_embed.merge_checkpoint(prefix, tables, out)
    return out


def _initial_values(table):
    """Returns what the table begins with, which is the same at each initialisation."""
    with tf.Session(graph=table.trainable.graph) as session:
        session.run([table.frozen.initializer, table.trainable.initializer])
        return session.run(tf.concat([table.frozen, table.trainable], 0))


@contextlib.contextmanager
def _lookup_of_tensorflow():
    """Brings TensorFlow's lookup back after a program that put another in its place."""
    lookup = tf.nn.embedding_lookup
    try:
        yield
    finally:
        tf.nn.embedding_lookup = lookup


@contextlib.contextmanager
def _working_in(folder):
    before = os.getcwd()
    os.chdir(str(folder))
    try:
        yield
    finally:
        os.chdir(before)


def _read_section(text, default_commands):
    number, title = re.match(r"(\d+)\. (.*)\n", text).groups()
    (diff,) = _blocks("diff", text)
    lines = diff.splitlines()
    before = "\n".join(line[1:] for line in lines if line[:1] != "+")
    after = "\n".join(line[1:] for line in lines if line[:1] != "-")
    commands = _commands(text)
    if not commands and "tf.Session()" not in before:
        commands = default_commands
    return Section(
        int(number),
        title,
        "".join(_blocks("python", text)),
        before,
        after,
        _count_changed(lines),
        commands,
        "get_grown_table" in after,
    )


def _blocks(language, text):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def _commands(text):
    lines = "".join(_blocks("sh", text)).splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("tf1-embed ")]


def _count_changed(lines):
    """Returns how many lines of a diff are added, taken out, or replaced, which is one change."""
    runs = re.findall(r"[+-]+", "".join(line[:1] or " " for line in lines))
    return sum(max(run.count("+"), run.count("-")) for run in runs)
