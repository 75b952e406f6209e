"""Deltas as files: a small checkpoint of new rows, and JSON that says what they belong to."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple, Sequence

import numpy as np

from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.writer import CheckpointWriter
from tf1_embed.fingerprints import digest_of
from tf1_embed.json_file import Kind, is_digest, is_int
from tf1_embed.rows import Rows
from tf1_embed.version import __version__

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

SUFFIX = ".delta.json"

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
    """

    prefix: str
    tables: dict[str, NewRows]
    tokens: Sequence[str] | None
    left_out: Sequence[str] = ()


class NewRows(NamedTuple):
    """The new rows of a variable, or the new columns of a projection.

    Attributes:
      axis: int, 0 for tables and biases, 1 for projections [dim, num_ids].
      rows: `Rows` of the grown variable, those that are new.
      base_digest: string, the `tf1_embed.fingerprint` of the variable before it grew.
      grown_digest: string, that of the grown variable.
      values: array of shape [num_new_rows, ...], or [dim, num_new_rows] of a projection.
      slots: dict from the name in a checkpoint of each slot variable to such an array.
    """

    axis: int
    rows: Rows
    base_digest: str
    grown_digest: str
    values: np.ndarray
    slots: dict[str, np.ndarray]

    @property
    def num_old_rows(self) -> int:
        """How many rows the variable had before it grew."""
        return self.rows.size - self.rows.count


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


def write_delta(delta: Delta, force: bool = False) -> None:
    """Writes a delta, whole or not at all.

    Args:
      delta: `Delta`.
      force: bool, whether a checkpoint of that prefix is replaced.

    Raises:
      FileExistsError: if there is one and not `force`.
    """
    path = delta_path(delta.prefix)
    content = {
        "format": _KIND.format,
        "tables": {name: _as_json(each) for name, each in delta.tables.items()},
        "left_out": list(delta.left_out),
        "tokens": delta.tokens,
        "versions": {"tf1_embed": __version__},
    }
    # A delta is nothing that training goes on from.
    with CheckpointWriter(delta.prefix, force=force, is_latest=False) as writer:
        for name, new in delta.tables.items():
            for tensor, values in [(name, new.values), *new.slots.items()]:
                writer.add(tensor, values.dtype, values.shape, [values])
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
    left_out = []
    # Deltas made before they noted it have none.
    if "left_out" in content.entries:
        left_out = content.take("left_out", "a list of names", _are_names)
    with CheckpointReader(prefix) as reader:
        told, tables = [], {}
        for name, entry in entries.items():
            tables[name] = _read_table(reader, name, content.of(entry, f" of {name!r}"))
            told += [name, *tables[name].slots]
        if sorted(told) != reader.names():
            raise content.invalid(f"its checkpoint holds other tensors: {reader.names()!r:.200}")
        reader.check_rest()
    for name, new in tables.items():
        if tokens is not None and len(tokens) != new.rows.count:
            raise content.invalid(
                f"it has {len(tokens)} tokens, but {name!r} has {new.rows.count} new rows"
            )
    return Delta(prefix, tables, None if tokens is None else tuple(tokens), tuple(left_out))


def _as_json(new):
    return {
        "axis": new.axis,
        "base_sha256": new.base_digest,
        "grown_sha256": new.grown_digest,
        "new_sha256": digest_of(new.values),
        "rows": new.rows.runs(),
        "size": new.rows.size,
        "slots": {name: digest_of(values) for name, values in new.slots.items()},
    }


def _read_table(reader, name, fields):
    """Returns the `NewRows` that the fields describe and the checkpoint holds."""
    axis = fields.take("axis", "0 or 1", lambda x: is_int(x) and x < 2)
    base, grown, digest = (
        fields.take_digest(key) for key in ("base_sha256", "grown_sha256", "new_sha256")
    )
    rows = fields.take_rows()
    slots = fields.take("slots", "a dict from names to SHA-256", _are_digests)
    arrays = {}
    for tensor, expected in [(name, digest), *slots.items()]:
        if tensor not in reader.names():
            raise fields.invalid(f"its checkpoint does not hold {tensor!r}")
        shape, dtype = reader.shape(tensor), reader.dtype(tensor)
        # Rows of no bytes are refused: there might be more than memory has room for ids.
        if (
            len(shape) <= axis
            or shape[axis] != rows.count
            or 0 in shape
            or dtype is None
            or not dtype.is_floating
        ):
            raise fields.invalid(
                f"{tensor!r} must be floats with {rows.count} entries on axis {axis}, got "
                f"{'unknown' if dtype is None else dtype.name} of shape {list(shape)}"
            )
        arrays[tensor] = reader.rows(tensor, 0, shape[0])
        if digest_of(arrays[tensor]) != expected:
            raise fields.invalid(f"the new rows of {tensor!r} have another SHA-256 than it says")
    return NewRows(axis, rows, base, grown, arrays.pop(name), arrays)


def _are_digests(value):
    return isinstance(value, dict) and all(map(is_digest, value.values()))


def _are_names(value):
    return isinstance(value, list) and all(isinstance(each, str) and each for each in value)


def _are_tokens(value):
    return value is None or (
        isinstance(value, list)
        and all(isinstance(each, str) and each for each in value)
        and len(set(value)) == len(value)
    )
