"""How much memory it takes to load the old rows of a grown table, as a multiple of their size.

Each source is loaded in a process of its own, whose peak memory the operating system reports; that
of a process that only starts TensorFlow and a session is taken off.

    python benchmarks/load_memory.py --old-rows 10000000
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed

SOURCES = ("nothing", "checkpoint", "npy")


def load(source, path):
    """Loads the table in this process and prints its seconds and its peak memory in KB."""
    with tf.Graph().as_default(), tf.Session() as session:
        session.run(tf.constant(0))
        start = time.perf_counter()
        if source == "checkpoint":
            table = tf1_embed.get_grown_table("table", 1000, checkpoint=f"{path}/table.ckpt")
        elif source == "npy":
            table = tf1_embed.get_grown_table("table", 1000, old_rows=f"{path}/table.npy")
        if source != "nothing":
            session.run(tf.global_variables_initializer())
            session.run(tf1_embed.embedding_lookup(table, [0, table.shape[0] - 1]))
        seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def save(path, num_rows, dim):
    """Writes the same table as a checkpoint and as a `.npy` file."""
    values = np.lib.format.open_memmap(f"{path}/table.npy", "w+", np.float32, (num_rows, dim))
    for start in range(0, num_rows, 1 << 16):
        values[start : start + (1 << 16)] = start
    del values
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("table", [num_rows, dim], initializer=tf.zeros_initializer())
        session.run(table.initializer)
        tf.train.Saver([table]).save(session, f"{path}/table.ckpt", write_meta_graph=False)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old-rows", type=int, default=10**7)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--folder", help="where to put the table; default: a temporary folder")
    parser.add_argument("--load", nargs=2, metavar=("SOURCE", "PATH"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.load:
        return load(*args.load)
    table_mb = args.old_rows * args.dim * 4 / 1e6
    table = f"a table of {args.old_rows} x {args.dim}, {table_mb:.0f} MB"
    print(f"TensorFlow {tf.__version__}, {table}")
    with tempfile.TemporaryDirectory(dir=args.folder) as path:
        # In a process of its own: peak memory is passed on to children.
        save_program = f"import load_memory as m; m.save({path!r}, {args.old_rows}, {args.dim})"
        subprocess.run([sys.executable, "-c", save_program], check=True, cwd=Path(__file__).parent)
        for source in SOURCES:
            command = [sys.executable, __file__, "--load", source, path]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            seconds, kilobytes = map(float, output.split())
            peak_mb = kilobytes * 1024 / 1e6
            if source == "nothing":
                base_mb = peak_mb
                print(f"{source:>11}: peak {base_mb:.0f} MB")
                continue
            print(
                f"{source:>11}: peak {peak_mb - base_mb:.0f} MB above that, "
                f"{(peak_mb - base_mb) / table_mb:.2f} of the table, {seconds:.1f} s"
            )


if __name__ == "__main__":
    tf.logging.set_verbosity(tf.logging.ERROR)
    main()
