"""What the tensors of a graph mean for the frozen rows of one table.

Two questions are asked: which frozen rows can these ids name, and what can this tensor, shaped as
the table, hold in them? Where the graph does not say, the answer is the worst one.
"""

import numpy as np

from tf1_embed.auditing.evaluate import evaluate

# What a tensor holds in all frozen rows.
ZERO = "zero"
ONE = "one"
OWN = "own"  # what the table holds there, bit for bit
NEAR = "near"  # the same after arithmetic: ordinary values are equal, denormals and NaNs are not
ANY = "any"

# What these return is their first input: as it is, in part, in another shape or dtype.
_PASSING = set(
    "CheckNumerics Enter Exit Identity PreventGradient RefEnter RefIdentity RefSwitch Snapshot "
    "StopGradient Switch".split()
)
_SUBSETS = {"Unique", "UniqueV2", "UniqueWithCounts"}
_RESHAPING = {"Cast", "ExpandDims", "Reshape", "Squeeze"}
_ADDING = {"Add", "AddN", "AddV2", "Sub"}
_MULTIPLYING = {"Mul", "MulNoNan"}
_ZERO_OF_ZERO = {"Neg", "RealDiv", "Div", "DivNoNan"}


class FrozenPart:
    """The frozen rows of a table, as the tensors of its graph see them.

    Args:
      variable: `tf.Variable`.
      frozen_rows: `Rows` of it.
      axis: int, 0 or 1, the axis that ids count along.
    """

    def __init__(self, variable, frozen_rows, axis=0):
        self.variable = variable
        self.rows = frozen_rows
        self.axis = axis
        self._ids = frozen_rows.ids()
        self._all = np.ones(frozen_rows.count, bool)
        self._held = {}

    # Ids.

    def names(self, indices):
        """Tells whether `indices`, integers of any shape, can hold the id of a frozen row."""
        return bool(self._named(indices).any())

    def names_places(self, places):
        """Tells so for the places of `scatter_nd`, [..., 1 or 2]."""
        value = evaluate(places)
        if value is not None:
            return bool(self.rows.contains(value[..., self.axis]).any())
        return self.axis > 0 or places.shape.as_list()[-1:] != [1] or self.names(places)

    def _named(self, indices):
        """Returns a bool for each frozen row: whether `indices` can name it."""
        operation = indices.op
        value = evaluate(indices)
        if value is not None:
            return np.isin(self._ids, value)
        if indices.value_index == 0 and operation.type in _PASSING | _RESHAPING | _SUBSETS:
            return self._named(operation.inputs[0])
        if operation.type == "Fill":
            return self._named(operation.inputs[1])
        if operation.type in ("Concat", "ConcatV2", "Merge", "RefMerge", "Pack"):
            values = _values(operation)
            return np.any([self._named(each) for each in values], axis=0)
        if operation.type in ("Gather", "GatherV2", "GatherNd"):
            params, kept = operation.inputs[:2]
            where = _source(kept, _PASSING | _RESHAPING | {"StridedSlice"})
            named = self._named(params)
            # Of unknown rank are the indices of slices, which are a vector.
            flat = operation.type == "GatherNd" or params.shape.ndims in (None, 1)
            if where.op.type != "Where" or not flat:
                return named
            return named & self._may_be(where.op.inputs[0], params, True)
        if operation.type == "DynamicPartition":
            data, partitions = operation.inputs
            return self._named(data) & self._may_be(partitions, data, indices.value_index)
        if operation.type in ("Select", "SelectV2"):
            condition, *branches = operation.inputs
            return np.any(
                [
                    self._named(branch) & self._may_be(condition, branch, taken)
                    for taken, branch in zip((True, False), branches)
                ],
                axis=0,
            )
        if operation.type == "SparseAccumulatorTakeGradient" and indices.value_index == 0:
            # Of synchronous replicas: what they put in, after the handle and the step.
            given = [
                each.inputs[2]
                for each in operation.inputs[0].consumers()
                if each.type == "SparseAccumulatorApplyGradient"
            ]
            return np.any([self._named(each) for each in given], axis=0)
        if operation.type == "ListDiff" and indices.value_index == 0:
            dropped = evaluate(operation.inputs[1])
            named = self._named(operation.inputs[0])
            return named if dropped is None else named & ~np.isin(self._ids, dropped)
        return self._all

    def _may_be(self, tensor, ids, value):
        """Returns a bool for each frozen row: may `tensor` be `value` where `ids` name it?"""
        found = evaluate(tensor, _same_ids(ids), self._ids)
        if found is None or tensor.shape.ndims != ids.shape.ndims:
            return self._all
        hits = found == value
        return self._all & (hits.any() if hits.size == 1 else hits.any(axis=1))

    # Slices.

    def holds_in_slices(self, values, indices):
        """Returns `ZERO` or `ANY`, what slices hold that name frozen rows."""
        key = (values.name, indices.name)
        if key not in self._held:
            self._held[key] = ANY
            if self._are_zero(values, indices):
                self._held[key] = ZERO
        return self._held[key]

    def _are_zero(self, values, indices):
        operation = values.op
        at_frozen_rows = evaluate(values, _same_ids(indices), self._ids)
        if at_frozen_rows is not None:
            return not np.any(at_frozen_rows)
        inputs = list(operation.inputs)
        if operation.type in _MULTIPLYING:
            return any(self.holds_in_slices(each, indices) == ZERO for each in inputs)
        if (
            operation.type in _PASSING | _RESHAPING | _ZERO_OF_ZERO
            or operation.type == "Sum"
            and self._keeps_rows(operation)
        ):
            return self.holds_in_slices(inputs[0], indices) == ZERO
        pairs = _slices_within(values, _source(indices, _PASSING | _RESHAPING))
        return bool(pairs) and all(self.holds_in_slices(*pair) == ZERO for pair in pairs)

    # Tensors of the table's shape.

    def holds(self, tensor):
        """Returns what a tensor of the table's shape, or a number, holds in the frozen rows."""
        if tensor.name not in self._held:
            self._held[tensor.name] = ANY  # in a loop, for those that come back here
            self._held[tensor.name] = self._find_held(tensor)
        return self._held[tensor.name]

    def _find_held(self, tensor):
        operation, kind = tensor.op, tensor.op.type
        if self.is_read(tensor):
            return OWN
        if not self._is_aligned(tensor):
            return ANY
        value = evaluate(tensor)
        if value is not None:
            return _constant(self._part(value))
        inputs = list(operation.inputs)
        if kind in _PASSING | _RESHAPING and kind != "Cast":
            return self.holds(inputs[0])
        if kind == "Merge":
            return _common([self.holds(each) for each in inputs])
        if kind in ("Select", "SelectV2"):
            return self._of_selection(kind, *inputs)
        if kind in _MULTIPLYING:
            return _of_product([self.holds(each) for each in inputs])
        if kind in _ADDING:
            return _of_sum([self.holds(each) for each in inputs], kind)
        if kind in _ZERO_OF_ZERO:
            return ZERO if self.holds(inputs[0]) == ZERO else ANY
        if kind == "Sum" and self._keeps_rows(operation):
            return ZERO if self.holds(inputs[0]) == ZERO else ANY
        if kind == "UnsortedSegmentSum" and not self.axis:
            values, indices = inputs[:2]
            named = self.names(indices)
            return self.holds_in_slices(values, indices) if named else ZERO
        if kind == "ZerosLike":
            return ZERO
        if kind == "Pad":
            return self._of_padding(evaluate(inputs[1]))
        if kind == "StridedSliceGrad":
            return ANY if self.is_in_slice(operation, *inputs[1:4]) else ZERO
        return ANY

    def is_read(self, tensor):
        """Tells whether a tensor is the table itself, or what was read of it."""
        source = _source(tensor, _PASSING)
        if source.op.type == "ReadVariableOp":
            source = _source(source.op.inputs[0], _PASSING)
        return source.op is self.variable.op

    def is_gathered(self, values, indices):
        """Tells whether slices hold the table's own rows."""
        values = _source(values, _PASSING)
        if values.op.type not in ("Gather", "GatherV2", "ResourceGather"):
            return False
        params, gathered = values.op.inputs[:2]
        if params.op is not self.variable.op and not self.is_read(params):
            return False
        ids = [evaluate(each) for each in (indices, gathered)]
        if ids[0] is not None and ids[1] is not None:
            return np.array_equal(*ids)
        same = {each.name for each in _same_ids(indices)}
        return any(each.name in same for each in _same_ids(gathered))

    def _is_aligned(self, tensor):
        """Whether the rows of a tensor are those of the table, as far as its shape tells."""
        shape, table = tensor.shape, self.variable.shape
        if shape.ndims is None or shape.num_elements() == 1:
            return True
        return shape.ndims == table.ndims and shape.as_list()[self.axis] in (None, self.rows.size)

    def _part(self, value):
        """Returns the frozen rows of an array."""
        if np.ndim(value) <= self.axis or np.shape(value)[self.axis] != self.rows.size:
            return value
        return np.take(value, self._ids, self.axis)

    def _of_selection(self, kind, condition, taken, other):
        value = evaluate(condition)
        if value is None:
            return _common([self.holds(taken), self.holds(other)])
        # Only Select takes a vector for one flag a row.
        if value.ndim not in (0, self.variable.shape.ndims) and kind != "Select":
            return ANY
        part = self._part(value)
        branches = [taken] * bool(part.any()) + [other] * (not part.all())
        return _common([self.holds(each) for each in branches])

    def _keeps_rows(self, operation):
        axes = evaluate(operation.inputs[1])
        ndims = operation.inputs[0].shape.ndims
        return axes is not None and ndims and self.axis not in np.atleast_1d(axes) % ndims

    def _of_padding(self, paddings):
        if paddings is None:
            return ANY
        before, after = paddings[self.axis]
        return ANY if self._touches(slice(before, self.rows.size - after)) else ZERO

    def is_in_slice(self, operation, begin, end, strides):
        """Tells whether the slice that an operation takes of the table can hold a frozen row."""
        spec = [evaluate(each) for each in (begin, end, strides)]
        masks = {
            name: operation.get_attr(f"{name}_mask")
            for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
        }
        if any(each is None for each in spec):
            return True
        if masks["ellipsis"] or masks["new_axis"] or len(spec[0]) <= self.axis:
            return True
        start, stop, step = (int(each[self.axis]) for each in spec)
        if masks["shrink_axis"] & 1 << self.axis:
            return self._touches([start])
        whole = slice(
            None if masks["begin"] & 1 << self.axis else start,
            None if masks["end"] & 1 << self.axis else stop,
            step,
        )
        return self._touches(whole)

    def _touches(self, places):
        return bool(self.rows.contains(np.arange(self.rows.size)[places]).any())


