"""What an audit costs: seconds for a model of thousands of operations.

python benchmarks/audit_cost.py
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import tensorflow.compat.v1 as tf

import tf1_embed

NUM_ROWS, DIM = 1000, 16
TRAINABLE = tf1_embed.Rows.range(900, NUM_ROWS, size=NUM_ROWS)


def build(num_operations):
    """Returns a table and a training step of a model of at least so many operations."""
    table = tf.get_variable("table", [NUM_ROWS, DIM])
    vectors = tf.nn.embedding_lookup(table, tf.placeholder(tf.int32, [None]))
    # A layer makes some fifty operations, with its gradient, slots and initializers.
    for i in range(num_operations // 38):
        weights = tf.get_variable(f"weights_{i}", [DIM, DIM])
        vectors += tf.nn.relu(tf.matmul(vectors, weights))
    optimizer = tf1_embed.TrainableRowsOptimizer(tf.train.AdamOptimizer(), {table: TRAINABLE})
    step = optimizer.minimize(tf.reduce_sum(vectors))
    tf.train.Saver()
    return table, step


def main(argv=None):
    """Prints the size of the model and the seconds of its audit; returns the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operations", type=int, default=5000, help="of the model")
    arguments = parser.parse_args(argv)
    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_eager_execution()
    with tf.Graph().as_default() as graph:
        table, step = build(arguments.operations)
        start = time.time()
        found = tf1_embed.audit(step, {table: ~TRAINABLE})
        seconds = time.time() - start
        print(f"{len(graph.get_operations())} operations, {len(found)} findings: {seconds:.2f} s")
    return seconds


if __name__ == "__main__":
    main()
