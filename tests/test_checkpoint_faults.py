"""Commands that are killed, and disks that are full: real processes, a real small file system."""

import contextlib
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.tables import load_checkpoint
from tf1_embed.checkpoint.files import writer
from tf1_embed.checkpoint.files.writer import CheckpointWriter

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")

# Imports TensorFlow once; then runs each command that it reads in a process of its own.
RUNNER = """
import json, os, resource, signal, sys
import numpy as np
import shutil, tempfile
import tf1_embed
from tf1_embed.new_files import together
from tf1_embed.checkpoint.files import writer

def kill_at(number):
    # Before the n-th call of any that changes something on the disk.
    calls = [0]
    def patch(place, name):
        real = getattr(place, name)
        def call(*arguments, **options):
            calls[0] += 1
            if calls[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)
        setattr(place, name, call)
    for name in ("mkdir", "remove", "replace", "rmdir", "unlink"):
        patch(os, name)
    patch(shutil, "copyfile")
    patch(together, "flush_to_disk")
    patch(writer.CheckpointWriter, "_write")
    patch(writer.CheckpointWriter, "_write_file")

def limit_files_to(num_bytes):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))

def run(name, options, fault):
    if "initializer" in options:
        options["initializer"] = np.ones(options["initializer"], np.float32)
    function = getattr(tf1_embed, name)
    for each, number in fault.items():
        {"kill_at": kill_at, "limit_files_to": limit_files_to}[each](number)
    try:
        function(**options)
    except OSError as error:
        os._exit(error.errno)

for name in ("grow_checkpoint", "merge_checkpoint", "split_checkpoint", "apply_delta"):
    getattr(tf1_embed, name)
for line in sys.stdin:
    process = os.fork()
    if not process:
        try:
            run(*json.loads(line))
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(255)
        os._exit(0)
    print(process, flush=True)
    print(os.waitpid(process, 0)[1], flush=True)
"""


class Runner:
    """Runs functions of tf1_embed in processes that may die."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
            universal_newlines=True,
        )

    def close(self):
        self._process.communicate()

    def run(self, command, out, fault=None, kill_after=None, force=False):
        """Returns the number of the signal that ended the process, negative, or its exit status."""
        name, options = command
        options = dict(options, out=str(out), force=force)
        self._process.stdin.write(json.dumps([name, options, fault or {}]) + "\n")
        self._process.stdin.flush()
        process = int(self._process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            # Until its status is read it cannot be another process.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        status = int(self._process.stdout.readline())
        return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


@pytest.fixture(scope="module")
def runner():
    runner = Runner()
    yield runner
    runner.close()


def make_inputs(folder, num_rows, dim=64):
    """Writes what the commands read; returns a dict from a name to the command."""
    folder.mkdir()
    base, grown, delta = (str(folder / name) for name in ("base", "grown", "delta"))
    table = np.random.RandomState(0).rand(num_rows, dim).astype(np.float32)
    with CheckpointWriter(base) as checkpoint:
        for name in ("e", "e/Momentum", "f"):
            checkpoint.add(name, tf.float32, table.shape, [table])
        checkpoint.add("global_step", tf.int64, [], [np.int64([7])])
    new = {"num_new_rows": 100, "initializer": [100, dim]}
    grow = ("grow_checkpoint", dict(checkpoint=base, tables=["e", "f"], **new))
    new = dict(new, initializer=np.ones([100, dim], np.float32))
    tf1_embed.grow_checkpoint(base, ["e", "f"], grown, **new)
    tf1_embed.extract_delta(base, grown, ["e", "f"], delta)
    split = (
        "split_checkpoint",
        {"checkpoint": base, "tables": ["e"], "num_old_rows": num_rows // 2},
    )
    tf1_embed.split_checkpoint(base, ["e"], str(folder / "split"), num_old_rows=num_rows // 2)
    merge = ("merge_checkpoint", {"checkpoint": str(folder / "split"), "tables": ["e"]})
    apply = ("apply_delta", {"base": base, "deltas": [delta]})
    return {"grow": grow, "merge": merge, "split": split, "delta": apply}


COMMANDS = ["grow", "merge", "split", "delta"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The folder of checkpoints of 25 MB, and the commands that read them."""
    folder = tmp_path_factory.mktemp("large") / "inputs"
    yield folder, make_inputs(folder, 32000)
    shutil.rmtree(str(folder))


