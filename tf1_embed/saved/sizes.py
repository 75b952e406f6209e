"""What else in a saved graph has the size of a table: constants and attributes.

TensorFlow's gradients and lookups write sizes into a graph that follow from the variables alone, so
that they grow with them. Of all others only who wrote the model knows whether they have to.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, NamedTuple

import numpy as np

from tf1_embed.saved.nodes import (
    CALLS,
    VARIABLES,
    Nodes,
    data_inputs,
    is_splat,
    set_value,
    spread,
    value_of,
)
from tf1_embed.saved.shapes import Spread
from tf1_embed.saved.variables import GATHERS, GrownTensor, GrownVariable

# Inputs that are numbers of axes, by operation: the place of the input, from the end if negative.
_AXES = {
    **dict.fromkeys(("Sum", "Mean", "Prod", "Max", "Min", "All", "Any", "EuclideanNorm"), 1),
    **dict.fromkeys(("ArgMax", "ArgMin", "ExpandDims", "Transpose", "ReverseV2", "Cumsum"), 1),
    **{"ConcatV2": -1, "GatherV2": 2, "Split": 0, "SplitV": 2, "StridedSlice": 3, "Unpack": 1},
}
# What compares ids with the last one, or has it for what is unknown.
_LAST_ID = (
    *("Minimum", "Maximum", "ClipByValue", "LessEqual", "Greater", "Equal", "NotEqual"),
    *("LookupTableFind", "LookupTableFindV2"),
)
# Attributes that are no sizes, or have been dealt with.
_OTHER_ATTRIBUTES = ("N", "axis", "dtype", "seed", "seed2", "value")
# The ids that they make of the same token would be others.
_HASHES = ("StringToHashBucket", "StringToHashBucketFast", "StringToHashBucketStrong")
# Longer vectors are data, of which the length counts alone.
_MAX_DIMS = 8


class Holder(NamedTuple):
    """What in a graph has a table's size.

    Attributes:
      name: string, the node's, behind that of the function that it is in: "function/node".
      what: string, what it is, such as "Const, 10".
      becomes: string, what it would be with the new size, or None.
      reason: string, why it cannot grow, or None.
      grow: function without arguments that makes it grow, or None.
    """

    name: str
    what: str
    becomes: str | None
    reason: str | None
    grow: Callable[[], None] | None


class Sizes:
    """The sizes of tables, old and new ones."""

    def __init__(self, tensors: dict[str, GrownTensor]):
        """Takes the tensors that grow, by name."""
        self._sizes: dict[int, set[int]] = {}
        self._products: dict[int, set[int]] = {}
        self.num_ids: set[int] = set()
        for each in tensors.values():
            before, after = each.sizes
            self.num_ids.add(before)
            self._sizes.setdefault(before, set()).add(after)
            if len(each.old) > 1:
                products = int(np.prod(each.old)), int(np.prod(each.new))
                self._products.setdefault(products[0], set()).add(products[1])
        self._last = {
            size - 1: {new - 1 for new in news} for size, news in self._sizes.items() if size > 2
        }

    def of_dim(self, dim: int) -> set[int]:
        """Returns what a dimension of that size may become; nothing if it is no table's."""
        return self._sizes.get(dim, set())

    def of_number(self, number: float, is_last_id: bool = False) -> set[int]:
        """Returns what a number may become that is a size, or how many values a table has."""
        found = self._sizes.get(number) or self._products.get(number) or set()  # type: ignore[call-overload]
        return found or (self._last.get(number, set()) if is_last_id else set())  # type: ignore[call-overload]


