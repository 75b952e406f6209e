"""Which nodes of a saved graph are the variables that grow, and what says how they are saved."""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple, Sequence

from tf1_embed.checkpoint.files.catalog import Catalog
from tf1_embed.checkpoint.rewrite import Written
from tf1_embed.checkpoint.slots import variable_name
from tf1_embed.partitions import Partitions
from tf1_embed.saved.files import message_class
from tf1_embed.saved.nodes import VARIABLES, Nodes, data_inputs, set_value, value_of

# Of Savers of before TensorFlow 1.0.
_OLD_SAVERS = ("Save", "SaveSlices", "Restore", "RestoreSlice")
GATHERS = ("Gather", "GatherV2", "ResourceGather")


class GrownTensor(NamedTuple):
    """A tensor of the checkpoint that gets another shape.

    Attributes:
      name: string, its name there.
      axis: int, the one along which it grows.
      old, new: tuples of ints, its shapes.
      pieces: dict from (start, length) of each partition to that of the same partition afterwards.
    """

    name: str
    axis: int
    old: tuple[int, ...]
    new: tuple[int, ...]
    pieces: dict[tuple[int, int], tuple[int, int]]

    @property
    def sizes(self) -> tuple[int, int]:
        """How many ids there were, and are."""
        return self.old[self.axis], self.new[self.axis]

    @property
    def num_pieces(self) -> int:
        """How many partitions there are."""
        return sum(length != self.old[self.axis] for _, length in self.pieces) or 1


class GrownVariable(NamedTuple):
    """A variable of the graph, or one partition of it, that gets another shape.

    Attributes:
      node: string, the name of its node.
      tensor: `GrownTensor`, what it is saved in.
      extents: tuple of (start, length) for each axis, where it is there afterwards.
      old, new: tuples of ints, its own shapes.
    """

    node: str
    tensor: GrownTensor
    extents: tuple[tuple[int, int], ...]
    old: tuple[int, ...]
    new: tuple[int, ...]

    @property
    def axis(self) -> int:
        """The one along which it grows."""
        return self.tensor.axis


def grown_tensors(catalog: Catalog, written: Iterable[Written]) -> dict[str, GrownTensor]:
    """Returns the tensors that get another shape, by name.

    Args:
      catalog: `Catalog` of the checkpoint.
      written: list of `Written`, what becomes of its tensors.
    """
    found = {}
    for each in written:
        old, new = each.old_shape, each.new_shape
        if old is None or new is None or old == new:
            continue
        axis = next(axis for axis, dims in enumerate(zip(old, new)) if dims[0] != dims[1])
        sizes = catalog.partitions(each.name)
        pieces = {}
        if axis == 0 and len(sizes) > 1 and not catalog.is_partial(each.name):
            grown = Partitions.even(new[0], len(sizes), None).slices
            for (start, stop), (new_start, new_stop) in zip(
                Partitions(tuple(sizes), None).slices, grown
            ):
                pieces[start, stop - start] = new_start, new_stop - new_start
        found[each.name] = GrownTensor(each.name, axis, old, new, pieces)
    whole = [each for each in found.values() if not each.pieces]
    for tensor in whole:
        # Slots of partitions, each saved under a name of its own, are cut as their variable is.
        kin = [each for each in found.values() if each.num_pieces > 1]
        pieces = next((dict(each.pieces) for each in kin if each.sizes == tensor.sizes), {})
        pieces[0, tensor.sizes[0]] = 0, tensor.sizes[1]
        found[tensor.name] = tensor._replace(pieces=pieces)
    return found


