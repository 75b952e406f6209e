"""tf1_embed, one variable: the optimizer wrapped, so that it moves the new rows only."""

import tensorflow.compat.v1 as tf

import tf1_embed
from benchmarks.peers import graph


def build(spec):
    table = graph.variable("all", spec)
    new_rows = tf1_embed.Rows.range(spec.old_rows, spec.rows, spec.rows)
    optimizer = tf1_embed.TrainableRowsOptimizer(graph.optimizer(spec), {table: new_rows})
    return graph.Model(
        old=(table, 0),
        new=(table, spec.old_rows),
        vectors=lambda ids: [tf.nn.embedding_lookup(table, ids)],
        minimize=optimizer.minimize,
    )


if __name__ == "__main__":
    graph.serve(build)
