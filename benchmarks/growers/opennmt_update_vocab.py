"""OpenNMT-tf's `update_vocab`: a model of its own, whose table of source words is as large."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import opennmt
import tensorflow as tf

from benchmarks.growers import protocol


def make_runner(job):
    """Returns a runner of a small model; nearly all of it is the table and its slots."""
    words, _ = protocol.write_vocabularies(job)
    targets = os.path.join(job.folder, "targets.txt")
    with open(targets, "w") as file:
        file.write("<blank>\n<s>\n</s>\na\n")
    coder = {"num_layers": 1, "num_units": job.dim, "num_heads": 2, "ffn_inner_dim": job.dim}
    model = opennmt.models.SequenceToSequence(
        opennmt.inputters.WordEmbedder(job.dim),
        opennmt.inputters.WordEmbedder(job.dim),
        opennmt.encoders.SelfAttentionEncoder(**coder),
        opennmt.decoders.SelfAttentionDecoder(**coder),
    )
    config = {
        "model_dir": os.path.join(job.folder, "opennmt"),
        "data": {"source_vocabulary": words, "target_vocabulary": targets},
        "params": {"optimizer": "Adam", "learning_rate": 0.1},
    }
    return opennmt.Runner(model, config)


def prepare(job):
    runner = make_runner(job)
    # As Runner does it, which has no function to make a model that was not trained.
    config = runner._finalize_config()
    model = runner._init_model(config)
    optimizer = model.get_optimizer()
    model.create_variables(optimizer=optimizer)
    table, values = model.features_inputter.embedding, job.values()
    for start in range(0, job.old_rows, len(values)):
        rows = values[: job.old_rows - start]
        table.scatter_update(tf.IndexedSlices(rows, tf.range(start, start + len(rows))))
    checkpoint = opennmt.utils.checkpoint.Checkpoint.from_config(config, model, optimizer)
    checkpoint.save()


def grow(job):
    _, new_words = protocol.write_vocabularies(job)
    make_runner(job).update_vocab(job.out, src_vocab=new_words)


def check(job):
    reader = tf.train.load_checkpoint(job.out)
    (name,) = [
        name
        for name, shape in reader.get_variable_to_shape_map().items()
        if shape[:1] and shape[0] > job.old_rows and "OPTIMIZER_SLOT" not in name
    ]
    table = reader.get_tensor(name)
    # OpenNMT-tf keeps the last row for words that it does not know.
    job.check(np.asarray(table)[: job.old_rows], 0)


if __name__ == "__main__":
    protocol.run(grow, prepare, check)
