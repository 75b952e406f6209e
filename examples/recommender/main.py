"""New items, or new users, of a recommender: folded in by closed form, against training them.

The base is a factorisation of the old rows' ratings. Then rows arrive with some ratings each, and
four ways give them values: nothing but the old rows' mean, the closed form, gradient descent on the
new rows alone, and a retraining of everything.
"""

import argparse
import os
import time
from collections import namedtuple

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.recommender.data import load, split
from examples.recommender.model import Factorisation, fit

Recipe = namedtuple("Recipe", "epochs batch_size learning_rate")

WAYS = {
    "mean": "The old rows' mean",
    "solved": "Closed form",
    "trained": "Best of six trainings, by test",
    "retrained": "Everything retrained",
}

# Held-out ratings: their mean squared error is then known to some 3 %.
ENOUGH = 2000

# Of the training of new rows; the best of them is chosen on the test, in its own favour.
TRAININGS = [Recipe(epochs, 256, rate) for epochs in (20, 60) for rate in (0.003, 0.01, 0.03)]


def main(argv=None):
    """Runs the example and returns a dict: RMSE and seconds by way, a list of one a seed."""
    options = parse_options(argv)
    result = {"rmse": {}, "seconds": {}, "old_rows_identical": True}
    for seed in range(options.seeds):
        growth = Growth(options, seed)
        growth.train_base()
        growth.keep_means()
        growth.solve()
        growth.train_new_rows()
        growth.retrain()
        for name in WAYS:
            result["rmse"].setdefault(name, []).append(growth.rmse[name])
        for name, seconds in growth.seconds.items():
            result["seconds"].setdefault(name, []).append(seconds)
        result["old_rows_identical"] &= growth.old_rows_identical
    print(as_text(result, options))
    return result


