"""Which rows a write names: the second of the three questions of an audit.

    which of the frozen ids can this tensor of ids hold?

Ids are followed back through what hands them on, filters and shifts them. At a filter it is tried,
for each frozen id, whether the filter lets it pass; see `known`. Nothing that is not understood
makes an id impossible.
"""

from __future__ import annotations

import numpy as np

from tf1_embed.auditing.bounds import INTEGERS, Bounds, limits_of, number_of
from tf1_embed.auditing.known import Knowledge
from tf1_embed.auditing.rules import SAME, SUBSETS, UNIONS, Rules, same_as
from tf1_embed.auditing.same_ids import form_of, same_ids
from tf1_embed.graph.flow import Flow
from tf1_embed.graph.nodes import Value

_PLACES = frozenset("Reshape Squeeze StridedSlice Cast ExpandDims".split())


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
        self._bounds = Bounds(constants)
        self._tried: dict[tuple[Value, int], Knowledge] = {}

    def named(self, value: Value) -> np.ndarray:
        """Returns a bool for each frozen row: whether a tensor of ids can name it."""
        found = self.ask(self._named, value, 0)
        return np.ones(len(self._ids), bool) if found is None else found

    def _candidates(self, value, shift):
        """Returns what a value must hold for the id `shift` less to be named."""
        return (self._ids + _as_int64(shift)).astype(value.dtype.as_numpy_dtype)

    def _named(self, value, shift):
        if value.dtype.name not in INTEGERS:
            return None
        constant = self._constants.constant(value)
        candidates = self._candidates(value, shift)
        if constant is not None:
            return np.isin(candidates, constant)
        found = yield from self._by_kind(value, shift)
        low, high = (yield (self._bounds.of, value)) or limits_of(value.dtype)
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
                number = number_of(self._constants.constant(node.inputs[place]))
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
        if kind in UNIONS:
            return _any((yield [(self._named, each, shift) for each in node.inputs[UNIONS[kind]]]))
        if kind in SUBSETS:
            found = yield (self._named, node.inputs[0], shift)
            if kind in ("GatherV2", "Gather", "GatherNd"):
                condition = self._filter_of(node)
                if condition is not None:
                    passes = self._may_be(condition, node.inputs[0], True, shift)
                    return _both(found, passes)
            return found
        return None

    def _named_before_cast(self, value, source, shift):
        if source.dtype.name not in INTEGERS:
            return None
        low, high = (yield (self._bounds.of, source)) or limits_of(source.dtype)
        first, last = limits_of(value.dtype)
        if low < first or high > last:
            return None  # It wraps: another id may become a frozen one.
        found = yield (self._named, source, shift)
        wide = self._candidates(value, shift).astype(np.int64)
        low, high = limits_of(source.dtype)
        return _both(found, (wide >= low) & (wide <= high))

    def _filter_of(self, node):
        """Returns the condition where a gather takes the elements at which it holds, or None.

        That they are the elements of these very places is known for vectors, and where
        `gather_nd` takes all coordinates.
        """
        params, places = node.inputs[:2]
        if node.type == "GatherNd":
            where = same_as(places)
            whole = where.node.type == "Where" and where.node.inputs[0].rank == params.rank
            return where.node.inputs[0] if whole and params.rank is not None else None
        if params.rank != 1 or node.attr("batch_dims"):
            return None
        where = same_as(places, _PLACES)
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
        if found.form != form_of(ids) and not (ids.rank == 1 and found.form == "flat"):
            return None
        return hits

    def _tries(self, ids, shift):
        """Returns `Knowledge` of what is computed from ids, for each frozen one."""
        given = {}
        for each, own_shift in same_ids(ids, self._constants):
            given[each] = (self._candidates(each, shift + own_shift), form_of(each))
        return Knowledge(given)


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
