"""A legacy model whose vocabulary has grown: its old rows stay, and one line of its code changes.

    python examples/one_line_adoption.py

A shop predicts the next item that a visitor will look at from the last two. Its model was trained,
and saved with all that Adam remembers. Fifty items are new. They must be learned, and the vectors
of the old ones must not change, since other systems have stored them. The grown model is trained in
three ways from one checkpoint:

- as it is: every old row moves;
- with the gradients of old rows dropped: they move all the same, by what Adam remembers of them;
- with its optimizer wrapped, in one line: no bit of them changes, and the new items are learned.
"""

import argparse
import difflib
import inspect
import os
import tempfile
from collections import namedtuple

# TensorFlow reads these as it is imported: only warnings and errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed import Rows, TrainableRowsOptimizer, freeze_rows

NUM_OLD, NUM = 500, 550  # The new items are the last fifty.
NUM_THEMES, DIM, BATCH = 25, 16, 256

Model = namedtuple("Model", "visits items cross_entropy loss")

# The number of old rows that changed in any bit, in the table and in Adam's slot variables; the
# largest change of a number in the table; the cross entropy of visits to new items.
Outcome = namedtuple("Outcome", "rows_moved slot_rows_moved largest_move loss_before loss_after")


# The legacy code


def make_model(num_items):
    """Predicts the third item of each visit from the first two, by dot products."""
    visits = tf.placeholder(tf.int32, [None, 3], "visits")
    items = tf.get_variable(
        "items", [num_items, DIM], initializer=tf.random_normal_initializer(stddev=0.1, seed=0)
    )
    first = tf.nn.embedding_lookup(items, visits[:, 0])
    second = tf.nn.embedding_lookup(items, visits[:, 1])
    logits = tf.matmul(first + second, items, transpose_b=True)
    cross_entropy = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=visits[:, 2], logits=logits)
    )
    loss = cross_entropy + 1e-4 * tf.nn.l2_loss(items)
    return Model(visits, items, cross_entropy, loss)


def minimize(loss, items):
    adam = tf.train.AdamOptimizer(0.01)
    return adam.minimize(loss)


# The two ways to keep the old rows


def minimize_with_gradients_dropped(loss, items):
    adam = tf.train.AdamOptimizer(0.01)
    pairs = adam.compute_gradients(loss)
    return adam.apply_gradients(freeze_rows(pairs, {items: Rows.range(0, NUM_OLD, size=NUM)}))


def minimize_with_optimizer_wrapped(loss, items):
    adam = tf.train.AdamOptimizer(0.01)
    adam = TrainableRowsOptimizer(adam, {items: Rows.range(NUM_OLD, NUM, size=NUM)}, slots="full")
    return adam.minimize(loss)


VARIANTS = [
    ("as it is", minimize),
    ("gradients dropped", minimize_with_gradients_dropped),
    ("optimizer wrapped", minimize_with_optimizer_wrapped),
]


def one_line_diff():
    """Returns the lines of the unified diff from the legacy code to the code that ran."""
    functions = (minimize, minimize_with_optimizer_wrapped)
    # Without their names, which differ only so that this file can hold both.
    bodies = [inspect.getsource(function).splitlines()[1:] for function in functions]
    return list(difflib.unified_diff(*bodies, "model.py", "model.py", lineterm=""))


# The data: items i, i + 25, i + 50, ... share a theme, and a visit stays within one theme


