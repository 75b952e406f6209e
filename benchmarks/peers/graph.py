"""What the peers in TensorFlow's graph mode have in common: a step for each size of batch."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from benchmarks.peers import protocol

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_v2_behavior()


class Model:
    """A table, and how a batch is trained.

    Attributes:
      old, new: the variables that hold the old rows and the new ones, and the first row there:
        (variable, row); `old` is None where there are no old rows. A `variable` gets its rows from
        the checkpoint; those of a table of tf1_embed have them.
      vectors: function of the placeholders of a batch, that returns a list of the vectors that the
        loss is of.
      minimize: function of the loss that returns the training operation.
      apart: whether old ids and new ids of a batch come apart, in two placeholders.
    """

    def __init__(self, old, new, vectors, minimize, apart=False):
        self.old, self.new = old, new
        self.vectors, self.minimize, self.apart = vectors, minimize, apart


def optimizer(spec):
    """Returns the optimizer that is asked for."""
    rate = spec.learning_rate
    return {
        "sgd": lambda: tf.train.GradientDescentOptimizer(rate),
        "adagrad": lambda: tf.train.AdagradOptimizer(rate, protocol.ADAGRAD_START),
        "adam": lambda: tf.train.AdamOptimizer(rate, epsilon=protocol.ADAM_EPSILON),
        "momentum": lambda: tf.train.MomentumOptimizer(rate, 0.9),
        "rmsprop": lambda: tf.train.RMSPropOptimizer(rate),
        "ftrl": lambda: tf.train.FtrlOptimizer(rate),
        "lazy_adam": lambda: lazy_adam(rate),
    }[spec.optimizer]()


def lazy_adam(rate):
    """Returns the Adam that moves the rows of the batch only, which TensorFlow 1 has."""
    from tensorflow.contrib.opt import LazyAdamOptimizer

    return LazyAdamOptimizer(rate, epsilon=protocol.ADAM_EPSILON)


def variable(name, spec):
    """Returns the variable of "old", "new" or "all" rows, which the checkpoint has by that name."""
    shape = [{"old": spec.old_rows, "new": spec.new_rows, "all": spec.rows}[name], spec.dim]
    return tf.get_variable(name, shape, use_resource=True)


def grown_table(spec):
    """Returns a table of tf1_embed, of two variables."""
    return tf1_embed.get_grown_table(
        "table",
        spec.new_rows,
        checkpoint=spec.checkpoint,
        checkpoint_name="old",
        initializer=spec.new_values(),
        use_resource=True,
    )


def serve(build, freezes=True):
    """Serves the peer whose `build(spec)` returns a `Model`."""
    protocol.serve(lambda spec: make(spec, build, freezes))


def make(spec, build, freezes=True):
    """Returns the `Peer` of a model, in a graph and a session of its own."""
    with tf.Graph().as_default() as graph:
        model = build(spec)
        placeholders, steps = {}, {}
        for size in spec.batches:
            sizes = [size - size // 2, size // 2] if model.apart else [size]
            placeholders[size] = [tf.placeholder(tf.int32, [each]) for each in sizes]
            losses = [
                tf.reduce_sum(tf.squared_difference(each, 1.0))
                for each in model.vectors(*placeholders[size])
            ]
            # The loss is asked for too, as one does: training alone would not look up old rows
            # whose vectors have a part in the loss, and none in the gradient.
            loss = tf.add_n(losses)
            steps[size] = [model.minimize(loss), loss]
        variables = {each for each, _ in filter(None, (model.old, model.new))}
        ids = tf.placeholder(tf.int64, [None])
        gathers = {each: tf.gather(each, ids) for each in variables}
        stored = [each for each in variables if each.op.name in ("old", "new", "all")]
        others = [each for each in tf.global_variables() if each not in stored]
        saver, restorer = tf.train.Saver(), tf.train.Saver(stored) if stored else None
        initializer = tf.variables_initializer(others)
        config = tf.ConfigProto(
            intra_op_parallelism_threads=spec.threads, inter_op_parallelism_threads=spec.threads
        )
        session = tf.Session(config=config)
        graph.finalize()
    session.run(initializer)
    if restorer:
        restorer.restore(session, spec.checkpoint)
    runs = {size: session.make_callable(steps[size], placeholders[size]) for size in spec.batches}

    def rows(wanted):
        if model.old is None:
            return session.run(gathers[model.new[0]], {ids: wanted})
        is_new = wanted >= spec.old_rows
        values = np.empty([len(wanted), spec.dim], np.float32)
        places = {False: model.old, True: (model.new[0], model.new[1] - spec.old_rows)}
        for which, (each, offset) in places.items():
            chosen = is_new == which
            values[chosen] = session.run(gathers[each], {ids: wanted[chosen] + offset})
        return values

    def save(folder):
        saver.save(session, os.path.join(folder, "model.ckpt"), write_meta_graph=False)

    return protocol.Peer(
        step={size: (lambda batch, run=run: run(*batch)) for size, run in runs.items()},
        prepare=spec.apart if model.apart else lambda each: (each,),
        rows=rows,
        save=save,
        library=f"TensorFlow {tf.__version__}",
        freezes=freezes,
        of_new_only=model.old is None,
    )
