"""Deltas as files: a small checkpoint of new rows, and JSON that says what they belong to."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Mapping, NamedTuple, Sequence

import numpy as np

from tf1_embed.checkpoint.delta.order import decode_order, encode_order
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.writer import CheckpointWriter
from tf1_embed.fingerprints import digest_of
from tf1_embed.json_file import Kind, is_digest, is_int
from tf1_embed.rows import Rows
from tf1_embed.version import __version__
from tf1_embed.vocabulary import IdMap

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

SUFFIX = ".delta.json"

# No variable of a graph has a colon in its name.
_ORDER, _DROPPED, BEFORE = "order:", "dropped:", "before:"

# The bytes are more than the tokens of any delta, and still read at once.
_KIND = Kind("delta", "Extract the delta again", format=1, max_bytes=1 << 28)


class Delta(NamedTuple):
    """What was added to a checkpoint.

    Attributes:
      prefix: string, the prefix of the delta's own checkpoint.
      tables: dict from the name in a checkpoint of each variable that grew to its `NewRows`.
      tokens: tuple of strings, the tokens of the new rows in the order of their ids, or None.
      left_out: tuple of strings, the names of what else the grown checkpoint had otherwise than the
        base, or had alone; the delta has nothing of it.
      others: dict from the name of what else the delta has, as it is in the grown checkpoint, to
        the name in the delta's checkpoint of what the base had, or None if it had none.
    """

    prefix: str
    tables: dict[str, NewRows]
    tokens: Sequence[str] | None
    left_out: Sequence[str] = ()
    others: Mapping[str, str | None] = {}


class NewRows(NamedTuple):
    """The new rows of a variable, or the new columns of a projection.

    Attributes:
      axis: int, 0 for tables and biases, 1 for projections [dim, num_ids].
      id_map: `IdMap`, which of the rows of the grown variable are new, and where the others were.
      base_digest: string, the `tf1_embed.fingerprint` of the variable before it grew.
      grown_digest: string, that of the grown variable.
      values: array of shape [num_new_rows, ...], or [dim, num_new_rows] of a projection.
      slots: dict from the name in a checkpoint of each slot variable to such an array.
      dropped: dict from the variable's name and those of its slot variables to such an array, of
        the old rows that growth dropped; empty if it dropped none.
    """

    axis: int
    id_map: IdMap
    base_digest: str
    grown_digest: str
    values: np.ndarray
    slots: dict[str, np.ndarray]
    dropped: dict[str, np.ndarray] = {}

    @property
    def rows(self) -> Rows:
        """The `Rows` of the grown variable that are new."""
        return self.id_map.new_rows

    @property
    def num_old_rows(self) -> int:
        """How many rows the variable had before it grew."""
        return self.id_map.num_old_rows


def delta_path(prefix: PathLike) -> str:
    """Returns the path of the JSON beside a delta's checkpoint.

    Example:
      >>> delta_path("deltas/monday")
      'deltas/monday.delta.json'
    """
    return os.fspath(prefix) + SUFFIX


def check_output(out: PathLike, force: bool, sources: Sequence[PathLike]) -> None:
    """Raises an error if a checkpoint cannot be written because of what is there.

    Args:
      out: string, the prefix to write.
      force: bool, whether a checkpoint of that prefix is replaced.
      sources: list of strings, the prefixes of all that is read, none of which is replaced.
    """
    for source in sources:
        CheckpointWriter(out, force=force, source=source)


def write_delta(
    delta: Delta, base: CheckpointReader, grown: CheckpointReader, force: bool = False
) -> None:
    """Writes a delta, whole or not at all.

    Args:
      delta: `Delta`.
      base: `CheckpointReader`, of what its other variables were.
      grown: `CheckpointReader`, of what they are.
      force: bool, whether a checkpoint of that prefix is replaced.

    Raises:
      FileExistsError: if there is one and not `force`.
    """
    path = delta_path(delta.prefix)
    orders = _orders_of(delta)
    content = {
        "format": _KIND.format,
        "tables": {name: _as_json(each, orders) for name, each in delta.tables.items()},
        "left_out": list(delta.left_out),
        "others": delta.others,
        "tokens": delta.tokens,
        "versions": {"tf1_embed": __version__},
    }
    # A delta is nothing that training goes on from.
    with CheckpointWriter(delta.prefix, force=force, is_latest=False) as writer:
        for name, new in delta.tables.items():
            arrays = {name: new.values, **new.slots}
            arrays.update((_DROPPED + each, values) for each, values in new.dropped.items())
            for tensor, values in arrays.items():
                writer.add(tensor, values.dtype, values.shape, [values])
        for id_map, tensor in orders.items():
            encoded = encode_order(id_map.order, id_map.num_old_rows)
            writer.add(tensor, encoded.dtype, encoded.shape, [encoded])
        for name, before in delta.others.items():
            writer.copy(grown, name)
            if before is not None:
                writer.copy(base, name, before)
        for reader in (base, grown):
            reader.check_rest()
        text = json.dumps(content, indent=1, sort_keys=True)
        writer.add_file(os.path.abspath(path), text.encode("ascii") + b"\n")


def read_delta(prefix: PathLike) -> Delta:
    """Reads a delta whole, and checks that its two files say the same.

    Args:
      prefix: string, the prefix of its checkpoint.

    Returns:
      `Delta`.

    Raises:
      FileNotFoundError: if its checkpoint or its JSON is not there.
      ValueError: if the JSON is damaged, of another format, or not that of this checkpoint.
      CheckpointDamaged: if the checkpoint is damaged.
    """
    prefix = os.fspath(prefix)
    path = delta_path(prefix)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no delta {prefix!r}, which would have a file {path!r}. Deltas are made by "
            f"tf1_embed.extract_delta (tf1-embed delta extract)"
        )
    content = _KIND.read(path)
    entries = content.take("tables", "a dict of tables", lambda x: isinstance(x, dict) and x)
    tokens = content.take("tokens", "a list of tokens, each once, or null", _are_tokens)
    left_out, others = [], {}
    # Deltas made before they noted it have none.
    if "left_out" in content.entries:
        left_out = content.take("left_out", "a list of names", _are_names)
    if "others" in content.entries:
        others = content.take("others", "a dict from names to names or null", _are_names_or_null)
    with CheckpointReader(prefix) as reader:
        told, tables, orders = set(), {}, set()
        for name, entry in entries.items():
            fields = content.of(entry, f" of {name!r}")
            tables[name] = _read_table(reader, name, fields)
            told |= {name, *tables[name].slots, *(_DROPPED + each for each in tables[name].dropped)}
            orders |= {fields.entries["order"]} if "order" in fields.entries else set()
        told |= orders | {*others, *(each for each in others.values() if each is not None)}
        if sorted(told) != reader.names():
            raise content.invalid(f"its checkpoint holds other tensors: {reader.names()!r:.200}")
        reader.check_rest()
    for name, new in tables.items():
        if tokens is not None and len(tokens) != new.rows.count:
            raise content.invalid(
                f"it has {len(tokens)} tokens, but {name!r} has {new.rows.count} new rows"
            )
    tokens = None if tokens is None else tuple(tokens)
    return Delta(prefix, tables, tokens, tuple(left_out), others)


def _orders_of(delta):
    """Returns the name in the delta's checkpoint of the order of each `IdMap` that has one."""
    orders = {}
    for name, new in delta.tables.items():
        if new.id_map.order is not None:
            orders.setdefault(new.id_map, _ORDER + name)
    return orders


