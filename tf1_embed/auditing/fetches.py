"""Fetches, as `session.run` takes them."""

from __future__ import annotations

from typing import Any

import tensorflow.compat.v1 as tf

from tf1_embed.graph.variables import partitions_of


def flatten(fetches: Any, graph: tf.Graph) -> list[tf.Operation | tf.Tensor]:
    """Returns the operations and tensors that fetches are made of.

    Args:
      fetches: `tf.Operation`, `tf.Tensor`, `tf.SparseTensor`, `tf.IndexedSlices`, variable, name of
        an operation or tensor, or lists, tuples, dicts of them, in each other.
      graph: `tf.Graph` that names are of.

    Raises:
      TypeError: if there is something else among them.
      KeyError: if a name is of nothing in the graph.
    """
    found, pending = [], [fetches]
    while pending:
        each = pending.pop()
        parts = _parts(each)
        if parts is None:
            found.append(_element(each, graph))
        else:
            pending.extend(reversed(parts))
    return found


def _parts(fetch):
    """Returns what a fetch is made of, None if it is one."""
    if isinstance(fetch, dict):
        return list(fetch.values())
    if isinstance(fetch, (tf.SparseTensor, tf.SparseTensorValue)):
        return [fetch.indices, fetch.values, fetch.dense_shape]
    if isinstance(fetch, tf.IndexedSlices):
        return [
            each for each in (fetch.values, fetch.indices, fetch.dense_shape) if each is not None
        ]
    if isinstance(fetch, (list, tuple, set, frozenset)):
        return list(fetch)
    if hasattr(fetch, "as_tensor"):
        return partitions_of(fetch)
    if hasattr(fetch, "flat_values") and hasattr(fetch, "nested_row_splits"):
        return [fetch.flat_values, *fetch.nested_row_splits]
    fields = getattr(type(fetch), "__attrs_attrs__", None)
    if fields is not None:
        return [getattr(fetch, each.name) for each in fields]
    return None


def _element(fetch, graph):
    if isinstance(fetch, (str, bytes)):
        name = tf.compat.as_str(fetch)
        try:
            return graph.as_graph_element(name)
        except (KeyError, ValueError) as error:
            raise KeyError(
                f"`fetches` names {name!r}, which is no operation or tensor of the graph: "
                f"{error.args[0]}"
            ) from None
    if isinstance(fetch, (tf.Operation, tf.Tensor)):
        element = fetch
    elif hasattr(fetch, "op"):
        element = fetch.op
    else:
        raise TypeError(
            f"`fetches` must be operations, tensors, variables or names, as session.run takes "
            f"them, such as what `minimize` returns; got {fetch!r}"
        )
    if element.graph is not graph:
        raise ValueError(
            f"`fetches` has {element.name!r}, which is of another graph than the variables"
        )
    return element
