"""Slot variables in a checkpoint: whose they are, and how they and split tables are named."""

from __future__ import annotations

import fnmatch
import re
from typing import Mapping, NamedTuple, Sequence

from tf1_embed.checkpoint.files.catalog import OBJECT_SUFFIX, Catalog

# What follows a table's name in the name of the variable of its trainable rows.
NEW_ROWS, CHOSEN_ROWS = "_new_rows", "_trainable_rows"
# Kinds that Keras has before the variable's name, as in "Adam/m/e/embeddings".
_OF_KERAS = ("accumulator", "linear", "m", "momentum", "v", "vhat", "velocity", "velocity_hat")


class Slot(NamedTuple):
    """A slot variable.

    Attributes:
      name: string, its name in the checkpoint.
      table: string, the name in the checkpoint of the variable that it belongs to.
      kind: string, what its name says of it, such as "Adam_1".
      source: string, the name under which the reader has all of its rows: `name`, unless TensorFlow
        saved each partition of the slot variable under a name of its own.
    """

    name: str
    table: str
    kind: str
    source: str


def find_slots(reader: Catalog) -> dict[str, Slot]:
    """Finds the slot variables in a checkpoint, by their names and shapes.

        table                   slot variable
        scope/e                 scope/e/Adam, scope/e/adam_m, scope/scope/e/Adam_1
        scope/e, partitioned    scope/e/Adam, scope/e/art_0/Adam
        scope/e, Keras          training/Adam/scope/e/m, Adam/m/scope/e
        e/.ATTRIBUTES/…VALUE    e/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/…VALUE

    Args:
      reader: `CheckpointReader`.

    Returns:
      dict from the name of each slot variable to its `Slot`.
    """
    variables = {variable_name(name): name for name in reader.names() if reader.shape(name)}
    slots = {}
    for stem, name in variables.items():
        owner, kind, is_elsewhere = _owner(stem, variables)
        if owner is None:
            continue
        shape, owner_shape = reader.shape(name), reader.shape(variables[owner])
        # Some optimizers keep one number a row. In another scope, where the name alone might
        # deceive, the whole shape must be the same.
        if shape == owner_shape or (shape[0] == owner_shape[0] and not is_elsewhere):
            slots[name] = Slot(name, variables[owner], kind, name)
    for name, slot in slots.items():
        if slot.table in slots:
            # `e/Adam/average` is the "Adam/average" of `e`.
            owner = slots[slot.table]
            slots[name] = slot._replace(table=owner.table, kind=f"{owner.kind}/{slot.kind}")
    return {name: _with_source(reader, slot, slots) for name, slot in slots.items()}


def find_tables(reader: Catalog, patterns: Sequence[str]) -> list[str]:
    """Returns the names in a checkpoint of the tables that names or patterns (`user_*`) mean.

    Args:
      reader: `CheckpointReader`.
      patterns: list of strings.

    Returns:
      list of strings, each name once.

    Raises:
      KeyError: if one matches nothing; the error lists what there is.
      ValueError: if `patterns` is a string, or empty.
    """
    check_tables(patterns)
    slots = find_slots(reader)
    found = []
    for pattern in patterns:
        matches = [
            name
            for name in reader.names()
            if name not in slots and fnmatch.fnmatchcase(variable_name(name), pattern)
        ]
        found += matches or [reader.find(pattern)]
    return list(dict.fromkeys(found))


def check_tables(tables: Sequence[str]) -> None:
    """Raises a ValueError if `tables` is a string, or empty."""
    if isinstance(tables, str) or not tables:
        what = f"the string {tables!r}" if tables else "none"
        raise ValueError(f"`tables` must be a list of names, got {what}")


def variable_name(name: str) -> str:
    """Returns the name of the variable that a tensor of a checkpoint is the value of."""
    return name[: -len(OBJECT_SUFFIX)] if name.endswith(OBJECT_SUFFIX) else name


def trainable_name(name: str, suffix: str = NEW_ROWS) -> str:
    """Returns the name in a checkpoint of the trainable rows of the table of that name there."""
    variable = variable_name(name)
    return variable + suffix + name[len(variable) :]


