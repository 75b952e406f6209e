"""Checkpoints in which TensorFlow's own operations store pieces of tensors."""

import tensorflow.compat.v1 as tf

if hasattr(tf, "raw_ops"):
    from tensorflow.compat.v1.raw_ops import MergeV2Checkpoints, SaveV2
else:
    # TensorFlow 1.13.
    from tensorflow.python.ops import gen_io_ops

    MergeV2Checkpoints, SaveV2 = gen_io_ops.merge_v2_checkpoints, gen_io_ops.save_v2


def save_slices(prefix, values, slices):
    """Writes arrays by name; `slices` are the texts that say which part of a tensor each is."""
    with tf.Graph().as_default(), tf.Session() as session:
        names = sorted(values)
        session.run(
            SaveV2(
                prefix=str(prefix),
                tensor_names=names,
                shape_and_slices=[slices.get(name, "") for name in names],
                tensors=[tf.constant(values[name]) for name in names],
            )
        )


def save_pieces(prefix, slices, pieces, name="e"):
    """Writes a data file for each piece of a tensor, as parameter servers do."""
    parts = [f"{prefix}_temp/part-{number}" for number in range(len(slices))]
    for part, text, piece in zip(parts, slices, pieces):
        save_slices(part, {name: piece}, {name: text})
    with tf.Graph().as_default(), tf.Session() as session:
        session.run(MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=prefix))
