"""Which rows of which variables are to be proved, as people name them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Dict, Sequence, Union

from tf1_embed.certificates import SUFFIX, read_certificates
from tf1_embed.graph.live_rows import frozen_variable_and_rows
from tf1_embed.graph.variables import (
    VariableLike,
    axis_of,
    check_axis_keys,
    full_name,
    resolve_rows,
    resolve_variables,
)
from tf1_embed.proof.frozen_bits import FrozenBits
from tf1_embed.rows import RowsLike
from tf1_embed.table import SplitTable

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

FrozenRows = Union[Dict[VariableLike, RowsLike], SplitTable, Sequence[SplitTable]]


def frozen_bits_of(
    frozen_rows: FrozenRows,
    expected: PathLike | None,
    partition_strategy: str | None,
    axis: int | dict[VariableLike, int],
) -> list[FrozenBits]:
    """Returns a list of `FrozenBits`, each of which knows what it has to be.

    Takes and raises what `FrozenRowsChecker` does.
    """
    tables = [
        FrozenBits(*each) for each in _variables_and_rows(frozen_rows, partition_strategy, axis)
    ]
    if expected is None:
        return tables
    expected = os.fspath(expected)
    if expected.endswith(SUFFIX):
        certificates = read_certificates(expected)
        for table in tables:
            table.expect_certificate(certificates, expected)
    else:
        for table in tables:
            table.expect_checkpoint(expected)
    return tables


def describe(frozen_rows: FrozenRows) -> str:
    """Returns what is checked, as a text of one line."""
    if _are_tables(frozen_rows):
        return ", ".join(repr(each) for each in _as_list(frozen_rows))
    if not isinstance(frozen_rows, dict):
        return repr(frozen_rows)
    names = [key if isinstance(key, str) else full_name(key) for key in frozen_rows]
    return ", ".join(f"{name}: {rows!r:.80}" for name, rows in zip(names, frozen_rows.values()))


def _variables_and_rows(frozen_rows, partition_strategy, axis):
    """Returns a list of (variable, frozen `Rows`, partition strategy, axis)."""
    if isinstance(frozen_rows, dict) and frozen_rows:
        found = []
        for variable, own, rows in resolve_variables(frozen_rows, "frozen_rows"):
            along = axis_of(variable, own, axis)
            rows = resolve_rows(variable, rows, along)
            found.append((variable, rows, partition_strategy, along))
        check_axis_keys(axis, [variable for variable, *_ in found])
        return found
    if _are_tables(frozen_rows):
        if axis:
            raise ValueError(f"`axis` must be left out for a GrownTable, got {axis!r}")
        # A split table knows its own.
        return [
            (*frozen_variable_and_rows(each), each.partition_strategy, 0)
            for each in _as_list(frozen_rows)
        ]
    raise TypeError(
        f"`frozen_rows` must be a dict from variable to its frozen Rows, a GrownTable, or a list "
        f"of them; got {frozen_rows!r}"
    )


def _are_tables(frozen_rows):
    tables = _as_list(frozen_rows)
    is_list = isinstance(tables, (list, tuple)) and len(tables) > 0
    return is_list and all(isinstance(each, SplitTable) for each in tables)


def _as_list(frozen_rows):
    return [frozen_rows] if isinstance(frozen_rows, SplitTable) else frozen_rows
