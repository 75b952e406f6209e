"""Compares the old rows of tables in two checkpoints, bit for bit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Sequence

from tf1_embed.bfloat16 import name_of
from tf1_embed.certificates import SUFFIX, read_certificates
from tf1_embed.checkpoint.files.ahead import ahead
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows, StoredStrings
from tf1_embed.checkpoint.rewrite import Silence
from tf1_embed.checkpoint.slots import variable_name
from tf1_embed.checkpoint.vocabulary_axis import named_axes
from tf1_embed.fingerprints import ChangedRows, beside, chunks_of, digest_of
from tf1_embed.rows import Rows
from tf1_embed.vocabulary import IdMap

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress

# How many ids are listed of rows that differ.
MAX_LISTED = 10


class Comparison(NamedTuple):
    """What became of the old rows of a table.

    Attributes:
      table: string, its name, with the axis as in "projection:1" where that is not 0.
      num_rows: int, how many old rows were compared, 1 or more.
      num_changed: int, how many of them differ in any bit; None if some do, and it is not known
        how many, since only a certificate was compared. So are the other two then.
      first_ids: tuple of ints, the old ids of the first of those, at most 10.
      largest_difference: float, the largest absolute difference of two numbers; 0 if they compare
        as equal (zeros of both signs, NaNs), infinity where one of the two is not finite; None if
        they are no numbers, but strings or bits of a dtype that NumPy does not know.
    """

    table: str
    num_rows: int
    num_changed: int | None
    first_ids: tuple[int, ...] | None
    largest_difference: float | None


def verify_checkpoint(
    old: PathLike,
    new: PathLike,
    tables: Sequence[str],
    id_map: IdMap | None = None,
    partition_strategy: str | None = None,
    new_partition_strategy: str | None = None,
    progress: Progress | None = None,
) -> list[Comparison]:
    """Compares every old row of tables with its row in a grown checkpoint, bit for bit.

    Args:
      old: string, the prefix of the old checkpoint on a local disk, or a folder, whose latest is
        taken; or, if that one is gone, a certificate of its rows, `*.rows.json`.
      new: string, likewise, the grown one. Its tables may have more rows.
      tables: list of strings, names or patterns (`user_*`), of variables of numbers or strings;
        with the axis as in "projection:1" where ids have columns. A pattern leaves out what has no
        rows, such as `global_step`.
      id_map: `tf1_embed.vocabulary.IdMap`, where old rows moved to; default: every id is kept.
      partition_strategy: "mod" or "div", how lookups send ids to partitions; needed where a table
        has more than one.
      new_partition_strategy: string, that of the new checkpoint, if it is another.
      progress: function of the number of bytes in all, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.

    Returns:
      list of `Comparison`, one a table.

    Raises:
      FileNotFoundError: if there is no such checkpoint or certificate.
      KeyError: if one of the two lacks a table.
      ValueError: if `tables` is a string or empty, or a table has no rows; if there is no old row
        to compare, so that nothing would be proved; if the new table has fewer rows, another row
        shape or dtype, or `id_map` is for other numbers of rows; if a strategy is needed and not
        given; if `old` is a damaged certificate, or `id_map` is given with one.
      TypeError: if a table is of a dtype whose values have no size, and of no strings.
      CheckpointDamaged: if a checkpoint is damaged.
    """
    new_strategy = new_partition_strategy or partition_strategy
    if os.fspath(old).endswith(SUFFIX):
        if id_map is not None:
            raise ValueError(
                "a certificate is of ids; to compare by token, give the old checkpoint"
            )
        return _verify_certificates(read_certificates(old), new, tables, new_strategy)
    with CheckpointReader(old) as old_reader, CheckpointReader(new) as new_reader:
        pairs = []
        for axis in named_axes(old_reader, tables):
            new_name = new_reader.find(variable_name(axis.name))
            old_rows = _rows_of(old_reader, axis.name, partition_strategy, axis.axis)
            new_rows = _rows_of(new_reader, new_name, new_strategy, axis.axis)
            pairs.append((axis, old_rows, new_rows, _check_pair(axis, old_rows, new_rows, id_map)))
        total = sum(old_reader.num_bytes(axis.name) for axis, *_ in pairs)
        with (progress or Silence)(total) as bar:
            comparisons = [_compare(*pair, bar) for pair in pairs]
        old_reader.check_rest()
        new_reader.check_rest()
    return comparisons


def _rows_of(reader, name, partition_strategy, axis):
    dtype = reader.dtype(name)
    if dtype is not None and dtype.name == "string" and axis == 0:
        return StoredStrings(reader, name)
    return StoredRows(reader, name, partition_strategy, axis)


def _verify_certificates(certificates, new, tables, partition_strategy):
    with CheckpointReader(new) as reader:
        comparisons = []
        for axis in named_axes(reader, tables):
            if str(axis) not in certificates:
                raise KeyError(
                    f"the certificate is not of {str(axis)!r} but of "
                    f"{', '.join(sorted(certificates))}"
                )
            certificate = certificates[str(axis)]
            rows = certificate.rows
            _check_some(axis, rows, "the certificate names no row")
            stored = StoredRows(reader, axis.name, partition_strategy, axis.axis)
            is_same = digest_of(stored, rows, axis.axis) == certificate.digest
            found = (0, (), 0.0) if is_same else (None, None, None)
            comparisons.append(Comparison(str(axis), rows.count, *found))
        reader.check_rest()
    return comparisons


def _check_some(axis, rows, what):
    if not rows.count:
        raise ValueError(f"{what} of {str(axis)!r}, so that nothing would be proved of any")


def _check_pair(axis, old_rows, new_rows, id_map):
    """Returns the `IdMap` of the two, which keeps all ids if none is given."""
    name, number = str(axis), axis.axis
    num_old, num_new = axis.size, sum(new_rows.shape[number : number + 1])
    like_old = new_rows.shape[:number] + (num_old,) + new_rows.shape[number + 1 :]
    if old_rows.dtype != new_rows.dtype or like_old != old_rows.shape:
        raise ValueError(
            f"{name!r} must be the same in both but for the number of its rows; it is of "
            f"{_dtype_name(old_rows)} and shape {list(old_rows.shape)} in the old checkpoint, and "
            f"of {_dtype_name(new_rows)} and shape {list(new_rows.shape)} in the new one"
        )
    if id_map is None:
        if num_new < num_old:
            raise ValueError(
                f"{name!r} has {num_old} rows in the old checkpoint and only {num_new} in the new. "
                f"Where rows were taken away, say which: `id_map` (--removed-rows), or give the "
                f"vocabularies"
            )
        return IdMap(Rows.range(num_old, num_new, size=num_new), num_old)
    if (id_map.num_old_rows, id_map.num_rows) != (num_old, num_new):
        raise ValueError(
            f"the ids are for {id_map.num_old_rows} and {id_map.num_rows} rows, but "
            f"{name!r} has {num_old} and {num_new}"
        )
    _check_some(axis, ~id_map.new_rows, "the new vocabulary keeps no row")
    return id_map


def _dtype_name(rows):
    return "string" if isinstance(rows, StoredStrings) else name_of(rows.dtype)


def _compare(axis, old_rows, new_rows, id_map, bar):
    kept, number = ~id_map.new_rows, axis.axis
    changed = ChangedRows(MAX_LISTED, number)
    # The new rows are read and checked by a second thread.
    in_new = ((id_map.old_ids(ids), new) for ids, new in ahead(chunks_of(new_rows, kept, number)))
    for ids, old, new in beside(old_rows, in_new, number):
        changed.add(ids, old, new)
        bar.update(old.nbytes)
    return Comparison(
        str(axis),
        kept.count,
        changed.count,
        tuple(changed.first_ids),
        changed.largest_difference,
    )
