"""What a checkpoint holds: its tensors, their dtypes and shapes, and the parts they lie in."""

from __future__ import annotations

import os
from typing import Any, Iterator

from tf1_embed.checkpoint.files.dtypes import DType, of_number
from tf1_embed.checkpoint.files.find import (
    LOCAL,
    CheckpointDamaged,
    Files,
    damaged,
    find_checkpoint,
    nearest_first,
)
from tf1_embed.checkpoint.files.index import Entry, num_values, read_index, slice_key, slice_shape
from tf1_embed.checkpoint.files.sstable import SSTableError

# What follows the path of a variable in its key in an object-based checkpoint.
OBJECT_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


class Catalog:
    """The tensors of a checkpoint, of which no value is read.

    Attributes:
      prefix: string, the checkpoint's prefix.

    Example:
      catalog = Catalog("runs/model.ckpt-1000")
      for name in catalog.names():
          print(name, catalog.shape(name))
    """

    prefix: str

    def __init__(self, checkpoint: str | os.PathLike, files: Files = LOCAL):
        """Reads the index of a checkpoint, and looks whether its data files are there.

        Args:
          checkpoint: string, a checkpoint prefix, or a folder, whose latest checkpoint is taken.
          files: `Files`, for checkpoints that are not on a local disk.

        Raises:
          FileNotFoundError: if there is no such checkpoint.
          CheckpointDamaged: if the index is damaged, or a data file is missing or too short.
        """
        self.prefix = find_checkpoint(checkpoint, files)
        try:
            self._entries, self._num_shards = read_index(files.read(f"{self.prefix}.index"))
        except SSTableError as error:
            raise self._damaged(f"its index cannot be read: {error}") from error
        self._parts: dict = {}
        self._covered: set = set()
        for key, entry in self._entries.items():
            if not key.startswith(b"\0"):
                name = key.decode("utf-8", "surrogateescape")
                self._parts[name] = self._parts_of(name, key, entry)
        self._names = sorted(self._parts)
        self._check_data_files(files)

    def names(self) -> list[str]:
        """Returns the names of all tensors, sorted."""
        return list(self._names)

    def find(self, name: str) -> str:
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

    def dtype(self, name: str) -> DType | Any:
        """Returns the `DType` of a tensor, None if it is not known."""
        return of_number(self.entry(name).dtype)

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of a tensor, a tuple of ints."""
        return self.entry(name).shape

    def num_bytes(self, name: str) -> int:
        """Returns how many bytes the values of a tensor take."""
        return sum(part.entry.size for part in self._parts[name])

    def partitions(self, name: str) -> list[int]:
        """Returns the number of rows of each of a tensor's partitions, [num_rows] if there is one.

        A tensor that is partitioned along another axis counts as one partition.
        """
        parts, shape = self._parts[name], self.shape(name)
        if len(parts) > 1 and all(part.has_whole_rows(shape) for part in parts):
            return [part.entry.shape[0] for part in parts]
        return list(shape[:1])

    def slices(self, name: str) -> list[tuple[int, int]]:
        """Returns the slices of whole rows that a tensor is stored in, a list of (start, stop)."""
        return [(part.start[0], part.stop[0]) for part in self._parts[name]]

    def is_whole(self, name: str, dtype: DType) -> bool:
        """Tells whether a tensor of that `DType` is stored whole, not in slices."""
        entry = self.entry(name)
        return not entry.slices and entry.dtype == dtype.number

    def is_partial(self, name: str) -> bool:
        """Tells whether a tensor is stored in slices that do not make the whole.

        That is how TensorFlow saves the slot variables of a partitioned variable that were made in
        a second scope: the name of each has a piece of the partition's name in it (`e/art_0/Adam`).
        """
        count = sum(part.entry.num_values for part in self._parts[name])
        return count < self.entry(name).num_values

    def join(self, names: list[str]) -> str:
        """Makes a tensor that is read of the slices of several of the same shape.

        Returns:
          string, the name under which it is read.
        """
        joined = " + ".join(names)
        parts = [part for name in names for part in self._parts[name]]
        self._parts[joined] = sorted(parts, key=lambda part: part.start)
        self._entries[_encode(joined)] = self.entry(names[0])
        return joined

    def entry(self, name: str) -> Entry:
        """Returns the `Entry` under a tensor's own name, which may have slices."""
        return self._entries[_encode(name)]

    def check_coverage(self, name: str) -> None:
        """Finds holes and overlaps, which TensorFlow, too, meets only when it reads the tensor.

        Raises:
          CheckpointDamaged: if there are any.
        """
        if name in self._covered:
            return
        shape, parts = self.shape(name), self._parts[name]
        overlap = _overlap(parts)
        # Slices that do not overlap and have as many values as the whole leave no hole.
        if overlap or sum(part.entry.num_values for part in parts) != num_values(shape):
            problem = "overlap" if overlap else "do not cover it"
            raise self._damaged(f"the slices of {name!r}, of shape {list(shape)}, {problem}")
        self._covered.add(name)

    def _all_parts(self) -> Iterator[Part]:
        return (part for parts in self._parts.values() for part in parts)

    def _parts_of(self, name, key, entry):
        """Returns the parts of a tensor in the order of their place in it."""
        if not entry.slices:
            parts = [Part(name, entry, tuple((0, None) for _ in entry.shape))]
        else:
            parts = []
            for extents in entry.slices:
                key = slice_key(_encode(name), extents)
                if key not in self._entries:
                    raise self._damaged(f"a slice of {name!r} is not in it")
                part = Part(name, self._entries[key], extents)
                if part.entry[:2] != (entry.dtype, slice_shape(extents, entry.shape)):
                    raise self._damaged(f"a slice of {name!r} has another shape or dtype than it")
                parts.append(part)
            parts.sort(key=lambda part: part.start)
        for part in parts:
            self._check_size(part)
        return parts

    def _check_size(self, part):
        if part.has_values:
            expected = part.entry.num_values * part.dtype.size
            if part.entry.size != expected:
                raise self._damaged(
                    f"{part.name!r} of shape {list(part.entry.shape)} needs {expected} bytes, its "
                    f"index says {part.entry.size}"
                )

    def _check_data_files(self, files):
        stops = {}
        for part in self._all_parts():
            entry = part.entry
            stops[entry.shard] = max(stops.get(entry.shard, 0), entry.offset + entry.size)
        self._shards = sorted(stops)
        for shard in self._shards:
            path, needed = self._data_path(shard), stops[shard]
            if not files.exists(path):
                raise self._damaged(f"its data file {os.path.basename(path)} is missing")
            present = files.size(path)
            if present < needed:
                raise self._damaged(
                    f"its data file {os.path.basename(path)} is truncated: its tensors need "
                    f"{needed} bytes, it has {present}"
                )

    def _data_path(self, shard):
        return f"{self.prefix}.data-{shard:05d}-of-{self._num_shards:05d}"

    def _damaged(self, what: str) -> CheckpointDamaged:
        return damaged(self.prefix, what)


