"""What TensorFlow infers of the shapes in a saved graph: where the size of a table comes to."""

from __future__ import annotations

import collections
import re
from typing import Any, Iterable, Mapping, NamedTuple

import tensorflow.compat.v1 as tf

from tf1_embed.saved.nodes import (
    PASSING,
    VARIABLES,
    Nodes,
    data_inputs,
    name_of,
    plain_copy,
    set_shape,
    value_of,
)
from tf1_embed.saved.variables import GrownVariable


class GraphRefused(ValueError):
    """TensorFlow cannot import a graph."""


def infer(
    graph_def: Any, shapes: Mapping[str, Iterable[int]] | None = None
) -> dict[str, list[tuple[int | None, ...] | None]]:
    """Returns the static shapes of all outputs, by the name of the node.

    Args:
      graph_def: `GraphDef`; it is not changed.
      shapes: shapes of variables by the names of their nodes, with -1 for what is not known;
        default: as they are.

    Raises:
      GraphRefused: if TensorFlow finds that the graph contradicts itself.
    """
    graph_def = plain_copy(graph_def)
    for node in graph_def.node:
        if shapes and node.name in shapes:
            set_shape(node.attr["shape"], shapes[node.name])
    with tf.Graph().as_default() as graph:
        try:
            tf.import_graph_def(graph_def, name="")
        except Exception as error:  # noqa: BLE001 of TensorFlow, of several kinds
            raise GraphRefused(str(error).strip().split("\n")[0][:600]) from error
        return {
            operation.name: [_dims(each.shape) for each in operation.outputs]
            for operation in graph.get_operations()
        }


class Spread(NamedTuple):
    """Where the size of a table has come to, by the shapes that TensorFlow infers.

    Attributes:
      old: dict from the name of each node to the shapes of its outputs.
      loose: the same where the size of the tables is not known.
      grown: dict from the name of its node to each `GrownVariable`.
      sources: dict from the name of each node to the names in `grown` of those whose size it has.
    """

    old: dict[str, list[tuple[int | None, ...] | None]]
    loose: dict[str, list[tuple[int | None, ...] | None]]
    grown: dict[str, GrownVariable]
    sources: dict[str, set[str]]

    def shapes(self, tensor: str) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Returns the old and the new shape of a tensor that has a table's size.

        None if it has none, or if one of its sizes may become different ones. A handle has the
        shape of its variable.
        """
        name, _, place = tensor.partition(":")
        if name in self.grown:
            return self.grown[name].old, self.grown[name].new
        index = int(place or 0)
        if index >= len(self.old.get(name, ())):
            return None
        old, loose = self.old[name][index], self.loose[name][index]
        if old is None or loose is None or None in old:
            return None
        new: list[int] = []
        for dim, now in zip(old, loose):
            if now is not None:
                new.append(now)
                continue
            sizes: set[int] = set()
            for each in [self.grown[source] for source in self.sources.get(name, ())]:
                own = each.old[each.axis], each.new[each.axis]
                sizes.update(after for before, after in (own, each.tensor.sizes) if before == dim)
            if len(sizes) != 1:
                return None
            new.append(sizes.pop())
        shape = tuple(dim for dim in old if dim is not None)
        return (shape, tuple(new)) if tuple(new) != shape else None


def find_spread(
    old: dict[str, list[tuple[int | None, ...] | None]],
    graph_def: Any,
    nodes: Nodes,
    variables: dict[str, GrownVariable],
) -> Spread:
    """Finds where the sizes of variables have come to.

    Args:
      old: dict from the name of each node to the shapes of its outputs.
      graph_def: `GraphDef`, which may have its variables' initializers grown.
      nodes: `Nodes` of it.
      variables: dict from the name of its node to each `GrownVariable`.

    Raises:
      GraphRefused: if TensorFlow cannot import the graph.
    """
    unknown = {
        each.node: [-1 if axis == each.axis else dim for axis, dim in enumerate(each.old)]
        for each in variables.values()
    }
    loose = infer(graph_def, unknown)
    sources: dict = collections.defaultdict(set)
    for variable in variables:
        pending = [variable]
        while pending:
            name = pending.pop()
            if variable in sources[name]:
                continue
            sources[name].add(variable)
            pending.extend(
                user.name
                for user, _ in nodes.users(name)
                if user.op in PASSING or _is_looser(old.get(user.name), loose.get(user.name))
            )
    return Spread(old, loose, dict(variables), dict(sources))


def contradiction(error: GraphRefused, nodes: Nodes, sizes: dict[int, int]) -> str:
    """Returns what to say of a graph that contradicts itself once its tables have grown."""
    text = str(error).rstrip(".")
    match = re.search(r"\{\{node ([^}]+)\}\}", text) or re.search(r"for '([^']+)'", text)
    node = nodes.by_name.get(match.group(1)) if match else None
    if node is None:
        return text
    above = nodes.above(node.name)
    sources = {name_of(each) for one in above.values() for each in data_inputs(one)}
    fixed = [name for name in sorted(sources) if _has_size(nodes.by_name.get(name), sizes)]
    return text + (f". The old size comes from {', '.join(fixed[:5])}" if fixed else "")


def _has_size(node, sizes):
    """Tells whether a variable or a constant has one of the sizes in its shape."""
    if node is None:
        return False
    value = value_of(node)
    if value is not None:
        return any(dim in sizes for dim in value.shape)
    is_variable = node.op in VARIABLES
    return is_variable and any(dim.size in sizes for dim in node.attr["shape"].shape.dim)


def _is_looser(old, loose):
    """Tells whether less is known of the shapes of a node's outputs."""
    for before, after in zip(old or (), loose or ()):
        if before is not None and (
            after is None or any(dim is not None and now is None for dim, now in zip(before, after))
        ):
            return True
    return False


def _dims(shape):
    if shape.dims is None:
        return None
    return tuple(tf.dimension_value(each) for each in shape.dims)
