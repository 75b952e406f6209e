"""Writes a checkpoint tensor by tensor in bounded memory, whole or not at all."""

import contextlib
import errno
import os
import re
import shutil
import tempfile

import numpy as np

from tf1_embed.bfloat16 import as_bits
from tf1_embed.checkpoint.files.ahead import ahead
from tf1_embed.checkpoint.files.crc32c import Crc32c, mask, unmask
from tf1_embed.checkpoint.files.dtypes import as_dtype
from tf1_embed.checkpoint.files.find import refuse_brackets
from tf1_embed.checkpoint.files.index import Entry, num_values, slice_key, write_index
from tf1_embed.checkpoint.files.state import read_state, write_state
from tf1_embed.checkpoint.files.write_back import WriteBack
from tf1_embed.new_files import flush_to_disk
from tf1_embed.rows import CHUNK_BYTES

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]  # on Windows

# Bytes that the system is given at one time. For more, Linux allocates large pages: memory that a
# virtual machine's host has taken back when it was free, and gives again at several times the cost.
_WRITE_BYTES = 1 << 16

# In the temporary folder, where the checkpoint that is replaced waits until the new one is there.
_REPLACED = "replaced"
# Likewise, the file whose lock tells that the process is alive. The number of the process would
# not do: another one may have it by now, or have it in another container.
_LOCK = "lock"


