"""What the graph that lies beside a checkpoint, PREFIX.meta, says of its variables.

The graph is walked node by node, and nothing of it is kept: it may have 2 GB of constants.

Source: `tensorflow/core/protobuf/meta_graph.proto`, `tensorflow/core/framework/graph.proto` and the
files of `node_def`, `attr_value` and `tensor` beside it.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, Iterable, Iterator, Sequence

from tf1_embed.checkpoint.files.index import BYTES, fields
from tf1_embed.checkpoint.files.sstable import SSTableError

_GRAPH, _NODE = 2 << 3 | BYTES, 1 << 3 | BYTES
_NAME, _INPUT, _ATTR = 1 << 3 | BYTES, 3 << 3 | BYTES, 5 << 3 | BYTES
_KEY, _VALUE, _TENSOR = 1 << 3 | BYTES, 2 << 3 | BYTES, 8 << 3 | BYTES
_FLOATS, _DOUBLES = 5 << 3 | BYTES, 6 << 3 | BYTES
# Larger nodes are passed over: one that holds a single number is smaller.
_MAX_NODE_BYTES = 4096

# How TensorFlow calls the constant that a ref or a resource variable begins with.
_INITIAL_VALUES = ("initial_value", "Initializer/initial_value")


# Likewise the one number in every place that accumulators begin with: a constant, or ones times it.
_ACCUMULATORS = ("Initializer/Const", "Initializer/mul/y")


def read_initial_values(
    prefix: str, names: Iterable[str], parts: Sequence[str] = _INITIAL_VALUES
) -> dict[str, float]:
    """Returns the floats that variables began with, as far as the saved graph tells.

    Args:
      prefix: string, that of the checkpoint.
      names: iterable of strings, names of variables.
      parts: what follows a variable's name in that of the constant; default: of scalar variables.

    Returns:
      dict from name to float. It lacks what is no constant there; it is empty if there is no graph
      beside the checkpoint, or none that can be read.
    """
    wanted = {f"{name}/{part}".rstrip("/").encode(): name for name in names for part in parts}
    found: dict[str, float] = {}
    try:
        with open(f"{prefix}.meta", "rb") as file:
            for node in _nodes(file):
                node_fields = list(fields(node))
                name = dict(node_fields).get(_NAME)
                if name in wanted:
                    value = _constant(node_fields)
                    if value is not None:
                        found[wanted[name]] = value
    except (OSError, SSTableError, struct.error, TypeError):
        return {}
    return found


def read_first_values(prefix: str, name: str) -> float | None:
    """Returns the one float that a variable began with in every place.

    It is a constant beside the variable, or the one that is assigned to it, as far as the saved
    graph tells; None if it does not.

    Args:
      prefix: string, that of the checkpoint.
      name: string, name of the variable.
    """
    assigns = {f"{name}/Assign".encode(), f"{name}/AssignVariableOp".encode()}
    assigned = []
    try:
        with open(f"{prefix}.meta", "rb") as file:
            for node in _nodes(file):
                node_fields = list(fields(node))
                if dict(node_fields).get(_NAME) in assigns:
                    inputs = [value for tag, value in node_fields if tag == _INPUT]
                    assigned = [value.decode() for value in inputs[1:2]]
    except (OSError, SSTableError, UnicodeDecodeError):
        return None
    names = [f"{name}/{part}" for part in _ACCUMULATORS] + assigned
    found = read_initial_values(prefix, names, [""])
    return next((found[each] for each in names if each in found), None)


def _nodes(file: BinaryIO) -> Iterator[bytes]:
    """Yields the small nodes of the graph."""
    end = os.fstat(file.fileno()).st_size
    for tag, size in _messages(file, end):
        stop = file.tell() + size
        if tag == _GRAPH:
            for inner, inner_size in _messages(file, stop):
                if inner == _NODE and inner_size <= _MAX_NODE_BYTES:
                    yield file.read(inner_size)
                else:
                    file.seek(inner_size, os.SEEK_CUR)
        file.seek(stop)


def _messages(file: BinaryIO, stop: int) -> Iterator[tuple[int, int]]:
    """Yields the tag and the size of each message up to a position; the file then is at it."""
    while file.tell() < stop:
        tag, size = _varint(file), 0
        if tag & 7 == BYTES:
            size = _varint(file)
            if file.tell() + size > stop:
                raise SSTableError("a message ends too soon")
        elif tag & 7 == 0:
            _varint(file)
        else:
            raise SSTableError("it is no graph")
        yield tag, size


def _varint(file: BinaryIO) -> int:
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise SSTableError("a number ends too soon")
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return value


def _constant(node: list[tuple[int, bytes]]) -> float | None:
    """Returns the float that a constant of one float holds, or None."""
    for tag, attribute in node:
        if tag != _ATTR:
            continue
        entry = dict(fields(attribute))
        if entry.get(_KEY) == b"value":
            tensor = dict(fields(dict(fields(entry.get(_VALUE, b""))).get(_TENSOR, b"")))
            for kind, format_ in ((_FLOATS, "<f"), (_DOUBLES, "<d")):
                if kind in tensor and len(tensor[kind]) == struct.calcsize(format_):
                    return struct.unpack(format_, tensor[kind])[0]
    return None
