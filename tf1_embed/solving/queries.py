"""What a model asks of a row, read off its graph: the gradient of a score by the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.graph.graph_mode import check_graph_mode

# How far a score may be from what its query says, in parts of the largest score.
_TOLERANCE = 1e-3


def row_queries(scores: Any, vectors: Any) -> RowQueries | tuple[np.ndarray, np.ndarray]:
    """Finds the queries of a model whose scores are linear in a looked-up row.

    The model is taken as it is: `score = query · vector + offset`, where the query is what
    `tf.gradients` says and the offset what remains. Without a graph, `scores` is a function of an
    array `[batch, dim]` that returns an array `[batch]`, and `vectors` is such an array.

    Args:
      scores: float `tf.Tensor` `[batch]`, each of which depends on the vector at its place alone;
        or `[batch, candidates]`, several for each vector, their number static.
      vectors: float `tf.Tensor` `[batch, dim]`, the rows that the model looked up, as the scores
        are computed from them; of the same shape as the scores, and one axis more, where each
        score has a vector of its own.

    Returns:
      `RowQueries`; for a function, what `RowQueries.run` returns.

    Raises:
      RuntimeError: in eager mode.
      ValueError: if the shapes do not fit, or the scores do not depend on the vectors; for a
        function, also if it is not linear.

    Example:
      >>> import tf1_embed
      >>> with tf.Graph().as_default(), tf.Session() as session:
      ...     items = tf.constant([[1.0, 2.0], [3.0, 4.0]])
      ...     vectors = tf.nn.embedding_lookup(items, [1, 1])
      ...     users = tf.constant([[1.0, 0.0], [0.5, 0.5]])
      ...     scores = tf.reduce_sum(users * vectors, axis=1) + 0.25
      ...     queries, offsets = tf1_embed.row_queries(scores, vectors).run(session)
      >>> queries.tolist(), offsets.tolist()
      ([[1.0, 0.0], [0.5, 0.5]], [0.25, 0.25])
    """
    if callable(scores):
        return _of_function(scores, np.asarray(vectors, np.float64))
    check_graph_mode("row_queries")
    scores, vectors = tf.convert_to_tensor(scores), tf.convert_to_tensor(vectors)
    for name, tensor in (("scores", scores), ("vectors", vectors)):
        if not tensor.dtype.is_floating or tensor.shape.ndims is None:
            raise ValueError(
                f"`{name}` must be floats of known rank, got {tensor.dtype.name} of shape "
                f"{tensor.shape}"
            )
    several = scores.shape.ndims == vectors.shape.ndims == 2
    if not several and scores.shape.ndims != vectors.shape.ndims - 1:
        raise ValueError(
            f"`scores` must be of shape [batch] or [batch, candidates] for `vectors` [batch, dim]; "
            f"got scores of shape {scores.shape} and vectors of shape {vectors.shape}"
        )
    if several and scores.shape.as_list()[1] is None:
        raise ValueError(
            "`scores` must have a static number of candidates: give those of one candidate at a "
            f"time, scores[:, i]; got shape {scores.shape}"
        )
    with tf.name_scope("row_queries"):
        if several:
            parts = [_gradient(each, vectors) for each in tf.unstack(scores, axis=1)]
            queries, seen = tf.stack(parts, axis=1), tf.expand_dims(vectors, 1)
        else:
            queries, seen = _gradient(scores, vectors), vectors
        offsets = scores - tf.reduce_sum(queries * seen, axis=-1)
    return RowQueries(queries, offsets, scores, vectors)


class RowQueries:
    """Queries and offsets, in a graph.

    Attributes:
      queries: `tf.Tensor` `[batch, dim]`, or `[batch, candidates, dim]`.
      offsets: `tf.Tensor` `[batch]`, or `[batch, candidates]`.
    """

    queries: tf.Tensor
    offsets: tf.Tensor

    def __init__(
        self, queries: tf.Tensor, offsets: tf.Tensor, scores: tf.Tensor, vectors: tf.Tensor
    ) -> None:
        """Takes what `row_queries` found."""
        self.queries, self.offsets = queries, offsets
        self._scores, self._vectors = scores, vectors

    def run(
        self, session: tf.Session, feed_dict: dict | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns queries and offsets as arrays, once they are seen to say what the scores are.

        The scores are computed a second time with other vectors in the place of those looked up,
        which no variable sees.

        Args:
          session: `tf.Session`, or a session that has one's `run`.
          feed_dict: dict, what the scores need.

        Returns:
          floats `[batch, dim]` and `[batch]`, as `solve_rows` and `Background.add` take them.

        Raises:
          ValueError: if the scores are not linear in the vectors, or depend on those of other
            places of the batch, or are not the same twice (dropout); squared distances are named.
        """
        feed = dict(feed_dict or {})
        vectors, queries, offsets = session.run(
            [self._vectors, self.queries, self.offsets], feed_dict=feed
        )
        other = _other(vectors)
        feed[self._vectors] = other
        scores, other_queries = session.run([self._scores, self.queries], feed_dict=feed)
        _check_linear(vectors, other, queries, other_queries, offsets, scores)
        return queries, offsets


