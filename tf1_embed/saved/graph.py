"""A saved graph whose tables grow: what follows from them, what is to be decided, what becomes."""

from __future__ import annotations

from typing import Any, Collection

import tensorflow.compat.v1 as tf

from tf1_embed.saved.nodes import (
    CALLS,
    PASSING,
    Nodes,
    data_inputs,
    is_splat,
    name_of,
    set_shape,
    set_value,
    spread,
    value_of,
)
from tf1_embed.saved.shapes import GraphRefused, contradiction, find_spread, infer
from tf1_embed.saved.sizes import (
    Holder,
    Sizes,
    find_holders,
    grow_gradients,
    grow_gradients_in_function,
    grow_lookups,
    loosen_calls,
    shapes_of_variables,
)
from tf1_embed.saved.variables import (
    GrownTensor,
    GrownVariable,
    find_variables,
    grow_collections,
    grow_savers,
    initializers_of,
    joined_partitions,
    saver_constants,
    strategies,
)

# What takes a variable's first value besides the assignment: `initialized_value()` of it.
_OF_FIRST_VALUES = (*PASSING, *CALLS, "Merge")


class SavedGraph:
    """A `MetaGraphDef` whose tables grow.

    What follows from the variables' shapes is grown at once: initializers, Savers, the number of
    ids by which lookups find partitions, and what gradients hold of shapes.

    Attributes:
      meta_graph: `MetaGraphDef`, which is changed.
      variables: dict from the name of its node to each `GrownVariable`.
      grown: list of `Holder`, what followed from the variables.
      holders: list of `Holder`, what else has a table's size: it is to be decided what grows.
    """

    meta_graph: Any
    variables: dict[str, GrownVariable]
    grown: list[Holder]
    holders: list[Holder]

    def __init__(self, meta_graph: Any, tensors: dict[str, GrownTensor]) -> None:
        """Takes the graph, which is changed, and the tensors of its checkpoint that grow.

        Raises:
          ValueError: if the graph is not understood.
        """
        self.meta_graph, self._tensors = meta_graph, tensors
        self._graph = meta_graph.graph_def
        nodes = self._nodes = Nodes(self._graph.node)
        self.variables = find_variables(meta_graph, nodes, tensors)
        self.grown, self.holders = [], []
        if not self.variables:
            return
        try:
            self._old = infer(self._graph)
        except GraphRefused as error:
            raise ValueError(
                f"TensorFlow {tf.VERSION} cannot read the graph: {error}. Operations of a library "
                f"of your own need it to be loaded first"
            ) from error
        self._initializers = initializers_of(meta_graph, nodes)
        above = {
            name: nodes.above(name_of(data_inputs(nodes.by_name[assign])[1]))
            for name, assign in self._initializers.items()
            if len(data_inputs(nodes.by_name[assign])) > 1
        }
        self._grow_initializers(above)
        grow_savers(nodes, tensors)
        self.grown += grow_lookups(nodes, self.variables, tensors)
        sizes, shapes = Sizes(tensors), shapes_of_variables(nodes, self.variables)
        bodies = {
            each.signature.name: Nodes(each.node_def) for each in self._graph.library.function
        }
        for each in [nodes, *bodies.values()]:
            loosen_calls(each, shapes, sizes)
        self._spread = find_spread(self._old, self._graph, nodes, self.variables)
        left = saver_constants(nodes).union(*above.values())
        self.grown += grow_gradients(nodes, self._spread, left)
        left.update(each.name for each in self.grown)
        self.holders += find_holders(nodes, sizes, left)
        if "mod" in strategies([nodes, *bodies.values()]):
            for node in joined_partitions(nodes, self.variables):
                what = f"{node.op} of the partitions of a table"
                reason = "its rows are in the order of the partitions (mod), another with more rows"
                self.holders.append(Holder(node.name, what, None, reason, None))
        for name, body in bodies.items():
            of_lookups = grow_lookups(body, self.variables, tensors, f"{name}/")
            of_function = of_lookups + grow_gradients_in_function(name, body, shapes)
            self.grown += [each for each in of_function if each.reason is None]
            self.holders += [each for each in of_function if each.reason is not None]
            left = {each.name[len(name) + 1 :] for each in of_function}
            self.holders += find_holders(body, sizes, left, f"{name}/")
        self._sizes, self._shapes = sizes, shapes

    def grow(self, names: Collection[str]) -> list[Holder]:
        """Grows the variables, and those of the holders that have one of the names.

        Returns:
          list of `Holder`, what has grown.

        Raises:
          ValueError: if the graph contradicts itself then.
        """
        if not self.variables:
            return []
        grown = [each for each in self.holders if each.name in names]
        for each in grown:
            if each.grow is not None:
                each.grow()
        self._pad_initial_values()
        for node in self._graph.node:
            if node.name in self.variables:
                set_shape(node.attr["shape"], self.variables[node.name].new)
        grow_collections(self.meta_graph, self.variables)
        try:
            new = infer(self._graph)
        except GraphRefused as error:
            sizes = dict(each.sizes for each in self._tensors.values())
            raise ValueError(
                f"the graph contradicts itself with more rows: "
                f"{contradiction(error, self._nodes, sizes)}. Name what has to grow as well in "
                f"`also` (--also)"
            ) from error
        self._tell_shapes(new)
        return self.grown + grown

    def _grow_initializers(self, above):
        """Has constants in the variables' initializers, and nowhere else, say the new shape."""
        for name, variable in self.variables.items():
            closure = set(above.get(name, ())) | {self._initializers.get(name)}
            for each in above.get(name, {}).values():
                value, users = value_of(each), self._nodes.users(each.name)
                # A variable may begin with the first value of another, once that has it.
                if value is None or any(
                    user.name not in closure and user.op not in _OF_FIRST_VALUES
                    for user, _ in users
                ):
                    continue
                if value.ndim == 1 and value.tolist() == list(variable.old):
                    set_value(each, variable.new, value)
                elif value.shape == variable.old and is_splat(value):
                    spread(each, variable.new)

    def _pad_initial_values(self):
        """Has zeros follow initial values that did not grow, such as arrays.

        They are there to be assigned; what restores a checkpoint replaces them.
        """
        for name, variable in self.variables.items():
            assign = self._nodes.by_name.get(self._initializers.get(name, ""))
            if assign is None or len(data_inputs(assign)) < 2:
                continue
            value = data_inputs(assign)[1]
            producer, _, place = value.partition(":")
            old = self._old.get(producer, [None])[int(place or 0)]
            loose = self._spread.loose.get(producer, [None])[int(place or 0)]
            axis = variable.axis
            if loose is not None and loose[axis] == variable.new[axis]:
                continue
            if old is not None and (loose is None or loose[axis] is None) and old[axis] is not None:
                # It comes from the variable, such as the first value of an average of it.
                continue
            self._pad(variable, value, assign)

    def _pad(self, variable, value, assign):
        padding = [[0, new - old] for old, new in zip(variable.old, variable.new)]
        stem, dtype = f"{variable.node}/Initializer/grown", self._dtype(variable.node)
        with tf.Graph().as_default() as graph:
            old = tf.placeholder(dtype, variable.old, name="old")
            tf.pad(old, tf.constant(padding, name="paddings"), name="grown")
            made = {each.name: each for each in graph.as_graph_def().node}
        for name in ("paddings", "grown"):
            node = self._graph.node.add()
            node.CopyFrom(made[name])
            node.name = f"{stem}/{name}" if name == "paddings" else stem
            node.device = assign.device
            if "_class" in assign.attr:
                node.attr["_class"].CopyFrom(assign.attr["_class"])
            if name == "grown":
                node.input[:] = [value, f"{stem}/paddings"]
        for user in [assign] + [
            user for user, _ in self._nodes.users(name_of(value)) if user.op in _OF_FIRST_VALUES
        ]:
            user.input[:] = [stem if each == value else each for each in user.input]

    def _dtype(self, name):
        return tf.as_dtype(self._nodes.by_name[name].attr["dtype"].type)

    def _tell_shapes(self, new):
        """Corrects what is written of inferred shapes, in nodes, functions and signatures."""
        for node in self._graph.node:
            if "_output_shapes" in node.attr and self._old.get(node.name) != new[node.name]:
                shapes = [tf.TensorShape(each).as_proto() for each in new[node.name]]
                del node.attr["_output_shapes"].list.shape[:]
                node.attr["_output_shapes"].list.shape.extend(shapes)
        for function in self._graph.library.function:
            arguments = [each.attr for each in function.arg_attr.values()]
            for attr in [each.attr for each in function.node_def] + arguments:
                shapes = attr["_output_shapes"].list.shape if "_output_shapes" in attr else ()
                dims = [tuple(dim.size for dim in shape.dim) for shape in shapes]
                if any(each in self._shapes or any(map(self._sizes.of_dim, each)) for each in dims):
                    del attr["_output_shapes"]
        for signature in self.meta_graph.signature_def.values():
            for each in [*signature.inputs.values(), *signature.outputs.values()]:
                name, _, place = each.name.partition(":")
                if name in new:
                    before, after = (shapes[name][int(place or 0)] for shapes in (self._old, new))
                    if before != after:
                        each.tensor_shape.CopyFrom(tf.TensorShape(after).as_proto())
