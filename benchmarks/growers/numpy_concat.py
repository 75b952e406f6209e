"""NumPy: load, concatenate, save, of `.npy` files as large as the checkpoint."""

import os

import numpy as np

from benchmarks.growers import protocol


def path_of(folder, number):
    return os.path.join(folder, f"table_{number}.npy")


def prepare(job):
    values = job.values()
    for number in range(len(protocol.NAMES)):
        path, shape = path_of(job.folder, number), (job.old_rows, job.dim)
        table = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        for start in range(0, job.old_rows, len(values)):
            table[start : start + len(values)] = values[: job.old_rows - start]


def grow(job):
    new = np.zeros([job.new_rows, job.dim], np.float32)
    for number in range(len(protocol.NAMES)):
        old = np.load(path_of(job.folder, number))
        np.save(path_of(job.out, number), np.concatenate([old, new]))


def check(job):
    job.check(np.load(path_of(job.out, 0), mmap_mode="r")[: job.old_rows], 0)


if __name__ == "__main__":
    protocol.run(grow, prepare, check)
