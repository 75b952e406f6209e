"""`cp` of the same files: what must be read and written."""

import glob
import os
import subprocess

from benchmarks.growers import protocol


def grow(job):
    paths = glob.glob(f"{glob.escape(job.prefix)}.*")
    subprocess.run(["cp", *paths, job.out], check=True)


def check(job):
    for path in glob.glob(f"{glob.escape(job.prefix)}.*"):
        copied = os.path.join(job.out, os.path.basename(path))
        assert os.path.getsize(copied) == os.path.getsize(path)


if __name__ == "__main__":
    protocol.run(grow, check=check)