def _as_json(new, orders):
    content = {
        "axis": new.axis,
        "base_sha256": new.base_digest,
        "grown_sha256": new.grown_digest,
        "new_sha256": digest_of(new.values),
        "rows": new.rows.runs(),
        "size": new.rows.size,
        "slots": {name: digest_of(values) for name, values in new.slots.items()},
    }
    if new.id_map in orders:
        content["order"] = orders[new.id_map]
    if new.dropped:
        content["dropped"] = {name: digest_of(values) for name, values in new.dropped.items()}
    return content


def _read_table(reader, name, fields):
    """Returns the `NewRows` that the fields describe and the checkpoint holds."""
    axis = fields.take("axis", "0 or 1", lambda x: is_int(x) and x < 2)
    base, grown, digest = (
        fields.take_digest(key) for key in ("base_sha256", "grown_sha256", "new_sha256")
    )
    rows = fields.take_rows()
    slots = fields.take("slots", "a dict from names to SHA-256", _are_digests)
    arrays = {
        tensor: _read_rows(reader, fields, tensor, axis, rows.count, expected)
        for tensor, expected in [(name, digest), *slots.items()]
    }
    dropped, num_dropped = {}, 0
    if "dropped" in fields.entries:
        digests = fields.take("dropped", f"SHA-256 of {name!r} and its slots", _are_digests)
        if name not in digests or _DROPPED + name not in reader.names():
            raise fields.invalid(f"it does not hold the dropped rows of {name!r}")
        num_dropped = sum(reader.shape(_DROPPED + name)[axis : axis + 1])
        for each, expected in digests.items():
            found = _read_rows(reader, fields, _DROPPED + each, axis, num_dropped, expected)
            dropped[each] = found
    num_old_rows = rows.size - rows.count + num_dropped
    order = _read_order(reader, fields, rows, num_old_rows) if "order" in fields.entries else None
    id_map = IdMap(rows, num_old_rows, order)
    return NewRows(axis, id_map, base, grown, arrays.pop(name), arrays, dropped)


