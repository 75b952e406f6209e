"""What it costs to grow a checkpoint, beside `cp` and everything that a user might pick instead.

The checkpoint is one table with the two slot variables of Adam. Each way is a process, all ways in
turn, and ends with its files on the disk. Each begins some seconds after the files of the one
before were removed: a virtual machine gives the memory that they had back to its host by then, and
whoever writes next would otherwise have it for nothing.
"""

import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import namedtuple
from pathlib import Path

import numpy as np

from benchmarks.growers import protocol
from benchmarks.resident import ROOT
from benchmarks.results import Recorder, Results, format_ratio
from tf1_embed.checkpoint.files.writer import CheckpointWriter

Way = namedtuple("Way", "name title environment has_own_base")
WAYS = [
    Way("cp", "`cp` and `fsync`", "tf2", False),
    Way("tf1_embed_grow", "**tf1_embed**, checksums and certificate", "tf2", False),
    Way("numpy_concat", "NumPy: load, concatenate, save", "tf2", True),
    Way("warm_start", "`tf.train.warm_start` in a session", "tf2", True),
    Way("opennmt_update_vocab", "OpenNMT-tf's `update_vocab`", "bench-opennmt", True),
]
VERIFY = Way("tf1_embed_verify", "tf1_embed: verify all old rows", "tf2", False)
NAMES = [way.name for way in WAYS]
DIM, NEW_ROWS = 64, 1000
TIMEOUT = 600


def run(options):
    """Measures checkpoints of all sizes that are asked for."""
    for gigabytes in options.gigabytes or ([0.03] if options.quick else [0.1, 1, 3]):
        run_one(gigabytes, options)


def run_one(gigabytes, options):
    """Measures checkpoints of one size, and prints what was found."""
    rows = int(gigabytes * 1e9) // (3 * 4 * DIM)
    path = options.folder / f"growing-{gigabytes:g}.json"
    recorder = Recorder(path, gigabytes=gigabytes, rows=rows)
    options.folder.mkdir(parents=True, exist_ok=True)
    found = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        size = {"old_rows": rows, "new_rows": NEW_ROWS, "dim": DIM}
        Path(folder, "size.json").write_text(json.dumps(size))
        write_base(protocol.Job(folder, None))
        ways = [way for way in WAYS if way.name in (options.ways or NAMES)]
        ways = [way for way in ways if prepare(way, folder, options, found)]
        order = random.Random(0)
        for number in range(min(options.rounds, 3)):
            order.shuffle(ways)
            for way in list(ways):
                clear(folder, gigabytes)
                if not record(way, number, folder, options, recorder, found):
                    ways.remove(way)
                elif way.name == "tf1_embed_grow":
                    record(VERIFY, number, folder, options, recorder, found)
    recorder.write(found)
    results = Results(path)
    print(f"{gigabytes:g} GB: seconds, the ratio to cp, peak memory of the process in MB")
    for way in [*WAYS, VERIFY]:
        print(f"  {way.name:22} {line(results, way)}", flush=True)


def line(results, way):
    """Returns what was found of a way, in a line."""
    seconds, found = results.seconds(way.name), results.found.get(way.name, {})
    if seconds is None:
        return found.get("cannot", "not measured")
    memory = statistics.median(found["memory"]) / 1e6
    return f"{seconds:7.2f} [{format_ratio(results.ratio(way.name, 'cp'))}] {memory:,.0f} MB"


def write_base(job):
    """Writes the checkpoint to be grown."""
    # The same values over and over: their number costs time, not their worth.
    values = job.values()

    def chunks():
        for start in range(0, job.old_rows, len(values)):
            yield values[: job.old_rows - start]

    with CheckpointWriter(job.prefix) as writer:
        for name in protocol.NAMES:
            writer.add(name, np.dtype(np.float32), [job.old_rows, job.dim], chunks())


def prepare(way, folder, options, found):
    """Makes the base of a way that has its own; returns whether that worked."""
    if not way.has_own_base:
        return True
    return start(way, folder, options, found, "prepare") is not None


def record(way, number, folder, options, recorder, found):
    """Runs a way once, and records it; returns whether that worked."""
    answer = start(way, folder, options, found)
    if not answer:
        return False
    fields = json.loads(answer.splitlines()[-1])
    recorder.record(way.name, number, [fields["seconds"]])
    found.setdefault(way.name, {}).setdefault("memory", []).append(fields["memory"])
    return True


def start(way, folder, options, found, *args):
    """Returns what the process of a way printed, or None if it failed."""
    python = options.python_of(way.environment)
    command = [str(python), "-m", f"benchmarks.growers.{way.name}"]
    command += [folder, os.path.join(folder, "out", way.name), *args]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=dict(os.environ, PYTHONPATH=str(ROOT)),
            capture_output=True,
            timeout=TIMEOUT,
            text=True,
        )
        if done.returncode == 0:
            return done.stdout
        said = [each for each in done.stderr.splitlines() if each.strip()]
        reason = f"ended with {done.returncode}: {said[-1][:300] if said else 'nothing was said'}"
    except FileNotFoundError:
        reason = f"its environment is not there: {python}; `make bench` makes it"
    except subprocess.TimeoutExpired:
        reason = f"took more than {TIMEOUT} seconds"
    found[way.name] = {"cannot": reason}
    return None


def clear(folder, gigabytes):
    """Removes all outputs, and lets the machine settle."""
    shutil.rmtree(os.path.join(folder, "out"), ignore_errors=True)
    os.sync()
    time.sleep(min(5, 2 * gigabytes))
