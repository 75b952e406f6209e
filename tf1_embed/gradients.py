"""The gradients of frozen rows dropped, sparse or dense."""

from __future__ import annotations

from typing import Any, Iterable, List, Optional, Tuple, Union

import tensorflow.compat.v1 as tf

from tf1_embed.graph.graph_mode import check_graph_mode
from tf1_embed.graph.variables import (
    VariableLike,
    check_variable,
    resolve_variables,
    rows_by_partition,
)
from tf1_embed.rows import Rows, RowsLike

Gradient = Union[tf.Tensor, tf.IndexedSlices]
GradsAndVars = List[Tuple[Optional[Gradient], Any]]


def freeze_rows(
    grads_and_vars: Iterable[tuple[Gradient | None, Any]],
    frozen_rows: dict[VariableLike, RowsLike],
    sum_duplicates: bool = False,
    axis: int = 0,
    partition_strategy: str | None = None,
) -> GradsAndVars:
    """Drops the gradients of frozen rows.

    Slices of frozen rows are left out, by their indices; in a dense gradient frozen rows become
    zero, by selection, so that an infinity or a NaN there reaches nothing.

        indices  3   0   3   7              frozen: 0 to 4          indices  7
        values   g3  g0  g3' g7                                     values   g7

    A row without a gradient is not a row that stays. Does it, if this alone is done? (cold: fresh
    slot variables; warm: slots of earlier training on all rows, which then get other values, as
    when they are loaded from elsewhere)

    | optimizer                                     | slices, cold / warm | dense, cold / warm |
    |-----------------------------------------------|---------------------|--------------------|
    | GradientDescent, Adagrad, RMSProp, Adadelta   | stays / stays       | stays* / stays*    |
    | Momentum; RMSProp with momentum or centered   | stays / stays       | stays* / moves     |
    | Adam                                          | stays* / moves      | stays* / moves     |
    | Ftrl, AdagradDA                               | stays / stays       | set to 0 / moves+  |
    | Ftrl with shrinkage, Proximal* with l1 or l2  | stays / stays       | moves / moves      |
    | decoupled weight decay (AdamW)                | moves               | moves              |

    (*: ordinary values stay; denormals, signalling NaNs and some -0.0 do not. +: Ftrl stays where
    value and slots belong together, AdagradDA then up to rounding if nothing is regularized.)
    Where it says anything but "stays", use `tf1_embed.TrainableRowsOptimizer`.

    Args:
      grads_and_vars: list of (gradient, variable) pairs, as of `compute_gradients`, or of
        `zip(tf.gradients(loss, variables), variables)`.
      frozen_rows: dict from variable, its name, or a pattern of names such as `model/ent*`, to its
        frozen rows: `Rows`, or ids, a range, a slice, or a bool vector. A partitioned variable
        takes the rows of the whole table.
      sum_duplicates: bool, whether the slices of one row are summed, so that each row has one; a
        norm of the gradient (`tf.clip_by_global_norm`) is right only then.
      axis: int, the axis of the variables that their ids count along; a name may bring its own, as
        in `projection:1`.
      partition_strategy: "mod" or "div", how ids go to the partitions of variables that have more
        than one: that of their lookups.

    Returns:
      list of (gradient, variable) pairs in the same order; those of other variables unchanged, the
      gradients of frozen rows dropped; `dense_shape` and dtypes kept.

    Raises:
      KeyError: if a name or pattern matches no variable; the trainable ones are listed.
      RuntimeError: in eager mode.
      TypeError: if a key of `frozen_rows` is not a variable, or a value does not name rows.
      ValueError: if a variable is not among the pairs, has no gradient, or has another number of
        rows than its `Rows`; if `partition_strategy` is needed and not given.
    """
    check_graph_mode("freeze_rows")
    pairs = list(grads_and_vars)
    trainable = {}
    for variable, own_axis, rows in resolve_variables(frozen_rows, "frozen_rows"):
        own_axis = axis if own_axis is None else own_axis
        for part, part_rows in rows_by_partition(variable, rows, partition_strategy, own_axis):
            check_variable(part, part_rows, own_axis)
            _check_has_gradient(pairs, part)
            trainable[part.op] = ~part_rows, own_axis
    kept = [
        keep_rows(gradient, *trainable[variable.op]) if variable.op in trainable else gradient
        for gradient, variable in pairs
    ]
    return [
        (sum_slices(each) if sum_duplicates and variable.op in trainable else each, variable)
        for each, (_, variable) in zip(kept, pairs)
    ]


