"""The experiment that the answer printed: a row of new data, then a row of old data, trained on.

    python examples/the_answer.py

The answer of 2018 (see examples/question_and_answer.py) showed that its way works by a network of
its own, which is this one in its shapes and numbers: two tables of five rows, a layer of two
outputs with relu, a softmax, and gradient descent with a learning rate of 0.5. `z` says whether a
batch is of new data. Then come what it did not print: that the layer above moves too, and two
batches that it cannot serve.
"""

import os
from collections import namedtuple

# TensorFlow reads these as it is imported: only warnings and errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow.compat.v1 as tf

NUM_OLD = NUM_NEW = 5
DIM = 10

Network = namedtuple("Network", "x y_ z e e_old weights vectors train_op")

# The rows of `e`, of `e_old` and of the layer before and after; the vectors that were looked up.
Step = namedtuple("Step", "before after vectors")


def make_network():
    """Builds the answer's network.

    The initializer is what `tf.contrib.layers.xavier_initializer(uniform=False)` was. The seeds are
    such that relu passes something on: where it does not, nothing trains at all.
    """
    x = tf.placeholder(tf.int32, [None], "x")
    y_ = tf.placeholder(tf.float32, [None, 2], "y_")
    z = tf.placeholder(tf.bool, [], "z")  # Whether the batch is new data.

    def matrix(name, shape, seed, trainable=True):
        initializer = tf.glorot_normal_initializer(seed=seed)
        return tf.get_variable(name, shape, initializer=initializer, trainable=trainable)

    e = matrix("e", [NUM_NEW, DIM], seed=5)
    e_old = matrix("e_old", [NUM_OLD, DIM], seed=2, trainable=False)
    table = tf.cond(z, lambda: e, lambda: e_old)
    vectors = tf.nn.embedding_lookup(table, x)
    weights = matrix("weights", [DIM, 2], seed=3)
    y = tf.nn.softmax(tf.nn.relu(tf.matmul(vectors, weights)))
    cross_entropy = tf.reduce_mean(-tf.reduce_sum(y_ * tf.log(y), axis=1))
    train_op = tf.train.GradientDescentOptimizer(0.5).minimize(cross_entropy)
    return Network(x, y_, z, e, e_old, weights, vectors, train_op)


def train(x, z, steps=1):
    """Trains on one batch, in a graph of its own; returns the `Step`."""
    with tf.Graph().as_default(), tf.Session() as session:
        network = make_network()
        session.run(tf.global_variables_initializer())
        feed = {network.x: x, network.z: z, network.y_: [[1.0, 0.0]] * len(x)}
        state = {"e": network.e, "e_old": network.e_old, "weights": network.weights}
        before = session.run(state)
        vectors = session.run(network.vectors, feed)
        for _ in range(steps):
            session.run(network.train_op, feed)
        return Step(before, session.run(state), vectors)


def rows_that_moved(step, name):
    """Returns the rows of a variable that changed in any bit."""
    before, after = (values[name].view(np.uint32) for values in (step.before, step.after))
    return np.flatnonzero((before != after).any(axis=1)).tolist()


def id_of_the_whole_table():
    """Feeds the id that a new row has among all rows: the answer's network has no such row."""
    try:
        train([NUM_OLD + 1], z=True)
    except tf.errors.InvalidArgumentError as error:
        lines = [line for line in str(error).splitlines() if "indices[0]" in line]
        return lines[0][lines[0].index("indices[0]") :].split(" [[")[0].strip()


def main():
    """Prints what the answer printed, and then what it cannot do."""
    tf.logging.set_verbosity(tf.logging.ERROR)
    print(f"TensorFlow {tf.__version__}")
    for data, name, z in (("new data", "e", True), ("old data", "e_old", False)):
        step = train([2], z)
        print(f"\n{data}: x = [2], z = {z}")
        print(f"  {name}[2] before", step.before[name][2].round(3))
        print(f"  {name}[2] after ", step.after[name][2].round(3))
        for each in ("e", "e_old", "weights"):
            print(f"  rows of {each} that moved: {rows_that_moved(step, each)}")

    print(f"\nids that differ: new row 1 has the id {NUM_OLD + 1} among all rows, z = True")
    print(f"  {id_of_the_whole_table()}")
    print("  so whoever feeds the network must know the table of each id, and subtract its offset")

    step = train([3, 1], z=True)
    print(f"\nmixed batch: old id 3, and {NUM_OLD + 1} less its offset, x = [3, 1], z = True")
    for place, (name, row) in enumerate((("e_old", 3), ("e", 1))):
        right = (step.vectors[place] == step.before[name][row]).all()
        print(f"  vector {place} is {name}[{row}]: {right}")
    print(f"  rows of e that moved: {rows_that_moved(step, 'e')}")
    print("  no error: both tables have a row 3, and z is one bool for the whole batch")


if __name__ == "__main__":
    main()
