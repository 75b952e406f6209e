"""What runs in a graph, and which variables a reference or handle can stand for.

Handles and references are followed forward, from the operations that make variables, queues and
such, through all that hands them on. A value that can stand for several variables has several
origins.
"""

from __future__ import annotations

import collections
from typing import Any, Iterable

import tensorflow.compat.v1 as tf

from tf1_embed.graph import op_kinds
from tf1_embed.graph.layout import Layout
from tf1_embed.graph.nodes import Node, Value
from tf1_embed.graph.variables import variable_key

# Where a handle comes from that the graph does not tell: it may be of any variable.
ANYTHING = ("anything", "", "")


class Flow:
    """Operations of a graph and of the bodies they call, laid out.

    Attributes:
      nodes: list of `Node`.
      origins: dict from each `Value` that carries a reference or a handle to the frozenset of where
        it can come from: `variable_key` of variables, others for queues and such, `ANYTHING`.
    """

    def __init__(self, graph: tf.Graph, operations: Iterable[tf.Operation] | None = None):
        """Lays out operations, all of a graph or some; those must have all that they run."""
        operations = graph.get_operations() if operations is None else list(operations)
        layout = Layout(graph, operations)
        self._node_of = layout.node_of
        self.nodes: list[Node] = layout.nodes
        self.origins: dict[Value, frozenset[tuple]] = _find_origins(self.nodes)
        self._by_origin: dict[tuple, list[Node]] | None = None

    def node(self, element: Any) -> Node:
        """Returns the node of a `tf.Operation`, or of what has one."""
        return self._node_of[getattr(element, "op", element)]

    def value(self, tensor: tf.Tensor) -> Value:
        """Returns the value of a tensor of the graph."""
        return self._node_of[tensor.op].outputs[tensor.value_index]

    def run_by(self, elements: Iterable[Any]) -> set[Node]:
        """Returns the nodes that run with operations or tensors.

        With those that take from a queue, an iterator, an accumulator or a staging area run all
        that put into it, since some thread or step has to.
        """
        run: set[Node] = set()
        pending: list[Node] = []
        seen_origins: set[tuple] = set()
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

    def users_of(self, value: Value) -> set[Node]:
        """Returns the nodes that act on the same queue, accumulator or such as a handle is of."""
        by_origin = self._nodes_by_origin()
        return {node for origin in self.origins[value] for node in by_origin.get(origin, ())}

    def upstream(self, nodes: Iterable[Node]) -> set[Node]:
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

    def upstream_by_data(self, nodes: Iterable[Node]) -> set[Node]:
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
