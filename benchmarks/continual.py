"""What a growing knowledge graph knows, old and new apart: solved, trained on, and retrained.

`--data` is a folder of snapshots, each a numbered folder of `train.txt`, `valid.txt` and `test.txt`
with what came then; or one such folder, of whose entities `--new-entities` are held back. After the
base every snapshot is a growth: its entities and relations get rows, solved and then trained for
some epochs with old answers in view, and all rows before stay as they are. Beside it, a model that
is retrained on all snapshots so far.

    python -m benchmarks.continual --data snapshots --retrain estimate
    python -m benchmarks.continual --data examples/knowledge_graph/data/umls --new-entities 10

Test triples are ranked by two protocols: among the entities that there were at their own snapshot,
and among all that there are. The time is that of the process, in one thread.
"""

import argparse
import os
import sys
import time
from collections import defaultdict, namedtuple

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.knowledge_graph import data
from examples.knowledge_graph.model import LinkPredictor, initializer
from examples.knowledge_graph.solving import FrozenModel, ask
from examples.knowledge_graph.training import Recipe, Trainer
from tf1_embed.solving.old_answers import OldAnswers

KIND = "complex"

# Steps of a retraining that are timed where it is only estimated.
TIMED_STEPS = 20

Snapshot = namedtuple("Snapshot", "train valid test num_entities num_relations")
Model = namedtuple("Model", "rows relations")
# own, all: MRR among the entities of a triple's own snapshot, and among all.
Quality = namedtuple("Quality", "own all")


def main(argv=None):
    """Prints a table for each growth; returns a dict from (growth, way, tests) to `Quality`s."""
    options = parse_options(argv)
    quality, seconds = defaultdict(list), defaultdict(list)
    for seed in range(options.seeds):
        run(options, seed, quality, seconds)
        print_tables(quality, seconds, options)
    return quality


def run(options, seed, quality, seconds):
    """Takes one seed through all snapshots; adds to what is measured."""
    snapshots = read(options.data, options.new_entities, seed)
    known = right_answers(snapshots)
    model = train(options, snapshots[:1], seed, seconds["base"])
    measure(quality, "base", "base", model, snapshots[:1], known)
    for number in range(1, len(snapshots)):
        seen = snapshots[: number + 1]
        name, before = f"growth {number}", tf1_embed.fingerprint(model.rows)
        started = time.process_time()
        frozen = FrozenModel(*model, KIND, np.concatenate([each.train for each in seen[:-1]]))
        seconds[f"{name}, background"].append(time.process_time() - started)
        started = time.process_time()
        solved = solve(options, model, frozen, seen[-1])
        seconds[f"{name}, solved"].append(time.process_time() - started)
        measure(quality, name, "solved", solved, seen, known)
        started = time.process_time()
        model = polish(options, model, solved, frozen, seen[-1], seed)
        seconds[f"{name}, trained on"].append(time.process_time() - started)
        measure(quality, name, "trained on", model, seen, known)
        old = tf1_embed.Rows.range(0, seen[-2].num_entities, size=len(model.rows))
        if tf1_embed.fingerprint(model.rows, old) != before:
            raise SystemExit(f"seed {seed}, {name}: old rows changed")
        retrained = train(options, seen, seed, seconds[f"{name}, retrained"], options.retrain)
        if retrained:
            measure(quality, name, "retrained", retrained, seen, known)


