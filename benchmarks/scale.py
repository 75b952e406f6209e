"""Checks how docs/scale.md gets from what this machine holds to a billion rows.

What touches every row (load, grow, verify, merge) should take `a + b x bytes`: the two numbers are
fitted to all sizes but the largest, and the largest is predicted from them. What a step does should
not depend on the number of rows at all; what it sends is measured over one to four servers.

    python -m benchmarks.scale --rows 10000 100000 1000000 10000000 30000000 --servers 1 2 4
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.peers.protocol import memory
from benchmarks.resident import ROOT
from benchmarks.results import Recorder
from tf1_embed.checkpoint.files.writer import CheckpointWriter

DIM, NEW_ROWS = 64, 10**4
# Of the model whose steps are counted.
BATCH, CANDIDATES = 1024, 64
OPERATIONS = ("load", "grow", "verify", "merge")


def path(folder, name):
    return os.path.join(folder, name)


def write(prefix, **tables):
    """Writes a checkpoint of tables with so many rows."""
    values = np.random.RandomState(0).randn(1 << 14, DIM).astype(np.float32)
    with CheckpointWriter(prefix) as writer:
        for name, rows in tables.items():
            chunks = (values[: rows - start] for start in range(0, rows, len(values)))
            writer.add(name, np.dtype(np.float32), [rows, DIM], chunks)


def run_operation(operation, folder):
    """Runs one operation and prints its seconds and the memory it took."""
    if operation == "load":
        run_load(folder)
        return
    import tf1_embed

    base, start = memory("VmRSS"), time.perf_counter()
    if operation == "grow":
        tf1_embed.grow_checkpoint(
            path(folder, "base"), ["table"], path(folder, "grown"), num_new_rows=NEW_ROWS
        )
    elif operation == "verify":
        (found,) = tf1_embed.verify_checkpoint(
            path(folder, "base"), path(folder, "grown"), ["table"]
        )
        assert not found.num_changed
    else:
        tf1_embed.merge_checkpoint(path(folder, "trained"), ["table"], path(folder, "merged"))
    answer(start, base)


def run_load(folder):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow.compat.v1 as tf

    import tf1_embed

    with tf.Graph().as_default(), tf.Session() as session:
        session.run(tf.constant(0))
        base, start = memory("VmRSS"), time.perf_counter()
        tf1_embed.get_grown_table(
            "table", NEW_ROWS, checkpoint=path(folder, "base"), use_resource=True
        )
        session.run(tf.global_variables_initializer())
        answer(start, base)


def answer(start, base):
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "memory": memory("VmHWM") - base}))


def measure(rows, folder, rounds):
    """Returns a dict from operation to its least seconds, and one to its memory."""
    write(path(folder, "base"), table=rows)
    write(path(folder, "trained"), table=rows, table_new_rows=NEW_ROWS)
    seconds = {each: [] for each in OPERATIONS}
    peak = dict.fromkeys(OPERATIONS, 0)
    for _ in range(rounds):
        for operation in OPERATIONS:
            remove(folder, "grown" if operation == "grow" else "merged")
            command = [sys.executable, "-m", "benchmarks.scale", "--run", operation, folder]
            output = subprocess.run(
                command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True
            ).stdout
            found = json.loads(output.splitlines()[-1])
            seconds[operation].append(found["seconds"])
            peak[operation] = max(peak[operation], found["memory"])
    return {name: min(each) for name, each in seconds.items()}, peak


def remove(folder, name):
    for each in os.listdir(folder):
        if each.startswith(name + "."):
            os.remove(path(folder, each))


def check_operations(sizes, folder, rounds):
    """Prints what each operation took at each size, and what the largest should have taken.

    Returns:
      dict from operation to its `seconds` and `memory` at each size, and if there are three sizes,
      the `slope` in seconds a GB, the `fixed` seconds, and `ratio`, the largest over predicted.
    """
    found = {each: {"seconds": [], "memory": []} for each in OPERATIONS}
    print(f"{'rows':>10}" + "".join(f"{each:>22}" for each in OPERATIONS))
    for rows in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            seconds, peak = measure(rows, own, rounds)
        for operation in OPERATIONS:
            found[operation]["seconds"].append(seconds[operation])
            found[operation]["memory"].append(peak[operation])
        cells = (f"{seconds[e]:.2f} s {peak[e] / 1e6:,.0f} MB" for e in OPERATIONS)
        print(f"{rows:>10}" + "".join(f"{each:>22}" for each in cells), flush=True)
    if len(sizes) < 3:
        return found
    gigabytes = np.array([4 * DIM * rows / 1e9 for rows in sizes])
    print("fitted to all but the largest: seconds a GB; the largest, measured over predicted")
    for operation, each in found.items():
        seconds = np.array(each["seconds"])
        # The small ones are mostly noise, and say nothing of a GB.
        weights = np.sqrt(gigabytes[:-1])
        slope, fixed = np.polyfit(gigabytes[:-1], seconds[:-1], 1, w=weights)
        ratio = seconds[-1] / (fixed + slope * gigabytes[-1])
        each.update(slope=slope, fixed=fixed, ratio=ratio)
        print(f"  {operation:8}{slope:8.2f} s/GB{ratio:8.2f}")
    return found


def predict_network(num_old_rows):
    """Returns the bytes that a step should send: ids there, vectors back, gradients there.

    A batch looks up its heads, tails and candidates, of which half the heads and tails are new, and
    its relations, which do not train.
    """
    looked_up = 3 * BATCH + CANDIDATES
    new = BATCH + CANDIDATES * NEW_ROWS / (num_old_rows + NEW_ROWS)
    return (4 + 4 * DIM) * (looked_up + new)


def check_network(sizes, servers):
    """Prints what a step sends, by the number of servers and of rows.

    Returns:
      dict from the number of servers to the KB of a step at each number of rows.
    """
    found = {}
    print("KB that a step sends, SGD, grown table (batches of 1024 triples)")
    print(f"{'servers':>10}" + "".join(f"{rows:>12}" for rows in sizes) + "   most over least")
    print(f"{'formula':>10}" + "".join(f"{predict_network(rows) / 1e3:>12.0f}" for rows in sizes))
    for count in servers:
        command = [sys.executable, "-m", "benchmarks.parameter_server_cost"]
        command += ["--servers", str(count), "--optimizer", "sgd", "--steps", "60"]
        command += ["--batch", str(BATCH), "--dim", str(DIM), "--new-rows", str(NEW_ROWS)]
        command += ["--old-rows", *map(str, sizes)]
        output = subprocess.run(
            command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True
        ).stdout
        # rows, optimizer, then steps/s, KB, KB of the largest tensor: of full, of grown.
        rows = re.findall(r"^ +\d+ +sgd +(.+)$", output, re.MULTILINE)
        sent = found[str(count)] = [float(row.split()[4]) for row in rows]
        cells = "".join(f"{each:>12.0f}" for each in sent)
        print(f"{count:>10}{cells}{max(sent) / min(sent):>18.2f}", flush=True)
    return found


def run(options):
    """Checks the derivations as part of `make bench`, and keeps what was found for the page."""
    sizes = [10**4, 10**5, 3 * 10**5] if options.quick else [10**5, 10**6, 3 * 10**6, 10**7]
    servers, server_rows = ([1], [10**4]) if options.quick else ([1, 2, 3, 4], [10**4, 10**6])
    options.folder.mkdir(parents=True, exist_ok=True)
    operations = check_operations(sizes, str(options.folder), 1 if options.quick else 2)
    network = check_network(server_rows, servers)
    Recorder(options.folder / "scale.json", sizes=sizes, server_rows=server_rows).write(
        {"operations": operations, "network": network}
    )


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[10**4, 10**5, 10**6, 3 * 10**6, 10**7, 3 * 10**7]
    )
    parser.add_argument("--servers", type=int, nargs="*", default=[1, 2, 3, 4])
    parser.add_argument("--server-rows", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", help="where to put the files; default: a temporary folder")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.run:
        run_operation(*options.run)
        return
    free = shutil.disk_usage(options.folder or tempfile.gettempdir()).free
    needed = 4 * 4 * DIM * max(options.rows)
    if free < needed:
        parser.error(f"--rows {max(options.rows)} needs {needed / 1e9:.0f} GB of disk")
    check_operations(sorted(options.rows), options.folder, options.rounds)
    if options.servers:
        check_network(options.server_rows, options.servers)


if __name__ == "__main__":
    main()
