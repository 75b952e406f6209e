"""Every command that writes: killed before each call that changes the disk, or told of an error.

    python tests/test_command_faults.py 1000

kills at least so many times, over all commands, and tells what was found.
"""

import collections
import json
import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")

DIM = 3
OLD = "old old old\n"

# Runs in a process without TensorFlow, so that it is forked in milliseconds. Each line that it
# reads is a command line, a fault, and the number of the call that has it; it answers with the
# status of the process. A negative number counts the calls of `write` alone.
RUNNER = """
import builtins, errno, importlib, json, os, shutil, signal, sys
from pathlib import Path

import tf1_embed.cli

# All that the commands would import, once.
for room in ("checkpoint", "commands", "pictures", "vocabulary", "word_vectors"):
    for path in Path(tf1_embed.__file__).parent.joinpath(room).rglob("*.py"):
        path = path.relative_to(Path(tf1_embed.__file__).parents[1]).with_suffix("")
        importlib.import_module(".".join(path.parts))

class File:
    # A file whose writes count as calls.
    def __init__(self, file):
        self._file = file

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def write(self, content):
        return counted(self._file.write, "write", content)

def counted(real, name, *arguments, **options):
    global left
    counts = number > 0 or name == "write"
    left -= counts
    if counts and left == 0:
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return real(*arguments, **options)

def patch(place, name):
    real = getattr(place, name)

    def call(*arguments, **options):
        if name != "open":
            return counted(real, name, *arguments, **options)
        mode = str(arguments[1]) if len(arguments) > 1 else options.get("mode", "r")
        if not set(mode) & set("wax+"):
            return real(*arguments, **options)
        return File(counted(real, name, *arguments, **options))

    setattr(place, name, call)

def run(argv):
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    # Nobody pulls the plug.
    os.fsync = lambda descriptor: None
    for name in ("mkdir", "remove", "unlink", "rmdir", "replace", "rename", "link", "fsync"):
        patch(os, name)
    patch(shutil, "copyfile")
    patch(builtins, "open")
    return tf1_embed.cli.main(argv)

for line in sys.stdin:
    argv, fault, number = json.loads(line)
    left = abs(number)
    process = os.fork()
    if not process:
        status = 255
        try:
            status = run(argv)
        finally:
            os._exit(status)
    status = os.waitpid(process, 0)[1]
    print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
"""

TABLE = ["--table", "e"]

# What each command is given below in/, and writes to out/. The first of them make what the others
# read, with out/ replaced by in/.
COMMANDS = collections.OrderedDict(
    [
        ("import", "import in/words.vec --table e --vocab-out out/base.txt --out out/base"),
        ("split", "split in/base --table e --old-rows 4 --out out/split"),
        ("grow", "grow in/base --table e --new-vocab in/new.txt --old-vocab in/base.txt "
                 "--only-tables --out out/grown"),
        ("shrink", "shrink in/longer --table e --rows 0,6 --only-tables --out out/shrunk"),
        ("merge", "merge in/split --table e --out out/merged"),
        ("repartition", "repartition in/base --table e --partitions 2 --partition-strategy mod "
                        "--out out/parts"),
        ("extract", "delta extract in/base in/longer --table e --only-tables --out out/delta"),
        ("apply", "delta apply in/base in/delta --out out/applied"),
        ("revert", "delta revert in/applied in/delta --out out/reverted"),
        ("export", "export in/base --table e --vocab in/base.txt --format glove "
                   "--out out/words.txt"),
        ("shrink", "shrink in/longer --table e --last 2 --only-tables --out out/shrunk"),
        ("repartition", "repartition in/base --table e --partitions 2 --partition-strategy mod "
                        "--out out/parts"),
        ("plot", "plot in/base in/longer --table e --kind norms --projector out "
                 "--out out/norms.svg"),
    ]
)  # fmt: skip

MAKES = [
    COMMANDS["import"],
    COMMANDS["split"],
    "grow in/base --table e --rows 2 --only-tables --out out/longer",
    COMMANDS["extract"],
    COMMANDS["apply"],
]


class Faults:
    """A folder with in/ and out/, and the process that runs commands there."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "in").mkdir()
        rows = [f"{word} " + " ".join(str(i + j / 8) for j in range(DIM))
                for i, word in enumerate("abcdef")]  # fmt: skip
        (folder / "in" / "words.vec").write_text(f"6 {DIM}\n" + "\n".join(rows) + "\n")
        (folder / "in" / "new.txt").write_text("c\nb\na\nd\ne\nnew\nf\n")
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=str(folder),
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(map(os.path.abspath, sys.path))),
            universal_newlines=True,
        )
        for line in MAKES:
            assert self.run(line.replace("out/", "in/").split()) == 0, line
        self.inputs = contents(folder / "in")

    def close(self):
        self.process.communicate()

    def run(self, argv, fault="kill", number=10**9):
        """Returns the exit status, or the number of the signal that ended it, negative."""
        self.process.stdin.write(json.dumps([argv, fault, number]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def set_out(self, files):
        """Makes out/ hold these files alone, or have it not be there."""
        out = self.folder / "out"
        for each in sorted(out.rglob("*"), reverse=True):
            each.rmdir() if each.is_dir() else each.unlink()
        if out.exists():
            out.rmdir()
        if files:
            out.mkdir()
            for name, content in files.items():
                (out / name).write_bytes(content)

    def out(self):
        """Returns the content of each file of out/ by name, working folders left out."""
        found = contents(self.folder / "out")
        return {name: content for name, content in found.items() if ".tf1_embed" not in name}

    def check(self, name, fault, first=1, step=1):
        """Has a command fail at one call after the other until it succeeds; returns how often."""
        argv = COMMANDS[name].split()
        self.set_out({})
        assert self.run(argv) == 0
        new = self.out()
        times = 0
        for old in ({}, dict.fromkeys(new, OLD.encode())):
            force = ["--force"] * bool(old)
            number, status = first, None
            while status != 0:
                self.set_out(old)
                status = self.run(argv + force, fault, number)
                where = (name, fault, number, status)
                if fault == "kill":
                    assert status in (0, -signal.SIGKILL), where
                    # The next run clears up, though it fails when it begins to write.
                    assert self.run(argv + ["--force"], "fail", -1) == 2, where
                elif status != 0:
                    assert status == 2, where
                assert self.out() in ([new] if status == 0 else [old, new]), where
                assert contents(self.folder / "in") == self.inputs, where
                times += status != 0
                number += step
            # An error while it clears up is none; the next run does.
            if fault == "kill":
                assert not list((self.folder / "out").glob(".*"))
        return times


def contents(folder):
    """Returns the content of each file below a folder by its relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    faults = Faults(tmp_path_factory.mktemp("faults"))
    yield faults
    faults.close()


@pytest.mark.parametrize("fault", ["kill", "fail"])
@pytest.mark.parametrize("name", [each for each in COMMANDS if each != "plot"])
def test_command_leaves_the_old_files_or_the_new_whatever_call_it_dies_at(faults, name, fault):
    # Here every sixth call, and no drawing, which takes its time: the program below does it all.
    assert faults.check(name, fault, first=1 + len(name) % 6, step=6) > 3


if __name__ == "__main__":
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        runner, wanted, kills = Faults(Path(folder)), int(sys.argv[1]), collections.Counter()
        while sum(kills.values()) < wanted:
            for each in COMMANDS:
                kills[each] += runner.check(each, "kill")
        runner.close()
        print(f"{sum(kills.values())} kills, nothing lost: {dict(kills)}")
