"""Training by gradient descent over epochs, timed, with a validation curve."""

import time
from collections import namedtuple

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.knowledge_graph.progress import progress

Recipe = namedtuple("Recipe", "epochs batch_size learning_rate dropout")

# loss: one a epoch. epochs, seconds, mrr: where validation looked, and what it saw.
Curve = namedtuple("Curve", "loss epochs seconds mrr")


class Trainer:
    """Minimises a model's loss with Adam, the learning rate falling to zero along a half cosine.

    Args:
      model: a `LinkPredictor`.
      recipe: a `Recipe`, the same for a whole training and for a growth.
      var_list: the variables to train; those of the graph that are trainable, if not given.
      old_answers: an `OldAnswers`, whose loss is added to the model's; none, if not given.
      trainable_rows: dict from variable to the `tf1_embed.Rows` of it that train, and no other
        variable; no row is frozen, if not given.
    """

    def __init__(self, model, recipe, var_list=None, old_answers=None, trainable_rows=None):
        self._model = model
        self._recipe = recipe
        self._old_answers = old_answers
        self._loss = model.loss + old_answers.loss if old_answers else model.loss
        self._learning_rate = tf.placeholder(tf.float32, [], "learning_rate")
        optimizer = tf.train.AdamOptimizer(self._learning_rate)
        if trainable_rows is not None:
            optimizer = tf1_embed.TrainableRowsOptimizer(optimizer, trainable_rows, others="frozen")
        self.train_op = optimizer.minimize(self._loss, var_list=var_list)

    def run(self, session, triples, validate, seed, description):
        """Trains on triples `[triples, 3]`.

        Args:
          validate: called about ten times, returns a validation MRR. Its time does not count.
          seed: of the order of the triples.
          description: what the progress bar says.

        Returns:
          A `Curve`; `seconds[-1]` is what the training took.
        """
        random = np.random.RandomState(seed)
        curve = Curve(loss=[], epochs=[0], seconds=[0.0], mrr=[validate()])
        seconds = 0.0
        epochs = self._recipe.epochs
        for epoch in progress(range(epochs), description, unit="epoch"):
            started = time.perf_counter()
            curve.loss.append(self.run_epoch(session, random.permutation(triples), epoch))
            seconds += time.perf_counter() - started
            if (epoch + 1) % max(1, epochs // 10) == 0 or epoch + 1 == epochs:
                curve.epochs.append(epoch + 1)
                curve.seconds.append(seconds)
                curve.mrr.append(validate())
        return curve

    def run_epoch(self, session, triples, epoch):
        """Takes one step for each batch of triples; returns the mean loss."""
        model, recipe = self._model, self._recipe
        decay = (1 + np.cos(np.pi * epoch / recipe.epochs)) / 2
        total = 0.0
        for start in range(0, len(triples), recipe.batch_size):
            batch = triples[start : start + recipe.batch_size]
            loss, _ = session.run(
                [self._loss, self.train_op],
                {
                    **(self._old_answers.feed() if self._old_answers else {}),
                    model.heads: batch[:, 0],
                    model.relations: batch[:, 1],
                    model.tails: batch[:, 2],
                    model.dropout: recipe.dropout,
                    self._learning_rate: recipe.learning_rate * decay,
                },
            )
            total += loss * len(batch)
        return total / len(triples)
