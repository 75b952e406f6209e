"""The bound, with the vectors in one tensor: what is left to do where ids come apart.

The vectors are in the order in which they come, old ones first; no id is checked.
"""

import tensorflow.compat.v1 as tf

from benchmarks.peers import graph


def build(spec):
    old = graph.variable("old", spec)
    new = graph.variable("new", spec)
    optimizer = graph.optimizer(spec)

    def vectors(old_ids, new_ids):
        return [tf.concat([tf.gather(old, old_ids), tf.gather(new, new_ids)], 0)]

    return graph.Model(
        old=(old, 0),
        new=(new, 0),
        vectors=vectors,
        minimize=lambda loss: optimizer.minimize(loss, var_list=[new]),
        apart=True,
    )


if __name__ == "__main__":
    graph.serve(build)
