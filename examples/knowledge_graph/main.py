"""New entities arrive in a knowledge graph: grow its trained table by new rows, keep the old ones.

`Growth` has the five steps, in order, each in a TensorFlow graph of its own.
"""

import os
import time

import tensorflow.compat.v1 as tf

import tf1_embed
from examples.knowledge_graph import data, report
from examples.knowledge_graph.evaluation import evaluate, quality_of, rank_answers
from examples.knowledge_graph.model import LinkPredictor, initializer
from examples.knowledge_graph.options import parse_options
from examples.knowledge_graph.solving import FrozenModel
from examples.knowledge_graph.training import Recipe, Trainer
from tf1_embed.solving.old_answers import OldAnswers

# How the report calls what new rows know before they train.
_NAMES = {
    "new_trained_before_training": "new_random",
    "new_trained_before_training_solved": "new_solved",
    "old_after_all_candidates_before_training_solved": "old_after_all_candidates_solved",
    "new_trained_solved": "new_polished",
    "old_after_all_candidates_solved": "old_after_all_candidates_polished",
}


def main(argv=None):
    """Runs the example and returns what it wrote to report.json, a dict."""
    options = parse_options(argv)
    dataset = data.load(options.data)
    runs = []
    for seed in range(options.seed, options.seed + options.seeds):
        growth = Growth(dataset, options, seed)
        growth.train_base()
        growth.train_new_rows()
        if options.solve:
            growth.solve_new_rows()
        growth.retrain()
        growth.prove()
        growth.merge()
        runs.append(growth)
    summary = report.summarize(runs, options)
    print(report.as_text(summary))
    print(f"\nCertificate of the old rows, {runs[0].certificate}:")
    with open(runs[0].certificate, encoding="utf-8") as file:
        print(file.read())
    print(f"Wrote {', '.join(report.write(summary, runs, options))}")
    return summary