def rename_slot(slot: Slot, table: str) -> str:
    """Returns the name of a slot variable once its variable is called `table`.

    For checkpoints of a `tf.train.Saver`: in object-based ones the object graph names the slots.
    """
    if slot.name.endswith(f"/{slot.kind}/{slot.table}"):
        return slot.name[: -len(slot.table)] + table
    end = f"{slot.table}/{slot.kind}"
    # A name that ends otherwise has a partition's name in it, see `find_slots`. The table that is
    # meant is not partitioned.
    scope = slot.name[: -len(end)] if slot.name.endswith(end) else ""
    return f"{scope}{table}/{slot.kind}"


def name_parts(reader: Catalog, slot: Slot, num_partitions: int) -> Mapping[str, list[int] | None]:
    """Returns what TensorFlow calls a slot variable once its table has so many partitions.

    What it calls the slots of partition `i` is cut out of the name that the operation of these has,
    by the length of the partition's own name: `scope/scope/e/part_0/Adam`, made in a scope once
    more, is saved as `scope/e/art_0/Adam`, and so each under a name of its own (see
    `_create_slot_var` in TensorFlow's `python/training/slot_creator.py`).

    Args:
      reader: the checkpoint.
      slot: `Slot`.
      num_partitions: int.

    Returns:
      dict from name to the partitions that are saved under it, None for all.

    Raises:
      ValueError: if names have parts of another scope's, which they do not tell.
    """
    table, end = slot.table, f"{slot.table}/{slot.kind}"
    if slot.name == end or not (slot.name.endswith(end) or slot.name.startswith(f"{table}/")):
        return {slot.name: None}
    if slot.name.endswith(end):
        scopes, known = [slot.name[: -len(end)]], None
    else:
        parts = table.split("/")
        scopes = ["/".join(parts[:count]) + "/" for count in range(len(parts) - 1, 0, -1)]
        known = set(slot.source.split(" + "))
    for scope in scopes:
        count = len(reader.slices(table))
        if known is None or known == set(_names_of_parts(scope, slot, count)):
            if num_partitions == 1:
                return {scope + end: None}
            names: dict[str, list[int]] = {}
            for part, name in enumerate(_names_of_parts(scope, slot, num_partitions)):
                names.setdefault(name, []).append(part)
            return names
    raise ValueError(
        f"{slot.name!r} has slots of one partition of {variable_name(table)!r}, named after it and "
        f"a scope that the name does not tell, so that it is not known what TensorFlow calls those "
        f"of {num_partitions} partitions"
    )


def _names_of_parts(scope, slot, count):
    for part in range(count):
        operation = f"{slot.table}/part_{part}/"
        yield f"{slot.table}/{f'{scope}{operation}{slot.kind}'[len(operation) :]}"


def _owner(stem, variables):
    """Finds the variable that a slot variable may belong to.

    Returns:
      the variable's stem, or None; the slot's kind; whether the slot is in another scope.
    """
    match = re.match(r"(.+)/\.OPTIMIZER_SLOT/.+/([^/]+)\Z", stem)
    if match:
        return (match.group(1) if match.group(1) in variables else None), match.group(2), False
    parts = stem.split("/")
    # The longest name first: `model/e/Adam` is of `model/e`, not of `e`.
    for start in range(len(parts) - 1):
        owner = "/".join(parts[start:-1])
        if owner in variables:
            return owner, parts[-1], start > 0
    # `Adam/m/e`: Keras since TensorFlow 2.11.
    for start in range(2, len(parts)):
        owner = "/".join(parts[start:])
        if owner in variables and parts[start - 1] in _OF_KERAS:
            return owner, parts[start - 1], True
    # `e/art_0/Adam`: see `CheckpointReader.is_partial`.
    for stop in range(len(parts) - 2, 0, -1):
        owner = "/".join(parts[:stop])
        if owner in variables and parts[-2][-1:].isdigit():
            return owner, parts[-1], True
    return None, None, False


def _with_source(reader, slot, slots):
    if not reader.is_partial(slot.name):
        return slot
    kin = [
        each.name
        for each in slots.values()
        if (each.table, each.kind) == (slot.table, slot.kind) and reader.is_partial(each.name)
    ]
    return slot._replace(source=reader.join(kin))
