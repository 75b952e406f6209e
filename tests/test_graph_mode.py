import subprocess
import sys

import tensorflow.compat.v1 as tf

from tf1_embed.graph.graph_mode import check_graph_mode


def test_a_graph_is_graph_mode():
    with tf.Graph().as_default():
        check_graph_mode("get_grown_table")


def test_eager_mode_is_refused_with_the_way_out_of_it():
    program = """
import tensorflow.compat.v1 as tf
from tf1_embed.graph.graph_mode import check_graph_mode

tf.enable_eager_execution()
with tf.Graph().as_default():
    check_graph_mode("get_grown_table")
try:
    check_graph_mode("get_grown_table")
except RuntimeError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert "get_grown_table builds a graph" in result.stdout, result.stderr
    assert "tf.disable_eager_execution()" in result.stdout
