"""How a variable of a checkpoint, and its slot variables with it, get more rows or fewer."""

from __future__ import annotations

import functools
import numbers
import os
import sys
from typing import Any, Callable, Sequence

import numpy as np

from tf1_embed.bfloat16 import cast, name_of
from tf1_embed.certificates import Certificate
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.new_rows import OldRows, make_new_rows
from tf1_embed.checkpoint.rewrite import Append, Change
from tf1_embed.checkpoint.slots import variable_name
from tf1_embed.checkpoint.vocabulary_axis import VocabularyAxis
from tf1_embed.fingerprints import Digest
from tf1_embed.partitions import Partitions
from tf1_embed.rows import ids_of, rows_in_chunk
from tf1_embed.vocabulary import IdMap


class Growth:
    """The ids of a variable written anew: which of its rows are old, and where each of them lies.

    A row comes from one of two sources, an old or a new one. A source is the name of a tensor in
    the checkpoint that has the variable's partitions, an array or anything else that ids index, or
    a number for all rows.

    Attributes:
      axis: `VocabularyAxis`, what grows.
    """

    axis: VocabularyAxis

    def __init__(
        self,
        reader: CheckpointReader,
        axis: VocabularyAxis,
        id_map: IdMap | Any,
        partition_strategy: str | None = None,
        num_partitions: int | None = None,
        new_partition_strategy: str | None = None,
    ) -> None:
        """Takes the variable and where its rows come from.

        Args:
          reader: `CheckpointReader`.
          axis: `VocabularyAxis`.
          id_map: `IdMap`.
          partition_strategy: "mod" or "div", needed where the variable has partitions.
          num_partitions: int, how many the result has; default: as many.
          new_partition_strategy: that of the result, if it is another.

        Raises:
          ValueError: if a strategy is needed and not given, `id_map` is for another number of rows,
            or there are more partitions than rows.
        """
        if id_map.num_old_rows != axis.size:
            raise ValueError(
                f"the ids are those of {id_map.num_old_rows} old rows, but {str(axis)!r} has "
                f"{axis.size}"
            )
        self.axis = axis
        self._reader, self._axis, self._map = reader, axis, id_map
        self._new_rows = id_map.new_rows
        self._digest: Digest | None = None
        self._old = Partitions((axis.size,), None)
        if axis.axis == 0:
            self._old = StoredRows(reader, axis.name, partition_strategy).partitions
        count = num_partitions or len(self._old.sizes)
        strategy = new_partition_strategy or partition_strategy
        if count > id_map.num_rows:
            remedy = ". Store it in fewer first, with repartition_checkpoint (repartition)"
            raise ValueError(
                f"{str(axis)!r} would have {id_map.num_rows} rows in {count} partitions, of which "
                f"none may be empty{'' if num_partitions else remedy}"
            )
        if count > 1 and strategy is None:
            raise ValueError(
                f"say how the lookups send ids to the {count} partitions that {str(axis)!r} gets: "
                f"`partition_strategy` (--partition-strategy) mod, the default of "
                f"tf.nn.embedding_lookup, or div, as feature columns do"
            )
        self._new = Partitions.even(id_map.num_rows, count, strategy)

    def check_memory(self) -> None:
        """Raises a ValueError if the memory cannot hold the new rows."""
        shape, count = self._reader.shape(self._axis.name), self._new_rows.count
        needed = count * self._reader.num_bytes(self._axis.name) // max(1, self._axis.size)
        there = _memory()
        if needed > there:
            raise ValueError(
                f"{count} new rows of {str(self._axis)!r}, of shape {list(shape)}, take {needed} "
                f"bytes of memory, and there are only {there}; append fewer with `num_new_rows` "
                f"(--rows)"
            )

    def make_new_rows(self, initializer: Any) -> np.ndarray:
        """Returns the values of new rows, [num_new_rows, ...]; a projection's are its columns."""
        reader, (name, axis, num_rows) = self._reader, self._axis
        shape, dtype = reader.shape(name), reader.dtype(name)
        row_shape = shape[:axis] + shape[axis + 1 :]
        read = self._read_columns if axis else self._read_rows
        old_rows = OldRows(variable_name(name), num_rows, read)
        return make_new_rows(initializer, self._new_rows.count, old_rows, row_shape, dtype)

    def certificate(self) -> Certificate:
        """Returns the `Certificate` of the old rows, once what `change` made of them is written."""
        reader, name, kept = self._reader, self._axis.name, ~self._new_rows
        axis, digest = self._axis.axis, self._digest
        stored = StoredRows(reader, name, self._old.strategy, axis)
        if digest is None or not self._new.is_in_order:
            # A fingerprint is of the rows in the order of their ids; they were written in another.
            digest = self._new_digest()
            for index in kept.chunks(rows_in_chunk(stored.dtype, stored.shape[1:])):
                digest.update(stored[self._map.old_ids(ids_of(index))])
        return Certificate(
            variable_name(name),
            kept,
            name_of(stored.dtype),
            stored.shape[:axis] + stored.shape[axis + 1 :],
            digest.hexdigest(),
            reader.prefix,
            axis,
        )

    def _new_digest(self):
        name, axis, _ = self._axis
        dtype, shape = self._reader.dtype(name), list(self._reader.shape(name))
        shape[axis] = self._map.num_rows - self._new_rows.count
        return Digest(dtype.numpy, tuple(shape))

    def change(
        self,
        name: str,
        new: Any,
        old: Any = None,
        like: str | StoredRows | None = None,
        parts: Sequence[int] | None = None,
    ) -> Change:
        """Returns the `Change` of the variable, or of a slot variable of it.

        Args:
          name: string.
          new: source of the new rows.
          old: source of the old rows; default: `name`.
          like: string, a tensor that has the dtype and the shape of rows that are written, or the
            `StoredRows` of one in another checkpoint; default: `name`.
          parts: list of ints, the partitions that are written under this name; default: all, or
            those that the tensor has.
        """
        reader, axis = self._reader, self._axis.axis
        like = like or name
        if isinstance(like, StoredRows):
            dtype, shape = like.reader.dtype(like.name), like.shape
        else:
            dtype, shape = reader.dtype(like), reader.shape(like)
        old_shape = reader.shape(name) if name in reader.names() else None
        shape = shape[:axis] + (self._map.num_rows,) + shape[axis + 1 :]
        old = name if old is None else old
        digest = None
        if name == self._axis.name:
            digest = self._digest = self._new_digest()
        if axis:
            chunks = functools.partial(self._columns, dtype, shape[0], old, new, digest)
            return Change(dtype, shape, chunks, None, old_shape)
        if parts is None and old_shape is not None and reader.is_partial(name):
            parts = [self._old.slices.index(each) for each in reader.slices(name)]
        slices = self._new.slices
        if parts is not None:
            slices = [slices[part] for part in parts]
        chunks = functools.partial(self._rows, dtype, shape[1:], slices, old, new, digest)
        if len(self._new.sizes) > 1:
            return Change(dtype, shape, chunks, slices, old_shape)
        append = None
        if self._map.appends and isinstance(old, str) and reader.is_whole(old, dtype):
            rest = [(self._map.num_old_rows, self._map.num_rows)]
            new_chunks = functools.partial(self._rows, dtype, shape[1:], rest, old, new, None)
            append = Append(old, new_chunks, digest and digest.update)
        return Change(dtype, shape, chunks, None, old_shape, append)

    def _rows(self, dtype, row_shape, slices, old, new, digest):
        """Yields the grown rows at the places of the slices, chunk by chunk."""
        step = rows_in_chunk(dtype.numpy, row_shape)
        for first, last in slices:
            for start in range(first, last, step):
                ids = self._new.ids(start, min(start + step, last))
                old_ids = self._map.old_ids(ids)
                is_old = old_ids >= 0
                old_rows = self._take(old, old_ids[is_old], dtype, row_shape)
                if digest is not None:
                    digest.update(old_rows)
                if is_old.all():
                    yield old_rows
                    continue
                rows = np.empty([ids.size, *row_shape], dtype.numpy)
                rows[is_old] = old_rows
                new_ids = self._new_rows.position(ids[~is_old])
                rows[~is_old] = self._take(new, new_ids, dtype, row_shape)
                yield rows

    def _take(self, source, ids, dtype, row_shape):
        if isinstance(source, str):
            return self._reader.take(source, self._old.places(ids))
        if isinstance(source, numbers.Number):
            return np.full([ids.size, *row_shape], cast(np.float64(source), dtype.numpy))
        return source[ids]

    def _columns(self, dtype, num_rows, old, new, digest):
        """Yields the rows of a variable whose columns grow, chunk by chunk."""
        old_ids = self._map.old_ids(np.arange(self._map.num_rows))
        is_old = old_ids >= 0
        step = rows_in_chunk(dtype.numpy, [self._map.num_rows])
        for start in range(0, num_rows, step):
            stop = min(start + step, num_rows)
            rows = np.empty([stop - start, self._map.num_rows], dtype.numpy)
            if isinstance(old, str):
                rows[:, is_old] = self._reader.rows(old, start, stop)[:, old_ids[is_old]]
            else:
                rows[:, is_old] = cast(np.float64(old), dtype.numpy)
            if digest is not None:
                digest.update(rows[:, is_old])
            if isinstance(new, numbers.Number):
                rows[:, ~is_old] = cast(np.float64(new), dtype.numpy)
            else:
                rows[:, ~is_old] = new[:, start:stop].T
            yield rows

    def _read_rows(self, ids):
        return self._reader.take(self._axis.name, self._old.places(ids))

    def _read_columns(self, ids):
        name = self._axis.name
        chunks = [
            self._reader.rows(name, start, stop)[:, ids].T
            for start, stop in self._reader.chunks(name)
        ]
        return np.ascontiguousarray(np.concatenate(chunks, axis=1))


def _memory():
    """Returns the bytes of memory that this process may have."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, AttributeError, ValueError, OSError):
        # On Windows.
        return sys.maxsize
    return there if limit == resource.RLIM_INFINITY else min(there, limit)


def certificates_of(growths: Sequence[Growth]) -> Callable[[], list[Certificate]]:
    """Returns a function that makes the certificates of the old rows, for `rewrite`."""
    return lambda: [growth.certificate() for growth in growths]