def draw_visits(random, num_visits, num_items):
    themes = random.randint(0, NUM_THEMES, [num_visits, 1])
    numbers = random.randint(0, num_items // NUM_THEMES, [num_visits, 3])
    return themes + NUM_THEMES * numbers


def draw_visits_of_new_items(random, num_visits):
    """Draws visits of which each has a new item, in any of its places, and maybe old ones."""
    visits = draw_visits(random, num_visits, NUM)
    new = NUM_OLD + draw_visits(random, num_visits, NUM - NUM_OLD) // NUM_THEMES * NUM_THEMES
    is_new = np.arange(3) == random.randint(0, 3, [num_visits, 1])
    return np.where(is_new, new + visits % NUM_THEMES, visits)


# Training


def train(session, model, train_op, visits, num_steps):
    for step in range(num_steps):
        batch = visits[np.arange(step * BATCH, (step + 1) * BATCH) % len(visits)]
        session.run(train_op, {model.visits: batch})


def train_old_model(folder, visits, num_steps):
    """Trains on old items and saves the whole graph; returns the checkpoint's prefix."""
    with tf.Graph().as_default(), tf.Session() as session:
        model = make_model(NUM_OLD)
        train_op = minimize(model.loss, model.items)
        session.run(tf.global_variables_initializer())
        train(session, model, train_op, visits, num_steps)
        return tf.train.Saver().save(session, os.path.join(folder, "old"))


def grow(folder, old_checkpoint):
    """Saves the model of all items; the first rows of the table, and of its slots, are the old."""
    reader = tf.train.load_checkpoint(old_checkpoint)
    with tf.Graph().as_default(), tf.Session() as session:
        model = make_model(NUM)
        minimize(model.loss, model.items)
        session.run(tf.global_variables_initializer())
        for variable in tf.global_variables():
            value, old = session.run(variable), reader.get_tensor(variable.op.name)
            grown = np.concatenate([old, value[len(old) :]]) if old.ndim else old
            variable.load(grown, session)
        return tf.train.Saver().save(session, os.path.join(folder, "grown"))


def count_moved(before, after):
    """Returns the number of old rows that differ in any bit."""
    differs = before[:NUM_OLD].view(np.uint32) != after[:NUM_OLD].view(np.uint32)
    return differs.any(axis=1).sum()


def train_grown_model(checkpoint, make_train_op, visits, held_out, num_steps):
    """Trains on visits of new items from the grown checkpoint, and returns the Outcome."""
    with tf.Graph().as_default(), tf.Session() as session:
        model = make_model(NUM)
        train_op = make_train_op(model.loss, model.items)
        tf.train.Saver().restore(session, checkpoint)
        slots = [each for each in tf.global_variables() if each.op.name.startswith("items/Adam")]
        fetches = [model.cross_entropy, model.items, slots]
        loss_before, before, slots_before = session.run(fetches, {model.visits: held_out})
        train(session, model, train_op, visits, num_steps)
        loss_after, after, slots_after = session.run(fetches, {model.visits: held_out})
    slot_rows_moved = count_moved(np.hstack(slots_before), np.hstack(slots_after))
    largest = np.abs(after - before)[:NUM_OLD].max()
    return Outcome(count_moved(before, after), slot_rows_moved, largest, loss_before, loss_after)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old-steps", type=int, default=400, help="of training on old items")
    parser.add_argument("--new-steps", type=int, default=300, help="of training on new items")
    args = parser.parse_args(argv)
    tf.logging.set_verbosity(tf.logging.ERROR)

    print(f"TensorFlow {tf.__version__}; {NUM_OLD} old items, {NUM - NUM_OLD} new ones\n")
    print("\n".join(one_line_diff()))
    random = np.random.RandomState(0)
    old_visits = draw_visits(random, 20000, NUM_OLD)
    new_visits = draw_visits_of_new_items(random, 20000)
    held_out = draw_visits_of_new_items(random, 2000)
    outcomes = {}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = grow(folder, train_old_model(folder, old_visits, args.old_steps))
        print("\nvariant            old rows moved  of their slots  largest move  loss on new ids")
        for variant, make_train_op in VARIANTS:
            outcomes[variant] = outcome = train_grown_model(
                checkpoint, make_train_op, new_visits, held_out, args.new_steps
            )
            print("{:18} {:14} {:15} {:13.4f} {:8.2f} to {:.2f}".format(variant, *outcome))
    kept = outcomes["optimizer wrapped"]
    print(
        f"\nWith one line more, {NUM_OLD - kept.rows_moved} of {NUM_OLD} old rows are bit for bit "
        f"what they were, and the loss on new items went from {kept.loss_before:.2f} to "
        f"{kept.loss_after:.2f}."
    )
    return outcomes


if __name__ == "__main__":
    main()
