"""What a step sends from task to task, as TensorFlow itself counted it."""

from collections import namedtuple

import tensorflow.compat.v1 as tf

# A tensor that a task received: `label` says which one it was, from where and to where.
Received = namedtuple("Received", "num_bytes label")


def trace(session, fetches, feed_dict=None):
    """Runs a step and returns the tensors that crossed from one task to another, largest first."""
    metadata = tf.RunMetadata()
    options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
    session.run(fetches, feed_dict, options, metadata)
    received = [
        Received(
            output.tensor_description.allocation_description.requested_bytes, node.timeline_label
        )
        for device in metadata.step_stats.dev_stats
        for node in device.node_stats
        if node.node_name == "RecvTensor"
        for output in node.output
    ]
    return sorted(received, reverse=True)
