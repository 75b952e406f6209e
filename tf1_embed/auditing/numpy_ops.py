"""What operations compute, with NumPy, of constants and of ids.

What depends on ids must do so id by id, and in the place that the id has:

    known of          held as                      where `ids` has shape [batch]
    constants         their array
    ids, elementwise  [num_ids]                    a tensor [batch]
    ids, row by row   [num_ids, dim]               a tensor [batch, dim], such as rows of a mask

To teach the audit an operation, add it to one of the tables: `_ELEMENTWISE` if it acts on each
element by itself, else `_RULES`; to those of `constant_ops` if ids never come to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tf1_embed.auditing.constant_ops import OF_CONSTANTS, TOO_LARGE, index_of_slice
from tf1_embed.graph.nodes import Value


class Known:
    """What is known of a value.

    Attributes:
      array: what it holds: a constant's array, or [num_ids, ...], what it holds for each id.
      form: None for a constant. Else values of one form have their ids in the same places; "flat"
        is that of vectors.
    """

    __slots__ = ("array", "form")

    def __init__(self, array: np.ndarray, form: Any = None):
        self.array: np.ndarray = array
        self.form: Any = form

    @property
    def trailing(self) -> int:
        """The number of axes that come after those of the ids."""
        return self.array.ndim - 1


def compute(value: Value, inputs: list[Known | None], like: Known | None = None) -> Known | None:
    """Returns what an output of an operation holds, None if it is not known.

    Args:
      value: `Value`, of an operation in `OPERATIONS`.
      inputs: list of `Known`, of its inputs; or None, for those of which nothing is known.
      like: `Known` of the tensor whose shape the operation is given, if it is of one in
        `SHAPED_BY`.
    """
    kind = value.node.type
    if kind not in _SHAPING and any(each is None for each in inputs):
        return None
    try:
        with np.errstate(all="ignore"):
            if kind in _SHAPING:
                found = _SHAPING[kind](value, inputs, like)
            elif kind in _RULES:
                found = _RULES[kind](value, inputs)
            else:
                found = _elementwise(_ELEMENTWISE[kind], inputs, value)
    except (ValueError, TypeError, IndexError, MemoryError):
        return None  # Of shapes that never come together in the user's graph.
    if found is None or found.array.dtype != value.dtype.as_numpy_dtype:
        return None
    return found


def _of_integers(function):
    """Returns a division that is done where it is exact, and TensorFlow does not fail."""

    def divide(x, y):
        return function(x, y) if x.dtype.kind in "iu" and np.all(y) else None

    return divide


# From operations that act on each element by itself to what they compute.
_ELEMENTWISE = {
    "Abs": np.abs,
    "Add": np.add,
    "AddV2": np.add,
    "BitwiseAnd": np.bitwise_and,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
    "Equal": np.equal,
    "FloorDiv": _of_integers(np.floor_divide),
    "FloorMod": _of_integers(np.mod),
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
    "Less": np.less,
    "LessEqual": np.less_equal,
    "LogicalAnd": np.logical_and,
    "LogicalNot": np.logical_not,
    "LogicalOr": np.logical_or,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mul": np.multiply,
    "Neg": np.negative,
    "NotEqual": np.not_equal,
    "OnesLike": np.ones_like,
    "SelectV2": np.where,
    "Sign": np.sign,
    "Square": np.square,
    "Sub": np.subtract,
    "ZerosLike": np.zeros_like,
}
_REDUCTIONS = {"All": np.all, "Any": np.any, "Max": np.max, "Min": np.min, "Sum": np.sum}


def _elementwise(function, inputs, value):
    """Computes each element; None if ids would not stay in their places."""
    of_ids = [each for each in inputs if each.form is not None]
    if not of_ids:
        array = function(*[each.array for each in inputs])
        return None if array is None else Known(np.asarray(array))
    form, trailing = of_ids[0].form, of_ids[0].trailing
    if any(each.form != form or each.trailing != trailing for each in of_ids):
        return None
    arrays = []
    for each in inputs:
        array = each.array
        extra = array.ndim - trailing
        if each.form is None and extra > 0:
            # Axes that meet those of the ids must be of length one, and not add any.
            own = value.node.inputs[inputs.index(of_ids[0])].rank
            if own is None or array.ndim > own or any(n != 1 for n in array.shape[:extra]):
                return None
            array = array.reshape(array.shape[extra:])
        arrays.append(array)
    array = function(*arrays)
    return None if array is None else Known(np.asarray(array), form)


def _select(value, inputs):
    """Select, whose condition may be a vector that chooses rows."""
    condition, *branches = inputs
    if condition.form is None:
        if condition.array.ndim == 0:
            return branches[0 if condition.array else 1]
        if any(each.form is not None for each in branches):
            return None
        array = condition.array
        if array.ndim == 1 and branches[0].array.ndim > 1:
            array = array.reshape([-1] + [1] * (branches[0].array.ndim - 1))
        return Known(np.where(array, *[each.array for each in branches]))
    if any(each.form != condition.form for each in branches):
        return None
    if branches[0].trailing != branches[1].trailing:
        return None
    array = condition.array
    if condition.trailing == 0 and branches[0].trailing:
        array = array.reshape([-1] + [1] * branches[0].trailing)
    elif condition.trailing != branches[0].trailing:
        return None
    return Known(np.where(array, *[each.array for each in branches]), condition.form)


def _cast(value, inputs):
    array, dtype = inputs[0].array, np.dtype(value.dtype.as_numpy_dtype)
    if np.issubdtype(array.dtype, np.floating) and np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        # Others become what the machine makes of them.
        if not (np.isfinite(array) & (array >= limits.min) & (array < float(limits.max))).all():
            return None
    return Known(array.astype(dtype), inputs[0].form)


def _real_divide(value, inputs):
    if not value.dtype.is_floating:
        return None
    return _elementwise(np.divide, inputs, value)


def _gather(value, inputs):
    params, indices = inputs[:2]
    axis = inputs[2].array if len(inputs) > 2 else 0
    if params.form is not None or np.size(axis) != 1 or axis != 0 or value.node.attr("batch_dims"):
        return None
    if not params.array.ndim:
        return None
    places = indices.array
    if places.size and not (0 <= places.min() and places.max() < len(params.array)):
        return None  # TensorFlow fails on a CPU, and returns zeros on a GPU.
    if places.size * params.array[:1].size > TOO_LARGE:
        return None
    return Known(params.array[places], indices.form)


def _expand_dims(value, inputs):
    known, axis = inputs
    if axis.array.size != 1:
        return None
    axis = int(axis.array.reshape(()))
    if known.form is None:
        return Known(np.expand_dims(known.array, axis))
    rank = value.rank
    if axis < 0 and rank is not None:
        axis += rank
    if axis == -1 or rank is not None and axis == rank - 1:
        return Known(known.array[..., np.newaxis], known.form)
    return None


def _squeeze(value, inputs):
    known, axes = inputs[0], value.node.attr("squeeze_dims")
    rank = value.node.inputs[0].rank
    if known.form is None:
        return Known(np.squeeze(known.array, tuple(axes) if axes else None))
    if not axes or rank is None or any(each % rank < rank - known.trailing for each in axes):
        return None
    return Known(np.squeeze(known.array, tuple(each % rank - rank for each in axes)), known.form)


def _strided_slice(value, inputs):
    known, *ends = inputs
    if any(each.form is not None for each in ends):
        return None
    index = index_of_slice(value.node, *[each.array for each in ends])
    if known.form is None:
        return Known(np.asarray(known.array[index]))
    rank = value.node.inputs[0].rank
    if rank is None:
        return None
    leading = rank - known.trailing
    if Ellipsis in index:
        place = index.index(Ellipsis)
        axes = sum(each is not Ellipsis and each is not np.newaxis for each in index)
        index = index[:place] + (slice(None),) * (rank - axes) + index[place + 1 :]
    if any(each != slice(None) for each in index[:leading]):
        return None  # Ids would leave their places.
    return Known(known.array[(slice(None), *index[leading:])], known.form)


def _reduce(value, inputs):
    known, axes = inputs
    if axes.form is not None:
        return None
    rank = value.node.inputs[0].rank
    axes = [int(each) for each in np.atleast_1d(axes.array)]
    keep = bool(value.node.attr("keep_dims"))
    function = _REDUCTIONS[value.node.type]
    if value.node.type == "Sum" and value.dtype.is_floating:
        return None  # in another order
    if known.form is not None:
        if rank is None or any(each % rank < rank - known.trailing for each in axes):
            return None
        axes = [each % rank - rank for each in axes]
    array = function(known.array, tuple(axes), keepdims=keep)
    return Known(np.asarray(array, value.dtype.as_numpy_dtype), known.form)


def _fill(value, inputs, like):
    dims, content = inputs
    if content is None or content.array.ndim:
        return None
    if like is not None and like.form is not None and content.form is None:
        return Known(np.full(like.array.shape, content.array), like.form)
    if dims is None or dims.form is not None or content.form is not None:
        return None
    if np.prod(dims.array, dtype=np.float64) > TOO_LARGE:
        return None
    return Known(np.full(dims.array, content.array))


def _reshape(value, inputs, like):
    known, dims = inputs
    if known is None:
        return None
    array = known.array
    if known.form is None:
        if dims is None or dims.form is not None:
            return None
        return Known(array.reshape(dims.array))
    if array[:1].size != 1:
        return None
    array = array.reshape([-1])
    if like is not None and like.form is not None and like.array.ndim == 1:
        return Known(array, like.form)
    if value.rank == 1:
        return Known(array, "flat")
    if value.rank == 2 and value.dims()[1] == 1:
        return Known(array[:, np.newaxis], "flat")
    return Known(array, ("form", value))


def _bound(function):
    def rule(value, inputs):
        table, values = inputs
        if table.form is not None or table.array.shape[:1] != (1,) or value.rank != 2:
            return None
        if (np.diff(table.array[0]) < 0).any():
            return None
        found = np.searchsorted(table.array[0], values.array, function)
        return Known(found.astype(value.dtype.as_numpy_dtype), values.form)

    return rule


def _constants(function):
    """Returns a rule for an operation on constants alone."""

    def rule(value, inputs):
        if any(each.form is not None for each in inputs):
            return None
        array = function(value.node, *[each.array for each in inputs])
        return None if array is None else Known(np.asarray(array, value.dtype.as_numpy_dtype))

    return rule


def _broadcast_gradient_args(value, inputs):
    """The axes along which the gradient of a broadcast operand is summed, of one of the two."""
    if any(each.form is not None for each in inputs):
        return None
    shape = inputs[value.index].array
    rank = max(len(each.array) for each in inputs)
    axes = np.arange(rank)
    is_one = np.concatenate([np.ones(rank - len(shape), bool), np.asarray(shape) == 1])
    return Known(axes[is_one].astype(value.dtype.as_numpy_dtype))


_RULES = {
    "BroadcastGradientArgs": _broadcast_gradient_args,
    "Cast": _cast,
    "ExpandDims": _expand_dims,
    "Gather": _gather,
    "GatherV2": _gather,
    "LowerBound": _bound("left"),
    "RealDiv": _real_divide,
    "Select": _select,
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "UpperBound": _bound("right"),
}
_RULES.update((kind, _constants(function)) for kind, function in OF_CONSTANTS.items())
_RULES.update(dict.fromkeys(_REDUCTIONS, _reduce))

# Their shapes may be those of ids: what they do with them, and which input is the shape.
_SHAPING = {"Fill": _fill, "Reshape": _reshape}
SHAPED_BY = {"Fill": 0, "Reshape": 1}

OPERATIONS = frozenset([*_ELEMENTWISE, *_RULES, *_SHAPING])
