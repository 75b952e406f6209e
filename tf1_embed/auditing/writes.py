"""The operations that write a table, and what each does to its frozen rows."""

import tensorflow.compat.v1 as tf

from tf1_embed.auditing.evaluate import evaluate
from tf1_embed.auditing.findings import finding
from tf1_embed.auditing.frozen_part import NEAR, OWN, ZERO
from tf1_embed.graph.train_ops import operations_under

_WRITING = ("Assign", "Apply", "Scatter")
_BODIES = ("If", "Case", "While", "Call")
_REGULARISERS = ("Abs", "L2Loss", "Square")

# What a zero gradient does under optimizers of which it does not move rows by their slots. By the
# names of their operations, without Resource, Sparse and Apply; all others have momentum.
_STAYS_UNDER_ZERO = {
    "Adadelta",
    "Adagrad",
    "AdagradV2",
    "AddSign",
    "GradientDescent",
    "PowerSign",
}
_STAYS_WITHOUT_MOMENTUM = {"CenteredRMSProp", "RMSProp"}
_STAYS_WITHOUT_L1_L2 = {"ProximalAdagrad", "ProximalGradientDescent"}
_ERASES = {"AdagradDA", "Ftrl", "FtrlV2"}


def writing_operations(operations, variable):
    """Returns those operations that write a variable, or have a body they hand it to, by name."""
    return sorted(
        (
            each
            for each in operations
            if _has_verb(each.type, _WRITING) or _has_verb(each.type, _BODIES)
            if any(_target(tensor) is variable.op for tensor in each.inputs)
        ),
        key=lambda each: each.name,
    )


def find_writes(operations, part):
    """Returns the findings about operations that can write frozen rows of a table.

    Args:
      operations: set of `tf.Operation`, those that run.
      part: `FrozenPart` of the table.

    Returns:
      list of `Finding`.
    """
    kind_of = {
        operation: _kind_of_write(operation, part)
        for operation in writing_operations(operations, part.variable)
    }
    moving = {operation for operation, kind in kind_of.items() if kind not in (None, "own")}
    table = part.variable.op.name
    found = []
    for operation, kind in kind_of.items():
        if kind in ("own", "assign", "scatter"):
            earlier = moving.intersection(operations_under(operation)) - {operation}
            if earlier and (kind == "own" or not _reads(operation, part)):
                kind = "restored-after-update"
        if kind not in (None, "own"):
            found.append(finding(kind, table, operation))
        if kind in ("dense-gradient", "gradient-of-frozen-rows"):
            found += [
                finding("whole-table-regulariser", table, each)
                for each in sorted(operations_under(operation), key=lambda each: each.name)
                if each.type in _REGULARISERS and part.is_read(each.inputs[0])
            ]
    return found


def _kind_of_write(operation, part):
    """Returns the kind of finding, "own" if frozen rows get what they hold, None if nothing."""
    arguments = _arguments(operation)
    if _has_verb(operation.type, _BODIES):
        return "writes-in-a-body" if _body_writes(operation, part.variable) else None
    if _target(operation.inputs[0]) is not part.variable.op:
        return "assign"  # as a slot variable of another table
    kind = operation.type.replace("Resource", "")
    if kind.startswith("SparseApply"):
        return _kind_of_slices(operation, part, arguments["grad"])
    if kind.startswith("Apply"):
        gradient = arguments.get("grad", arguments.get("delta"))
        if part.holds(gradient) == ZERO:
            return _kind_of_zero_gradient(operation)
        return "dense-gradient"
    if kind.startswith("ScatterNd"):
        return "scatter" if part.names_places(arguments["indices"]) else None
    if kind in ("ScatterAdd", "ScatterSub"):
        return _kind_of_slices(operation, part, arguments["updates"])
    if kind.startswith("Scatter"):
        if part.axis == 0 and not part.names(arguments["indices"]):
            return None
        own = part.is_gathered(arguments["updates"], arguments["indices"])
        return "own" if own else "scatter"
    if kind == "StridedSliceAssign":
        ends = [arguments[name] for name in ("begin", "end", "strides")]
        return "assign" if part.is_in_slice(operation, *ends) else None
    if kind.startswith(("AssignAdd", "AssignSub")):
        return _kind_of_difference(arguments["value"], operation, part)
    return _kind_of_assign(arguments.get("value"), part)


def _kind_of_slices(operation, part, values):
    indices = _arguments(operation)["indices"]
    if part.axis == 0 and not part.names(indices):
        return None
    if part.axis == 0 and part.holds_in_slices(values, indices) == ZERO:
        return _kind_of_zero_gradient(operation)
    return "gradient-of-frozen-rows"


def _kind_of_zero_gradient(operation):
    """Returns what an optimizer does to rows of which the gradient is there, and zero."""
    optimizer = operation.type.split("Apply")[-1]
    arguments = _arguments(operation)
    if optimizer in _STAYS_UNDER_ZERO or "Scatter" in optimizer:
        return "special-bits-move"
    if optimizer in _STAYS_WITHOUT_MOMENTUM and _are_zero(arguments, "momentum"):
        return "special-bits-move"
    if optimizer in _STAYS_WITHOUT_L1_L2 and _are_zero(arguments, "l1", "l2"):
        return "special-bits-move"
    if optimizer in _ERASES or optimizer in _STAYS_WITHOUT_L1_L2:
        return "optimizer-moves-always"
    return "optimizer-moves-when-warm"


