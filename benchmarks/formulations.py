"""Whether the lookup of two variables could be written faster: other formulations, in turns.

Each TensorFlow has a process with all of them, `benchmarks.peers.formulations`.
"""

import json
import os
import subprocess

from benchmarks import steps
from benchmarks.resident import ROOT, Failed
from benchmarks.results import Recorder, Results, format_ratio

OWN = "tf1_embed"


def run(options):
    """Measures them on each TensorFlow that is asked for, at 100 k old rows."""
    for environment in options.tensorflow:
        spec = steps.make_spec(10**4 if options.quick else 10**5, "sgd", options)
        run_one(spec, environment, options)


def run_one(spec, environment, options):
    """Measures them on one TensorFlow, and prints what was found."""
    path = options.folder / f"formulations-{environment}.json"
    # Many, since they differ by little.
    fields = dict(spec, rounds=5 * options.rounds)
    done = subprocess.run(
        [options.python_of(environment), "-m", "benchmarks.peers.formulations", json.dumps(fields)],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or ["nothing was said"])[-1][:300])
    recorder = Recorder(path, environment=environment, **spec)
    for name, by_size in json.loads(done.stdout.splitlines()[-1]).items():
        for size, seconds in by_size.items():
            for number, each in enumerate(seconds):
                recorder.record(f"{name}, {size}", number, [each])
    recorder.write({})
    for cells in lines(Results(path)):
        print("  " + "  ".join(f"{each:>36}" for each in cells), flush=True)


def lines(results):
    """Yields each formulation's name, and its time over that of tf1_embed at each batch."""
    batches = results.facts["batches"]
    for name in dict.fromkeys(each.rpartition(", ")[0] for each in results.turns):
        if name != OWN:
            ratios = [results.ratio(f"{name}, {size}", f"{OWN}, {size}") for size in batches]
            yield [name, *map(format_ratio, ratios)]
