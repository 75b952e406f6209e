"""Full training: one variable of all rows, all of which train. The old rows move."""

import tensorflow.compat.v1 as tf

from benchmarks.peers import graph


def build(spec):
    table = graph.variable("all", spec)
    optimizer = graph.optimizer(spec)
    return graph.Model(
        old=(table, 0),
        new=(table, spec.old_rows),
        vectors=lambda ids: [tf.nn.embedding_lookup(table, ids)],
        minimize=optimizer.minimize,
    )


if __name__ == "__main__":
    graph.serve(build, freezes=False)
