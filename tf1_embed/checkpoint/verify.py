"""Compares the old rows of tables in two checkpoints, bit for bit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Sequence

from tf1_embed.bfloat16 import name_of
from tf1_embed.certificates import SUFFIX, read_certificates
from tf1_embed.checkpoint.files.ahead import ahead
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.rewrite import Silence
from tf1_embed.checkpoint.slots import find_tables, variable_name
from tf1_embed.fingerprints import changed_rows, digest_of, largest_difference
from tf1_embed.rows import Rows, ids_of, rows_in_chunk
from tf1_embed.vocabulary import IdMap

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress

# How many ids are listed of rows that differ.
MAX_LISTED = 10


class Comparison(NamedTuple):
    """What became of the old rows of a table.

    Attributes:
      table: string, its name.
      num_rows: int, how many old rows were compared.
      num_changed: int, how many of them differ in any bit; None if some do, and it is not known
        how many, since only a certificate was compared. So are the other two then.
      first_ids: tuple of ints, the old ids of the first of those, at most 10.
      largest_difference: float, the largest absolute difference of two numbers; 0 if they compare
        as equal (zeros of both signs, NaNs), infinity where one of the two is not finite.
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
      tables: list of strings, names or patterns (`user_*`).
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
      ValueError: if `tables` is a string or empty; if the new table has fewer rows, another row
        shape or dtype, or `id_map` is for other numbers of rows; if a strategy is needed and not
        given; if `old` is a damaged certificate, or `id_map` is given with one.
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
        for name in find_tables(old_reader, tables):
            old_rows = StoredRows(old_reader, name, partition_strategy)
            new_name = new_reader.find(variable_name(name))
            new_rows = StoredRows(new_reader, new_name, new_strategy)
            pairs.append((old_rows, new_rows, _check_pair(old_rows, new_rows, id_map)))
        total = sum(old_reader.num_bytes(old_rows.name) for old_rows, _, _ in pairs)
        with (progress or Silence)(total) as bar:
            comparisons = [_compare(*pair, bar) for pair in pairs]
        old_reader.check_rest()
        new_reader.check_rest()
    return comparisons


def _verify_certificates(certificates, new, tables, partition_strategy):
    with CheckpointReader(new) as reader:
        comparisons = []
        for name in find_tables(reader, tables):
            table = variable_name(name)
            if table not in certificates:
                raise KeyError(
                    f"the certificate is not of {table!r} but of {', '.join(sorted(certificates))}"
                )
            rows = certificates[table].rows
            stored = StoredRows(reader, name, partition_strategy)
            is_same = digest_of(stored, rows) == certificates[table].digest
            found = (0, (), 0.0) if is_same else (None, None, None)
            comparisons.append(Comparison(table, rows.count, *found))
        reader.check_rest()
    return comparisons


def _check_pair(old_rows, new_rows, id_map):
    """Returns the `IdMap` of the two, which keeps all ids if none is given."""
    name = variable_name(old_rows.name)
    if old_rows.dtype != new_rows.dtype or old_rows.shape[1:] != new_rows.shape[1:]:
        raise ValueError(
            f"{name!r} has rows of {name_of(old_rows.dtype)} {list(old_rows.shape[1:])} in the old "
            f"checkpoint and of {name_of(new_rows.dtype)} {list(new_rows.shape[1:])} in the new one"
        )
    if id_map is None:
        num_old, num_new = old_rows.shape[0], new_rows.shape[0]
        if num_new < num_old:
            raise ValueError(
                f"{name!r} has {num_old} rows in the old checkpoint and only {num_new} in the new"
            )
        return IdMap(Rows.range(num_old, num_new, size=num_new), num_old)
    if (id_map.num_old_rows, id_map.num_rows) != (old_rows.shape[0], new_rows.shape[0]):
        raise ValueError(
            f"the vocabularies are of {id_map.num_old_rows} and {id_map.num_rows} rows, but "
            f"{name!r} has {old_rows.shape[0]} and {new_rows.shape[0]}"
        )
    return id_map


def _compare(old_rows, new_rows, id_map, bar):
    kept = ~id_map.new_rows
    step = rows_in_chunk(old_rows.dtype, old_rows.shape[1:])
    num_changed, first_ids, largest = 0, [], 0.0
    # The new rows are read and checked by a second thread.
    in_new = ahead(new_rows[index] for index in kept.chunks(step))
    for index, new in zip(kept.chunks(step), in_new):
        old_ids = id_map.old_ids(ids_of(index))
        old = old_rows[old_ids]
        changed = changed_rows(old, new)
        if changed.size:
            num_changed += changed.size
            # Where the new ids are in another order, a lower old id may come after higher ones.
            first_ids = sorted(first_ids + old_ids[changed].tolist())[:MAX_LISTED]
            largest = max(largest, largest_difference(old[changed], new[changed]))
        bar.update(old.nbytes)
    return Comparison(
        variable_name(old_rows.name), kept.count, num_changed, tuple(first_ids), largest
    )
