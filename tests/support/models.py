"""An ordinary model, as users have them, whose checkpoints grow, merge and split."""

import numpy as np
import tensorflow.compat.v1 as tf

# Which axis of the model's variables has the vocabulary.
AXES = {"embedding": 0, "bias": 0, "projection": 1}


class Model:
    """Two steps of a classifier over its own vocabulary, in a graph and a session of its own.

    Attributes:
      session: `tf.Session`, in which all variables are initialised.
      saver: `tf.train.Saver` of all variables.
      table: the variable "embedding", [num_rows, 2].
      optimizer: the `tf.train.Optimizer`.
    """

    def __init__(
        self, num_rows, optimizer, use_resource=False, partitions=None, strategy="mod", scope=""
    ):
        """Takes a function that makes the optimizer; in a scope, slots are made there once more."""
        partitioner = tf.fixed_size_partitioner(partitions) if partitions else None
        with tf.Graph().as_default() as graph:
            tf.set_random_seed(1)
            self.ids = tf.placeholder(tf.int64, [None])
            self.step = tf.train.get_or_create_global_step()
            self.optimizer = optimizer()
            with tf.variable_scope(scope, use_resource=use_resource):
                self.table = tf.get_variable("embedding", [num_rows, 2], partitioner=partitioner)
                self.bias = tf.get_variable(
                    "bias", [num_rows], initializer=tf.ones_initializer(), partitioner=partitioner
                )
                projection = tf.get_variable("projection", [2, num_rows])
                dense = tf.get_variable("dense", [2, 2], initializer=tf.ones_initializer())
                self.vectors = tf.nn.embedding_lookup(self.table, self.ids, strategy)
                biases = tf.nn.embedding_lookup(self.bias, self.ids, strategy)
                logits = tf.matmul(tf.matmul(self.vectors, dense), projection)
                loss = tf.reduce_sum((logits - 1) ** 2) + tf.reduce_sum((biases - 2) ** 2)
                self.train_op = self.optimizer.minimize(loss, self.step)
            self.saver = tf.train.Saver()
            self.session = tf.Session(graph=graph)
            self.session.run(tf.global_variables_initializer())
            self._variables = {each.op.name: each for each in tf.global_variables()}

    def __enter__(self):
        self._default = self.session.graph.as_default()
        self._default.__enter__()
        return self

    def __exit__(self, kind, error, trace):
        self._default.__exit__(kind, error, trace)
        self.session.close()

    def train(self, *batches):
        """Trains one step on each batch of ids."""
        for batch in batches:
            self.session.run(self.train_op, {self.ids: batch})

    def lookup(self, ids):
        """Returns the rows of ids, as the model sees them."""
        return self.session.run(self.vectors, {self.ids: ids})

    def values(self):
        """Returns a dict from the name of each variable, slots among them, to its value."""
        return self.session.run(self._variables)

    def slots(self, variable, ids, strategy="mod"):
        """Returns a dict from the name of each kind of slot to the slots of ids."""
        ids = list(ids)
        if not isinstance(variable, (list, tuple)) and not hasattr(variable, "as_tensor"):
            variable = [variable]
        return {
            name: self.session.run(
                tf.nn.embedding_lookup(
                    [self.optimizer.get_slot(part, name) for part in variable], ids, strategy
                )
            )
            for name in self.optimizer.get_slot_names()
        }


def split_axis(name, value, num_old):
    """Returns the old and the new part of a variable, or (value, None) if it does not grow."""
    axis = next((axis for key, axis in AXES.items() if key in name.split("/")), None)
    if axis is None:
        return value, None
    old, new = np.split(value, [num_old], axis)
    return old, new
