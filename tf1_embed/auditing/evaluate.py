"""What a tensor holds in every run: decided by constants alone, or by each id alone.

A hand-made filter cannot be judged by its looks. It is run instead: the operations between the ids
and the filter are copied into a graph of their own, and asked about every frozen row.

    ids ──>= 1000──> and ──> where ──> gather          ids := 0, 1, 2, ...  ──> which are kept?
"""

import numpy as np
import tensorflow.compat.v1 as tf

# Operations that act on each element by itself, if their other inputs are single numbers.
_ELEMENTWISE = set(
    "Abs Add AddV2 BitwiseAnd Cast Equal FloorDiv FloorMod Greater GreaterEqual Identity Less "
    "LessEqual LogicalAnd LogicalNot LogicalOr Maximum Minimum Mul Neg NotEqual OnesLike RealDiv "
    "Select SelectV2 Sign StopGradient Sub Snapshot ZerosLike".split()
)
# Of these an input that depends on the ids must be in one place: the others are tables, or shapes.
_PLACE_OF_IDS = {
    "ExpandDims": (0,),
    "Fill": (0,),
    "Gather": (1,),
    "GatherV2": (1,),
    "LowerBound": (1,),
    "Reshape": (0, 1),
    "UpperBound": (1,),
}
_SHAPES = ("Shape", "ShapeN", "Size")
# Not stateful, as TensorFlow has it, and yet not the same in each run.
_VARYING = ("Placeholder", "If", "Case", "While", "Call", "Enter", "Merge", "Switch", "Iteration")
_TOO_MANY = 2000


def evaluate(tensor, at=(), ids=None):
    """Returns what a tensor holds in every run, whatever is fed.

    Args:
      tensor: `tf.Tensor`.
      at: tensors that are taken to hold `ids`; what depends on them must do so id by id.
      ids: array of ints, [num_ids].

    Returns:
      array, or None if variables, placeholders or random numbers have a part in it, or the place of
      an id in its batch. With `at` the array is [num_ids, ...], or has a single element.
    """
    if any(tensor.name == each.name for each in at):
        return np.asarray(ids)
    given = {each.name: (each.dtype.as_numpy_dtype, ids) for each in at}
    operations = _operations_between(tensor, given)
    if operations is None or not _act_id_by_id(tensor, operations, {each.name for each in at}):
        return None
    try:
        value = _run(tensor, operations, given)
    except (tf.errors.OpError, ValueError):
        return None  # Of ids, or of shapes, that never come together in the user's graph.
    if ids is None or value.size == 1:
        return value
    of_ids = tensor.op in _dependent_on({each.name for each in at}, operations)
    # Several constants go by the place in the batch.
    return value.reshape([len(ids), -1]) if of_ids and value.size % len(ids) == 0 else None


def _operations_between(tensor, given):
    """Returns the operations that make a tensor out of what is given, None if it takes more.

    Shapes that the graph knows are added to what is given.
    """
    operations, seen, pending = [], set(), [tensor]
    while pending:
        each = pending.pop()
        operation = each.op
        if each.name in given or operation in seen:
            continue
        if operation.type == "Shape" and operation.inputs[0].shape.is_fully_defined():
            shape = operation.inputs[0].shape.as_list()
            given[each.name] = (each.dtype.as_numpy_dtype, shape)
            continue
        if len(operations) == _TOO_MANY or not _is_function_of_inputs(operation):
            return None
        seen.add(operation)
        operations.append(operation)
        pending.extend(operation.inputs)
    return operations


def _is_function_of_inputs(operation):
    definition = operation.op_def
    return (
        definition is not None
        and not definition.is_stateful
        and not any(word in operation.type for word in _VARYING)
        # A ref variable's value is that of the moment, and its operation not always stateful.
        and all(each.dtype == each.dtype.base_dtype for each in operation.inputs)
    )


def _act_id_by_id(tensor, operations, names):
    """Tells whether each element of a tensor depends on one id, and not on its place."""
    dependent = _dependent_on(names, operations)
    shapes = _of_shapes(names, dependent)
    for operation in dependent - shapes:
        sources = list(operation.inputs)
        places = [
            place
            for place, source in enumerate(sources)
            if source.name in names or source.op in dependent
        ]
        from_ids = [sources[place] for place in places if sources[place].op not in shapes]
        if operation.type in _ELEMENTWISE:
            others = [source for place, source in enumerate(sources) if place not in places]
            if (
                len(from_ids) < len(places)
                or any(source.shape.num_elements() != 1 for source in others)
                # A row and a column would make a matrix, in which every id meets every other.
                or len({source.shape.ndims for source in from_ids}) > 1
            ):
                return False
        elif operation.type == "StridedSlice":
            if places != [0] or not _adds_axes_only(operation):
                return False
        elif not set(places) <= set(_PLACE_OF_IDS.get(operation.type, ())):
            return False
        elif operation.type in ("GatherV2", "ExpandDims"):
            axis = evaluate(sources[-1])
            if axis is None or (axis == 0) != (operation.type == "GatherV2"):
                return False
    return tensor.op not in shapes


def _dependent_on(names, operations):
    dependent, grew = set(), True
    while grew:
        more = {
            each
            for each in set(operations) - dependent
            if any(source.name in names or source.op in dependent for source in each.inputs)
        }
        dependent |= more
        grew = bool(more)
    return dependent


def _of_shapes(names, dependent):
    """Returns those operations that depend on the number of ids alone."""
    shapes, grew = set(), True
    while grew:
        more = {
            each
            for each in dependent - shapes
            if each.type in _SHAPES
            or each.type != "Fill"
            and not any(
                source.name in names or source.op in dependent - shapes for source in each.inputs
            )
        }
        shapes |= more
        grew = bool(more)
    return shapes


def _adds_axes_only(operation):
    """Whether a strided slice is such as `x[:, None]`: all rows of what it is given, in order."""
    whole, new = (
        operation.get_attr("begin_mask") & operation.get_attr("end_mask"),
        operation.get_attr("new_axis_mask"),
    )
    return bool(whole & 1 and new and not new & 1 and not operation.get_attr("shrink_axis_mask"))


def _run(tensor, operations, given):
    if tensor.op.type == "Const":
        return tf.make_ndarray(tensor.op.get_attr("value"))
    graph_def = tf.GraphDef()
    graph_def.versions.CopyFrom(tensor.graph.graph_def_versions)
    used = set()
    for operation in operations:
        node = graph_def.node.add()
        node.CopyFrom(operation.node_def)
        node.device = ""
        node.attr.pop("_class", None)  # colocation with what is not copied
        data = [name for name in node.input if not name.startswith("^")]
        del node.input[:]
        node.input.extend(data)
        used.update(each.name for each in operation.inputs)
    with tf.Graph().as_default() as graph:
        inputs = {
            name: tf.constant(np.asarray(value, dtype))
            for name, (dtype, value) in given.items()
            if name in used
        }
        [copy] = tf.import_graph_def(
            graph_def, input_map=inputs, return_elements=[tensor.name], name="copy"
        )
        with tf.Session(graph=graph, config=tf.ConfigProto(device_count={"GPU": 0})) as session:
            return session.run(copy)
