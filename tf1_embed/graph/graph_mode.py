"""Graph mode: what all that builds a graph asks for first."""

from __future__ import annotations

import tensorflow.compat.v1 as tf


def check_graph_mode(caller: str) -> None:
    """Checks that operations go into a graph, rather than run at once.

    Args:
      caller: string, the name of the public function that was called, for the error.

    Raises:
      RuntimeError: in eager mode.
    """
    if tf.executing_eagerly():
        raise RuntimeError(
            f"{caller} builds a graph, and this is eager mode: tf1_embed works in graph mode. Call "
            f"tf.disable_eager_execution() when the program starts, or build the model in "
            f"`with tf.Graph().as_default():` and run it in a tf.Session "
            f"(with import tensorflow.compat.v1 as tf)"
        )
