"""One task of a cluster: its server, and when it may end."""

import os
import sys

import tensorflow.compat.v1 as tf


class Task:
    """A task as TF_CONFIG describes it.

    A parameter server that joined its server would never end. So each has a queue, from which it
    takes one token for each worker; a worker that is done leaves one in every queue.

    Args:
      config: dict that TF_CONFIG holds as JSON: "cluster", the addresses of the tasks of each job,
        and "task", "type" and "index" of this one. Jobs are "ps" and "worker", the first of which
        is the chief.

    Attributes:
      cluster: `tf.train.ClusterSpec`.
      job: "ps" or "worker".
      index: int.
      is_chief: bool.
      num_servers, num_workers: ints.
      session_config: `tf.ConfigProto` for every session of this task.
      target: string, where a session of this task connects to.
    """

    def __init__(self, config):
        self.cluster = tf.train.ClusterSpec(config["cluster"])
        if sorted(self.cluster.jobs) != ["ps", "worker"]:
            raise ValueError(
                f'TF_CONFIG: the jobs of the cluster must be "ps" and "worker", of which the first '
                f"is the chief; got {sorted(self.cluster.jobs)}"
            )
        self.job, self.index = config["task"]["type"], int(config["task"]["index"])
        self.is_chief = (self.job, self.index) == ("worker", 0)
        self.num_servers = self.cluster.num_tasks("ps")
        self.num_workers = self.cluster.num_tasks("worker")
        # A session waits for every task that it knows of, and fails with it. So it knows of no
        # other worker.
        own = f"/job:{self.job}/task:{self.index}"
        filters = [own] if self.job == "ps" else ["/job:ps", own]
        self.session_config = tf.ConfigProto(device_filters=filters)
        server = tf.train.Server(self.cluster, self.job, self.index, config=self.session_config)
        self.target = server.target

    def say(self, text):
        """Prints what happens to this task."""
        print(f"{self.job} {self.index}: {text}", flush=True)

    def device_setter(self):
        """Returns what `tf.device` takes: variables in turn on the servers, the rest here."""
        return tf.train.replica_device_setter(
            cluster=self.cluster, worker_device=f"/job:worker/task:{self.index}"
        )

    def serve(self):
        """Holds variables until every worker has left."""
        with tf.Graph().as_default():
            worker = self._workers_that_left(self.index).dequeue()
            with tf.Session(self.target, config=self.session_config) as session:
                self.say("serving")
                for _ in range(self.num_workers):
                    self.say(f"worker {session.run(worker)} has left")

    def leave(self):
        """Ends this worker's process, and does not return."""
        with tf.Graph().as_default():
            queues = [self._workers_that_left(server) for server in range(self.num_servers)]
            session = tf.Session(self.target, config=self.session_config)
            session.run([queue.enqueue(self.index) for queue in queues])
        sys.stdout.flush()
        # To close the session now would mean to wait for servers that are gone.
        os._exit(0)

    def _workers_that_left(self, server):
        with tf.device(f"/job:ps/task:{server}"):
            # Room for a worker that is started again after it left.
            name = f"workers_that_left_{server}"
            return tf.FIFOQueue(2 * self.num_workers, tf.int32, [()], shared_name=name)
