"""Writes a checkpoint tensor by tensor in bounded memory, whole or not at all."""

import errno
import os
import re
import shutil
import tempfile

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.checkpoint.ahead import ahead
from tf1_embed.checkpoint.crc32c import crc32c, mask
from tf1_embed.checkpoint.index import Entry, slice_key, write_index
from tf1_embed.checkpoint.reader import CHUNK_BYTES
from tf1_embed.old_rows import refuse_brackets

# Written at one time: so much is still in the cache since it was summed up.
_WRITE_BYTES = 256 << 10

# What the names of temporary folders end in.
_TEMPORARY = ".tmp"


class CheckpointWriter:
    """A context in which tensors are added to a new checkpoint on a local disk.

    Bytes go to a temporary folder beside the checkpoint until the context is left. Then the data
    file takes its name, after it the index, without which nothing opens the data, and last the
    folder's `checkpoint` file names the new one as the latest. All are flushed to the disk before.
    An exception in the context leaves nothing behind; a killed process leaves the temporary folder,
    which the next run removes.

    Attributes:
      progress: function that is given the number of bytes just written.

    TensorFlow's own `SaveV2` takes a tensor whole, or in slices that each become a data file of
    their own; this writes one data file, from chunks.

    Example:
      with CheckpointReader("runs/old") as reader, CheckpointWriter("runs/new") as writer:
          writer.copy(reader, "bias")
          writer.add("embedding", tf.float32, [12, 4], iter([old_rows, new_rows]))
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
        is_source_folder = False
        if source is not None:
            folder, name = os.path.split(os.path.abspath(source))
            is_source_folder = os.path.realpath(folder) == os.path.realpath(self._folder)
            if is_source_folder and name == self._name:
                raise FileExistsError(
                    f"`out` is the checkpoint that is read, {text}; choose another"
                )
        if os.path.exists(f"{self.prefix}.index") and not force:
            raise FileExistsError(f"checkpoint {text} exists; choose another name or force it")
        self._keeps_state = is_source_folder
        self.progress = lambda num_bytes: None
        self._entries = {}

    def __enter__(self):
        self._remove_leftovers()
        self._temporary = tempfile.mkdtemp(
            prefix=f".{self._name}.{os.getpid()}.", suffix=_TEMPORARY, dir=self._folder
        )
        self._data = open(os.path.join(self._temporary, "data"), "wb", buffering=0)
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
          dtype: `tf.DType` of numbers.
          shape: tuple of ints.
          chunks: iterable of arrays of `dtype`, the tensor's values in row-major order. It is
            evaluated in a thread.
          slices: list of (start, stop), the rows of each slice that the tensor is stored in, for
            which `chunks` are the values; default: it is stored whole.

        Raises:
          ValueError: if the chunks are not as many values as the shape says, or of another dtype.
        """
        key, shape = _encode(name), tuple(int(dim) for dim in shape)
        number = dtype.as_datatype_enum
        parts = {key: shape}
        if slices is not None:
            rest = ((0, None),) * (len(shape) - 1)
            extents = tuple(((start, stop - start),) + rest for start, stop in slices)
            self._entries[key] = Entry(number, shape, 0, 0, 0, 0, extents)
            parts = {slice_key(key, each): (each[0][1],) + shape[1:] for each in extents}
        sizes = [_num_values(part) * dtype.size for part in parts.values()]
        offsets = np.cumsum([self._data.tell()] + sizes).tolist()
        sums = [0] * len(parts)
        for part, piece in ahead(_cut(name, dtype, chunks, sizes)):
            sums[part] = crc32c(piece, sums[part])
            self._write(piece)
        for (key, shape), offset, size, crc in zip(parts.items(), offsets, sizes, sums):
            self._entries[key] = Entry(number, shape, 0, offset, size, mask(crc), ())

    def copy(self, reader, name):
        """Adds a tensor of a `CheckpointReader` as it is, bit for bit, its slices among it."""
        key = _encode(name)
        whole = reader.entry(name)
        if whole.slices:
            self._entries[key] = whole
        for extents, entry, chunks in reader.raw(name):
            part = slice_key(key, extents) if whole.slices else key
            self._entries[part] = entry._replace(shard=0, offset=self._data.tell())
            for chunk in ahead(chunks) if entry.size > CHUNK_BYTES else chunks:
                self._write(chunk)

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._publish()
        finally:
            self._data.close()
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _write(self, array):
        view = memoryview(array)
        while view:
            view = view[self._data.write(view[:_WRITE_BYTES]) :]
        self.progress(len(array))

    def _publish(self):
        index = os.path.join(self._temporary, "index")
        with open(index, "wb") as file:
            file.write(write_index(self._entries))
        self._data.close()
        for path in (self._data.name, index):
            _flush_to_disk(path)
        replaced = self._set_aside()
        published = [f"{self.prefix}.data-00000-of-00001", f"{self.prefix}.index"]
        try:
            for source, target in zip((self._data.name, index), published):
                os.replace(source, target)
            _flush_to_disk(self._folder)
            if not self._keeps_state:
                self._write_state()
        except BaseException:
            for path in published[::-1]:
                if os.path.exists(path):
                    os.remove(path)
            for source, target in replaced[::-1]:
                os.replace(target, source)
            raise

    def _set_aside(self):
        """Moves the checkpoint that is replaced out of the way, its index first."""
        pattern = re.compile(re.escape(self._name) + r"\.(index|data-\d+-of-\d+)")
        files = [file for file in os.listdir(self._folder) if pattern.fullmatch(file)]
        moved = []
        for file in sorted(files, reverse=True):
            source = os.path.join(self._folder, file)
            target = os.path.join(self._temporary, file)
            os.replace(source, target)
            moved.append((source, target))
        return moved

    def _write_state(self):
        state = tf.train.get_checkpoint_state(self._folder)
        others = list(state.all_model_checkpoint_paths) if state else []
        others = [path for path in others if os.path.abspath(path) != self.prefix]
        tf.train.update_checkpoint_state(self._folder, self._name, others + [self._name])

    def _remove_leftovers(self):
        """Removes the temporary folders of runs to the same prefix that were killed."""
        pattern = re.compile(rf"\.{re.escape(self._name)}\.(\d+)\..*{re.escape(_TEMPORARY)}")
        for file in os.listdir(self._folder):
            match = pattern.fullmatch(file)
            if match and not _is_running(int(match.group(1))):
                shutil.rmtree(os.path.join(self._folder, file), ignore_errors=True)


def _cut(name, dtype, chunks, sizes):
    """Yields (part number, bytes) such that part i gets sizes[i] bytes of the chunks together."""
    part, missing = 0, sizes[0]
    for chunk in chunks:
        if chunk.dtype != dtype.as_numpy_dtype:
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


def _num_values(shape):
    return int(np.prod(shape, dtype=np.int64))


def _is_running(process):
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _flush_to_disk(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
