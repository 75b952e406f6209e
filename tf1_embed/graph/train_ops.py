"""What a training step does, read off its operations: which of them write which variables."""

from __future__ import annotations

from typing import Iterable, NamedTuple

import tensorflow.compat.v1 as tf

from tf1_embed.graph import op_kinds
from tf1_embed.graph.flow import ANYTHING, Flow
from tf1_embed.graph.nodes import Node
from tf1_embed.graph.variables import variable_key


class Writer(NamedTuple):
    """A node that may write a variable.

    Attributes:
      node: `Node`.
      how: what `op_kinds.WRITES` says of its type; "unreadable" for one whose body cannot be read,
        "unknown" for one of which it is not known what it does.
      places: tuple of ints, the inputs by which it is given the variable.
    """

    node: Node
    how: str
    places: tuple[int, ...]


def operations_under(train_op: tf.Operation | tf.Tensor) -> set[tf.Operation]:
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


def writers_of(flow: Flow, variable: tf.Variable) -> list[Writer]:
    """Returns the list of each `Writer` of a variable in a graph, run or not.

    Whatever is given the variable and is not known to read it, or to hand it on, is among them; so
    is what writes a variable of which the graph does not tell which one it is.
    """
    key = variable_key(variable.op)
    found = []
    for node in flow.nodes:
        if node.is_unreadable:
            found.append(Writer(node, "unreadable", ()))
        if node.calls or node.op is None:
            continue
        how = op_kinds.WRITES.get(node.type)
        places = [
            place
            for place, value in enumerate(node.inputs)
            if value.carries in ("ref", "resource")
            and key in flow.origins[value]
            or value.carries == "resource"
            and ANYTHING in flow.origins[value]
            or how
            and value.carries == "ref"
            and ANYTHING in flow.origins[value]
        ]
        if how is None:
            if op_kinds.is_known(node.type):
                continue
            how = "unknown"
        places = [each for each in places if _takes_reference(node, each)]
        if places:
            found.append(Writer(node, how, tuple(places)))
    return found


def operations_run_by(fetches: list[tf.Operation | tf.Tensor]) -> set[tf.Operation]:
    """Returns all operations that `fetches` run, and those that fill the queues they wait for.

    Synchronous replicas leave the update to another thread, which answers by a token in a queue.

    Args:
      fetches: list of `tf.Operation` or `tf.Tensor`.

    Returns:
      set of `tf.Operation`, those in bodies not among them.
    """
    run = Flow(fetches[0].graph).run_by(fetches)
    return {each.op for each in run if each.op is not None and each.caller is None}


def writing_operations(operations: set[tf.Operation], variable: tf.Variable) -> set[tf.Operation]:
    """Returns those operations that may write a variable, by themselves or in bodies.

    Args:
      operations: set of `tf.Operation`, with all that they run.
      variable: `tf.Variable`.
    """
    if not operations:
        return set()
    flow = Flow(next(iter(operations)).graph, operations)
    return {each.node.outermost.op for each in writers_of(flow, variable)}


def _takes_reference(node, place):
    """Whether an operation takes a handle, or a reference to a variable rather than its value."""
    if node.inputs[place].carries != "ref":
        return True
    arguments = node.op.op_def.input_arg
    # Where arguments are lists, a place tells nothing.
    if len(arguments) != len(node.inputs):
        return any(each.is_ref for each in arguments)
    return arguments[place].is_ref


def check_precision(operations: Iterable[tf.Operation], table: tf.Variable) -> None:
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
