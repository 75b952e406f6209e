"""Grows the demo's table on parameter servers: its partitions never leave them.

    python -m examples.parameter_server [--sync]

starts a cluster on this machine, two parameter servers and two workers, each a process; lets it
train; then merges what it saved and measures it. Where TF_CONFIG is set, this is one task of a
cluster that was started elsewhere: give each task the same arguments, with a base model and an
`--out` that all their machines see.
"""

import argparse
import functools
import json
import os
import sys

# TensorFlow reads these as it is imported: only warnings and errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import tensorflow.compat.v1 as tf

import tf1_embed
from examples.knowledge_graph import data
from examples.knowledge_graph.evaluation import evaluate
from examples.knowledge_graph.model import LinkPredictor, initializer
from examples.knowledge_graph.training import Recipe, Trainer
from examples.parameter_server.cluster import Cluster
from examples.parameter_server.task import Task
from examples.parameter_server.training import train


def main(argv=None):
    """Runs one task if TF_CONFIG says so; else a cluster, of which it returns a dict of results."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse_options(argv)
    tf.logging.set_verbosity(tf.logging.ERROR)
    graph = data.put_new_entities_last(data.load(), options.new_entities, seed=0)
    if "TF_CONFIG" in os.environ:
        return run_task(Task(json.loads(os.environ["TF_CONFIG"])), graph, options)
    return run_cluster(argv, graph, options)


def run_task(task, graph, options):
    """Serves, or trains and leaves."""
    if task.job == "ps":
        task.serve()
        return
    first_new = len(graph.entities) - options.new_entities
    train(task, data.divide(graph.train, first_new).new, len(graph.relations), options)
    task.leave()


def run_cluster(argv, graph, options):
    """Trains in a cluster of processes on this machine, merges the table and measures it."""
    num_old = len(graph.entities) - options.new_entities
    if not os.path.exists(f"{options.base}.index"):
        train_base(graph, num_old, options)
    command = [sys.executable, "-m", "examples.parameter_server", *argv]
    with Cluster(command, os.path.join(options.out, "printed")) as cluster:
        for task in cluster.tasks:
            cluster.start(*task)
        cluster.wait(options.timeout)
        print("".join(cluster.output(*task) for task in cluster.tasks))

    merged = os.path.join(options.out, "merged.ckpt")
    tf1_embed.merge_checkpoint(
        options.out, tables=["entities"], out=merged, partition_strategy="div", force=True
    )
    old = tf1_embed.Rows.range(0, num_old, size=num_old)
    before, after = (
        tf1_embed.fingerprint_checkpoint(prefix, "entities", old, partition_strategy="div")
        for prefix in (options.base, merged)
    )
    mrr = measure(merged, graph, data.divide(graph.test, num_old).new)
    print(f"old rows, before:  {before}")
    print(f"old rows, after:   {after}")
    print(f"MRR of new entities: {mrr:.3f}")
    print(f"Wrote {merged}")
    return {"old_rows_identical": before == after, "mrr": mrr, "merged": merged}


def train_base(graph, num_old, options):
    """Trains the demo's model on the old entities, on this machine."""
    with tf.Graph().as_default(), tf.Session() as session:
        model = LinkPredictor(make_table(num_old, options.width), len(graph.relations))
        trainer = Trainer(model, Recipe(options.base_epochs, 512, 0.01, dropout=0.5))
        session.run(tf.global_variables_initializer())
        triples = data.divide(graph.train, num_old).old
        trainer.run(session, triples, lambda: None, 0, "Training the base model")
        os.makedirs(os.path.dirname(options.base), exist_ok=True)
        tf.train.Saver().save(session, options.base)


def measure(checkpoint, graph, triples):
    """Returns the mean reciprocal rank of triples, by the demo's model over a plain table."""
    with tf.Graph().as_default(), tf.Session() as session:
        width = tf.train.load_checkpoint(checkpoint).get_variable_to_shape_map()["entities"][1]
        model = LinkPredictor(make_table(len(graph.entities), width), len(graph.relations))
        tf.train.Saver().restore(session, checkpoint)
        return evaluate(session, model, triples, graph.known()).mrr


def make_table(num_entities, width):
    return tf.get_variable("entities", [num_entities, width], initializer=initializer())


def parse_options(argv):
    parser = argparse.ArgumentParser(
        prog="python -m examples.parameter_server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    folder = os.path.join("runs", "parameter_server")
    parser.add_argument("--sync", action="store_true", help="all workers take each step together")
    parser.add_argument(
        "--base",
        metavar="PREFIX",
        help="the base model's checkpoint; trained if there is none [%(default)s]",
        default=os.path.join(folder, "base", "model.ckpt"),
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        default=os.path.join(folder, "grown"),
        help="checkpoints; if it has one, training goes on from there [%(default)s]",
    )
    add = functools.partial(_add_number, parser)
    add("--new-entities", 10, "how many entities arrive")
    add("--steps", 2000, "the global step to train to")
    add("--save-steps", 500, "steps between checkpoints")
    add("--batch-size", 512, "triples in a step of a worker")
    add("--candidates", 64, "entities to tell an answer from")
    add("--learning-rate", 0.01, "Adam's", float)
    add("--width", 256, "numbers in a row of the base model")
    add("--base-epochs", 100, "passes of the base model over its triples")
    add("--timeout", 3600, "seconds after which a cluster on this machine is given up")
    return parser.parse_args(argv)


def _add_number(parser, flag, default, text, kind=int):
    parser.add_argument(flag, metavar="N", type=kind, default=default, help=f"{text} [%(default)s]")