class Growth:
    """One growth of the table, for one choice of new entities, and what it is compared with.

    Attributes:
      seed: int.
      graph: the `data.KnowledgeGraph`, in which the new entities have the last ids.
      num_old: how many entities are old.
      quality: name of a measurement -> `evaluation.Quality`.
      ranks: the same -> float64 `[answers]`.
      curves: name of a training -> `training.Curve`.
      old_weight: how much old queries count against new facts, when rows are solved.
      seconds: name of what is no training -> how long it took.
      rows: name of a moment, such as "grown_from" with random new rows -> `[entities, width]`.
      fingerprints: name of a checkpoint, or "certificate" -> fingerprint of the old rows in it.
      certificate: path of the certificate that the growth left.
    """

    def __init__(self, dataset, options, seed):
        self.seed = seed
        self.graph = data.put_new_entities_last(dataset, options.new_entities, seed)
        self.num_old = len(self.graph.entities) - options.new_entities
        self.quality, self.curves, self.rows, self.fingerprints = {}, {}, {}, {}
        self.ranks, self.seconds, self.old_weight = {}, {}, 1.0
        self._options = options
        self._folder = os.path.join(options.out, f"seed_{seed}")
        os.makedirs(self._folder, exist_ok=True)
        self.certificate = f"{self._checkpoint('grown')}.rows.json"
        self._known = self.graph.known()
        self._recipe = Recipe(
            options.epochs, options.batch_size, options.learning_rate, options.dropout
        )
        self._suffix = "_solved" if options.solve else ""
        self._train, self._valid, self._test = (
            data.divide(split, self.num_old)
            for split in (self.graph.train, self.graph.valid, self.graph.test)
        )

    def train_base(self):
        """1. A model learns the old entities and is saved, as any TensorFlow 1 model is."""
        self.rows["base"] = self._train_from_scratch(
            "base", self.num_old, self._train.old, self._valid.old, {"old_before": self._test.old}
        )

    def train_new_rows(self):
        """2. New entities arrive: the table grows, and only its new rows train.

        They begin at random and train on the triples that mention a new entity. Nobody tells them
        where they are wrong answers.
        """
        self._grow("", initializer(), self._recipe)

    def solve_new_rows(self):
        """2, another way: the new rows are solved, then train with old answers in view."""
        started = time.perf_counter()
        base = tf.train.load_checkpoint(self._checkpoint("base"))
        frozen = FrozenModel(
            base.get_tensor("entities"),
            base.get_tensor("relations"),
            self._options.model,
            self._train.old,
        )
        facts = self._train.new, self._options.new_entities
        if self._options.budget is None:
            rows = frozen.solve(*facts)
        else:
            try:
                rows, self.old_weight, _ = frozen.solve_within(
                    self._options.budget, self._valid.old, *facts
                )
            except ValueError as error:
                raise SystemExit(f"--budget {self._options.budget}: {error}") from error
        self.seconds["solving"] = time.perf_counter() - started
        recipe = self._recipe._replace(
            epochs=self._options.polish_epochs, learning_rate=self._options.polish_learning_rate
        )
        self._grow("_solved", rows, recipe, frozen)

    def _grow(self, suffix, new_rows, recipe, frozen=None):
        with tf.Graph().as_default():
            tf.set_random_seed(self.seed)
            entities = tf1_embed.get_grown_table(
                "entities",
                num_new_rows=self._options.new_entities,
                checkpoint=self._checkpoint("base"),
                initializer=new_rows,
            )
            model = self._model(entities, penalty=self._options.new_row_penalty)
            old_answers = frozen and OldAnswers(
                entities.trainable,
                frozen.background,
                frozen.queries,
                num_facts=len(self._train.new),
                batch_size=self._options.batch_size,
                seed=self.seed,
                weight=self.old_weight,
            )
            # Without `var_list` the relations would train too: they are an ordinary variable.
            trainer = Trainer(model, recipe, [entities.trainable], old_answers)
            entities.check_train_op(trainer.train_op)
            saver = tf.train.Saver()
            relations_saver = tf.train.Saver([model.relation_table])
            whole_table = entities.read()
            # The old rows are those of the base model, and stay so, or training stops.
            hook = tf1_embed.FrozenRowsHook(
                entities,
                expected=self._checkpoint("base"),
                certificate=self._checkpoint(f"grown{suffix}"),
            )
            scaffold = tf.train.Scaffold(
                saver=saver,
                init_fn=lambda _, session: relations_saver.restore(
                    session, self._checkpoint("base")
                ),
            )
            with tf.train.SingularMonitoredSession([hook], scaffold) as session:
                entities.check_restored(session)
                self.rows[f"grown_from{suffix}"] = session.run(whole_table)
                self._measure_growth(session, model, f"_before_training{suffix}")
                self._fit(
                    session,
                    trainer,
                    model,
                    f"growth{suffix}",
                    self._train.new,
                    self._valid.new,
                )
                self.rows[f"grown{suffix}"] = session.run(whole_table)
                self._measure_growth(session, model, suffix)
                saver.save(session.raw_session(), self._checkpoint(f"grown{suffix}"))

    def _measure_growth(self, session, model, suffix):
        """Measures what new rows know, and what old answers lose to them."""
        for name, triples, num_candidates in (
            ("new_trained", self._test.new, None),
            ("old_after_old_candidates", self._test.old, self.num_old),
            ("old_after_all_candidates", self._test.old, None),
        ):
            name = _NAMES.get(f"{name}{suffix}", f"{name}{suffix}")
            if name in report.MEASUREMENTS:
                self._measure(session, model, name, triples, num_candidates)

    def retrain(self):
        """3. What the growth is compared with: every row trained again, from scratch."""
        self.rows["retrained"] = self._train_from_scratch(
            "retrain",
            len(self.graph.entities),
            self.graph.train,
            self._valid.new,
            {"new_retrained": self._test.new, "old_retrained": self._test.old},
        )

    def prove(self):
        """4. The old rows, before, in training and after: the same, bit for bit?"""
        for name in ("base", "grown", f"grown{self._suffix}"):
            self.fingerprints[name] = self._fingerprint(name)
        certificates = tf1_embed.read_certificates(self.certificate)
        self.fingerprints["certificate"] = certificates["entities"].digest

    def merge(self):
        """5. One table under its old name, which the model of step 1 opens, with more rows."""
        tf1_embed.merge_checkpoint(
            self._checkpoint(f"grown{self._suffix}"),
            tables=["entities"],
            out=self._checkpoint("merged"),
            force=True,  # of an earlier run
        )
        self.fingerprints["merged"] = self._fingerprint("merged")
        with tf.Graph().as_default(), tf.Session() as session:
            model = self._model(self._plain_table(len(self.graph.entities)))
            saver = tf.train.Saver()
            tf.get_default_graph().finalize()
            saver.restore(session, self._checkpoint("merged"))
            self._measure(session, model, "merged", self._test.new)

    def _train_from_scratch(self, name, num_entities, triples, valid, tests):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(self.seed)
            entities = self._plain_table(num_entities)
            model = self._model(entities)
            trainer = Trainer(model, self._recipe)
            saver = tf.train.Saver()
            session.run(tf.global_variables_initializer())
            tf.get_default_graph().finalize()
            self._fit(session, trainer, model, name, triples, valid)
            for measurement, test in tests.items():
                self._measure(session, model, measurement, test)
            saver.save(session, self._checkpoint(name))
            return session.run(entities)

    def _plain_table(self, num_entities):
        return tf.get_variable(
            "entities", [num_entities, self._options.width], initializer=initializer()
        )

    def _model(self, entities, penalty=0.0):
        return LinkPredictor(entities, len(self.graph.relations), self._options.model, penalty)

    def _fit(self, session, trainer, model, name, triples, valid):
        self.curves[name] = trainer.run(
            session,
            triples,
            lambda: evaluate(session, model, valid, self._known).mrr,
            self.seed,
            f"Seed {self.seed}, training {name}",
        )

    def _measure(self, session, model, name, triples, num_candidates=None):
        self.ranks[name] = rank_answers(
            session,
            model,
            triples,
            self._known,
            num_candidates,
            f"Seed {self.seed}, testing {name}",
        )
        self.quality[name] = quality_of(self.ranks[name])

    def _checkpoint(self, name):
        return os.path.join(self._folder, f"{name}.ckpt")

    def _fingerprint(self, name):
        old = tf1_embed.Rows.range(0, self.num_old, size=self.num_old)
        return tf1_embed.fingerprint_checkpoint(self._checkpoint(name), "entities", old)
