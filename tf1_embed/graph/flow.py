"""A graph with its bodies unfolded, and which variables a reference or handle can stand for.

Bodies of functions, branches and loops are laid out where they are called, so that what walks the
graph knows operations, and nothing of functions. An argument, or a result, is a node "Merge" of all
that it can be:

    x ──> StatefulPartitionedCall f          x ──> Merge ──> body of f ──> Merge ──> y
              └──> y                         (of an If: the results of both branches;
                                              of a While: what it starts with, and what comes back)
"""

from __future__ import annotations

import collections

import tensorflow.compat.v1 as tf

from tf1_embed.graph import op_kinds
from tf1_embed.graph.bodies import Bodies
from tf1_embed.graph.variables import variable_key

# Beyond these it is not tried to lay out what calls itself, or was made to be laid out for ever.
_MAX_NODES_OF_BODIES = 200_000
_MAX_DEPTH = 50

# Where a handle comes from that the graph does not tell: it may be of any variable.
ANYTHING = ("anything", "", "")

_RESOURCE, _VARIANT = tf.resource.as_datatype_enum, tf.variant.as_datatype_enum
_FIRST_REF = 101  # DataType.DT_FLOAT_REF, the first of the references


class Value:
    """What an output of a node holds.

    Attributes:
      node: `Node`.
      index: int, which output of it.
      tensor: `tf.Tensor` that has its dtype and shape.
      carries: "ref", "resource", "variant", or None for plain values.
      consumers: list of (node, place among its inputs), of values that carry something.
    """

    __slots__ = ("carries", "consumers", "index", "node", "tensor")

    def __init__(self, node, index, tensor):
        self.node, self.index, self.tensor = node, index, tensor
        number = tensor.dtype.as_datatype_enum
        self.carries = (
            "ref"
            if number >= _FIRST_REF
            else {_RESOURCE: "resource", _VARIANT: "variant"}.get(number)
        )
        self.consumers = []

    @property
    def dtype(self):
        """Its dtype, of what is read where it is a reference."""
        return self.tensor.dtype.base_dtype

    @property
    def shape(self):
        """Its `tf.TensorShape`."""
        return self.tensor.shape

    @property
    def rank(self):
        """Its number of axes, None if unknown."""
        rank = self.tensor.shape.ndims
        return _rank_of(self) if rank is None else rank

    def dims(self):
        """Returns the list of its dimensions, None where one is unknown, or None."""
        shape = self.tensor.shape
        return None if shape.ndims is None else shape.as_list()

    def __repr__(self):
        return f"<{self.node.type} {self.tensor.name}>"


class Node:
    """An operation where it runs: in the graph, or in a body laid out.

    Attributes:
      op: `tf.Operation`; None for "Merge" and "Unknown" nodes that stand for arguments and results.
      type: string.
      inputs: list of `Value`.
      controls: list of `Node` that run before it.
      outputs: list of `Value`.
      caller: `Node` in whose body it is, or None.
      calls: bool, whether it calls bodies.
      body: list of the nodes that run with it, in bodies that it calls.
      is_unreadable: bool, whether it has a body that could not be laid out.
    """

    __slots__ = (
        "body",
        "caller",
        "calls",
        "controls",
        "inputs",
        "is_unreadable",
        "op",
        "outputs",
        "type",
    )

    def __init__(self, kind, op, caller):
        self.type, self.op, self.caller = kind, op, caller
        self.inputs, self.controls, self.outputs, self.body = [], [], [], []
        self.calls = self.is_unreadable = False

    def attr(self, name):
        """Returns an attribute of the operation, None if it has none of this name."""
        try:
            return self.op.get_attr(name)
        except (AttributeError, ValueError):
            return None

    def arguments(self):
        """Returns a dict from the name of each argument of the operation to its `Value`."""
        names = [each.name for each in self.op.op_def.input_arg]
        return dict(zip(names, self.inputs))

    @property
    def outermost(self):
        """The node of the graph itself that runs this one."""
        node = self
        while node.caller is not None:
            node = node.caller
        return node

    def __repr__(self):
        return f"<{self.type} {self.op.name if self.op is not None else ''}>"


