"""Variables that have a row, or a column, for each id of a vocabulary."""

from __future__ import annotations

import re
from typing import Callable, NamedTuple, Sequence

from tf1_embed.checkpoint.files.catalog import Catalog
from tf1_embed.checkpoint.slots import (
    Slot,
    check_tables,
    find_slots,
    find_tables,
    variable_name,
)


class VocabularyAxis(NamedTuple):
    """A variable, and the axis of it that has an entry for each id.

    Attributes:
      name: string, its name in the checkpoint.
      axis: int, 0 for tables and biases, 1 for projections [dim, num_ids].
      size: int, the number of ids.
    """

    name: str
    axis: int
    size: int

    def __str__(self) -> str:
        return variable_name(self.name) + (f":{self.axis}" if self.axis else "")


def named_axes(reader: Catalog, tables: Sequence[str]) -> list[VocabularyAxis]:
    """Returns a `VocabularyAxis`, of any dtype, for each variable that names or patterns mean.

    Args:
      reader: `CheckpointReader`.
      tables: list of strings, names or patterns (`user_*`), with the axis as in "projection:1"
        where ids count along another one than axis 0. A pattern leaves out what has no such rows.

    Raises:
      KeyError: if one matches nothing.
      ValueError: if one has no rows, or `tables` is a string or empty.
    """
    check_tables(tables)
    found: list[VocabularyAxis] = []
    for text in tables:
        pattern, axis = _pattern_and_axis(reader, text)
        names = find_tables(reader, [pattern])
        shapes = {name: reader.shape(name) for name in names}
        with_rows = [name for name in names if 0 not in shapes[name] and len(shapes[name]) > axis]
        if not with_rows or variable_name(names[0]) == pattern != variable_name(with_rows[0]):
            raise ValueError(
                f"{pattern!r} has no {'values' if 0 in shapes[names[0]] else 'rows'}"
                f"{f' on axis {axis}' if axis else ''}, but shape {list(shapes[names[0]])}"
                if len(names) == 1
                else f"nothing that {pattern!r} matches has rows on axis {axis}: {', '.join(names)}"
            )
        found += [VocabularyAxis(name, axis, shapes[name][axis]) for name in with_rows]
    return list(dict.fromkeys(found))


def table_axes(reader: Catalog, tables: Sequence[str]) -> list[VocabularyAxis]:
    """Returns a `VocabularyAxis` for each table of floats that names or patterns mean.

    Raises:
      KeyError: if one matches nothing.
      ValueError: if one has no rows or other values, or `tables` is a string or empty.
    """
    return [_axis(reader, each.name, each.axis) for each in named_axes(reader, tables)]


def row_axes(reader: Catalog, tables: Sequence[str]) -> list[VocabularyAxis]:
    """Returns what `table_axes` does; raises a ValueError for an axis that is not 0."""
    axes = table_axes(reader, tables)
    for each in axes:
        if each.axis:
            raise ValueError(
                f"`tables` names axis {each.axis} of {variable_name(each.name)!r}, but only rows "
                f"can be in a variable of their own"
            )
    return axes


def also_axes(reader: Catalog, also: Sequence[str]) -> list[VocabularyAxis]:
    """Returns a `VocabularyAxis` for each of `also`, such as "bias" or "projection:1".

    Raises:
      KeyError: if the checkpoint has no such variable.
      ValueError: if it has no such axis, or `also` is a string.
    """
    if isinstance(also, str):
        raise ValueError(f"`also` must be a list of names, got the string {also!r}")
    axes = []
    for text in also:
        name, colon, axis = text.rpartition(":")
        if not colon:
            name, axis = text, "0"
        if axis not in ("0", "1"):
            raise ValueError(f"`also` must be NAME or NAME:AXIS with axis 0 or 1, got {text!r}")
        axes.append(_axis(reader, reader.find(name), int(axis)))
    return axes


def find_also(reader: Catalog, tables: Sequence[VocabularyAxis]) -> list[VocabularyAxis]:
    """Finds other variables that have as many rows, or columns, as the tables.

    Args:
      reader: `CheckpointReader`.
      tables: list of `VocabularyAxis`.

    Returns:
      list of `VocabularyAxis`, slot variables not among them.

    Raises:
      ValueError: if either axis of one may be meant.
    """
    slots, sizes = find_slots(reader), {each.size for each in tables}
    known = {each.name for each in tables}.union(slots)
    found = []
    for name in reader.names():
        shape = reader.shape(name)
        if name not in known and len(shape) in (1, 2) and reader.dtype(name).is_floating:
            axes = [axis for axis, dim in enumerate(shape) if dim in sizes]
            if len(axes) > 1:
                name = variable_name(name)
                raise ValueError(
                    f"{name!r} has the size of a table on both axes, so that it is not known which "
                    f"of them has its ids. Say it: also=['{name}:AXIS'] (--also {name} or --also "
                    f"{name}:1)"
                )
            found += [_axis(reader, name, axis) for axis in axes]
    return found


def decide_also(
    reader: Catalog,
    found: Sequence[VocabularyAxis],
    also: Sequence[str] | Callable[[list[str]], Sequence[str]] | None,
    verb: str,
) -> list[VocabularyAxis]:
    """Returns which variables follow the tables, of those that may: asks, or raises ValueError.

    Args:
      reader: `CheckpointReader`.
      found: list of `VocabularyAxis`, as `find_also` returns.
      also: function from the list of their names to the list of those that are meant; anything else
        if nobody is to be asked.
      verb: string, what they do: "grow".
    """
    names = [str(axis) for axis in found]
    if not callable(also):
        raise ValueError(
            f"these have as many rows or columns as the tables: {', '.join(names)}. Say whether "
            f"they {verb} as well: also={names} for all of them, also=[] for none"
        )
    return also_axes(reader, also(names))


def check_once(axes: Sequence[VocabularyAxis], slots: Sequence[Slot], verb: str) -> None:
    """Raises a ValueError if a variable is named twice, or as well as what it is a slot of."""
    names = [axis.name for axis in axes] + [slot.name for slot in slots]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{variable_name(name)!r} would {verb} twice: it is in `tables` or `also` more "
                f"than once, or is a slot variable of what is. Name it once"
            )


def slots_of(reader: Catalog, axis: VocabularyAxis) -> list[Slot]:
    """Returns the `Slot` of each slot variable that has an entry for each id, a list."""
    return [
        slot
        for slot in find_slots(reader).values()
        # What has one number for each row of a projection has no axis of ids.
        if slot.table == axis.name and reader.shape(slot.name)[axis.axis :][:1] == (axis.size,)
    ]


def _pattern_and_axis(reader, text):
    """Returns a name or pattern without its axis, and the axis; a name may have a colon itself."""
    match = re.match(r"(.+):([0-9]{1,3})\Z", text)
    if match is None or text in map(variable_name, reader.names()):
        return text, 0
    return match.group(1), int(match.group(2))


def _axis(reader, name, axis):
    shape = reader.shape(name)
    if len(shape) <= axis or not reader.dtype(name).is_floating:
        raise ValueError(
            f"{variable_name(name)!r} must be floats with an axis {axis}, got "
            f"{reader.dtype(name).name} of shape {list(shape)}"
        )
    return VocabularyAxis(name, axis, shape[axis])
