"""A cluster of processes on this machine, each of which finds its place in TF_CONFIG."""

import json
import os
import random
import re
import socket
import subprocess
import time
from contextlib import closing

# Through a proxy not even the servers of this machine are found.
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")


class Cluster:
    """Starts tasks, each a process of one command; its `with` kills those that are left at the end.

    Args:
      command: list of strings; its processes find the cluster and their task in TF_CONFIG.
      folder: where what the tasks print goes, one file each.
      num_servers, num_workers: how many parameter servers and workers there are.

    Attributes:
      command: as given; a task that is started later may have another.
      tasks: list of (job, index), parameter servers first; ("worker", 0) is the chief.
    """

    def __init__(self, command, folder, num_servers=2, num_workers=2):
        self.command = command
        self.tasks = [("ps", i) for i in range(num_servers)]
        self.tasks += [("worker", i) for i in range(num_workers)]
        self._folder = folder
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(len(self.tasks))]
        self._addresses = {"ps": addresses[:num_servers], "worker": addresses[num_servers:]}
        self._processes = {}
        os.makedirs(folder, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for task in list(self._processes):
            self.kill(*task)

    def config(self, job, index):
        """Returns what is TF_CONFIG for a task, a dict."""
        return {"cluster": self._addresses, "task": {"type": job, "index": index}}

    def start(self, job, index):
        """Starts a task, also again; what it prints is appended to its file."""
        env = {name: value for name, value in os.environ.items() if name.lower() not in _PROXIES}
        env["TF_CONFIG"] = json.dumps(self.config(job, index))
        with open(self._output_path(job, index), "ab") as output:
            self._processes[job, index] = subprocess.Popen(
                self.command, env=env, stdout=output, stderr=subprocess.STDOUT
            )

    def signal(self, job, index, number):
        """Sends a signal to a task."""
        self._processes[job, index].send_signal(number)

    def kill(self, job, index):
        """Kills a task: it can neither say nor save anything more."""
        process = self._processes.pop((job, index))
        process.kill()
        process.wait()

    def output(self, job, index):
        """Returns what a task has printed, since it was first started."""
        with open(self._output_path(job, index), encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for(self, job, index, pattern, times=1, timeout=120):
        """Waits until a task has printed a pattern so many times; returns the last match."""

        def find():
            found = list(re.finditer(pattern, self.output(job, index)))
            return found[-1] if len(found) >= times else None

        return self.wait_until(find, f"{job} {index} prints {pattern!r}", timeout)

    def wait_until(self, condition, description, timeout=120):
        """Waits for a true value of a function, and returns it; no task may fail meanwhile."""
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            failed = [task for task, process in self._processes.items() if process.poll()]
            if failed or time.monotonic() > deadline:
                what = f"{failed} failed before" if failed else f"not within {timeout} seconds"
                raise RuntimeError(f"{what}: {description}{self._ends_of_outputs()}")
            time.sleep(0.02)

    def wait(self, timeout=120):
        """Waits until all tasks have ended by themselves."""
        processes = self._processes.values()
        self.wait_until(
            lambda: all(process.poll() == 0 for process in processes), "all tasks end", timeout
        )

    def _output_path(self, job, index):
        return os.path.join(self._folder, f"{job}_{index}.txt")

    def _ends_of_outputs(self):
        ends = {task: self.output(*task)[-3000:] for task in self._processes}
        return "".join(f"\n\n{job} {index}:\n{end}" for (job, index), end in ends.items())


def _free_ports(count):
    # Not those that the system gives out by itself: such a one might be another's by the time that
    # a task which was killed wants it again.
    ports = []
    for port in random.sample(range(20000, 32000), 1000):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(f"no {count} free ports from 20000 to 31999")