class Flow:
    """Operations of a graph and of the bodies they call, laid out.

    Attributes:
      nodes: list of `Node`.
      origins: dict from each `Value` that carries a reference or a handle to the frozenset of where
        it can come from: `variable_key` of variables, others for queues and such, `ANYTHING`.
    """

    def __init__(self, graph: tf.Graph, operations=None):
        """Lays out operations, all of a graph or some; those must have all that they run."""
        self._bodies = Bodies(graph)
        self.nodes = []
        self._node_of = {}
        self._num_left = _MAX_NODES_OF_BODIES
        self._functional = {}
        operations = graph.get_operations() if operations is None else list(operations)
        self._pending = collections.deque()
        self._node_of = self._add(operations, None, {})
        while self._pending:
            self._lay_out(self._pending.popleft())
        self.origins = _find_origins(self.nodes)
        self._by_origin = None

    def node(self, element) -> Node:
        """Returns the node of a `tf.Operation`, or of what has one."""
        return self._node_of[getattr(element, "op", element)]

    def value(self, tensor: tf.Tensor) -> Value:
        """Returns the value of a tensor of the graph."""
        return self._node_of[tensor.op].outputs[tensor.value_index]

    def run_by(self, elements) -> set:
        """Returns the nodes that run with operations or tensors.

        With those that take from a queue, an iterator, an accumulator or a staging area run all
        that put into it, since some thread or step has to.
        """
        run, pending, seen_origins = set(), [], set()
        by_origin = self._nodes_by_origin()

        def add(nodes):
            for each in nodes:
                if each not in run:
                    run.add(each)
                    pending.append(each)

        add(self.node(each) for each in elements)
        while pending:
            node = pending.pop()
            add(value.node for value in node.inputs)
            add(node.controls)
            add(node.body)
            for origin in self._shared_by(node) - seen_origins:
                seen_origins.add(origin)
                add(by_origin.get(origin, ()))
        return run

    def users_of(self, value) -> set:
        """Returns the nodes that act on the same queue, accumulator or such as a handle is of."""
        by_origin = self._nodes_by_origin()
        return {node for origin in self.origins[value] for node in by_origin.get(origin, ())}

    def upstream(self, nodes) -> set:
        """Returns nodes and all that comes before them, by data or control, in bodies too."""
        seen, pending = set(nodes), list(nodes)
        while pending:
            node = pending.pop()
            before = [value.node for value in node.inputs] + node.controls + node.body
            for each in before:
                if each not in seen:
                    seen.add(each)
                    pending.append(each)
        return seen

    def upstream_by_data(self, nodes) -> set:
        """Returns nodes and all that their inputs are computed from."""
        seen, pending = set(nodes), list(nodes)
        while pending:
            for value in pending.pop().inputs:
                if value.node not in seen:
                    seen.add(value.node)
                    pending.append(value.node)
        return seen

    def _nodes_by_origin(self):
        if self._by_origin is None:
            self._by_origin = collections.defaultdict(list)
            for node in self.nodes:
                for origin in self._shared_by(node):
                    self._by_origin[origin].append(node)
                if node.type in ("MakeIterator", "OneShotIterator"):
                    self._by_origin[ANYTHING].append(node)
        return self._by_origin

    def _shared_by(self, node):
        """Returns the origins of what is no variable, which a node acts on."""
        if node.type in op_kinds.STAGES:
            name = node.attr("shared_name") or node.attr("container") or b""
            return {("stage", name or node.op.name)}
        found = set()
        for value in node.inputs:
            if value.carries in ("ref", "resource"):
                found |= {each for each in self.origins[value] if each[0] == "other"}
                if ANYTHING in self.origins[value] and node.type.startswith("Iterator"):
                    found.add(ANYTHING)
        return found

    # How it is laid out.

    def _add(self, operations, caller, given):
        """Adds nodes of operations; returns a dict from each to its node, `given` ones included."""
        node_of = dict(given)
        new = []
        for operation in operations:
            node = node_of[operation] = Node(operation.type, operation, caller)
            new.append((operation, node))
            calls = self._names_of_bodies(operation)
            node.calls = bool(calls)
            for i, tensor in enumerate(operation.outputs):
                if calls:
                    merge = Node("Merge", None, caller)
                    merge.controls.append(node)
                    merge.outputs.append(Value(merge, 0, tensor))
                    node.outputs.append(merge.outputs[0])
                    self.nodes.append(merge)
                else:
                    node.outputs.append(Value(node, i, tensor))
            if calls:
                self._pending.append((node, calls))
            self.nodes.append(node)
        for operation, node in new:
            for place, tensor in enumerate(operation.inputs):
                _link(node_of[tensor.op].outputs[tensor.value_index], node, place)
            node.controls.extend(node_of[each] for each in operation.control_inputs)
        return node_of

    def _names_of_bodies(self, operation):
        """Returns a dict from attributes of an operation to the lists of functions they name."""
        kind = operation.type
        if kind not in self._functional:
            attributes = [
                each.name for each in operation.op_def.attr if each.type in ("func", "list(func)")
            ]
            is_function = not attributes and self._bodies.definition(kind) is not None
            self._functional[kind] = None if is_function else attributes
        attributes = self._functional[kind]
        if attributes is None:
            return {"f": [kind]}
        names = {}
        for attribute in attributes:
            value = operation.node_def.attr[attribute]
            functions = list(value.list.func) or ([value.func] if value.HasField("func") else [])
            names[attribute] = [each.name for each in functions if each.name]
        return {key: value for key, value in names.items() if value}

    def _lay_out(self, pending):
        node, names = pending
        depth, above = 0, node
        while above is not None:
            depth, above = depth + 1, above.caller
        for attribute, functions in names.items():
            for name in functions:
                arguments, results = _signature(node, attribute)
                self._num_left -= self._bodies.num_nodes(name) + 1
                if depth > _MAX_DEPTH or self._num_left < 0:
                    node.is_unreadable = True
                elif not self._lay_out_body(node, name, arguments, results):
                    node.is_unreadable = True
        if node.is_unreadable:
            for value in node.outputs:
                _link(self._unknown(value.tensor, node), value.node, len(value.node.inputs))

    def _lay_out_body(self, node, name, arguments, results):
        definition = self._bodies.definition(name)
        if definition is None:
            return False
        wanted = definition.signature.input_arg
        if arguments is None:
            arguments = _fit(node, len(wanted))
        if len(arguments) != len(wanted):
            return False
        shapes = [self._shape_of(node, place, each) for place, each in enumerate(arguments)]
        body = self._bodies.body(name, shapes)
        if body is None or results and len(results) != len(body.results):
            return False
        given = {}
        for place, value in zip(body.arguments, arguments):
            tensor = place.outputs[0]
            merge = Node("Merge", None, node)
            merge.outputs.append(Value(merge, 0, tensor))
            self.nodes.append(merge)
            sources = [value]
            if value is None and tensor.dtype in (tf.resource, tf.variant):
                sources = [each for each in node.inputs if each.carries] or [None]
            for source in sources:
                _link(source or self._unknown(tensor, node), merge, len(merge.inputs))
            given[place] = merge
        start = len(self.nodes)
        node_of = self._add(body.operations, node, given)
        node.body.extend(each for each in self.nodes[start:] if each.op is not None)
        values = [node_of[each.op].outputs[each.value_index] for each in body.results]
        if results is None:
            self._link_any(values, node)
        else:
            in_loop = node.type in ("While", "StatelessWhile")
            for place, (value, result) in enumerate(zip(values, results)):
                # What a loop hands back as it is, it has had from the start.
                if not (in_loop and self._bodies.hands_back(name, place)):
                    _link(value, result.node, len(result.node.inputs))
        return True

    def _shape_of(self, node, place, value):
        """Returns the shape of an argument of a body, of a handle the operation of its variable."""
        if value is None:
            return tf.TensorShape(None)
        if value.carries != "resource":
            return value.shape
        if node.type == "For":
            return tf.TensorShape(None)
        if node.type in ("While", "StatelessWhile"):
            # Handles can be exchanged from one turn to the next.
            body = node.op.node_def.attr["body"].func.name
            if not self._bodies.hands_back(body, place):
                return tf.TensorShape(None)
        return _variable_of(value) or tf.TensorShape(None)

    def _link_any(self, values, node):
        """Links the results of a node that makes them out of those of a body in ways unknown."""
        for each in node.outputs:
            if each.carries == "variant":
                sources = [value for value in node.inputs if value.carries == "variant"]
            else:
                sources = [self._unknown(each.tensor, node)]
            sources += [value for value in values if value.carries and each.carries]
            for source in sources:
                _link(source, each.node, len(each.node.inputs))

    def _unknown(self, tensor, caller):
        node = Node("Unknown", None, caller)
        node.outputs.append(Value(node, 0, tensor))
        self.nodes.append(node)
        return node.outputs[0]


