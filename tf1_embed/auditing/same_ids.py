"""Which values of a graph hold the same ids, in the same places."""

from __future__ import annotations

from typing import Any

from tf1_embed.auditing.bounds import INTEGERS, limits_of, number_of
from tf1_embed.auditing.known import Knowledge
from tf1_embed.auditing.rules import SAME
from tf1_embed.graph.nodes import Value


def same_ids(value: Value, constants: Knowledge) -> list[tuple[Value, int]]:
    """Returns pairs of a value that holds the same ids in the same order, and its difference.

    The difference is what it holds more, in each place. Its shape may be another one.
    """
    found, seen, shift = [], set(), 0
    while value not in seen:
        seen.add(value)
        found.append((value, shift))
        node, kind = value.node, value.node.type
        if kind == "IdentityN":
            value = node.inputs[value.index]
        elif kind in SAME and node.inputs or kind in ("Reshape", "Squeeze", "ExpandDims"):
            value = node.inputs[0]
        elif kind == "Merge" and len(node.inputs) == 1 and value.index == 0:
            value = node.inputs[0]
        elif kind == "Cast" and _is_wider(value.dtype, node.inputs[0].dtype):
            value = node.inputs[0]
        elif kind in ("Add", "AddV2", "Sub"):
            for place in (0, 1) if kind != "Sub" else (1,):
                number = number_of(constants.constant(node.inputs[place]))
                # A number of more axes would give the ids others.
                if number is not None and node.inputs[1 - place].rank == value.rank is not None:
                    shift += number if kind == "Sub" else -number
                    value = node.inputs[1 - place]
                    break
    return found


def form_of(value: Value) -> Any:
    """Returns the form of ids in a value; see `Known`. Handed on, they keep it."""
    if value.rank == 1:
        return "flat"
    seen = set()
    while value not in seen:
        seen.add(value)
        node = value.node
        if node.type == "IdentityN":
            value = node.inputs[value.index]
        elif node.type in SAME and node.inputs:
            value = node.inputs[0]
        elif node.type == "Merge" and len(node.inputs) == 1 and value.index == 0:
            value = node.inputs[0]
        elif node.type == "Cast":
            value = node.inputs[0]
        elif node.type in ("Add", "AddV2", "Sub"):
            same = [each for each in node.inputs if each.rank == value.rank is not None]
            if len(same) == 1:
                value = same[0]
    return ("form", value)


def _is_wider(dtype, source):
    return (
        {dtype.name, source.name} <= INTEGERS
        and limits_of(dtype)[0] <= limits_of(source)[0]
        and limits_of(source)[1] <= limits_of(dtype)[1]
    )
