"""Variables that have a row, or a column, for each id of a vocabulary."""

from __future__ import annotations

from typing import NamedTuple, Sequence

from tf1_embed.checkpoint.files.catalog import Catalog
from tf1_embed.checkpoint.slots import find_slots, find_tables, variable_name


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


def table_axes(reader: Catalog, tables: Sequence[str]) -> list[VocabularyAxis]:
    """Returns a `VocabularyAxis` for each table that names or patterns mean.

    Raises:
      KeyError: if one matches nothing.
      ValueError: if one has no rows, or `tables` is a string or empty.
    """
    return [_axis(reader, name, 0) for name in find_tables(reader, tables)]


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
    """
    slots, sizes = find_slots(reader), {each.size for each in tables}
    known = {each.name for each in tables}.union(slots)
    found = []
    for name in reader.names():
        shape = reader.shape(name)
        if name not in known and len(shape) in (1, 2) and reader.dtype(name).is_floating:
            axis = next((axis for axis, dim in enumerate(shape) if dim in sizes), None)
            if axis is not None:
                found.append(_axis(reader, name, axis))
    return found


def _axis(reader, name, axis):
    shape = reader.shape(name)
    if len(shape) <= axis or not reader.dtype(name).is_floating:
        raise ValueError(
            f"{variable_name(name)!r} must be floats with an axis {axis}, got "
            f"{reader.dtype(name).name} of shape {list(shape)}"
        )
    return VocabularyAxis(name, axis, shape[axis])
