"""What to look at before new rows go out: a report of a growth, with warnings and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np

from tf1_embed.solving.facts import CHUNK_SCORES, check_facts, log_partitions

# Beyond so many times what old rows do, a new row is unlike them.
_UNLIKE = 2.0


def growth_report(
    old_rows: Any, new_rows: Any, ids: Any = None, queries: Any = None
) -> GrowthReport:
    """Compares new rows with the old ones.

    Args:
      old_rows: floats `[num_old_rows, dim]`.
      new_rows: floats `[num_new_rows, dim]`.
      ids: ints, the new row of each fact, numbered as in the grown table; without them nothing is
        said of rows without facts.
      queries: floats `[num_queries, dim]`, old queries; without them nothing is said of scores.

    Returns:
      `GrowthReport`.

    Raises:
      ValueError: if shapes do not fit, an id is not a new row's, or queries are not finite.

    Example:
      >>> report = growth_report(np.ones([9, 2]), np.array([[1.0, 1.0], [6.0, 8.0]]), ids=[9, 9])
      >>> report.without_facts, len(report.warnings())
      (array([10]), 2)
    """
    dim = old_rows.shape[1]
    new_rows = np.asarray(new_rows)
    if new_rows.ndim != 2 or new_rows.shape[1] != dim or not len(new_rows):
        raise ValueError(
            f"`new_rows` must be of shape [num_new_rows, {dim}], got {list(new_rows.shape)}"
        )
    num_old, num_new = old_rows.shape[0], len(new_rows)
    without_facts = None
    if ids is not None:
        ids = np.asarray(ids)
        if ids.size and not num_old <= ids.min() <= ids.max() < num_old + num_new:
            raise ValueError(
                f"`ids` must be those of new rows, in [{num_old}, {num_old + num_new}); got "
                f"{ids.min()} to {ids.max()}"
            )
        without_facts = np.setdiff1d(np.arange(num_old, num_old + num_new), ids)
    finite = np.isfinite(new_rows).all(axis=1)
    share = largest = None
    if queries is not None and finite.any():
        queries = check_facts(dim, queries, np.zeros(len(queries), int), None, None)[0]
        share, largest = _on_queries(queries, old_rows, new_rows[finite])
    return GrowthReport(
        num_old,
        new_rows.dtype,
        np.linalg.norm(np.asarray(old_rows), axis=1),
        np.linalg.norm(new_rows.astype(np.float64), axis=1),
        np.flatnonzero(~finite) + num_old,
        without_facts,
        share,
        largest,
    )


class GrowthReport:
    """What was seen of new rows; printed, it says so, and warns.

    Attributes:
      old_norms: floats `[num_old_rows]`, the lengths of rows.
      new_norms: floats `[num_new_rows]`, likewise.
      not_finite: ints, the ids of new rows that hold NaN or infinity.
      without_facts: ints, the ids of new rows without facts; None if no ids were given.
      softmax_share: float, the share of the softmax over all rows that new rows take of an old
        query, on average; None if no queries were given.
      largest_score: float, the largest absolute score of an old query with a new row; None
        likewise.
    """

    old_norms: np.ndarray
    new_norms: np.ndarray
    not_finite: np.ndarray
    without_facts: np.ndarray | None
    softmax_share: float | None
    largest_score: float | None

    def __init__(
        self,
        num_old: int,
        dtype: np.dtype,
        old_norms: np.ndarray,
        new_norms: np.ndarray,
        not_finite: np.ndarray,
        without_facts: np.ndarray | None,
        softmax_share: float | None,
        largest_score: float | None,
    ) -> None:
        """Takes what was seen."""
        self._num_old, self._dtype = num_old, dtype
        self.old_norms, self.new_norms = old_norms, new_norms
        self.not_finite, self.without_facts = not_finite, without_facts
        self.softmax_share, self.largest_score = softmax_share, largest_score

    @property
    def fair_share(self) -> float:
        """The share of a softmax that as many old rows take on average."""
        return len(self.new_norms) / (len(self.new_norms) + self._num_old)

    def warnings(self) -> list[str]:
        """Returns what is wrong and what to do, a sentence or two each; empty if nothing is."""
        found = []
        longest = self.old_norms.max()
        with np.errstate(invalid="ignore"):
            too_long = np.flatnonzero(self.new_norms > _UNLIKE * longest) + self._num_old
        too_long = np.setdiff1d(too_long, self.not_finite)
        if len(self.not_finite):
            found.append(
                f"{_rows(self.not_finite, 'holds', 'hold')} NaN or infinity. Lower the learning "
                f"rate, or begin with solved rows"
            )
        if len(too_long):
            found.append(
                f"{_rows(too_long, 'is', 'are')} more than {_UNLIKE:.0f} times as long as the "
                f"longest old one: long rows displace old answers and make losses NaN. Solve the "
                f"new rows, or train them with a penalty on their length"
            )
        if self.without_facts is not None and len(self.without_facts):
            found.append(
                f"{_rows(self.without_facts, 'has', 'have')} no facts, and nothing to "
                f"learn from. Begin with solved rows, which are then what the old rows and old "
                f"queries say, or wait until there are facts"
            )
        if self.softmax_share is not None and self.softmax_share > _UNLIKE * self.fair_share:
            found.append(
                f"new rows take {self.softmax_share:.2%} of the softmax of old queries, where as "
                f"many old rows take {self.fair_share:.2%}: old answers suffer. Train with "
                f"OldAnswers, or solve within a budget (RowSolver.within)"
            )
        limit = float(np.finfo(self._dtype).max)
        if self.largest_score is not None and self.largest_score > limit / 10:
            found.append(
                f"scores of new rows reach {self.largest_score:.3g}, and {self._dtype} ends at "
                f"{limit:.3g}: the next step may be infinite. Shorten the rows, or use a wider "
                f"dtype"
            )
        return found

    def __str__(self) -> str:
        old, new = self.old_norms, self.new_norms[np.isfinite(self.new_norms)]
        lines = [f"{len(self.new_norms)} new rows"]
        if new.size and old.max():
            lines[0] += (
                f"; their median length is {np.median(new) / np.median(old):.2f} times the old "
                f"rows', the longest is {new.max() / old.max():.2f} times the longest old one"
            )
        if self.softmax_share is not None:
            lines.append(
                f"of the softmax of old queries they take {self.softmax_share:.2%}; as many old "
                f"rows take {self.fair_share:.2%}"
            )
        return "\n".join(lines + [f"warning: {each}" for each in self.warnings()])


def _rows(ids, one, several):
    """Returns such as "2 new rows (7, 9) are"."""
    named = ", ".join(str(each) for each in ids[:5]) + (", …" if len(ids) > 5 else "")
    return f"{len(ids)} new row{'s' if len(ids) > 1 else ''} ({named}) " + (
        several if len(ids) > 1 else one
    )


def _on_queries(queries, old_rows, new_rows):
    """Returns the share of the softmax that new rows take, and their largest absolute score."""
    step = max(1, CHUNK_SCORES // len(new_rows))
    total, largest = 0.0, 0.0
    for start in range(0, len(queries), step):
        some = queries[start : start + step]
        scores = some.astype(np.float64) @ new_rows.T.astype(np.float64)
        taken = np.logaddexp.reduce(scores, axis=1) - log_partitions(some, old_rows)
        total += (1 / (1 + np.exp(-np.clip(taken, -500, 500)))).sum()
        largest = max(largest, np.abs(scores).max())
    return total / max(1, len(queries)), largest
