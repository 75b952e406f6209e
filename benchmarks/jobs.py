"""The whole job on a knowledge graph: a base, its growth, and what new and old facts then rank.

tf1_embed grows the trained table by the new entities, solves their rows and trains them on
(`benchmarks/continual.py`). Beside it the model is retrained on all facts, by the same code, and by
PyKEEN, with the same split, width and number of epochs. Times are those of the processes, in one
thread. Ranks are filtered and among all entities.
"""

import json
import os
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.resident import ROOT
from benchmarks.results import Recorder

UMLS = ROOT / "examples" / "knowledge_graph" / "data" / "umls"
WAYS = {
    "solved": ("**tf1_embed**, new rows solved", "growth 1, solved"),
    "trained on": ("**tf1_embed**, then trained", "growth 1, trained on"),
    "retrained": ("retrained, the same code", "growth 1, retrained"),
}
PYKEEN = "retrained, PyKEEN's ComplEx"


def run(options):
    """Measures each set of facts that is asked for."""
    for folder in options.data or [UMLS]:
        run_one(Path(folder), options)


def run_one(folder, options):
    """Measures one set, and prints what was found."""
    # Imports TensorFlow, which the other parts of the benchmark do without.
    from benchmarks import continual

    count, new = (1, 10) if options.quick else (3, 10 if folder == UMLS else 100)
    arguments = ["--data", str(folder), "--new-entities", str(new), "--seeds", str(count)]
    if options.quick:
        arguments += ["--epochs", "3"]
    chosen = continual.parse_options(arguments)
    quality, seconds = defaultdict(list), defaultdict(list)
    found = defaultdict(lambda: {"new": [], "old": [], "seconds": []})
    recorder = Recorder(options.folder / f"jobs-{folder.name}.json", data=folder.name, new=new)
    for seed in range(count):
        continual.run(chosen, seed, quality, seconds)
        snapshots = continual.read(chosen.data, chosen.new_entities, seed)
        answer = run_pykeen(snapshots, chosen, seed, options)
        if "cannot" in answer:
            found[PYKEEN]["cannot"] = answer["cannot"]
            continue
        for field in ("new", "old", "seconds"):
            found[PYKEEN][field].append(answer[field])
    for way, (title, clock) in WAYS.items():
        for tests in ("new", "old"):
            found[title][tests] = [float(each.all) for each in quality["growth 1", way, tests]]
        found[title]["seconds"] = seconds[clock]
    solved, trained = (found[WAYS[way][0]] for way in ("solved", "trained on"))
    trained["seconds"] = [sum(each) for each in zip(solved["seconds"], trained["seconds"])]
    recorder.write(found)
    for title, each in found.items():
        print(f"  {title:36} {line(each)}", flush=True)


def line(found):
    """Returns what was found of a way, in a line."""
    if "cannot" in found:
        return found["cannot"]
    return "new {:.3f}, old {:.3f}, {:.2f} s".format(
        *(np.mean(found[each]) for each in ("new", "old", "seconds"))
    )


def run_pykeen(snapshots, chosen, seed, options):
    """Returns what PyKEEN's process printed, a dict."""
    python = options.python_of("bench-torch")
    if not os.path.exists(python):
        return {"cannot": f"its environment is not there: {python}; `make bench` makes it"}
    with tempfile.TemporaryDirectory() as folder:
        facts = os.path.join(folder, "facts.npz")
        every = [triples for snapshot in snapshots for triples in snapshot[:3]]
        np.savez(
            facts,
            train=np.concatenate([each.train for each in snapshots]),
            new=snapshots[-1].test,
            old=np.concatenate([each.test for each in snapshots[:-1]]),
            known=np.concatenate(every),
            sizes=[snapshots[-1].num_entities, snapshots[-1].num_relations],
        )
        recipe = {
            "width": chosen.width // 2,
            "epochs": chosen.epochs,
            "batch_size": chosen.batch_size,
            "learning_rate": chosen.learning_rate,
            "seed": seed,
        }
        done = subprocess.run(
            [str(python), "-m", "benchmarks.pykeen_complex", facts, json.dumps(recipe)],
            cwd=ROOT,
            env=dict(os.environ, PYTHONPATH=str(ROOT), PYKEEN_HOME=folder, OMP_NUM_THREADS="1"),
            capture_output=True,
            text=True,
        )
    if done.returncode:
        return {"cannot": (done.stderr.strip().splitlines() or ["nothing was said"])[-1][:300]}
    return json.loads(done.stdout.splitlines()[-1])
