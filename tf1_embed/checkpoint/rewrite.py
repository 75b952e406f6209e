"""Writes a checkpoint that is another one with some of its tensors changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from tf1_embed.certificates import SUFFIX, encode_certificates
from tf1_embed.checkpoint.files.dtypes import DType
from tf1_embed.checkpoint.files.index import num_values
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.writer import CheckpointWriter

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress


class Append(NamedTuple):
    """The values of a tensor of the checkpoint that is read, as they are, and others after them.

    Attributes:
      source: string, the tensor's name.
      chunks: function without arguments that returns an iterable of the others, arrays.
      note: function that is given the tensor's bytes, uint8 arrays, or None.
    """

    source: str
    chunks: Callable[[], Iterable[np.ndarray]]
    note: Callable[[np.ndarray], None] | None


class Change(NamedTuple):
    """A tensor that is written anew.

    Attributes:
      dtype: `DType`.
      shape: tuple of ints.
      chunks: function without arguments that returns an iterable of its values, arrays.
      slices: list of (start, stop), the rows of each slice it is stored in, or None for whole.
      old_shape: tuple of ints, None if there was no such tensor.
      append: `Append` that says the same as `chunks` and is written faster, or None.
      note: string, what a user should know of it, or None.
    """

    dtype: DType
    shape: tuple[int, ...]
    chunks: Callable[[], Iterable[np.ndarray]]
    slices: Sequence[tuple[int, int]] | None = None
    old_shape: tuple[int, ...] | None = None
    append: Append | None = None
    note: str | None = None

    @property
    def num_bytes(self) -> int:
        """How many bytes the values take."""
        shape = self.shape
        if self.slices is not None:
            shape = (sum(stop - start for start, stop in self.slices),) + shape[1:]
        return num_values(shape) * self.dtype.size


class Copy(NamedTuple):
    """A tensor that is as in another checkpoint, bit for bit.

    Attributes:
      reader: `CheckpointReader` of that one.
      source: string, the tensor's name there.
      note: string, what a user should know of it.
    """

    reader: CheckpointReader
    source: str
    note: str


class LeftOut(NamedTuple):
    """A tensor that the new checkpoint does not have, as None says without a note.

    Attributes:
      note: string, what a user should know of it.
    """

    note: str


class Written(NamedTuple):
    """What became, or with `dry_run` would become, of a tensor of a checkpoint.

    Attributes:
      name: string, its name in the checkpoint.
      dtype: string.
      old_shape: tuple of ints, None if the tensor is new.
      new_shape: tuple of ints, None if the tensor is left out.
      num_bytes: int, the bytes written for it.
      changed: bool, whether it is made anew or left out, rather than copied.
      note: string, what a user should know of it, or None.
      partitions: pair of ints, how many partitions it had and has, where these are not as many;
        else None.
    """

    name: str
    dtype: str
    old_shape: tuple[int, ...] | None
    new_shape: tuple[int, ...] | None
    num_bytes: int
    changed: bool
    note: str | None = None
    partitions: tuple[int, int] | None = None


class Silence:
    """Takes the place of a progress bar, such as a `tqdm`."""

    def __init__(self, num_bytes: int) -> None:
        """Takes the number of bytes in all."""

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def update(self, num_bytes: int) -> None:
        """Notes that so many more bytes are done."""


def rewrite(
    reader: CheckpointReader,
    changes: Mapping[str, Change | Copy | LeftOut | None],
    out: PathLike,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    certify: Callable[[], Any] | None = None,
    beside: Callable[[list[Written]], Mapping[str, bytes]] | None = None,
    prove: Callable[[str], object] | None = None,
) -> list[Written]:
    """Writes a checkpoint anew. What is not named passes through bit for bit.

    Args:
      reader: `CheckpointReader`.
      changes: dict from a tensor's name to its `Change` or `Copy`; `LeftOut` or None if it is left
        out.
      out: string, the prefix to write.
      force: bool, whether a checkpoint there is replaced.
      dry_run: bool, whether nothing is written.
      progress: function of the number of bytes in all, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.
      certify: function without arguments that returns a list of `Certificate`, called when all
        tensors are written; they are put beside the checkpoint.
      beside: function of what will be written, called before anything is, also with `dry_run`. It
        returns more files that appear with the checkpoint, a dict from suffix (".meta") to bytes.
      prove: function of a prefix at which the checkpoint can be opened when all is written and
        nothing has appeared; if it raises, nothing does.

    Returns:
      list of `Written`, by name.

    Raises:
      OSError: if the disk has no room for it, or as for `CheckpointWriter`.
      CheckpointDamaged: if the checkpoint that is read is damaged.
    """
    written = []
    for name in sorted({*reader.names(), *changes}):
        change = changes.get(name)
        if isinstance(change, LeftOut) or (name in changes and change is None):
            note = change.note if change is not None else None
            if name in reader.names():
                dtype_name, shape = _dtype_name(reader, name), reader.shape(name)
                written.append(Written(name, dtype_name, shape, None, 0, True, note))
        elif isinstance(change, Copy):
            of, source, note = change
            shapes = reader.shape(name) if name in reader.names() else None, of.shape(source)
            about = (_dtype_name(of, source), *shapes, of.num_bytes(source))
            written.append(Written(name, *about, changed=True, note=note))
        elif change is not None:
            about = (change.dtype.name, change.old_shape, change.shape, change.num_bytes)
            partitions = _partitions(reader, name, change)
            written.append(
                Written(name, *about, changed=True, note=change.note, partitions=partitions)
            )
        else:
            shape = reader.shape(name)
            size = reader.num_bytes(name)
            written.append(Written(name, _dtype_name(reader, name), shape, shape, size, False))
    writer = CheckpointWriter(out, force=force, source=reader.prefix)
    writer.prove = prove
    writer.check_room(sum(each.num_bytes for each in written))
    files = {} if beside is None else beside(written)
    if dry_run:
        return written
    with (progress or Silence)(sum(each.num_bytes for each in written)) as bar:
        writer.progress = bar.update
        with writer:
            for each in written:
                if each.name not in changes:
                    writer.copy(reader, each.name)
                elif each.new_shape is not None:
                    _write(writer, reader, each.name, changes[each.name])
            copies = [each for each in changes.values() if isinstance(each, Copy)]
            for read in {reader, *(each.reader for each in copies)}:
                read.check_rest()
            if certify is not None:
                writer.add_file(writer.prefix + SUFFIX, encode_certificates(certify()))
            for suffix, content in files.items():
                writer.add_file(writer.prefix + suffix, content)
    return written


def _partitions(reader, name, change):
    """Returns how many partitions a tensor has before and after a change, None if as many."""
    # What was joined or renamed is not there before.
    if change.old_shape is None or not change.shape or name not in reader.names():
        return None
    before, after = len(reader.slices(name)), len(change.slices or [None])
    return None if before == after else (before, after)


def _write(writer, reader, name, change):
    if isinstance(change, Copy):
        writer.copy(change.reader, change.source, name)
    elif change.append is not None:
        source, chunks, note = change.append
        writer.append(name, reader, source, change.shape, chunks(), note)
    else:
        writer.add(name, change.dtype, change.shape, change.chunks(), change.slices)


def _dtype_name(reader, name):
    dtype = reader.dtype(name)
    return "unknown" if dtype is None else dtype.name
