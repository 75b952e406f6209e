"""Keras 3, compiled: two `Embedding` layers, the frozen one with `trainable=False`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from benchmarks.peers import protocol


class TwoTables(keras.Model):
    """Looks every id up in both tables and takes what belongs to it."""

    def __init__(self, spec):
        super().__init__()
        self.first_new = spec.old_rows
        self.squares = spec.optimizer != "sgd"
        self.old = keras.layers.Embedding(
            spec.old_rows, spec.dim, embeddings_initializer="zeros", trainable=False
        )
        self.new = keras.layers.Embedding(spec.new_rows, spec.dim, embeddings_initializer="zeros")

    def call(self, ids):
        is_new = ids >= self.first_new
        old = self.old(ops.minimum(ids, self.first_new - 1))
        new_ids = ops.maximum(ids - self.first_new, 0)
        if self.squares:
            # Of an id that comes twice, Keras squares each gradient by itself, not their sum.
            new_ids, places = tf.unique(new_ids)
            new = tf.gather(self.new(new_ids), places)
        else:
            new = self.new(new_ids)
        return ops.where(is_new[:, None], new, old)


class SumOfSquares(keras.losses.Loss):
    """Sums the squared distance of every number to its target."""

    def __init__(self):
        super().__init__(reduction="sum")

    def call(self, targets, vectors):
        return ops.sum(ops.square(vectors - targets), axis=1)


def optimizer(spec):
    """Returns the optimizer that is asked for."""
    if spec.optimizer == "sgd":
        return keras.optimizers.SGD(spec.learning_rate)
    if spec.optimizer == "adagrad":
        return keras.optimizers.Adagrad(spec.learning_rate, protocol.ADAGRAD_START)
    return keras.optimizers.Adam(spec.learning_rate, epsilon=protocol.ADAM_EPSILON)


def make(spec):
    tf.config.threading.set_intra_op_parallelism_threads(spec.threads)
    tf.config.threading.set_inter_op_parallelism_threads(spec.threads)
    model = TwoTables(spec)
    model.old.build()
    model.new.build()
    # Not chunk by chunk: a variable that was once written to by row is copied wherever it is read.
    model.old.embeddings.assign(np.concatenate([values for _, values in spec.old_chunks()]))
    model.new.embeddings.assign(spec.new_values())
    model.compile(optimizer(spec), SumOfSquares())
    model.make_train_function()
    targets = {size: tf.ones([size, spec.dim]) for size in spec.batches}

    def step(ids):
        # What `train_on_batch` calls, which then takes the loss out.
        model.train_function(iter([(ids, targets[len(ids)])]))

    def rows(ids):
        return np.asarray(model(tf.constant(ids, tf.int32)))

    def save(folder):
        model.save_weights(os.path.join(folder, "model.weights.h5"))

    library = f"Keras {keras.__version__}, TensorFlow {tf.__version__}"
    return protocol.Peer(step, rows, library, save=save)


if __name__ == "__main__":
    protocol.serve(make)
