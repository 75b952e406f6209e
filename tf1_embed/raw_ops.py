"""What this library uses of TensorFlow that has no public name, and nothing else does.

In 1.13 these are the operations of `tf.raw_ops`, which does not exist there; in every version, the
ways to ask whether a graph is in a loop or a branch, for one of its functions, and an optimizer for
its slots.
"""

from __future__ import annotations

from typing import Any

import tensorflow.compat.v1 as tf

if hasattr(tf, "raw_ops"):
    from tensorflow.compat.v1.raw_ops import (  # noqa: F401
        DestroyTemporaryVariable,
        ReadVariableOp,
        RestoreV2,
        StridedSliceAssign,
        TemporaryVariable,
        UpperBound,
        VariableShape,
        VariableV2,
    )
else:
    from tensorflow.python.ops import (  # type: ignore[attr-defined]
        gen_array_ops,
        gen_io_ops,
        gen_resource_variable_ops,
        gen_state_ops,
    )

    DestroyTemporaryVariable = gen_state_ops.destroy_temporary_variable
    ReadVariableOp = gen_resource_variable_ops.read_variable_op
    RestoreV2 = gen_io_ops.restore_v2
    StridedSliceAssign = gen_array_ops.strided_slice_assign
    TemporaryVariable = gen_state_ops.temporary_variable
    UpperBound = gen_array_ops.upper_bound
    VariableShape = gen_resource_variable_ops.variable_shape
    VariableV2 = gen_state_ops.variable_v2


def in_loop_or_branch(graph: tf.Graph) -> bool:
    """Tells whether what is added to a graph now gets into a loop or a branch of control flow v1.

    Control flow v2, which builds bodies and branches in graphs of their own, is not seen here.
    """
    # The method is there from 1.0 to 2.21; no public one tells.
    return graph._get_control_flow_context() is not None


def create_slots(optimizer: Any, variables: list) -> None:
    """Has a `tf.train.Optimizer` make its slots of variables, from TF 1.0 to 2.21.

    The public way is to apply gradients, which makes operations that write the variables, too.
    """
    optimizer._create_slots(variables)


def function_named(graph: tf.Graph, name: str) -> Any:
    """Returns the `FunctionDef` of a graph's function, or of one around it; None if none has it."""
    while graph is not None:
        # The public way, `graph.as_graph_def().library`, writes the whole graph out, and fails over
        # 2 GB. The method is there from 1.0 to 2.21.
        found = graph._get_function(name)
        if found is not None:
            return found.definition
        graph = getattr(graph, "outer_graph", None)
    return None
