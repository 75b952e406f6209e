"""Lookups that send ids to other rows than the growth of the table does."""

from __future__ import annotations

import collections

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.auditing.findings import Finding, finding
from tf1_embed.auditing.known import Knowledge
from tf1_embed.auditing.rules import same_as
from tf1_embed.graph.flow import Flow
from tf1_embed.graph.nodes import Node
from tf1_embed.graph.variables import variable_key
from tf1_embed.partitions import Partitions

_GATHERS = ("Gather", "GatherV2", "ResourceGather")


def find_lookups(
    flow: Flow, run: set[Node], variables: list[tf.Variable], strategy: str | None
) -> list[Finding]:
    """Returns the findings about lookups that join several variables, some of them audited.

        ids ──mod──> dynamic_partition ──> gather from part_0
                                       └─> gather from part_1

    What each id gets is found by computing the operations before the gathers for every id.

    Args:
      flow: `Flow` of the graph.
      run: set of `Node`, those that run.
      variables: list of the audited variables; with `strategy` the partitions of one table.
      strategy: "mod" or "div", how ids should go to the partitions; None for a variable that is
        audited by itself.

    Returns:
      list of `Finding`.
    """
    audited = [variable_key(each.op) for each in variables]
    found = []
    for partition, gathers in _partitioned_gathers(run).items():
        tables = [_table_of(flow, each) for each in gathers]
        if None in tables or not set(audited).intersection(tables) or len(set(tables)) == 1:
            continue
        sizes = [_num_rows(each) for each in gathers]
        if None in sizes:
            continue
        rows = _rows_looked_up(partition, sum(sizes))
        if rows is None:
            continue
        name = variables[0].op.name
        if strategy is not None and tables == audited:
            if not _agree(rows, sizes, strategy):
                found.append(finding("partition-strategy-disagrees", name, partition))
        elif not _are_partitions(tables) and not _agree(rows, sizes, "div"):
            found.append(finding("lookup-in-unequal-pieces", name, partition))
    return found


def _partitioned_gathers(run):
    """Returns a dict from each `dynamic_partition` to its gathers, one for each output."""
    gathers = collections.defaultdict(dict)
    for node in run:
        if node.type in _GATHERS:
            ids = node.inputs[1]
            if ids.node.type == "DynamicPartition":
                gathers[ids.node][ids.index] = node
    return {
        partition: [of_output[i] for i in range(len(partition.outputs))]
        for partition, of_output in gathers.items()
        if len(of_output) == len(partition.outputs)
    }


def _table_of(flow, gather):
    """Returns the key of the variable that rows are gathered from, None if it is none."""
    source = gather.inputs[0]
    while not source.carries:
        source = same_as(source)
        if source.carries:
            break
        if source.node.type not in ("Identity", "ReadVariableOp") or not source.node.inputs:
            return None
        source = source.node.inputs[0]
    origins = flow.origins[source]
    return next(iter(origins)) if len(origins) == 1 else None


def _num_rows(gather):
    """Returns the number of rows of the table that is gathered from, None if it is not known."""
    source = gather.inputs[0]
    if gather.type != "ResourceGather":
        return (source.dims() or [None])[0]
    node = same_as(source).node
    return node.attr("shape").dim[0].size if node.type == "VarHandleOp" else None


def _rows_looked_up(partition, num_ids):
    """Returns the piece and the row that each id is looked up as, [num_ids]; None if unknown."""
    data, pieces = partition.inputs
    ids = np.arange(num_ids)
    for each in _upstream(data):
        form = "flat" if each.rank == 1 else ("form", each)
        knowledge = Knowledge({each: (ids.astype(each.dtype.as_numpy_dtype), form)})
        piece, row = (knowledge.of(one) for one in (pieces, data))
        if piece is not None and row is not None and None not in (piece.form, row.form):
            return piece.array.reshape(-1), row.array.reshape(-1)
    return None


def _upstream(value):
    """Yields the values that a tensor of ids may have been computed from, the nearest first."""
    pending, seen = [value], set()
    while pending and len(seen) < 50:
        each = pending.pop(0)
        if each in seen:
            continue
        seen.add(each)
        yield each
        pending.extend(one for one in each.node.inputs if one.dtype.is_integer)


def _agree(rows, sizes, strategy):
    """Tells whether each id is looked up as the row that a partition strategy gives it."""
    expected = Partitions(tuple(sizes), strategy).locate(np.arange(sum(sizes)))
    return all(np.array_equal(*pair) for pair in zip(rows, expected))


def _are_partitions(tables):
    """Whether variables are named as the partitions of one variable are."""
    return len({name.rpartition("/part_")[0] for *_, name in tables} - {""}) == 1
