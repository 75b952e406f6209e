"""A graph with its bodies unfolded: what functions, branches and loops run, where they run it.

Bodies are laid out where they are called, so that what walks the graph knows operations, and
nothing of functions. An argument, or a result, is a node "Merge" of all that it can be:

    x ──> StatefulPartitionedCall f          x ──> Merge ──> body of f ──> Merge ──> y
              └──> y                         (of an If: the results of both branches;
                                              of a While: what it starts with, and what comes back)
"""

from __future__ import annotations

import collections

import tensorflow.compat.v1 as tf

from tf1_embed.graph.bodies import Bodies
from tf1_embed.graph.nodes import Node, Value, link

# Beyond these it is not tried to lay out what calls itself, or was made to be laid out for ever.
_MAX_NODES_OF_BODIES = 200_000
_MAX_DEPTH = 50


class Layout:
    """Operations of a graph and of the bodies they call.

    Attributes:
      nodes: list of `Node`.
      node_of: dict from each `tf.Operation` of the graph itself to its `Node`.
    """

    def __init__(self, graph: tf.Graph, operations: list):
        self._bodies = Bodies(graph)
        self._num_left = _MAX_NODES_OF_BODIES
        self._functional: dict[str, list | None] = {}
        self._pending: collections.deque = collections.deque()
        self.nodes: list[Node] = []
        self.node_of: dict[tf.Operation, Node] = self._add(operations, None, {})
        while self._pending:
            self._lay_out(self._pending.popleft())

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
            for tensor in operation.inputs:
                link(node_of[tensor.op].outputs[tensor.value_index], node)
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
                link(self._unknown(value.tensor, node), value.node)

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
                link(source or self._unknown(tensor, node), merge)
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
                    link(value, result.node)
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
                link(source, each.node)

    def _unknown(self, tensor, caller):
        node = Node("Unknown", None, caller)
        node.outputs.append(Value(node, 0, tensor))
        self.nodes.append(node)
        return node.outputs[0]


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
                link(value, result.node)
        return results, results if attribute == "body" else ()
    if kind == "For":
        if not results or not results[0].node.inputs:
            for value, result in zip(inputs[3:], results):
                link(value, result.node)
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