def read(folder, num_new, seed):
    """Returns a list of `Snapshot`s, whose entities and relations are numbered as they come."""
    if os.path.exists(os.path.join(folder, "train.txt")):
        graph = data.put_new_entities_last(data.load(folder), num_new, seed)
        num_entities, num_relations = len(graph.entities), len(graph.relations)
        first = num_entities - num_new
        parts = [data.divide(each, first) for each in (graph.train, graph.valid, graph.test)]
        return [
            Snapshot(*(part.old for part in parts), first, num_relations),
            Snapshot(*(part.new for part in parts), num_entities, num_relations),
        ]
    entities, relations, snapshots = {}, {}, []
    numbers = sorted(int(each) for each in os.listdir(folder) if each.isdigit())
    if not numbers:
        raise SystemExit(f"{folder} has neither train.txt nor numbered folders of snapshots")
    for number in numbers:
        splits = []
        for split in ("train", "valid", "test"):
            with open(os.path.join(folder, str(number), f"{split}.txt"), encoding="utf-8") as file:
                triples = [line.rstrip("\r\n").split("\t") for line in file if line.strip()]
            ids = [
                (
                    entities.setdefault(head, len(entities)),
                    relations.setdefault(relation, len(relations)),
                    entities.setdefault(tail, len(entities)),
                )
                for head, relation, tail in triples
            ]
            splits.append(np.array(ids, np.int32).reshape(-1, 3))
        snapshots.append(Snapshot(*splits, len(entities), len(relations)))
    return snapshots


def right_answers(snapshots):
    """Returns a dict from (side, entity, relation) to all right answers, for the filter."""
    known = defaultdict(list)
    for snapshot in snapshots:
        for head, relation, tail in np.concatenate(snapshot[:3]).tolist():
            known["tail", head, relation].append(tail)
            known["head", tail, relation].append(head)
    return known


def measure(quality, name, way, model, seen, known):
    """Measures the tests of the last snapshot, of those before, and of all."""
    ranks = []
    for snapshot in seen:
        tail_queries, head_queries = ask(KIND, *model, snapshot.test)
        heads, relations, tails = snapshot.test.T.tolist()
        right = [known["tail", head, relation] for head, relation in zip(heads, relations)]
        right += [known["head", tail, relation] for tail, relation in zip(tails, relations)]
        num_all = seen[-1].num_entities
        found = tf1_embed.interference(
            np.concatenate([tail_queries, head_queries]),
            np.array(tails + heads),
            model.rows[: snapshot.num_entities],
            model.rows[snapshot.num_entities :],
            [[each for each in some if each < num_all] for some in right],
        )
        ranks.append(Quality(1 / found.ranks_before, 1 / found.ranks_after))
    tests = {"new": ranks[-1:], "old": ranks[:-1], "mean over snapshots": ranks}
    if len(ranks) == 1:
        tests = {"its own": ranks}
    for kind, some in tests.items():
        if kind == "mean over snapshots":
            some = [Quality(*(each.mean() for each in one)) for one in some]
        joined = zip(*some)
        found = Quality(*(np.mean(np.hstack(each)) for each in joined))
        quality[name, way, kind].append(found)
        # A large graph takes hours: what is known is said at once.
        line = f"{name}, {way}: {kind} {found.own:.3f} own, {found.all:.3f} all"
        print(line, file=sys.stderr, flush=True)


def train(options, snapshots, seed, seconds, retrain="yes"):
    """Trains a model from scratch; returns None where only its time is estimated."""
    triples = np.concatenate([each.train for each in snapshots])
    recipe = Recipe(options.epochs, options.batch_size, options.learning_rate, options.dropout)
    if retrain == "no":
        return None
    with tf.Graph().as_default(), session_of_one_thread() as session:
        tf.set_random_seed(seed)
        shape = [snapshots[-1].num_entities, options.width]
        rows = tf.get_variable("entities", shape, initializer=initializer())
        model = LinkPredictor(rows, snapshots[-1].num_relations, KIND)
        trainer = Trainer(model, recipe)
        session.run(tf.global_variables_initializer())
        if retrain == "estimate":
            some = triples[: TIMED_STEPS * options.batch_size]
            trainer.run_epoch(session, some[: options.batch_size], 0)
            started = time.process_time()
            trainer.run_epoch(session, some, 0)
            took = time.process_time() - started
            seconds.append(took * options.epochs * len(triples) / len(some))
            return None
        random, started = np.random.RandomState(seed), time.process_time()
        for epoch in range(options.epochs):
            trainer.run_epoch(session, random.permutation(triples), epoch)
        seconds.append(time.process_time() - started)
        return Model(*session.run([rows, model.relation_table]))


