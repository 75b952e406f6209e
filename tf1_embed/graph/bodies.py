"""Bodies of functions, branches and loops, each as a graph of its own.

A graph keeps its functions as definitions. Imported as a graph, a body has operations and shapes as
the rest has, so that the same rules hold for both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

from tf1_embed import raw_ops

_RESOURCE = tf.resource.as_datatype_enum

# What an import of a hostile definition raises.
_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, tf.errors.OpError)


class Body(NamedTuple):
    """A body as a graph.

    Attributes:
      operations: list of `tf.Operation`, but for those of the arguments.
      arguments: list of `tf.Operation`, placeholders.
      results: list of `tf.Tensor`.
    """

    operations: list[tf.Operation]
    arguments: list[tf.Operation]
    results: list[tf.Tensor]


class Bodies:
    """The functions of a graph."""

    def __init__(self, graph: tf.Graph):
        self._graph = graph
        self._definitions: dict[str, Any] = {}
        self._bodies: dict[tuple, Body | None] = {}
        self._op_defs: dict[str, Any] = {}

    def definition(self, name: str) -> Any:
        """Returns the `FunctionDef` of a name, None if the graph has no such function."""
        if name not in self._definitions:
            self._definitions[name] = raw_ops.function_named(self._graph, name)
        return self._definitions[name]

    def hands_back(self, name: str, place: int) -> bool:
        """Tells whether the body of a loop returns what it is given at a place, unchanged."""
        definition = self.definition(name)
        if definition is None:
            return False
        arguments, results = definition.signature.input_arg, definition.signature.output_arg
        if not place < len(arguments) or not place < len(results):
            return False
        source = definition.ret[results[place].name]
        nodes = {each.name: each for each in definition.node_def if each.op == "Identity"}
        seen = set()
        while source.partition(":")[0] in nodes and source not in seen:
            seen.add(source)
            source = nodes[source.partition(":")[0]].input[0]
        return source == arguments[place].name

    def body(self, name: str, shapes: list) -> Body | None:
        """Returns the body of a function for arguments of some shapes; None if it has none.

        The shape of a handle is the `tf.Operation` of its variable, or None if it is not known.

        Nor has it one if it cannot be read: an operation that is not registered, arguments that do
        not fit.
        """
        key = name, tuple(each if isinstance(each, tf.Operation) else str(each) for each in shapes)
        if key not in self._bodies:
            try:
                self._bodies[key] = self._read(name, shapes)
            except _ERRORS:
                self._bodies[key] = None
        return self._bodies[key]

    def num_nodes(self, name: str) -> int:
        """Returns how many operations a body has."""
        definition = self.definition(name)
        return 0 if definition is None else len(definition.node_def)

    def _read(self, name, shapes):
        definition = self.definition(name)
        if definition is None:
            return None
        names = [each.name for each in definition.signature.input_arg]
        if len(names) != len(shapes):
            return None
        graph_def = tf.GraphDef()
        graph_def.versions.CopyFrom(self._graph.graph_def_versions)
        for argument, shape in zip(definition.signature.input_arg, shapes):
            node = graph_def.node.add(op="Placeholder", name=argument.name)
            if isinstance(shape, tf.Operation):
                # So that the shapes of what is read are known.
                node.op = "VarHandleOp"
                node.attr["dtype"].type = shape.get_attr("dtype").as_datatype_enum
                node.attr["shape"].shape.CopyFrom(shape.get_attr("shape"))
                continue
            node.attr["dtype"].type = argument.type
            # 1.15 takes a handle that is a scalar for one of a scalar variable.
            shape = tf.TensorShape(None) if argument.type == _RESOURCE else shape
            node.attr["shape"].shape.CopyFrom(shape.as_proto())
        flat = self._flat_names(definition)
        for each in definition.node_def:
            node = graph_def.node.add()
            node.CopyFrom(each)
            node.device = ""
            node.attr.pop("_class", None)  # colocation with what is outside
            node.attr.pop("_output_shapes", None)
            del node.input[:]
            node.input.extend(flat(source) for source in each.input)
            called = self.definition(each.op)
            if called is not None:
                self._call(node, called)
        with tf.Graph().as_default() as graph:
            results = [flat(definition.ret[each.name]) for each in definition.signature.output_arg]
            tensors = tf.import_graph_def(
                graph_def,
                return_elements=[each if ":" in each else f"{each}:0" for each in results],
                name="",
            )
            arguments = [graph.get_operation_by_name(each) for each in names]
            given = set(names)
            rest = [each for each in graph.get_operations() if each.name not in given]
            return Body(rest, arguments, tensors)

    def _call(self, node, called):
        """Makes a node of a function's own type one that calls it by name."""
        node.attr["f"].func.name = node.op
        node.op = "StatefulPartitionedCall"
        for key, arguments in (("Tin", "input_arg"), ("Tout", "output_arg")):
            node.attr[key].list.SetInParent()
            types = [each.type for each in getattr(called.signature, arguments)]
            node.attr[key].list.type.extend(types)

    def _flat_names(self, definition):
        """Returns what makes "node:output:1", as in functions, "node:3", as in graphs."""
        self._look_up_op_defs(definition)
        nodes = {each.name: each for each in definition.node_def}

        def flat(source):
            parts = source.split(":")
            if source.startswith("^") or len(parts) == 1:
                return source
            if len(parts) == 2:
                return parts[0]  # an argument, with the place in its list of one
            node, offset = nodes[parts[0]], 0
            called = self.definition(node.op)
            signature = self._op_defs[node.op] if called is None else called.signature
            for output in signature.output_arg:
                if output.name == parts[1]:
                    return f"{parts[0]}:{offset + int(parts[2])}"
                if output.number_attr:
                    offset += node.attr[output.number_attr].i
                elif output.type_list_attr:
                    offset += len(node.attr[output.type_list_attr].list.type)
                else:
                    offset += 1
            raise KeyError(source)

        return flat

    def _look_up_op_defs(self, definition):
        types = {each.op for each in definition.node_def if self.definition(each.op) is None}
        missing = types - set(self._op_defs)
        if missing:
            graph_def = tf.GraphDef()
            for each in sorted(missing):
                graph_def.node.add(op=each, name=each)
            # A meta graph holds the definitions of the operations that its graph uses.
            meta = tf.train.export_meta_graph(graph_def=graph_def, graph=tf.Graph())
            self._op_defs.update(
                (each.name, each) for each in meta.meta_info_def.stripped_op_list.op
            )
