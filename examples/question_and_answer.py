"""The question "train only a subset of the rows of an embedding matrix", attempt by attempt.

    python examples/question_and_answer.py

notebooks/01_the_question.ipynb goes through the same functions, and draws the graphs they build;
examples/the_answer.py is the experiment that the answer printed; examples/every_way.py measures
these ways and more under each optimizer.

A table of embeddings was trained. New ids arrive: their rows must train, and the old rows must not
change. This was asked and answered on Stack Overflow in 2018. Each section below is one attempt, in
the order of the question and of its answer, and the last one is tf1_embed. The output follows the
same order: what each attempt does to a small table, then what a step of it costs on a large one.

The ids 0, 1, 2, ... name the old rows; the new ones continue. A batch is old data (old ids only),
new data (new ids only), or mixed.
"""

import argparse
import os
import textwrap
import time
from collections import namedtuple

# TensorFlow reads these as it is imported: only warnings and errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed

NUM_OLD, NUM_NEW, DIM = 5, 3, 4
OLD_ROWS = np.linspace(0, 1, NUM_OLD * DIM, dtype=np.float32).reshape(NUM_OLD, DIM)
BATCHES = {"new data": [6, 7], "old data": [1, 3], "mixed batch": [1, 6]}

# What happened to one batch: the rows looked up for its ids before and after training, and the ids
# whose rows changed in any bit, in the whole table; or the error instead of them.
Outcome = namedtuple("Outcome", "ids before after moved error")

Network = namedtuple("Network", "x y_ z vectors loss e_old e train_op")


# The model, the same for every attempt: only the way from ids to vectors differs.


def make_loss(vectors, y_):
    """Returns the squared error of a linear layer, which trains too: there is more than a table."""
    weights = tf.get_variable("weights", [vectors.shape[-1], 1], initializer=tf.ones_initializer())
    return tf.reduce_mean(tf.square(tf.squeeze(tf.matmul(vectors, weights), 1) - y_))


def make_network(look_up, old_rows, num_new_rows, z_shape=()):
    """Builds the answer's network: input ids `x`, target `y_`, and `z`, whether the data is new."""
    x = tf.placeholder(tf.int32, [None], "x")
    y_ = tf.placeholder(tf.float32, [None], "y_")
    z = tf.placeholder(tf.bool, z_shape, "z")
    vectors, e_old, e = look_up(x, z, old_rows, num_new_rows)
    loss = make_loss(vectors, y_)
    train_op = tf.train.GradientDescentOptimizer(0.05).minimize(loss)
    return Network(x, y_, z, vectors, loss, e_old, e, train_op)


def try_to_train(look_up, ids, z, steps=20):
    """Trains on one batch, in a graph of its own, and returns the Outcome."""
    with tf.Graph().as_default(), tf.Session() as session:
        try:
            network = make_network(look_up, OLD_ROWS, NUM_NEW, np.shape(z))
            feed = {network.x: ids, network.y_: np.ones(len(ids)), network.z: z}
            session.run(tf.global_variables_initializer())
            before, *table_before = session.run([network.vectors, network.e_old, network.e], feed)
            for _ in range(steps):
                session.run(network.train_op, feed)
            after, *table_after = session.run([network.vectors, network.e_old, network.e], feed)
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            return failed(ids, error)
    bits = [np.concatenate(table).view(np.uint32) for table in (table_before, table_after)]
    moved = np.flatnonzero((bits[0] != bits[1]).any(axis=1))
    return Outcome(ids, before, after, moved.tolist(), None)


def try_batches(look_up):
    """Tries each of the batches; `z` is true if any of its ids is new."""
    return {data: try_to_train(look_up, ids, max(ids) >= NUM_OLD) for data, ids in BATCHES.items()}


def failed(ids, error):
    """Returns the Outcome of a batch that could not be trained on."""
    return Outcome(ids, None, None, [], error)


# 1. One variable, of which a part is given to the optimizer


def one_variable():
    """Makes a table of old and new rows in one variable `e`, looks ids up, and has a loss."""
    x = tf.placeholder(tf.int32, [None], "x")
    e = tf.get_variable("e", [NUM_OLD + NUM_NEW, DIM])
    vectors = tf.nn.embedding_lookup(e, x)
    return e, vectors, make_loss(vectors, 1.0)


