"""What a training step costs, by optimizer and by the way the old rows are kept.

Four ways to train ten thousand rows of a table, of any number of rows:

- naive: the gradients of old rows dropped by `freeze_rows`, under the plain optimizer. Adam moves
  the old rows all the same;
- full: every row trains;
- split: two variables, by `get_grown_table`;
- wrapped: one variable, under `TrainableRowsOptimizer`.

Of one optimizer, all ways at all sizes take their steps in turn in one process, so that a machine
whose speed drifts does so for all of them; the figures to quote are the ratios.

    python benchmarks/optimizer_cost.py --rows 100000 1000000 --optimizer adam ftrl
"""

import argparse

import numpy as np
import tensorflow.compat.v1 as tf
from step_cost import make_session, make_variable, take_turns, zeros

import tf1_embed

OPTIMIZERS = {
    "sgd": lambda: tf.train.GradientDescentOptimizer(0.1),
    "momentum": lambda: tf.train.MomentumOptimizer(0.1, 0.9),
    "adagrad": lambda: tf.train.AdagradOptimizer(0.1),
    "rmsprop": lambda: tf.train.RMSPropOptimizer(0.01),
    "adam": lambda: tf.train.AdamOptimizer(0.01),
    "ftrl": lambda: tf.train.FtrlOptimizer(0.1),
}
WAYS = ("naive", "full", "split", "wrapped")


def build_steps(num_rows, optimizer, ids, args):
    """Builds one training step a way, in the default graph; returns a dict from way to train op."""
    num_old_rows = num_rows - args.trainable_rows
    new_rows = tf1_embed.Rows.range(num_old_rows, num_rows, size=num_rows)
    steps = {}
    for way in WAYS:
        with tf.variable_scope(f"{way}_{num_rows}"):
            if way == "split":
                table = tf1_embed.get_grown_table(
                    "table",
                    args.trainable_rows,
                    old_rows=zeros(num_old_rows, args.dim),
                    use_resource=True,
                )
            else:
                table = make_variable("table", num_rows, args.dim)
            vectors = tf1_embed.embedding_lookup(table, ids)
            loss = tf.reduce_sum(tf.squared_difference(vectors, 1.0))
            base = OPTIMIZERS[optimizer]()
            if way == "naive":
                pairs = base.compute_gradients(loss, [table])
                pairs = tf1_embed.freeze_rows(pairs, {table: ~new_rows})
                steps[way] = base.apply_gradients(pairs)
            elif way == "wrapped":
                wrapped = tf1_embed.TrainableRowsOptimizer(
                    base, {table: new_rows}, slots=args.slots
                )
                steps[way] = wrapped.minimize(loss, var_list=[table])
            else:
                variables = [table.trainable if way == "split" else table]
                steps[way] = base.minimize(loss, var_list=variables)
    return steps


def measure(optimizer, args):
    """Returns a dict from (way, number of rows) to the seconds of each of its steps."""

    def draw(rng):
        batch = {}
        is_new = rng.rand(args.batch) < 0.5
        for num_rows in args.rows:
            num_old_rows = num_rows - args.trainable_rows
            old = rng.randint(0, num_old_rows, args.batch)
            new = rng.randint(num_old_rows, num_rows, args.batch)
            ids = np.where(is_new, new, old).astype(np.int32)
            batch.update({(way, num_rows): ids for way in WAYS})
        return batch

    with tf.Graph().as_default() as graph, make_session(args) as session:
        ids = tf.placeholder(tf.int32, [args.batch])
        steps = {
            (way, num_rows): step
            for num_rows in args.rows
            for way, step in build_steps(num_rows, optimizer, ids, args).items()
        }
        session.run(tf.global_variables_initializer())
        graph.finalize()
        run = {variant: session.make_callable(step, [ids]) for variant, step in steps.items()}
        slow = [variant for variant in run if optimizer == "adam" and variant[0] in WAYS[:2]]
        return take_turns(run, draw, args, slow)


def summarize(median, rows):
    """Prints how the wrapped step compares, by the medians of (optimizer, way, number of rows)."""
    print("\nthe wrapped step, median over median")
    largest, smallest = max(rows), min(rows)
    optimizers = [name for name in OPTIMIZERS if (name, "wrapped", largest) in median]
    for num_rows in rows:
        over_split = {
            name: median[name, "wrapped", num_rows] / median[name, "split", num_rows]
            for name in optimizers
        }
        print_ratios(f"over split, {num_rows} rows (reach: 1.25)", over_split)
    if largest > smallest:
        for way, reach in (("wrapped", " (reach: 1.10)"), ("split", "")):
            growth = {
                name: median[name, way, largest] / median[name, way, smallest]
                for name in optimizers
            }
            print_ratios(f"{way}, {largest} over {smallest} rows{reach}", growth)
    if "adam" in optimizers:
        faster = median["adam", "naive", largest] / median["adam", "wrapped", largest]
        print_ratios(f"naive over wrapped, {largest} rows (reach: 200)", {"adam": faster})


def print_ratios(title, ratios):
    print(f"  {title:48}" + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10**5, 10**6])
    parser.add_argument("--trainable-rows", type=int, default=10**4)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--optimizer", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS))
    parser.add_argument("--slots", choices=("rows", "full"), default="rows")
    parser.add_argument("--steps", type=int, default=200, help="steps counted, of each way")
    parser.add_argument("--warmup", type=int, default=30, help="steps not counted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=20,
        help="a way that has taken this long and 3 steps takes no more (naive and full of Adam)",
    )
    args = parser.parse_args(argv)
    print(f"TensorFlow {tf.__version__}, {args.trainable_rows} trainable rows of {args.dim}")
    print(f'batch {args.batch}, half of it trainable; slots="{args.slots}"')
    print("milliseconds a step, median (steps); in brackets: times the split path")
    print(f"{'opt':>8} {'rows':>8}" + "".join(f"{way:>26}" for way in WAYS))
    median = {}
    for optimizer in args.optimizer:
        seconds = measure(optimizer, args)
        for (way, num_rows), each in seconds.items():
            median[optimizer, way, num_rows] = np.median(each)
        for num_rows in args.rows:
            split = median[optimizer, "split", num_rows]
            row = f"{optimizer:>8} {num_rows:>8}"
            for way in WAYS:
                own = median[optimizer, way, num_rows]
                cell = f"{1e3 * own:.3f} ({len(seconds[way, num_rows])}) [{own / split:.2f}]"
                row += f"{cell:>26}"
            print(row, flush=True)
    summarize(median, args.rows)


if __name__ == "__main__":
    tf.logging.set_verbosity(tf.logging.ERROR)
    main()
