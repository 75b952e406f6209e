"""A digest of chosen rows of a table, the same wherever the rows are kept.

A table is grown, split, merged, partitioned, saved and restored; its old rows are the same ones as
long as this digest is the same.
"""

import hashlib

import numpy as np

from tf1_embed.checkpoint.stored_rows import StoredRows
from tf1_embed.chunks import rows_in_chunk
from tf1_embed.row_bits import as_bytes
from tf1_embed.rows import Rows


def fingerprint(values, rows=None, session=None, partition_strategy=None):
    r"""Returns the SHA-256 of rows of a table, in the order of their ids.

    What is hashed is one line of ASCII text that says what the rows are, then their bytes,
    little-endian. So anybody can do it again without this library:

        line = "tf1_embed rows v1 float32 10x64\n"      # dtype; count of rows x shape of a row
        hashlib.sha256(line.encode() + rows.astype("<f4").tobytes()).hexdigest()

    The size of the table, its partitions and where the rows are kept are not in it: old rows have
    the same digest in the old table, the grown one and the merged one. The rows are read chunk by
    chunk.

    Args:
      values: an array of shape [num_rows, ...], memory-mapped or not; or, in a session: a
        `tf.Variable`, a partitioned one, a list of partitions, or a `GrownTable`, of which the
        frozen rows are taken.
      rows: `Rows` of the table, of any size that it had or has; default: all.
      session: `tf.Session` in which a variable has its value; default: the default session.
      partition_strategy: "mod" or "div", how lookups send ids to the partitions of a variable that
        has more than one.

    Returns:
      string of 64 hexadecimal digits.

    Raises:
      TypeError: if `values` are a tensor, or Python objects; if `rows` are not `Rows`.
      ValueError: if the table is a scalar, or lacks some of `rows`; if there is no session for
        a variable; if `partition_strategy` is needed and not given; if `rows` are given
        for a `GrownTable`.
      RuntimeError: if the graph was finalized before its operations to read the rows were made,
        by an earlier call or by a `FrozenRowsChecker`.

    Example:
      >>> import hashlib
      >>> import numpy as np
      >>> import tf1_embed
      >>> old = np.arange(20, dtype=np.float32).reshape(10, 2)
      >>> grown = np.concatenate([old, np.zeros([3, 2], np.float32)])
      >>> digest = tf1_embed.fingerprint(old)
      >>> digest == tf1_embed.fingerprint(grown, tf1_embed.Rows.range(0, 10, size=13))
      True
      >>> line = b"tf1_embed rows v1 float32 10x2\n"
      >>> digest == hashlib.sha256(line + old.tobytes()).hexdigest()
      True
    """
    if not isinstance(values, (np.ndarray, StoredRows)):
        values, rows = _readable(values, rows, session, partition_strategy)
    dtype, shape = values.dtype, tuple(values.shape)
    check_rows("values", shape, dtype, rows)
    if rows is None:
        rows = Rows.range(0, shape[0], size=shape[0])
    digest = Digest(dtype, (rows.count,) + shape[1:])
    for index in rows.chunks(rows_in_chunk(dtype, shape[1:])):
        digest.update(values[index])
    return digest.hexdigest()


def fingerprint_checkpoint(checkpoint, name, rows=None, partition_strategy=None):
    """Returns the `fingerprint` of rows of a table in a checkpoint.

    Args:
      checkpoint: string, a checkpoint prefix, or a folder, whose latest checkpoint is taken.
      name: string, the table's name.
      rows: `Rows` of the table, of any size that it had or has; default: all.
      partition_strategy: "mod" or "div", how lookups send ids to the partitions of a table that was
        saved in more than one.

    Returns:
      string of 64 hexadecimal digits.

    Raises:
      FileNotFoundError: if there is no such checkpoint.
      KeyError: if it holds no such table; the error lists what it holds.
      ValueError: if the table lacks some of `rows`.
      tf.errors.DataLossError: if the checkpoint is damaged.
    """
    # Imported here: fingerprints of arrays do without TensorFlow.
    from tf1_embed.checkpoint.reader import CheckpointReader

    with CheckpointReader(checkpoint) as reader:
        digest = fingerprint(StoredRows(reader, reader.find(name), partition_strategy), rows)
        reader.check_rest()
        return digest


class Digest:
    """A fingerprint in the making, fed with rows in the order of their ids."""

    def __init__(self, dtype, shape):
        """Takes the dtype of the rows and the shape of them all, [count, ...]."""
        dtype = np.dtype(dtype)
        self._swap = dtype.newbyteorder("<") if dtype.str.startswith(">") else None
        line = f"tf1_embed rows v1 {dtype.name} {'x'.join(str(each) for each in shape)}\n"
        self._sha256 = hashlib.sha256(line.encode("ascii"))

    def update(self, rows):
        """Adds the rows that come next."""
        self._sha256.update(as_bytes(rows if self._swap is None else rows.astype(self._swap)))

    def hexdigest(self):
        """Returns the fingerprint as a string of 64 hexadecimal digits."""
        return self._sha256.hexdigest()


def check_rows(argument, shape, dtype, rows):
    """Raises a TypeError or ValueError if there are no such rows to take a fingerprint of."""
    if dtype.hasobject or dtype.kind in "US":
        raise TypeError(f"`{argument}` must be numbers, got {dtype}")
    if not shape:
        raise ValueError(f"`{argument}` must have rows, got a scalar")
    if rows is None:
        return
    if not isinstance(rows, Rows):
        raise TypeError(
            f"`rows` must be Rows, such as Rows.of(ids, size=num_rows); got {type(rows).__name__}"
        )
    # The table may have had fewer rows than now, or have more.
    if rows.count and rows.size > shape[0] and rows.runs()[-1][1] > shape[0]:
        raise ValueError(
            f"`rows` go up to {rows.runs()[-1][1] - 1}, `{argument}` has only {shape[0]} rows"
        )


def _readable(values, rows, session, partition_strategy):
    """Returns what can be indexed by ids, and the rows of it."""
    if _is_of_tensorflow(values):
        from tf1_embed.live_rows import LiveRows, frozen_variable_and_rows

        if hasattr(values, "trainable_rows"):
            if rows is not None:
                raise ValueError(
                    f"`rows` must be left out for a GrownTable, whose frozen rows are taken; for "
                    f"others, give {values.name!r} its variables: table.frozen, table.trainable"
                )
            # It knows how its lookups go.
            partition_strategy = values.partition_strategy
            values, rows = frozen_variable_and_rows(values)
        return LiveRows(values, partition_strategy).in_session(session), rows
    return np.asarray(values), rows


def _is_of_tensorflow(values):
    # Without importing TensorFlow, which those who have only arrays need not have.
    if isinstance(values, (list, tuple)):
        return any(_is_of_tensorflow(each) for each in values[:1])
    package = type(values).__module__.split(".")[0]
    return package in ("tensorflow", "tf1_embed") or hasattr(values, "graph")
