"""Fingerprints of rows wherever they are: arrays, variables in a session, checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.fingerprints import digest_of

if TYPE_CHECKING:
    import tensorflow.compat.v1 as tf

    from tf1_embed.rows import Rows
    from tf1_embed.table import GrownTable
    from tf1_embed.types import ArrayLike, LiveVariable


def fingerprint(
    values: ArrayLike | LiveVariable | GrownTable,
    rows: Rows | None = None,
    session: tf.Session | None = None,
    partition_strategy: str | None = None,
    axis: int = 0,
) -> str:
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
      axis: int, along which ids count: 1 for a projection [dim, num_ids]. What is hashed is the
        array that `np.take(values, ids, axis)` returns, so that of 10 columns the line says
        "64x10".

    Returns:
      string of 64 hexadecimal digits.

    Raises:
      TypeError: if `values` are a tensor, or Python objects; if `rows` are not `Rows`.
      ValueError: if the table is a scalar, or lacks the axis or some of `rows`; if there is no
        session for a variable; if `partition_strategy` is needed and not given; if `rows` or `axis`
        are given for a `GrownTable`.
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
    if not isinstance(values, np.ndarray):
        values, rows = _readable(values, rows, session, partition_strategy, axis)
    return digest_of(values, rows, axis)


def fingerprint_checkpoint(
    checkpoint: str,
    name: str,
    rows: Rows | None = None,
    partition_strategy: str | None = None,
    axis: int = 0,
) -> str:
    """Returns the `fingerprint` of rows of a table in a checkpoint.

    Args:
      checkpoint: string, a checkpoint prefix, or a folder, whose latest checkpoint is taken.
      name: string, the table's name.
      rows: `Rows` of the table, of any size that it had or has; default: all.
      partition_strategy: "mod" or "div", how lookups send ids to the partitions of a table that was
        saved in more than one.
      axis: int, as for `fingerprint`.

    Returns:
      string of 64 hexadecimal digits.

    Raises:
      FileNotFoundError: if there is no such checkpoint.
      KeyError: if it holds no such table; the error lists what it holds.
      ValueError: if the table lacks some of `rows`.
      CheckpointDamaged: if the checkpoint is damaged.
    """
    with CheckpointReader(checkpoint) as reader:
        stored = StoredRows(reader, reader.find(name), partition_strategy, axis)
        digest = digest_of(stored, rows, axis)
        reader.check_rest()
        return digest


def _readable(values, rows, session, partition_strategy, axis):
    """Returns what can be indexed by ids, and the rows of it."""
    if _is_of_tensorflow(values):
        from tf1_embed.graph.live_rows import LiveRows, frozen_variable_and_rows

        if hasattr(values, "trainable_rows"):
            if rows is not None:
                raise ValueError(
                    f"`rows` must be left out for a GrownTable, whose frozen rows are taken; for "
                    f"others, give {values.name!r} its variables: table.frozen, table.trainable"
                )
            if axis:
                raise ValueError(f"`axis` must be left out for a GrownTable, got {axis}")
            # It knows how its lookups go.
            partition_strategy = values.partition_strategy
            values, rows = frozen_variable_and_rows(values)
        return LiveRows(values, partition_strategy, axis).in_session(session), rows
    return np.asarray(values), rows


def _is_of_tensorflow(values):
    # Without importing TensorFlow, which those who have only arrays need not have.
    if isinstance(values, (list, tuple)):
        return any(_is_of_tensorflow(each) for each in values[:1])
    package = type(values).__module__.split(".")[0]
    return package in ("tensorflow", "tf1_embed") or hasattr(values, "graph")
