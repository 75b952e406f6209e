"""The gradients of frozen rows dropped, sparse or dense."""

import tensorflow.compat.v1 as tf

from tf1_embed.graph.variables import check_variable


def freeze_rows(grads_and_vars, frozen_rows, sum_duplicates=False, axis=0):
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
      frozen_rows: dict from variable to its frozen `Rows`.
      sum_duplicates: bool, whether the slices of one row are summed, so that each row has one; a
        norm of the gradient (`tf.clip_by_global_norm`) is right only then.
      axis: int, 0 or 1, the axis of the variables that their ids count along.

    Returns:
      list of (gradient, variable) pairs in the same order; those of other variables unchanged, the
      gradients of frozen rows dropped; `dense_shape` and dtypes kept.

    Raises:
      TypeError: if a key of `frozen_rows` is not a variable, or a value not `Rows`.
      ValueError: if a variable is not among the pairs, has no gradient, or has another number of
        rows than its `Rows`.
    """
    pairs = list(grads_and_vars)
    for variable, rows in frozen_rows.items():
        check_variable(variable, rows, axis)
    check_pairs(pairs, frozen_rows)
    trainable_rows = {variable.op: ~rows for variable, rows in frozen_rows.items()}
    return [
        (keep_rows(gradient, trainable_rows[variable.op], sum_duplicates, axis), variable)
        if variable.op in trainable_rows
        else (gradient, variable)
        for gradient, variable in pairs
    ]


def keep_rows(gradient, rows, sum_duplicates=False, axis=0):
    """Returns the gradient of `rows` alone: their slices, or a dense one that is zero elsewhere.

    Args:
      gradient: `tf.IndexedSlices` of a table of `rows.size` rows, or a tensor of its shape.
      rows: `Rows`.
      sum_duplicates: bool, as for `freeze_rows`.
      axis: int, as for `freeze_rows`; slices are always of axis 0.

    Returns:
      `tf.IndexedSlices` or `tf.Tensor`, as `gradient`.
    """
    with tf.name_scope("keep_rows"):
        if not isinstance(gradient, tf.IndexedSlices):
            return _select(gradient, rows, axis)
        values, indices = gradient.values, gradient.indices
        if rows.count < rows.size:
            kept = tf.reshape(tf.where(rows.contains(indices)), [-1])
            values, indices = tf.gather(values, kept), tf.gather(indices, kept)
        if sum_duplicates:
            indices, segments = tf.unique(indices)
            values = tf.unsorted_segment_sum(values, segments, tf.size(indices))
        return tf.IndexedSlices(values, indices, gradient.dense_shape)


def check_pairs(grads_and_vars, variables):
    """Checks that each variable is among the pairs and has a gradient; raises ValueError."""
    gradient_of = {variable.op: gradient for gradient, variable in grads_and_vars}
    for variable in variables:
        name = variable.op.name
        if variable.op not in gradient_of:
            present = ", ".join(sorted(repr(each.name) for each in gradient_of)) or "none"
            trains = variable.op in {each.op for each in tf.trainable_variables()}
            reason = "" if trains else "; it was made with `trainable=False`"
            raise ValueError(
                f"variable {name!r} is not among `grads_and_vars`, which has {present}{reason}"
            )
        if gradient_of[variable.op] is None:
            raise ValueError(
                f"variable {name!r} has no gradient: the loss does not depend on it. Build the "
                f"loss from what a lookup in this variable returns"
            )


def _select(gradient, rows, axis):
    if rows.count == rows.size:
        return gradient
    gradient = tf.convert_to_tensor(gradient)
    kept = rows.contains(tf.range(rows.size))
    if axis:
        kept = tf.logical_and(tf.expand_dims(kept, 0), tf.ones_like(gradient, tf.bool))
    return tf.where(kept, gradient, tf.zeros_like(gradient))
