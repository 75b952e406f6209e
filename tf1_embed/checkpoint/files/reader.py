"""Reads rows of a checkpoint's tensors in bounded memory, and checks every byte it passes on."""

from __future__ import annotations

import os
import threading
from typing import Iterator

import numpy as np

from tf1_embed.checkpoint.files.catalog import Catalog, Part
from tf1_embed.checkpoint.files.crc32c import Crc32c, mask
from tf1_embed.checkpoint.files.index import Entry
from tf1_embed.checkpoint.files.sstable import SSTableError
from tf1_embed.checkpoint.files.strings import masked_sum_of_strings, split_strings
from tf1_embed.rows import CHUNK_BYTES

# To read this much takes as long as to begin to read elsewhere.
_NEAR_BYTES = 16 << 10


class CheckpointReader(Catalog):
    """A checkpoint on a local disk, of which rows are read, never whole tables.

    TensorFlow's reader loads a tensor that was saved whole to return a slice of it; this one finds
    the bytes through the index. They are checked as TensorFlow would check them: a part that is
    read from its start to its end as it is read, any other by `check_rest`.

    Several threads may read at a time: TensorFlow's do where rows are read in a graph.

    Values of a dtype that NumPy does not know are their bits, see `tf1_embed.bfloat16`.

    Example:
      with CheckpointReader("runs/model.ckpt-1000") as reader:
          for start, stop in reader.chunks("embedding"):
              rows = reader.rows("embedding", start, stop)
          reader.check_rest()
    """

    def __init__(self, checkpoint: str | os.PathLike):
        """Opens a checkpoint; reads its index alone.

        Args:
          checkpoint: string, a checkpoint prefix, or a folder, whose latest checkpoint is taken.

        Raises:
          FileNotFoundError: if there is no such checkpoint.
          CheckpointDamaged: if the index is damaged, or a data file is missing or too short.
        """
        super().__init__(checkpoint)
        self._files: dict = {}
        self._sums: dict = {}
        self._lock = threading.Lock()
        try:
            for shard in self._shards:
                # Read, not mapped: mapped pages would count as memory of this process.
                self._files[shard] = open(self._data_path(shard), "rb", buffering=0)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> CheckpointReader:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the data files."""
        for file in self._files.values():
            file.close()

    def chunks(self, name: str) -> Iterator[tuple[int, int]]:
        """Yields the bounds (start, stop) of rows that together are read in bounded memory."""
        num_rows = self.shape(name)[0]
        step = max(1, CHUNK_BYTES * num_rows // max(1, self.num_bytes(name)))
        for start in range(0, num_rows, step):
            yield start, min(start + step, num_rows)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Reads the rows from `start` to `stop - 1` of a tensor.

        Args:
          name: string, the tensor's name.
          start: int.
          stop: int.

        Returns:
          array of shape [stop - start, ...] and the tensor's dtype.

        Raises:
          IndexError: if there are no such rows.
          CheckpointDamaged: if the bytes are damaged, as far as it is known by then, or the
            tensor's slices leave a hole or overlap.
        """
        shape = self.shape(name)
        if not 0 <= start <= stop <= shape[0]:
            raise IndexError(f"{name!r} has {shape[0]} rows, got `start` {start}, `stop` {stop}")
        self.check_coverage(name)
        dtype = self.dtype(name).numpy
        rows = np.empty((stop - start,) + shape[1:], dtype)
        for part in self._parts[name]:
            first, last = max(start, part.start[0]), min(stop, part.stop[0])
            if first >= last:
                continue
            inner = tuple(slice(*bounds) for bounds in zip(part.start[1:], part.stop[1:]))
            target = rows[(slice(first - start, last - start),) + inner]
            row_bytes = part.entry.size // part.entry.shape[0]
            offset = (first - part.start[0]) * row_bytes
            if target.flags.c_contiguous:
                self._read_into(part, offset, target)
            else:
                piece = np.empty(target.shape, dtype)
                self._read_into(part, offset, piece)
                target[...] = piece
        return rows

    def take(self, name: str, index: slice | np.ndarray) -> np.ndarray:
        """Reads the rows of the given ids; those that lie near one another in one go.

        Args:
          name: string, the tensor's name.
          index: slice with a start and a stop, or int array of shape [m] of ids in any order, each
            in [0, number of rows).

        Returns:
          array of shape [m, ...] and the tensor's dtype.

        Raises:
          IndexError, CheckpointDamaged: as for `rows`.
        """
        if isinstance(index, slice):
            return self.rows(name, index.start, index.stop)
        ids, order = np.asarray(index, np.int64), None
        if (ids[1:] < ids[:-1]).any():
            # In the order in which they lie in the file: those of a few partitions are a few runs.
            order = np.argsort(ids, kind="stable")
            ids = ids[order]
        runs = list(_runs(ids, self.num_bytes(name) // max(1, self.shape(name)[0])))
        if len(runs) == 1 and order is None:
            return self._rows_near(name, ids)
        rows = np.empty((ids.size,) + self.shape(name)[1:], self.dtype(name).numpy)
        for start, stop in runs:
            places = slice(start, stop) if order is None else order[start:stop]
            rows[places] = self._rows_near(name, ids[start:stop])
        return rows

    def _rows_near(self, name, ids):
        """Reads rows of ids in ascending order, and all between them."""
        first, stop = int(ids[0]), int(ids[-1]) + 1
        rows = self.rows(name, first, stop)
        is_run = ids.size == stop - first and (np.diff(ids) == 1).all()
        return rows if is_run else rows[ids - first]

    def raw(self, name: str) -> Iterator[tuple[tuple, Entry, Iterator[np.ndarray]]]:
        """Yields, for each part of a tensor, its extents, its entry, and its bytes in chunks.

        What the bytes mean is not looked at: they may be strings.
        """
        for part in self._parts[name]:
            yield part.extents, part.entry, self._chunks_from(part, 0)

    def strings(self, name: str) -> list[bytes]:
        """Reads a tensor of strings whole, in the order of its elements.

        Raises:
          CheckpointDamaged: if the bytes are no strings.
        """
        self.check_coverage(name)
        strings: list[bytes] = []
        for _, entry, chunks in self.raw(name):
            content = b"".join(chunk.tobytes() for chunk in chunks)
            try:
                strings += split_strings(content, entry.num_values)
            except SSTableError as error:
                raise self._damaged(f"the strings of {name!r} cannot be read: {error}") from error
        return strings

    def check_rest(self) -> None:
        """Checks the bytes that were not checked as they were read, of the tensors that were read.

        Raises:
          CheckpointDamaged: if a checksum does not match.
        """
        for part, summed in list(self._sums.items()):
            if part.has_values:
                for _ in self._chunks_from(part, summed.num_bytes):
                    pass
            elif part.dtype is not None and part.dtype.name == "string":
                found = masked_sum_of_strings(self._chunks_from(part, 0), part.entry.num_values)
                if found != part.entry.crc:
                    raise self._damaged(f"the checksum of {part.name!r} does not match its strings")

    def _chunks_from(self, part: Part, offset: int) -> Iterator[np.ndarray]:
        self._sum_of(part)
        for start in range(offset, part.entry.size, CHUNK_BYTES):
            chunk = np.empty(min(CHUNK_BYTES, part.entry.size - start), np.uint8)
            self._read_into(part, start, chunk)
            yield chunk

    def _sum_of(self, part):
        """Returns the sum of a part, which is thereby noted as one that is read."""
        return self._sums.setdefault(part, _Sum())

    def _read_into(self, part, offset, array):
        """Fills an array with the bytes of a part from an offset on; sums them up if it can."""
        file = self._files[part.entry.shard]
        view = memoryview(array.reshape(-1).view(np.uint8))
        with self._lock:
            file.seek(part.entry.offset + offset)
            filled = 0
            while filled < len(view):
                count = file.readinto(view[filled:])
                if not count:
                    raise self._damaged(f"a data file was cut short while {part.name!r} was read")
                filled += count
            summed = self._sum_of(part)
            if part.has_values and offset == summed.num_bytes:
                summed.crc.update(view)
                summed.num_bytes += len(view)
                if summed.num_bytes == part.entry.size and mask(summed.crc.value()) != (
                    part.entry.crc
                ):
                    raise self._damaged(f"the checksum of {part.name!r} does not match its values")


def _runs(ids, row_bytes):
    """Yields the (start, stop) of ids in ascending order that are read in one go each.

    To read a few rows too many takes less time than to read once more. Where there are such, what
    is read in one go is bounded.
    """
    near = max(1, _NEAR_BYTES // max(1, row_bytes))
    most = max(1, CHUNK_BYTES // max(1, row_bytes))
    breaks = np.flatnonzero(np.diff(ids) > near) + 1
    bounds = [0, *breaks.tolist(), ids.size] if ids.size else [0]
    for start, stop in zip(bounds, bounds[1:]):
        while ids[stop - 1] - ids[start] >= max(most, stop - start):
            middle = int(np.searchsorted(ids, ids[start] + most))
            yield start, middle
            start = middle
        yield start, stop


class _Sum:
    """The `Crc32c` of the first `num_bytes` bytes of a part."""

    def __init__(self):
        self.crc, self.num_bytes = Crc32c(), 0
