"""The audit: what in a finished graph can still move a frozen row.

Three questions, each in a module of its own:

- which operations reach the table (`graph.flow`, `graph.train_ops`, and the table of operations in
  `graph.op_kinds`),
- which rows a write names (`ids`),
- what it puts there (`contents`).

`writes` puts them together. What is not understood is a finding.
"""

from __future__ import annotations

from typing import Any

import tensorflow.compat.v1 as tf

from tf1_embed.auditing.fetches import flatten
from tf1_embed.auditing.findings import finding
from tf1_embed.auditing.known import Knowledge
from tf1_embed.auditing.lookups import find_lookups
from tf1_embed.auditing.notes import find_notes
from tf1_embed.auditing.result import AuditResult, NotAudited, report
from tf1_embed.auditing.rules import same_as
from tf1_embed.auditing.writes import TableWrites
from tf1_embed.graph.flow import Flow
from tf1_embed.graph.train_ops import check_precision, operations_under
from tf1_embed.graph.variables import (
    check_variable,
    full_name,
    resolve_variables,
    rows_by_partition,
)
from tf1_embed.rows import RowsLike

# A smaller constant does no harm, however small the table is. In bytes.
_LARGE_CONSTANT = 1 << 20

_RESTORES = frozenset(["Restore", "RestoreSlice", "RestoreV2"])
# What stands between the operation that restores a tensor and the one that assigns it.
_BETWEEN = frozenset("Cast ExpandDims Reshape Slice Squeeze StridedSlice".split())


def audit(
    fetches: Any,
    frozen_rows: dict[Any, RowsLike],
    strict: bool = False,
    axis: int = 0,
    partition_strategy: str | None = None,
) -> AuditResult:
    """Finds what can move a frozen row when something is run.

    Walks the graph from `fetches` to every operation that can reach a table, in branches, loops and
    functions too, and asks which rows it writes, and what. Filters by id are tried on every frozen
    id, so it does not matter who made them. What the graph does not decide counts as movement: the
    mask that is fed, the ids of a placeholder that are always new ones, the slots that are still
    cold. An operation of which it is not known what it does to a table is a finding.

    Only what `fetches` run is audited: not `Variable.load` or another process. The operations that
    write a table and are not run, such as other training operations, are listed in the result.

    Args:
      fetches: what is run in a step, as `session.run` takes it: operations, such as the training
        operation, tensors, sparse tensors, slices, variables, names, or lists and dicts of them.
      frozen_rows: dict from variable to its rows that should stay: `Rows`, or ids, a `range`, a
        slice, or a bool vector with one flag a row. A variable may be given by its name, or by a
        pattern of trainable ones such as `*/embeddings`, with its axis after a colon, as in
        `projection:1`. A partitioned variable, or the tuple of its partitions, takes the rows of
        the whole table.
      strict: bool, whether findings raise an error.
      axis: int, the axis of the variables that ids count along.
      partition_strategy: "mod" or "div", how ids go to the partitions of a partitioned variable.

    Returns:
      `AuditResult`, a list of `Finding`; empty when nothing that runs can move a frozen row. Its
      attributes say what was looked at: `fetches`, `tables`, `not_audited`, `notes`.

    Raises:
      TypeError: if a key of `frozen_rows` is not a variable, or a value no rows; if `fetches` has
        what cannot be run.
      KeyError: if a name matches no variable (those there are being listed), or a fetch nothing.
      ValueError: if a variable has another number of rows than its `Rows`; if it has partitions and
        `partition_strategy` is not given; if `fetches` are of another graph; if `strict` and there
        are findings.

    Example:
      >>> import numpy as np
      >>> import tensorflow.compat.v1 as tf
      >>> import tf1_embed
      >>> frozen = tf1_embed.Rows.range(0, 2, size=4)
      >>> with tf.Graph().as_default():
      ...     table = tf.get_variable("table", [4, 2])
      ...     loss = tf.reduce_sum(tf.nn.embedding_lookup(table, [2, 3]))
      ...     adam = tf.train.AdamOptimizer()
      ...     trap = adam.minimize(loss)
      ...     remedy = tf1_embed.TrainableRowsOptimizer(adam, {table: ~frozen}).minimize(loss)
      ...     found = tf1_embed.audit(trap, {table: frozen})
      ...     nothing = tf1_embed.audit(remedy, {table: frozen})
      >>> [each.name for each in found], nothing
      (['optimizer-moves-when-warm'], [])
    """
    tables = []
    for key, own_axis, rows in resolve_variables(frozen_rows, "frozen_rows"):
        own_axis = axis if own_axis is None else own_axis
        parts = rows_by_partition(key, rows, partition_strategy, own_axis)
        for variable, part_rows in parts:
            check_variable(variable, part_rows, own_axis)
        tables.append((key, own_axis, parts))
    variables = [variable for *_, parts in tables for variable, _ in parts]
    graph = variables[0].op.graph if variables else tf.get_default_graph()
    elements = flatten(fetches, graph)
    flow = Flow(graph)
    walk = _Walk(graph, flow, flow.run_by(elements), _initializing(graph, variables))
    for _, own_axis, parts in tables:
        walk.look_at(parts, own_axis, partition_strategy if len(parts) > 1 else None)
    names = [full_name(key) for key, *_ in tables]
    notes = find_notes(flow, walk.run, [each.op.name for each in variables] + names)
    found = AuditResult(
        sorted(set(walk.found), key=lambda each: (each.table, each.op, each.name, each.what)),
        list(dict.fromkeys(each.name for each in elements)),
        names,
        sorted(set(walk.not_audited)),
        sorted(notes, key=lambda each: each.table),
    )
    if strict and found:
        raise ValueError(report(found))
    return found