def solve(options, model, frozen, snapshot):
    """Returns the model with rows for a snapshot's entities and relations."""
    relations = model.relations
    missing = snapshot.num_relations - len(relations)
    triples = snapshot.train
    of_old = triples[triples[:, 1] < len(relations)]
    num_new = snapshot.num_entities - len(model.rows)
    new = frozen.solve(of_old, num_new, options.solve_share)
    rows = np.concatenate([model.rows, new])
    if missing:
        # Of a relation little is known: it begins as what the old ones have in common.
        mean = np.repeat(relations.mean(axis=0, keepdims=True), missing, axis=0)
        relations = np.concatenate([relations, mean])
    return Model(rows, relations)


def polish(options, model, solved, frozen, snapshot, seed):
    """Trains a snapshot's rows on its triples, with old answers in view."""
    with tf.Graph().as_default(), session_of_one_thread() as session:
        tf.set_random_seed(seed)
        tables = []
        for name, old, every in zip(("entities", "relations"), model, solved):
            if len(every) == len(old):
                tables.append(tf.get_variable(name, initializer=old, trainable=False))
                continue
            new = every[len(old) :]
            tables.append(tf1_embed.get_grown_table(name, len(every) - len(old), None, old, new))
        predictor = LinkPredictor(
            tables[0], snapshot.num_relations, KIND, options.penalty, tables[1]
        )
        old_answers = OldAnswers(
            tables[0].trainable,
            frozen.background,
            frozen.queries,
            num_facts=len(snapshot.train),
            batch_size=options.old_batch_size,
            share=options.share,
            seed=seed,
        )
        recipe = Recipe(
            options.polish_epochs,
            options.batch_size,
            options.polish_learning_rate,
            options.polish_dropout,
        )
        trainer = Trainer(predictor, recipe, None, old_answers)
        session.run(tf.global_variables_initializer())
        random = np.random.RandomState(seed)
        for epoch in range(recipe.epochs):
            trainer.run_epoch(session, random.permutation(snapshot.train), epoch)
        whole = [each.read() if hasattr(each, "read") else each for each in tables]
        return Model(*session.run(whole))


def session_of_one_thread():
    """Returns a `tf.Session` whose time is comparable with that of others."""
    return tf.Session(
        config=tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    )


def print_tables(quality, seconds, options):
    """Prints means over the seeds so far."""
    count = len(seconds["base"])
    print(f"\n{options.data}, mean of {count} seed{'s' if count > 1 else ''}")
    print(f"{'':40}{'own':>7}{'all':>7}")
    for (name, way, tests), each in quality.items():
        own, among_all = np.mean(each, axis=0)
        print(f"{f'{name}, {way}: {tests}':40}{own:7.3f}{among_all:7.3f}")
    for name, each in seconds.items():
        estimated = options.retrain == "estimate" and name.endswith("retrained")
        if each:
            print(f"{name:40}{np.mean(each):10.2f} s{' (estimated)' if estimated else ''}")


def parse_options(argv):
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", metavar="FOLDER", required=True)
    parser.add_argument("--new-entities", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--retrain", choices=("yes", "estimate", "no"), default="yes")
    parser.add_argument("--width", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--solve-share", type=float, default=1.0, help="of the old queries")
    parser.add_argument("--polish-epochs", type=int, default=4)
    parser.add_argument("--polish-learning-rate", type=float, default=0.02)
    parser.add_argument("--polish-dropout", type=float, default=0.5)
    parser.add_argument("--penalty", type=float, default=0.1, help="N3, of new rows")
    parser.add_argument("--share", type=float, default=1.0, help="of the old queries")
    parser.add_argument("--old-batch-size", type=int, default=2048)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
