"""The audit of a legacy model finds that a masked gradient does not freeze a row under Adam.

    python examples/audit_a_legacy_graph.py

A catalogue of items was trained with Adam, and has grown. Someone has masked the gradient, so that
only the new items should train. The audit reads the graph, before anything is run, and says that
the old ones will move, why, in which line, and what helps. The model is then trained to see whether
it was right; so is the model with its one line changed.
"""

import argparse
import os
from collections import namedtuple

# TensorFlow reads these as it is imported: only warnings and errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed import Rows, TrainableRowsOptimizer, audit
from tf1_embed.auditing import report

NUM_OLD, NUM, DIM = 200, 240, 8  # The new items are the last forty.
OLD = Rows.range(0, NUM_OLD, size=NUM)

Outcome = namedtuple("Outcome", "findings rows_moved")


# The legacy code


def make_model():
    """Returns the ids of a batch, the table of items, and a loss that pulls pairs together."""
    ids = tf.placeholder(tf.int32, [None, 2], "ids")
    items = tf.get_variable("items", [NUM, DIM], initializer=tf.random_normal_initializer(seed=0))
    vectors = tf.nn.embedding_lookup(items, ids)
    return ids, items, tf.reduce_mean(tf.square(vectors[:, 0] - vectors[:, 1] - 1.0))


def minimize_masked(adam, loss, items):
    [(gradient, _)] = adam.compute_gradients(loss, [items])
    is_new = tf.cast(gradient.indices >= NUM_OLD, tf.float32)
    masked = tf.IndexedSlices(gradient.values * is_new[:, tf.newaxis], gradient.indices)
    return adam.apply_gradients([(masked, items)])


# The line that helps


def minimize_wrapped(adam, loss, items):
    adam = TrainableRowsOptimizer(adam, {items: ~OLD})
    return minimize_masked(adam, loss, items)


def audit_and_train(make_train_op, num_steps):
    """Audits the step, then takes it, on top of what Adam remembers of all items."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(0)
        ids, items, loss = make_model()
        adam = tf.train.AdamOptimizer(0.01)
        earlier_step = adam.minimize(loss)
        train_op = make_train_op(adam, loss, items)
        findings = audit(train_op, {items: OLD})

        random = np.random.RandomState(0)
        session.run(tf.global_variables_initializer())
        for _ in range(num_steps):
            session.run(earlier_step, {ids: random.randint(0, NUM, [64, 2])})
        before = session.run(items)
        for _ in range(num_steps):
            session.run(train_op, {ids: random.randint(0, NUM, [64, 2])})
        after = session.run(items)
    moved = (before.view(np.uint32) != after.view(np.uint32)).any(axis=1)
    assert moved[NUM_OLD:].any(), "new items must train"
    return Outcome(findings, int(moved[:NUM_OLD].sum()))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50, help="of training, before and after")
    args = parser.parse_args(argv)
    tf.logging.set_verbosity(tf.logging.ERROR)

    print(f"TensorFlow {tf.__version__}; {NUM_OLD} old items, {NUM - NUM_OLD} new ones")
    outcomes = {}
    for name, make_train_op in (("masked", minimize_masked), ("wrapped", minimize_wrapped)):
        outcomes[name] = outcome = audit_and_train(make_train_op, args.steps)
        print(f"\n{name}\n{report(outcome.findings)}")
        print(f"when trained, {outcome.rows_moved} of {NUM_OLD} old items moved")
    return outcomes


if __name__ == "__main__":
    main()
