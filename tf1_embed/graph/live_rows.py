"""The rows of a variable in a session, read a chunk of ids at a time.

The operations that read are made once for each variable, under names of their own, so that any
number of readers share them, also in a graph that was finalized since.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.graph.variables import check_strategy, full_name, partitions_of
from tf1_embed.partitions import Partitions
from tf1_embed.rows import Rows, ids_of


class LiveRows:
    """Reads rows of a variable, partitioned or not, wherever in the graph it is.

    Attributes:
      name: string, the variable's full name; that of the whole for a partitioned one.
      shape: tuple of ints, of the whole variable.
      dtype: `np.dtype`.
      partition_strategy: "mod" or "div", how ids go to its partitions; None if it has one.
      graph: `tf.Graph` that it is in.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    partition_strategy: str | None
    graph: tf.Graph

    def __init__(self, variable: Any, partition_strategy: str | None = None, axis: int = 0) -> None:
        """Makes the operations that read, or finds those made before.

        Args:
          variable: `tf.Variable` of shape [num_rows, ...], a partitioned one, or the list of its
            partitions.
          partition_strategy: "mod" or "div"; needed where there is more than one partition.
          axis: int, along which ids count. Partitions lie along axis 0, so that on another one the
            rows that are read follow one another.

        Raises:
          TypeError: if `variable` is not a variable.
          ValueError: if it has no known shape, or no such axis, or `partition_strategy` is needed
            and not given.
          RuntimeError: if the operations are not there yet and the graph is finalized.
        """
        parts = partitions_of(variable)
        for part in parts:
            if not hasattr(part, "initializer"):
                raise TypeError(
                    f"expected a variable, got {part!r}. To take the fingerprint of a tensor's "
                    f"value, fetch it first: session.run(tensor)"
                )
            if not part.shape.is_fully_defined() or not part.shape.ndims:
                raise ValueError(
                    f"variable {part.op.name!r} must have rows, and a known shape; it has shape "
                    f"{part.shape}"
                )
        self.name = full_name(variable)
        self.graph = parts[0].op.graph
        sizes = tuple(part.shape.as_list()[0] for part in parts)
        if not 0 <= axis < parts[0].shape.ndims:
            raise ValueError(
                f"`axis` of variable {self.name!r} of shape {parts[0].shape} cannot be {axis}"
            )
        if axis and len(parts) > 1:
            partition_strategy = "div"
        check_strategy(variable, partition_strategy)
        self.partition_strategy = partition_strategy if len(parts) > 1 else None
        self._partitions = Partitions(sizes, self.partition_strategy)
        if not self._partitions.is_even:
            raise ValueError(
                f"the partitions of variable {self.name!r} have {list(sizes)} rows; TensorFlow's "
                f"lookups expect them to be equal, but for one row more in the first ones"
            )
        self.shape = (sum(sizes),) + tuple(parts[0].shape.as_list()[1:])
        self.dtype = np.dtype(parts[0].dtype.base_dtype.as_numpy_dtype)
        self._gathers = [_gather(part) for part in parts]

    def read(self, session: tf.Session, index: slice | np.ndarray) -> np.ndarray:
        """Returns the rows that `index` names, one that `Rows.chunks` yields, as an array."""
        ids = ids_of(index)
        if len(self._gathers) == 1:
            ((local_ids, rows),) = self._gathers
            return session.run(rows, {local_ids: ids})
        part, local = self._partitions.locate(ids)
        occupied = np.unique(part)
        feeds = {self._gathers[each][0]: local[part == each] for each in occupied}
        fetched = session.run([self._gathers[each][1] for each in occupied], feeds)
        values = np.empty((len(ids),) + self.shape[1:], self.dtype)
        for each, rows in zip(occupied, fetched):
            values[part == each] = rows
        return values

    def in_session(self, session: tf.Session | None = None) -> _RowsInSession:
        """Returns the variable's value in a session, to be indexed as an array is."""
        session = session or tf.get_default_session()
        if session is None:
            raise ValueError(
                f"`session` must be given for variable {self.name!r}: there is no default session"
            )
        return _RowsInSession(self, session)


class _RowsInSession:
    def __init__(self, live_rows, session):
        self._live_rows, self._session = live_rows, session
        self.shape, self.dtype = live_rows.shape, live_rows.dtype

    def __getitem__(self, index):
        return self._live_rows.read(self._session, index)


def frozen_variable_and_rows(table: Any) -> tuple[tf.Variable, Rows]:
    """Returns the frozen variable of a split table, and which `Rows` of it are frozen."""
    num_rows = table.frozen.shape.as_list()[0]
    # Of a grown table all; in a row-split one the frozen variable has stale rows, too.
    rows = ~table.trainable_rows
    return table.frozen, rows if rows.size == num_rows else Rows.range(0, num_rows, num_rows)


def _gather(part):
    """Returns the placeholder of ids of rows of a variable, and the tensor of these rows."""
    graph = part.op.graph
    # An absolute name: it ends in "/".
    scope = f"tf1_embed_rows_of/{part.op.name}/"
    try:
        return graph.get_tensor_by_name(f"{scope}ids:0"), graph.get_tensor_by_name(f"{scope}rows:0")
    except KeyError:
        pass
    if graph.finalized:
        raise RuntimeError(
            f"the graph is finalized, and has no operations yet to read rows of variable "
            f"{part.op.name!r}. Make them before: with a FrozenRowsChecker, or by an earlier call"
        )
    # Beside the variable: else a parameter server would send the whole of it.
    with graph.as_default(), graph.control_dependencies(None), graph.name_scope(scope):
        with graph.colocate_with(part.op, ignore_existing=True):
            ids = tf.placeholder(tf.int64, [None], "ids")
            return ids, tf.gather(part, ids, name="rows")