def grow_gradients(nodes: Nodes, found: Spread, left: set[str]) -> list[Holder]:
    """Grows what TensorFlow's gradients and lookups wrote of the variables' shapes.

    Args:
      nodes: `Nodes`.
      found: `Spread`.
      left: names of constants that are something else.

    Returns:
      list of `Holder`, what has grown.
    """
    grown = []
    for node in nodes:
        value = None if node.name in left else value_of(node)
        if value is None:
            continue
        shapes = _of_its_variable(node, found) or _of_its_gradient(nodes, node, found)
        for old, new in shapes:
            if value.dtype.kind == "i" and value.ndim == 1 and value.tolist() == list(old):
                after = _holder(node.name, node, value, np.asarray(new))
                set_value(node, new, value)
            elif value.shape == old and is_splat(value):
                after = _holder(node.name, node, value, value, new)
                spread(node, new)
            elif value.shape == () and value.dtype.kind in "if" and value == _mean_of(old):
                after = _holder(node.name, node, value, np.asarray(_mean_of(new)))
                set_value(node, _mean_of(new), value)
            else:
                continue
            grown.append(after)
            break
    return grown


class _Mean(tuple):
    """A pair of shapes, of what a mean is taken of and of the mean."""


def _mean_of(shape):
    if not isinstance(shape, _Mean):
        return None
    whole, mean = shape
    return int(np.prod(whole)) // max(1, int(np.prod(mean)))


def _of_its_variable(node, found):
    """Returns the shapes, old and new, of the variables that a node is placed with."""
    variables = []
    for each in node.attr["_class"].list.s if "_class" in node.attr else ():
        variable = found.grown.get(each.decode("utf-8", "replace").replace("loc:@", "", 1))
        if variable is not None:
            variables.append((variable.old, variable.new))
    return variables


def _of_its_gradient(nodes, node, found):
    """Returns the shapes, old and new, of what a node of a gradient is the gradient of.

    Two of them that are the same before and not afterwards are left out.
    """
    forward = _forward(nodes, node.name)
    if forward is None:
        return []
    tensors = data_inputs(forward) + [
        f"{forward.name}:{place}" for place in range(len(found.old.get(forward.name, ())))
    ]
    shapes: dict = {}
    for each in tensors:
        pair = found.shapes(each)
        if pair is not None:
            shapes.setdefault(pair[0], set()).add(pair[1])
        else:
            # Not a table's, though it may have the same shape by chance.
            name, _, place = each.partition(":")
            known = found.old.get(name, ())
            if int(place or 0) < len(known) and known[int(place or 0)] is not None:
                shapes.setdefault(known[int(place or 0)], set()).add(known[int(place or 0)])
    pairs = [(old, news.pop()) for old, news in shapes.items() if len(news) == 1]
    pairs = [(old, new) for old, new in pairs if old != new]
    if forward.op == "Mean":
        whole = found.shapes(data_inputs(forward)[0])
        result = found.old[forward.name][0]
        if whole is not None and result is not None and None not in result:
            after = found.shapes(forward.name)
            pairs.append(
                (_Mean((whole[0], result)), _Mean((whole[1], after[1] if after else result)))
            )
    return pairs


def _forward(nodes, name):
    """Returns the node that a node of a gradient belongs to, by their names; None if none.

    In "train/gradients/model/add_grad/Shape_1" that is "model/add".
    """
    parts = name.split("/")
    for end, part in enumerate(parts[:-1]):
        stem = re.sub(r"_grad(_\d+)?\Z", "", part)
        if stem != part:
            for start in range(1, end + 1):
                found = nodes.by_name.get("/".join(parts[start:end] + [stem]))
                if found is not None:
                    return found
    return None


def shapes_of_variables(
    nodes: Nodes, variables: dict[str, GrownVariable]
) -> dict[tuple[int, ...], set[tuple[int, ...]]]:
    """Returns what the shape of each variable that grows becomes, and of others of that shape."""
    found: dict = {}
    for each in variables.values():
        found.setdefault(each.old, set()).add(each.new)
    for node in nodes:
        if node.op in VARIABLES and node.name not in variables:
            shape = tuple(dim.size for dim in node.attr["shape"].shape.dim)
            if shape in found:
                found[shape].add(shape)
    return found


def loosen_calls(nodes: Nodes, shapes: dict, sizes: Sizes) -> None:
    """Has branches and loops say nothing of dimensions that may be those of a table.

    They say what was inferred; TensorFlow infers what it needs anew.
    """
    for node in nodes:
        if node.op in CALLS and "output_shapes" in node.attr:
            for shape in node.attr["output_shapes"].list.shape:
                is_of_variable = tuple(dim.size for dim in shape.dim) in shapes
                for axis, dim in enumerate(shape.dim):
                    if sizes.of_dim(dim.size) or (is_of_variable and axis == 0):
                        dim.size = -1


