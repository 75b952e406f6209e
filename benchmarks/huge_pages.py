"""What huge pages gain: the steps of a small and of a large table, with glibc asking and without.

`GLIBC_TUNABLES=glibc.malloc.hugetlb=1` (glibc 2.35 and later) makes `malloc` mark what it gets from
the system with `madvise`, which counts where /sys/kernel/mm/transparent_hugepage/enabled is
"madvise"; where it is "always", they are there without. The processes say how many they had.

A peer at a time: its processes, of each size with and without, are there at once and take turns. So
the ratios of one size to another one are of the same rounds too.
"""

import tempfile
from pathlib import Path

from benchmarks import steps
from benchmarks.resident import Failed
from benchmarks.results import Recorder, Results, format_ratio, milliseconds

TUNABLES = "glibc.malloc.hugetlb=1"
PLAIN, HUGE = "plain", "huge pages"
ENVIRON = {PLAIN: {}, HUGE: {"GLIBC_TUNABLES": TUNABLES}}
NAMES = ("bound", "partition", "full", "torch_two_tables")


def run(options):
    """Measures the peers of `NAMES`, each at the smallest and the largest table."""
    sizes = options.old_rows or ([10**4, 10**5] if options.quick else [10**4, 10**7])
    for environment in options.tensorflow:
        for peer in steps.PEERS:
            if peer.name in NAMES and (environment == "tf2" or peer.environments == steps.GRAPH):
                run_one(peer, environment, sizes, options)


def run_one(peer, environment, sizes, options):
    """Measures one peer, and prints what was found."""
    options.folder.mkdir(parents=True, exist_ok=True)
    specs = {size: steps.make_spec(size, "sgd", options) for size in sizes}
    batches = specs[sizes[0]]["batches"]
    path = options.folder / f"huge-{environment}-{peer.name}.json"
    recorder = Recorder(path, environment=environment, sizes=sizes, batches=batches)

    def record(name, size, number, seconds):
        recorder.record(f"{name}, {size}", number, seconds)

    recorder.write(measure(peer, environment, specs, options, record))
    results = Results(path)
    print(f"{path.stem}: milliseconds, over those of plain pages, over those of {sizes[0]} rows")
    for line in lines(results):
        print("  " + "  ".join(f"{each:>20}" for each in line), flush=True)


def measure(peer, environment, specs, options, record):
    """Lets the processes of one peer take turns at all batches; returns what else is known."""
    found, residents = {}, {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        try:
            for size, spec in specs.items():
                below = Path(folder, str(size))
                below.mkdir()
                spec = dict(spec, checkpoint=steps.write_rows(spec, below))
                for pages, environ in ENVIRON.items():
                    name = f"{size} rows, {pages}"
                    try:
                        residents[name] = steps.open_resident(
                            peer, spec, environment, options, environ
                        )
                    except Failed as error:
                        found[name] = {"cannot": str(error)}
            steps.hear_all(residents, options.max_seconds, found)
            batches = spec["batches"]
            for name in list(residents):
                answer = steps.ask(
                    residents, name, found, turn=batches[0], first=0, warm=2, steps=5, timeout=300
                )
                if answer:
                    found[name]["estimate"] = min(answer["seconds"])
            for batch in batches:
                steps.take_turns(residents, batch, options, record, found)
            for name in list(residents):
                found[name].update(steps.ask(residents, name, found, memory=True) or {})
        finally:
            for resident in residents.values():
                resident.kill()
    return found


def lines(results):
    """Yields old rows, batch, and as text what was found.

    That is: milliseconds with plain pages and with huge ones, their ratio, that of huge pages to
    the smallest table with huge pages, and how many GB there were in huge pages.
    """
    sizes = results.facts["sizes"]
    for size in sizes:
        for batch in results.facts["batches"]:
            plain, huge = (f"{size} rows, {pages}, {batch}" for pages in (PLAIN, HUGE))
            if results.seconds(plain) and results.seconds(huge):
                smallest = f"{sizes[0]} rows, {HUGE}, {batch}"
                yield (
                    size,
                    batch,
                    milliseconds(results.seconds(plain)),
                    milliseconds(results.seconds(huge)),
                    format_ratio(results.ratio(huge, plain)),
                    format_ratio(results.ratio(huge, smallest)),
                    f"{(results.found[f'{size} rows, {HUGE}'].get('huge') or 0) / 1e9:.2f}",
                )
