"""The partitions of a table: how many rows each has, and which ids they are."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np

STRATEGIES = ("mod", "div")


class Partitions(NamedTuple):
    """The places of ids in a table whose partitions lie one after another, as in a checkpoint.

        ids 0 to 4 in two partitions    mod  0 2 4 | 1 3       div  0 1 2 | 3 4
        places                               0 1 2   3 4            0 1 2   3 4

    Attributes:
      sizes: tuple of ints, the number of rows of each partition.
      strategy: "mod" (id i is row i // p of partition i % p) or "div" (the ids follow one another),
        as TensorFlow's lookups take it; it may be None where there is one partition.

    Example:
      >>> partitions = Partitions.even(5, 2, "mod")
      >>> partitions.ids(0, 5)
      array([0, 2, 4, 1, 3])
      >>> partitions.places(np.arange(5))
      array([0, 3, 1, 4, 2])
    """

    sizes: tuple[int, ...]
    strategy: str | None

    @classmethod
    def even(cls, num_rows: int, count: int, strategy: str | None) -> Partitions:
        """Returns partitions of equal size, the first ones a row larger where need be.

        Those are the partitions that TensorFlow's partitioners make and its lookups expect.
        """
        sizes = [num_rows // count + (part < num_rows % count) for part in range(count)]
        return cls(tuple(sizes), strategy)

    @property
    def is_even(self) -> bool:
        """Whether the sizes are those that TensorFlow's lookups expect."""
        return self.sizes == self.even(sum(self.sizes), len(self.sizes), None).sizes

    @property
    def is_in_order(self) -> bool:
        """Whether the place of each id is the id itself."""
        return self.strategy != "mod" or len(self.sizes) == 1

    @property
    def slices(self) -> list[tuple[int, int]]:
        """The places of each partition, a list of (start, stop)."""
        stops = np.cumsum(self.sizes).tolist()
        return list(zip([0] + stops[:-1], stops))

    @property
    def ids_of_parts(self) -> list[slice]:
        """The ids of each partition in the order of its rows, a list of slices."""
        if self.is_in_order:
            return [slice(start, stop) for start, stop in self.slices]
        return [slice(part, None, len(self.sizes)) for part in range(len(self.sizes))]

    def locate(self, ids: Any) -> tuple[Any, Any]:
        """Finds ids in the partitions.

        Args:
          ids: int array of shape [n], each in [0, number of rows); under "mod" a `tf.Tensor` as
            well.

        Returns:
          two of the same kind: the partition of each id, and its row there.
        """
        if self.strategy == "mod":
            return ids % len(self.sizes), ids // len(self.sizes)
        part = np.searchsorted(np.cumsum(self.sizes), ids, side="right")
        return part, ids - self._starts[part]

    def places(self, ids: Any, take: Callable[[np.ndarray, Any], Any] = np.take) -> Any:
        """Returns the place of each id.

        Args:
          ids: int array or `tf.Tensor` of shape [n]; or a slice with a start and a stop.
          take: function of an int array and of indices of it, of the kind of `ids`. For tensors it
            gathers.

        Returns:
          an array or tensor of shape [n]; `ids` themselves, a slice too, if that is where they are.
        """
        if self.is_in_order:
            return ids
        if isinstance(ids, slice):
            ids = np.arange(ids.start, ids.stop)
        part, row = self.locate(ids)
        return take(self._starts, part) + row

    def ids(self, start: int, stop: int) -> np.ndarray:
        """Returns the ids at the places from `start` to `stop - 1`, an int array."""
        places = np.arange(start, stop)
        if self.is_in_order:
            return places
        part = np.searchsorted(np.cumsum(self.sizes), places, side="right")
        return (places - self._starts[part]) * len(self.sizes) + part

    @property
    def _starts(self):
        return np.cumsum(self.sizes) - self.sizes