def optimize_separate_lookup():
    """The new rows are looked up once more, and this lookup is given to compute_gradients.

    This is what the question has: the model looks up the ids of its batch, and beside it stands a
    lookup of the rows that should train. The loss does not use the second one, so its gradient is
    None, and TensorFlow finds nothing to train. Up to 1.6, compute_gradients itself refused any
    tensor: `('Trying to optimize unsupported type ', <tf.Tensor ...>)`, which the asker quotes.
    """
    with tf.Graph().as_default():
        e, vectors, loss = one_variable()
        new_rows = tf.nn.embedding_lookup(e, tf.range(NUM_OLD, NUM_OLD + NUM_NEW))
        optimizer = tf.train.GradientDescentOptimizer(0.05)
        grads_and_vars = optimizer.compute_gradients(loss, [new_rows])
        try:
            optimizer.apply_gradients(grads_and_vars)
        except ValueError as error:
            return {"new data": failed(BATCHES["new data"], error)}


def optimize_gathered_tensor():
    """The vectors that the loss uses are given to compute_gradients, in the place of the variable.

    Now the gradient exists, since one can be taken with respect to any tensor; but an optimizer
    assigns, and only a variable can be assigned. A gathered tensor is a copy: writing to it would
    not change the table. Up to 1.6 the error was that of the attempt before, and came as early.
    """
    with tf.Graph().as_default():
        e, vectors, loss = one_variable()
        optimizer = tf.train.GradientDescentOptimizer(0.05)
        grads_and_vars = optimizer.compute_gradients(loss, [vectors])
        try:
            optimizer.apply_gradients(grads_and_vars)
        except NotImplementedError as error:
            return {"new data": failed(BATCHES["new data"], error)}


def optimize_slice():
    """A slice of the variable is given to the optimizer: the same attempt, another error.

    `e[5:]` makes a new tensor each time it is written. The loss was built from `e`, so it does not
    depend on this tensor, and its gradient is None.
    """
    with tf.Graph().as_default():
        e, vectors, loss = one_variable()
        try:
            tf.train.GradientDescentOptimizer(0.05).minimize(loss, var_list=[e[NUM_OLD:]])
        except ValueError as error:
            return {"new data": failed(BATCHES["new data"], error)}


# 2. Two variables, joined by tf.concat


def two_variables(old_rows, num_new_rows):
    """Makes the old rows, not trainable, and the new rows `e`.

    The initializer is what `tf.contrib.layers.xavier_initializer(uniform=False)` was. The old rows
    become a constant in the graph, which is fine up to 2 GB; `get_grown_table` has no such limit.
    """
    e_old = tf.get_variable("e_old", initializer=old_rows, trainable=False)
    e = tf.get_variable(
        "e", [num_new_rows, old_rows.shape[1]], initializer=tf.glorot_normal_initializer(seed=0)
    )
    return e_old, e


def concat_of_rank_3():
    """The new rows have the shape [n, 1, d], as if each were a matrix.

    tf.concat joins tensors of one rank. The new rows need the shape [n, d] that the old ones have.
    """
    with tf.Graph().as_default():
        e_old = tf.get_variable("e_old", initializer=OLD_ROWS, trainable=False)
        e = tf.get_variable("e", [NUM_NEW, 1, DIM], initializer=tf.glorot_normal_initializer())
        try:
            tf.concat([e_old, e], 0)
        except ValueError as error:
            return {"new data": failed(BATCHES["new data"], error)}


def look_up_in_concat(x, z, old_rows, num_new_rows):
    e_old, e = two_variables(old_rows, num_new_rows)
    return tf.nn.embedding_lookup(tf.concat([e_old, e], 0), x), e_old, e


def concat_of_two_variables():
    """Both variables are joined, and the ids are looked up in the result.

    This works, for mixed batches too: the gradient flows back through the concat to `e` alone. On
    old data `e` never changes, as it should, which the asker may have taken for a failure. The
    price: every step copies the whole table.
    """
    return try_batches(look_up_in_concat)


