"""The rows of a table in a checkpoint, by their ids."""

from __future__ import annotations

import hashlib

import numpy as np

from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.partitions import STRATEGIES, Partitions


class StoredRows:
    """A table in a checkpoint, indexed by rows as an array is, whatever its partitions.

    Attributes:
      reader: `CheckpointReader`.
      name: string, the tensor's name.
      partitions: `Partitions`.
      shape: tuple of ints.
      dtype: `np.dtype`.
    """

    reader: CheckpointReader
    name: str
    partitions: Partitions
    shape: tuple[int, ...]
    dtype: np.dtype

    def __init__(
        self,
        reader: CheckpointReader,
        name: str,
        partition_strategy: str | None = None,
        axis: int = 0,
    ) -> None:
        """Finds the partitions; reads no rows.

        Args:
          reader: `CheckpointReader`.
          name: string, the tensor's name.
          partition_strategy: "mod" or "div", how lookups send ids to its partitions, if it has
            more than one.
          axis: int, along which ids count. Partitions lie along axis 0, so that on another one they
            are no matter.

        Raises:
          TypeError: if its values have no size, as strings have none.
          ValueError: if it has, and the strategy is not given, or its partitions are not those that
            lookups expect; if the strategy is neither.
        """
        self.reader, self.name = reader, name
        self.shape = reader.shape(name)
        if not self.shape:
            raise ValueError(f"{name!r} has no rows: it is a number")
        dtype = reader.dtype(name)
        if dtype is None or dtype.numpy is None:
            kind = "unknown" if dtype is None else dtype.name
            raise TypeError(f"{name!r} is of dtype {kind}, but rows must be of numbers")
        self.dtype = dtype.numpy
        if axis:
            self.partitions = Partitions(self.shape[:1], None)
        else:
            self.partitions = _partitions(reader, name, partition_strategy)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Reads the rows of an int array of ids, or of a slice of them."""
        return self.reader.take(self.name, self.partitions.places(index))


class StoredStrings:
    """A tensor of strings in a checkpoint, indexed as `StoredRows` are, each string as its SHA-256.

    So strings are compared as numbers are, by bits of one size. All are read, as tensors of them
    are vocabularies and small; partitions count as one after another.

    Attributes:
      shape: tuple of ints.
      dtype: `np.dtype` of 32 bytes that are no numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype = np.dtype([("string", "V32")])

    def __init__(self, reader: CheckpointReader, name: str):
        """Reads the strings."""
        self.shape = reader.shape(name)
        digests = b"".join(hashlib.sha256(each).digest() for each in reader.strings(name))
        self._digests = np.frombuffer(digests, self.dtype).reshape(self.shape)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Returns the rows of an int array of ids, or of a slice of them."""
        return self._digests[index]


def _partitions(reader, name, partition_strategy):
    if partition_strategy not in (None, *STRATEGIES):
        raise ValueError(f"`partition_strategy` must be mod or div, got {partition_strategy!r}")
    sizes = reader.partitions(name)
    partitions = Partitions(tuple(sizes), partition_strategy)
    if len(sizes) == 1:
        return partitions
    if partition_strategy is None:
        raise ValueError(
            f"{name!r} has {len(sizes)} partitions. Say how its lookups send ids to them: "
            f"`partition_strategy` (--partition-strategy) mod, the default of "
            f"tf.nn.embedding_lookup, or div, as feature columns do"
        )
    if not partitions.is_even:
        even = Partitions.even(sum(sizes), len(sizes), None).sizes
        raise ValueError(
            f"{name!r} has partitions of {list(sizes)} rows, but lookups expect {list(even)}, so "
            f"which id is where is not known"
        )
    return partitions
