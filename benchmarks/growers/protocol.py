"""What every way to grow a checkpoint speaks: one run is a process, and prints a line of JSON.

    python -m benchmarks.growers.NAME FOLDER OUT

In FOLDER, which the driver makes, are the base and `size.json`; a way whose files have another
format makes its own base there the first time, before the clock starts. Each run ends with the
files of the grown checkpoint on the disk, not in the cache of the system alone. Python 3.7 and
later; needs nothing but NumPy.
"""

import json
import os
import sys
import time

import numpy as np

from benchmarks.peers.protocol import memory

NAMES = ("table", "table/Adam", "table/Adam_1")


class Job:
    """Where the base is, where the grown checkpoint goes, and the sizes."""

    def __init__(self, folder, out):
        self.folder, self.out = folder, out
        with open(os.path.join(folder, "size.json")) as file:
            size = json.load(file)
        self.old_rows, self.new_rows, self.dim = size["old_rows"], size["new_rows"], size["dim"]
        self.prefix = os.path.join(folder, "base")

    @property
    def rows(self):
        return self.old_rows + self.new_rows

    def values(self):
        """Returns the values that the old rows repeat, [16384, dim]."""
        return np.random.RandomState(0).randn(1 << 14, self.dim).astype(np.float32)

    def check(self, rows, start):
        """Refuses a run whose rows from `start` on are not the old ones, bit for bit."""
        expected = self.values()[(start + np.arange(len(rows))) % (1 << 14)]
        if not np.array_equal(np.asarray(rows).view(np.int32), expected.view(np.int32)):
            raise SystemExit("other vectors: old rows are not those of the base")


def write_vocabularies(job):
    """Writes a file of old tokens and one of old and new ones, and returns their paths."""
    paths = [os.path.join(job.folder, name) for name in ("old.txt", "new.txt")]
    for path, size in zip(paths, (job.old_rows, job.rows)):
        if not os.path.exists(path):
            with open(path, "w") as file:
                file.writelines(f"token_{number}\n" for number in range(size))
    return paths


def flush(out):
    """Waits until all files of a folder are on the disk."""
    for path, _, names in os.walk(out):
        for name in names:
            with open(os.path.join(path, name), "rb") as file:
                os.fsync(file.fileno())


def run(grow, prepare=None, check=None):
    """Runs one way, once, and prints what it took.

    Args:
      grow: function of a `Job`.
      prepare: function of a `Job`, before the clock starts, in a process of its own.
      check: function of a `Job` that reads the grown checkpoint back.
    """
    # Libraries print what they like: to where nobody takes it for the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = Job(*sys.argv[1:3])
    if prepare is not None and sys.argv[3:] == ["prepare"]:
        prepare(job)
        return
    os.makedirs(job.out)
    base, start = memory("VmRSS"), time.perf_counter()
    grow(job)
    flush(job.out)
    seconds, peak = time.perf_counter() - start, memory("VmHWM")
    if check is not None:
        check(job)
    answers.write(json.dumps({"seconds": seconds, "memory": max(0, peak - base)}) + "\n")
