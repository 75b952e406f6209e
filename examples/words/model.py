"""Vectors of synsets that say which words explain them, and a layer that reads hypernyms off them.

Plain TensorFlow 1, in the two steps of paragraph vectors (Le and Mikolov, "Distributed
Representations of Sentences and Documents", ICML 2014): rows learn to tell words of their glosses
from other words,

    score of a word = word's vector · row + word's bias,    a logistic loss

and the layer above learns, from rows as they are, which synset is above each. Nothing here knows
whether the table of synsets was grown.
"""

from collections import namedtuple

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed

# Words that are not in a gloss, for each word that is.
NEGATIVES = 5

# rows, words: ints [facts]. targets: float32 [facts], 1 for a word of the gloss, 0 for another.
Facts = namedtuple("Facts", "rows words targets")


class Glosses:
    """Which words explain a synset.

    Args:
      synsets: table `[synsets, width]`: a variable, or a table that tf1_embed has grown.
      words: variable `[words, width + 1]`, the bias last.

    Attributes:
      rows, words, targets: placeholders `[facts]`.
      vectors: float32 `[facts, width]`, the rows looked up.
      scores: float32 `[facts]`.
      loss: scalar, summed over the facts.
    """

    def __init__(self, synsets, words):
        self.rows = tf.placeholder(tf.int32, [None], "rows")
        self.words = tf.placeholder(tf.int32, [None], "words")
        self.targets = tf.placeholder(tf.float32, [None], "targets")
        self.vectors = tf1_embed.embedding_lookup(synsets, self.rows)
        word = tf.nn.embedding_lookup(words, self.words)
        self.scores = tf.reduce_sum(self.vectors * word[:, :-1], axis=1) + word[:, -1]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=self.targets, logits=self.scores)
        self.loss = tf.reduce_sum(losses)

    def feed(self, facts):
        """Returns what a step on facts is fed with."""
        return {self.rows: facts.rows, self.words: facts.words, self.targets: facts.targets}


class Hypernyms:
    """Which synset is above a synset.

    Args:
      synsets: table `[synsets, width]`, of which nothing is trained here.
      layer: variable `[hypernyms, width + 1]`, the bias last.

    Attributes:
      rows, answers: placeholders `[batch]`.
      loss: scalar. ranks: `[batch]`, of the right answers among all hypernyms, 1 for the best.
    """

    def __init__(self, synsets, layer):
        self.rows = tf.placeholder(tf.int32, [None], "asked_rows")
        self.answers = tf.placeholder(tf.int32, [None], "answers")
        vectors = tf.stop_gradient(tf1_embed.embedding_lookup(synsets, self.rows))
        logits = tf.matmul(vectors, layer[:, :-1], transpose_b=True) + layer[:, -1]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=self.answers, logits=logits)
        self.loss = tf.reduce_mean(losses)
        places = tf.stack([tf.range(tf.shape(self.answers)[0]), self.answers], axis=1)
        own = tf.gather_nd(logits, places)[:, tf.newaxis]
        # Where scores are equal, the middle of their ranks counts.
        greater = tf.reduce_sum(tf.cast(logits > own, tf.float32), axis=1)
        equal = tf.reduce_sum(tf.cast(tf.equal(logits, own), tf.float32), axis=1)
        self.ranks = 1.0 + greater + (equal - 1.0) / 2.0

    def mrr(self, session, rows, answers):
        """Returns the mean reciprocal rank of the right answers."""
        ranks = [
            session.run(self.ranks, {self.rows: rows[at], self.answers: answers[at]})
            for at in batches(np.arange(len(rows)), 512)
        ]
        return float(np.mean(1 / np.concatenate(ranks)))


def facts_of(rows, bags, random):
    """Returns the words of rows, each with words drawn from all glosses, as `Facts`."""
    places, columns = np.nonzero(bags[rows] >= 0)
    words = bags[rows][places, columns]
    # More of the rare words than there are: to the power of 3/4, as word2vec does.
    counts = np.bincount(bags[bags >= 0]) ** 0.75
    others = random.choice(len(counts), len(words) * NEGATIVES, p=counts / counts.sum())
    return Facts(
        np.concatenate([rows[places], np.repeat(rows[places], NEGATIVES)]).astype(np.int32),
        np.concatenate([words, others]).astype(np.int32),
        np.concatenate([np.ones(len(words)), np.zeros(len(others))]).astype(np.float32),
    )


def fit_rows(session, train_op, model, rows, bags, epochs, batch_size, random):
    """Trains on the words of rows; other words are drawn anew in every epoch."""
    for _ in range(epochs):
        facts = facts_of(rows, bags, random)
        for at in batches(random.permutation(len(facts.rows)), batch_size):
            session.run(train_op, model.feed(Facts(*(each[at] for each in facts))))


def batches(order, batch_size):
    """Returns the parts of an array, of `batch_size` each but for the last."""
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