def grow_gradients_in_function(name: str, nodes: Nodes, shapes: dict) -> list[Holder]:
    """Grows shapes of variables that gradients hold in a function, as of a loop or a branch.

    Returns:
      list of `Holder`: what has grown, or, if it has a `reason`, is of variables that become
      different ones.
    """
    found = []
    for node in nodes:
        value = value_of(node)
        if value is None or "_grad/" not in node.name:
            continue
        is_shape = value.dtype.kind == "i" and value.ndim == 1
        old = tuple(value.tolist()) if is_shape else value.shape
        if old not in shapes or not (is_shape or is_splat(value)):
            continue
        if len(shapes[old]) > 1:
            found.append(
                _refused(
                    f"{name}/{node.name}", node, value, "variables of this shape get different ones"
                )
            )
            continue
        (new,) = shapes[old]
        found.append(
            _holder(f"{name}/{node.name}", node, value, np.asarray(new), None if is_shape else new)
        )
        set_value(node, new, value) if is_shape else spread(node, new)
    return found


def grow_lookups(
    nodes: Nodes,
    variables: dict[str, GrownVariable],
    tensors: dict[str, GrownTensor],
    prefix: str = "",
) -> list[Holder]:
    """Grows the number of ids by which lookups ("div") find an id's partition."""
    counts = {each.sizes: each.num_pieces for each in tensors.values() if each.num_pieces > 1}
    grown = []
    for node in nodes:
        value = value_of(node)
        if value is None or value.shape != () or value.dtype.kind != "i":
            continue
        for (old, new), count in counts.items():
            if value == old and _divides_ids(nodes, node, count, variables):
                grown.append(_holder(prefix + node.name, node, value, np.asarray(new)))
                set_value(node, new, value)
                break
    return grown


def _divides_ids(nodes, node, count, variables):
    """Tells whether a number is that of the ids of a table with so many partitions."""
    users = nodes.users(node.name)
    for user, place in users:
        other = value_of(nodes.origin(data_inputs(user)[1 - place])) if place == 0 else None
        is_division = user.op in ("FloorDiv", "FloorMod")
        if not is_division or other is None or other.shape != () or other != count:
            return False
    below, pending = set(), [node.name]
    while pending:
        for user, _ in nodes.users(pending.pop()):
            if user.name in below:
                continue
            below.add(user.name)
            if user.op != "DynamicPartition":
                pending.append(user.name)
                continue
            for gather, place in nodes.users(user.name):
                origin = nodes.origin(data_inputs(gather)[0])
                # Variables are arguments in a function, and no nodes of it.
                is_table = origin is None or origin.name in variables
                if place == 1 and gather.op in GATHERS and is_table:
                    return bool(users) and user.attr["num_partitions"].i == count
    return False


def find_holders(nodes: Nodes, sizes: Sizes, left: set[str], prefix: str = "") -> Iterator[Holder]:
    """Yields what has a table's size in a graph or, with its name as `prefix`, in a function.

    Args:
      nodes: `Nodes`.
      sizes: `Sizes`.
      left: names of nodes that have been dealt with.
      prefix: string, what comes before the names of nodes.
    """
    for node in nodes:
        if node.name in left or node.op in VARIABLES:
            continue
        name = prefix + node.name
        value = value_of(node)
        if value is None:
            yield from _in_attributes(name, node, sizes)
        elif any(sizes.of_dim(dim) for dim in value.shape):
            yield _shaped(name, node, value, sizes)
        elif value.dtype.kind in "if" and value.ndim < 2 and value.size <= _MAX_DIMS:
            holder = _numbered(name, nodes, node, value, sizes)
            if holder is not None:
                yield holder


