"""A grown model, and a merged one, are exported; a fresh process without tf1_embed serves them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.tables import bits, special_rows

OLD_ROWS = special_rows()
NUM_OLD, NUM = 14, 16
IDS = [15, 0, 3, 14, *range(NUM_OLD)]

# Prints the bits of the vectors that each folder in the arguments serves, as its signature and, on
# TensorFlow 2, as a function.
PROGRAM = """
import json, sys
import numpy as np
import tensorflow.compat.v1 as tf

ids, *folders = json.loads(sys.argv[1])
served = []
for folder in folders:
    with tf.Graph().as_default(), tf.Session() as session:
        meta_graph = tf.saved_model.loader.load(session, ["serve"], folder)
        signature = meta_graph.signature_def["serving_default"]
        feeds = {signature.inputs["ids"].name: ids}
        served.append(session.run(signature.outputs["vectors"].name, feeds))
    if not tf.VERSION.startswith("1."):
        function = tf.saved_model.load_v2(folder).signatures["serving_default"]
        served.append(function(ids=tf.constant(ids, tf.int64))["vectors"].numpy())
assert not any(name.startswith("tf1_embed") for name in sys.modules)
print(json.dumps([each.view(np.uint32).tolist() for each in served]))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The vectors of IDS in the grown model after training, and two folders that it is served from.

    The first holds the grown model as it is, the other one the original code's, merged.
    """
    folder = tmp_path_factory.mktemp("exported")
    grown, merged = str(folder / "grown"), str(folder / "merged")
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int64, [None])
        table = tf1_embed.get_grown_table("embedding", 2, old_rows=OLD_ROWS)
        vectors = tf1_embed.embedding_lookup(table, ids)
        trained = tf1_embed.embedding_lookup(table, tf.constant([14, 15]))
        train_op = tf.train.AdamOptimizer(0.1).minimize(tf.reduce_sum(trained**2))
        session.run(tf.global_variables_initializer())
        before = session.run(vectors, {ids: IDS})
        session.run(train_op)
        after = session.run(vectors, {ids: IDS})
        assert (before[[0, 3]] != after[[0, 3]]).all()
        prefix = tf.train.Saver().save(session, str(folder / "model.ckpt"))
        tf.saved_model.simple_save(session, grown, {"ids": ids}, {"vectors": vectors})
    tf1_embed.merge_checkpoint(prefix, ["embedding"], str(folder / "merged.ckpt"))
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int64, [None])
        table = tf.get_variable("embedding", [NUM, 2])
        vectors = tf.nn.embedding_lookup(table, ids)
        tf.train.Saver().restore(session, str(folder / "merged.ckpt"))
        tf.saved_model.simple_save(session, merged, {"ids": ids}, {"vectors": vectors})
    return after, [grown, merged]


def test_fresh_process_serves_grown_and_merged_model_bit_for_bit(exported, tmp_path):
    trained, folders = exported
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([IDS, *folders])],
        cwd=str(tmp_path),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    served = json.loads(result.stdout.splitlines()[-1])
    assert len(served) == (2 if tf.VERSION.startswith("1.") else 4)
    for each in served:
        np.testing.assert_array_equal(np.uint32(each), bits(trained))
        np.testing.assert_array_equal(np.uint32(each)[4:], bits(OLD_ROWS))


def test_exported_model_refuses_an_id_that_is_not_in_the_grown_table(exported):
    with tf.Graph().as_default(), tf.Session() as session:
        meta_graph = tf.saved_model.loader.load(session, ["serve"], exported[1][0])
        signature = meta_graph.signature_def["serving_default"]
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be in .*16"):
            feeds = {signature.inputs["ids"].name: [NUM]}
            session.run(signature.outputs["vectors"].name, feeds)
