"""The audit of a graph that was saved, in a `.meta` file."""

from __future__ import annotations

import os
import warnings
from typing import Any

import tensorflow.compat.v1 as tf

from tf1_embed.auditing.live_graph import audit
from tf1_embed.auditing.result import AuditResult, report
from tf1_embed.rows import RowsLike

# How deep functions may call each other, and how many operations that may be.
_MAX_DEPTH = 1000
_MAX_SIZE = 10_000_000


def audit_metagraph(
    path: str,
    frozen_rows: dict[str, RowsLike],
    fetches: list[str] | None = None,
    strict: bool = False,
    axis: int = 0,
    partition_strategy: str | None = None,
) -> AuditResult:
    """Finds what can move a frozen row in a graph that was saved.

    Args:
      path: string, a `.meta` file, as `tf.train.Saver` or `tf.train.export_meta_graph` writes it.
      frozen_rows: dict from the name of a variable, or a pattern of trainable ones such as
        `*/embeddings`, to its rows that should stay, as `audit` takes them. A partitioned variable
        has the name it was made with.
      fetches: names of the operations that are run in a step. Default: those of the collection
        `tf.GraphKeys.TRAIN_OP`; if it is empty, every operation that writes a table, but for
        initializers and what restores checkpoints.
      strict: bool, as for `audit`.
      axis: int, as for `audit`.
      partition_strategy: string, as for `audit`.

    Returns:
      `AuditResult`, a list of `Finding`, whose `line` is None: a saved graph does not tell it.

    Raises:
      FileNotFoundError: if there is no such file.
      KeyError: if a name matches no variable (those there are being listed), or a fetch nothing.
      ValueError: if the file holds no graph that can be read; and as for `audit`.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no file {path!r}; expected the graph that a Saver writes beside a "
            f"checkpoint, such as 'runs/model.ckpt-1000.meta'"
        )
    with tf.Graph().as_default():
        _import(path)
        if fetches is None:
            fetches = tf.get_collection(tf.GraphKeys.TRAIN_OP)
        if not fetches:
            unasked = audit([], frozen_rows, False, axis, partition_strategy)
            fetches = sorted({each.op for each in unasked.left_out})
        found = audit(fetches, frozen_rows, False, axis, partition_strategy)
    found[:] = [each._replace(line=None) for each in found]
    found.notes = [each._replace(line=None) for each in found.notes]
    if strict and found:
        raise ValueError(report(found))
    return found


def _import(path):
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            # Some releases of protobuf warn of what they cannot read, and go on.
            warnings.simplefilter("error", RuntimeWarning)
            meta_graph = tf.MetaGraphDef.FromString(file.read())
        if not meta_graph.graph_def.node:
            raise ValueError("it has no operations")
        check_library(meta_graph.graph_def.library)
        tf.train.import_meta_graph(meta_graph, clear_devices=True)
    except Exception as error:  # of protobuf, of the file system, of TensorFlow: whatever it is
        reason = str(error).strip().split("\n")[0][:300]
        raise ValueError(
            f"{path!r} holds no graph that can be read: {reason or type(error).__name__}. Expected "
            f"the graph that a Saver writes beside a checkpoint; operations of a library of your "
            f"own need it to be loaded first"
        ) from error


def check_library(library: Any) -> None:
    """Raises a ValueError for functions that TensorFlow cannot import.

    It lays out what functions call: for ever, or until its stack ends, if they call themselves.
    """
    functions = {each.signature.name: each for each in library.function}
    calls = {name: _called_by(each, functions) for name, each in functions.items()}
    sizes: dict[str, int] = {}
    depths: dict[str, int] = {}
    entered: set[str] = set()
    for name in functions:
        pending = [name]
        while pending:
            each = pending[-1]
            missing = [called for called in calls[each] if called not in sizes]
            if each in sizes or not missing:
                pending.pop()
                below = [depths[called] for called in calls[each]]
                depths[each] = 1 + max(below, default=0)
                sizes[each] = len(functions[each].node_def) + sum(sizes[c] for c in calls[each])
            elif each in entered:
                raise ValueError(f"function {each!r} calls itself, by way of others or not")
            else:
                entered.add(each)
                pending.extend(missing)
        if depths[name] > _MAX_DEPTH or sizes[name] > _MAX_SIZE:
            raise ValueError(
                f"function {name!r} calls others, {depths[name]} deep, which have {sizes[name]} "
                f"operations when they are laid out"
            )


def _called_by(function, functions):
    """Returns the names of the functions that one calls, as often as it does."""
    called = []
    for node in function.node_def:
        if node.op in functions:
            called.append(node.op)
        for attribute in node.attr.values():
            named = [attribute.func] if attribute.HasField("func") else attribute.list.func
            called += [each.name for each in named if each.name in functions]
    return called
