"""Training new rows with old answers in view, at a cost that old rows have no part in."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.graph.graph_mode import check_graph_mode


class OldAnswers:
    """What a softmax model loses on old queries by its new rows, as a part of their loss.

    Trained on new facts alone, new rows of a softmax model learn to score high, and nobody tells
    them to score low where old rows are right. Training on all old triples again tells them, at the
    cost of a score for every pair of query and row. But the old rows are frozen: the partition Z
    over them is a constant of each query, and what an old query loses is

        log(Z + sum of exp(query · new row)) - log Z

    which takes new rows alone. The gradient by the new rows is that of the full softmax.

    Attributes:
      loss: scalar float32 `tf.Tensor`, to be added to the mean loss of the new facts. It is scaled
        so that minimising the sum is minimising the sum over all facts and all old queries.

    Example:
      >>> random = np.random.RandomState(0)
      >>> old_rows, queries = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
      >>> import tf1_embed
      >>> background = tf1_embed.Background(old_rows, partitions=True)
      >>> background.add(queries, [0, 1, 2])
      >>> with tf.Graph().as_default(), tf.Session() as session:
      ...     new_rows = tf.get_variable("new", initializer=np.ones([2, 3], np.float32))
      ...     old = OldAnswers(new_rows, background, queries, num_facts=3)
      ...     train_op = tf.train.AdamOptimizer(0.1).minimize(old.loss)
      ...     session.run(tf.global_variables_initializer())
      ...     for _ in range(100):
      ...         _ = session.run(train_op, feed_dict=old.feed())
      ...     bool(session.run(new_rows).max() < 0)
      True
    """

    loss: tf.Tensor

    def __init__(
        self,
        new_rows: Any,
        background: Any,
        queries: Any,
        num_facts: int,
        batch_size: int = 512,
        share: float = 1.0,
        seed: int = 0,
        weight: float = 1.0,
    ) -> None:
        """Takes the new rows and the old queries.

        Args:
          new_rows: float `tf.Variable` or `tf.Tensor` `[num_new_rows, dim]`, such as
            `table.trainable`.
          background: `tf1_embed.Background` with partitions.
          queries: floats `[num_queries, dim]`, the old queries that it was made of, in their order;
            a memory map will do.
          num_facts: how many scores of new facts an epoch has, of whose loss the mean is taken.
          batch_size: how many old queries a step looks at.
          share: the share of the old queries that is looked at at all, each with the weight
            1 / share.
          seed: int, chooses these, and their order.
          weight: how much old queries count against the new facts; `RowSolver.within` chooses it
            from what old answers may lose.

        Raises:
          RuntimeError: in eager mode.
          ValueError: if the background has no partitions, or not of these queries; if a number is
            out of range.
        """
        check_graph_mode("OldAnswers")
        partitions = background.log_partitions
        if partitions is None:
            raise ValueError(
                "`background` must have the partitions of its queries: make it with "
                "Background(old_rows, partitions=True)"
            )
        if tuple(np.shape(queries)) != (len(partitions), background.dim):
            raise ValueError(
                f"`queries` must be the {len(partitions)} that the background was made of, of "
                f"width {background.dim}; got shape {list(np.shape(queries))}"
            )
        if num_facts < 1 or batch_size < 1 or not 0 < share <= 1:
            raise ValueError(
                f"`num_facts` and `batch_size` must be 1 or more, and `share` in (0, 1]; got "
                f"{num_facts}, {batch_size} and {share}"
            )
        if not 0 <= weight < np.inf:
            raise ValueError(f"`weight` must be 0 or more, got {weight}")
        self._queries, self._partitions, self._batch_size = queries, partitions, batch_size
        self._random = np.random.RandomState(seed)
        count = int(np.ceil(share * len(partitions)))
        self._chosen = self._random.permutation(len(partitions))[:count]
        self._next = 0
        with tf.name_scope("old_answers"):
            self._fed_queries = tf.placeholder(tf.float32, [None, background.dim], "queries")
            self._fed_partitions = tf.placeholder(tf.float32, [None], "log_partitions")
            rows = tf.cast(tf.convert_to_tensor(new_rows), tf.float32)
            scores = tf.matmul(self._fed_queries, rows, transpose_b=True)
            above = tf.reduce_logsumexp(scores, axis=1) - self._fed_partitions
            scale = weight * len(partitions) / num_facts
            self.loss = scale * tf.reduce_mean(tf.nn.softplus(above), name="loss")

    def feed(self) -> dict:
        """Returns what the next step is to be fed with: another batch of old queries.

        Each of them comes once before any comes twice.
        """
        if self._next >= len(self._chosen):
            self._random.shuffle(self._chosen)
            self._next = 0
        batch = self._chosen[self._next : self._next + self._batch_size]
        self._next += self._batch_size
        return {
            self._fed_queries: np.asarray(self._queries[batch], np.float32),
            self._fed_partitions: self._partitions[batch],
        }
