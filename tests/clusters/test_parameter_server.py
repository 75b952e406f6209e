"""The example that grows the demo's table on parameter servers, in processes of its own."""

import re
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.parameter_server.cluster import Cluster
from examples.parameter_server.main import main
from examples.parameter_server.model import SampledLinkPredictor
from examples.parameter_server.task import Task
from examples.parameter_server.traffic import trace

STEPS = 300


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(tmp_path_factory.mktemp("base") / "model.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--sync"]], ids=["async", "sync"])
def test_new_rows_are_learned_and_old_ones_stay(tmp_path, capsys, base, flags):
    size = ["--base-epochs=15", "--width=32", f"--steps={STEPS}", "--save-steps=100"]
    result = main([*flags, *size, "--base", base, "--out", str(tmp_path), "--timeout=120"])
    printed = capsys.readouterr().out
    assert result["old_rows_identical"]
    assert result["mrr"] > 0.3  # Random rows have less than 0.1.

    before = tf.train.load_checkpoint(base).get_tensor("entities")
    after = tf.train.load_checkpoint(result["merged"]).get_tensor("entities")
    assert after.shape == (135, 32)
    assert after[:125].tobytes() == before.tobytes()
    certificate = tf1_embed.read_certificates(str(tmp_path / "model.ckpt.rows.json"))["entities"]
    assert certificate.digest == tf1_embed.fingerprint(before)

    taken = [int(steps) for steps in re.findall(r"worker \d: took (\d+) steps", printed)]
    assert tf.train.load_checkpoint(str(tmp_path)).get_tensor("global_step") >= STEPS
    if "--sync" in flags:
        assert all(STEPS <= steps <= STEPS + 1 for steps in taken)
    else:
        # Both are past the last step when they notice.
        assert STEPS <= sum(taken) <= STEPS + 2
    for server in (0, 1):
        for worker in (0, 1):
            assert f"ps {server}: worker {worker} has left" in printed


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """The worker of a cluster of two servers, all in this process."""
    cluster = Cluster([], str(tmp_path_factory.mktemp("cluster")), num_workers=1)
    return [Task(cluster.config(*task)) for task in cluster.tasks][-1]


def traffic(worker, num_old_rows, use_resource):
    """Returns what a step sends, and the bytes of a partition of the old rows."""
    with tf.Graph().as_default():
        tf.set_random_seed(0)
        # Variables stay on the servers: each table has a name of its own.
        scope = tf.variable_scope(f"rows_{num_old_rows}_{use_resource}", use_resource=use_resource)
        with tf.device(worker.device_setter()), scope:
            table = tf1_embed.get_grown_table(
                "entities",
                num_new_rows=100,
                old_rows=np.zeros([num_old_rows, 64], np.float32),
                partitioner=tf.fixed_size_partitioner(2),
            )
            model = SampledLinkPredictor(table, num_relations=5, num_candidates=32)
            optimizer = tf.train.AdamOptimizer()
            train_op = optimizer.minimize(model.loss, var_list=list(table.trainable))
        devices = [partition.device for partition in table.frozen]
        assert sorted(devices) == ["/job:ps/task:0", "/job:ps/task:1"]
        batch = [[7, 0, num_old_rows + 5], [num_old_rows + 99, 4, 8]] * 64
        with tf.Session(worker.target, config=worker.session_config) as session:
            session.run(tf.global_variables_initializer())
            table.check_restored(session)
            received = trace(session, train_op, {model.triples: batch})
        return received, num_old_rows // 2 * 64 * 4


@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
def test_a_step_sends_rows_of_its_batch_and_never_a_partition(worker, use_resource):
    (few, few_bytes), (many, many_bytes) = (
        traffic(worker, num_old_rows, use_resource) for num_old_rows in (10000, 100000)
    )
    rows = 2 * 128 + 32
    for received, partition_bytes in ((few, few_bytes), (many, many_bytes)):
        largest = received[0].num_bytes
        assert 64 * 4 * rows / 8 < largest <= 64 * 4 * rows < partition_bytes / 10
        assert any("embedding_lookup" in each.label for each in received)
    total = sum(each.num_bytes for each in few)
    # The candidates are drawn at random, and only new ones have a gradient to send.
    assert sum(each.num_bytes for each in many) == pytest.approx(total, rel=0.05)


def test_jobs_of_other_names_are_an_error():
    config = {"cluster": {"chief": ["localhost:1"]}, "task": {"type": "chief", "index": 0}}
    with pytest.raises(ValueError, match=r'must be "ps" and "worker".*got \[\'chief\'\]'):
        Task(config)


@pytest.mark.parametrize(
    "program, message",
    [
        ("import sys; sys.exit('no such table')", r"\('ps', 0\).* failed(.|\n)*no such table"),
        ("import time; time.sleep(60)", "not within 3 seconds: all tasks end"),
    ],
)
def test_a_cluster_that_does_not_end_is_an_error_and_leaves_no_process(tmp_path, program, message):
    with pytest.raises(RuntimeError, match=message):
        with Cluster([sys.executable, "-c", program], str(tmp_path)) as cluster:
            cluster.start("ps", 0)
            process = cluster._processes["ps", 0]
            cluster.wait(timeout=3)
    assert process.poll() is not None
