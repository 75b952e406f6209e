"""How a variable of a checkpoint, and its slot variables with it, get more rows."""

import functools
import numbers

import numpy as np

from tf1_embed.checkpoint.new_rows import OldRows, make_new_rows
from tf1_embed.checkpoint.reader import CHUNK_BYTES
from tf1_embed.checkpoint.rewrite import Change
from tf1_embed.checkpoint.slots import variable_name
from tf1_embed.checkpoint.stored_rows import StoredRows
from tf1_embed.partitions import Partitions


class Growth:
    """The ids of a grown variable: which of its rows are old, and where each of them lies.

    A row comes from one of two sources, an old or a new one. A source is the name of a tensor in
    the checkpoint, an array or anything else that ids index, or a number for all rows.
    """

    def __init__(self, reader, axis, id_map, partition_strategy=None):
        """Takes the variable and where its rows come from.

        Args:
          reader: `CheckpointReader`.
          axis: `VocabularyAxis`.
          id_map: `IdMap`.
          partition_strategy: "mod" or "div", needed where the variable has partitions.

        Raises:
          ValueError: if it is not given then, or `id_map` is for another number of rows.
        """
        if id_map.num_old_rows != axis.size:
            raise ValueError(
                f"the ids are those of {id_map.num_old_rows} old rows, but {str(axis)!r} has "
                f"{axis.size}"
            )
        self._reader, self._axis, self._map = reader, axis, id_map
        self._new_rows = id_map.new_rows
        self._old = Partitions((axis.size,), None)
        if axis.axis == 0:
            self._old = StoredRows(reader, axis.name, partition_strategy).partitions
        self._new = Partitions.even(id_map.num_rows, len(self._old.sizes), partition_strategy)

    def make_new_rows(self, initializer):
        """Returns the values of new rows, [num_new_rows, ...]; a projection's are its columns."""
        reader, (name, axis, num_rows) = self._reader, self._axis
        shape, dtype = reader.shape(name), reader.dtype(name)

        def read(ids):
            if axis == 0:
                return reader.take(name, self._old.places(ids))
            return np.ascontiguousarray(reader.rows(name, 0, shape[0]).T[ids])

        row_shape = shape[:axis] + shape[axis + 1 :]
        old_rows = OldRows(variable_name(name), num_rows, row_shape, dtype, read)
        return make_new_rows(initializer, self._new_rows.count, old_rows, row_shape, dtype)

    def change(self, name, new, old=None, check=None):
        """Returns the `Change` of the variable, or of a slot variable of it.

        Args:
          name: string. Of a tensor that has some of the slices only, just these are written.
          new: source of the new rows.
          old: source of the old rows; default: `name`.
          check: function that is given each chunk of old rows.
        """
        shape, dtype = self._reader.shape(name), self._reader.dtype(name)
        return self.change_to(
            dtype, shape, name if old is None else old, new, self._slices_of(name), shape, check
        )

    def change_to(self, dtype, shape, old, new, slices=None, old_shape=None, check=None):
        """Returns the `Change` of a variable that may not be in the checkpoint yet.

        Args:
          dtype: `tf.DType`.
          shape: tuple of ints; how many rows it has does not matter.
          old: source of the old rows.
          new: source of the new rows.
          slices: list of (start, stop), the places that are written; default: all.
          old_shape: tuple of ints, None if there is no such variable.
          check: function that is given each chunk of old rows.
        """
        grown_shape = list(shape)
        grown_shape[self._axis.axis] = self._map.num_rows
        if self._axis.axis == 1:
            chunks = functools.partial(self._columns, dtype, shape[0], old, new, check)
            return Change(dtype, grown_shape, chunks, None, old_shape)
        slices = slices or self._new.slices
        chunks = functools.partial(self._rows, dtype, shape[1:], slices, old, new, check)
        is_partitioned = len(self._new.sizes) > 1
        return Change(dtype, grown_shape, chunks, slices if is_partitioned else None, old_shape)

    def _slices_of(self, name):
        if not self._reader.is_partial(name):
            return None
        order = [self._old.slices.index(each) for each in self._reader.slices(name)]
        return [self._new.slices[each] for each in order]

    def _rows(self, dtype, row_shape, slices, old, new, check):
        """Yields the grown rows at the places of the slices, chunk by chunk."""
        for first, last in slices:
            step = chunk_rows(dtype, row_shape)
            for start in range(first, last, step):
                ids = self._new.ids(start, min(start + step, last))
                old_ids = self._map.old_ids(ids)
                is_old = old_ids >= 0
                old_rows = self._take(old, old_ids[is_old], dtype, row_shape)
                if check is not None:
                    check(old_rows)
                if is_old.all():
                    yield old_rows
                    continue
                rows = np.empty((ids.size,) + tuple(row_shape), old_rows.dtype)
                rows[is_old] = old_rows
                new_ids = self._new_rows.position(ids[~is_old])
                rows[~is_old] = self._take(new, new_ids, dtype, row_shape)
                yield rows

    def _take(self, source, ids, dtype, row_shape):
        if isinstance(source, str):
            return self._reader.take(source, self._old.places(ids))
        if isinstance(source, numbers.Number):
            return np.full((ids.size,) + tuple(row_shape), source, dtype.as_numpy_dtype)
        return source[ids]

    def _columns(self, dtype, num_rows, old, new, check):
        """Yields the rows of a variable whose columns grow, chunk by chunk."""
        old_ids = self._map.old_ids(np.arange(self._map.num_rows))
        is_old = old_ids >= 0
        step = chunk_rows(dtype, [self._map.num_rows])
        for start in range(0, num_rows, step):
            stop = min(start + step, num_rows)
            if isinstance(old, str):
                old_columns = self._reader.rows(old, start, stop)[:, old_ids[is_old]]
            else:
                old_columns = np.array(old).astype(dtype.as_numpy_dtype)
            if check is not None:
                check(old_columns)
            rows = np.empty((stop - start, self._map.num_rows), old_columns.dtype)
            rows[:, is_old] = old_columns
            rows[:, ~is_old] = new if isinstance(new, numbers.Number) else new[:, start:stop].T
            yield rows


def chunk_rows(dtype, row_shape):
    """Returns how many rows of a table are in memory at one time."""
    # An id takes 8 bytes, whatever its row takes.
    return max(1, CHUNK_BYTES // max(8, int(np.prod(row_shape, dtype=np.int64)) * dtype.size))