# Have as many axes as that of their inputs that has most.
_ELEMENTWISE = frozenset(
    "Add AddV2 Cast Equal FloorDiv FloorMod Greater GreaterEqual Identity Less LessEqual "
    "LogicalAnd LogicalNot LogicalOr Maximum Minimum Mul NotEqual Sub".split()
)
# Outputs that are vectors, which TensorFlow does not tell.
_VECTORS = frozenset([("SparseAccumulatorTakeGradient", 0)])


def _rank_of(value):
    """Returns the number of axes that TensorFlow does not tell, None if it is not known."""
    ranks, seen, pending = [0], set(), [value]
    while pending:
        each = pending.pop()
        rank = each.tensor.shape.ndims
        if (each.node.type, each.index) in _VECTORS:
            rank = 1
        if rank is not None:
            ranks.append(rank)
        elif each.node.type not in _ELEMENTWISE or len(seen) > 100:
            return None
        elif each not in seen:
            seen.add(each)
            pending.extend(each.node.inputs)
    return max(ranks)


def _link(value, node, place):
    node.inputs.append(value)
    if value.carries:
        value.consumers.append((node, place))


def _variable_of(value):
    """Returns the operation of the variable that a handle is of, None if it may be of several."""
    seen = set()
    while value not in seen:
        seen.add(value)
        node = value.node
        if node.type == "VarHandleOp":
            return node.op
        if node.type == "Identity" or node.type == "Merge" and len(node.inputs) == 1:
            value = node.inputs[0]
    return None


