"""What a training step costs, beside everything that a user might pick instead.

Every peer is a process of its own, in an environment of its own. All peers of a measurement are
there at once and take turns of some steps, in an order of its own each round; where the tables of
all do not fit into memory, in groups, of which each has the floor, the bound and the partitioned
table. A ratio is that of two turns of the same round.

Before it is timed, each peer takes the same steps on the same batches, and is refused if it then
has other vectors than the floor has.
"""

import itertools
import random
import statistics
import tempfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import psutil

from benchmarks.peers import protocol
from benchmarks.resident import Failed, Resident
from benchmarks.results import Recorder, Results, format_ratio, milliseconds
from tf1_embed.checkpoint.files.writer import CheckpointWriter

# environments: those it is run in; memory: what it was found to need, in tables, by optimizer.
Peer = namedtuple("Peer", "name title environments memory")

GRAPH = ("tf2", "tf1")
ONE = {"sgd": 1.3, "adagrad": 3.3, "adam": 8.5, "momentum": 3.3, "rmsprop": 4.5, "ftrl": 4.5}
OWN = dict.fromkeys((*ONE, "lazy_adam"), 1.1)
COPIES = dict.fromkeys(ONE, 4.3)
HOOK = {"sgd": 3.1, "adagrad": 4.1, "adam": 6.1}

PEERS = [
    Peer("floor", "floor: a table of the new rows alone", GRAPH, dict.fromkeys(OWN, 0)),
    Peer("bound", "bound: the floor and a gather of the old rows", GRAPH, OWN),
    Peer("partition", "**tf1_embed, two variables**", GRAPH, OWN),
    Peer("chosen_rows", "**tf1_embed, one variable**", GRAPH, OWN),
    Peer("apart", "ids apart: the bound, in one tensor", GRAPH, OWN),
    Peer("cond", "the answer's cond", GRAPH, OWN),
    Peer("dropped", "slices of old rows dropped", GRAPH, ONE),
    Peer("full", "full training", GRAPH, ONE),
    Peer("concat", "the question's concat", GRAPH, COPIES),
    Peer("torch_two_tables", "PyTorch, two tables by hand", ("bench-torch",), OWN),
    Peer("torch_hook", "PyTorch, a hook on the gradient", ("bench-torch",), HOOK),
    Peer("peft_tokens", "PEFT `TrainableTokens`", ("bench-torch",), dict.fromkeys(ONE, 2.1)),
    Peer("keras_two_layers", "Keras 3, two `Embedding` layers, compiled", ("tf2",), COPIES),
    Peer("tfra", "TensorFlow Recommenders Addons", ("bench-tfra",), dict.fromkeys(ONE, 2)),
]
IN_EVERY_GROUP = ("floor", "bound", "partition")

# Seconds that a turn should take, and what counts as a slow step, of which a turn takes one.
TURN_SECONDS, SLOW_SECONDS, SLOW_TURNS = 0.1, 0.4, 3
TOLERANCE = 1e-4
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def run(options):
    """Measures all sizes and optimizers that are asked for, on each TensorFlow."""
    for environment in options.tensorflow:
        for old_rows, optimizer in measurements(options, environment):
            spec = make_spec(old_rows, optimizer, options)
            name = f"steps-{environment}-{old_rows}-{optimizer}"
            run_one(name, spec, choose(environment, optimizer, options), environment, options)


def make_spec(old_rows, optimizer, options, new_rows=None):
    """Returns what the protocol sends, a dict."""
    return {
        "old_rows": old_rows,
        "new_rows": new_rows or options.new_rows,
        "dim": options.dim,
        "batches": [256, 1024] if options.quick else options.batch,
        "optimizer": optimizer,
        "threads": options.threads,
    }


def measurements(options, environment):
    """Returns what is measured: pairs of a number of old rows and an optimizer."""
    sizes = options.old_rows or ([10**4] if options.quick else [10**4, 10**5, 10**6, 10**7])
    if options.optimizer:
        # Which only TensorFlow 1 has.
        missing = ("lazy_adam",) if environment == "tf2" else ()
        names = [each for each in options.optimizer if each not in missing]
        return [(size, each) for each in names for size in sizes]
    if options.quick:
        return [(size, "sgd") for size in sizes]
    few = options.old_rows or [10**4, 10**6]
    chosen = [(size, "sgd") for size in sizes]
    chosen += [(size, each) for each in ("adagrad", "adam") for size in few]
    if environment == "tf2":
        chosen += [(max(few), each) for each in ("momentum", "rmsprop", "ftrl")]
    return chosen


