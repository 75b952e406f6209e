"""`tf.train.warm_start` in a session, table and slots by their vocabularies, and a `Saver`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow.compat.v1 as tf

from benchmarks.growers import protocol

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_v2_behavior()


def grow(job):
    old, new = protocol.write_vocabularies(job)
    vocabulary = tf.train.VocabInfo(new, job.rows, 0, old, job.old_rows)
    with tf.Graph().as_default(), tf.Session() as session:
        for name in protocol.NAMES:
            tf.get_variable(name, [job.rows, job.dim])
        tf.train.warm_start(
            job.prefix, "table.*", var_name_to_vocab_info=dict.fromkeys(protocol.NAMES, vocabulary)
        )
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver()
        saver.save(session, os.path.join(job.out, "grown"), write_meta_graph=False)


def prepare(job):
    protocol.write_vocabularies(job)


def check(job):
    table = tf.train.load_checkpoint(os.path.join(job.out, "grown")).get_tensor("table")
    job.check(table[: job.old_rows], 0)


if __name__ == "__main__":
    protocol.run(grow, prepare, check)
