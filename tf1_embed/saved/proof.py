"""That a grown graph restores its grown checkpoint, in a session of TensorFlow itself."""

from __future__ import annotations

from typing import Any

import tensorflow.compat.v1 as tf

from tf1_embed import raw_ops
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.rows import rows_in_chunk
from tf1_embed.saved.nodes import plain_copy
from tf1_embed.saved.variables import GrownVariable


def prove(meta_graph: Any, prefix: str, variables: dict[str, GrownVariable]) -> int:
    """Restores a checkpoint into a graph, and compares the variables that grew, bit for bit.

    Args:
      meta_graph: `MetaGraphDef`, as it is saved.
      prefix: string, of the grown checkpoint.
      variables: dict from the name of its node to each `GrownVariable`.

    Returns:
      int, how many variables were compared. What has no Saver, and no collection of variables to
      make one of, has none.

    Raises:
      ValueError: if TensorFlow cannot restore it, or the rows are not those of the checkpoint.
    """
    copied = type(meta_graph)()
    copied.CopyFrom(meta_graph)
    copied.graph_def.CopyFrom(plain_copy(meta_graph.graph_def))
    config = tf.ConfigProto(device_count={"GPU": 0})
    with tf.Graph().as_default() as graph, tf.Session(graph=graph, config=config) as session:
        try:
            saver = tf.train.import_meta_graph(copied, clear_devices=True)
            if saver is None:
                return 0
            saver.restore(session, prefix)
        except Exception as error:  # noqa: BLE001 of TensorFlow, of several kinds
            reason = str(error).strip().split("\n")[0][:600]
            raise ValueError(
                f"TensorFlow {tf.VERSION} cannot restore what was grown: {reason}"
            ) from error
        with CheckpointReader(prefix) as reader:
            for variable in variables.values():
                _compare(graph, session, reader, variable)
    return len(variables)


def _compare(graph, session, reader, variable):
    value = _value(graph.get_operation_by_name(variable.node))
    ids = tf.placeholder(tf.int64, [None])
    rows = tf.gather(value, ids)
    name, shape = variable.tensor.name, variable.new
    (start, _), *rest = variable.extents
    columns = tuple(slice(begin, begin + length) for begin, length in rest)
    step = rows_in_chunk(value.dtype.base_dtype.as_numpy_dtype, shape[1:])
    for first in range(0, shape[0], step):
        last = min(first + step, shape[0])
        expected = reader.rows(name, start + first, start + last)[(slice(None), *columns)]
        restored = session.run(rows, {ids: range(first, last)})
        if restored.tobytes() != expected.tobytes():
            raise ValueError(
                f"rows {first} to {last - 1} of {variable.node!r} are not those of the checkpoint "
                f"when TensorFlow has restored it"
            )


def _value(operation):
    """Returns the tensor of a variable's value.

    What reads it in the graph may do so after a step of the training, and run that.
    """
    if operation.type != "VarHandleOp":
        return operation.outputs[0]
    return raw_ops.ReadVariableOp(resource=operation.outputs[0], dtype=operation.get_attr("dtype"))
