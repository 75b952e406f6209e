"""Which rows a write names: the second of the three questions of an audit.

    which of the frozen ids can this tensor of ids hold?

Ids are followed back through what hands them on, filters and shifts them. At a filter it is tried,
for each frozen id, whether the filter lets it pass; see `known`. Nothing that is not understood
makes an id impossible.
"""

from __future__ import annotations

from typing import Container

import numpy as np

from tf1_embed.auditing.known import Knowledge
from tf1_embed.auditing.rules import SAME, Rules
from tf1_embed.graph.flow import Flow
from tf1_embed.graph.nodes import Value

# Their first output holds elements of their first input, and no others.
_SUBSETS = frozenset(
    "BroadcastTo ExpandDims GatherNd GatherV2 Gather MatrixTranspose RandomShuffle Reshape Reverse "
    "ReverseV2 Roll Slice Squeeze StridedSlice Tile TopK TopKV2 Transpose Unique UniqueV2 "
    "UniqueWithCounts UniqueWithCountsV2".split()
)
# Hold elements of all of some inputs.
_UNIONS = {
    "Concat": slice(1, None),
    "ConcatV2": slice(0, -1),
    "Merge": slice(None),
    "RefMerge": slice(None),
    "Pack": slice(None),
    "ParallelConcat": slice(None),
    "Select": slice(1, None),
    "SelectV2": slice(1, None),
}
_INTEGERS = frozenset("int8 int16 int32 int64 uint8 uint16 uint32".split())
_PLACES = frozenset("Reshape Squeeze StridedSlice Cast ExpandDims".split())
_NOT_NEGATIVE = frozenset("ArgMax ArgMin Rank Shape ShapeN Size Where".split())