@pytest.fixture(scope="module")
def small_inputs(tmp_path_factory):
    """Likewise, of 300 kB."""
    folder = tmp_path_factory.mktemp("small") / "inputs"
    return folder, make_inputs(folder, 400)


def digests(folder):
    """Returns a dict from each file of a folder to its SHA-256."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.iterdir()
    }


def tensors(prefix):
    return {name: np.asarray(value).tobytes() for name, value in load_checkpoint(prefix).items()}


def expected_of(runner, command, folder):
    """Returns what a command that nothing disturbs writes, tensors and files."""
    assert runner.run(command, folder / "undisturbed") == 0
    expected = tensors(folder / "undisturbed")
    for path in list(folder.iterdir()):
        path.unlink()
    return expected


def assert_whole_or_absent(out, *expected):
    """Asserts that what opens is the new checkpoint or the one that was to be replaced."""
    if os.path.exists(f"{out}.index"):
        assert tensors(out) in expected
    else:
        with pytest.raises(FileNotFoundError):
            tf1_embed.verify_checkpoint(str(out), str(out), ["e"])


def assert_next_run_succeeds(runner, command, out, expected):
    assert runner.run(command, out, force=True) == 0
    assert tensors(out) == expected
    # Some commands put certificates beside the checkpoint.
    names = {path.name for path in out.parent.iterdir()} - {f"{out.name}.rows.json"}
    assert names == {"checkpoint", f"{out.name}.index", f"{out.name}.data-00000-of-00001"}
    assert tf.train.latest_checkpoint(str(out.parent)) == str(out)


@pytest.mark.parametrize("name", ["grow", "merge", "delta"])
def test_command_killed_at_any_moment_leaves_its_input_and_nothing_that_opens(
    runner, inputs, tmp_path, name
):
    folder, command = inputs[0], inputs[1][name]
    before = digests(folder)
    expected = expected_of(runner, command, tmp_path)
    start = time.time()
    assert runner.run(command, tmp_path / "out") == 0
    duration = time.time() - start
    moments = random.Random(name)
    statuses = []
    for number in range(12):
        # In every third run there is nothing yet that it replaces.
        out = tmp_path / str(number // 3) / "out"
        out.parent.mkdir(exist_ok=True)
        moment = moments.uniform(0, duration)
        statuses.append(runner.run(command, out, kill_after=moment, force=True))
        assert_whole_or_absent(out, expected)
        assert digests(folder) == before
        if number % 3 == 2:
            assert_next_run_succeeds(runner, command, out, expected)
    assert set(statuses) <= {0, -signal.SIGKILL} and statuses.count(-signal.SIGKILL) > 2


@pytest.mark.parametrize("name, replaces", [("grow", False), ("grow", True), ("merge", True)])
def test_command_killed_at_every_step_leaves_its_input_and_the_old_output_or_the_new(
    runner, small_inputs, tmp_path, name, replaces
):
    folder, command = small_inputs[0], small_inputs[1][name]
    before = digests(folder)
    expected = expected_of(runner, command, tmp_path)
    old = {"old": np.arange(9).tobytes()}
    status, step = -signal.SIGKILL, 0
    while status == -signal.SIGKILL:
        step += 1
        out = tmp_path / str(step) / "out"
        out.parent.mkdir()
        if replaces:
            with CheckpointWriter(out) as checkpoint:
                checkpoint.add("old", tf.int64, [9], [np.arange(9)])
        status = runner.run(command, out, {"kill_at": step}, force=replaces)
        assert_whole_or_absent(out, expected, old)
        # Of what was killed between two renames, the next run, though it fails, leaves nothing.
        assert runner.run(command, out, {"limit_files_to": 10}, force=True) == errno.EFBIG
        if replaces:
            assert tensors(out) in (old, expected)
        assert_whole_or_absent(out, expected, old)
        assert not list(out.parent.glob(".*"))
        assert_next_run_succeeds(runner, command, out, expected)
        assert digests(folder) == before
    # Folder, tensors, three files, their renames, and what is cleared away.
    assert status == 0 and step > 15


@pytest.mark.parametrize("name", COMMANDS)
def test_command_that_may_not_write_that_much_leaves_nothing(runner, small_inputs, tmp_path, name):
    folder, command = small_inputs[0], small_inputs[1][name]
    before = digests(folder)
    assert runner.run(command, tmp_path / "out") == 0
    size = (tmp_path / "out.data-00000-of-00001").stat().st_size
    expected = tensors(tmp_path / "out")
    for path in list(tmp_path.iterdir()):
        path.unlink()
    for limit in (0, 1, 4095, size // 3, size - 4096, size - 1):
        assert runner.run(command, tmp_path / "out", {"limit_files_to": limit}) == errno.EFBIG
        assert not list(tmp_path.iterdir())
        assert digests(folder) == before
    assert runner.run(command, tmp_path / "out", {"limit_files_to": size}) == 0
    assert_next_run_succeeds(runner, command, tmp_path / "out", expected)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.call(options, stderr=subprocess.DEVNULL) == 0:
            yield disk
            subprocess.check_call(["umount", str(disk)])
            return
    pytest.skip("may not mount a file system")


def run_here(command, out):
    name, options = command
    options = dict(options)
    if "initializer" in options:
        options["initializer"] = np.ones(options["initializer"], np.float32)
    getattr(tf1_embed, name)(out=str(out), **options)


def fill(disk, room):
    """Fills a file system but for so many bytes."""
    free = shutil.disk_usage(str(disk)).free
    (disk / "filler").write_bytes(bytes(free - room))


@pytest.mark.parametrize("name", COMMANDS)
def test_full_disk_is_found_before_anything_is_written(small_inputs, small_disk, name):
    folder, command = small_inputs[0], small_inputs[1][name]
    before = digests(folder)
    for room in (0, 4096, 256 << 10):
        fill(small_disk, room)
        with pytest.raises(OSError, match="the disk has only") as caught:
            run_here(command, small_disk / "out")
        assert caught.value.errno == errno.ENOSPC
        assert os.listdir(str(small_disk)) == ["filler"]
        (small_disk / "filler").unlink()
    assert digests(folder) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_disk_that_fills_up_to_the_last_byte_meanwhile_leaves_nothing(
    small_inputs, small_disk, monkeypatch, name
):
    folder, command = small_inputs[0], small_inputs[1][name]
    before = digests(folder)
    # As if others wrote there at the same time.
    monkeypatch.setattr(writer.CheckpointWriter, "check_room", lambda *arguments: None)
    size = sum(os.path.getsize(str(path)) for path in folder.glob("grown.data*"))
    rooms = [0, 4096, 8192, 100 << 10] + [size + 4096 * extra for extra in range(-60, 20, 4)]
    outcomes = set()
    for room in rooms:
        fill(small_disk, room)
        try:
            run_here(command, small_disk / "out")
        except OSError as error:
            assert error.errno == errno.ENOSPC
            outcomes.add("full")
        else:
            assert set(os.listdir(str(small_disk))) > {"out.index", "out.data-00000-of-00001"}
            outcomes.add("written")
            for path in small_disk.glob("out.*"):
                path.unlink()
            (small_disk / "checkpoint").unlink()
        assert os.listdir(str(small_disk)) == ["filler"]
        (small_disk / "filler").unlink()
    assert outcomes == {"full", "written"}
    run_here(command, small_disk / "out")
    assert digests(folder) == before


def test_read_only_folder_is_read_from_and_not_written_to(small_inputs, small_disk, tmp_path):
    folder, (name, options) = small_inputs[0], small_inputs[1]["grow"]
    for path in folder.glob("base.*"):
        shutil.copy(str(path), str(small_disk))
    subprocess.check_call(["mount", "-o", "remount,ro", str(small_disk)])
    command = (name, dict(options, checkpoint=str(small_disk / "base")))
    with pytest.raises(OSError, match="Read-only file system.*disk"):
        run_here(command, small_disk / "out")
    run_here(command, tmp_path / "out")
    assert tensors(tmp_path / "out") == tensors(folder / "grown")


MEMORY = """
import resource, sys
import numpy as np
import tensorflow.compat.v1 as tf
from tf1_embed.checkpoint.grow import grow_checkpoint
from tf1_embed.checkpoint.files.writer import CheckpointWriter

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

before, folder, rows = peak(), sys.argv[1], np.ones([16384, 64], np.float32)
with CheckpointWriter(folder + "/table") as writer:
    writer.add("e", tf.float32, [100 * 16384, 64], (rows * number for number in range(100)))
print(peak() - before)
grow_checkpoint(folder + "/table", ["e"], folder + "/grown", 5, initializer=rows[:5])
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs Linux's unit of the peak")
def test_table_of_400_mb_is_written_and_grown_in_little_memory(tmp_path):
    result = subprocess.check_output(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        universal_newlines=True,
    )
    written, grown = map(int, result.split())
    for path in tmp_path.iterdir():
        path.unlink()
    assert written < 100 and grown < 150