def find_variables(
    meta_graph: Any, nodes: Nodes, tensors: dict[str, GrownTensor]
) -> dict[str, GrownVariable]:
    """Finds the variables that are saved in tensors: by the graph's Savers, or else by name.

    Returns:
      dict from the name of each one's node to its `GrownVariable`.

    Raises:
      ValueError: if the graph has a Saver that is not understood.
    """
    found: dict[str, GrownVariable] = {}
    for node, names, specs in _savers(nodes):
        if node.op != "SaveV2":
            continue
        for place, (name, spec) in enumerate(zip(names, specs)):
            variable = nodes.origin(data_inputs(node)[3 + place])
            if name in tensors and variable is not None and variable.op in VARIABLES:
                found[variable.name] = _variable(variable.name, tensors[name], spec)
    known = {each.tensor.name for each in found.values()}
    # A graph may have no Saver, as those of TensorFlow Hub.
    for message in _variable_defs(meta_graph):
        info = message.save_slice_info_def
        node = message.variable_name.partition(":")[0]
        if info.full_name in tensors and info.full_name not in known and node in nodes.by_name:
            extents = zip(info.var_offset, info.var_shape)
            spec = ":".join(f"{start},{length}" for start, length in extents)
            found[node] = _variable(node, tensors[info.full_name], spec)
    known.update(each.tensor.name for each in found.values())
    for name, tensor in tensors.items():
        node = nodes.by_name.get(variable_name(name))
        if name not in known and node is not None and node.op in VARIABLES:
            found[node.name] = _variable(node.name, tensor, "")
    for node in nodes:
        if node.op in _OLD_SAVERS:
            raise ValueError(
                f"the graph has {node.name!r} ({node.op}), of a Saver of before TensorFlow 1.0, "
                f"which is not understood. Grow the checkpoint alone, and build the graph by its "
                f"code"
            )
    return found


def grow_savers(nodes: Nodes, tensors: dict[str, GrownTensor]) -> None:
    """Has the graph's Savers write and read partitions of the new sizes."""
    done: set[str] = set()
    for node, names, specs in _savers(nodes):
        constant = nodes.origin(data_inputs(node)[2])
        old = value_of(constant)
        if constant is not None and old is not None and constant.name not in done:
            done.add(constant.name)
            new = [
                _grown_spec(spec, tensors[name]) if name in tensors and spec else spec
                for name, spec in zip(names, specs)
            ]
            if new != specs:
                set_value(constant, [each.encode() for each in new], old)


def saver_constants(nodes: Nodes) -> set[str]:
    """Returns the names of the nodes that tell Savers what to write and to read."""
    found: set[str] = set()
    for node, _, _ in _savers(nodes):
        for each in data_inputs(node)[1:3]:
            found.update(nodes.above(each.partition(":")[0]))
    return found


def grow_collections(meta_graph: Any, variables: dict[str, GrownVariable]) -> None:
    """Has the partitions in the graph's collections say their new sizes and places."""
    for message, save in _variable_defs_to_change(meta_graph):
        variable = variables.get(message.variable_name.partition(":")[0])
        if variable is not None and message.HasField("save_slice_info_def"):
            info, axis = message.save_slice_info_def, variable.axis
            info.full_shape[axis] = variable.tensor.new[axis]
            info.var_offset[axis] = variable.extents[axis][0]
            info.var_shape[axis] = variable.new[axis]
            save()


def initializers_of(meta_graph: Any, nodes: Nodes) -> dict[str, str]:
    """Returns the name of the node that assigns its first value to each variable of a graph."""
    found = {
        node.name: f"{node.name}/Assign"
        for node in nodes
        if node.op in VARIABLES and f"{node.name}/Assign" in nodes.by_name
    }
    for message in _variable_defs(meta_graph):
        if message.initializer_name in nodes.by_name:
            found[message.variable_name.partition(":")[0]] = message.initializer_name
    return found


def _variable_defs(meta_graph):
    return [message for message, _ in _variable_defs_to_change(meta_graph)]


def _variable_defs_to_change(meta_graph):
    """Yields the variables in a graph's collections, each with a function that saves changes."""
    variable_def = message_class("tensorflow.VariableDef")
    for collection in meta_graph.collection_def.values():
        values = collection.bytes_list.value
        for place, content in enumerate(values):
            message = variable_def()
            try:
                message.ParseFromString(content)
            except Exception:  # noqa: BLE001, S112 of protobuf: it is something else
                continue
            if message.variable_name and message.initializer_name:

                def save(values=values, place=place, message=message):
                    values[place] = message.SerializeToString()

                yield message, save