class Part:
    """A tensor, or a slice of one.

    Attributes:
      name: string, the tensor's.
      entry: `Entry`, where its bytes are.
      extents: tuple of (start, length) for each axis, a length of None being the whole axis.
      start, stop: tuples of ints, its bounds in the tensor.
      dtype: `DType`, None if it is not known.
      has_values: bool, whether its bytes are values of one size, one after another.
    """

    __slots__ = ("dtype", "entry", "extents", "has_values", "name", "start", "stop")

    name: str
    entry: Entry
    extents: tuple[tuple[int, int | None], ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]
    dtype: DType | None
    has_values: bool

    def __init__(self, name: str, entry: Entry, extents: tuple):
        """Takes the name, the entry and the extents."""
        self.name, self.entry, self.extents = name, entry, extents
        self.start = tuple(start for start, _ in extents)
        self.stop = tuple(start + dim for start, dim in zip(self.start, entry.shape))
        self.dtype = of_number(entry.dtype)
        self.has_values = self.dtype is not None and self.dtype.numpy is not None

    def overlaps(self, other: Part) -> bool:
        """Tells whether two parts have an element in common."""
        bounds = zip(self.start, self.stop, other.start, other.stop)
        return all(start < end and begin < stop for start, stop, begin, end in bounds)

    def has_whole_rows(self, shape: tuple[int, ...]) -> bool:
        """Tells whether the part is a number of rows of a tensor of `shape`."""
        return self.start[1:] == (0,) * (len(shape) - 1) and self.stop[1:] == shape[1:]


def _overlap(parts):
    """Tells whether any two of some parts, which are in order, have an element in common."""
    for number, one in enumerate(parts):
        for other in parts[number + 1 :]:
            if other.start[0] >= one.stop[0]:
                break
            if one.overlaps(other):
                return True
    return False


def _encode(name):
    return name.encode("utf-8", "surrogateescape")
