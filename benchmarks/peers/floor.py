"""The floor: a table of the new rows alone, trained on the new ids of each batch."""

import tensorflow.compat.v1 as tf

from benchmarks.peers import graph


def build(spec):
    new = graph.variable("new", spec)
    optimizer = graph.optimizer(spec)
    return graph.Model(
        old=None,
        new=(new, 0),
        vectors=lambda old_ids, new_ids: [tf.nn.embedding_lookup(new, new_ids)],
        minimize=optimizer.minimize,
        apart=True,
    )


if __name__ == "__main__":
    graph.serve(build)
