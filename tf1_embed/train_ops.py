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


def underflowing_constants(operations, dtype):
    """Returns the scalar constants that are not zero but become so by a cast to `dtype`.

    Args:
      operations: iterable of `tf.Operation`.
      dtype: `tf.DType`.

    Returns:
      list of `tf.Operation` of type Const.
    """
    return [
        operation.inputs[0].op
        for operation in operations
        if operation.type == "Cast"
        and operation.outputs[0].dtype.base_dtype == dtype
        and operation.inputs[0].op.type == "Const"
        and _underflows(tf.make_ndarray(operation.inputs[0].op.get_attr("value")), dtype)
    ]


def _underflows(constant, dtype):
    return constant.ndim == 0 and constant != 0 and constant.astype(dtype.as_numpy_dtype) == 0