class Growth:
    """One growth, for one choice of new rows.

    Attributes:
      rmse, seconds: way -> number; the time is that of the process, once the graph is built.
      old_rows_identical: bool, whether every grown table has the old rows, bit for bit.
    """

    def __init__(self, options, seed):
        self._options, self._seed = options, seed
        self._ratings, self._split = split(load(options.data), options.what, options.new, seed)
        self._counts = {"users": int(self._ratings.users.max()) + 1}
        self._counts["items"] = int(self._ratings.items.max()) + 1
        self._counts[options.what] = self._split.num_rows
        self._mean = float(self._ratings.values[self._split.train].mean())
        self.rmse, self.seconds, self.old_rows_identical = {}, {}, True

    def train_base(self):
        """1. A model learns the old rows' ratings."""
        counts = {**self._counts, self._options.what: self._split.num_old}
        self._base = self._train_all(counts, self._split.train)

    def keep_means(self):
        """2. What knowing nothing of a new row is worth."""
        mean = self._base[self._options.what].mean(axis=0)
        rows = np.repeat(mean[np.newaxis], self._options.new, axis=0)
        self._measure("mean", rows, 0.0)

    def solve(self):
        """3. The new rows as the solution of a convex problem."""
        what, ratings = self._options.what, self._ratings
        # A graph that runs a few times is not worth optimising first.
        config = tf.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.Graph().as_default(), tf.Session(config=config) as session:
            tables = {name: tf.get_variable(name, initializer=self._base[name]) for name in COLUMNS}
            model = self._model(tables)
            session.run(tf.global_variables_initializer())
            vectors = model.item_vectors if what == "items" else model.user_vectors
            found = tf1_embed.row_queries(model.scores, vectors)
            started = time.process_time()

            def ask(chosen):
                feed = model.feed(ratings, chosen)
                ids = model.item_ids if what == "items" else model.user_ids
                # Any old row does: what is asked of a row does not depend on it.
                known = np.minimum(feed[ids], self._split.num_old - 1)
                return found.run(session, {**feed, ids: known})

            ids = getattr(ratings, what)
            # Held-out ratings say how far scores are from ratings that they were not trained on.
            background = tf1_embed.Background(self._base[what])
            held_out, facts = self._split.held_out[:ENOUGH], self._split.facts
            queries, offsets = ask(held_out)
            background.add(queries, ids[held_out], ratings.values[held_out], offsets)
            self.seconds["background"] = time.process_time() - started
            started = time.process_time()
            queries, offsets = ask(facts)
            rows = tf1_embed.solve_rows(
                queries,
                ids[facts],
                ratings.values[facts],
                background,
                loss="squared",
                prior="old",
                offsets=offsets,
                num_new_rows=self._options.new,
            )
            seconds = time.process_time() - started
        self._measure("solved", rows, seconds)

    def train_new_rows(self):
        """4. The new rows by gradient descent, six times, of which the best counts."""
        mean = self._base[self._options.what].mean(axis=0)
        rows = np.repeat(mean[np.newaxis], self._options.new, axis=0)
        tried = []
        for recipe in TRAININGS:
            self._measure("trained", rows, 0.0, recipe)
            tried.append((self.rmse["trained"], self.seconds["trained"]))
        self.rmse["trained"], self.seconds["trained"] = min(tried)

    def retrain(self):
        """5. Every row trained again, which changes every vector that anybody stored."""
        chosen = np.concatenate([self._split.train, self._split.facts])
        self._train_all(self._counts, chosen, "retrained")

    def _train_all(self, counts, chosen, way=None):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(self._seed)
            shapes = {name: [count, self._options.width + 1] for name, count in counts.items()}
            tables = {
                name: tf.get_variable(
                    name, shape, initializer=tf.random_normal_initializer(stddev=0.1)
                )
                for name, shape in shapes.items()
            }
            model = self._model(tables)
            rate = tf.placeholder(tf.float32, [])
            train_op = tf.train.AdamOptimizer(rate).minimize(model.loss)
            session.run(tf.global_variables_initializer())
            recipe = Recipe(self._options.epochs, 512, 0.01)
            started = time.process_time()
            fit(session, train_op, rate, model, self._ratings, chosen, recipe, self._seed)
            if way:
                self.seconds[way] = time.process_time() - started
                self.rmse[way] = model.rmse(session, self._ratings, self._split.test)
            return session.run(tables)

    def _measure(self, way, new_rows, seconds, recipe=None):
        """Grows the table by rows, trains them if a recipe says how, and tests them."""
        what = self._options.what
        (other,) = set(COLUMNS) - {what}
        with tf.Graph().as_default(), tf.Session() as session:
            grown = tf1_embed.get_grown_table(
                what,
                num_new_rows=self._options.new,
                old_rows=self._base[what],
                initializer=new_rows,
            )
            rest = tf.get_variable(other, initializer=self._base[other], trainable=False)
            model = self._model({what: grown, other: rest})
            rate = tf.placeholder(tf.float32, [])
            train_op = tf.train.AdamOptimizer(rate).minimize(model.loss)
            session.run(tf.global_variables_initializer())
            if recipe:
                started = time.process_time()
                facts = self._split.facts
                fit(session, train_op, rate, model, self._ratings, facts, recipe, self._seed)
                seconds = time.process_time() - started
            self.rmse[way] = model.rmse(session, self._ratings, self._split.test)
            self.seconds[way] = seconds
            same = tf1_embed.fingerprint(session.run(grown.frozen))
            self.old_rows_identical &= same == tf1_embed.fingerprint(self._base[what])

    def _model(self, tables):
        return Factorisation(tables["users"], tables["items"], self._mean, self._options.penalty)


COLUMNS = ("users", "items")


def as_text(result, options):
    """Returns the results as a table of plain text."""
    lines = [f"\n{options.new} new {options.what}, RMSE of their ratings{'':12}seconds"]
    for name, label in WAYS.items():
        each = " ".join(f"{rmse:.3f}" for rmse in result["rmse"][name])
        lines.append(f"{label:32}{each:18}{np.mean(result['seconds'][name]):9.2f}")
    background = np.mean(result["seconds"]["background"])
    lines.append(f"{'Background, once for all new rows':50}{background:9.2f}")
    same = "identical, bit for bit" if result["old_rows_identical"] else "CHANGED"
    return "\n".join([*lines, f"\nOld rows before and after: {same}"])


def parse_options(argv=None):
    """Parses the arguments, those of the process if `argv` is None."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.recommender",
        description=__doc__.split("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        required=True,
        default=argparse.SUPPRESS,
        help="recbole's wheel, or the ml-100k.inter that it holds",
    )
    parser.add_argument("--what", choices=COLUMNS, default="items", help="what arrives")
    parser.add_argument("--new", metavar="N", type=int, default=115, help="how many arrive")
    parser.add_argument("--seeds", metavar="N", type=int, default=3, help="how many choices")
    parser.add_argument("--width", metavar="N", type=int, default=16, help="of a row's vector")
    parser.add_argument("--epochs", metavar="N", type=int, default=20, help="of the base")
    parser.add_argument("--penalty", metavar="X", type=float, default=0.06, help="on long rows")
    options = parser.parse_args(argv)
    options.data = os.path.expanduser(options.data)
    return options
