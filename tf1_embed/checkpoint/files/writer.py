"""Writes a checkpoint tensor by tensor in bounded memory, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any, Callable, Iterable, Sequence

import numpy as np

from tf1_embed.bfloat16 import as_bits
from tf1_embed.checkpoint.files.ahead import ahead
from tf1_embed.checkpoint.files.crc32c import Crc32c, mask, unmask
from tf1_embed.checkpoint.files.dtypes import as_dtype
from tf1_embed.checkpoint.files.find import refuse_brackets
from tf1_embed.checkpoint.files.index import Entry, num_values, slice_key, write_index
from tf1_embed.checkpoint.files.names import DATA, INDEX, files_of
from tf1_embed.checkpoint.files.state import read_state, write_state
from tf1_embed.checkpoint.files.write_back import WriteBack
from tf1_embed.new_files import NewFiles, has_leftovers, identities
from tf1_embed.rows import CHUNK_BYTES

if TYPE_CHECKING:
    from tf1_embed.checkpoint.files.reader import CheckpointReader

# Bytes that the system is given at one time. For more, Linux allocates large pages: memory that a
# virtual machine's host has taken back when it was free, and gives again at several times the cost.
_WRITE_BYTES = 1 << 16


class CheckpointWriter:
    """A context in which tensors are added to a new checkpoint on a local disk.

    Its files appear together when the context is left, see `NewFiles`: the data file takes its
    name, after it the index, without which nothing opens the data, and last the folder's
    `checkpoint` file names the new one as the latest. An exception in the context leaves what was
    there; so does a process that is killed, after the next run to the same prefix.

    Attributes:
      progress: function that is given the number of bytes just written.

    TensorFlow's own `SaveV2` takes a tensor whole, or in slices that each become a data file of
    their own; this writes one data file, from chunks.

    Example:
      with CheckpointReader("runs/old") as reader, CheckpointWriter("runs/new") as writer:
          writer.copy(reader, "bias")
          writer.add("embedding", np.dtype("float32"), [12, 4], iter([old_rows, new_rows]))
          reader.check_rest()
    """

    def __init__(
        self,
        prefix: str | os.PathLike[str],
        force: bool = False,
        source: str | os.PathLike[str] | None = None,
        beside: Iterable[str] = (),
        is_latest: bool = True,
    ):
        """Takes the prefix to write.

        Args:
          prefix: string; its folder is made if it is not there.
          force: bool, whether a checkpoint of that prefix is replaced.
          source: string, the prefix of the checkpoint that is read, which is never replaced, nor
            is the `checkpoint` file of its folder, which says where its training goes on.
          beside: list of strings, other files that `add_file` will add, wherever they are.
          is_latest: bool, whether the folder's `checkpoint` file is to name it.

        Raises:
          FileExistsError: if there is a file of that checkpoint and not `force`.
          ValueError: if the path has brackets or names a folder, or is that of `source`.
        """
        text = os.fspath(prefix)
        refuse_brackets("out", text)
        self.prefix = os.path.abspath(text)
        self._folder, self._name = os.path.split(self.prefix)
        if text.endswith(("/", os.sep)) or os.path.isdir(self.prefix):
            raise ValueError(
                f"`out` must be a prefix for the checkpoint's files, such as "
                f"{os.path.join(text, 'model.ckpt')!r}; got the folder {text!r}"
            )
        self._names_latest = is_latest
        if source is not None:
            folder = os.path.dirname(source) or "."
            if os.path.isdir(self._folder) and os.path.samefile(folder, self._folder):
                self._names_latest = False
            # Whatever the spelling, and through links of any kind.
            if set(identities(files_of(os.fspath(source)))) & set(
                identities(files_of(self.prefix))
            ):
                raise FileExistsError(
                    f"`out` is the checkpoint that is read, {text}; choose another"
                )
        self._force, self._beside = force, [os.path.abspath(each) for each in beside]
        # What a killed run left is taken back before it is written, and no reason not to.
        if not has_leftovers(self.prefix):
            self._check_absent()
        self.progress: Callable[[int], object] = lambda num_bytes: None
        self.prove: Callable[[str], object] | None = None
        self._entries: dict[bytes, Entry] = {}

    def _check_absent(self):
        # As `files_of` does not find what is beside it.
        taken = files_of(self.prefix) + [each for each in self._beside if os.path.lexists(each)]
        if not taken or self._force:
            return
        prefix = os.path.relpath(self.prefix)
        what = f"checkpoint {prefix} exists"
        if self.prefix + INDEX not in taken:
            what = f"{os.path.relpath(taken[0])} exists, and is not of this run"
        raise FileExistsError(
            f"{what}; choose another name, or replace it with force=True (--force)"
        )

    def __enter__(self) -> CheckpointWriter:
        self._files = NewFiles(self.prefix, *self._beside, force=self._force).__enter__()
        try:
            # Another run may have ended since, or a killed one's checkpoint be back.
            self._check_absent()
            self._data = open(self._files.add(self.prefix + DATA), "wb", buffering=0)
            self._write_back = WriteBack(self._data)
        except BaseException:
            self._files.__exit__(*sys.exc_info())
            raise
        return self

    def check_room(self, num_bytes: int) -> None:
        """Raises an OSError if the disk has no room for so many bytes."""
        folder = self._folder
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        free = shutil.disk_usage(folder).free
        if num_bytes > free:
            raise OSError(
                errno.ENOSPC,
                f"the checkpoint takes {num_bytes} bytes, but the disk has only {free} free",
                self._folder,
            )

    def add(
        self,
        name: str,
        dtype: Any,
        shape: Sequence[int],
        chunks: Iterable[np.ndarray],
        slices: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """Adds a tensor.

        Args:
          name: string.
          dtype: of numbers: a `DType`, or what `as_dtype` makes one of.
          shape: tuple of ints.
          chunks: iterable of arrays of `dtype`, the tensor's values in row-major order. It is
            evaluated in a thread.
          slices: list of (start, stop), the rows of each slice that the tensor is stored in, for
            which `chunks` are the values; default: it is stored whole.

        Raises:
          ValueError: if the chunks are not as many values as the shape says, or of another dtype.
        """
        key, shape = _encode(name), tuple(int(dim) for dim in shape)
        dtype = as_dtype(dtype)
        number = dtype.number
        parts = {key: shape}
        if slices is not None:
            rest = ((0, None),) * (len(shape) - 1)
            extents = tuple(((start, stop - start),) + rest for start, stop in slices)
            self._entries[key] = Entry(number, shape, 0, 0, 0, 0, extents)
            parts = {
                slice_key(key, each): (stop - start,) + shape[1:]
                for each, (start, stop) in zip(extents, slices)
            }
        sizes = [num_values(part) * dtype.size for part in parts.values()]
        offsets = np.cumsum([self._data.tell()] + sizes).tolist()
        sums = [Crc32c() for _ in parts]
        with contextlib.ExitStack() as threads:
            pieces = threads.enter_context(_ahead(_cut(name, dtype, chunks, sizes), sum(sizes)))
            for piece in threads.enter_context(_ahead(_sum_up(pieces, sums), sum(sizes))):
                self._write(piece)
        for (key, shape), offset, size, crc in zip(parts.items(), offsets, sizes, sums):
            self._entries[key] = Entry(number, shape, 0, offset, size, mask(crc.value()), ())

    def append(
        self,
        name: str,
        reader: CheckpointReader,
        source: str,
        shape: Sequence[int],
        chunks: Iterable[np.ndarray],
        note: Callable[[np.ndarray], object] | None = None,
    ) -> None:
        """Adds a tensor that a `CheckpointReader` has whole, with more values after its own.

        Its bytes are summed up once, as they are read.

        Args:
          name: string.
          reader: `CheckpointReader`.
          source: string, the name of the tensor there.
          shape: tuple of ints, that of the larger tensor.
          chunks: iterable of arrays, the values that follow.
          note: function that is given the bytes of `source`, uint8 arrays, or None.

        Raises:
          ValueError: as for `add`.
        """
        ((_, entry, read),) = reader.raw(source)
        dtype, offset = reader.dtype(source), self._data.tell()
        size = num_values(shape) * dtype.size
        with _ahead(read, entry.size) as read:
            for chunk in read:
                if note is not None:
                    note(chunk)
                self._write(chunk)
        whole = Crc32c.after(unmask(entry.crc), entry.size)
        for piece in _sum_up(_cut(name, dtype, chunks, [size - entry.size]), [whole]):
            self._write(piece)
        crc = mask(whole.value())
        self._entries[_encode(name)] = Entry(entry.dtype, tuple(shape), 0, offset, size, crc, ())

    def copy(self, reader: CheckpointReader, source: str, name: str | None = None) -> None:
        """Adds a tensor of a `CheckpointReader` as it is, bit for bit, its slices among it.

        Args:
          reader: `CheckpointReader`.
          source: string, the tensor's name there.
          name: string, the name that it gets; default: the same.
        """
        key = _encode(source if name is None else name)
        whole = reader.entry(source)
        if whole.slices:
            self._entries[key] = whole
        for extents, entry, chunks in reader.raw(source):
            part = slice_key(key, extents) if whole.slices else key
            self._entries[part] = entry._replace(shard=0, offset=self._data.tell())
            with _ahead(chunks, entry.size) as chunks:
                for chunk in chunks:
                    self._write(chunk)

    def add_file(self, path: str, content: bytes) -> None:
        """Adds a file that appears with the checkpoint.

        Args:
          path: string, the prefix and a suffix such as ".rows.json", or one of `beside`.
          content: bytes.
        """
        self._write_file(path, content)

    def __exit__(self, *raised: Any) -> None:
        try:
            try:
                if raised[0] is None:
                    self._finish()
            finally:
                self._write_back.close()
                self._data.close()
        except BaseException:
            self._files.__exit__(*sys.exc_info())
            raise
        self._files.__exit__(*raised)

    def _write(self, array):
        view = memoryview(array)
        while view:
            view = view[self._data.write(view[:_WRITE_BYTES]) :]
        self._write_back.add(len(array))
        self.progress(len(array))

    def _finish(self):
        self._write_back.finish()
        self._data.close()
        for path in files_of(self.prefix):
            # Such as more data files of the checkpoint that is replaced, and its certificate.
            if path not in self._files.places and path != self.prefix + INDEX:
                self._files.remove(path)
        self._write_file(self.prefix + INDEX, write_index(self._entries))
        if self.prove is not None:
            self._prove_it()
        if self._names_latest:
            self._write_file(os.path.join(self._folder, "checkpoint"), self._state(), stays=True)

    def _prove_it(self):
        """Has the checkpoint proved where it waits, under names that can be opened as one."""
        new = {end: self._files.path_of(self.prefix + end) for end in (INDEX, DATA)}
        prefix = os.path.join(os.path.dirname(new[INDEX]), "new")
        for end, path in new.items():
            try:
                os.link(path, prefix + end)
            except OSError:
                # Some file systems have no links.
                shutil.copyfile(path, prefix + end)
        self.prove(prefix)

    def _state(self):
        """Returns what the folder's `checkpoint` file is to say: this checkpoint is the latest."""
        path = os.path.join(self._folder, "checkpoint")
        paths = []
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                _, paths = read_state(file.read())
        paths = [
            # Relative ones survive a move of the folder.
            os.path.relpath(path, self._folder) if path.startswith(self._folder + os.sep) else path
            for path in paths
        ]
        paths = [path for path in paths if path != self._name] + [self._name]
        return write_state(self._name, paths).encode("ascii")

    def _write_file(self, path, content, stays=False):
        with self._files.open(path, stays) as file:
            file.write(content)


