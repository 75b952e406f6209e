"""The tables that are audited, and their frozen rows, as users name them."""

from __future__ import annotations

import fnmatch

import tensorflow.compat.v1 as tf

from tf1_embed.graph.variables import check_variable, full_name, partitions_of
from tf1_embed.rows import Rows, as_rows


def choose(frozen_rows: dict, axis: int) -> list:
    """Returns a list of (variable, or the tuple of its partitions; its frozen `Rows`).

    Args:
      frozen_rows: dict from variable, the list of its partitions, or a name or pattern of variables
        of the default graph, to `Rows`, ids, a range, a slice or a bool vector.
      axis: int, the axis that ids count along.

    Raises:
      KeyError: if a name matches no variable; those there are are listed.
      TypeError: if a key is none of these, or rows are not.
    """
    found = []
    for key, rows in frozen_rows.items():
        for variable in _variables_named(key) if isinstance(key, str) else [key]:
            found.append((variable, _rows_of(variable, rows, axis)))
    return found


def _rows_of(variable, rows, axis):
    if isinstance(rows, Rows):
        return rows
    parts = partitions_of(variable)
    for part in parts:
        if not hasattr(part, "initializer"):
            check_variable(part, rows)  # It raises.
    sizes = [each.shape.as_list()[axis] for each in parts]
    return as_rows(f"rows of variable {full_name(variable)!r}", rows, sum(sizes))


def _variables_named(pattern):
    """Returns the variables of the default graph that a pattern matches, partitions as a tuple."""
    whole = {}
    for variable in tf.global_variables() + tf.local_variables():
        name, _, number = variable.op.name.rpartition("/part_")
        name = name if number.isdigit() else variable.op.name
        whole.setdefault(name, {})[variable.op.name] = variable
    trainable = {each.op.name for each in tf.trainable_variables()}
    matched = (
        [pattern]
        if pattern in whole
        else [
            # Else the slots of a table would match as well.
            name
            for name, parts in whole.items()
            if trainable.intersection(parts) and fnmatch.fnmatchcase(name, pattern)
        ]
    )
    if not matched:
        raise KeyError(
            f"no variable is named {pattern!r}; there are: {', '.join(sorted(whole)) or 'none'}"
        )
    parts = [tuple(whole[name].values()) for name in matched]
    return [each if len(each) > 1 else each[0] for each in parts]
