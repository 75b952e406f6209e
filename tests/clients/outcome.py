"""What the programs of a client did to its tables, measured from outside of them."""

import difflib
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import tf1_embed

PROGRAMS = Path(__file__).resolve().parent / "programs"

# One table of a client: its old rows as they were before; all rows at the start of the further
# training; after that by the plain program and by the adopted one; after the plain program went on
# from what the adopted one left; the `Rows` that are new.
Table = namedtuple("Table", "old start plain adopted on new_rows")

# The metric's values for new ids: with random new rows, and as the three trainings left them.
Scores = namedtuple("Scores", "start plain adopted on")

Outcome = namedtuple(
    "Outcome",
    "client changed_lines old_rows new_rows old_rows_moved_plain old_rows_moved "
    "bit_identical new_rows_moved rows_moved_on metric random_rows trained_plain trained "
    "trained_on",
)


def run_program(name, *arguments):
    """Runs a program of the folder `programs`, in a process of its own."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONWARNINGS": "ignore"}
    # DeepCTR asks for its newest version whenever it is imported; a test asks nobody.
    environment["https_proxy"] = "http://localhost:9"
    result = subprocess.run(
        [sys.executable, str(PROGRAMS / f"{name}.py")] + [str(each) for each in arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(f"{name}.py failed:\n{result.stdout}")
    return result.stdout


def changes(client):
    """Returns the lines that adopting tf1_embed adds and takes away, "+" or "-" before each.

    A line that is replaced by another is there twice. Empty lines, which the formatter puts, are
    not there.
    """
    plain, adopted = (
        (PROGRAMS / f"{client}_{kind}.py").read_text(encoding="utf-8").splitlines()
        for kind in ("plain", "adopted")
    )
    lines = difflib.ndiff(plain, adopted)
    return [line[0] + line[2:] for line in lines if line[0] in "+-" and line[2:].strip()]


def make_outcome(client, tables, metric, scores):
    """Compares the tables of a client, a list of `Table`, bit by bit."""
    return Outcome(
        client=client,
        changed_lines=len(changes(client)),
        old_rows=sum((~table.new_rows).count for table in tables),
        new_rows=sum(table.new_rows.count for table in tables),
        old_rows_moved_plain=sum(
            _count_moved(table.start, table.plain, ~table.new_rows) for table in tables
        ),
        old_rows_moved=sum(
            _count_moved(table.start, table.adopted, ~table.new_rows) for table in tables
        ),
        bit_identical=all(
            tf1_embed.fingerprint(table.old)
            == tf1_embed.fingerprint(table.adopted, ~table.new_rows)
            for table in tables
        ),
        new_rows_moved=sum(
            _count_moved(table.start, table.adopted, table.new_rows) for table in tables
        ),
        rows_moved_on=sum(
            _count_moved(table.adopted, table.on, rows)
            for table in tables
            for rows in (table.new_rows, ~table.new_rows)
        ),
        metric=metric,
        random_rows=float(scores.start),
        trained_plain=float(scores.plain),
        trained=float(scores.adopted),
        trained_on=float(scores.on),
    )


def _count_moved(before, after, rows):
    return sum(before[row].tobytes() != after[row].tobytes() for row in rows.ids())
