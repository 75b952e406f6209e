"""Every optimizer that the gradient path is tested under, with all its options."""

import tensorflow.compat.v1 as tf


class AdamWeightDecay(tf.train.Optimizer):
    """The optimizer of BERT: slots made by `get_variable`, decay decoupled, no slot names."""

    def __init__(self, learning_rate=0.01, weight_decay=0.1, name="AdamWeightDecay"):
        super().__init__(False, name)
        self._learning_rate = learning_rate
        self._weight_decay = weight_decay

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        assignments = []
        for gradient, variable in grads_and_vars:
            if gradient is None:
                continue
            m, v = [
                tf.get_variable(
                    f"{variable.op.name}/{slot}",
                    shape=variable.shape.as_list(),
                    dtype=tf.float32,
                    trainable=False,
                    initializer=tf.zeros_initializer(),
                )
                for slot in ("adam_m", "adam_v")
            ]
            next_m = tf.multiply(0.9, m) + tf.multiply(0.1, gradient)
            next_v = tf.multiply(0.999, v) + tf.multiply(0.001, tf.square(gradient))
            update = next_m / (tf.sqrt(next_v) + 1e-6) + self._weight_decay * variable
            assignments += [
                variable.assign(variable - self._learning_rate * update),
                m.assign(next_m),
                v.assign(next_v),
            ]
        if global_step is not None:  # BERT's own leaves it to the caller
            assignments.append(tf.assign_add(global_step, 1))
        return tf.group(*assignments, name=name)


def _adagrad_da():
    step = tf.train.get_or_create_global_step()
    return tf.train.AdagradDAOptimizer(0.1, step)


def _adagrad_da_l1_l2():
    step = tf.train.get_or_create_global_step()
    return tf.train.AdagradDAOptimizer(
        0.1, step, l1_regularization_strength=0.01, l2_regularization_strength=0.1
    )


_L1_L2 = {"l1_regularization_strength": 0.01, "l2_regularization_strength": 0.1}

TRAIN = {
    "adadelta": lambda: tf.train.AdadeltaOptimizer(1.0),
    "adagrad": lambda: tf.train.AdagradOptimizer(0.1),
    "adagrad_da": _adagrad_da,
    "adagrad_da_l1_l2": _adagrad_da_l1_l2,
    "adam": lambda: tf.train.AdamOptimizer(0.1),
    "ftrl": lambda: tf.train.FtrlOptimizer(0.1),
    "ftrl_l1_l2_shrinkage": lambda: tf.train.FtrlOptimizer(
        0.1, learning_rate_power=-0.4, l2_shrinkage_regularization_strength=0.05, **_L1_L2
    ),
    "gradient_descent": lambda: tf.train.GradientDescentOptimizer(0.1),
    "momentum": lambda: tf.train.MomentumOptimizer(0.1, 0.9),
    "momentum_nesterov": lambda: tf.train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
    "proximal_adagrad_l1_l2": lambda: tf.train.ProximalAdagradOptimizer(0.1, **_L1_L2),
    "proximal_gradient_descent_l1_l2": lambda: tf.train.ProximalGradientDescentOptimizer(
        0.1, **_L1_L2
    ),
    "rmsprop": lambda: tf.train.RMSPropOptimizer(0.1),
    "rmsprop_momentum": lambda: tf.train.RMSPropOptimizer(0.1, momentum=0.9),
    "rmsprop_momentum_centered": lambda: tf.train.RMSPropOptimizer(
        0.1, momentum=0.9, centered=True
    ),
}

