"""The optimizer that is wrapped: what kind it is, and how it is called."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Iterator

import tensorflow.compat.v1 as tf

# Optimizers of which the update by slices leaves all other rows alone, and their slots too. Their
# subclasses may do otherwise. Adam is not one: it moves every row by its momentum.
_SPARSE = (
    tf.train.AdadeltaOptimizer,
    tf.train.AdagradDAOptimizer,
    tf.train.AdagradOptimizer,
    tf.train.FtrlOptimizer,
    tf.train.GradientDescentOptimizer,
    tf.train.MomentumOptimizer,
    tf.train.ProximalAdagradOptimizer,
    tf.train.ProximalGradientDescentOptimizer,
    tf.train.RMSPropOptimizer,
)
# Those of tf.contrib and of Keras are known by name, since importing these takes seconds. Keras'
# RMSprop is not one: in each step all rows of its slots decay.
_SPARSE_BY_NAME = re.compile(
    r"(tensorflow|tensorflow_core)\.contrib\.opt\..*\.(LazyAdamOptimizer|LazyAdamGSOptimizer)"
    r"|((tensorflow|tensorflow_core)\.python\.)?(keras|tf_keras)\..*\.(Adadelta|Adagrad|Ftrl|SGD)"
)
_SLOTLESS = (tf.train.GradientDescentOptimizer, tf.train.ProximalGradientDescentOptimizer)


def touches_only_slices(optimizer: Any, gradient: Any) -> bool:
    """Whether an update by this gradient leaves rows alone that it does not name."""
    return isinstance(gradient, tf.IndexedSlices) and _is_sparse(type(optimizer))


def _is_sparse(kind):
    name = f"{kind.__module__}.{kind.__qualname__}"
    return kind in _SPARSE or _SPARSE_BY_NAME.fullmatch(name) is not None


def has_no_slots(optimizer: Any) -> bool:
    """Whether the optimizer keeps nothing of a variable from step to step."""
    return type(optimizer) in _SLOTLESS


def is_of_tf_train(optimizer: Any) -> bool:
    """Tells an optimizer of `tf.train`, or what stands in for one, from those of Keras."""
    # MultitaskOptimizerWrapper of tf.contrib is no tf.train.Optimizer, yet passes all calls on.
    return isinstance(optimizer, tf.train.Optimizer) or (
        hasattr(optimizer, "compute_gradients") and hasattr(optimizer, "get_slot_names")
    )


def makes_slots_apart(optimizer: Any) -> bool:
    """Whether the slots are made by a method of their own, and not as gradients are applied."""
    apply = getattr(type(optimizer), "apply_gradients", None)
    return apply is tf.train.Optimizer.apply_gradients


def apply(
    optimizer: Any,
    pairs: list[tuple[Any, Any]],
    global_step: Any,
    name_scope: str,
    reuse: bool = False,
) -> tf.Operation:
    """Has an optimizer apply gradients, in a name scope of the caller.

    Args:
      optimizer: of `tf.train` or of Keras.
      pairs: list of (gradient, variable).
      global_step: variable to increment, or None.
      name_scope: string, where the optimizer names what it makes, such as Adam's beta1_power, which
        a checkpoint must find.
      reuse: bool, whether the optimizer may ask for its slots by `get_variable` once more, as a
        custom one does each time. None are made then: a variable scope that is entered again
        forgets, on leaving, the names that slots were given within.

    Returns:
      `tf.Operation`.

    Raises:
      NotImplementedError: if the optimizer has no update for such variables or gradients.
    """
    with contextlib.ExitStack() as scopes:
        scopes.enter_context(tf.name_scope(f"{name_scope}/" if name_scope else None))
        if reuse:
            scope = tf.get_variable_scope()
            again = tf.variable_scope(scope, reuse=tf.AUTO_REUSE, auxiliary_name_scope=False)
            scopes.enter_context(again)
        try:
            if is_of_tf_train(optimizer):
                return optimizer.apply_gradients(pairs, global_step=global_step)
            applied = optimizer.apply_gradients(pairs)
        except NotImplementedError as error:
            raise NotImplementedError(
                f"{type(optimizer).__name__} has no update for the kind of variable or of gradient "
                f"that it is given ({str(error) or 'such as `_resource_apply_sparse`'}). With "
                f'slots="full" it is given resource variables, with slots="rows" one of the '
                f"table's kind"
            ) from error
    return applied if global_step is None else count_step(global_step, [applied])


def count_step(global_step: Any, after: list[tf.Operation]) -> tf.Operation:
    """Returns the operation that increments `global_step`, None being nothing to increment."""
    with tf.control_dependencies(after):
        return tf.no_op() if global_step is None else tf.assign_add(global_step, 1).op


@contextlib.contextmanager
def keep_train_ops() -> Iterator[None]:
    """Keeps the collection of training operations as it is: what is made within trains nothing."""
    train_ops = tf.get_collection_ref(tf.GraphKeys.TRAIN_OP)
    before = list(train_ops)
    try:
        yield
    finally:
        train_ops[:] = before


def check_optimizer(optimizer: Any) -> None:
    """Raises TypeError if it is no optimizer, ValueError with the reason if not wrapped."""
    if not hasattr(optimizer, "apply_gradients"):
        raise TypeError(f"`optimizer` must be an optimizer, got {optimizer!r}")
    if isinstance(optimizer, tf.train.SyncReplicasOptimizer):
        raise ValueError(
            "SyncReplicasOptimizer cannot be wrapped, since it applies gradients in a queue of its "
            "own. Wrap the optimizer within: SyncReplicasOptimizer(TrainableRowsOptimizer(...))"
        )
    # Of tf.contrib, so known by its name only. It would start from the scratch variable's zeros.
    if type(optimizer).__name__ == "MovingAverageOptimizer":
        raise ValueError(
            "MovingAverageOptimizer cannot be wrapped, since its averages start from the values "
            "of the variables it is given. Wrap the optimizer within: "
            "MovingAverageOptimizer(TrainableRowsOptimizer(...))"
        )
    # The optimizers of Keras that make slots by `add_slot` work in graph mode; their successors
    # do nothing there, and those of Keras 3 fail.
    if not is_of_tf_train(optimizer) and not hasattr(optimizer, "add_slot"):
        raise ValueError(
            f"{type(optimizer).__name__} of {type(optimizer).__module__} cannot be wrapped: it "
            f"does nothing in graph mode. Use one of tf.train, or of tf.keras.optimizers.legacy"
        )


def check_keeps_nothing_of(optimizer: Any, variable: Any) -> None:
    """Raises ValueError if an optimizer was told something of a variable when it was made.

    It would not know the variable of the trainable rows that it is given in its place.
    """
    attribute = _attribute_with(optimizer, variable)
    if attribute is not None:
        owner, name = attribute
        raise ValueError(
            f"{owner} cannot be wrapped: it was told what to do with variable "
            f"{variable.op.name!r} (in `{name}`), and is given one of the trainable rows in its "
            f"place. Wrap the optimizer within it, and do what it does to trainable rows after "
            f"each step by tf1_embed.project_rows(variable, rows, function)"
        )


def check_names(optimizer: Any, variable: Any, scratch: Any) -> None:
    """Raises ValueError if an optimizer decides by names, and another one decides otherwise.

    As BERT's does, of which `exclude_from_weight_decay` has patterns of names: one that ends in `$`
    misses the variable of the trainable rows, whose name is longer.
    """
    names = variable.op.name, scratch.op.name
    for owner, attribute, patterns in _attributes(optimizer):
        # Not the keys of its dicts, which are names of slots and hyperparameters.
        for pattern in [] if isinstance(patterns, dict) else patterns:
            if isinstance(pattern, str) and len(set(_found_in(pattern, names))) > 1:
                raise ValueError(
                    f"{owner} cannot be wrapped as it is: it decides by the names of variables, "
                    f"and {pattern!r} in `{attribute}` does not say the same of {names[0]!r} and "
                    f"of {names[1]!r}, its trainable rows. Write it so that it does, such as "
                    f"without `$` at its end"
                )


def _found_in(pattern, names):
    try:
        return [re.search(pattern, name) is not None for name in names]
    except re.error:
        return []


def _attribute_with(optimizer, variable):
    for owner, attribute, values in _attributes(optimizer):
        if any(each is variable for each in values):
            return owner, attribute
    return None


def _attributes(optimizer):
    """Yields the collections that an optimizer, or one within it, was given: owner, name, each."""
    for name, value in vars(optimizer).items():
        if isinstance(value, (dict, list, tuple, set)):
            yield type(optimizer).__name__, name, value
        elif hasattr(value, "apply_gradients"):
            yield from _attributes(value)


def check_no_strategy(variable: Any) -> None:
    """Raises ValueError under a `tf.distribute.Strategy`, which copies variables to replicas."""
    # TensorFlow 1.13 has none of it.
    if getattr(tf.distribute, "has_strategy", bool)():
        strategy = type(tf.distribute.get_strategy()).__name__
        raise ValueError(
            f"TrainableRowsOptimizer cannot keep the trainable rows of {variable.op.name!r} in a "
            f"variable of their own under {strategy}, a tf.distribute.Strategy. Split the table "
            f"instead, which works there: tf1_embed.get_grown_table and tf1_embed.embedding_lookup "
            f"with the optimizer as it is"
        )
