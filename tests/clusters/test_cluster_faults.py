"""Tasks of a cluster are killed while it grows a table: what was saved and what is frozen stays.

One cluster suffers one fault after another, since starting its processes takes most of the time.
"""

import glob
import os
import signal
import sys
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.parameter_server.cluster import Cluster
from support.tables import bits, save_checkpoint

CHIEF, WORKER = ("worker", 0), ("worker", 1)
SERVERS = [("ps", 0), ("ps", 1)]
SAVE_STEPS = 100


class Growth:
    """A cluster that grows a table of random rows and is told later when to stop."""

    def __init__(self, folder, flags):
        random = np.random.RandomState(0)
        self.old_rows = random.randn(125, 16).astype(np.float32)
        relations = random.randn(46, 16).astype(np.float32)
        base = {"entities": self.old_rows, "relations": relations}
        self._out = str(folder / "out")
        self._command = [sys.executable, "-m", "examples.parameter_server", "--out", self._out]
        self._command += ["--base", save_checkpoint(folder / "base.ckpt", base)]
        self._command += ["--batch-size=64", "--candidates=16", f"--save-steps={SAVE_STEPS}"]
        self._command += flags
        self.cluster = Cluster(None, str(folder / "printed"))
        self._starts = dict.fromkeys(self.cluster.tasks, 0)
        self.train_to(10**6)

    def train_to(self, last_step):
        """Sets the planned step for tasks that start from now on."""
        self.cluster.command = [*self._command, f"--steps={last_step}"]

    def start(self, *tasks):
        for task in tasks:
            self.cluster.start(*task)
            self._starts[task] += 1

    def kill(self, *tasks):
        for task in tasks:
            self.cluster.kill(*task)

    def signal(self, number, *tasks):
        for task in tasks:
            self.cluster.signal(*task, number)

    def wait_until_trains(self, task):
        self.cluster.wait_for(*task, ": training", self._starts[task])

    def wait_for_checkpoint(self, min_step=0, since=0.0):
        """Returns global step, old and new rows of the last checkpoint, once it is recent enough.

        Args:
          min_step: int, its global step at least.
          since: seconds since the epoch, when it was done at the earliest.
        """

        def find():
            if self._saved_at() <= since:
                return None
            checkpoint = self._read_checkpoint()
            return checkpoint if checkpoint and checkpoint[0] >= min_step else None

        return self.cluster.wait_until(find, f"a checkpoint of step {min_step} or later")

    def stop_all_while_they_save(self):
        """Stops all tasks at a moment at which a checkpoint is written and not yet done."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            saved_at = self._saved_at()
            if not self._unfinished():
                continue
            self.signal(signal.SIGSTOP, *self.cluster.tasks)
            if self._unfinished() and self._saved_at() == saved_at:
                return
            self.signal(signal.SIGCONT, *self.cluster.tasks)
        raise TimeoutError("no checkpoint was seen while it was written")

    def certificate(self):
        path = os.path.join(self._out, "model.ckpt.rows.json")
        return tf1_embed.read_certificates(path)["entities"]

    def _saved_at(self):
        try:
            return os.stat(os.path.join(self._out, "checkpoint")).st_mtime
        except FileNotFoundError:
            return 0.0

    def _unfinished(self):
        return glob.glob(os.path.join(self._out, "model.ckpt-*_temp*"))

    def _read_checkpoint(self):
        prefix = tf.train.latest_checkpoint(self._out)
        try:
            reader = tf.train.load_checkpoint(prefix)
            names = ("global_step", "entities", "entities_new_rows")
            return [reader.get_tensor(name) for name in names]
        except (tf.errors.OpError, ValueError):
            # It was deleted meanwhile, since there are newer ones.
            assert prefix != tf.train.latest_checkpoint(self._out)
            return None


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags, server_faults",
    [
        ([], [SERVERS[:1], SERVERS[1:]]),
        # If one server is left, so is TensorFlow's queue of tokens, closed for good.
        (["--sync"], [SERVERS]),
    ],
    ids=["async", "sync"],
)
def test_killed_tasks_lose_nothing_beyond_the_last_checkpoint(tmp_path, flags, server_faults):
    growth = Growth(tmp_path, flags)

    def check_goes_on_from(checkpoint, since):
        step, old_rows, new_rows = growth.wait_for_checkpoint(since=since)
        assert step == checkpoint[0]
        np.testing.assert_array_equal(bits(new_rows), bits(checkpoint[2]))
        np.testing.assert_array_equal(bits(old_rows), bits(growth.old_rows))

    def fail_and_recover(*tasks):
        # Just after a checkpoint, so that the next one is far.
        checkpoint = growth.wait_for_checkpoint(since=time.time())
        growth.signal(signal.SIGSTOP, CHIEF, WORKER)
        since = time.time()
        growth.kill(*tasks)
        growth.start(*tasks)
        if CHIEF not in tasks:
            growth.signal(signal.SIGCONT, CHIEF)
        # The other worker stands still until the chief has written down what it goes on from.
        check_goes_on_from(checkpoint, since)
        growth.signal(signal.SIGCONT, WORKER)
        growth.wait_for_checkpoint(checkpoint[0] + 2 * SAVE_STEPS)

    with growth.cluster:
        growth.start(*growth.cluster.tasks)
        growth.wait_until_trains(WORKER)
        step, _, _ = growth.wait_for_checkpoint(2 * SAVE_STEPS)

        growth.kill(WORKER)
        growth.start(WORKER)
        growth.wait_until_trains(WORKER)
        growth.wait_for_checkpoint(step + 2 * SAVE_STEPS)

        fail_and_recover(CHIEF)
        for servers in server_faults:
            fail_and_recover(*servers)

        growth.stop_all_while_they_save()
        checkpoint = growth.wait_for_checkpoint()
        growth.kill(*growth.cluster.tasks)
        since = time.time()
        planned_step = checkpoint[0] + 3 * SAVE_STEPS + 7
        growth.train_to(planned_step)
        growth.start(*SERVERS, CHIEF)
        check_goes_on_from(checkpoint, since)
        growth.start(WORKER)
        growth.cluster.wait()
        step, old_rows, new_rows = growth.wait_for_checkpoint()

    assert step >= planned_step
    assert (new_rows != checkpoint[2]).any(axis=1).all()
    digest = tf1_embed.fingerprint(growth.old_rows)
    assert tf1_embed.fingerprint(old_rows) == growth.certificate().digest == digest
