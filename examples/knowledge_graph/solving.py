"""New entities' rows without training: solved from the frozen model (see docs/solving.md)."""

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.knowledge_graph.model import QUERIES

# Scores of TransE are not linear in a row.
LINEAR = ("complex", "distmult")


class FrozenModel:
    """What a trained model says of entities that it has not seen.

    Args:
      rows: float32 `[num_old, width]`, of the entities.
      relations: float32 `[num_relations, width]`.
      kind: one of `LINEAR`.
      triples: int `[triples, 3]`, those that it was trained on.

    Attributes:
      queries: float32 `[2 * triples, width]`, those for the tails, then those for the heads.
      background: `tf1_embed.Background` of the rows and the queries.
    """

    def __init__(self, rows, relations, kind, triples):
        self._rows, self._relations, self._kind = rows, relations, kind
        self.queries = np.concatenate(ask(kind, rows, relations, triples))
        self.background = tf1_embed.Background(rows, partitions=True)
        self.background.add(self.queries, np.concatenate([triples[:, 2], triples[:, 0]]))

    def solve(self, triples, num_new, share=1.0):
        """Solves the rows of new entities.

        Args:
          triples: int `[triples, 3]`, each with a new head or tail or both.
          num_new: int; they have the last ids.
          share: the share of the old queries that all rows are solved with together; 0 solves each
            row by itself, which is quicker where many are new.

        Returns:
          float32 `[num_new, width]`.
        """
        return self._solver(share).solve(**self._problem(triples, num_new, share))

    def solve_within(self, budget, held_out, triples, num_new):
        """Solves them such that old answers lose no more than a budget.

        Args:
          budget: the share of the old MRR that may be lost.
          held_out: int `[triples, 3]` of old entities, on which the weight of old queries is
            chosen.
          triples: as for `solve`.
          num_new: likewise.

        Returns:
          `(rows, weight, interference)`, as `tf1_embed.RowSolver.within` does.
        """
        queries = np.concatenate(ask(self._kind, self._rows, self._relations, held_out))
        ids = np.concatenate([held_out[:, 2], held_out[:, 0]])
        return self._solver(1.0).within(
            budget, queries, ids, **self._problem(triples, num_new, 1.0)
        )

    def _solver(self, share):
        # Rows that are solved one by one have a quadratic prior only.
        return tf1_embed.RowSolver(self.background, prior="cubed" if share else "zero")

    def _problem(self, triples, num_new, share):
        """Returns the arguments of `RowSolver.solve`."""
        nothing = np.zeros([num_new, self._rows.shape[1]], np.float32)
        between = (triples[:, [0, 2]] >= len(self._rows)).all(axis=1)
        queries, ids = self._facts(nothing, triples[~between])
        return {
            "queries": queries,
            "ids": ids,
            "num_new_rows": num_new,
            "between": lambda rows: self._facts(rows, triples[between]),
            "old_queries": self.queries if share else None,
            "share": share or 1.0,
        }

    def _facts(self, new_rows, triples):
        """Returns the queries that new entities answer, and which entity answers each."""
        rows = np.concatenate([self._rows, new_rows])
        tail_queries, head_queries = ask(self._kind, rows, self._relations, triples)
        heads, _, tails = triples.T
        new_tail, new_head = tails >= len(self._rows), heads >= len(self._rows)
        return (
            np.concatenate([tail_queries[new_tail], head_queries[new_head]]),
            np.concatenate([tails[new_tail], heads[new_head]]),
        )


def ask(kind, rows, relations, triples):
    """Returns the queries of triples, float32 `[triples, width]`: for the tails, for the heads."""
    heads, names, tails = triples.T
    with tf.Graph().as_default(), tf.Session() as session:
        vectors = [tf.placeholder(tf.float32, [None, rows.shape[1]]) for _ in range(3)]
        values = rows[heads], relations[names], rows[tails]
        return session.run(QUERIES[kind](*vectors), dict(zip(vectors, values)))
