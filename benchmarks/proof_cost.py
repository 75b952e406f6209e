"""What the proof costs: a fingerprint beside hashlib, a check in a session, the hook in the demo.

The digests are taken in turn in one process, so that a machine whose speed drifts does so for all
of them; the figures to quote are the ratios to hashlib's own speed over one buffer, and the hook's
share of the training time.

    python -m benchmarks.proof_cost --rows 1000000
"""

import argparse
import hashlib
import os
import tempfile
import time

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.knowledge_graph import data
from examples.knowledge_graph.main import Growth
from examples.knowledge_graph.options import parse_options

HOOK_CALLS = ("begin", "after_create_session", "before_run", "after_run", "end")


def measure_fingerprints(num_rows, dim, rounds):
    """Returns a dict from the way to go through the rows to the seconds of each time."""
    values = np.random.RandomState(0).rand(num_rows, dim).astype(np.float32)
    alternate = tf1_embed.Rows.of(np.arange(0, num_rows, 2), num_rows)
    with tempfile.TemporaryDirectory() as folder, tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("table", [num_rows, dim], use_resource=True)
        feed = tf.placeholder(tf.float32, [num_rows, dim])
        session.run(tf.assign(table, feed).op, {feed: values})
        checker = tf1_embed.FrozenRowsChecker({table: tf1_embed.Rows.range(0, num_rows, num_rows)})
        prefix = tf.train.Saver([table]).save(session, os.path.join(folder, "model.ckpt"))
        ways = {
            "hashlib, one buffer": lambda: hashlib.sha256(values).hexdigest(),
            "fingerprint of an array": lambda: tf1_embed.fingerprint(values),
            "… of every other row (x 2)": lambda: tf1_embed.fingerprint(values, alternate),
            "… of a variable": lambda: tf1_embed.fingerprint(table, session=session),
            "… of a checkpoint": lambda: tf1_embed.fingerprint_checkpoint(prefix, "table"),
            "FrozenRowsChecker.start": lambda: checker.start(session),
            "FrozenRowsChecker.check": lambda: checker.check(session),
        }
        seconds = {way: [] for way in ways}
        for _ in range(rounds):
            for way, go in ways.items():
                started = time.perf_counter()
                go()
                scale = 2 if "x 2" in way else 1
                seconds[way].append(scale * (time.perf_counter() - started))
    return seconds


def measure_hook(epochs):
    """Runs the demo's base training and its growth, which the hook watches.

    Returns:
      dict from training to its seconds, dict from method of the hook to the seconds in it.
    """
    spent = dict.fromkeys(HOOK_CALLS, 0.0)

    def timed(name):
        call = getattr(tf1_embed.FrozenRowsHook, name)

        def run(*args):
            started = time.perf_counter()
            try:
                return call(*args)
            finally:
                spent[name] += time.perf_counter() - started

        return run

    with tempfile.TemporaryDirectory() as folder:
        options = parse_options(["--out", folder, "--epochs", str(epochs)])
        growth = Growth(data.load(), options, seed=0)
        growth.train_base()
        for name in HOOK_CALLS:
            setattr(tf1_embed.FrozenRowsHook, name, timed(name))
        growth.train_new_rows()
    return {name: growth.curves[name].seconds[-1] for name in ("growth", "base")}, spent


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=100, help="of the demo, 0: leave it out")
    args = parser.parse_args(argv)
    gigabytes = args.rows * args.dim * 4 / 1e9
    print(f"TensorFlow {tf.__version__}, {args.rows} rows of {args.dim}, {gigabytes:.3f} GB")
    seconds = measure_fingerprints(args.rows, args.dim, args.rounds)
    fastest = {way: min(each) for way, each in seconds.items()}
    print(f"{'':28}{'GB/s, best':>12}{'median':>8}{'times hashlib, best':>21}")
    for way, each in seconds.items():
        ratio = fastest[way] / fastest["hashlib, one buffer"]
        print(
            f"{way:28}{gigabytes / min(each):12.2f}{gigabytes / np.median(each):8.2f}{ratio:21.2f}"
        )
    if args.epochs:
        training, spent = measure_hook(args.epochs)
        total = sum(spent.values())
        print(f"\nthe hook in the demo: {1e3 * total:.1f} ms, of which")
        print(", ".join(f"{name} {1e3 * each:.1f} ms" for name, each in spent.items()))
        for name, each in training.items():
            print(f"training, {name}: {each:.2f} s; the hook's share {100 * total / each:.2f} %")


if __name__ == "__main__":
    tf.logging.set_verbosity(tf.logging.ERROR)
    main()