def look_up_before_concat(x, z, old_rows, num_new_rows):
    e_old, e = two_variables(old_rows, num_new_rows)
    table = e_old
    vectors = tf.nn.embedding_lookup(table, x)
    table = tf.concat([e_old, e], 0)  # A new tensor: `vectors` still come from the old one.
    return vectors, e_old, e


def concat_after_the_lookup():
    """The table's name is bound to the concat after the lookup, or the loss: `e` never changes.

    A Python name is not part of a graph. The loss depends on the old rows alone, the gradient of
    `e` is None, and `minimize` says nothing as long as another variable has one (here the linear
    layer). New ids are out of range. `GrownTable.check_train_op` finds such a step.
    """
    return try_batches(look_up_before_concat)


# 3. The answer: a branch at run time


def look_up_in_chosen_table(x, z, old_rows, num_new_rows):
    e_old, e = two_variables(old_rows, num_new_rows)
    table = tf.cond(z, lambda: e, lambda: e_old)
    offset = len(old_rows) * tf.cast(z, tf.int32)
    return tf.nn.embedding_lookup(table, x - offset), e_old, e


def cond_around_tables():
    """The answer: tf.cond takes the table that `z` says, and an offset turns the ids into its rows.

    This works on new data and on old data, and the old rows are not copied. But `z` is one bool for
    the whole batch: a mixed batch has ids that are not in the chosen table, and tf.cond refuses one
    bool for each id. And a step on old data costs O(new rows): the branch that was not taken sends
    `e` a gradient of zeros for every row, which also moves rows under an optimizer with momentum.
    """
    outcomes = try_batches(look_up_in_chosen_table)
    ids = BATCHES["mixed batch"]
    each_is_new = [i >= NUM_OLD for i in ids]
    outcomes["mixed batch, z of each id"] = try_to_train(look_up_in_chosen_table, ids, each_is_new)
    return outcomes


def look_up_in_branches(x, z, old_rows, num_new_rows):
    table = tf1_embed.get_grown_table("e", num_new_rows, old_rows=old_rows)
    vectors = tf1_embed.embedding_lookup(table, x, strategy="cond", is_new=z)
    return vectors, table.frozen, table.trainable


def cond_around_lookups():
    """The answer again, with the lookups inside the branches, as tf1_embed's "cond" has it.

    The gradient of `e` now names the rows of the batch and no others, and a step costs O(batch). A
    mixed batch is still an error, though one that says what is wrong.
    """
    return try_batches(look_up_in_branches)


# 4. tf1_embed: each id goes to its own variable


def look_up_by_partition(x, z, old_rows, num_new_rows):
    table = tf1_embed.get_grown_table("e", num_new_rows, old_rows=old_rows)
    return tf1_embed.embedding_lookup(table, x), table.frozen, table.trainable


def one_line():
    """The same in one line: embedding_lookup sends each id to the variable that has its row.

    There is no `z`, any batch will do, and a step costs O(batch), however large the table is.
    """
    return try_batches(look_up_by_partition)


# Each attempt: its title, its function, and the lookup to time if it trains the new rows.
ATTEMPTS = [
    ("a lookup of its own, optimized", optimize_separate_lookup, None),
    ("a gathered tensor, optimized", optimize_gathered_tensor, None),
    ("a slice, optimized", optimize_slice, None),
    ("tf.concat with [n, 1, d]", concat_of_rank_3, None),
    ("tf.concat of two variables", concat_of_two_variables, look_up_in_concat),
    ("tf.concat after the lookup", concat_after_the_lookup, None),
    ("the answer: tf.cond, tables", cond_around_tables, look_up_in_chosen_table),
    ("tf.cond, lookups", cond_around_lookups, look_up_in_branches),
    ("tf1_embed.embedding_lookup", one_line, look_up_by_partition),
]


def trains_new_rows(outcome):
    """Whether the new rows of the batch moved, and no other rows."""
    return bool(outcome.moved) and outcome.moved == [i for i in outcome.ids if i >= NUM_OLD]


