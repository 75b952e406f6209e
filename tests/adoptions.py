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
from tests.tables import load_checkpoint
from tf1_embed.cli import main

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "adopting.md"

NUM_OLD, NUM = 6, 8
OLD_WORDS, NEW_WORDS = "bdfhjl", "abdefhjl"
OLD_BATCHES = [[0, 1, 2, 3], [4, 5, 0, 5], [3, 4, 1, 2]]
# Old and new ids together, some of them twice. Section 14 has other new ids.
BATCHES = [[7, 0, 6, 6, 3], [6, 1, 1, 7, 2], [5, 4, 7, 0, 6]]

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
  legacy: the same, after the legacy code went on from there; None if it cannot.
  names: dict of the names in the adopted code.
"""


def read_sections():
    """Returns a dict from number to `Section`."""
    shared, *parts = re.split(r"^## (?=\d+\. )", document(), flags=re.MULTILINE)
    sections = [_read_section(part, _commands(shared)[:1]) for part in parts]
    return {section.number: section for section in sections}


def document():
    """Returns the text of the document."""
    return DOCUMENT.read_text(encoding="utf-8")


def run_section(section, folder):
    """Runs a section's programs in a folder; returns their `Outcome`."""
    with _working_in(folder):
        Path("old.txt").write_text("\n".join(OLD_WORDS))
        Path("new.txt").write_text("\n".join(NEW_WORDS))
        prefix = section.commands[0][1] if section.commands else "old"
        made_by = section.made_by or section.before
        _run(made_by, NUM_OLD, OLD_BATCHES, save=prefix, folder="old")
        old = _load("table.npy" if os.path.exists("table.npy") else prefix)
        for command in section.commands:
            assert main(command) == 0
        grown = [command[command.index("--out") + 1] for command in section.commands]
        names = _run(section.after, NUM, BATCHES, (grown or [None])[-1], "new", "grown")
        started = _load(grown[0]) if grown else {"table": _initial_values(names["table"])}
        left = _left(section)
        return Outcome(old, started, _load(left), _run_legacy(section, left), names)


def _run_legacy(section, left):
    """Runs the legacy code on what the adopted code left; returns what it leaves then."""
    if "import_meta_graph" in section.before:
        return None
    if left.endswith(".npy"):
        os.replace(left, "table.npy")
    _run(section.before, NUM, BATCHES, left, "again", "grown")
    return _load("grown" if left == "grown" else left.replace("new.npy", "new.npy") or "again")


@contextlib.contextmanager
def _working_in(folder):
    before = os.getcwd()
    os.chdir(str(folder))
    try:
        yield
    finally:
        os.chdir(before)
