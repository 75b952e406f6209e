"""Seconds that commands take where there is little to do, beside those of TensorFlow's import.

Commands on checkpoints need no TensorFlow. Each is run several times in a process of its own, in
turn with `import tensorflow`; the best of each counts.

    python benchmarks/start_cost.py
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from tf1_embed.checkpoint.files.writer import CheckpointWriter

LIMIT = 0.3

COMMANDS = {
    "--help": ["--help"],
    "inspect": ["inspect", "old"],
    "verify": ["verify", "old", "new", "--table", "e"],
    "usage error": ["grow", "old"],
    "no such checkpoint": ["inspect", "nowhere"],
    "no such table": ["verify", "old", "new", "--table", "f"],
    "no such folder": ["grow", "old", "--table", "e", "--rows", "1", "--out", "nowhere/new"],
}


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    programs = {name: ["-m", "tf1_embed", *each] for name, each in COMMANDS.items()}
    programs["import tensorflow"] = ["-c", "import tensorflow"]
    best = dict.fromkeys(programs, float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        for name, num_rows in (("old", 100), ("new", 120)):
            table = np.arange(8 * num_rows, dtype=np.float32).reshape(num_rows, 8)
            with CheckpointWriter(os.path.join(folder, name)) as writer:
                writer.add("e", table.dtype, table.shape, [table])
        for _ in range(args.rounds):
            for name, program in programs.items():
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, *program],
                    cwd=folder,
                    env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                best[name] = min(best[name], time.perf_counter() - start)
    for name, seconds in best.items():
        print(f"{name:20}{seconds:8.2f} s")
    slow = [name for name in COMMANDS if best[name] > LIMIT]
    print(f"more than {LIMIT} s: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