def _gradient(scores, vectors):
    (gradient,) = tf.gradients(scores, [vectors])
    if gradient is None:
        raise ValueError(
            f"`scores` ({scores.name}) do not depend on `vectors` ({vectors.name}): give the very "
            f"tensor that the model computes them from"
        )
    # Slices, where the model gathers from the vectors once more.
    return tf.convert_to_tensor(gradient)


def _other(vectors):
    """Returns vectors unlike these, about as long."""
    size = np.sqrt(np.mean(np.square(vectors))) if vectors.size else 0.0
    draw = np.random.RandomState(0).standard_normal(vectors.shape)
    return (vectors + (size or 1.0) * draw).astype(vectors.dtype)


def _check_linear(vectors, other, queries, other_queries, offsets, scores):
    if queries.ndim > vectors.ndim:
        vectors, other = vectors[:, np.newaxis], other[:, np.newaxis]
    expected = (queries * other).sum(axis=-1) + offsets
    scale = max(np.abs(scores).max(), np.abs(expected).max()) if scores.size else 0.0
    if (np.abs(scores - expected) <= _TOLERANCE * scale).all():
        return
    moved, bent = np.broadcast_to(other - vectors, queries.shape), other_queries - queries
    factor = (bent * moved).sum() / (moved**2).sum()
    of_distance = expected + 0.5 * factor * (moved**2).sum(axis=-1)
    if (np.abs(scores - of_distance) <= _TOLERANCE * scale).all():
        raise ValueError(
            f"the scores are squared distances (TransE and the like): quadratic in `vectors`, with "
            f"{factor / 2:.3g} times the square of their length. Such rows are not solved; train "
            f"them"
        )
    raise ValueError(
        "the scores are not linear in `vectors`: other vectors gave scores that their queries do "
        "not say. Give scores before any activation, softmax or loss, each of one vector of the "
        "batch, from a graph without dropout; where the model has no such scores, train the rows"
    )


def _of_function(function, vectors):
    if vectors.ndim != 2:
        raise ValueError(f"`vectors` must be of shape [batch, dim], got {list(vectors.shape)}")
    offsets = np.asarray(function(np.zeros_like(vectors)), np.float64)
    if offsets.shape != (len(vectors),):
        raise ValueError(
            f"`scores` must return an array of shape [{len(vectors)}], got {list(offsets.shape)}"
        )

    def queries_at(point):
        # Exact for linear functions, and for quadratic ones.
        units = np.eye(vectors.shape[1])
        columns = [(function(point + unit) - function(point - unit)) / 2 for unit in units]
        return np.stack(columns, axis=1)

    queries, other = queries_at(np.zeros_like(vectors)), _other(vectors)
    _check_linear(
        np.zeros_like(vectors), other, queries, queries_at(other), offsets, function(other)
    )
    return queries, offsets
