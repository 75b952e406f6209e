"""Slices dropped: the gradients of old rows are left out, under the plain optimizer.

Under Adam this keeps the old rows only while its slots are new: trained ones move them.
"""

import tensorflow.compat.v1 as tf

from benchmarks.peers import graph


def build(spec):
    table = graph.variable("all", spec)
    optimizer = graph.optimizer(spec)

    def minimize(loss):
        ((gradient, _),) = optimizer.compute_gradients(loss, [table])
        kept = tf.where(gradient.indices >= spec.old_rows)[:, 0]
        gradient = tf.IndexedSlices(
            tf.gather(gradient.values, kept),
            tf.gather(gradient.indices, kept),
            gradient.dense_shape,
        )
        return optimizer.apply_gradients([(gradient, table)])

    return graph.Model(
        old=(table, 0),
        new=(table, spec.old_rows),
        vectors=lambda ids: [tf.nn.embedding_lookup(table, ids)],
        minimize=minimize,
    )


if __name__ == "__main__":
    graph.serve(build)
