"""Lists what a checkpoint holds, and what of it looks like an embedding table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.slots import CHOSEN_ROWS, NEW_ROWS, find_slots, variable_name

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

# What is in the names of tables, and in those of matrices that are no tables.
_OF_TABLES = re.compile(r"emb|lookup|factor|table|vector|entit|users?\b|items?\b|words?\b", re.I)
_OF_OTHERS = re.compile(r"kernel|weights?\b|recurrent|lstm|gru\b|rnn|dense|conv|bias|logits", re.I)


class Variable(NamedTuple):
    """A variable of a checkpoint.

    Attributes:
      name: string, its name; of an object-based checkpoint, its path.
      shape: tuple of ints.
      dtype: string.
      num_bytes: int.
      num_partitions: int.
      kind: "table" if it looks like an embedding table, "new rows" if it is the trainable part of
        one, "slot" if it is a slot variable, else "".
      table: string, the name of the variable that a slot or new rows belong to; else None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    num_bytes: int
    num_partitions: int
    kind: str
    table: str | None


def inspect_checkpoint(checkpoint: PathLike) -> list[Variable]:
    """Lists the variables of a checkpoint; reads no values.

    A variable looks like a table if it is a matrix of floats, no slot variable, and has the name of
    one, or more rows than columns and not the name of something else.

    Args:
      checkpoint: string, a checkpoint prefix on a local disk, TF1 or TF2 object-based, or a folder,
        whose latest is taken.

    Returns:
      list of `Variable`, by name.

    Raises:
      FileNotFoundError: if there is no such checkpoint.
      CheckpointDamaged: if its index is damaged, or a data file is missing or too short.
    """
    with CheckpointReader(checkpoint) as reader:
        slots = find_slots(reader)
        variables = []
        for name in reader.names():
            kind, table = _kind(reader, name, slots)
            dtype = reader.dtype(name)
            variables.append(
                Variable(
                    variable_name(name),
                    reader.shape(name),
                    "unknown" if dtype is None else dtype.name,
                    reader.num_bytes(name),
                    max(1, len(reader.partitions(name))),
                    kind,
                    table,
                )
            )
    return variables


def _kind(reader, name, slots):
    if name in slots:
        return "slot", variable_name(slots[name].table)
    variable, shape, dtype = variable_name(name), reader.shape(name), reader.dtype(name)
    for suffix in (NEW_ROWS, CHOSEN_ROWS):
        owner = variable[: -len(suffix)]
        if variable.endswith(suffix) and any(variable_name(n) == owner for n in reader.names()):
            return "new rows", owner
    if len(shape) != 2 or dtype is None or not dtype.is_floating:
        return "", None
    looks_so = _OF_TABLES.search(variable) or (
        shape[0] > shape[1] and not _OF_OTHERS.search(variable)
    )
    return ("table" if looks_so else ""), None
