"""The bound: the floor, and a gather of the batch's old rows, with old and new ids apart.

Whatever looks up old rows must do as much. The vectors are put into one tensor, since that is what
a model's loss is of, and twice the work on half of it costs less; but in no order, and no id is
checked.
"""

import tensorflow.compat.v1 as tf

from benchmarks.peers import graph


def build(spec):
    old = graph.variable("old", spec, spec.old_rows)
    new = graph.variable("new", spec, spec.new_rows)
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
