"""The partitions of a table: how many rows each has, and which ids they are."""

from collections import namedtuple

import numpy as np

STRATEGIES = ("mod", "div")


class Partitions(namedtuple("Partitions", "sizes strategy")):
    """The places of ids in a table whose partitions lie one after another, as in a checkpoint.

        ids 0 to 4 in two partitions    mod  0 2 4 | 1 3       div  0 1 2 | 3 4
        places                               0 1 2   3 4            0 1 2   3 4

    Attributes:
      sizes: tuple of ints, the number of rows of each partition.
      strategy: "mod" (id i is row i // p of partition i % p) or "div" (the ids follow one another),
        as TensorFlow's lookups take it.

    Example:
      >>> partitions = Partitions.even(5, 2, "mod")
      >>> partitions.ids(0, 5)
      array([0, 2, 4, 1, 3])
      >>> partitions.places([0, 1, 2, 3, 4])
      array([0, 3, 1, 4, 2])
    """

    __slots__ = ()

    @classmethod
    def even(cls, num_rows, count, strategy):
        """Returns partitions of equal size, the first ones a row larger where need be.

        Those are the partitions that TensorFlow's partitioners make and its lookups expect.
        """
        sizes = [num_rows // count + (part < num_rows % count) for part in range(count)]
        return cls(tuple(sizes), strategy)

    @property
    def is_even(self):
        """Whether the sizes are those that TensorFlow's lookups expect."""
        return self.sizes == self.even(sum(self.sizes), len(self.sizes), None).sizes

    @property
    def slices(self):
        """The places of each partition, a list of (start, stop)."""
        stops = np.cumsum(self.sizes).tolist()
        return list(zip([0] + stops[:-1], stops))

    def locate(self, ids):
        """Finds ids in the partitions.

        Args:
          ids: ints of shape [n], each in [0, number of rows).

        Returns:
          two int arrays of shape [n]: the partition of each id, and its row there.
        """
        ids = np.asarray(ids)
        if self.strategy == "mod":
            return ids % len(self.sizes), ids // len(self.sizes)
        stops = np.cumsum(self.sizes)
        part = np.searchsorted(stops, ids, side="right")
        return part, ids - (stops - self.sizes)[part]

    def places(self, ids):
        """Returns the place of each id, an int array of shape [n]."""
        if self._in_order:
            return np.asarray(ids)
        part, row = self.locate(ids)
        return (np.cumsum(self.sizes) - self.sizes)[part] + row

    def ids(self, start, stop):
        """Returns the ids at the places from `start` to `stop - 1`, an int array."""
        places = np.arange(start, stop)
        if self._in_order:
            return places
        stops = np.cumsum(self.sizes)
        part = np.searchsorted(stops, places, side="right")
        return (places - (stops - self.sizes)[part]) * len(self.sizes) + part

    @property
    def _in_order(self):
        return self.strategy != "mod" or len(self.sizes) == 1
