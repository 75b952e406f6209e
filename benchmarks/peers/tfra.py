"""TensorFlow Recommenders Addons: two tables that are hash maps, the old one not trained."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow.compat.v1 as tf
import tensorflow_recommenders_addons as tfra
from tensorflow_recommenders_addons import dynamic_embedding

from benchmarks.peers import graph, protocol


def make(spec):
    if spec.optimizer == "adam":
        raise protocol.CannotDo(
            "its Adam leaves rows that no batch names where they are (a lazy Adam): other vectors"
        )
    with tf.Graph().as_default():
        old, new = (
            dynamic_embedding.get_variable(
                name, tf.int64, tf.float32, dim=spec.dim, trainable=name == "new", init_size=size
            )
            for name, size in (("old", spec.old_rows), ("new", spec.new_rows))
        )
        optimizer = dynamic_embedding.DynamicEmbeddingOptimizer(graph.optimizer(spec))
        placeholders, steps = {}, {}
        for size in spec.batches:
            ids = placeholders[size] = tf.placeholder(tf.int64, [size])
            is_new = tf.cast(ids >= spec.old_rows, tf.int32)
            old_ids, new_ids = tf.dynamic_partition(ids, is_new, 2)
            places = tf.dynamic_partition(tf.range(size), is_new, 2)
            # An id that comes twice must get the sum of its gradients.
            new_vectors, trainable = dynamic_embedding.embedding_lookup_unique(
                new, new_ids, return_trainable=True, name=f"new_{size}"
            )
            vectors = tf.dynamic_stitch(places, [old.lookup(old_ids), new_vectors])
            loss = tf.reduce_sum(tf.squared_difference(vectors, 1.0))
            # The loss is asked for too, as in the other graphs.
            steps[size] = [optimizer.minimize(loss, var_list=[trainable]), loss]
        keys = tf.placeholder(tf.int64, [None])
        values = tf.placeholder(tf.float32, [None, spec.dim])
        upserts = [table.upsert(keys, values) for table in (old, new)]
        lookups = [table.lookup(keys) for table in (old, new)]
        config = tf.ConfigProto(
            intra_op_parallelism_threads=spec.threads, inter_op_parallelism_threads=spec.threads
        )
        session = tf.Session(config=config)
        session.run(tf.global_variables_initializer())
    parts = [(0, start, chunk) for start, chunk in spec.old_chunks()]
    parts.append((1, spec.old_rows, spec.new_values()))
    for which, start, chunk in parts:
        feed = {keys: np.arange(start, start + len(chunk)), values: chunk}
        session.run(upserts[which], feed)
    runs = {size: session.make_callable(steps[size], [placeholders[size]]) for size in steps}

    def rows(ids):
        return session.run(lookups[int(ids[0] >= spec.old_rows)], {keys: ids})

    library = f"TFRA {tfra.__version__}, TensorFlow {tf.__version__}"
    return protocol.Peer(runs, rows, library, prepare=np.int64)


if __name__ == "__main__":
    protocol.serve(make)
