"""Reads rows of a checkpoint's tensors in bounded memory, and checks every byte it passes on."""

import contextlib
import os
import threading

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.checkpoint.files.crc32c import Crc32c, mask
from tf1_embed.checkpoint.files.find import data_loss, find_checkpoint, nearest_first
from tf1_embed.checkpoint.files.index import num_values, read_index, slice_key, slice_shape
from tf1_embed.checkpoint.files.sstable import SSTableError
from tf1_embed.rows import CHUNK_BYTES

# The key under which an object-based checkpoint has the variable at the path before it.
OBJECT_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


class CheckpointReader:
    """A checkpoint on a local disk, of which rows are read, never whole tables.

    TensorFlow's reader loads a tensor that was saved whole to return a slice of it; this one finds
    the bytes through the index. They are checked as TensorFlow would check them: a part that is
    read from its start to its end as it is read, any other by `check_rest`.

    Several threads may read at a time: TensorFlow's do where rows are read in a graph.

    Attributes:
      prefix: string, the checkpoint's prefix.

    Example:
      with CheckpointReader("runs/model.ckpt-1000") as reader:
          for start, stop in reader.chunks("embedding"):
              rows = reader.rows("embedding", start, stop)
          reader.check_rest()
    """

    def __init__(self, checkpoint):
        """Opens a checkpoint; reads its index alone.

        Args:
          checkpoint: string, a checkpoint prefix, or a folder, whose latest checkpoint is taken.

        Raises:
          FileNotFoundError: if there is no such checkpoint.
          tf.errors.DataLossError: if the index is damaged, or a data file is missing or too short.
        """
        self.prefix = find_checkpoint(checkpoint)
        self._files = {}
        self._lock = threading.Lock()
        try:
            with open(f"{self.prefix}.index", "rb") as file:
                self._entries, self._num_shards = read_index(file.read())
        except SSTableError as error:
            raise self._damaged(f"its index cannot be read: {error}") from error
        self._parts, self._covered = {}, set()
        for key, entry in self._entries.items():
            if not key.startswith(b"\0"):
                name = key.decode("utf-8", "surrogateescape")
                self._parts[name] = self._parts_of(name, key, entry)
        self._names = sorted(self._parts)
        try:
            self._open_files()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def close(self):
        """Closes the data files."""
        for file in self._files.values():
            file.close()

    def names(self):
        """Returns the names of all tensors, sorted."""
        return list(self._names)

    def find(self, name):
        """Returns the name of a variable's tensor: its own, or its key in an object-based one.

        Raises:
          KeyError: if the checkpoint has neither; the error lists what it has.
        """
        for each in (name, name + OBJECT_SUFFIX):
            if each in self._parts:
                return each
        raise KeyError(
            f"checkpoint {self.prefix} holds no variable {name!r}; it holds "
            f"{nearest_first(name, self._parts)}"
        )

    def dtype(self, name):
        """Returns the `tf.DType` of a tensor, None if this TensorFlow does not know it."""
        return _dtype(self.entry(name))

    def shape(self, name):
        """Returns the shape of a tensor, a tuple of ints."""
        return self.entry(name).shape

    def num_bytes(self, name):
        """Returns how many bytes the values of a tensor take."""
        return sum(part.entry.size for part in self._parts[name])

    def partitions(self, name):
        """Returns the number of rows of each of a tensor's partitions, [num_rows] if there is one.

        A tensor that is partitioned along another axis counts as one partition.
        """
        parts, shape = self._parts[name], self.shape(name)
        if len(parts) > 1 and all(part.has_whole_rows(shape) for part in parts):
            return [part.entry.shape[0] for part in parts]
        return list(shape[:1])

    def slices(self, name):
        """Returns the slices of whole rows that a tensor is stored in, a list of (start, stop)."""
        return [(part.start[0], part.stop[0]) for part in self._parts[name]]

    def is_whole(self, name, dtype):
        """Tells whether a tensor of that `tf.DType` is stored whole, not in slices."""
        entry = self.entry(name)
        return not entry.slices and entry.dtype == dtype.as_datatype_enum

    def is_partial(self, name):
        """Tells whether a tensor is stored in slices that do not make the whole.

        That is how TensorFlow saves the slot variables of a partitioned variable that were made in
        a second scope: the name of each has a piece of the partition's name in it (`e/art_0/Adam`).
        """
        count = sum(part.entry.num_values for part in self._parts[name])
        return count < self.entry(name).num_values

    def join(self, names):
        """Makes a tensor that is read of the slices of several of the same shape.

        Returns:
          string, the name under which it is read.
        """
        joined = " + ".join(names)
        parts = [part for name in names for part in self._parts[name]]
        self._parts[joined] = sorted(parts, key=lambda part: part.start)
        self._entries[_encode(joined)] = self.entry(names[0])
        return joined

    def chunks(self, name):
        """Yields the bounds (start, stop) of rows that together are read in bounded memory."""
        shape = self.shape(name)
        for start in range(0, shape[0], self._chunk_rows(name)):
            yield start, min(start + self._chunk_rows(name), shape[0])

    def rows(self, name, start, stop):
        """Reads the rows from `start` to `stop - 1` of a tensor.

        Args:
          name: string, the tensor's name.
          start: int.
          stop: int.

        Returns:
          array of shape [stop - start, ...] and the tensor's dtype.

        Raises:
          IndexError: if there are no such rows.
          tf.errors.DataLossError: if the bytes are damaged, as far as it is known by then, or the
            tensor's slices leave a hole or overlap.
        """
        shape = self.shape(name)
        if not 0 <= start <= stop <= shape[0]:
            raise IndexError(f"{name!r} has {shape[0]} rows, got `start` {start}, `stop` {stop}")
        self._check_coverage(name)
        dtype = np.dtype(self.dtype(name).as_numpy_dtype)
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

    def take(self, name, ids):
        """Reads the rows of the given ids; runs of ids that follow one another in one go.

        Args:
          name: string, the tensor's name.
          ids: int array of shape [m], each in [0, number of rows).

        Returns:
          array of shape [m, ...] and the tensor's dtype.

        Raises:
          IndexError, tf.errors.DataLossError: as for `rows`.
        """
        ids = np.asarray(ids, np.int64)
        breaks = np.flatnonzero(np.diff(ids) != 1) + 1
        starts = np.concatenate([[0], breaks, [ids.size]]) if ids.size else np.zeros(1, np.int64)
        if starts.size == 2:
            return self.rows(name, int(ids[0]), int(ids[-1]) + 1)
        dtype = np.dtype(self.dtype(name).as_numpy_dtype)
        rows = np.empty((ids.size,) + self.shape(name)[1:], dtype)
        for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist()):
            first = int(ids[start])
            rows[start:stop] = self.rows(name, first, first + stop - start)
        return rows

    def raw(self, name):
        """Yields, for each part of a tensor, its extents, its entry, and its bytes in chunks.

        What the bytes mean is left to TensorFlow: they may be strings.
        """
        for part in self._parts[name]:
            yield part.extents, part.entry, self._chunks_from(part, 0)

    def entry(self, name):
        """Returns the `Entry` under a tensor's own name, which may have slices."""
        return self._entries[_encode(name)]

    def check_rest(self):
        """Checks the bytes that were not checked as they were read, of the tensors that were read.

        Raises:
          tf.errors.DataLossError: if a checksum does not match.
        """
        for part in self._all_parts():
            if part.is_read and part.has_values:
                for _ in self._chunks_from(part, part.summed):
                    pass
            elif part.is_read and part.dtype == tf.string:
                # How strings are summed up is TensorFlow's own.
                with self._errors_of_tensorflow(part.name):
                    tf.train.NewCheckpointReader(self.prefix).get_tensor(part.name)

    def _all_parts(self):
        return (part for parts in self._parts.values() for part in parts)

    def _chunk_rows(self, name):
        return max(1, CHUNK_BYTES * self.shape(name)[0] // max(1, self.num_bytes(name)))

    def _parts_of(self, name, key, entry):
        """Returns the parts of a tensor in the order of their place in it."""
        if not entry.slices:
            parts = [_Part(name, entry, tuple((0, None) for _ in entry.shape))]
        else:
            parts = []
            for extents in entry.slices:
                key = slice_key(_encode(name), extents)
                if key not in self._entries:
                    raise self._damaged(f"a slice of {name!r} is not in it")
                part = _Part(name, self._entries[key], extents)
                if part.entry[:2] != (entry.dtype, slice_shape(extents, entry.shape)):
                    raise self._damaged(f"a slice of {name!r} has another shape or dtype than it")
                parts.append(part)
            parts.sort(key=lambda part: part.start)
        for part in parts:
            self._check_size(part)
        return parts

    def _check_coverage(self, name):
        """Finds holes and overlaps, which TensorFlow, too, meets only when it reads the tensor."""
        if name in self._covered:
            return
        shape, parts = self.shape(name), self._parts[name]
        overlap = _overlap(parts)
        # Without an overlap, as many values as the whole has are the whole.
        if overlap or sum(part.entry.num_values for part in parts) != num_values(shape):
            problem = "overlap" if overlap else "do not cover it"
            raise self._damaged(f"the slices of {name!r}, of shape {list(shape)}, {problem}")
        self._covered.add(name)

    def _check_size(self, part):
        if part.has_values:
            expected = part.entry.num_values * part.dtype.size
            if part.entry.size != expected:
                raise self._damaged(
                    f"{part.name!r} of shape {list(part.entry.shape)} needs {expected} bytes, its "
                    f"index says {part.entry.size}"
                )

    def _open_files(self):
        stops = {}
        for part in self._all_parts():
            entry = part.entry
            stops[entry.shard] = max(stops.get(entry.shard, 0), entry.offset + entry.size)
        for shard, needed in sorted(stops.items()):
            path = f"{self.prefix}.data-{shard:05d}-of-{self._num_shards:05d}"
            if not os.path.isfile(path):
                raise self._damaged(f"its data file {os.path.basename(path)} is missing")
            present = os.path.getsize(path)
            if present < needed:
                raise self._damaged(
                    f"its data file {os.path.basename(path)} is truncated: its tensors need "
                    f"{needed} bytes, it has {present}"
                )
            # Read, not mapped: mapped pages would count as memory of this process.
            self._files[shard] = open(path, "rb", buffering=0)

    def _chunks_from(self, part, offset):
        part.is_read = True
        for start in range(offset, part.entry.size, CHUNK_BYTES):
            chunk = np.empty(min(CHUNK_BYTES, part.entry.size - start), np.uint8)
            self._read_into(part, start, chunk)
            yield chunk

    def _read_into(self, part, offset, array):
        """Fills an array with the bytes of a part from an offset on; sums them up if it can."""
        part.is_read = True
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
            if part.has_values and offset == part.summed:
                part.crc.update(view)
                part.summed += len(view)
                if part.summed == part.entry.size and mask(part.crc.value()) != part.entry.crc:
                    raise self._damaged(f"the checksum of {part.name!r} does not match its values")

    @contextlib.contextmanager
    def _errors_of_tensorflow(self, name):
        try:
            yield
        except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
            # TF 2 turns some of its own errors into Python's.
            raise self._damaged(f"{name!r}: {getattr(error, 'message', error)}") from error

    def _damaged(self, what):
        return data_loss(self.prefix, what)


def _overlap(parts):
    """Tells whether any two of some parts, which are in order, have an element in common."""
    for number, one in enumerate(parts):
        for other in parts[number + 1 :]:
            if other.start[0] >= one.stop[0]:
                break
            if one.overlaps(other):
                return True
    return False


def _dtype(entry):
    try:
        return tf.as_dtype(entry.dtype)
    except TypeError:
        return None


def _encode(name):
    return name.encode("utf-8", "surrogateescape")


class _Part:
    """A tensor, or a slice of one, and how far its bytes were summed up.

    Attributes:
      extents: tuple of (start, length) for each axis, a length of None being the whole axis.
      start, stop: tuples of ints, its bounds in the tensor.
      dtype: `tf.DType`, None if this TensorFlow does not know it.
      has_values: bool, whether its bytes are numbers, one after another.
      is_read: bool.
      crc: `Crc32c` of the first `summed` bytes.
      summed: int.
    """

    def __init__(self, name, entry, extents):
        self.name, self.entry, self.extents = name, entry, extents
        self.start = tuple(start for start, _ in extents)
        self.stop = tuple(start + dim for start, dim in zip(self.start, entry.shape))
        self.dtype = _dtype(entry)
        self.has_values = self.dtype not in (None, tf.string, tf.variant, tf.resource)
        self.is_read = False
        self.crc, self.summed = Crc32c(), 0

    def overlaps(self, other):
        """Tells whether two parts have an element in common."""
        bounds = zip(self.start, self.stop, other.start, other.stop)
        return all(start < end and begin < stop for start, stop, begin, end in bounds)

    def has_whole_rows(self, shape):
        """Tells whether the part is a number of rows of a tensor of `shape`."""
        return self.start[1:] == (0,) * (len(shape) - 1) and self.stop[1:] == shape[1:]
