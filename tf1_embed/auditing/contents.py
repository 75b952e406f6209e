"""What a write puts into frozen rows: the third of the three questions of an audit.

    what does this tensor, shaped as the table, or as slices of it, hold for each frozen row?

The answer is one of a few words for each frozen row, found by the arithmetic of these words. What
nothing is known of is `ANY`.
"""

from __future__ import annotations

import numpy as np

from tf1_embed.auditing.audited_table import AuditedTable
from tf1_embed.auditing.ids import NamedRows
from tf1_embed.auditing.known import Knowledge
from tf1_embed.auditing.rules import SAME, Rules, same_as
from tf1_embed.auditing.same_ids import same_ids
from tf1_embed.auditing.words import (
    ANY,
    DIFFERENCE,
    NOTHING,
    OWN,
    PRODUCT,
    SUM,
    ZERO,
    ZERO_IF_FINITE,
    ZEROS,
    choose,
    join,
    only,
    words_of,
)
from tf1_embed.graph.nodes import Value

_SHAPING = frozenset(["ExpandDims", "Reshape", "Squeeze"])
_ADDING = frozenset("Add AddN AddV2 Sub".split())
_DIVIDING = frozenset("Div DivNoNan RealDiv Xdivy".split())


class Contents(Rules):
    """What tensors hold in the frozen rows of a table.

    Args:
      table: `AuditedTable`.
      constants: `Knowledge` of constants.
      named_rows: `NamedRows` of the frozen ids.
    """

    def __init__(self, table: AuditedTable, constants: Knowledge, named_rows: NamedRows):
        super().__init__()
        self._table, self._constants, self._named_rows = table, constants, named_rows
        self._axis, self._shape = table.axis, table.shape
        self._num_rows, self._ids = table.shape[table.axis], table.ids
        self._tried: dict[Value, Knowledge] = {}

    def held(self, value: Value) -> np.ndarray:
        """Returns what a tensor of the table's shape, or a number, holds in each frozen row."""
        return self._words(self.ask(self._in_rows, value))

    def held_in_slices(self, values: Value, indices: Value) -> np.ndarray:
        """Returns what slices hold that name a frozen row, for each."""
        return self._words(self.ask(self._in_slices, values, indices, 1))

    def _words(self, answer):
        found = ANY if answer is None else answer
        return np.broadcast_to(np.asarray(found, np.uint8), [len(self._ids)])

    # Tensors of the table's shape.

    def _in_rows(self, value):
        node, kind = value.node, value.node.type
        if self._table.is_read(value):
            return OWN
        zero = self._of_constant(value)
        if zero is not None:
            return zero
        if kind == "ZerosLike":
            return ZERO
        if not self._is_aligned(value):
            return None
        inputs = node.inputs
        if kind == "IdentityN":
            return (yield (self._in_rows, inputs[value.index]))
        if kind in SAME or kind in _SHAPING:
            return (yield (self._in_rows, inputs[0]))
        if kind == "Merge" and value.index == 0:
            return join((yield [(self._in_rows, each) for each in inputs]))
        if kind in ("Select", "SelectV2"):
            found = yield [(self._in_rows, each) for each in inputs[1:]]
            return self._of_selection(inputs[0], found, kind)
        if kind == "UnsortedSegmentSum" and not self._axis:
            found = yield (self._in_slices, inputs[0], inputs[1], 1)
            return self._of_sums(found, inputs[1])
        if kind == "ScatterNd" and not self._axis and inputs[0].dims()[-1:] == [1]:
            found = yield (self._in_slices, inputs[1], inputs[0], 1)
            return self._of_sums(found, inputs[0])
        if kind == "ConcatV2":
            return self._of_concatenation(node)
        if kind == "Pad":
            return self._of_padding(self._constants.constant(inputs[1]))
        if kind == "StridedSliceGrad":
            rows = self._table.rows_of_slice(node, *inputs[1:4])
            return None if rows is None else np.where(rows, ANY, ZERO)
        return (yield from self._of_arithmetic(value, lambda each: (self._in_rows, each)))

    def _of_constant(self, value):
        """Returns what a constant holds in each row, or a zero of whatever shape; None if neither.

        None as well for what would meet rows with another axis than theirs.
        """
        array = self._constants.constant(value)
        if array is None and value.node.type == "Fill":
            array = self._constants.constant(value.node.inputs[1])
            return ZERO if array is not None and not np.any(array) else None
        if array is None:
            return None
        if not np.any(array):
            return ZERO
        axis_from_end = self._axis - len(self._shape)
        if array.ndim < -axis_from_end or array.shape[axis_from_end] == 1:
            rows = array[np.newaxis]
        elif array.ndim == len(self._shape) and array.shape[self._axis] == self._num_rows:
            rows = np.moveaxis(np.take(array, self._ids, self._axis), self._axis, 0)
        else:
            return None
        return words_of(rows)

    def _is_aligned(self, value):
        """Whether the rows of a tensor are those of the table."""
        dims = value.dims()
        if dims is None or len(dims) != len(self._shape):
            return False
        return dims[self._axis] == self._num_rows

    def _of_selection(self, condition, found, kind):
        array = self._constants.constant(condition)
        if array is None:
            return join(found)
        if array.ndim == 0:
            return found[0 if array else 1]
        if array.ndim == 1 and len(self._shape) > 1:
            # Only Select takes a vector for one flag a row.
            if kind != "Select" or self._axis:
                return None
            array = array.reshape([-1] + [1] * (len(self._shape) - 1))
        if array.ndim != len(self._shape) or array.shape[self._axis] != self._num_rows:
            return None
        flags = np.moveaxis(np.take(array, self._ids, self._axis), self._axis, 0)
        return choose(flags.reshape([len(self._ids), -1]), found)

    def _of_sums(self, found, indices):
        """Returns what rows hold that are sums of slices."""
        named = self._named_rows.named(indices)
        words = np.where(np.isin(self._words(found), ZEROS), self._words(found), ANY)
        return np.where(named, words, ZERO)

    def _of_concatenation(self, node):
        """Pieces of the table itself in their places; other pieces elsewhere."""
        axis = self._constants.constant(node.inputs[-1])
        if axis is None or int(axis) % len(self._shape) != self._axis:
            return None
        words, start = np.full(self._num_rows, ANY, np.uint8), 0
        for value in node.inputs[:-1]:
            dims = value.dims()
            if dims is None or dims[self._axis] is None:
                return None
            stop = start + dims[self._axis]
            if self._table.is_piece(same_as(value).node, start, stop):
                words[start:stop] = OWN
            elif self._constants.constant(value) is not None:
                piece = self._constants.constant(value)
                words[start:stop] = ANY if np.any(piece) else ZERO
            start = stop
        return words[self._ids] if start == self._num_rows else None

    def _of_padding(self, paddings):
        if paddings is None:
            return None
        before, after = paddings[self._axis]
        inside = np.zeros(self._num_rows, bool)
        inside[before : self._num_rows - after] = True
        return np.where(inside[self._ids], ANY, ZERO)

    # Slices, which `indices` put into rows.

    def _in_slices(self, value, indices, leading):
        """What slices hold for each frozen row that their indices name.

        leading: int, how many first axes of `value` go together through the indices.
        """
        kind, inputs = value.node.type, value.node.inputs
        gathered = self._table.gathered_ids(value)
        if gathered is not None:
            return OWN if self._are_same(gathered, indices) else None
        known = self._of_known(value, indices, leading)
        if known is not None:
            return known
        if kind == "ZerosLike":
            return ZERO
        if kind == "IdentityN":
            return (yield (self._in_slices, inputs[value.index], indices, leading))
        if kind in SAME and inputs:
            return (yield (self._in_slices, inputs[0], indices, leading))
        if kind == "Merge" and value.index == 0:
            pair = same_as(indices)
            if pair.node.type == "Merge" and len(pair.node.inputs) == len(inputs) > 1:
                pairs = zip(inputs, pair.node.inputs)
                return join((yield [(self._in_slices, each, ids, leading) for each, ids in pairs]))
            return join((yield [(self._in_slices, each, indices, leading) for each in inputs]))
        if kind == "Reshape":
            before = _leading_before(inputs[0].dims(), value.dims(), leading)
            if before is None:
                return None
            return (yield (self._in_slices, inputs[0], indices, before))
        if kind in ("Select", "SelectV2"):
            found = yield [(self._in_slices, each, indices, leading) for each in inputs[1:]]
            flags = self._flags(inputs[0], value, indices, leading)
            return join(found) if flags is None else choose(flags, found)
        pairs = self._parts(value, indices) if leading == 1 else []
        if pairs:
            found = yield [(self._in_slices, *pair, 1) for pair in pairs]
            named = [self._named_rows.named(pair[1]) for pair in pairs]
            words = [np.where(each, self._words(word), NOTHING) for each, word in zip(named, found)]
            if kind == "UnsortedSegmentSum":
                words = [np.where(np.isin(each, (*ZEROS, NOTHING)), each, ANY) for each in words]
            return join(words)
        return (
            yield from self._of_arithmetic(
                value, lambda each: (self._in_slices, each, indices, leading), leading
            )
        )

    def _of_known(self, value, indices, leading):
        """Returns what the value holds in the slices that name a row, if ids alone decide it."""
        zero = self._constants.constant(value)
        if zero is None and value.node.type == "Fill":
            zero = self._constants.constant(value.node.inputs[1])
        if zero is not None:
            if not np.any(zero):
                return ZERO
            return words_of(zero[np.newaxis]) if zero.ndim == 0 or zero.size == 1 else None
        known = self._of_ids(indices).of(value)
        if known is None or known.form is None or value.rank is None:
            return None
        if value.rank - known.trailing != leading:
            return None
        return words_of(known.array)

    def _of_ids(self, indices):
        if indices not in self._tried:
            given = {
                each: ((self._ids + shift).astype(each.dtype.as_numpy_dtype), _form_of(each))
                for each, shift in same_ids(indices, self._constants)
            }
            self._tried[indices] = Knowledge(given)
        return self._tried[indices]

    def _flags(self, condition, value, indices, leading):
        """Returns the condition for each frozen row [num_frozen, ...] or None."""
        known = self._of_ids(indices).of(condition)
        if known is None or known.form is None or condition.rank is None:
            return None
        vector = condition.rank == leading and value.node.type == "Select"
        if condition.rank != value.rank and not vector:
            return None
        if condition.rank - known.trailing != leading:
            return None
        return known.array.reshape([len(self._ids), -1])

    def _are_same(self, first, second):
        """Whether two tensors hold the same ids in the same order."""
        constants = [self._constants.constant(each) for each in (first, second)]
        if constants[0] is not None and constants[1] is not None:
            return np.array_equal(*constants)
        of_first = dict(same_ids(first, self._constants))
        return any(of_first.get(each) == shift for each, shift in same_ids(second, self._constants))

    def _parts(self, values, indices):
        """Returns the pairs of values and indices that slices are made of, none if not known."""
        first, second = same_as(values).node, same_as(indices, _SHAPING).node
        kinds = first.type, second.type
        if kinds == ("ConcatV2", "ConcatV2") and len(first.inputs) == len(second.inputs):
            axis = self._constants.constant(first.inputs[-1])
            if axis is None or int(axis) != 0:
                return []
            return list(zip(first.inputs[:-1], second.inputs[:-1]))
        if kinds in (("GatherV2", "GatherV2"), ("Gather", "Gather")):
            if same_as(first.inputs[1]) is same_as(second.inputs[1]):
                return [(first.inputs[0], second.inputs[0])]
        if first.type == "UnsortedSegmentSum" and second.type == "Unique":
            if same_as(first.inputs[1]).node is second:
                return [(first.inputs[0], second.inputs[0])]
        return []

    # Both.

    def _of_arithmetic(self, value, question, leading=None):
        node, kind, inputs = value.node, value.node.type, value.node.inputs
        if value.index:
            return None
        if kind == "Mul" or kind == "MulNoNan":
            found = yield [question(each) for each in inputs]
            if kind == "MulNoNan" and found[1] is not None:
                words = self._words(found[1])
                return np.where(words == ZERO, ZERO, PRODUCT[tuple(map(self._words, found))])
            return PRODUCT[tuple(map(self._words, found))]
        if kind in _ADDING:
            found = yield [question(each) for each in inputs]
            total = self._words(found[0])
            for each in found[1:]:
                total = (DIFFERENCE if kind == "Sub" else SUM)[total, self._words(each)]
            return total
        if kind in _DIVIDING:
            found = yield question(inputs[0])
            divisor = self._constants.constant(inputs[1])
            safe = divisor is not None and np.all(np.isfinite(divisor)) and np.all(divisor)
            return only(self._words(found), {ZERO: ZERO if safe else ZERO_IF_FINITE, 1: 1})
        if kind == "Neg" or kind == "Cast" and value.dtype.is_floating:
            found = yield question(inputs[0])
            return only(self._words(found), {ZERO: ZERO, ZERO_IF_FINITE: ZERO_IF_FINITE})
        if kind in ("Minimum", "Maximum"):
            found = yield question(inputs[0])
            limit = self._constants.constant(inputs[1])
            keeps = limit is not None and np.all(limit >= 0 if kind == "Minimum" else limit <= 0)
            same = {ZERO: ZERO, ZERO_IF_FINITE: ZERO_IF_FINITE}
            return only(self._words(found), same) if keeps else None
        if kind == "Sum" and self._keeps_rows(node, leading):
            found = yield question(inputs[0])
            return only(self._words(found), {ZERO: ZERO, ZERO_IF_FINITE: ZERO_IF_FINITE})
        return None

    def _keeps_rows(self, node, leading):
        axes = self._constants.constant(node.inputs[1])
        rank = node.inputs[0].rank
        if axes is None or not rank:
            return False
        axes = np.atleast_1d(axes) % rank
        if leading is None:
            return self._axis not in axes and rank == len(self._shape)
        return bool((axes >= leading).all())


def _form_of(value):
    return "flat" if value.rank == 1 else ("form", value)


def _leading_before(dims, dims_after, leading):
    """Returns how many axes before a reshape are the first ones after it, or None."""
    if dims is None or dims_after is None or None in dims_after[leading:]:
        return None
    size = int(np.prod(dims_after[leading:], dtype=np.int64))
    for place in range(len(dims) + 1):
        if None not in dims[place:] and int(np.prod(dims[place:], dtype=np.int64)) == size:
            return place
    return None