def _source(tensor, kinds):
    """Follows a tensor back through operations of some kinds, by their first inputs."""
    while tensor.op.type in kinds and len(tensor.op.inputs):
        tensor = tensor.op.inputs[0]
    return tensor


def _same_ids(indices):
    """Returns the tensors that hold the same ids in the same order, whatever their shape."""
    tensors = [indices]
    while tensors[-1].op.type in _PASSING | _RESHAPING:
        tensors.append(tensors[-1].op.inputs[0])
    return tensors


def _slices_within(values, indices):
    """Returns the pairs of values and indices that slices are made of, none if it is not known."""
    pair = (values.op.type, indices.op.type)
    if pair == ("ConcatV2", "ConcatV2"):
        return list(zip(_values(values.op), _values(indices.op)))
    if pair in (("GatherV2", "GatherV2"), ("Gather", "Gather")):
        (all_values, kept), (all_indices, kept_indices) = (
            each.op.inputs[:2] for each in (values, indices)
        )
        return [(all_values, all_indices)] if kept.name == kept_indices.name else []
    if values.op.type == "UnsortedSegmentSum" and indices.op.type == "Unique":
        if values.op.inputs[1].op is indices.op:
            return [(values.op.inputs[0], indices.op.inputs[0])]
    return []


def _values(operation):
    """Returns those inputs of a concatenation that are concatenated."""
    inputs = list(operation.inputs)
    return {"ConcatV2": inputs[:-1], "Concat": inputs[1:]}.get(operation.type, inputs)


def _constant(array):
    if not np.any(array):
        return ZERO
    return ONE if np.all(array == 1) else ANY


def _common(held):
    return held[0] if len(set(held)) == 1 else ANY


def _of_product(held):
    if ZERO in held:
        return ZERO
    first, second = held
    if ONE in held and set(held) <= {ONE, OWN, NEAR}:
        return ONE if first == second else NEAR
    return ANY


def _of_sum(held, kind):
    rest = [each for each in held if each != ZERO]
    if not rest:
        return ZERO
    subtracted = kind == "Sub" and held[0] == ZERO
    return NEAR if rest in ([OWN], [NEAR]) and not subtracted else ANY