def choose(environment, optimizer, options):
    """Returns the peers that take part."""
    return [
        peer
        for peer in PEERS
        if (environment == "tf2" or environment in peer.environments)
        and (not options.peers or peer.name in options.peers + list(IN_EVERY_GROUP))
        and (optimizer in ("sgd", "adagrad", "adam") or peer.environments == GRAPH)
    ]


def run_one(name, spec, peers, environment, options):
    """Measures one size under one optimizer, and prints what was found."""
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / f"{name}.json"
    recorder = Recorder(path, environment=environment, **spec)

    def record(peer, size, number, seconds):
        recorder.record(f"{peer}, {size}", number, seconds)

    recorder.write(measure(spec, peers, environment, options, record))
    results = Results(path)
    print(f"{name}: milliseconds at batches of {spec['batches']}, and the ratio to the bound")
    for peer in peers:
        cells = [cell(results, peer.name, size) for size in spec["batches"]]
        why = results.found.get(peer.name, {}).get("cannot", "")
        print(
            f"  {peer.name:18}" + "".join(f"{each:>30}" for each in cells) + f"  {why}", flush=True
        )


def cell(results, name, size):
    """Returns the milliseconds of a peer at a size of batches, and its ratio to the bound."""
    seconds = results.seconds(f"{name}, {size}")
    if seconds is None:
        return "–"
    ratio = results.ratio(f"{name}, {size}", f"bound, {size}")
    return f"{milliseconds(seconds)} [{format_ratio(ratio)}]"


def measure(spec, peers, environment, options, record):
    """Measures peers at one size, under one optimizer, at all batches.

    Args:
      spec: dict, what the protocol sends.
      peers: list of `Peer`s.
      environment: "tf2" or "tf1", where peers in graph mode run.
      options: with `rounds`, `python_of` (function of an environment), `folder`, `max_seconds`.
      record: function of a peer's name, its batch, round and the seconds of its steps.

    Returns:
      dict from a peer's name to what else is known: `library`, `freezes`, `peak`, `checkpoint`; or
      `cannot`.
    """
    found = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        spec = dict(spec, checkpoint=write_rows(spec, folder))
        for number, group in enumerate(groups(peers, spec)):
            residents = start(group, spec, environment, options, found)
            below = Path(folder, f"group{number}")
            below.mkdir()
            try:
                check(residents, spec, below, found)
                for size in spec["batches"]:
                    take_turns(residents, size, options, record, found, number * options.rounds)
                finish(residents, spec, below, found)
            finally:
                for resident in residents.values():
                    resident.kill()
    return found


def write_rows(spec, folder):
    """Writes the rows that tables begin with as a checkpoint of TensorFlow; returns its prefix."""
    prefix, inputs = f"{folder}/rows", protocol.Spec(spec)
    new = inputs.new_values()
    with CheckpointWriter(prefix) as writer:
        for name, last in (("old", []), ("new", [new]), ("all", [new])):
            chunks = [] if name == "new" else (chunk for _, chunk in inputs.old_chunks())
            rows = (0 if name == "new" else inputs.old_rows) + len(new) * len(last)
            shape = [rows, inputs.dim]
            writer.add(name, np.dtype(np.float32), shape, itertools.chain(chunks, last))
    return prefix


def groups(peers, spec):
    """Returns lists of peers whose tables fit into memory together."""
    table = 4 * spec["old_rows"] * spec["dim"]
    room = 0.7 * psutil.virtual_memory().available / table

    def need(peer):
        # What a library itself needs, beside the table.
        return peer.memory[spec["optimizer"]] + 4e8 / table

    always = [peer for peer in peers if peer.name in IN_EVERY_GROUP]
    others = [peer for peer in peers if peer.name not in IN_EVERY_GROUP]
    found, left = [[]], room - sum(map(need, always))
    for peer in others:
        if need(peer) > left and found[-1]:
            found.append([])
            left = room - sum(map(need, always))
        found[-1].append(peer)
        left -= need(peer)
    return [always + group for group in found]


def start(group, spec, environment, options, found):
    """Returns a dict from name to `Resident`, of the peers that can do the job."""
    residents = {}
    for peer in group:
        try:
            residents[peer.name] = open_resident(peer, spec, environment, options)
        except Failed as error:
            found[peer.name] = {"cannot": str(error)}
    return hear_all(residents, options.max_seconds, found)


