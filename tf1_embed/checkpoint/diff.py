"""Compares all variables of two checkpoints, whatever they are."""

from __future__ import annotations

import os
from typing import Any, Callable, NamedTuple

import numpy as np

from tf1_embed.checkpoint.files.ahead import ahead
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows, StoredStrings
from tf1_embed.checkpoint.rewrite import Silence
from tf1_embed.checkpoint.slots import variable_name
from tf1_embed.checkpoint.verify import MAX_LISTED
from tf1_embed.fingerprints import ChangedRows, beside, chunks_of
from tf1_embed.rows import Rows


class Difference(NamedTuple):
    """What became of a variable from one checkpoint to another.

    Attributes:
      name: string.
      status: "same", every bit of it; "grown", longer on one axis; "changed"; "missing" in the new
        checkpoint; or "new" there.
      old_shape: tuple of ints, None if it is new.
      new_shape: tuple of ints, None if it is missing.
      axis: int, on which it grew, else 0: the axis that `num_rows` counts along.
      num_rows: int, how many rows were compared; 1 for a number. None if none were, as it is
        missing or new, or of another dtype or shape.
      num_changed: int, how many of those differ in any bit; None as `num_rows`.
      largest_difference: float, as `Comparison` has it; None too if no rows were compared.
    """

    name: str
    status: str
    old_shape: tuple[int, ...] | None
    new_shape: tuple[int, ...] | None
    axis: int = 0
    num_rows: int | None = None
    num_changed: int | None = None
    largest_difference: float | None = None

    @property
    def keeps_old(self) -> bool:
        """Whether all that the old checkpoint has of it is in the new one, bit for bit."""
        return self.status in ("same", "new") or (self.status == "grown" and self.num_changed == 0)


def diff_checkpoints(
    old: str | os.PathLike,
    new: str | os.PathLike,
    partition_strategy: str | None = None,
    new_partition_strategy: str | None = None,
    progress: Callable[[int], Any] | None = None,
) -> list[Difference]:
    """Compares every variable of two checkpoints, bit for bit.

    What is longer on one axis has grown; its old rows, or columns, are taken for the first ones, so
    that rows which moved with a vocabulary count as changed: `verify_checkpoint` compares these.

    Args:
      old: string, the prefix of a checkpoint on a local disk, or a folder, whose latest is taken.
      new: string, likewise.
      partition_strategy: "mod" or "div", how lookups send ids to partitions; needed where a
        variable with more than one of them grew, or was partitioned anew. What is stored as it was
        is the same under any.
      new_partition_strategy: string, that of the new checkpoint, if it is another.
      progress: function of the number of bytes in all, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.

    Returns:
      list of `Difference`, one a variable, by name.

    Raises:
      FileNotFoundError: if there is no such checkpoint.
      ValueError: if a strategy is needed and not given.
      CheckpointDamaged: if a checkpoint is damaged.
    """
    new_strategy = new_partition_strategy or partition_strategy
    with CheckpointReader(old) as old_reader, CheckpointReader(new) as new_reader:
        old_names, new_names = (
            {variable_name(name): name for name in reader.names()}
            for reader in (old_reader, new_reader)
        )
        differences = []
        total = sum(map(old_reader.num_bytes, old_names.values()))
        with (progress or Silence)(total) as bar:
            for name in sorted({**old_names, **new_names}):
                if name not in new_names:
                    shape = old_reader.shape(old_names[name])
                    differences.append(Difference(name, "missing", shape, None))
                elif name not in old_names:
                    shape = new_reader.shape(new_names[name])
                    differences.append(Difference(name, "new", None, shape))
                else:
                    pair = (
                        _Side(old_reader, old_names[name], partition_strategy),
                        _Side(new_reader, new_names[name], new_strategy),
                    )
                    differences.append(_difference(name, *pair))
                if name in old_names:
                    bar.update(old_reader.num_bytes(old_names[name]))
        old_reader.check_rest()
        new_reader.check_rest()
    return differences


class _Side(NamedTuple):
    """A variable in one of the two checkpoints."""

    reader: CheckpointReader
    name: str
    strategy: str | None

    @property
    def shape(self):
        return self.reader.shape(self.name)

    @property
    def dtype(self):
        """The number of the dtype; also of one that is not known."""
        return self.reader.entry(self.name).dtype

    def content(self):
        """Returns all bytes, of what is small or of no known dtype."""
        return b"".join(
            chunk.tobytes() for _, _, chunks in self.reader.raw(self.name) for chunk in chunks
        )

    def rows(self, axis, in_place):
        """Returns what is indexed by rows; `in_place`: by their places, not by ids."""
        if self.reader.dtype(self.name).name == "string":
            return StoredStrings(self.reader, self.name)
        return StoredRows(self.reader, self.name, "div" if in_place else self.strategy, axis)


def _difference(name, old, new):
    """Returns the `Difference` of a variable that both have."""
    result, axis = Difference(name, "changed", old.shape, new.shape), 0
    if old.dtype != new.dtype or len(old.shape) != len(new.shape):
        return result
    grown = [i for i, sizes in enumerate(zip(old.shape, new.shape)) if sizes[0] != sizes[1]]
    if grown:
        (axis, *others) = grown
        if others or old.shape[axis] > new.shape[axis]:
            return result
        result = result._replace(status="grown", axis=axis)
    dtype = old.reader.dtype(old.name)
    is_known = dtype is not None and (dtype.numpy is not None or dtype.name == "string")
    if not old.shape or not is_known or 0 in new.shape:
        return _whole(result, dtype, old, new)
    num_rows = old.shape[axis]
    partitions = [each.reader.partitions(each.name) for each in (old, new)]
    # Where ids lie does not matter if they lie in the same places.
    in_place = not grown and partitions[0] == partitions[1]
    changed = _changed(old, new, axis, in_place)
    if changed.count and in_place and len(partitions[0]) > 1 and old.strategy != new.strategy:
        changed = _changed(old, new, axis, in_place=False)
    if not grown and not changed.count:
        result = result._replace(status="same")
    return result._replace(
        num_rows=num_rows, num_changed=changed.count, largest_difference=changed.largest_difference
    )


def _changed(old, new, axis, in_place):
    """Returns the `ChangedRows` of the old rows, by ids or by their places."""
    changed = ChangedRows(MAX_LISTED, axis)
    old_rows, new_rows = (each.rows(axis, in_place) for each in (old, new))
    rows = Rows.range(0, old.shape[axis], size=new.shape[axis])
    for ids, one, other in beside(old_rows, ahead(chunks_of(new_rows, rows, axis)), axis):
        changed.add(ids, one, other)
    return changed


def _whole(result, dtype, old, new):
    """Returns the `Difference` of what is compared whole: numbers, and values of no known size."""
    if result.status == "grown" and 0 in old.shape:
        return result._replace(num_rows=0, num_changed=0, largest_difference=0.0)
    one, other = old.content(), new.content()
    if one == other:
        result = result._replace(status="same", num_changed=0, largest_difference=0.0)
    elif not old.shape and dtype is not None and dtype.numpy is not None:
        changed = ChangedRows(MAX_LISTED)
        changed.add(
            np.zeros(1, np.int64), *(np.frombuffer(each, dtype.numpy) for each in (one, other))
        )
        result = result._replace(num_changed=1, largest_difference=changed.largest_difference)
    else:
        return result
    return result._replace(num_rows=1 if not old.shape else old.shape[0])