def _read_rows(reader, fields, tensor, axis, count, expected):
    """Returns the rows of a tensor, which must be so many and have the SHA-256 that is expected."""
    if tensor not in reader.names():
        raise fields.invalid(f"its checkpoint does not hold {tensor!r}")
    shape, dtype = reader.shape(tensor), reader.dtype(tensor)
    # Rows of no bytes are refused: there might be more than memory has room for ids.
    if (
        len(shape) <= axis
        or shape[axis] != count
        or 0 in shape
        or dtype is None
        or not dtype.is_floating
    ):
        raise fields.invalid(
            f"{tensor!r} must be floats with {count} entries on axis {axis}, got "
            f"{'unknown' if dtype is None else dtype.name} of shape {list(shape)}"
        )
    values = reader.rows(tensor, 0, shape[0])
    if digest_of(values) != expected:
        raise fields.invalid(f"the new rows of {tensor!r} have another SHA-256 than it says")
    return values


def _read_order(reader, fields, rows, num_old_rows):
    """Returns the old ids of the rows that are not new."""
    tensor = fields.take("order", "the name of a tensor", lambda x: isinstance(x, str))
    if tensor not in reader.names():
        raise fields.invalid(f"its checkpoint does not hold {tensor!r}")
    shape, dtype = reader.shape(tensor), reader.dtype(tensor)
    if len(shape) != 1 or dtype is None or dtype.name != "uint8":
        raise fields.invalid(f"{tensor!r} must be an order of rows, got shape {list(shape)}")
    try:
        content = reader.rows(tensor, 0, shape[0])
        return decode_order(content, rows.size - rows.count, num_old_rows)
    except ValueError as error:
        raise fields.invalid(f"{tensor!r} is no order of rows: {error}") from error


def _are_digests(value):
    return isinstance(value, dict) and all(map(is_digest, value.values()))


def _are_names_or_null(value):
    return isinstance(value, dict) and all(
        each is None or isinstance(each, str) for each in value.values()
    )


def _are_names(value):
    return isinstance(value, list) and all(isinstance(each, str) and each for each in value)


def _are_tokens(value):
    return value is None or (
        isinstance(value, list)
        and all(isinstance(each, str) and each for each in value)
        and len(set(value)) == len(value)
    )
