"""What a training step costs, by lookup strategy, beside a floor and a ceiling.

The floor is a table of the new rows alone: what any way to train them must pay. The ceiling is one
variable of all rows, all trained. All variants take their steps in turn in one process, so that a
machine whose speed drifts does so for all of them; the figures to quote are the ratios.

    python benchmarks/step_cost.py --old-rows 10000 1000000 --batch 1024 --optimizer sgd
"""

import argparse
import time

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed

OPTIMIZERS = {
    "sgd": lambda: tf.train.GradientDescentOptimizer(0.1),
    "adam": lambda: tf.train.AdamOptimizer(0.01),
}
VARIANTS = ("floor", "partition", "concat", "full")


def build_steps(num_old_rows, num_new_rows, dim, batch_size, make_optimizer):
    """Builds one training step a variant, all in the default graph.

    Returns:
      dict from variant to train op; the int32 placeholder of old and new ids, [batch_size]; that
      of new ids counted from 0.
    """
    ids = tf.placeholder(tf.int32, [batch_size])
    new_ids = tf.placeholder(tf.int32, [batch_size])
    table = tf1_embed.get_grown_table(
        "table", num_new_rows, old_rows=zeros(num_old_rows, dim), use_resource=True
    )
    full = make_variable("full", num_old_rows + num_new_rows, dim)
    vectors = {
        "floor": tf.nn.embedding_lookup(make_variable("new", num_new_rows, dim), new_ids),
        "partition": tf1_embed.embedding_lookup(table, ids),
        "concat": tf1_embed.embedding_lookup(table, ids, strategy="concat"),
        "full": tf.nn.embedding_lookup(full, ids),
    }
    steps = {}
    for variant in VARIANTS:
        loss = tf.reduce_sum(tf.squared_difference(vectors[variant], 1.0))
        with tf.variable_scope(variant):
            steps[variant] = make_optimizer().minimize(loss)
    return steps, ids, new_ids


def measure(num_old_rows, optimizer, batch_size, args):
    """Returns a dict from variant to the seconds of each of its steps."""

    def draw(rng):
        old = rng.randint(0, num_old_rows, batch_size)
        new = rng.randint(0, args.new_rows, batch_size)
        mixed = np.where(rng.rand(batch_size) < 0.5, old, num_old_rows + new)
        return {variant: np.int32(new if variant == "floor" else mixed) for variant in VARIANTS}

    with tf.Graph().as_default() as graph, make_session(args) as session:
        steps, ids, new_ids = build_steps(
            num_old_rows, args.new_rows, args.dim, batch_size, OPTIMIZERS[optimizer]
        )
        session.run(tf.global_variables_initializer())
        graph.finalize()
        run = {
            variant: session.make_callable(step, [new_ids if variant == "floor" else ids])
            for variant, step in steps.items()
        }
        return take_turns(run, draw, args, slow=("concat", "full"))


def make_session(args):
    """Returns a session of `args.threads` threads."""
    return tf.Session(
        config=tf.ConfigProto(
            intra_op_parallelism_threads=args.threads, inter_op_parallelism_threads=args.threads
        )
    )


def take_turns(run, draw, args, slow):
    """Times the steps of all variants, one step of each a round.

    Args:
      run: dict from variant to the function that takes its step on a batch.
      draw: function of a `np.random.RandomState` that returns a dict from variant to its batch.
      args: with `warmup`, `steps` and `max_seconds`, as in `main`.
      slow: variants whose first steps count too, since there may be only few of them.

    Returns:
      dict from variant to the seconds of each of its steps.
    """
    rng = np.random.RandomState(0)
    variants = list(run)
    seconds = {variant: [] for variant in variants}
    for number in range(args.warmup + args.steps):
        batch_before, batch = draw(rng), draw(rng)
        # In an order of its own each round: what one leaves behind should not fall on one other.
        for variant in [variants[index] for index in rng.permutation(len(variants))]:
            if sum(seconds[variant]) > args.max_seconds and len(seconds[variant]) >= 3:
                continue
            if variant not in slow:
                # A step follows one of its own kind, as in training, and finds the caches so.
                run[variant](batch_before[variant])
            start = time.perf_counter()
            run[variant](batch[variant])
            if number >= args.warmup or variant in slow:
                seconds[variant].append(time.perf_counter() - start)
    return seconds


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old-rows", type=int, nargs="+", default=[10**4, 10**6, 10**7])
    parser.add_argument("--new-rows", type=int, default=10**4)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 1024, 8192])
    parser.add_argument("--optimizer", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS))
    parser.add_argument("--steps", type=int, default=200, help="steps counted, of each variant")
    parser.add_argument("--warmup", type=int, default=30, help="steps not counted")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=20,
        help="a variant that has taken this long and 3 steps takes no more (concat and full at "
        "large sizes)",
    )
    args = parser.parse_args(argv)
    print(f"TensorFlow {tf.__version__}, {args.new_rows} new rows of {args.dim}")
    print("milliseconds a step, median (steps); in brackets: times the floor")
    print(f"{'old rows':>9} {'batch':>6} {'opt':>5}" + "".join(f"{v:>26}" for v in VARIANTS))
    for num_old_rows in args.old_rows:
        for optimizer in args.optimizer:
            for batch_size in args.batch:
                seconds = measure(num_old_rows, optimizer, batch_size, args)
                median = {variant: np.median(each) for variant, each in seconds.items()}
                cells = (
                    f"{1e3 * median[v]:.3f} ({len(seconds[v])}) [{median[v] / median['floor']:.2f}]"
                    for v in VARIANTS
                )
                row = f"{num_old_rows:>9} {batch_size:>6} {optimizer:>5}"
                print(row + "".join(f"{cell:>26}" for cell in cells), flush=True)


def zeros(num_rows, dim):
    # A view of one number: the table itself is made when the variable is initialised.
    return np.broadcast_to(np.float32(0), (num_rows, dim))


def make_variable(name, num_rows, dim):
    return tf.get_variable(
        name, [num_rows, dim], initializer=tf.zeros_initializer(), use_resource=True
    )


if __name__ == "__main__":
    tf.logging.set_verbosity(tf.logging.ERROR)
    main()
