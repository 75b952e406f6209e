"""What facts among old entities are worth to frozen rows, to thawed ones, and to a retraining.

`--data` is one folder of `train.txt`, `valid.txt` and `test.txt`. A part of the triples comes
later, of all of which the entities are known:

    facts      a share of all triples, drawn at random
    relations  all triples of some relations, whose rows are new
    about      a share of the triples of a few entities, of which much becomes known at once

    python -m benchmarks.thaw --data examples/knowledge_graph/data/umls --later about

Test triples are parted as the training triples are, and ranked among all entities, the known right
answers left out. Thawed rows are chosen by `tf1_embed.thaw_rows` and train on the new triples and
on the old ones that name them; no other row moves, which is proved. The time is that of the
process, in one thread, over that of the retraining.
"""

import argparse
import time
from collections import defaultdict

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from benchmarks.continual import Model, right_answers, session_of_one_thread
from examples.knowledge_graph import data
from examples.knowledge_graph.model import LinkPredictor, initializer
from examples.knowledge_graph.solving import ask
from examples.knowledge_graph.training import Recipe, Trainer

KIND = "complex"
WAYS = ("facts", "relations", "about")


def main(argv=None):
    """Prints a table; returns a dict from way to a list of (new MRR, old MRR, seconds)."""
    options = parse_options(argv)
    found = defaultdict(list)
    for seed in range(options.seeds):
        for name, each in run(options, seed):
            found[name].append(each)
    print(f"\n{options.data}, later: {options.later}, {options.seeds} seeds")
    print(f"{'':40}{'new':>7}{'old':>7}{'time':>8}")
    whole = np.mean([seconds for _, _, seconds in found["retrained"]])
    for name, each in found.items():
        new, old, seconds = np.mean(each, axis=0)
        print(f"{name:40}{new:7.3f}{old:7.3f}{seconds / whole:8.3f}")
    return found


def run(options, seed):
    """Yields (way, (new MRR, old MRR, seconds)) for one choice of what comes later."""
    graph = data.load(options.data)
    num_entities, num_relations = len(graph.entities), len(graph.relations)
    splits = {name: getattr(graph, name) for name in ("train", "valid", "test")}
    is_later = part(options, splits, num_relations, seed)
    old, new = (
        {name: triples[is_later[name] == later] for name, triples in splits.items()}
        for later in (False, True)
    )
    # As `right_answers` wants it: all triples at once.
    known = right_answers([tuple(splits.values())])
    recipe = Recipe(options.epochs, options.batch_size, options.learning_rate, options.dropout)
    short = recipe._replace(epochs=options.thaw_epochs, learning_rate=options.thaw_learning_rate)

    def measured(model, seconds):
        return mrr(model, new["test"], known), mrr(model, old["test"], known), seconds

    def train(triples, how, start=None, rows=None):
        with tf.Graph().as_default(), session_of_one_thread() as session:
            tf.set_random_seed(seed)
            shape = [num_entities, options.width]
            if start is None:
                entities = tf.get_variable("entities", shape, initializer=initializer())
                model = LinkPredictor(entities, num_relations, KIND)
                trainer = Trainer(model, how)
            else:
                entities = tf.get_variable("entities", initializer=start.rows)
                relations = tf.get_variable("relations", initializer=start.relations)
                model = LinkPredictor(entities, num_relations, KIND, relations=relations)
                chosen = {entities: rows, relations: new_relations}
                chosen = {variable: each for variable, each in chosen.items() if each.count}
                trainer = Trainer(model, how, trainable_rows=chosen)
            session.run(tf.global_variables_initializer())
            random, started = np.random.RandomState(seed), time.process_time()
            for epoch in range(how.epochs):
                trainer.run_epoch(session, random.permutation(triples), epoch)
            seconds = time.process_time() - started
            trained = Model(*session.run([entities, model.relation_table]))
        if start is not None:
            for frozen, before, after in zip((~rows, ~new_relations), start, trained):
                if tf1_embed.fingerprint(before, frozen) != tf1_embed.fingerprint(after, frozen):
                    raise SystemExit(f"seed {seed}: frozen rows changed")
        return trained, seconds

    base, _ = train(old["train"], recipe)
    seen = np.unique(old["train"][:, 1])
    new_relations = ~tf1_embed.Rows.of(seen, size=num_relations)
    yield "before", measured(base, 0.0)
    named = new["train"][:, [0, 2]]
    for budget in [0.0, *options.budgets]:
        rows = tf1_embed.Rows.of([], size=num_entities)
        if budget:
            rows = tf1_embed.thaw_rows(named, num_entities, budget)
        elif options.later != "relations":
            continue
        about = np.isin(old["train"][:, [0, 2]], rows.ids()).any(axis=1)
        triples = np.concatenate([new["train"], old["train"][about]])
        name = f"thawed {budget:.0%}: {rows.count} rows" if budget else "frozen, new relations only"
        yield name, measured(*train(triples, short, base, rows))
    yield (
        "all rows trained on",
        measured(
            *train(
                splits["train"], short, base, tf1_embed.Rows.range(0, num_entities, num_entities)
            )
        ),
    )
    yield "retrained", measured(*train(splits["train"], recipe))


def part(options, splits, num_relations, seed):
    """Returns for each split which triples come later, bools."""
    random = np.random.RandomState(seed)
    if options.later == "facts":
        return {name: random.rand(len(each)) < options.share for name, each in splits.items()}
    if options.later == "relations":
        later = random.permutation(num_relations)[: max(1, int(options.share * num_relations))]
        return {name: np.isin(each[:, 1], later) for name, each in splits.items()}
    ids = np.unique(splits["train"][:, [0, 2]])
    about = random.permutation(ids)[: options.about]
    return {
        name: np.isin(each[:, [0, 2]], about).any(axis=1) & (random.rand(len(each)) < 0.8)
        for name, each in splits.items()
    }


def mrr(model, triples, known):
    """Returns the filtered mean reciprocal rank among all entities, of tails and heads."""
    heads, relations, tails = triples.T.tolist()
    right = [known["tail", head, relation] for head, relation in zip(heads, relations)]
    right += [known["head", tail, relation] for tail, relation in zip(tails, relations)]
    queries = np.concatenate(ask(KIND, *model, triples))
    nothing = np.zeros([0, model.rows.shape[1]], np.float32)
    found = tf1_embed.interference(queries, np.array(tails + heads), model.rows, nothing, right)
    return found.mrr_before


def parse_options(argv):
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", metavar="FOLDER", required=True)
    parser.add_argument("--later", choices=WAYS, default="facts", help="what comes later")
    parser.add_argument("--share", type=float, default=0.2, help="of the triples, or relations")
    parser.add_argument("--about", type=int, default=100, help="how many entities")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.01, 0.05, 0.2])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--thaw-epochs", type=int, default=10)
    parser.add_argument("--thaw-learning-rate", type=float, default=0.01)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