class _Walk:
    """What is found in one graph, table by table."""

    def __init__(self, graph, flow, run, initializing):
        self._graph, self._flow, self.run = graph, flow, run
        self._initializing = initializing
        self._constants = Knowledge()
        self._operations = {each.op for each in run if each.caller is None and each.op is not None}
        self.found, self.not_audited = [], []

    def look_at(self, parts, axis, strategy):
        found = []
        for variable, rows in parts:
            if rows.count:
                found += self._look_at_variable(variable, rows, axis)
        for variable, _ in parts:
            found += self._find_precision(found, variable)
        variables = [variable for variable, _ in parts]
        found += find_lookups(self._flow, self.run, variables, strategy)
        self.found += found + self._find_constants(variables)

    def _look_at_variable(self, variable, rows, axis):
        writes = TableWrites(self._flow, self.run, self._constants, variable, rows, axis)
        for node in writes.not_run():
            outer = node.outermost.op
            why = "not fetched"
            if _restores(node):
                why = "restore"
            elif outer in self._initializing:
                why = "initializer"
            self.not_audited.append(NotAudited(variable.op.name, outer.name, outer.type, why))
        return writes.find()

    def _find_precision(self, found, variable):
        """Returns a finding if the optimizer of a table divides by what underflows in it."""
        culprits = {
            each.op
            for each in found
            if each.table == variable.op.name and each.name.startswith(("optimizer", "gradient"))
        }
        for operation in sorted(self._operations, key=lambda each: each.name):
            if operation.name in culprits:
                try:
                    check_precision(operations_under(operation), variable)
                except ValueError:
                    node = self._flow.node(operation)
                    return [finding("epsilon-underflows", variable.op.name, node)]
        return []

    def _find_constants(self, variables):
        """Returns findings about constants of at least a table's size, wherever in the graph."""
        sizes = [each.shape.num_elements() * each.dtype.base_dtype.size for each in variables]
        smallest = max(_LARGE_CONSTANT, sum(sizes))
        return [
            finding("constant-of-table-size", variables[0].op.name, self._flow.node(each))
            for each in self._graph.get_operations()
            if each.type == "Const"
            and each.outputs[0].shape.num_elements() * each.outputs[0].dtype.size >= smallest
        ]


def _initializing(graph, variables):
    """Returns the operations that run when variables are initialized."""
    with graph.as_default():
        made = tf.global_variables() + tf.local_variables() + list(variables)
    found = set()
    for each in {one.initializer for one in made if one.initializer is not None}:
        if each not in found:
            found |= operations_under(each)
    return found


def _restores(node):
    """Whether a node assigns what a checkpoint holds, as it is."""
    if node.op is None or len(node.inputs) < 2:
        return False
    return same_as(node.inputs[1], _BETWEEN).node.type in _RESTORES
