"""Every way to train only some rows of a table, under every optimizer: what it does, measured.

    python -m examples.every_way

prints the table of docs/every_way.md. The experiment: six rows, of which 0 to 3 are old. The
optimizer has trained the table for three steps, so that its slot variables are warm; row 3 was in
no batch. Then the old rows have to stay, for three rounds of a batch of new ids, one of old ids,
and one of both. Where a way has two variables, the first training was of another program, and the
frozen one has no slots.
"""

import os
from collections import OrderedDict, namedtuple

# TensorFlow reads these as it is imported: only warnings and errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed

NUM_OLD, NUM_NEW, DIM = 4, 2, 3
NUM_ROWS = NUM_OLD + NUM_NEW
START = np.linspace(0.3, 1.5, NUM_ROWS * DIM, dtype=np.float32).reshape(NUM_ROWS, DIM)
IS_NEW = (np.arange(NUM_ROWS) >= NUM_OLD).astype(np.float32)
WARM_BATCH = [0, 1, 2, 4, 5]
BATCHES = OrderedDict([("new", [4, 5]), ("old", [0, 3]), ("mixed", [1, 3, 4])])


class DecayOptimizer(tf.train.GradientDescentOptimizer):
    """Gradient descent with decoupled weight decay of a hundredth."""

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        pairs = list(grads_and_vars)
        with tf.control_dependencies([super().apply_gradients(pairs, global_step, name)]):
            return tf.group(*[tf.assign(table, 0.99 * table) for _, table in pairs])


OPTIMIZERS = OrderedDict(
    [
        ("SGD", lambda: tf.train.GradientDescentOptimizer(0.05)),
        ("Momentum", lambda: tf.train.MomentumOptimizer(0.05, momentum=0.9)),
        ("Adagrad", lambda: tf.train.AdagradOptimizer(0.05)),
        ("RMSProp", lambda: tf.train.RMSPropOptimizer(0.05)),
        ("Adam", lambda: tf.train.AdamOptimizer(0.05)),
        ("Ftrl", lambda: tf.train.FtrlOptimizer(0.05)),
        ("weight decay", lambda: DecayOptimizer(0.05)),
    ]
)

# What a way builds. tables: the variables of all rows, in order. warm_op: the training before, None
# if there was none. z: whether a batch is new, if it has to be fed. mixed: whether a batch may have
# old and new ids.
Graph = namedtuple("Graph", "tables vectors warm_op train_op z mixed")


def make_loss(vectors):
    return tf.reduce_sum(tf.square(vectors - 2.0))


def one_table(x):
    """Makes the table, looks ids up in it, and has a loss."""
    table = tf.get_variable("table", initializer=START)
    vectors = tf.nn.embedding_lookup(table, x)
    return table, vectors, make_loss(vectors)


def two_tables():
    e_old = tf.get_variable("e_old", initializer=START[:NUM_OLD], trainable=False)
    return e_old, tf.get_variable("e", initializer=START[NUM_OLD:])


# The ways. Each takes the ids and an optimizer.


def gathered(x, optimizer):
    table, vectors, loss = one_table(x)
    train_op = optimizer.minimize(loss, var_list=[vectors])
    return Graph([table], vectors, None, train_op, None, True)


def separate_lookup(x, optimizer):
    table, vectors, loss = one_table(x)
    new_rows = tf.nn.embedding_lookup(table, [4, 5])
    train_op = optimizer.minimize(loss, var_list=[new_rows])
    return Graph([table], vectors, None, train_op, None, True)


def sliced(x, optimizer):
    table, vectors, loss = one_table(x)
    train_op = optimizer.minimize(loss, var_list=[table[NUM_OLD:]])
    return Graph([table], vectors, None, train_op, None, True)


def concat_of_rank_3(x, optimizer):
    e_old = tf.get_variable("e_old", initializer=START[:NUM_OLD], trainable=False)
    e = tf.get_variable("e", initializer=START[NUM_OLD:, np.newaxis])
    vectors = tf.nn.embedding_lookup(tf.concat([e_old, e], 0), x)
    return Graph([e_old, e], vectors, None, optimizer.minimize(make_loss(vectors)), None, True)


def concat(x, optimizer):
    e_old, e = two_tables()
    vectors = tf.nn.embedding_lookup(tf.concat([e_old, e], 0), x)
    train_op = optimizer.minimize(make_loss(vectors))
    return Graph([e_old, e], vectors, train_op, train_op, None, True)


def list_of_two(x, optimizer):
    e_old, e = two_tables()
    vectors = tf.nn.embedding_lookup([e_old, e], x)
    train_op = optimizer.minimize(make_loss(vectors))
    return Graph([e_old, e], vectors, train_op, train_op, None, True)


def cond(x, optimizer):
    e_old, e = two_tables()
    z = tf.placeholder(tf.bool, [], "z")
    table = tf.cond(z, lambda: e, lambda: e_old)
    vectors = tf.nn.embedding_lookup(table, x - NUM_OLD * tf.cast(z, tf.int32))
    train_op = optimizer.minimize(make_loss(vectors))
    return Graph([e_old, e], vectors, train_op, train_op, z, False)


def stop_gradient(x, optimizer):
    table, vectors, loss = one_table(x)
    warm_op = optimizer.minimize(loss)
    is_new = tf.constant(IS_NEW[:, np.newaxis])
    partly = is_new * table + tf.stop_gradient((1 - is_new) * table)
    train_op = optimizer.minimize(make_loss(tf.nn.embedding_lookup(partly, x)))
    return Graph([table], vectors, warm_op, train_op, None, True)