class CheckpointWriter:
    """A context in which tensors are added to a new checkpoint on a local disk.

    Bytes go to a temporary folder beside the checkpoint until the context is left. Then the data
    file takes its name, after it the index, without which nothing opens the data, and last the
    folder's `checkpoint` file names the new one as the latest. All are flushed to the disk before.
    An exception in the context leaves nothing behind; a killed process leaves the temporary folder,
    which the next run to the same prefix removes. A checkpoint that is replaced is there again
    after either.

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

    def __init__(self, prefix, force=False, source=None):
        """Takes the prefix to write.

        Args:
          prefix: string; its folder must exist.
          force: bool, whether a checkpoint of that prefix is replaced.
          source: string, the prefix of the checkpoint that is read, which is never replaced, nor
            is the `checkpoint` file of its folder, which says where its training goes on.

        Raises:
          FileExistsError: if there is a checkpoint of that prefix and not `force`.
          FileNotFoundError: if the folder does not exist.
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
        if not os.path.isdir(self._folder):
            raise FileNotFoundError(f"there is no folder {self._folder!r} to write to")
        self._data_path = f"{self.prefix}.data-00000-of-00001"
        self._index_path = f"{self.prefix}.index"
        self._keeps_state = False
        if source is not None:
            folder, name = os.path.split(source)
            self._keeps_state = os.path.samefile(folder or ".", self._folder)
            # Whatever the spelling, and through links of any kind.
            if _identities(folder or ".", name) & _identities(self._folder, self._name):
                raise FileExistsError(
                    f"`out` is the checkpoint that is read, {text}; choose another"
                )
        if os.path.exists(self._index_path) and not force:
            raise FileExistsError(
                f"checkpoint {text} exists; choose another name, or replace it with force=True "
                f"(--force)"
            )
        self.progress = lambda num_bytes: None
        self._entries, self._beside = {}, []

    def __enter__(self):
        self._remove_leftovers()
        self._temporary = tempfile.mkdtemp(
            prefix=f".{self._name}.", suffix=".tmp", dir=self._folder
        )
        try:
            self._lock = open(self._temporary_path(_LOCK), "wb")
            _lock(self._lock)
            self._data = open(self._temporary_path("data"), "wb", buffering=0)
            self._write_back = WriteBack(self._data)
        except BaseException:
            shutil.rmtree(self._temporary, ignore_errors=True)
            raise
        return self

    def check_room(self, num_bytes):
        """Raises an OSError if the disk has no room for so many bytes."""
        free = shutil.disk_usage(self._folder).free
        if num_bytes > free:
            raise OSError(
                errno.ENOSPC,
                f"the checkpoint takes {num_bytes} bytes, but the disk has only {free} free",
                self._folder,
            )

    def add(self, name, dtype, shape, chunks, slices=None):
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
            parts = {slice_key(key, each): (each[0][1],) + shape[1:] for each in extents}
        sizes = [num_values(part) * dtype.size for part in parts.values()]
        offsets = np.cumsum([self._data.tell()] + sizes).tolist()
        sums = [Crc32c() for _ in parts]
        with contextlib.ExitStack() as threads:
            pieces = threads.enter_context(_ahead(_cut(name, dtype, chunks, sizes), sum(sizes)))
            for piece in threads.enter_context(_ahead(_sum_up(pieces, sums), sum(sizes))):
                self._write(piece)
        for (key, shape), offset, size, crc in zip(parts.items(), offsets, sizes, sums):
            self._entries[key] = Entry(number, shape, 0, offset, size, mask(crc.value()), ())

    def append(self, name, reader, source, shape, chunks, note=None):
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
        crc = Crc32c.after(unmask(entry.crc), entry.size)
        for piece in _sum_up(_cut(name, dtype, chunks, [size - entry.size]), [crc]):
            self._write(piece)
        crc = mask(crc.value())
        self._entries[_encode(name)] = Entry(entry.dtype, shape, 0, offset, size, crc, ())

    def copy(self, reader, name):
        """Adds a tensor of a `CheckpointReader` as it is, bit for bit, its slices among it."""
        key = _encode(name)
        whole = reader.entry(name)
        if whole.slices:
            self._entries[key] = whole
        for extents, entry, chunks in reader.raw(name):
            part = slice_key(key, extents) if whole.slices else key
            self._entries[part] = entry._replace(shard=0, offset=self._data.tell())
            with _ahead(chunks, entry.size) as chunks:
                for chunk in chunks:
                    self._write(chunk)

    def add_file(self, suffix, content):
        """Adds a file beside the checkpoint, whose name is the prefix and a suffix.

        Args:
          suffix: string, such as ".rows.json".
          content: bytes.
        """
        self._write_file(self._name + suffix, content)
        self._beside.append(self._name + suffix)

    def __exit__(self, kind, error, trace):
        # The last one first, each of them whatever becomes of those before.
        with contextlib.ExitStack() as steps:
            steps.callback(self._lock.close)
            steps.callback(self._remove, self._temporary)
            steps.callback(self._data.close)
            steps.callback(self._write_back.close)
            if kind is None:
                self._publish()

    def _write(self, array):
        view = memoryview(array)
        while view:
            view = view[self._data.write(view[:_WRITE_BYTES]) :]
        self._write_back.add(len(array))
        self.progress(len(array))

    def _publish(self):
        self._write_back.finish()
        self._data.close()
        self._write_file("index", write_index(self._entries))
        if not self._keeps_state:
            self._write_file("checkpoint", self._state())
        flush_to_disk(self._temporary_path("data"))
        try:
            self._set_aside()
            self._move_to("data", self._data_path)
            for name in self._beside:
                self._move_to(name, os.path.join(self._folder, name))
            self._move_to("index", self._index_path)
            flush_to_disk(self._folder)
            if not self._keeps_state:
                self._move_to("checkpoint", os.path.join(self._folder, "checkpoint"))
        except BaseException:
            if not os.path.exists(self._temporary_path("index")):
                os.remove(self._index_path)
            raise

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

    def _write_file(self, name, content):
        with open(self._temporary_path(name), "wb") as file:
            file.write(content)
        flush_to_disk(self._temporary_path(name))

    def _move_to(self, name, path):
        os.replace(self._temporary_path(name), path)

    def _temporary_path(self, name):
        return os.path.join(self._temporary, name)

    def _set_aside(self):
        """Moves the checkpoint that is replaced out of the way, its index first."""
        replaced = self._temporary_path(_REPLACED)
        os.mkdir(replaced)
        for file in sorted(_files(self._folder, self._name), reverse=True):
            os.replace(os.path.join(self._folder, file), os.path.join(replaced, file))

    def _remove_leftovers(self):
        """Removes the temporary folders of runs to the same prefix that were killed."""
        pattern = re.compile(rf"\.{re.escape(self._name)}\.[a-z0-9_]+\.tmp")
        for file in os.listdir(self._folder):
            folder = os.path.join(self._folder, file)
            if pattern.fullmatch(file) and _is_left(folder):
                self._remove(folder)

    def _remove(self, temporary):
        """Removes a temporary folder; what was to be replaced is back if nothing took its place."""
        replaced = os.path.join(temporary, _REPLACED)
        if os.path.exists(replaced) and not os.path.exists(self._index_path):
            if not os.path.exists(os.path.join(temporary, "data")):
                # What was there is set aside by then: these are new, and lack their index.
                for file in _files(self._folder, self._name):
                    os.remove(os.path.join(self._folder, file))
            for file in sorted(os.listdir(replaced)):
                os.replace(os.path.join(replaced, file), os.path.join(self._folder, file))
        shutil.rmtree(temporary, ignore_errors=True)


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


def _files(folder, name):
    """Returns the files of the checkpoint of that name, an unordered list."""
    pattern = re.compile(re.escape(name) + r"\.(index|data-\d+-of-\d+|rows\.json)")
    return [file for file in os.listdir(folder) if pattern.fullmatch(file)]


def _identities(folder, name):
    """Returns the device and the number on it of each file of a checkpoint, a set."""
    paths = [os.path.join(folder, file) for file in _files(folder, name)]
    states = [os.stat(path) for path in paths if os.path.exists(path)]
    return {(state.st_dev, state.st_ino) for state in states}


def _is_left(temporary):
    """Tells whether no running process has the lock of a temporary folder."""
    try:
        with open(os.path.join(temporary, _LOCK), "wb") as file:
            return _lock(file)
    except OSError:
        # Another run has removed it just now, or it is another user's.
        return False


def _lock(file):
    """Takes the lock of a file, until it is closed or the process ends; tells whether it could."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Another process has it, or the file system knows none; then leftovers stay.
        return False
    return True
