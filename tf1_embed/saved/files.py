"""The files of saved graphs: `saved_model.pb` (or `.pbtxt`) of a SavedModel, and `.meta`."""

from __future__ import annotations

import os
import warnings
from typing import Any

import tensorflow.compat.v1 as tf
from google.protobuf import descriptor_pool, message_factory, symbol_database, text_format

from tf1_embed.checkpoint.files.names import SAVED_MODEL

BINARY, TEXT, IN_PIECES = SAVED_MODEL
# A hash of the graph, of which TensorFlow 2 makes one when it saves, and no other time.
FINGERPRINT = "fingerprint.pb"


def read_saved_model(folder: str) -> tuple[str, Any]:
    """Returns the name of the file that has the graphs of a SavedModel, and its `SavedModel`.

    Raises:
      ValueError: if it cannot be read.
    """
    for name in (BINARY, TEXT):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            saved_model = message_class("tensorflow.SavedModel")()
            _parse(path, saved_model, "a SavedModel", is_text=name == TEXT)
            if not saved_model.meta_graphs:
                raise ValueError(f"{path} has no graph")
            return name, saved_model
    raise ValueError(
        f"{folder} is a SavedModel in pieces ({IN_PIECES}), which is not read. Save the model "
        f"without experimental_image_format=True"
    )


def encode_saved_model(name: str, saved_model: Any) -> bytes:
    """Returns the content of the file of that name."""
    if name == TEXT:
        return text_format.MessageToString(saved_model).encode("utf-8")
    return saved_model.SerializeToString()


def read_meta_graph(path: str) -> Any:
    """Returns the `MetaGraphDef` of a `.meta` file, in binary or, as by `as_text`, in text.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it cannot be read.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no graph {path!r}, as a Saver writes beside a checkpoint; grow the "
            f"checkpoint without it"
        )
    with open(path, "rb") as file:
        # A length comes after the tag of the first field, `meta_info_def`.
        is_text = file.read(9) == b"meta_info"
    meta_graph = tf.MetaGraphDef()
    _parse(path, meta_graph, "a graph, as a Saver writes beside a checkpoint", is_text)
    if not meta_graph.graph_def.node:
        raise ValueError(f"{path} has no operations")
    return meta_graph


def message_class(name: str) -> Any:
    """Returns the class of a message of TensorFlow, of which not all have a public name."""
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    # Of protobuf 3, where the factory would make another class than TensorFlow's own.
    return symbol_database.Default().GetSymbol(name)


def _parse(path, message, what, is_text):
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            # Some releases of protobuf warn of what they cannot read, and go on.
            warnings.simplefilter("error", RuntimeWarning)
            content = file.read()
            if is_text:
                text_format.Parse(content.decode("utf-8"), message)
            else:
                message.ParseFromString(content)
    except Exception as error:  # of protobuf, which has its own in each release
        reason = str(error).strip().split("\n")[0][:300] or type(error).__name__
        raise ValueError(f"{path} holds no {what.split(' ', 1)[1]}: {reason}") from error
