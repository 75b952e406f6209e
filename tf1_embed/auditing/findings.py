"""What an audit finds: the kinds of findings, what each means, and what helps."""

from __future__ import annotations

import os
from typing import NamedTuple

from tf1_embed.graph.nodes import Node

_WRAP = "wrap the optimizer: tf1_embed.TrainableRowsOptimizer(optimizer, {table: trainable_rows})"
_FILTER = (
    "drop the gradients of frozen rows by id: "
    "tf1_embed.freeze_rows(grads_and_vars, {table: frozen_rows}), or " + _WRAP
)
_PROJECT = (
    "project the trainable rows only: tf1_embed.project_rows(table, trainable_rows, function)"
)
_SCATTER = (
    "write the trainable rows only: tf.scatter_update(table, trainable_rows.ids_tensor(), values)"
)

# From the kind of a finding to what happens and the remedy.
KINDS = {
    "gradient-of-frozen-rows": (
        "the slices of the gradient can name frozen rows, and the optimizer moves them",
        _FILTER,
    ),
    "dense-gradient": (
        "the gradient is dense, and not known to be zero in the frozen rows",
        _FILTER,
    ),
    "whole-table-regulariser": (
        "a term of the loss takes the whole table: its gradient reaches every frozen row",
        "regularise the vectors that were looked up, or " + _WRAP,
    ),
    "optimizer-moves-always": (
        "the optimizer moves or erases frozen rows though their gradient is zero or left out",
        _WRAP,
    ),
    "optimizer-moves-when-warm": (
        "the optimizer moves frozen rows by what its slot variables hold of earlier training, "
        "though their gradient is zero or left out",
        _WRAP,
    ),
    "special-bits-move": (
        "frozen rows are computed anew: ordinary values stay, but denormals become 0, signalling "
        "NaNs quiet, and some -0.0 becomes 0.0",
        "leave frozen rows out by id instead of masking them: " + _WRAP,
    ),
    "moves-if-not-finite": (
        "frozen rows are computed anew with a zero that is multiplied or divided: they become NaN "
        "where the gradient, a rate or a norm is not finite, or a slot is zero; else values stay, "
        "but for denormals, NaNs and some -0.0",
        "leave frozen rows out by id instead of masking them: " + _WRAP,
    ),
    "projection": (
        "a projection or `constraint` of the whole table is stored in frozen rows as well",
        _PROJECT,
    ),
    "moving-average-assigned": (
        "moving averages are assigned to frozen rows",
        _SCATTER,
    ),
    "assign": ("a value that is not the table's own is assigned to frozen rows", _SCATTER),
    "scatter": ("an update by ids can name frozen rows", _SCATTER),
    "restored-after-update": (
        "frozen rows are put back after something has moved them: who reads the table in between, "
        "such as another worker or a checkpoint, sees moved rows",
        _WRAP,
    ),
    "changed-in-place": (
        "an in-place operation is given what was read of the table, which may be its own memory",
        "give it a copy, such as x + 0, or write the trainable rows with tf.scatter_update",
    ),
    "destroyed": (
        "the variable is destroyed: its rows are gone, or those of one that is made anew",
        "leave the variable alone while it is in use",
    ),
    "not-understood": (
        "the operation is given the table, or what may be the table, and the audit does not know "
        "what it does; or its function cannot be read",
        "look at what it does, and prove the rows at run time: tf1_embed.FrozenRowsHook",
    ),
    "partition-strategy-disagrees": (
        "a lookup sends ids to other rows of the partitions than `partition_strategy` does: the "
        "frozen rows are not those of the old ids, which get wrong vectors",
        "give the lookup and the growth the same `partition_strategy`",
    ),
    "lookup-in-unequal-pieces": (
        "tf.nn.embedding_lookup takes separate variables for equal partitions of one table: ids "
        "get the vectors of other ids",
        "join them with tf1_embed.get_grown_table and tf1_embed.embedding_lookup",
    ),
    "constant-of-table-size": (
        "a constant as large as the table is stored in the graph, which cannot be saved over 2 GB",
        "give the old rows to tf1_embed.get_grown_table, which loads them in pieces",
    ),
    "epsilon-underflows": (
        "a constant of the step is 0 in the precision of the table: its rows may become NaN",
        "give the optimizer a larger epsilon, such as 1e-4",
    ),
}


class Finding(NamedTuple):
    """One way in which a graph can move a frozen row, or mistake it.

    Attributes:
      name: string, the kind of finding, a key of `KINDS`.
      table: string, the name of the variable.
      op: string, the name of the operation.
      op_type: string, its type, such as "ResourceApplyAdam".
      line: string, "file:line" of the code that made it; None where the graph was imported.
      what: string, what happens.
      remedy: string, what helps.
    """

    name: str
    table: str
    op: str
    op_type: str
    line: str | None
    what: str
    remedy: str

    def __str__(self) -> str:
        where = f"\n  made at {self.line}" if self.line else ""
        return (
            f"{self.name}: table {self.table!r}, {self.op_type} {self.op!r}{where}\n"
            f"  {self.what}\n  remedy: {self.remedy}"
        )


NOTES = {
    "moving-average-drifts": (
        "the step moves moving averages, which follow the model also where its table is frozen: "
        "an average of the table's rows, or the statistics of a batch normalisation",
        "run the update operations only while all rows train, or build with training=False",
    ),
}


def finding(name: str, table: str, node: Node) -> Finding:
    """Returns a `Finding` of a kind, or a note, about a node of a `Flow`.

    What is in a body has the name and the line of the operation that runs the body.
    """
    what, remedy = {**KINDS, **NOTES}[name]
    outer = node.outermost.op
    if node.caller is not None:
        what = f"{what} (in its body: {node.type} {node.op.name!r})"
    return Finding(name, table, outer.name, outer.type, _line_of(outer), what, remedy)


def _line_of(operation):
    """Returns "file:line" of the innermost code that is neither TensorFlow's nor this package's."""
    for frame in reversed(list(operation.traceback or ())):
        if not _is_library(frame[0]):
            return f"{frame[0]}:{frame[1]}"
    return None


def _is_library(path):
    folders = path.split(os.sep)
    for parent, folder in zip(folders, folders[1:]):
        if parent in ("site-packages", "dist-packages"):
            return folder.startswith(("tensorflow", "keras", "tf_keras"))
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.abspath(path).startswith(own + os.sep)