def time_steps(look_up, batches, old_rows, num_new_rows, num_steps):
    """Returns the median milliseconds of a training step on each of the `batches`."""
    milliseconds = {}
    with tf.Graph().as_default(), tf.Session() as session:
        network = make_network(look_up, old_rows, num_new_rows)
        session.run(tf.global_variables_initializer())
        for data, ids in batches.items():
            feed = {network.x: ids, network.y_: np.ones(len(ids)), network.z: data == "new data"}
            seconds = []
            for _ in range(3 + num_steps):
                start = time.perf_counter()
                session.run(network.train_op, feed)
                seconds.append(time.perf_counter() - start)
            milliseconds[data] = 1000 * np.median(seconds[3:])  # The first ones warm up.
    return milliseconds


def telling_line(error):
    """Returns the type of an error and the line of its message that says what is wrong."""
    lines = [line.strip() for line in str(error).replace("\\", "").splitlines()]
    preamble = ("Graph execution error", "Detected at node", "File ", "Node: ")
    line = next(line for line in lines if line and not line.startswith(preamble))
    return f"{type(error).__name__}: {line}"


def print_outcome(data, outcome):
    print(f"  {data}, ids {outcome.ids}")
    if outcome.error is not None:
        message = textwrap.shorten(telling_line(outcome.error), 200, placeholder=" ...")
        print(textwrap.indent(textwrap.fill(message, 94), "    "))
        return
    for i, before, after in zip(outcome.ids, outcome.before, outcome.after):
        print(f"    row {i} before {before.round(3)}, after {after.round(3)}")
    print(f"    rows that changed: {', '.join(map(str, outcome.moved)) or 'none'}")


def print_table(results, num_old_rows, dim, num_steps):
    """Prints which attempts work, and times a step of those that do on a larger table."""
    num_new_rows, batch_size = max(1, num_old_rows // 10), 1024
    print(f"\nCost per step: {num_old_rows:,} old and {num_new_rows:,} new rows of {dim},")
    print(f"batches of {batch_size:,}, median of {num_steps} steps.\n")
    print(f"{'':32} {'':5} {'mixed':>6}   {'------ milliseconds on ------'}")
    print(
        f"{'attempt':32} {'works':>5} {'batch':>6} {'new data':>10} {'old data':>10} {'mixed':>8}"
    )
    random = np.random.RandomState(0)
    old_rows = random.standard_normal([num_old_rows, dim]).astype(np.float32)
    old_ids = random.randint(0, num_old_rows, batch_size)
    new_ids = random.randint(num_old_rows, num_old_rows + num_new_rows, batch_size)
    mixed_ids = np.where(np.arange(batch_size) % 2, old_ids, new_ids)
    batches = {"new data": new_ids, "old data": old_ids, "mixed batch": mixed_ids}
    for title, _, look_up in ATTEMPTS:
        outcomes = results[title]
        cells = [
            "yes" if data in outcomes and trains_new_rows(outcomes[data]) else "no"
            for data in ("new data", "mixed batch")
        ]
        runs = {data: ids for data, ids in batches.items() if look_up and not outcomes[data].error}
        costs = time_steps(look_up, runs, old_rows, num_new_rows, num_steps) if runs else {}
        cells += [f"{costs[data]:.2f}" if data in costs else "-" for data in batches]
        print("{:32} {:>5} {:>6} {:>10} {:>10} {:>8}".format(title, *cells))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old-rows", type=int, default=200000, help="of the table that is timed")
    parser.add_argument("--dim", type=int, default=64, help="of the table that is timed")
    parser.add_argument("--steps", type=int, default=30, help="to time for each number")
    args = parser.parse_args(argv)
    tf.logging.set_verbosity(tf.logging.ERROR)

    print(f"TensorFlow {tf.__version__}")
    print(f"Old rows 0 to {NUM_OLD - 1}, new rows {NUM_OLD} to {NUM_OLD + NUM_NEW - 1}.")
    results = {}
    for number, (title, attempt, _) in enumerate(ATTEMPTS, 1):
        results[title] = attempt()
        print(f"\n{number}. {title}\n  {attempt.__doc__.splitlines()[0]}")
        for data, outcome in results[title].items():
            print_outcome(data, outcome)
    print_table(results, args.old_rows, args.dim, args.steps)


if __name__ == "__main__":
    main()
