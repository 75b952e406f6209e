"""Notices when something became slow: ratios only, within a minute, with generous bounds.

Every ratio is that of two things that take turns on the same machine in the same run, and its
smallest over the rounds counts: a machine that does other things now and then makes a round slower,
never faster. So a bound is passed only by what became slow.

    python -m benchmarks.guard
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from benchmarks import steps
from benchmarks.growers import protocol as grower
from benchmarks.growing import DIM, write_base

# What is measured, and at most how much: one and a half to five times what an idle machine gives,
# and what a machine with three times as much to do as it has cores still keeps.
BOUNDS = {
    "partition over the floor": 3.0,
    "partition over full training": 1.5,
    "one variable over two": 2.0,
    "partition, 1 M old rows over 10 k": 2.5,
    "partition over concat, 1 M old rows": 1 / 20,
    "grow over cp": 5.0,
    # TensorFlow's import alone would be 100 or more.
    "inspect over an empty program": 40.0,
}
ROUNDS = 5
SIZES = {"new_rows": 10**4, "dim": 64, "batch": [1024], "threads": 2, "quick": False}


def measure_steps():
    """Returns the ratios of training steps, SGD, at batches of 1024."""
    turns = {}
    for old_rows in (10**4, 10**6):
        names = ["floor", "bound", "partition", "chosen_rows", "full"]
        names += ["concat"] if old_rows > 10**4 else []
        peers = [peer for peer in steps.PEERS if peer.name in names]
        with tempfile.TemporaryDirectory() as folder:
            options = SimpleNamespace(
                rounds=ROUNDS,
                python_of=lambda environment: sys.executable,
                folder=Path(folder),
                max_seconds=60,
                **SIZES,
            )
            spec = steps.make_spec(old_rows, "sgd", options)

            def record(name, size, number, seconds, old_rows=old_rows):
                turns.setdefault((name, old_rows), []).append(sorted(seconds)[len(seconds) // 2])

            found = steps.measure(spec, peers, "tf2", options, record)
        refused = {name: each["cannot"] for name, each in found.items() if "cannot" in each}
        if refused:
            raise SystemExit(f"peers that could not do the job: {refused}")

    def ratio(own, other):
        return min(a / b for a, b in zip(turns[own], turns[other]))

    many, few = 10**6, 10**4
    return {
        "partition over the floor": ratio(("partition", many), ("floor", many)),
        "partition over full training": ratio(("partition", many), ("full", many)),
        "one variable over two": ratio(("chosen_rows", many), ("partition", many)),
        # Not of the same rounds: the best of either.
        "partition, 1 M old rows over 10 k": min(turns["partition", many])
        / min(turns["partition", few]),
        "partition over concat, 1 M old rows": min(turns["partition", many])
        / min(turns["concat", many]),
    }


def measure_growth(gigabytes=0.3):
    """Returns the ratio of growing a checkpoint to copying it, both with their interpreters."""
    with tempfile.TemporaryDirectory() as folder:
        rows = int(gigabytes * 1e9) // (3 * 4 * DIM)
        Path(folder, "size.json").write_text(
            f'{{"old_rows": {rows}, "new_rows": 1000, "dim": {DIM}}}'
        )
        write_base(grower.Job(folder, None))
        seconds = {"cp": [], "tf1_embed_grow": []}
        for _ in range(3):
            for name, each in seconds.items():
                out = os.path.join(folder, "out")
                shutil.rmtree(out, ignore_errors=True)
                os.sync()
                each.append(run_seconds("-m", f"benchmarks.growers.{name}", folder, out))
    return {"grow over cp": min(b / a for a, b in zip(*seconds.values()))}


def measure_start():
    """Returns the ratio of `inspect`, of a small checkpoint, to a program that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "size.json").write_text(f'{{"old_rows": 9, "new_rows": 1, "dim": {DIM}}}')
        job = grower.Job(folder, None)
        write_base(job)
        rounds = [
            (run_seconds("-m", "tf1_embed", "inspect", job.prefix), run_seconds("-c", "pass"))
            for _ in range(5)
        ]
    return {
        "inspect over an empty program": min(own for own, _ in rounds)
        / min(empty for _, empty in rounds)
    }


def run_seconds(*arguments):
    """Returns the seconds that a program of this interpreter takes."""
    root = Path(__file__).resolve().parent.parent
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        cwd=root,
        env=dict(os.environ, PYTHONPATH=str(root)),
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def main():
    """Prints every ratio beside its bound; returns 1 if one is above."""
    start, slow = time.perf_counter(), []
    for measure in (measure_steps, measure_growth, measure_start):
        for name, ratio in measure().items():
            passed = ratio <= BOUNDS[name]
            slow += [] if passed else [name]
            print(f"{name:48}{ratio:8.3f}  at most {BOUNDS[name]:.2f}{'' if passed else '  SLOW'}")
    print(f"{time.perf_counter() - start:.0f} seconds; became slow: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
