"""Matrix factorisation in plain TensorFlow 1: rating = mean + biases + user · item.

A row of either table holds its vector and, last, its bias. Nothing here knows whether one of the
tables was grown.
"""

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed


class Factorisation:
    """Predicts ratings.

    Args:
      users, items: tables `[rows, width + 1]`: variables, or tables that tf1_embed has grown.
      mean: float, the mean rating.
      penalty: weight of the squared length of the rows of a rating in the loss.

    Attributes:
      user_ids, item_ids, ratings: placeholders `[batch]`.
      user_vectors, item_vectors: float32 `[batch, width + 1]`, the rows looked up.
      scores: float32 `[batch]`.
      loss: scalar, the mean over the batch.
    """

    def __init__(self, users, items, mean, penalty):
        self.user_ids = tf.placeholder(tf.int32, [None], "user")
        self.item_ids = tf.placeholder(tf.int32, [None], "item")
        self.ratings = tf.placeholder(tf.float32, [None], "rating")
        self.user_vectors = tf1_embed.embedding_lookup(users, self.user_ids)
        self.item_vectors = tf1_embed.embedding_lookup(items, self.item_ids)
        user, item = self.user_vectors, self.item_vectors
        self.scores = mean + user[:, -1] + item[:, -1]
        self.scores += tf.reduce_sum(user[:, :-1] * item[:, :-1], axis=1)
        lengths = tf.reduce_sum(tf.square(user) + tf.square(item), axis=1)
        error = tf.squared_difference(self.scores, self.ratings)
        self.loss = tf.reduce_mean(error + penalty * lengths)

    def feed(self, ratings, chosen):
        """Returns what a step on chosen ratings is fed with."""
        return {
            self.user_ids: ratings.users[chosen],
            self.item_ids: ratings.items[chosen],
            self.ratings: ratings.values[chosen],
        }

    def rmse(self, session, ratings, chosen):
        """Returns the root of the mean squared error on chosen ratings."""
        scores = session.run(self.scores, self.feed(ratings, chosen))
        scores = np.clip(scores, ratings.values.min(), ratings.values.max())
        return float(np.sqrt(np.mean((scores - ratings.values[chosen]) ** 2)))


def fit(session, train_op, learning_rate, model, ratings, chosen, recipe, seed=0):
    """Trains on chosen ratings, the learning rate falling to zero along a half cosine."""
    random = np.random.RandomState(seed)
    for epoch in range(recipe.epochs):
        rate = recipe.learning_rate * (1 + np.cos(np.pi * epoch / recipe.epochs)) / 2
        order = random.permutation(chosen)
        for start in range(0, len(order), recipe.batch_size):
            feed = model.feed(ratings, order[start : start + recipe.batch_size])
            session.run(train_op, {**feed, learning_rate: rate})