def keep_rows(gradient: Gradient, rows: Rows, axis: int = 0) -> Gradient:
    """Returns the gradient of `rows` alone: their slices, or a dense one that is zero elsewhere.

    Args:
      gradient: `tf.IndexedSlices` of a table of `rows.size` rows, or a tensor of its shape.
      rows: `Rows`.
      axis: int, as for `freeze_rows`.

    Returns:
      `tf.IndexedSlices` or `tf.Tensor`, as `gradient`; a tensor where the slices are of another
      axis than the rows.
    """
    if not rows.count:
        return keep_nothing(gradient)
    with tf.name_scope("keep_rows"):
        if axis or not isinstance(gradient, tf.IndexedSlices):
            return _select(gradient, rows, axis)
        values, indices = gradient.values, gradient.indices
        if rows.count < rows.size:
            kept = tf.reshape(tf.where(rows.contains(indices)), [-1])
            values, indices = tf.gather(values, kept), tf.gather(indices, kept)
        return tf.IndexedSlices(values, indices, gradient.dense_shape)


def sum_slices(gradient: Gradient) -> Gradient:
    """Returns the gradient with the slices of one row summed, so that each row has one."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    with tf.name_scope("sum_slices"):
        indices, segments = tf.unique(gradient.indices)
        values = tf.unsorted_segment_sum(gradient.values, segments, tf.size(indices))
        return tf.IndexedSlices(values, indices, gradient.dense_shape)


def keep_nothing(gradient: Gradient) -> Gradient:
    """Returns a gradient of the same form and shape that moves nothing: no slices, or zeros."""
    with tf.name_scope("keep_nothing"):
        if not isinstance(gradient, tf.IndexedSlices):
            return tf.zeros_like(gradient)
        return tf.IndexedSlices(gradient.values[:0], gradient.indices[:0], gradient.dense_shape)


def check_trains(variable: Any, present: Iterable[Any]) -> None:
    """Raises ValueError if a variable is not among those present, and was not made to train."""
    trains = {each.op for each in list(present) + tf.trainable_variables()}
    if variable.op not in trains:
        raise ValueError(
            f"variable {variable.op.name!r} is not among `grads_and_vars`, which has "
            f"{_names(present)}; it was made with `trainable=False`"
        )


def _check_has_gradient(pairs, variable):
    gradient_of = {each.op: gradient for gradient, each in pairs}
    name = variable.op.name
    if variable.op not in gradient_of:
        present = [each for _, each in pairs]
        check_trains(variable, present)
        raise ValueError(
            f"variable {name!r} is not among `grads_and_vars`, which has {_names(present)}"
        )
    if gradient_of[variable.op] is None:
        raise ValueError(
            f"variable {name!r} has no gradient: the loss does not depend on it. Build the "
            f"loss from what a lookup in this variable returns"
        )


def _names(variables):
    return ", ".join(sorted(repr(each.op.name) for each in variables)) or "none"


def _select(gradient, rows, axis):
    if rows.count == rows.size:
        return gradient
    gradient = tf.convert_to_tensor(gradient)
    kept = rows.contains(tf.range(rows.size))
    if axis:
        shape = [1] * gradient.shape.ndims
        shape[axis] = rows.size
        kept = tf.logical_and(tf.reshape(kept, shape), tf.ones_like(gradient, tf.bool))
    return tf.where(kept, gradient, tf.zeros_like(gradient))
