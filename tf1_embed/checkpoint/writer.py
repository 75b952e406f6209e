"""Writes a checkpoint piece by piece, whole or not at all."""

import os
import shutil
import tempfile

import tensorflow.compat.v1 as tf

from tf1_embed import raw_ops
from tf1_embed.old_rows import refuse_brackets


class CheckpointWriter:
    """A context in which tensors, or slices of them, are added to a new checkpoint.

    Pieces lie in a temporary folder beside the checkpoint until the context is left; then they
    become one checkpoint, and its `.index`, without which nothing opens it, takes its name last. An
    exception in the context leaves nothing behind.

    Example:
      with CheckpointWriter("runs/merged") as writer:
          writer.add("bias", bias)
          writer.add("embedding", old_rows, start=0, full_shape=[12, 4])
          writer.add("embedding", new_rows, start=10, full_shape=[12, 4])
    """

    def __init__(self, prefix):
        """Takes the prefix to write.

        Raises:
          FileExistsError: if there is a checkpoint of that prefix.
          FileNotFoundError: if the folder does not exist.
          ValueError: if the path has brackets.
        """
        refuse_brackets("out", os.fspath(prefix))
        self._prefix = os.path.abspath(os.fspath(prefix))
        folder = os.path.dirname(self._prefix)
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"there is no folder {folder!r} to write the checkpoint to")
        if os.path.exists(f"{self._prefix}.index"):
            raise FileExistsError(f"checkpoint {self._prefix} exists; choose another name")
        self._pieces = []

    def __enter__(self):
        folder, name = os.path.split(self._prefix)
        self._folder = tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
        return self

    def add(self, name, value, start=0, full_shape=None):
        """Adds a tensor, or the rows of one from `start` on.

        Args:
          name: string, the tensor's name.
          value: function without arguments that returns the `tf.Tensor` in a graph of its own.
          start: int, the first row, where `value` is a part of the tensor.
          full_shape: list of ints, the shape of the whole tensor, where `value` is a part of it.
        """
        piece = os.path.join(self._folder, f"piece-{len(self._pieces)}")
        with tf.Graph().as_default(), tf.device("/cpu:0"), tf.Session() as session:
            tensor = value()
            save = raw_ops.SaveV2(
                prefix=piece,
                tensor_names=[name],
                shape_and_slices=[_slice_spec(tensor.shape.as_list(), start, full_shape)],
                tensors=[tensor],
            )
            session.run(save)
        self._pieces.append(piece)

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._publish()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _publish(self):
        whole = os.path.join(self._folder, os.path.basename(self._prefix))
        with tf.Graph().as_default(), tf.Session() as session:
            merge = raw_ops.MergeV2Checkpoints(
                checkpoint_prefixes=self._pieces, destination_prefix=whole, delete_old_dirs=False
            )
            session.run(merge)
        files = [
            each
            for each in os.listdir(self._folder)
            if each.startswith(f"{os.path.basename(whole)}.")
        ]
        published = []
        try:
            for file in sorted(files, key=lambda each: each.endswith(".index")):
                source = os.path.join(self._folder, file)
                _flush_to_disk(source)
                target = os.path.join(os.path.dirname(self._prefix), file)
                os.replace(source, target)
                published.append(target)
        except BaseException:
            for target in published:
                os.remove(target)
            raise
        _flush_to_disk(os.path.dirname(self._prefix))


def _slice_spec(shape, start, full_shape):
    """Returns TensorFlow's text for a slice of rows, such as "12 4 10,2:-"; "" for all."""
    if full_shape is None:
        return ""
    dims = " ".join(str(dim) for dim in full_shape)
    return f"{dims} " + ":".join([f"{start},{shape[0]}"] + ["-"] * (len(full_shape) - 1))


def _flush_to_disk(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
