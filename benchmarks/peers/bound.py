"""The bound: the floor, and a gather of the batch's old rows, with old and new ids apart.

Whatever looks up old rows must do as much. The loss is of both parts, which stay apart; so nothing
is put in order, nor into one tensor, and no id is checked.
"""

import tensorflow.compat.v1 as tf

from benchmarks.peers import graph


def build(spec):
    old = graph.variable("old", spec)
    new = graph.variable("new", spec)
    optimizer = graph.optimizer(spec)
    return graph.Model(
        old=(old, 0),
        new=(new, 0),
        vectors=lambda old_ids, new_ids: [tf.gather(old, old_ids), tf.gather(new, new_ids)],
        minimize=lambda loss: optimizer.minimize(loss, var_list=[new]),
        apart=True,
    )


if __name__ == "__main__":
    graph.serve(build)