def _shaped(name, node, value, sizes):
    """Returns the `Holder` of a constant that has a table's size in its shape."""
    choices = [sizes.of_dim(dim) or {dim} for dim in value.shape]
    if any(len(each) > 1 for each in choices):
        return _refused(name, node, value, "tables of this size get different ones")
    if not is_splat(value):
        return _refused(name, node, value, "what its new values would be is not known")
    shape = tuple(next(iter(each)) for each in choices)
    return _holder(name, node, value, value, shape, lambda: spread(node, shape))


def _numbered(name, nodes, node, value, sizes):
    """Returns the `Holder` of a constant that has a table's size in its values, or None."""
    users = nodes.users(node.name)
    if users and all(_is_axis(user, place) for user, place in users):
        return None
    if value.dtype.kind == "f" and value.ndim:
        return None
    is_last = value.ndim == 0 and value.dtype.kind == "i"
    is_last = is_last and any(user.op in _LAST_ID for user, _ in users)
    numbers = np.atleast_1d(value).tolist()
    choices = [sizes.of_number(each, is_last) or {each} for each in numbers]
    if any(len(each) > 1 for each in choices):
        return _refused(name, node, value, "tables of this size get different ones")
    if all(each == {number} or number != number for each, number in zip(choices, numbers)):
        return None
    new = np.asarray([next(iter(each)) for each in choices]).reshape(value.shape)
    return _holder(name, node, value, new, grow=lambda: set_value(node, new, value))


def _is_axis(user, place):
    axis = _AXES.get(user.op)
    return axis is not None and place == axis % len(data_inputs(user))


def _in_attributes(name, node, sizes):
    """Yields a `Holder` for each attribute of a node that has a table's size."""
    for key, attribute in sorted(node.attr.items()):
        if key in _OTHER_ATTRIBUTES or key.startswith("_"):
            continue
        numbers, shapes = _numbers_and_shapes(attribute)
        old = [number for number, _ in numbers if sizes.of_dim(number)]
        dims = [dim for shape in shapes for dim in shape.dim if sizes.of_dim(dim.size)]
        if not old and not dims:
            continue
        news = [sizes.of_dim(each) for each in old] + [sizes.of_dim(dim.size) for dim in dims]
        texts = [str([dim.size for dim in shape.dim]) for shape in shapes] or list(map(str, old))
        what = f"{node.op}, {key} {', '.join(texts)}"
        if any(len(each) > 1 for each in news):
            yield Holder(name, what, None, "tables of this size get different ones", None)
        elif node.op in _HASHES:
            yield Holder(name, what, None, "with more buckets the same token has another id", None)
        else:
            became = str(next(iter(news[0])))
            yield Holder(name, what, became, None, _grower(attribute, sizes))


def _grower(attribute, sizes):
    def grow():
        numbers, shapes = _numbers_and_shapes(attribute)
        for number, set_number in numbers:
            if sizes.of_dim(number):
                set_number(next(iter(sizes.of_dim(number))))
        for shape in shapes:
            for dim in shape.dim:
                if sizes.of_dim(dim.size):
                    dim.size = next(iter(sizes.of_dim(dim.size)))

    return grow


def _numbers_and_shapes(attribute: Any) -> tuple[list, list]:
    """Returns the numbers of an attribute, each with a function that sets it, and the shapes."""
    kind = attribute.WhichOneof("value")
    if kind == "i":
        return [(attribute.i, lambda number: setattr(attribute, "i", number))], []
    if kind == "shape":
        return [], [attribute.shape]
    if kind == "list":
        values = attribute.list.i
        setters = [
            (number, lambda number, place=place: values.__setitem__(place, number))
            for place, number in enumerate(values)
        ]
        return setters, list(attribute.list.shape)
    return [], []


def _holder(name, node, value, new, shape=None, grow=None):
    if shape is not None:
        return Holder(name, _text(node, value), f"of shape {list(shape)}", None, grow)
    return Holder(name, _text(node, value), str(new.tolist()), None, grow)


def _refused(name, node, value, reason):
    return Holder(name, _text(node, value), None, reason, None)


def _text(node, value):
    if value.ndim == 0 or (value.ndim == 1 and value.size <= _MAX_DIMS and value.dtype != object):
        return f"{node.op}, {value.tolist()}"
    return f"{node.op} of shape {list(value.shape)}"