def _signature(node, attribute):
    """Returns the arguments of a body, and what its results become; None where it is not known.

    An argument of which nothing is known is None; no results are those of a condition.
    """
    inputs, results, kind = node.inputs, node.outputs, node.type
    if kind in ("If", "StatelessIf", "Case", "StatelessCase"):
        return inputs[1:], results
    if kind in ("While", "StatelessWhile"):
        if not results or not results[0].node.inputs:
            for value, result in zip(inputs, results):
                _link(value, result.node, 0)
        return results, results if attribute == "body" else ()
    if kind == "For":
        if not results or not results[0].node.inputs:
            for value, result in zip(inputs[3:], results):
                _link(value, result.node, 0)
        return [None] + results, results
    if kind in ("PartitionedCall", "StatefulPartitionedCall"):
        return inputs, results
    if kind == "RemoteCall":
        return inputs[1:], results
    if kind == "BatchFunction":
        # Batches of several calls are one.
        num_batched = len(node.attr("Tin") or ())
        return [None] * num_batched + inputs[num_batched:], None
    if attribute == "f" and not any(each.name == "f" for each in node.op.op_def.attr):
        return inputs, results  # of the function's own type
    return None, None


def _fit(node, count):
    """Returns the arguments of a body that is called with others than the node's inputs.

    What a data set's function captured comes last, and is called `other_arguments`.
    """
    captured, place = [], 0
    functions = [each for each in node.op.op_def.attr if each.type in ("func", "list(func)")]
    for argument in node.op.op_def.input_arg:
        length = 1
        if argument.number_attr:
            length = node.attr(argument.number_attr)
        elif argument.type_list_attr:
            length = len(node.attr(argument.type_list_attr))
        if argument.name == "other_arguments" and len(functions) == 1:
            captured = node.inputs[place : place + length]
        place += length
    return [None] * (count - len(captured)) + captured


# Where references and handles come from.


def _find_origins(nodes):
    """Returns a dict from each value that carries a reference or handle to its origins."""
    origins = {
        value: frozenset()
        for node in nodes
        for value in node.outputs
        if value.node is node
        if value.carries
    }
    pending = collections.deque()

    def grow(value, more):
        if not more <= origins[value]:
            origins[value] |= more
            pending.extend(value.consumers)

    for node in nodes:
        for value in node.outputs:
            if value.node is node and value.carries:
                grow(value, _own_origin(node, value))
    while pending:
        node, place = pending.popleft()
        given = node.inputs[place]
        for value in node.outputs:
            if value.node is node and value.carries and _hands_on(node, place, value):
                grow(value, origins[given])
    return origins


def _own_origin(node, value):
    """Returns the origins that a node itself adds to what it gives out."""
    if node.type in op_kinds.VARIABLES:
        if node.type == "_VarHandlesOp":
            names, containers = node.attr("shared_names"), node.attr("containers")
            pair = (tf.compat.as_str(each[value.index]) for each in (containers, names))
            return frozenset([("variable", *pair)])
        return frozenset([variable_key(node.op)])
    if node.type in ("Merge", "Unknown"):
        return frozenset([ANYTHING] if node.type == "Unknown" else [])
    if value.carries == "variant" and not node.type.startswith("Placeholder"):
        return frozenset()
    is_source = not node.inputs and not node.type.startswith("Placeholder")
    if is_source or node.type in op_kinds.MAKES_OTHERS:
        if node.type.startswith("IteratorFromStringHandle"):
            return frozenset([ANYTHING])
        shared_name = node.attr("shared_name")
        name = tf.compat.as_str(shared_name) if shared_name else ""
        # Of a body laid out twice both are one.
        return frozenset([("other", name or node.op.name, name or id(node.op))])
    if node.type.startswith("Placeholder"):
        return frozenset([ANYTHING])
    if node.type in op_kinds.HANDS_ON or node.type in op_kinds.WRITES:
        return frozenset()
    return frozenset([ANYTHING])


def _hands_on(node, place, value):
    """Whether a node gives out what it is given at a place."""
    given = node.inputs[place]
    if node.type == "IdentityN":
        return place == value.index
    if given.carries == "ref" and value.carries != "ref":
        return False  # It reads.
    if node.type in op_kinds.WRITES:
        return place == 0
    return node.type not in op_kinds.MAKES_OTHERS
