"""What growing a table on parameter servers costs, beside training one plain table of all rows.

The model is that of examples/parameter_server, the servers are processes on this machine. Both
tables are partitioned over the servers, and take their steps in turn; the figures to quote are the
ratios, and the bytes of a step, as TensorFlow counted them.

    python -m benchmarks.parameter_server_cost --old-rows 100000 1000000
"""

import argparse
import json
import os
import sys
import tempfile
import time

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.parameter_server.cluster import Cluster
from examples.parameter_server.model import SampledLinkPredictor
from examples.parameter_server.task import Task
from examples.parameter_server.traffic import trace

NUM_RELATIONS, NUM_CANDIDATES = 46, 64
OPTIMIZERS = {
    "sgd": lambda: tf.train.GradientDescentOptimizer(0.1),
    "adam": lambda: tf.train.AdamOptimizer(0.01),
}


def save_old_rows(prefix, num_old_rows, dim):
    """Saves a table of zeros; an array would be read by a function of this process alone."""
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("entities", [num_old_rows, dim], initializer=tf.zeros_initializer())
        session.run(table.initializer)
        return tf.train.Saver().save(session, prefix, write_meta_graph=False)


def build_steps(task, num_old_rows, checkpoint, optimizer, args):
    """Builds a training step of each variant: dict from variant to placeholder and train op."""
    partitioner = tf.fixed_size_partitioner(task.num_servers)
    steps = {}
    for variant in ("full", "grown"):
        # Variables live on the servers, and so have names of their own for each measurement.
        with tf.variable_scope(f"{variant}_{num_old_rows}_{optimizer}"):
            if variant == "grown":
                entities = tf1_embed.get_grown_table(
                    "entities",
                    args.new_rows,
                    checkpoint=checkpoint,
                    checkpoint_name="entities",
                    partitioner=partitioner,
                )
                var_list = list(entities.trainable)
            else:
                entities = tf.get_variable(
                    "entities",
                    [num_old_rows + args.new_rows, args.dim],
                    initializer=tf.zeros_initializer(),
                    partitioner=partitioner,
                )
                var_list = list(entities)
            model = SampledLinkPredictor(entities, NUM_RELATIONS, NUM_CANDIDATES)
            train_op = OPTIMIZERS[optimizer]().minimize(model.loss, var_list=var_list)
            steps[variant] = model.triples, train_op
    return steps


def measure(task, num_old_rows, checkpoint, optimizer, args):
    """Returns, by variant, the seconds of each step, and the tensors that one step sent."""

    def draw(rng):
        old = rng.randint(0, num_old_rows, [args.batch, 2])
        new = num_old_rows + rng.randint(0, args.new_rows, [args.batch, 2])
        heads, tails = np.where(rng.rand(args.batch, 2) < 0.5, old, new).T
        triples = np.stack([heads, rng.randint(0, NUM_RELATIONS, args.batch), tails], axis=1)
        return dict.fromkeys(("full", "grown"), np.int32(triples))

    with tf.Graph().as_default() as graph:
        with tf.device(task.device_setter()):
            steps = build_steps(task, num_old_rows, checkpoint, optimizer, args)
        with tf.Session(task.target, config=task.session_config) as session:
            session.run(tf.global_variables_initializer())
            graph.finalize()
            run = {
                variant: session.make_callable(train_op, [triples])
                for variant, (triples, train_op) in steps.items()
            }
            seconds = take_turns(run, draw, args, slow=("full",) if optimizer == "adam" else ())
            batch = draw(np.random.RandomState(0))
            received = {
                variant: trace(session, train_op, {triples: batch[variant]})
                for variant, (triples, train_op) in steps.items()
            }
    return seconds, received


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
    parser.add_argument("--old-rows", type=int, nargs="+", default=[10**5, 10**6])
    parser.add_argument("--servers", type=int, default=2)
    parser.add_argument("--new-rows", type=int, default=10**4)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--optimizer", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS))
    parser.add_argument("--steps", type=int, default=200, help="steps counted, of each variant")
    parser.add_argument("--warmup", type=int, default=30, help="steps not counted")
    parser.add_argument(
        "--max-seconds", type=float, default=20, help="a variant that has taken this long stops"
    )
    args = parser.parse_args(argv)
    if "TF_CONFIG" in os.environ:
        Task(json.loads(os.environ["TF_CONFIG"])).serve()
        return
    print(f"TensorFlow {tf.__version__}, {args.new_rows} new rows of {args.dim}")
    print(f"{args.servers} servers")
    print("steps per second by the median; KB sent in a step; KB of its largest tensor")
    print(f"{'old rows':>9} {'opt':>5} {'full':>22} {'grown':>22} {'grown / full':>13}")
    command = [sys.executable, "-m", "benchmarks.parameter_server_cost"]
    with tempfile.TemporaryDirectory() as folder:
        with Cluster(command, folder, args.servers, num_workers=1) as cluster:
            for server in cluster.tasks[: args.servers]:
                cluster.start(*server)
            task = Task(cluster.config("worker", 0))
            for num_old_rows in args.old_rows:
                prefix = os.path.join(folder, f"{num_old_rows}_rows.ckpt")
                checkpoint = save_old_rows(prefix, num_old_rows, args.dim)
                for optimizer in args.optimizer:
                    measured = measure(task, num_old_rows, checkpoint, optimizer, args)
                    print_row(num_old_rows, optimizer, *measured)


def print_row(num_old_rows, optimizer, seconds, received):
    rates = {variant: 1 / np.median(each) for variant, each in seconds.items()}
    row = f"{num_old_rows:>9} {optimizer:>5}"
    for variant in ("full", "grown"):
        sizes = [each.num_bytes / 1000 for each in received[variant]]
        row += f" {rates[variant]:>8.1f} {sum(sizes):>6.0f} {max(sizes):>6.0f}"
    print(f"{row} {rates['grown'] / rates['full']:>13.2f}", flush=True)


if __name__ == "__main__":
    tf.logging.set_verbosity(tf.logging.ERROR)
    main()
