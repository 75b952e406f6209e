"""Which variables an optimizer trains in rows: as people name them, and found in a graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

from tf1_embed.graph.graph_mode import check_graph_mode
from tf1_embed.graph.scratch import WrappedTable
from tf1_embed.graph.variables import (
    VariableLike,
    axis_of,
    check_axis_keys,
    check_variable,
    full_name,
    resolve_variables,
    rows_by_partition,
)
from tf1_embed.rows import RowsLike


class Wrap(NamedTuple):
    """What a user says of tables at one time, as `TrainableRowsOptimizer` takes it."""

    trainable_rows: dict[VariableLike, RowsLike]
    axis: int | dict[VariableLike, int]
    partition_strategy: str | None
    full_slots: bool


class WrappedTables:
    """The tables of one optimizer, in all graphs that it is used in.

    Variables are found at once; names, once they are there: whenever `find` is called.
    """

    def __init__(self, within: WrappedTables | None = None):
        """Starts with the tables of an optimizer within, if there is one."""
        self._wraps: list[Wrap] = list(within._wraps) if within else []
        self._tables: dict[tf.Operation, WrappedTable] = dict(within._tables) if within else {}
        # By which key of which wrap each was given.
        self._given: dict[tf.Operation, tuple[int, str]] = dict(within._given) if within else {}

    def add(self, wrap: Wrap) -> None:
        """Takes more tables; raises as `TrainableRowsOptimizer` does."""
        self._wraps.append(wrap)
        for key in wrap.trainable_rows:
            if not isinstance(key, str):
                check_graph_mode("TrainableRowsOptimizer")
                self._resolve(len(self._wraps) - 1, key)

    @property
    def want_full_slots(self) -> bool:
        """Whether slots of the table's shape are wanted of any."""
        return any(wrap.full_slots for wrap in self._wraps)

    def find(self) -> list[WrappedTable]:
        """Returns the tables that are in the default graph."""
        for number, wrap in enumerate(self._wraps):
            for key in wrap.trainable_rows:
                if isinstance(key, str):
                    self._resolve(number, key)
            check_axis_keys(wrap.axis, [table.variable for table in self._tables.values()])
        graph = tf.get_default_graph()
        return [table for op, table in self._tables.items() if op.graph is graph]

    def get(self, variable: Any) -> WrappedTable | None:
        """Returns the table that a variable is, None if it is not wrapped."""
        return self._tables.get(variable.op)

    def __repr__(self) -> str:
        named = [
            f"{key if isinstance(key, str) else full_name(key)}: {rows!r:.80}"
            for wrap in self._wraps
            for key, rows in wrap.trainable_rows.items()
        ]
        return "{" + ", ".join(named) + "}"

    def _resolve(self, number, key):
        wrap = self._wraps[number]
        chosen = resolve_variables({key: wrap.trainable_rows[key]}, "trainable_rows")
        for variable, axis, rows in chosen:
            axis = axis_of(variable, axis, wrap.axis)
            for part, part_rows in rows_by_partition(variable, rows, wrap.partition_strategy, axis):
                check_variable(part, part_rows, axis)
                if self._given.setdefault(part.op, (number, key)) != (number, key):
                    raise ValueError(
                        f"variable {part.op.name!r} is wrapped twice; give all its trainable rows "
                        f"to one TrainableRowsOptimizer, under one name"
                    )
                if part.op not in self._tables:
                    table = WrappedTable(part, part_rows, axis, wrap.full_slots)
                    self._tables[part.op] = table


def summarize(tables: list[WrappedTable], optimizer: Any, others: str) -> str:
    """Returns a few aligned lines: the rows that train and that are frozen, and what that saves.

    Args:
      tables: list of `WrappedTable`.
      optimizer: the one that is wrapped.
      others: "trainable" or "frozen".
    """
    lines, saved = [("table", "trainable rows", "frozen rows", "slots")], 0
    for table in tables:
        train, frozen = table.rows.count, table.rows.size - table.rows.count
        variable = table.variable if table.full_slots else table.scratch
        slots = (
            [
                slot
                for slot in (
                    optimizer.get_slot(variable, name) for name in optimizer.get_slot_names()
                )
                if slot is not None
            ]
            if variable is not None
            else []
        )
        taken = sum(each.shape.num_elements() * each.dtype.base_dtype.size for each in slots)
        if not table.full_slots and train:
            saved += taken // train * frozen
        lines.append((table.variable.op.name, f"{train:,}", f"{frozen:,}", f"{taken:,} bytes"))
    wrapped = {table.variable.op for table in tables}
    rest = [each for each in tf.trainable_variables() if each.op not in wrapped]
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = [
        "  ".join(
            [line[0].ljust(widths[0])]
            + [each.rjust(width) for each, width in zip(line, widths)][1:]
        )
        for line in lines
    ]
    text.append(f"other trainable variables, {len(rest)}: {others}")
    text.append(f"bytes of slots saved: {saved:,}")
    return "\n".join(text)
