"""What a step sends from task to task, as TensorFlow itself counted it."""

from collections import namedtuple

import tensorflow.compat.v1 as tf

# A tensor that a task received: `label` says which one it was, from where and to where.
Received = namedtuple("Received", "num_bytes label")


def trace(session, fetches, feed_dict=None, attempts=10):
    """Runs a step and returns the tensors that crossed from one task to another, largest first.

    TensorFlow loses what a task received in about one step of three. So the step is run several
    times, and the one of which most is known is returned.
    """
    steps = [_trace(session, fetches, feed_dict) for _ in range(attempts)]
    return max(steps, key=lambda received: sum(each.num_bytes for each in received))


def _trace(session, fetches, feed_dict):
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