def _ahead(items, num_bytes):
    """Returns a context with an iterator over the items of a generator."""
    # A thread is worth its start only where there is something to make ahead.
    return contextlib.closing(ahead(items) if num_bytes > CHUNK_BYTES else items)


def _sum_up(pieces, sums):
    """Yields the bytes of each (part number, bytes), once they are in the part's checksum."""
    for part, piece in pieces:
        sums[part].update(piece)
        yield piece


def _cut(name, dtype, chunks, sizes):
    """Yields (part number, bytes) such that part i gets sizes[i] bytes of the chunks together."""
    part, missing = 0, sizes[0]
    for chunk in chunks:
        chunk = as_bits(chunk)
        if chunk.dtype != dtype.numpy:
            raise ValueError(f"values of {name!r} must be {dtype.name}, got {chunk.dtype}")
        data = np.ascontiguousarray(chunk).reshape(-1).view(np.uint8)
        while data.size:
            while not missing and part + 1 < len(sizes):
                part, missing = part + 1, sizes[part + 1]
            if not missing:
                raise ValueError(f"{name!r} got more values than its shape has")
            piece, data = data[:missing], data[missing:]
            missing -= piece.size
            yield part, piece
    if missing or any(sizes[part + 1 :]):
        raise ValueError(f"{name!r} got fewer values than its shape has")


def _encode(name):
    return name.encode("utf-8", "surrogateescape")
