"""Holds the audit against random graphs that are run: how often is it right?

    python benchmarks/audit_random_graphs.py --graphs 1000

Draws graphs, audits them, runs them on warm random state and compares the bits of the frozen rows.
A frozen row that moved in a graph called clean is an error of the audit, and ends with status 1.
"""

import argparse
import collections
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import tensorflow.compat.v1 as tf

sys.path.insert(
    0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests")
)

from support import random_graphs
from tf1_embed.auditing import audit


def judge(seed):
    """Returns how a graph of a seed was judged, what was drawn, and the findings."""
    with tf.Graph().as_default():
        tf.set_random_seed(seed)
        try:
            drawn = random_graphs.draw(seed)
        except (ValueError, TypeError, NotImplementedError):
            return "not built", None, []
        found = audit(drawn.fetches, {drawn.table: drawn.frozen})
        moved = random_graphs.moved_rows(drawn, seed)
    if moved is None:
        return "did not run", drawn, found
    if moved:
        return ("alarmed rightly" if found else "FALSE CLEAN"), drawn, found
    if drawn.is_safe:
        return ("false alarm" if found else "clean"), drawn, found
    return ("alarmed in vain" if found else "clean"), drawn, found


def main(argv=None):
    """Judges many graphs and prints how many of each kind there were."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graphs", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    parser.add_argument("--show", nargs="*", default=["FALSE CLEAN"], help="outcomes to print")
    arguments = parser.parse_args(argv)
    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_eager_execution()
    counts, num_safe, start = collections.Counter(), 0, time.time()
    for seed in range(arguments.seed, arguments.seed + arguments.graphs):
        outcome, drawn, found = judge(seed)
        counts[outcome] += 1
        num_safe += drawn is not None and drawn.is_safe and outcome != "did not run"
        if outcome in arguments.show:
            names = ", ".join(each.name for each in found)
            print(f"seed {seed}: {outcome}: {' / '.join(drawn.words)}: {names}", flush=True)
        if (seed + 1) % 1000 == 0:
            print(f"{seed + 1}: {dict(counts)}, {time.time() - start:.0f} s", flush=True)
    print(f"TensorFlow {tf.__version__}: {arguments.graphs} graphs, of them {num_safe} safe")
    for outcome, count in counts.most_common():
        print(f"{outcome:>16}: {count}")
    return 1 if counts["FALSE CLEAN"] else 0


if __name__ == "__main__":
    sys.exit(main())
