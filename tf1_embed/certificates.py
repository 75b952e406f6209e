"""Certificates: which rows of which tables had which fingerprint, in a small file of JSON.

A certificate beside a checkpoint takes the place of the old checkpoint as a proof: whoever has it
can check rows, wherever they are, although the checkpoint that they were taken from is gone.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple, Sequence

from tf1_embed.json_file import Fields, Kind, are_ints, is_int
from tf1_embed.new_files import new_file
from tf1_embed.rows import Rows
from tf1_embed.version import __version__

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

SUFFIX = ".rows.json"

_KIND = Kind("certificate", "Make it again", format=1)


class Certificate(NamedTuple):
    """Says which fingerprint rows of one table had.

    Attributes:
      table: string, the full name of the table.
      rows: `Rows`; their size is that of the table when the certificate was made.
      dtype: string, the name of the dtype, such as "float32".
      row_shape: tuple of ints, the shape of a row.
      digest: string, the rows' `tf1_embed.fingerprint`.
      base: string, the prefix of the checkpoint that the rows came from, or None.
      axis: int, along which ids count: 1 for a projection [dim, num_ids], whose "rows" are columns.
    """

    table: str
    rows: Rows
    dtype: str
    row_shape: tuple[int, ...]
    digest: str
    base: str | None
    axis: int = 0

    @property
    def key(self) -> str:
        """The name by which it is found: that of the table, and the axis where it is not 0."""
        return f"{self.table}:{self.axis}" if self.axis else self.table


def certificate_path(prefix: PathLike) -> str:
    """Returns the path of the certificate beside a checkpoint; a certificate's own path as it is.

    Example:
      >>> certificate_path("runs/model.ckpt-7")
      'runs/model.ckpt-7.rows.json'
    """
    prefix = os.fspath(prefix)
    return prefix if prefix.endswith(SUFFIX) else prefix + SUFFIX


def write_certificates(prefix: PathLike, certificates: Sequence[Certificate]) -> str:
    """Writes certificates beside a checkpoint, whole or not at all; an older file is replaced.

    Args:
      prefix: string, the prefix of the checkpoint, or the path of the file, `<prefix>.rows.json`.
      certificates: list of `Certificate`, one a table.

    Returns:
      string, the path of the file.

    Raises:
      ValueError: if two certificates are of one table.
    """
    path, content = certificate_path(prefix), encode_certificates(certificates)
    with new_file(path, force=True) as file:
        file.write(content)
    return path


def encode_certificates(certificates: Sequence[Certificate]) -> bytes:
    """Returns the bytes of the file of certificates. The same certificates give the same bytes.

    The version of tf1_embed is noted.

    Raises:
      ValueError: if two certificates are of one table.
    """
    names = [each.key for each in certificates]
    if len(set(names)) < len(names):
        raise ValueError(f"`certificates` must be one a table, got {names}")
    content = {
        "format": _KIND.format,
        "tables": {each.key: _as_json(each) for each in certificates},
        "versions": {"tf1_embed": __version__},
    }
    text = json.dumps(content, indent=2, sort_keys=True)
    # Lists of numbers on one line. Strings are safe: within JSON they have no line breaks.
    text = re.sub(
        r"\[\n[\s\d,\[\]]+\]",
        lambda numbers: re.sub(r"\s", "", numbers.group()).replace(",", ", "),
        text,
    )
    return text.encode("utf-8") + b"\n"


def read_certificates(prefix: PathLike) -> dict[str, Certificate]:
    """Reads the certificates beside a checkpoint.

    Args:
      prefix: string, the prefix of the checkpoint, or the path of the file.

    Returns:
      dict from the name of each table to its `Certificate`; "projection:1" is the name where ids
      count along axis 1.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the file is truncated, of another format or not a certificate; the error says
        where.
    """
    path = certificate_path(prefix)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no certificate {path!r}; give the prefix of the checkpoint that grow or "
            f"merge wrote, such as 'runs/grown/model.ckpt', rather than its folder or a checkpoint "
            f"that was trained on from it"
        )
    content = _KIND.read(path)
    tables = content.take("tables", "a dict of tables", lambda x: isinstance(x, dict) and x)
    return {
        key: _from_json(key, content.of(entry, f" of table {key!r}"))
        for key, entry in tables.items()
    }


def grown_rows(prefix: PathLike) -> dict[str, Rows]:
    """Returns the rows that a growth appended, to hand to `tf1_embed.TrainableRowsOptimizer`.

    They are those that the certificate beside a grown checkpoint does not freeze, so that no count
    of them is written into the code that trains them.

    Args:
      prefix: string, the prefix of the checkpoint that `grow` wrote, or the path of its
        certificate.

    Returns:
      dict from the name of each variable that grew to its new `Rows`. A variable that has the ids
      on another axis, such as the projection of `--also projection:1`, is there by the name that
      says so, "projection:1".

    Raises:
      FileNotFoundError: if there is no such certificate.
      ValueError: if it is truncated, of another format or not a certificate.

    Example:
      >>> import os
      >>> import tempfile
      >>> rows = Rows.range(0, 6, size=8)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     grown = os.path.join(folder, "grown")
      ...     certificate = Certificate("table", rows, "float32", (2,), "0" * 64, None)
      ...     _ = write_certificates(grown, [certificate])
      ...     grown_rows(grown)
      {'table': Rows.range(6, 8, size=8)}
    """
    return {key: ~each.rows for key, each in read_certificates(prefix).items()}


def _as_json(certificate):
    content = {
        "base": certificate.base,
        "dtype": certificate.dtype,
        "row_shape": list(certificate.row_shape),
        "rows": certificate.rows.runs(),
        "sha256": certificate.digest,
        "size": certificate.rows.size,
    }
    if certificate.axis:
        content.update(axis=certificate.axis, table=certificate.table)
    return content


def _from_json(key: str, fields: Fields) -> Certificate:
    digest = fields.take_digest("sha256")
    dtype = fields.take("dtype", "the name of a dtype", lambda x: isinstance(x, str) and x)
    row_shape = fields.take("row_shape", "a list of ints", are_ints)
    base = fields.take("base", "a prefix or null", lambda x: x is None or isinstance(x, str))
    table, axis = key, 0
    # Only where ids count along another axis.
    if "axis" in fields.entries:
        table = fields.take("table", "a name", lambda x: isinstance(x, str) and x)
        axis = fields.take("axis", "an axis of it", lambda x: is_int(x) and x <= len(row_shape))
    rows = fields.take_rows()
    certificate = Certificate(table, rows, dtype, tuple(row_shape), digest, base, axis)
    if certificate.key != key:
        raise fields.invalid(f"table {key!r} is {certificate.key!r} by what it says")
    return certificate