def _are_zero(arguments, *names):
    return all(evaluate(arguments[name]) == 0 for name in names)


def _kind_of_difference(value, operation, part):
    """Returns what adding or subtracting a tensor of the table's shape does."""
    if part.holds(value) == ZERO:
        return "special-bits-move"
    sources = _sources(value)
    if part.variable.op in sources:
        return "optimizer-moves-always"  # decoupled weight decay
    slots = {each for each in sources if _is_like(each, part.variable)}
    scatters = [
        each
        for each in operations_under(operation)
        if "Scatter" in each.type and each.inputs and _target(each.inputs[0]) in slots
    ]
    if not scatters:
        return "assign"
    for each in scatters:
        arguments = _arguments(each)
        indices, values = arguments["indices"], arguments["updates"]
        if part.names(indices) and part.holds_in_slices(values, indices) != ZERO:
            return "gradient-of-frozen-rows"
    return "optimizer-moves-when-warm"


def _kind_of_assign(value, part):
    if value is None:
        return "assign"
    held = part.holds(value)
    if held == OWN:
        return "own"
    if held == NEAR:
        return "special-bits-move"
    sources = _sources(value)
    if any("ExponentialMovingAverage" in each.name for each in sources):
        return "moving-average-assigned"
    if part.variable.op not in sources:
        return "assign"
    others = sources - {part.variable.op}
    if not others:
        return "projection"
    # A custom optimizer that computes the next value of the table from its slots.
    like_table = any(_is_like(each, part.variable) for each in others)
    return "optimizer-moves-always" if like_table else "assign"


def _reads(operation, part):
    return any(part.variable.op in _sources(each) for each in list(operation.inputs)[1:])


def _sources(tensor):
    """Returns the variables and placeholders that a value is computed from.

    What was written to a slot variable on the way is not looked into: the variable stands for it.
    """
    sources, seen, pending = set(), set(), [tensor]
    while pending:
        each = pending.pop()
        if each.op in seen:
            continue
        seen.add(each.op)
        target = _target(each)
        if target is not None:
            sources.add(target)
        elif each.op.type.startswith("Placeholder"):
            sources.add(each.op)
        else:
            pending.extend(each.op.inputs)
    return sources


def _is_like(operation, variable):
    """Whether an operation makes a variable of a table's shape."""
    if operation.type == "VarHandleOp":
        shape = tf.TensorShape(operation.get_attr("shape"))
    else:
        shape = operation.outputs[0].shape
    return shape.as_list() == variable.shape.as_list() if shape.ndims is not None else False


def _target(tensor):
    """Returns the operation of the variable that a reference or a handle is of, or None."""
    if tensor.dtype != tf.resource and tensor.dtype == tensor.dtype.base_dtype:
        return None
    seen = set()
    # Branches and loops pass it on, as do the operations that have written it.
    while len(tensor.op.inputs) and tensor.op not in seen:
        seen.add(tensor.op)
        tensor = tensor.op.inputs[0]
    return tensor.op


def _arguments(operation):
    """Returns a dict from the name of each argument of an operation to its tensor."""
    names = [each.name for each in operation.op_def.input_arg]
    return dict(zip(names, operation.inputs))


def _has_verb(kind, verbs):
    return any(verb in kind for verb in verbs)


# Bodies of control flow v2.


def _body_writes(operation, variable):
    """Tells whether a body that an operation runs writes the variable that it is given."""
    try:
        library = operation.graph.as_graph_def(from_version=operation.graph.version).library
    except ValueError:
        return True  # The graph is too large to be told.
    functions = {each.signature.name: each for each in library.function}
    given = [i for i, each in enumerate(operation.inputs) if _target(each) is variable.op]
    # Before the arguments comes the choice of the branch.
    choice = 1 if operation.type in ("If", "StatelessIf", "Case", "StatelessCase") else 0
    return any(
        _writes_argument(functions, name, place - choice)
        for name in _names_of_bodies(operation.node_def)
        for place in given
    )


def _writes_argument(functions, name, place):
    if name not in functions:
        return True
    function = functions[name]
    same = {function.signature.input_arg[place].name}
    # The nodes of a body are in no order, and a loop hands a handle on and on.
    for _ in function.node_def:
        same |= {
            f"{node.name}:output:0"
            for node in function.node_def
            if node.op == "Identity" and node.input[0] in same
        }
    for node in function.node_def:
        places = [i for i, each in enumerate(node.input) if each in same]
        if places and _has_verb(node.op, _WRITING):
            return True
        choice = 1 if node.op in ("If", "StatelessIf", "Case", "StatelessCase") else 0
        for body in _names_of_bodies(node):
            if any(_writes_argument(functions, body, each - choice) for each in places):
                return True
    return False


def _names_of_bodies(node):
    for attribute in node.attr.values():
        if attribute.HasField("func"):
            yield attribute.func.name
        for each in attribute.list.func:
            yield each.name