# Every optimizer of tf.train, and the settings under which one would move a row for which it got
# a zero gradient: momentum, shrinkage, moments that are still warm. Float16 has each
# epsilon; test_invariants.py has the rules with these numbers in NumPy.
OPTIMIZERS = {
    "adadelta": lambda: tf.train.AdadeltaOptimizer(0.5, rho=0.7, epsilon=1e-2),
    "adagrad": lambda: tf.train.AdagradOptimizer(0.1),
    "adagrad_da": lambda: tf.train.AdagradDAOptimizer(
        0.1,
        tf.train.get_or_create_global_step(),
        l1_regularization_strength=0.01,
        l2_regularization_strength=0.01,
    ),
    "adam": lambda: tf.train.AdamOptimizer(0.05, epsilon=1e-3),
    "ftrl": lambda: tf.train.FtrlOptimizer(
        0.1, l1_regularization_strength=0.01, l2_shrinkage_regularization_strength=0.01
    ),
    "gradient_descent": lambda: tf.train.GradientDescentOptimizer(0.1),
    "momentum": lambda: tf.train.MomentumOptimizer(0.05, 0.9),
    "nesterov": lambda: tf.train.MomentumOptimizer(0.05, 0.9, use_nesterov=True),
    "proximal_adagrad": lambda: tf.train.ProximalAdagradOptimizer(
        0.1, l1_regularization_strength=0.01, l2_regularization_strength=0.01
    ),
    "proximal_gradient_descent": lambda: tf.train.ProximalGradientDescentOptimizer(
        0.1, l1_regularization_strength=0.01, l2_regularization_strength=0.01
    ),
    "rmsprop": lambda: tf.train.RMSPropOptimizer(0.02, momentum=0.9, epsilon=1e-3),
    "rmsprop_centered": lambda: tf.train.RMSPropOptimizer(
        0.02, momentum=0.9, epsilon=1e-2, centered=True
    ),
}

CUSTOM = {"adam_weight_decay": AdamWeightDecay}


def _keras():
    """Returns the optimizers of `tf.keras` that work in graph mode; there may be none."""
    optimizers = tf.keras.optimizers
    if not hasattr(optimizers.Optimizer, "add_slot"):
        optimizers = getattr(optimizers, "legacy", None)
        if not hasattr(getattr(optimizers, "Optimizer", None), "add_slot"):
            return {}  # Keras 3
    return {
        "keras_adadelta": lambda: optimizers.Adadelta(1.0),
        "keras_adagrad": lambda: optimizers.Adagrad(0.1),
        "keras_adam": lambda: optimizers.Adam(0.1),
        "keras_adam_amsgrad": lambda: optimizers.Adam(0.1, amsgrad=True),
        "keras_adamax": lambda: optimizers.Adamax(0.1),
        "keras_ftrl": lambda: optimizers.Ftrl(
            0.1, l2_shrinkage_regularization_strength=0.05, **_L1_L2
        ),
        "keras_nadam": lambda: optimizers.Nadam(0.1),
        "keras_rmsprop": lambda: optimizers.RMSprop(0.1, momentum=0.9, centered=True),
        "keras_sgd": lambda: optimizers.SGD(0.1),
        "keras_sgd_nesterov": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    }


def _contrib():
    """Returns optimizers of `tf.contrib`, which only TensorFlow 1 has."""
    if not tf.__version__.startswith("1."):
        return {}
    from tensorflow.contrib import opt

    return {
        "contrib_adamax": lambda: opt.AdaMaxOptimizer(0.1),
        "contrib_adamw": lambda: opt.AdamWOptimizer(0.01, 0.1),
        "contrib_lars": lambda: opt.LARSOptimizer(0.1),
        "contrib_lazy_adam": lambda: opt.LazyAdamOptimizer(0.1),
        "contrib_lazy_adam_gs": lambda: opt.LazyAdamGSOptimizer(
            tf.train.get_or_create_global_step(), 0.1
        ),
        "contrib_momentum_w": lambda: opt.MomentumWOptimizer(0.01, 0.1, 0.9),
        "contrib_nadam": lambda: opt.NadamOptimizer(0.1),
        "contrib_shampoo": lambda: opt.ShampooOptimizer(tf.train.get_or_create_global_step()),
        "contrib_weight_decay_adagrad": lambda: opt.extend_with_decoupled_weight_decay(
            tf.train.AdagradOptimizer
        )(weight_decay=0.1, learning_rate=0.1),
    }


def _contrib_dense():
    """Returns those that take dense gradients only."""
    if not tf.__version__.startswith("1."):
        return {}
    from tensorflow.contrib import opt

    return {
        "contrib_add_sign": lambda: opt.AddSignOptimizer(0.1),
        "contrib_ggt": lambda: opt.GGTOptimizer(0.1),
        "contrib_power_sign": lambda: opt.PowerSignOptimizer(0.1),
    }


KERAS = _keras()
CONTRIB = _contrib()
CONTRIB_DENSE = _contrib_dense()


def apply_gradients(optimizer, grads_and_vars, global_step):
    """Applies gradients with an optimizer of `tf.train` or of Keras."""
    if isinstance(optimizer, tf.train.Optimizer):
        return optimizer.apply_gradients(grads_and_vars, global_step)
    with tf.control_dependencies([optimizer.apply_gradients(grads_and_vars)]):
        return tf.assign_add(global_step, 1).op
