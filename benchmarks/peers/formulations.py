"""Other ways to write the lookup of two variables, beside the one that tf1_embed has.

All are in one process and one session, and take turns. Each is checked to look up the same vectors
and to give the new rows the same gradient. It prints a line of JSON:

    {"parallel stitch": {"256": [seconds of each round], …}, …}
"""

import json
import os
import random
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow
import tensorflow.compat.v1 as tf

import tf1_embed
from benchmarks.peers import protocol

raw_ops = tensorflow.raw_ops
STEPS, WARM = 60, 10


def checked(ids, size):
    """Returns the ids, whose use waits for the check that they are in the table."""
    ends = [tf.reduce_min(ids), tf.reduce_max(ids)]
    in_range = tf.logical_and(ends[0] >= 0, ends[1] < size)
    with tf.control_dependencies([tf.Assert(in_range, ["ids from", ends[0], "to", ends[1]])]):
        return tf.identity(ids)


def parted(ids, num_old):
    """Returns the ids of old rows and the rows of new ones, and the places of both."""
    is_new = tf.cast(ids >= num_old, tf.int32)
    old_ids, new_ids = tf.dynamic_partition(ids, is_new, 2)
    return old_ids, new_ids - num_old, tf.dynamic_partition(tf.range(tf.size(ids)), is_new, 2)


def stitched(old, new, ids, num_old, stitch):
    old_ids, new_rows, places = parted(ids, num_old)
    return stitch(places, [tf.gather(old, old_ids), tf.gather(new, new_rows)])


def parallel_stitch(places, vectors):
    return raw_ops.ParallelDynamicStitch(indices=places, data=vectors)


def put_in_order(old, new, ids, num_old):
    """Joins the vectors as they come and gathers them in order; the gradient is two gathers."""
    old_ids, new_rows, places = parted(ids, num_old)

    @tf.custom_gradient
    def join(old_vectors, new_vectors):
        order = tf.invert_permutation(tf.concat(places, 0))
        vectors = tf.gather(tf.concat([old_vectors, new_vectors], 0), order)
        return vectors, lambda gradient: [tf.gather(gradient, each) for each in places]

    return join(tf.gather(old, old_ids), tf.gather(new, new_rows))


def in_place(old, new, ids, num_old):
    """Gathers an old row for every id, and writes the new ones over it."""
    places = tf.cast(tf.where(ids >= num_old)[:, 0], tf.int32)
    new_vectors = tf.gather(new, tf.gather(ids, places) - num_old)

    @tf.custom_gradient
    def put(vectors, new_vectors):
        vectors = raw_ops.InplaceUpdate(x=vectors, i=places, v=new_vectors)
        return vectors, lambda gradient: (None, tf.gather(gradient, places))

    return put(tf.gather(old, tf.minimum(ids, num_old - 1)), new_vectors)


def selected(old, new, ids, num_old):
    """Gathers an old row and a new one for every id, and takes what belongs to it."""
    is_new = ids >= num_old
    places = tf.cast(tf.where(is_new)[:, 0], tf.int32)
    named = tf.gather(new, tf.gather(ids, places) - num_old)

    @tf.custom_gradient
    def select(old_vectors, new_vectors, named):
        vectors = raw_ops.Select(condition=is_new, x=new_vectors, y=old_vectors)
        return vectors, lambda gradient: (None, None, tf.gather(gradient, places))

    old_vectors = tf.gather(old, tf.minimum(ids, num_old - 1))
    return select(old_vectors, tf.gather(new, tf.maximum(ids - num_old, 0)), named)


def formulations(table):
    """Returns a dict from name to function of the ids that returns their vectors."""
    old, new, num_old, size = table.frozen, table.trainable, table.num_old_rows, table.shape[0]

    def of(make, *args):
        return lambda ids: make(old, new, checked(ids, size), num_old, *args)

    return {
        "tf1_embed": lambda ids: tf1_embed.embedding_lookup(table, ids),
        "no check of the ids": lambda ids: stitched(old, new, ids, num_old, tf.dynamic_stitch),
        "parallel stitch": of(stitched, parallel_stitch),
        "concat, then gathered in order": of(put_in_order),
        "old rows for all, new ones in place": of(in_place),
        "both for all, then selected": of(selected),
    }


def build(spec):
    """Returns dicts from (name, batch) to placeholder, step, vectors and gradient."""
    table = tf1_embed.get_grown_table(
        "table",
        spec.new_rows,
        old_rows=np.concatenate([values for _, values in spec.old_chunks()]),
        initializer=spec.new_values(),
        use_resource=True,
    )
    optimizer, found = tf.train.GradientDescentOptimizer(spec.learning_rate), {}
    for size in spec.batches:
        ids = tf.placeholder(tf.int32, [size])
        for name, look_up in formulations(table).items():
            vectors = look_up(ids)
            vectors.set_shape([size, spec.dim])
            loss = tf.reduce_sum(tf.squared_difference(vectors, 1.0))
            (gradient,) = tf.gradients(loss, [table.trainable])
            step = optimizer.apply_gradients([(gradient, table.trainable)])
            dense = tf.convert_to_tensor(gradient)
            found[name, size] = ids, [step, loss], vectors, dense
    return found


def check(session, built, spec):
    """Raises unless all look up the same vectors and give the same gradient."""
    for size in spec.batches:
        ids, expected = spec.ids(size, 0), None
        for (name, of_size), (placeholder, _, *results) in built.items():
            if of_size == size:
                values = session.run(results, {placeholder: ids})
                expected = expected or values
                np.testing.assert_array_equal(values[0], expected[0], name)
                np.testing.assert_allclose(values[1], expected[1], rtol=1e-5, err_msg=name)


def main():
    fields = json.loads(sys.argv[1])
    spec = protocol.Spec(fields)
    tf.disable_v2_behavior()
    tf.logging.set_verbosity(tf.logging.ERROR)
    config = tf.ConfigProto(
        intra_op_parallelism_threads=spec.threads, inter_op_parallelism_threads=spec.threads
    )
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        built = build(spec)
        session.run(tf.global_variables_initializer())
        check(session, built, spec)
        runs = {key: session.make_callable(each[1], [each[0]]) for key, each in built.items()}
        seconds = {name: {size: [] for size in spec.batches} for name, _ in built}
        order, first = random.Random(0), 100
        for size in spec.batches:
            names = list(seconds)
            for _ in range(fields["rounds"]):
                batches = [spec.ids(size, first + number) for number in range(WARM + STEPS)]
                order.shuffle(names)
                first += 1
                for name in names:
                    seconds[name][size].append(median_of_steps(runs[name, size], batches))
    print(json.dumps(seconds))


def median_of_steps(run, batches):
    """Returns the median seconds of a step on each batch but the first `WARM`."""
    taken = []
    for ids in batches:
        start = time.perf_counter()
        run(ids)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[WARM:])


if __name__ == "__main__":
    main()
