"""What a value holds in every run: by constants alone, or by each id alone.

A hand-made filter is not judged by its looks. It is tried with NumPy: the operations between the
ids and the filter are computed for every frozen row.

    ids ──>= 1000──> and ──> where ──> gather          ids := 0, 1, 2, ...  ──> which are kept?
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.auditing.constant_ops import TOO_LARGE
from tf1_embed.auditing.numpy_ops import OPERATIONS, SHAPED_BY, Known, compute
from tf1_embed.auditing.rules import SAME, Rules
from tf1_embed.graph.nodes import Value

# Where NumPy computes as TensorFlow does, bit for bit.
_DTYPES = frozenset(
    "bool float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32".split()
)

# What each of their outputs holds can be told.
_OF_SEVERAL_OUTPUTS = ("BroadcastGradientArgs", "IdentityN", "RefSwitch", "Switch")


class Knowledge(Rules):
    """What the values of a graph hold, if some of them hold given ids.

    Args:
      given: dict from `Value` to (array of ids [num_ids], form).
    """

    def __init__(self, given: dict[Value, tuple[np.ndarray, Any]] | None = None):
        super().__init__()
        self._given = given or {}

    def of(self, value: Value) -> Known | None:
        """Returns `Known`, or None if variables, placeholders or the like have a part in it."""
        return self.ask(self._known, value)

    def constant(self, value: Value) -> np.ndarray | None:
        """Returns the array that a value always holds, or None."""
        known = self.of(value)
        return known.array if known is not None and known.form is None else None

    def _known(self, value):
        if value in self._given:
            return Known(*self._given[value])
        node, kind = value.node, value.node.type
        if value.carries or value.dtype.name not in _DTYPES:
            return None
        if kind == "Const":
            return _checked(tf.make_ndarray(node.attr("value")))
        if value.index and kind not in _OF_SEVERAL_OUTPUTS:
            return None
        if kind in ("Shape", "Size", "Rank"):
            return _of_shape(kind, node.inputs[0], value)
        if kind == "IdentityN":
            return (yield (self._known, node.inputs[value.index]))
        if kind in SAME and node.inputs:
            return (yield (self._known, node.inputs[0]))
        if kind == "Merge" and len(node.inputs) == 1:
            return (yield (self._known, node.inputs[0]))
        if kind == "Merge":
            return _agreed((yield [(self._known, each) for each in node.inputs]))
        if kind not in OPERATIONS:
            return None
        inputs = yield [(self._known, each) for each in node.inputs]
        like = None
        if kind in SHAPED_BY and node.inputs[SHAPED_BY[kind]].node.type == "Shape":
            # The shape may be that of ids, which is as long as the batch.
            like = yield (self._known, node.inputs[SHAPED_BY[kind]].node.inputs[0])
        found = compute(value, inputs, like)
        return None if found is None else _checked(found.array, found.form)


def _checked(array, form=None):
    if array.size > TOO_LARGE:
        return None
    if np.issubdtype(array.dtype, np.floating):
        magnitude = np.abs(array)
        if (
            np.isnan(array).any()
            or ((magnitude > 0) & (magnitude < np.finfo(array.dtype).tiny)).any()
        ):
            return None  # Some devices take denormals for zero; NaN is compared as it comes.
    return Known(array, form)


def _of_shape(kind, source, value):
    dims = source.dims()
    if dims is None:
        return None
    if kind == "Rank":
        return Known(np.asarray(len(dims), value.dtype.as_numpy_dtype))
    if None in dims:
        return None
    found = np.prod(dims, dtype=np.int64) if kind == "Size" else dims
    return Known(np.asarray(found, value.dtype.as_numpy_dtype))


def _agreed(known):
    """Returns what all branches hold, if it is the same."""
    if not known or any(each is None or each.form is not None for each in known):
        return None
    first = known[0].array
    same = all(
        each.array.shape == first.shape and np.array_equal(each.array, first) for each in known
    )
    # Zeros of two signs are equal, and no ids.
    return known[0] if same and not np.issubdtype(first.dtype, np.floating) else None
