"""Between which integers the values of a graph are."""

from __future__ import annotations

from typing import Any, Generator

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.auditing.known import Knowledge
from tf1_embed.auditing.rules import SAME, SUBSETS, UNIONS
from tf1_embed.graph.nodes import Value

INTEGERS = frozenset("int8 int16 int32 int64 uint8 uint16 uint32".split())
_NOT_NEGATIVE = frozenset("ArgMax ArgMin Rank Shape ShapeN Size Where".split())


class Bounds:
    """Bounds of the integers of a graph.

    Args:
      constants: `Knowledge` of constants.
    """

    def __init__(self, constants: Knowledge):
        self._constants = constants

    def of(self, value: Value) -> Generator[Any, Any, tuple[int, int] | None]:
        """Returns the least and the largest int that a value can hold; None if it holds others.

        A rule; see `Rules`.
        """
        node, kind = value.node, value.node.type
        if value.dtype.name not in INTEGERS:
            return None
        limits = limits_of(value.dtype)
        constant = self._constants.constant(value)
        if constant is not None:
            return (int(constant.min()), int(constant.max())) if constant.size else limits
        if kind in _NOT_NEGATIVE or value.index == 1 and kind.startswith("Unique"):
            return 0, limits[1]
        if kind in ("Add", "AddV2", "Sub", "Maximum", "Minimum"):
            pairs = yield [(self.of, each) for each in node.inputs]
            (low, high), (least, most) = (pair or limits for pair in pairs)
            if kind == "Maximum":
                return max(low, least), max(high, most)
            if kind == "Minimum":
                return min(low, least), min(high, most)
            if kind == "Sub":
                least, most = -most, -least
            ends = low + least, high + most
            return ends if limits[0] <= ends[0] and ends[1] <= limits[1] else limits
        if kind in ("FloorMod", "BitwiseAnd"):
            number = number_of(self._constants.constant(node.inputs[1]))
            if number is None or number < 0 or number == 0 and kind == "FloorMod":
                return limits
            return 0, number - (kind == "FloorMod")
        if kind == "Range":
            start, limit, delta = yield [(self.of, each) for each in node.inputs]
            if delta is not None and delta[0] > 0 and start is not None:
                return start[0], max(start[0], (limit or limits)[1] - 1)
            return limits
        if kind == "ClipByValue":
            _, least, most = yield [(self.of, each) for each in node.inputs]
            least, most = least or limits, most or limits
            return min(least[0], most[0]), most[1]
        if kind == "Cast":
            pair = yield (self.of, node.inputs[0])
            fits = pair is not None and limits[0] <= pair[0] and pair[1] <= limits[1]
            return pair if fits else limits
        handed_on = None
        if kind == "IdentityN":
            handed_on = [node.inputs[value.index]]
        elif kind in SAME or kind in SUBSETS and value.index == 0:
            handed_on = node.inputs[:1]
        elif kind in ("Split", "Unpack", "SplitV", "DynamicPartition"):
            handed_on = [node.inputs[kind == "Split"]]
        elif kind in UNIONS and value.index == 0:
            handed_on = node.inputs[UNIONS[kind]]
        elif kind == "Fill":
            handed_on = node.inputs[1:]
        if not handed_on:
            return limits
        pairs = yield [(self.of, each) for each in handed_on]
        pairs = [each or limits for each in pairs]
        return min(each[0] for each in pairs), max(each[1] for each in pairs)


def limits_of(dtype: tf.DType) -> tuple[int, int]:
    """Returns the least and the largest int of a dtype."""
    return int(dtype.min), int(dtype.max)


def number_of(constant: np.ndarray | None) -> int | None:
    """Returns the int that an array of one holds; None for another array, or none."""
    return int(constant.reshape(())) if constant is not None and constant.size == 1 else None