class NamedRows(Rules):
    """Which frozen rows tensors of ids can name.

    Args:
      flow: `Flow`.
      constants: `Knowledge` of constants.
      ids: int64 array [num_frozen], the frozen ids.
    """

    def __init__(self, flow: Flow, constants: Knowledge, ids: np.ndarray):
        super().__init__()
        self._flow, self._constants, self._ids = flow, constants, ids
        self._tried: dict[tuple[Value, int], Knowledge] = {}

    def named(self, value: Value) -> np.ndarray:
        """Returns a bool for each frozen row: whether a tensor of ids can name it."""
        found = self.ask(self._named, value, 0)
        return np.ones(len(self._ids), bool) if found is None else found

    def _candidates(self, value, shift):
        """Returns what a value must hold for the id `shift` less to be named."""
        return (self._ids + _as_int64(shift)).astype(value.dtype.as_numpy_dtype)

    def _named(self, value, shift):
        if value.dtype.name not in _INTEGERS:
            return None
        constant = self._constants.constant(value)
        candidates = self._candidates(value, shift)
        if constant is not None:
            return np.isin(candidates, constant)
        found = yield from self._by_kind(value, shift)
        low, high = (yield (self._bounds, value)) or _limits(value.dtype)
        wide = candidates.astype(np.int64)
        within = (wide >= low) & (wide <= high)
        return within if found is None else found & within

    def _by_kind(self, value, shift):
        node, kind = value.node, value.node.type
        if kind == "IdentityN":
            return (yield (self._named, node.inputs[value.index], shift))
        if kind in SAME and node.inputs:
            return (yield (self._named, node.inputs[0], shift))
        if kind in ("Split", "Unpack", "SplitV"):
            return (yield (self._named, node.inputs[kind == "Split"], shift))
        if kind == "DynamicPartition":
            data, partitions = node.inputs
            found = yield (self._named, data, shift)
            return _both(found, self._may_be(partitions, data, value.index, shift))
        if kind == "SparseAccumulatorTakeGradient" and value.index == 0:
            # Of synchronous replicas: what they put in, after the handle and the step.
            given = [
                user.inputs[2]
                for user in self._flow.users_of(node.inputs[0])
                if user.type == "SparseAccumulatorApplyGradient"
            ]
            return _any((yield [(self._named, each, shift) for each in given]))
        if kind == "ListDiff" and value.index == 0:
            found = yield (self._named, node.inputs[0], shift)
            dropped = self._constants.constant(node.inputs[1])
            if dropped is None:
                return found
            return _both(found, ~np.isin(self._candidates(value, shift), dropped))
        if value.index:
            return None
        if kind == "Cast":
            return (yield from self._named_before_cast(value, node.inputs[0], shift))
        if kind in ("Add", "AddV2", "Sub"):
            for place in (0, 1) if kind != "Sub" else (1,):
                number = _number(self._constants.constant(node.inputs[place]))
                if number is not None:
                    change = number if kind == "Sub" else -number
                    return (yield (self._named, node.inputs[1 - place], shift + change))
            return None
        if kind == "Fill":
            return (yield (self._named, node.inputs[1], shift))
        if kind in ("Select", "SelectV2"):
            condition, *branches = node.inputs
            found = yield [(self._named, each, shift) for each in branches]
            return _any(
                _both(each, self._may_be(condition, branch, taken, shift))
                for each, branch, taken in zip(found, branches, (True, False))
            )
        if kind in _UNIONS:
            return _any((yield [(self._named, each, shift) for each in node.inputs[_UNIONS[kind]]]))
        if kind in _SUBSETS:
            found = yield (self._named, node.inputs[0], shift)
            if kind in ("GatherV2", "Gather", "GatherNd"):
                condition = self._filter_of(node)
                if condition is not None:
                    passes = self._may_be(condition, node.inputs[0], True, shift)
                    return _both(found, passes)
            return found
        return None

    def _named_before_cast(self, value, source, shift):
        if source.dtype.name not in _INTEGERS:
            return None
        low, high = (yield (self._bounds, source)) or _limits(source.dtype)
        first, last = _limits(value.dtype)
        if low < first or high > last:
            return None  # It wraps: another id may become a frozen one.
        found = yield (self._named, source, shift)
        wide = self._candidates(value, shift).astype(np.int64)
        low, high = _limits(source.dtype)
        return _both(found, (wide >= low) & (wide <= high))

    def _filter_of(self, node):
        """Returns the condition where a gather takes the elements at which it holds, or None.

        That they are the elements of these very places is known for vectors, and where
        `gather_nd` takes all coordinates.
        """
        params, places = node.inputs[:2]
        if node.type == "GatherNd":
            where = same_source(places)
            whole = where.node.type == "Where" and where.node.inputs[0].rank == params.rank
            return where.node.inputs[0] if whole and params.rank is not None else None
        if params.rank != 1 or node.attr("batch_dims"):
            return None
        where = same_source(places, _PLACES)
        if where.node.type != "Where" or where.node.inputs[0].rank != 1:
            return None
        return where.node.inputs[0]

    def _may_be(self, condition, ids, wanted, shift):
        """Returns a bool for each frozen row: may the condition be `wanted` where `ids` name it?

        None if nothing is known. The condition must have its elements where `ids` have theirs.
        """
        key = ids, shift
        if key not in self._tried:
            self._tried[key] = self._tries(ids, shift)
        found = self._tried[key].of(condition)
        if found is None:
            return None
        if isinstance(wanted, bool):
            hits = (found.array != 0) == wanted  # `tf.where` takes numbers too
        else:
            hits = found.array == wanted
        if found.form is None:
            constant = self._constants.constant(ids)
            if constant is not None and constant.shape == hits.shape:
                return np.isin(self._candidates(ids, shift), constant[hits])
            return None if hits.any() else np.zeros(len(self._ids), bool)
        if condition.rank is None or condition.rank != ids.rank or found.trailing:
            return None
        if found.form != _form(ids) and not (ids.rank == 1 and found.form == "flat"):
            return None
        return hits

    def _tries(self, ids, shift):
        """Returns `Knowledge` of what is computed from ids, for each frozen one."""
        given = {}
        for each, own_shift in same_ids(ids, self._constants):
            form = _form(each) if each is not ids else _form(ids)
            given[each] = (self._candidates(each, shift + own_shift), form)
        return Knowledge(given)

    def _bounds(self, value):
        """Returns the least and the largest int that a value can hold."""
        node, kind = value.node, value.node.type
        if value.dtype.name not in _INTEGERS:
            return None
        limits = _limits(value.dtype)
        constant = self._constants.constant(value)
        if constant is not None:
            return (int(constant.min()), int(constant.max())) if constant.size else limits
        if kind in _NOT_NEGATIVE or value.index == 1 and kind.startswith("Unique"):
            return 0, limits[1]
        if kind in ("Add", "AddV2", "Sub", "Maximum", "Minimum"):
            pairs = yield [(self._bounds, each) for each in node.inputs]
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
            number = _number(self._constants.constant(node.inputs[1]))
            if number is None or number < 0 or number == 0 and kind == "FloorMod":
                return limits
            return 0, number - (kind == "FloorMod")
        if kind == "Range":
            start, limit, delta = yield [(self._bounds, each) for each in node.inputs]
            if delta is not None and delta[0] > 0 and start is not None:
                return start[0], max(start[0], (limit or limits)[1] - 1)
            return limits
        if kind == "ClipByValue":
            _, least, most = yield [(self._bounds, each) for each in node.inputs]
            least, most = least or limits, most or limits
            return min(least[0], most[0]), most[1]
        if kind == "Cast":
            pair = yield (self._bounds, node.inputs[0])
            fits = pair is not None and limits[0] <= pair[0] and pair[1] <= limits[1]
            return pair if fits else limits
        handed_on = None
        if kind == "IdentityN":
            handed_on = [node.inputs[value.index]]
        elif kind in SAME or kind in _SUBSETS and value.index == 0:
            handed_on = node.inputs[:1]
        elif kind in ("Split", "Unpack", "SplitV", "DynamicPartition"):
            handed_on = [node.inputs[kind == "Split"]]
        elif kind in _UNIONS and value.index == 0:
            handed_on = node.inputs[_UNIONS[kind]]
        elif kind == "Fill":
            handed_on = node.inputs[1:]
        if not handed_on:
            return limits
        pairs = yield [(self._bounds, each) for each in handed_on]
        pairs = [each or limits for each in pairs]
        return min(each[0] for each in pairs), max(each[1] for each in pairs)


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
                number = _number(constants.constant(node.inputs[place]))
                # A number of more axes would give the ids others.
                if number is not None and node.inputs[1 - place].rank == value.rank is not None:
                    shift += number if kind == "Sub" else -number
                    value = node.inputs[1 - place]
                    break
    return found


def _form(value):
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


def same_source(value: Value, kinds: Container[str] = frozenset()) -> Value:
    """Follows a value back through what hands it on, and some other kinds, by first inputs."""
    seen = set()
    while value not in seen:
        seen.add(value)
        node = value.node
        one = node.type == "Merge" and len(node.inputs) == 1 and value.index == 0
        if (node.type in SAME or node.type in kinds or one) and node.inputs:
            value = node.inputs[0]
    return value


def _is_wider(dtype, source):
    return (
        {dtype.name, source.name} <= _INTEGERS
        and _limits(dtype)[0] <= _limits(source)[0]
        and _limits(source)[1] <= _limits(dtype)[1]
    )


def _limits(dtype):
    return int(dtype.min), int(dtype.max)


def _number(constant):
    return int(constant.reshape(())) if constant is not None and constant.size == 1 else None


def _as_int64(number):
    return np.int64((number + (1 << 63)) % (1 << 64) - (1 << 63))


def _both(first, second):
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _any(found):
    found = list(found)
    if not found or any(each is None for each in found):
        return None
    return np.any(found, axis=0)
