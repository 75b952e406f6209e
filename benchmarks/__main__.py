"""Measures tf1_embed beside everything a user might pick instead, and writes docs/benchmarks.md.

    make bench                                       # all, an hour and a quarter
    make bench ARGS=--quick                          # a small part of it, to see that it works
    make bench ARGS="--only steps --old-rows 10000000 --optimizer sgd"
    make bench ARGS=--page                           # the page again, from what was measured

What is measured is kept below runs/bench, a file for each measurement, which the next one of the
same name replaces; the page is written from all that is there. Nothing else should run meanwhile.
"""

import argparse
import os
import sys
import time

# Before NumPy is there: of this process and of the job in it. Peers are told their own number.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

from pathlib import Path
from subprocess import SubprocessError

from benchmarks import (
    formulations,
    growing,
    huge_pages,
    jobs,
    many_new_rows,
    page,
    scale,
    steps,
)
from benchmarks.resident import ROOT

PARTS = {
    "steps": steps,
    "formulations": formulations,
    "many-new-rows": many_new_rows,
    "growing": growing,
    "jobs": jobs,
    "huge-pages": huge_pages,
    "scale": scale,
}
OPTIMIZERS = ("sgd", "adagrad", "adam", "momentum", "rmsprop", "ftrl", "lazy_adam")


def main(argv=None):
    options, failed = parse_options(argv), []
    if not options.page:
        for name in options.only:
            start = time.perf_counter()
            print(f"== {name}", flush=True)
            try:
                PARTS[name].run(options)
            except (LookupError, OSError, RuntimeError, ValueError, SubprocessError) as error:
                # The others are measured all the same.
                failed.append(name)
                print(f"{name} failed: {type(error).__name__}: {error}", flush=True)
            print(f"== {name}: {time.perf_counter() - start:.0f} seconds", flush=True)
    if not options.quick:
        page.write(options.folder)
        page.draw()
    return 1 if failed else 0


def parse_options(argv):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small sizes; the page stays")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--tensorflow", nargs="+", choices=steps.GRAPH, default=list(steps.GRAPH))
    parser.add_argument("--peers", nargs="+", choices=[peer.name for peer in steps.PEERS])
    parser.add_argument("--old-rows", type=int, nargs="+", help="default: 10 k to 10 M")
    parser.add_argument(
        "--optimizer",
        nargs="+",
        choices=OPTIMIZERS,
        help="default: the first 3, and on 2.21 all but the last at a million rows",
    )
    parser.add_argument("--new-rows", type=int, default=10**4)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, nargs="+", default=[256, 1024, 8192])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--data", nargs="+", metavar="FOLDER", help="of facts; default: UMLS")
    parser.add_argument("--gigabytes", type=float, nargs="+", help="of checkpoints, up to 12")
    parser.add_argument("--ways", nargs="+", choices=growing.NAMES, help="to grow one")
    parser.add_argument(
        "--max-seconds", type=float, default=240, help="for a peer to make its tables"
    )
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "runs" / "bench", help="of what was measured"
    )
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(os.environ.get("BENCH_ENVIRONMENTS", ROOT / ".venv")),
        help="where the environments of the peers are",
    )
    options = parser.parse_args(argv)
    options.python_of = lambda name: options.environments / name / "bin" / "python"
    if options.quick:
        options.folder = options.folder / "quick"
        options.rounds = min(options.rounds, 3)
    return options


if __name__ == "__main__":
    sys.exit(main())