def open_resident(peer, spec, environment, options, environ=None):
    """Starts the process of a peer, which makes its tables; `environ` are more variables."""
    of_peer = environment if peer.environments == GRAPH else peer.environments[0]
    name = "-".join([of_peer, peer.name, str(spec["old_rows"]), *(environ or {})])
    log = Path(options.folder) / "logs" / f"{name}.log"
    threads = dict.fromkeys(THREADS, str(spec["threads"]))
    resident = Resident(
        options.python_of(of_peer),
        f"benchmarks.peers.{peer.name}",
        log,
        dict(threads, **(environ or {})),
    )
    resident.tell(**spec)
    return resident


def hear_all(residents, timeout, found):
    """Hears one answer of each; drops those that fail."""
    for name, resident in list(residents.items()):
        try:
            answer = resident.hear(timeout)
        except Failed as error:
            answer = {"cannot": str(error)}
        found.setdefault(name, {}).update(answer)
        if "cannot" in answer:
            residents.pop(name).kill()
    return residents


def ask(residents, name, found, **fields):
    """Asks one peer; returns None, and drops it, if it fails."""
    try:
        return residents[name].ask(**fields)
    except Failed as error:
        found[name]["cannot"] = str(error)
        residents.pop(name).kill()
        return None


def check(residents, spec, folder, found):
    """Lets all take the same steps, and drops those that then have other vectors than the floor."""
    size = spec["batches"][0]
    steps = 5 if spec["old_rows"] <= 10**6 else 2
    for name in list(residents):
        answer = ask(residents, name, found, turn=size, first=0, warm=0, steps=steps, timeout=300)
        if answer and ask(residents, name, found, rows=str(folder / f"{name}.npz")) is not None:
            found[name]["estimate"] = min(answer["seconds"])
    if "floor" in residents:
        with np.load(folder / "floor.npz") as floor:
            expected = dict(floor)
    for name in list(residents):
        if "floor" not in found or "cannot" in found["floor"]:
            found[name]["cannot"] = "there was no floor to compare its vectors with"
            residents.pop(name).kill()
            continue
        with np.load(folder / f"{name}.npz") as rows:
            reason = difference(rows, expected, found[name]["freezes"])
        if reason:
            found[name]["cannot"] = f"{reason} after {steps} steps"
            residents.pop(name).kill()


def difference(rows, expected, freezes):
    """Returns in what way vectors are not those of the floor, or None."""
    distance = np.abs(rows["new"] - expected["new"]).max()
    if not distance <= TOLERANCE:
        return f"other vectors: new rows differ by up to {distance:.2g}"
    same = np.array_equal(rows["old"].view(np.int32), expected["old"].view(np.int32))
    if freezes and not same:
        return "other vectors: old rows moved"
    if not freezes and same:
        return "other vectors: no old row moved, where all should train"
    return None


def take_turns(residents, size, options, record, found, first_round=0):
    """Lets all take turns at batches of one size, and records them.

    Those of another group take turns at another time, so their rounds have other numbers.
    """
    order, first = random.Random(0), 100
    for number in range(options.rounds):
        names = list(residents)
        order.shuffle(names)
        for name in names:
            estimate = found[name]["estimate"]
            slow = estimate > SLOW_SECONDS
            if slow and number >= min(SLOW_TURNS, options.rounds):
                continue
            steps = 1 if slow else int(min(60, max(2, TURN_SECONDS / estimate)))
            # What others left in the caches is not what a step finds in training.
            warm = 0 if slow else max(2, steps // 5)
            answer = ask(
                residents, name, found, turn=size, first=first, warm=warm, steps=steps, timeout=300
            )
            if answer is None:
                continue
            found[name]["estimate"] = statistics.median(answer["seconds"])
            record(name, size, first_round + number, answer["seconds"])
        first += 100


def finish(residents, spec, folder, found):
    """Asks all what memory they took, then lets them save a checkpoint."""
    for name in list(residents):
        found[name].update(ask(residents, name, found, memory=True) or {})
        # Of the largest a checkpoint takes minutes, and as much of the disk.
        if name in residents and spec["old_rows"] <= 10**6:
            saved = ask(residents, name, found, save=str(folder / f"{name}-saved"), timeout=300)
            found[name]["checkpoint"] = saved and saved["bytes"]