def masked_slices(x, optimizer):
    table, vectors, loss = one_table(x)
    warm_op = optimizer.minimize(loss)
    [(gradient, _)] = optimizer.compute_gradients(loss, [table])
    values = gradient.values * tf.gather(IS_NEW[:, np.newaxis], gradient.indices)
    masked = tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return Graph(
        [table], vectors, warm_op, optimizer.apply_gradients([(masked, table)]), None, True
    )


def frozen_gradients(x, optimizer):
    table, vectors, loss = one_table(x)
    warm_op = optimizer.minimize(loss)
    pairs = optimizer.compute_gradients(loss, [table])
    old = tf1_embed.Rows.range(0, NUM_OLD, size=NUM_ROWS)
    train_op = optimizer.apply_gradients(tf1_embed.freeze_rows(pairs, {table: old}))
    return Graph([table], vectors, warm_op, train_op, None, True)


def wrapped(x, optimizer):
    table, vectors, loss = one_table(x)
    warm_op = optimizer.minimize(loss)
    new = tf1_embed.Rows.range(NUM_OLD, NUM_ROWS, size=NUM_ROWS)
    optimizer = tf1_embed.TrainableRowsOptimizer(optimizer, {table: new}, slots="full")
    return Graph([table], vectors, warm_op, optimizer.minimize(loss), None, True)


def split(x, optimizer):
    table = tf1_embed.get_grown_table(
        "table", NUM_NEW, old_rows=START[:NUM_OLD], initializer=START[NUM_OLD:]
    )
    vectors = tf1_embed.embedding_lookup(table, x)
    train_op = optimizer.minimize(make_loss(vectors))
    return Graph([table.frozen, table.trainable], vectors, train_op, train_op, None, True)


# The name that a way has in the printed table, what builds it, and what a step costs.
WAYS = OrderedDict(
    [
        ("a looked-up tensor, given to the optimizer", (gathered, "")),
        ("a lookup of its own, that the loss does not use", (separate_lookup, "")),
        ("a slice of the table, `table[4:]`", (sliced, "")),
        ("`tf.concat` of `[n, d]` and `[n, 1, d]`", (concat_of_rank_3, "")),
        (
            "two variables in a list, `tf.nn.embedding_lookup([e_old, e], …)`",
            (list_of_two, "batch"),
        ),
        ("`tf.concat` of two variables", (concat, "table")),
        ("`tf.cond` between two variables", (cond, "new rows")),
        ("`tf.stop_gradient` with a mask", (stop_gradient, "table")),
        ("`IndexedSlices` masked by hand", (masked_slices, "batch")),
        ("`freeze_rows`", (frozen_gradients, "batch")),
        ("`TrainableRowsOptimizer`", (wrapped, "batch")),
        ("a split table, `get_grown_table`", (split, "batch")),
    ]
)

# stays: no old row moved in any bit, and new rows trained. zeroed: an old row became zeros.
OUTCOMES = ("stays", "moves", "zeroed", "error", "wrong")


def measure(way, make_optimizer):
    """Returns one of `OUTCOMES`, and what explains an error."""
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.int32, [None], "x")
        try:
            graph = way(x, make_optimizer())
        except (ValueError, NotImplementedError, TypeError) as error:
            # Momentum and others fail even sooner, at their slots for a tensor of unknown size.
            return "error", f"{type(error).__name__}: {(error.args or [''])[0]}"
        session.run(tf.global_variables_initializer())

        def read():
            return np.concatenate(session.run(list(graph.tables)))

        def run(fetches, ids):
            feed = {x: ids}
            if graph.z is not None:
                feed[graph.z] = min(ids) >= NUM_OLD
            return session.run(fetches, feed)

        if not np.array_equal(run(graph.vectors, range(NUM_OLD)), START[:NUM_OLD]):
            return "wrong", "old ids get other ids' vectors, and no error"
        for _ in range(3):
            run(graph.warm_op, WARM_BATCH if graph.mixed else BATCHES["new"])
        before = read()
        for _ in range(3):
            for data, ids in BATCHES.items():
                if graph.mixed or data != "mixed":
                    run(graph.train_op, ids)
        after = read()
    if (before[NUM_OLD:] == after[NUM_OLD:]).any():
        return "error", "new rows did not train"
    if not after[:NUM_OLD].any(axis=1).all():
        return "zeroed", None
    stays = before[:NUM_OLD].tobytes() == after[:NUM_OLD].tobytes()
    return ("stays" if stays else "moves"), None


def measure_all():
    """Returns a dict from (way, optimizer) to what `measure` returns."""
    return {
        (way, optimizer): measure(build, make)
        for way, (build, _) in WAYS.items()
        for optimizer, make in OPTIMIZERS.items()
    }


def as_markdown(results):
    """Returns the table of results as the page has it."""
    lines = [
        "| way | mixed batch | a step costs | " + " | ".join(OPTIMIZERS) + " |",
        "|---" * (3 + len(OPTIMIZERS)) + "|",
    ]
    for way, (build, cost) in WAYS.items():
        outcomes = [results[way, optimizer][0] for optimizer in OPTIMIZERS]
        works = outcomes[0] not in ("error", "wrong")
        mixed = "–" if not works else "no" if build is cond else "yes"
        cells = [each if each == "stays" else f"**{each}**" for each in outcomes]
        lines.append(f"| {way} | {mixed} | {cost if works else '–'} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    """Prints what was measured."""
    tf.logging.set_verbosity(tf.logging.ERROR)
    results = measure_all()
    print(as_markdown(results))
    for way in WAYS:
        outcome, reason = results[way, "SGD"]
        if reason:
            print(f"{way}: {outcome}, {reason}")


if __name__ == "__main__":
    main()
