"""What operations compute of constants alone, with NumPy.

Where their inputs depend on ids, nothing is known of what they give out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tf1_embed.graph.nodes import Node

# More than this is not computed. In elements.
TOO_LARGE = 1 << 27


def index_of_slice(node: Node, begin: np.ndarray, end: np.ndarray, strides: np.ndarray) -> tuple:
    """Returns the tuple with which NumPy takes the slice that an operation takes."""
    masks = {
        name: node.attr(f"{name}_mask")
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    index: list[Any] = []
    for i, (first, last, step) in enumerate(zip(begin, end, strides)):
        bit = 1 << i
        if masks["ellipsis"] & bit:
            index.append(Ellipsis)
        elif masks["new_axis"] & bit:
            index.append(np.newaxis)
        elif masks["shrink_axis"] & bit:
            index.append(int(first))
        else:
            first = None if masks["begin"] & bit else int(first)
            last = None if masks["end"] & bit else int(last)
            whole = first is None and last is None and step == 1
            index.append(slice(None) if whole else slice(first, last, int(step)))
    return tuple(index)


def _range(node, start, limit, delta):
    if delta == 0 or abs((float(limit) - float(start)) / float(delta)) > TOO_LARGE:
        return None
    if not np.issubdtype(start.dtype, np.integer):
        return None
    return np.arange(start, limit, delta)


def _slice(node, array, begin, size):
    ends = [None if length < 0 else first + length for first, length in zip(begin, size)]
    return array[tuple(slice(*pair) for pair in zip(begin, ends))]


def _tile(node, array, multiples):
    too_large = array.size * np.prod(multiples, dtype=np.float64) > TOO_LARGE
    return None if too_large else np.tile(array, multiples)


def _broadcast(node, array, shape):
    too_large = np.prod(shape, dtype=np.float64) > TOO_LARGE
    return None if too_large else np.broadcast_to(array, shape)


def _one_hot(node, indices, depth, on, off):
    if node.attr("axis") != -1 or indices.size * float(depth) > TOO_LARGE:
        return None
    return np.where(indices[..., np.newaxis] == np.arange(depth), on, off)


def _product(node, array, axes):
    if array.dtype.kind != "i" or node.attr("keep_dims"):
        return None
    return np.prod(array, tuple(np.atleast_1d(axes)))


# From operations to what they compute of a node and the arrays it is given; None if not known.
OF_CONSTANTS = {
    "BroadcastTo": _broadcast,
    "ConcatV2": lambda node, *arrays: np.concatenate(arrays[:-1], int(arrays[-1])),
    "OneHot": _one_hot,
    "Pack": lambda node, *arrays: np.stack(arrays, node.attr("axis")),
    "Prod": _product,
    "Range": _range,
    "ReverseV2": lambda node, array, axes: np.flip(array, tuple(axes)),
    "Slice": _slice,
    "Tile": _tile,
    "Transpose": lambda node, array, axes: np.transpose(array, axes),
}
