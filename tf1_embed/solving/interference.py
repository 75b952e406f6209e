"""How much right old answers lose to new rows, although no old row moved."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from tf1_embed.solving.facts import CHUNK_SCORES, check_facts


def interference(
    queries: Any,
    ids: Any,
    old_rows: Any,
    new_rows: Any,
    also_right: Sequence[Any] | None = None,
) -> Interference:
    """Ranks the right answers of old queries without new rows and with them, query by query.

    A right answer that scores the same as k others stands in the middle of them.

    Args:
      queries: floats `[num_queries, dim]`, an array or a memory map; best such as no row was
        trained on.
      ids: ints `[num_queries]`, the old row that is the right answer to each.
      old_rows: floats `[num_old_rows, dim]`.
      new_rows: floats `[num_new_rows, dim]`.
      also_right: for each query the ids of all rows, old or new, that are right answers too, which
        are no rivals then.

    Returns:
      `Interference`.

    Raises:
      ValueError: if shapes do not fit, numbers are not finite, or an id is not an old row's.

    Example:
      >>> old_rows, new_rows = np.array([[2.0], [1.0]]), np.array([[3.0]])
      >>> found = interference([[1.0], [-1.0]], [0, 1], old_rows, new_rows)
      >>> found.ranks_before, found.ranks_after
      (array([1., 1.]), array([2., 1.]))
      >>> found.lost, found.displaced, found.rank_change
      (0.25, 0.5, 1.0)
    """
    if not hasattr(old_rows, "dtype"):
        old_rows = np.asarray(old_rows, np.float64)
    num_old, dim = old_rows.shape
    queries, ids, _, _ = check_facts(dim, queries, ids, None, None)
    if ids.size and not 0 <= ids.min() <= ids.max() < num_old:
        raise ValueError(
            f"`ids` must be those of old rows, in [0, {num_old}); got {ids.min()} to {ids.max()}"
        )
    if np.ndim(new_rows) != 2 or np.shape(new_rows)[1] != dim:
        raise ValueError(
            f"`new_rows` must be of shape [num_new_rows, {dim}], got {list(np.shape(new_rows))}"
        )
    if not np.isfinite(new_rows).all():
        raise ValueError("`new_rows` hold NaN or infinity")
    if also_right is not None and len(also_right) != len(ids):
        raise ValueError(
            f"`also_right` must have ids for each of {len(ids)} queries, got {len(also_right)}"
        )
    return Interference(*ranks(queries, ids, (old_rows, np.asarray(new_rows)), also_right))


def ranks(
    queries: np.ndarray,
    ids: np.ndarray,
    tables: Sequence[Any],
    also_right: Sequence[Any] | None = None,
) -> np.ndarray:
    """Ranks the right answer to each query, 1 the best, among more and more rows.

    Args:
      queries: floats `[num_queries, dim]`.
      ids: ints `[num_queries]`, the right answers; ids go on from table to table.
      tables: floats `[num_rows, dim]` each.
      also_right: as for `interference`.

    Returns:
      float64 `[len(tables), num_queries]`, the ranks among the rows of the first table, of the
      first two, and so on.
    """
    found = np.ones((len(tables), len(ids)))
    ends = np.cumsum([len(table) for table in tables])
    step = max(1, CHUNK_SCORES // ends[-1])
    for start in range(0, len(ids), step):
        part = slice(start, start + step)
        some = queries[part].astype(tables[0].dtype)
        scores = np.concatenate([some @ table.T for table in tables], axis=1)
        right = scores[np.arange(len(some)), ids[part]][:, np.newaxis].copy()
        # The answer is never its own rival.
        scores[np.arange(len(some)), ids[part]] = -np.inf
        if also_right is not None:
            for number, others in enumerate(also_right[part]):
                scores[number, others] = -np.inf
        lost = (scores > right) + 0.5 * (scores == right)
        for among, end in zip(found, ends):
            among[part] += lost[:, :end].sum(axis=1)
    return found


class Interference:
    """Ranks of right old answers, 1 the best.

    Attributes:
      ranks_before: float64 `[num_queries]`, among the old rows.
      ranks_after: float64 `[num_queries]`, among all rows.
    """

    ranks_before: np.ndarray
    ranks_after: np.ndarray

    def __init__(self, ranks_before: np.ndarray, ranks_after: np.ndarray) -> None:
        """Takes the ranks."""
        self.ranks_before, self.ranks_after = ranks_before, ranks_after

    @property
    def mrr_before(self) -> float:
        """The mean reciprocal rank among the old rows."""
        return float(np.mean(1 / self.ranks_before))

    @property
    def mrr_after(self) -> float:
        """The mean reciprocal rank among all rows."""
        return float(np.mean(1 / self.ranks_after))

    @property
    def lost(self) -> float:
        """The share of the mean reciprocal rank that new rows cost."""
        return 1 - self.mrr_after / self.mrr_before

    @property
    def displaced(self) -> float:
        """The share of right answers that a new row stands before."""
        return float(np.mean(self.ranks_after > self.ranks_before))

    @property
    def rank_change(self) -> float:
        """By how many ranks the displaced answers fell, on average."""
        fallen = (self.ranks_after - self.ranks_before)[self.ranks_after > self.ranks_before]
        return float(fallen.mean()) if fallen.size else 0.0

    def as_dict(self) -> dict[str, float]:
        """Returns the numbers by name: mrr_before, mrr_after, lost, displaced and rank_change."""
        names = ("mrr_before", "mrr_after", "lost", "displaced", "rank_change")
        return {name: getattr(self, name) for name in names}

    def summary(self, name: str = "interference") -> Any:
        """Returns the numbers for TensorBoard.

        Args:
          name: string, what their tags begin with.

        Returns:
          `tf.Summary`, for `tf.summary.FileWriter.add_summary`.
        """
        import tensorflow.compat.v1 as tf

        values = [
            tf.Summary.Value(tag=f"{name}/{key}", simple_value=value)
            for key, value in self.as_dict().items()
        ]
        return tf.Summary(value=values)

    def __str__(self) -> str:
        return (
            f"old MRR {self.mrr_before:.3f} among old rows, {self.mrr_after:.3f} among all: "
            f"{100 * self.lost:.1f} % lost; {100 * self.displaced:.1f} % of answers displaced, by "
            f"{self.rank_change:.1f} ranks on average"
        )
