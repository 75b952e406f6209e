"""The commands on checkpoints and vocabularies, where there is no TensorFlow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.tables import save_checkpoint, special_rows
from tf1_embed.cli import main

ROOT = Path(__file__).resolve().parent.parent

# Runs several commands in one process, each a list of arguments out of the JSON that it is given.
PROGRAM = """
import json, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "ml_dtypes"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from tf1_embed.cli import main
for arguments in json.loads(sys.argv[1]):
    status = main(arguments)
    if status:
        sys.exit(status)
"""

COMMANDS = [
    ["inspect", "old"],
    ["verify", "old", "new", "--table", "e"],
    ["grow", "old", "--table", "e", "--also", "bias", "--rows", "2", "--out", "grown"],
    ["grow", "old", "--table", "half", "--rows", "2", "--initializer", "mean", "--out", "mean"],
    ["grow", "old", "--table", "e", "--rows", "2", "--only-tables"]
    + ["--initializer", "copy_of:3", "--out", "copied"],
    ["verify", "grown.rows.json", "grown", "--table", "e"],
    ["split", "new", "--table", "e", "--old-rows", "5", "--out", "split"],
    ["merge", "split", "--table", "e", "--out", "merged"],
    ["delta", "extract", "old", "new", "--table", "e", "--only-tables", "--out", "delta"],
    ["delta", "apply", "old", "delta", "--out", "applied"],
    ["delta", "revert", "applied", "delta", "--out", "reverted"],
    ["export", "new", "--table", "e", "--format", "npy", "--out", "e.npy"],
    ["import", "e.npy", "--table", "e", "--out", "imported"],
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders in which the commands ran: with TensorFlow, and without."""
    made = []
    for name in ("with", "without"):
        folder = tmp_path_factory.mktemp(name)
        half = special_rows("bfloat16")
        half[~np.isfinite(half.astype(np.float32))] = 1
        for prefix, num_rows in (("old", 5), ("new", 7)):
            table = np.arange(3 * num_rows, dtype=np.float32).reshape(num_rows, 3)
            values = {"e": table, "e/Adam": table * 2, "bias": table[:, 0], "half": half}
            values.update({"step": np.int64(4), "words": np.array([b"a", b"\xff" * 200], object)})
            save_checkpoint(folder / prefix, values)
        made.append(folder)
    before = os.getcwd()
    try:
        os.chdir(str(made[0]))
        for arguments in COMMANDS:
            assert main(arguments) == 0, arguments
    finally:
        os.chdir(before)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(COMMANDS)],
        cwd=str(made[1]),
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout.decode()
    return made


def test_files_are_the_same_without_tensorflow(folders):
    ours, others = ({path.name: path for path in folder.iterdir()} for folder in folders)
    assert sorted(ours) == sorted(others)
    for name, path in ours.items():
        expected, got = path.read_bytes(), others[name].read_bytes()
        assert got == expected.replace(bytes(folders[0]), bytes(folders[1])), name


def test_tensorflow_reads_what_was_written_without_it(folders):
    _, folder = folders
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / "imported")
    reader = tf.train.load_checkpoint(str(folder / "grown"))
    np.testing.assert_array_equal(reader.get_tensor("e")[:5], np.arange(15).reshape(5, 3))
    assert np.abs(reader.get_tensor("e")[5:]).min() > 0
    assert reader.get_tensor("words")[1] == b"\xff" * 200
    np.testing.assert_array_equal(
        tf.train.load_checkpoint(str(folder / "copied")).get_tensor("e")[5:], [[9, 10, 11]] * 2
    )


ADOPTION = """
import tf1_embed
tf1_embed.get_grown_table
"""


def test_what_needs_tensorflow_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.rpartition("from tf1_embed")[0] + ADOPTION],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        stderr=subprocess.PIPE,
        timeout=120,
    )
    assert done.returncode == 1
    assert b"pip install tensorflow" in done.stderr