def strategies(graphs: Iterable[Nodes]) -> dict[str, set[str]]:
    """Returns how lookups send ids to partitions of variables.

    Args:
      graphs: list of `Nodes`, of graphs and of functions in them.

    Returns:
      dict from "mod" and "div", if there are such lookups, to the names of the nodes of partitions
      that they look up, and of a function's arguments.
    """
    found: dict[str, set[str]] = {}
    for nodes, node in ((graph, node) for graph in graphs for node in graph):
        tables = _tables_behind(nodes, node) if node.op == "DynamicPartition" else ()
        if len(tables) > 1:
            assignment = nodes.origin(data_inputs(node)[1])
            while assignment is not None and assignment.op == "Cast":
                assignment = nodes.origin(data_inputs(assignment)[0])
            kinds = {"FloorMod": "mod", "Maximum": "div"}
            if assignment is not None and assignment.op in kinds:
                found.setdefault(kinds[assignment.op], set()).update(tables)
    return found


def joined_partitions(nodes: Nodes, variables: dict[str, GrownVariable]) -> list[Any]:
    """Returns the nodes that put partitions of a variable one after another."""
    found = []
    for node in nodes:
        if node.op in ("Concat", "ConcatV2", "Pack", "ParallelConcat"):
            origins = [nodes.origin(each) for each in data_inputs(node)]
            parts = {each.name for each in origins if each is not None and each.name in variables}
            tensors = [variables[each].tensor.name for each in parts]
            if any(tensors.count(each) > 1 for each in tensors):
                found.append(node)
    return found


def _tables_behind(nodes, node):
    """Returns the names of the variables in which what a node divides is looked up."""
    tables = set()
    for user, place in nodes.users(node.name):
        if user.op in GATHERS and place == 1:
            table = data_inputs(user)[0]
            origin = nodes.origin(table)
            # Variables are arguments in a function, and no nodes of it.
            if origin is None or origin.op in VARIABLES:
                tables.add(table if origin is None else origin.name)
    return tables


def _savers(nodes):
    """Yields (node, names, slices) of each node that writes or reads a checkpoint."""
    for node in nodes:
        if node.op in ("SaveV2", "RestoreV2"):
            names, specs = (value_of(nodes.origin(each)) for each in data_inputs(node)[1:3])
            if names is not None and specs is not None:
                yield node, _texts(names), _texts(specs)


def _texts(array) -> Sequence[str]:
    return [each.decode("utf-8", "surrogateescape") for each in array.ravel().tolist()]


def _variable(node, tensor, spec):
    """Returns the `GrownVariable` of a node that is saved as `spec` says, "11 4 0,6:0,4"."""
    if not spec:
        extents = tuple((0, size) for size in tensor.new)
        return GrownVariable(node, tensor, extents, tensor.old, tensor.new)
    old = _extents(spec, tensor)
    new = list(old)
    new[tensor.axis] = tensor.pieces[old[tensor.axis]]
    shapes = (tuple(length for _, length in extents) for extents in (old, new))
    return GrownVariable(node, tensor, tuple(new), *shapes)


def _extents(spec, tensor):
    """Returns (start, length) on each axis of a slice."""
    parts = spec.split(" ")[-1].split(":")
    extents = [
        (0, size) if each == "-" else tuple(map(int, each.split(",")))
        for each, size in zip(parts, tensor.old)
    ]
    if extents[tensor.axis] not in tensor.pieces:
        raise ValueError(
            f"the graph saves {tensor.name!r} in slices {spec!r}, but the checkpoint has others"
        )
    return extents


def _grown_spec(spec, tensor):
    extents = _extents(spec, tensor)
    extents[tensor.axis] = tensor.pieces[extents[tensor.axis]]
    shape = " ".join(map(str, tensor.new))
    return f"{shape} " + ":".join(f"{start},{length}" for start, length in extents)
