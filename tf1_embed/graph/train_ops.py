"""What a training step does, read off its operations."""

import tensorflow.compat.v1 as tf

# Parts of the type names of operations that write a variable (AssignSubVariableOp, ApplyAdam,
# ResourceSparseApplyMomentum, ScatterUpdate and their kin), or hold such operations in a body of
# their own (control flow v2).
_WRITING = ("Assign", "Apply", "Scatter", "If", "Case", "While", "Call")


def operations_under(train_op):
    """Returns all operations that run when `train_op`, an operation or a tensor, is run.

    Operations in bodies of control flow v2 are not among them.

    Returns:
      set of `tf.Operation`.
    """
    pending = [getattr(train_op, "op", train_op)]
    seen = set(pending)
    while pending:
        operation = pending.pop()
        causes = {tensor.op for tensor in operation.inputs}.union(operation.control_inputs) - seen
        seen |= causes
        pending.extend(causes)
    return seen


def operations_run_by(fetches):
    """Returns all operations that `fetches` run, and those that fill the queues they wait for.

    Synchronous replicas leave the update to another thread, which answers by a token in a queue.

    Args:
      fetches: iterable of `tf.Operation` or `tf.Tensor`.

    Returns:
      set of `tf.Operation`.
    """
    operations, pending = set(), list(fetches)
    while pending:
        new = operations_under(pending.pop()) - operations
        operations |= new
        for operation in new:
            if "Dequeue" in operation.type or "TakeGradient" in operation.type:
                pending += [
                    each
                    for each in operation.inputs[0].consumers()
                    if "Enqueue" in each.type or "ApplyGradient" in each.type
                ]
    return operations


def may_write(operation, variable):
    """Tells whether an operation writes `variable`, or has a body to which it gives it."""
    return any(verb in operation.type for verb in _WRITING) and any(
        _source(tensor) in (variable.op, None) for tensor in operation.inputs
    )


def _source(tensor):
    """Returns the operation that a reference comes from, None if from outside of a body."""
    while tensor.op.type in ("Switch", "RefSwitch", "Enter", "RefEnter"):
        tensor = tensor.op.inputs[0]
    in_body = hasattr(tensor.graph, "captures") and tensor.op.type == "Placeholder"
    return None if in_body else tensor.op


def check_precision(operations, table):
    """Checks that no constant of a training step is zero in the precision of a table.

    In float16 Adam's default epsilon of 1e-8 is, and rows become NaN in the first step.

    Args:
      operations: iterable of `tf.Operation`, those of the step.
      table: `tf.Variable`.

    Raises:
      ValueError: if a scalar constant that is not zero becomes so by a cast to the table's dtype.
    """
    dtype = table.dtype.base_dtype
    for operation in operations:
        if operation.type != "Cast" or operation.outputs[0].dtype.base_dtype != dtype:
            continue
        constant = operation.inputs[0].op
        if constant.type == "Const" and _underflows(constant, dtype):
            value = tf.make_ndarray(constant.get_attr("value")).item()
            raise ValueError(
                f"the training step uses {constant.name!r}, the constant {value:g}, which is 0 in "
                f"{dtype.name}, the dtype of table {table.op.name!r}: its rows may become NaN. "
                f"Give the optimizer a larger epsilon, such as 1e-4"
            )


def _underflows(constant, dtype):
    value = tf.make_ndarray(constant.get_attr("value"))
    return value.ndim == 0 and value != 0 and value.astype(dtype.as_numpy_dtype) == 0
