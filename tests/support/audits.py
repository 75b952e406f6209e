"""Graphs that write a table of twelve rows, ten of them frozen: audited, run, and compared."""

import numpy as np
import tensorflow.compat.v1 as tf

from support.tables import bits
from tf1_embed import Rows
from tf1_embed.auditing import audit

SIZE, OLD, DIM = 12, 10, 2
FROZEN = Rows.range(0, OLD, size=SIZE)
STEPS = 3


def make_table(resource=True, name="items"):
    """Returns a table of ordinary numbers, none of them zero."""
    start = (np.arange(SIZE * DIM, dtype=np.float32).reshape(SIZE, DIM) + 1) / 7
    return tf.get_variable(name, initializer=start, use_resource=resource)


def fed(value, shape, dtype=np.int32):
    """Returns a placeholder of some shape that holds a value in this run."""
    return tf.placeholder_with_default(np.array(value, dtype), shape)


def zeros(ids):
    """Returns zeros for the rows of a vector of ids."""
    return tf.zeros([tf.shape(ids)[0], DIM])


def sgd(table, ids, rate=0.1):
    """Returns a training step on the rows of ids."""
    loss = tf.reduce_sum(tf.nn.embedding_lookup(table, ids))
    return tf.train.GradientDescentOptimizer(rate).minimize(loss, var_list=[table])


def overwrite(ids, table):
    """Returns an operation that sets the rows of ids to zero."""
    return tf.scatter_update(table, ids, zeros(ids))


def write_handle(handle):
    """Returns an operation that sets all of a variable to zero, given its handle."""
    return tf.raw_ops.AssignVariableOp(resource=handle, value=tf.zeros([SIZE, DIM]))


def moved_rows(table, fetches, before=()):
    """Runs fetches a few times; returns which frozen rows changed a bit, as a list of ids.

    Slots hold values of earlier training. If the table is gone, all rows have moved.
    """
    with tf.Session() as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for variable in tf.global_variables():
            if variable is not table and variable.dtype.base_dtype.is_floating:
                warm = session.run(variable) + np.float32(0.5)
                session.run(variable.initializer, {variable.initializer.inputs[1]: warm})
        first = session.run(table)
        for each in before:
            session.run(each)
        for _ in range(STEPS):
            session.run(fetches)
        try:
            last = session.run(table)
        except tf.errors.OpError:
            return FROZEN.ids().tolist()
    return np.flatnonzero((bits(first[:OLD]) != bits(last[:OLD])).any(1)).tolist()


def names_of(table, fetches):
    """Returns the sorted names of what an audit finds."""
    return sorted(each.name for each in audit(fetches, {table: FROZEN}))
