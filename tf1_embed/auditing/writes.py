"""What each operation that can reach a table does to its frozen rows.

The three questions of an audit meet here: which operations reach the table (`graph.train_ops`),
which rows they name (`ids`), and what they put there (`contents`).
"""

from __future__ import annotations

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.auditing.audited_table import AuditedTable
from tf1_embed.auditing.contents import Contents
from tf1_embed.auditing.findings import Finding, finding
from tf1_embed.auditing.ids import NamedRows
from tf1_embed.auditing.known import Knowledge
from tf1_embed.auditing.words import ANY, NEAR, NEAR_IF_FINITE, NOTHING, OWN, ZERO, ZEROS
from tf1_embed.graph import op_kinds
from tf1_embed.graph.flow import Flow
from tf1_embed.graph.nodes import Node
from tf1_embed.graph.train_ops import writers_of
from tf1_embed.rows import Rows

_REGULARISERS = ("Abs", "L2Loss", "Square")

# What is no finding.
_OWN = "own"  # Frozen rows get what they hold.


class TableWrites:
    """The operations of a graph that can write a table, and what they do to its frozen rows.

    Args:
      flow: `Flow` of the graph.
      run: set of `Node`, those that run.
      constants: `Knowledge` of the graph's constants.
      variable: `tf.Variable`.
      frozen_rows: `Rows` of it.
      axis: int, the axis that ids count along.
    """

    def __init__(
        self,
        flow: Flow,
        run: set[Node],
        constants: Knowledge,
        variable: tf.Variable,
        frozen_rows: Rows,
        axis: int = 0,
    ):
        self._flow, self._run, self._constants = flow, run, constants
        self._variable, self._rows, self._axis = variable, frozen_rows, axis
        self._table = AuditedTable(flow, constants, variable, frozen_rows, axis)
        self._named_rows = NamedRows(flow, constants, self._table.ids)
        self._contents = Contents(self._table, constants, self._named_rows)
        self._writers = writers_of(flow, variable)

    def not_run(self) -> list[Node]:
        """Returns the list of the `Node` that can write the table and do not run."""
        return [each.node for each in self._writers if each.node not in self._run]

    def find(self) -> list[Finding]:
        """Returns the list of findings about what runs."""
        writers = [each for each in self._writers if each.node in self._run]
        kind_of = {each.node: self._kind(each) for each in writers}
        kind_of.update(dict.fromkeys(self._changed_in_place(), "changed-in-place"))
        moving = {node for node, kind in kind_of.items() if kind not in (None, _OWN)}
        found = []
        for node, kind in kind_of.items():
            puts = kind == _OWN or kind in ("assign", "scatter") and not self._reads(node)
            if puts and moving.intersection(self._flow.upstream([node])) - {node}:
                kind = "restored-after-update"
            if kind not in (None, _OWN):
                found.append(self._finding(kind, node))
            if kind in ("dense-gradient", "gradient-of-frozen-rows"):
                found += self._regularisers(node)
        return found

    def _finding(self, kind, node):
        return finding(kind, self._variable.op.name, node)

    def _regularisers(self, node):
        return [
            self._finding("whole-table-regulariser", each)
            for each in self._flow.upstream([node])
            if each.type in _REGULARISERS and self._table.is_read(each.inputs[0])
        ]

    # Each way to write.

    def _kind(self, writer):
        """Returns the kind of finding; `_OWN` if rows get what they hold, None if nothing."""
        node, how = writer.node, writer.how
        if how in ("unreadable", "unknown"):
            return "not-understood"
        if 0 not in writer.places:
            return "assign"  # as a slot variable of another table
        return _JUDGES[how](self, node, node.arguments())

    def _of_assign(self, node, arguments):
        words = self._contents.held(arguments["value"])
        if (words == OWN).all():
            return _OWN
        if (words <= NEAR).all() and (words >= OWN).all():
            return "special-bits-move"
        if (words <= NEAR_IF_FINITE).all() and (words >= OWN).all():
            return "moves-if-not-finite"
        sources = self._sources(arguments["value"])
        if any("ExponentialMovingAverage" in each.op.name for each in sources):
            return "moving-average-assigned"
        others = [each for each in sources if not self._table.is_made_by(each)]
        if len(others) == len(sources):
            return "assign"
        if not others:
            return "projection"
        # A custom optimizer that computes the next value of the table from its slots.
        return "optimizer-moves-always" if any(map(self._table.is_as_large, others)) else "assign"

    def _of_difference(self, node, arguments):
        kind = _kind_of_zero(self._contents.held(arguments["value"]))
        if kind is not None:
            return kind
        sources = self._sources(arguments["value"])
        if any(self._table.is_made_by(each) for each in sources):
            return "optimizer-moves-always"  # decoupled weight decay
        slots = {each.op for each in sources if self._table.is_as_large(each)}
        scatters = [
            each
            for each in self._flow.upstream([node])
            if op_kinds.WRITES.get(each.type, "").startswith("scatter")
            and any(one.op in slots for one in self._sources(each.inputs[0]))
        ]
        if not scatters:
            return "assign"
        for each in scatters:
            slices = each.arguments()
            if self._of_slices(slices["updates"], slices["indices"]) is not None:
                words = self._words_of_slices(slices["updates"], slices["indices"])
                if _kind_of_zero(words) is None:
                    return "gradient-of-frozen-rows"
        return "optimizer-moves-when-warm"

    def _of_scatter(self, node, arguments):
        if self._axis == 0:
            named = self._named_rows.named(arguments["indices"])
            if not named.any():
                return None
            words = self._contents.held_in_slices(arguments["updates"], arguments["indices"])
            if node.type.endswith("Update") and (words[named] == OWN).all():
                return _OWN
        return "scatter"

    def _of_scatter_places(self, node, arguments):
        indices = arguments["indices"]
        places = self._constants.constant(indices)
        if places is not None:
            if places.ndim and places.shape[-1] > self._axis:
                return "scatter" if self._rows.contains(places[..., self._axis]).any() else None
            return "scatter"
        dims = indices.dims()
        vector = self._axis == 0 and dims is not None and dims[-1:] == [1]
        return None if vector and not self._named_rows.named(indices).any() else "scatter"

    def _of_scatter_difference(self, node, arguments):
        return self._of_slices(arguments["updates"], arguments["indices"])

    def _of_sparse_optimizer(self, node, arguments):
        return self._of_slices(arguments["grad"], arguments["indices"], node)

    def _of_optimizer(self, node, arguments):
        gradient = arguments.get("grad", arguments.get("delta"))
        return self._of_zero_gradient(self._contents.held(gradient), node) or "dense-gradient"

    def _of_slice(self, node, arguments):
        ends = [arguments[each] for each in ("begin", "end", "strides")]
        rows = self._table.rows_of_slice(node, *ends)
        return "assign" if rows is None or rows.any() else None

    def _of_slices(self, values, indices, optimizer=None):
        """Returns what slices of a gradient, or of a difference, do to the rows that they name."""
        if self._axis == 0 and not self._named_rows.named(indices).any():
            return None
        words = self._words_of_slices(values, indices)
        if optimizer is None:
            return _kind_of_zero(words) or "gradient-of-frozen-rows"
        return self._of_zero_gradient(words, optimizer) or "gradient-of-frozen-rows"

    def _words_of_slices(self, values, indices):
        words = self._contents.held_in_slices(values, indices)
        named = self._named_rows.named(indices)
        # On axis 1 every slice has a part of each frozen column.
        return np.where(named, words, NOTHING) if self._axis == 0 else np.full_like(words, ANY)

    def _of_zero_gradient(self, words, node):
        """Returns what an optimizer does to rows of which the gradient is zero; None if it is not.

        If it is zero for lack of anything else, such as 0 * infinity, rows may become NaN.
        """
        kind = _kind_of_zero(words)
        if kind is None:
            return None
        optimizer = op_kinds.OPTIMIZERS[op_kinds.optimizer_of(node.type)]
        arguments = node.arguments()
        stays = (
            optimizer.moves is None
            or optimizer.unless_zero
            and all(
                _is_zero(self._constants.constant(arguments[each]))
                for each in optimizer.unless_zero
            )
        )
        if not stays:
            moves = optimizer.moves == "always"
            return "optimizer-moves-always" if moves else "optimizer-moves-when-warm"
        # A rate that is infinite, or a slot that is zero, makes NaN of a zero.
        rates = [self._constants.constant(each) for each in self._rates(arguments)]
        finite = all(each is not None and np.isfinite(each).all() for each in rates)
        return kind if finite and not optimizer.divides else "moves-if-not-finite"

    def _rates(self, arguments):
        plain = [name for name in arguments if name not in ("grad", "delta", "indices")]
        return [arguments[name] for name in plain if not arguments[name].carries]

    # What values are made of.

    def _reads(self, node):
        return any(
            self._table.is_made_by(each)
            for value in node.inputs[1:]
            for each in self._sources(value)
        )

    def _sources(self, value):
        """Returns the nodes of the variables and placeholders that a value is computed from.

        What was written to a slot variable on the way is not looked into: the variable stands for
        it.
        """
        sources, seen, pending = set(), set(), [value]
        while pending:
            each = pending.pop()
            if each in seen:
                continue
            seen.add(each)
            if each.node.type in op_kinds.VARIABLES or each.node.type.startswith("Placeholder"):
                sources.add(each.node)
            elif each.carries in ("ref", "resource"):
                pending.extend(one for one in each.node.inputs if one.carries)
            else:
                pending.extend(each.node.inputs)
        return sources

    def _changed_in_place(self):
        """Returns the nodes that change memory which may be the table's own."""
        return [
            node
            for node in self._run
            if node.type in op_kinds.IN_PLACE
            and any(
                self._table.is_made_by(each)
                for each in self._flow.upstream_by_data([node.inputs[0].node])
            )
        ]


_JUDGES = {
    "add": TableWrites._of_difference,
    "assign": TableWrites._of_assign,
    "destroy": lambda self, node, arguments: "destroyed",
    "optimizer": TableWrites._of_optimizer,
    "replace": lambda self, node, arguments: "assign",
    "scatter": TableWrites._of_scatter,
    "scatter add": TableWrites._of_scatter_difference,
    "scatter places": TableWrites._of_scatter_places,
    "slice": TableWrites._of_slice,
    "sparse optimizer": TableWrites._of_sparse_optimizer,
}


def _kind_of_zero(words):
    """Returns the kind of finding about a zero that is added, None if it is no zero."""
    words = words[words != NOTHING]
    if not np.isin(words, ZEROS).all():
        return None
    return "special-bits-move" if (words == ZERO).all() else "moves-if-not-finite"


def _is_zero(constant):
    return constant is not None and not np.any(constant)
