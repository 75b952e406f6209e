"""Measured times, kept as suites of pyperf, and what pages say of them.

A turn of a peer is a `pyperf.Run`, its steps are the run's values, and its metadata has the number
of the round; so `python -m pyperf stats`, `hist` and `compare_to` read the files below runs/bench.
"""

import json
import platform
import re
import statistics
from collections import namedtuple
from pathlib import Path

import pyperf

# Beyond its middle, how far a ratio went over the rounds.
Ratio = namedtuple("Ratio", "median least most")


class Recorder:
    """Collects the turns of one measurement, and writes them to a file.

    Args:
      path: `pathlib.Path` of a `.json` file.
      facts: dict, what is common to all turns.
    """

    def __init__(self, path, **facts):
        self.path, self.facts = Path(path), facts
        self._runs = {}

    def record(self, name, round_number, seconds):
        """Adds a turn of what has this name."""
        runs = self._runs.setdefault(name, [])
        facts = {key: fact for key, fact in self.facts.items() if isinstance(fact, (str, int))}
        metadata = dict(facts, name=name, round=round_number, loops=1, unit="second")
        runs.append(pyperf.Run(seconds, metadata=metadata))

    def write(self, found):
        """Writes the times, and beside them what else was found, a dict that JSON takes."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._runs:
            suite = pyperf.BenchmarkSuite([pyperf.Benchmark(runs) for runs in self._runs.values()])
            suite.dump(str(self.path), replace=True)
        found = {"facts": self.facts, "machine": describe_machine(), "found": found}
        found_path(self.path).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


class Results:
    """What a `Recorder` wrote.

    Attributes:
      found: dict, what was found beside the times.
      facts: dict, what is common to all turns.
      machine: string.
      turns: dict from name to dict from round to the median seconds of a step.
    """

    def __init__(self, path):
        stored = json.loads(found_path(path).read_text(encoding="utf-8"))
        self.found, self.facts, self.machine = (
            stored[each] for each in ("found", "facts", "machine")
        )
        self.turns = {}
        if Path(path).exists():
            for benchmark in pyperf.BenchmarkSuite.load(str(path)).get_benchmarks():
                self.turns[benchmark.get_name()] = {
                    # A machine that does other things now and then does them within a step.
                    int(run.get_metadata()["round"]): statistics.median(run.values)
                    for run in benchmark.get_runs()
                }

    def seconds(self, name):
        """Returns the median over the rounds, or None."""
        turns = self.turns.get(name)
        return statistics.median(turns.values()) if turns else None

    def ratio(self, name, reference):
        """Returns the `Ratio` of two names over the rounds that both took part in, or None."""
        own, other = self.turns.get(name, {}), self.turns.get(reference, {})
        ratios = [own[each] / other[each] for each in own if each in other]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def found_path(path):
    return Path(path).with_suffix(".found.json")


def describe_machine():
    """Returns a line that says what was measured on."""
    metadata = pyperf.Run([1.0], metadata={"name": "machine"}).get_metadata()
    cores = metadata.get("cpu_count", "?")
    model = metadata.get("cpu_model_name", platform.machine())
    with open("/proc/meminfo") as file:
        gigabytes = int(re.search(r"MemTotal:\s+(\d+)", file.read()).group(1)) / 2**20
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    huge = re.search(r"\[(\w+)\]", pages.read_text()).group(1) if pages.exists() else "unknown"
    libc = " ".join(platform.libc_ver())
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f"{model}, {cores} cores, {gigabytes:.0f} GB of memory, Linux {kernel}, "
        f"{libc}, transparent huge pages: {huge}"
    )


def format_ratio(ratio):
    """Returns a ratio as text: its median, and its least and most over the rounds."""
    if ratio is None:
        return "–"
    return f"{number(ratio.median)} ({number(ratio.least)}–{number(ratio.most)})"


def number(value):
    """Returns a positive number in three digits at most."""
    if value >= 99.5:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def milliseconds(seconds):
    """Returns seconds as text in milliseconds."""
    value = 1e3 * seconds
    return f"{value:.3f}" if value < 9.9995 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
