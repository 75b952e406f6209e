"""What it costs to grow and to verify a checkpoint, beside `cp` of the same files.

A checkpoint of one table with the two slot variables of Adam is copied by `cp`, whose data is
flushed to the disk as the library's is, and grown, in turns. Seconds depend on the machine and on
what its page cache holds; the figures to quote are the ratios. Each run begins some seconds after
the files of the one before were removed: a virtual machine gives the memory that they had back to
its host by then, and whoever writes next would otherwise have it for nothing. Peak memory is that
of a process that does nothing else, above TensorFlow's import.

    python benchmarks/checkpoint_cost.py --table-gb 4
"""

import argparse
import glob
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from tf1_embed.checkpoint.files.writer import CheckpointWriter

DIM = 64
SECONDS_TO_SETTLE = 5


def write_base(prefix, num_rows):
    """Writes the checkpoint to be grown."""
    random = np.random.RandomState(0)
    # The same values over and over: their number costs time, not their worth.
    values = random.randn(1 << 14, DIM).astype(np.float32)

    def chunks():
        for start in range(0, num_rows, len(values)):
            yield values[: num_rows - start]

    with CheckpointWriter(prefix) as writer:
        for name in ("table", "table/Adam", "table/Adam_1"):
            writer.add(name, tf.float32, [num_rows, DIM], chunks())


def copy(base, out):
    for source in glob.glob(f"{glob.escape(base)}.*"):
        target = out + source[len(base) :]
        subprocess.run(["cp", source, target], check=True)
        subprocess.run(["sync", target], check=True)


def grow(base, out):
    tf1_embed.grow_checkpoint(base, ["table"], out, num_new_rows=1000)


def verify(base, out):
    (found,) = tf1_embed.verify_checkpoint(base, out, ["table"])
    assert not found.num_changed


def remove(prefix):
    for path in glob.glob(f"{glob.escape(prefix)}.*"):
        os.remove(path)
    os.sync()
    time.sleep(SECONDS_TO_SETTLE)


def seconds_of(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def peak_mb(*command):
    """Returns the peak memory in MB of a process of its own that runs a command of this script."""
    program = [sys.executable, __file__, "--run", *command]
    return float(subprocess.run(program, check=True, stdout=subprocess.PIPE).stdout)


def run(name, *args):
    """Runs one function and prints the peak memory that it took, in MB."""
    if name != "nothing":
        {"grow": grow, "verify": verify}[name](*args)
    # Not that of getrusage, which a process inherits from the one that starts it.
    with open("/proc/self/status") as status:
        kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(kilobytes * 1024 / 1e6)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table-gb", type=float, default=1.0, help="the whole is three times that")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where to put the files; default: a temporary folder")
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.run:
        return run(*args.run)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        base, out = os.path.join(folder, "base"), os.path.join(folder, "out")
        num_rows = int(args.table_gb * 1e9) // (DIM * 4)
        write_base(base, num_rows)
        gigabytes = os.path.getsize(f"{base}.data-00000-of-00001") / 1e9
        print(f"TensorFlow {tf.__version__}, {num_rows} x {DIM} with Adam, {gigabytes:.2f} GB")
        ratios = []
        for _ in range(args.rounds):
            remove(out)
            copied = seconds_of(copy, base, out)
            remove(out)
            grown = seconds_of(grow, base, out)
            verified = seconds_of(verify, base, out)
            ratios.append(grown / copied)
            print(
                f"cp {copied:6.2f} s   grow {grown:6.2f} s [{ratios[-1]:.2f} of cp]   "
                f"verify {args.table_gb / verified:.2f} GB/s of old rows",
                flush=True,
            )
        remove(out)
        print(f"grow over cp, median: {statistics.median(ratios):.2f}")
        nothing = peak_mb("nothing")
        print(f"peak memory above TensorFlow's {nothing:.0f} MB:", end=" ")
        print(f"grow {peak_mb('grow', base, out) - nothing:.0f} MB,", end=" ")
        print(f"verify {peak_mb('verify', base, out) - nothing:.0f} MB")


if __name__ == "__main__":
    tf.logging.set_verbosity(tf.logging.ERROR)
    main()
