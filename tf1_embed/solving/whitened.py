"""A new row's problem in coordinates in which what is known without facts is a unit ball.

Without facts a row is known up to a quadratic: ½ (row - mode)ᵀ precision (row - mode). With
precision = L Lᵀ, row = mode + L⁻ᵀ z makes it ½ |z|², the same for all rows: L is found once, and a
fact `query · row` becomes `(L⁻¹ query) · z`.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any, Iterator

import numpy as np

# Numbers of facts that are held in float64 at one time.
CHUNK_NUMBERS = 1 << 22

_MAX_STEPS = 50
_TOLERANCE = 1e-6


# queries: floats [n, dim]. owners: ints [n], the new row that each fact is of, from 0 on. targets,
# offsets: float64 [n].
Facts = namedtuple("Facts", "queries owners targets offsets")


class Whitening:
    """The change of coordinates that a precision `[dim, dim]` and a mode `[dim]` make."""

    def __init__(self, precision: np.ndarray, mode: np.ndarray) -> None:
        """Takes a positive definite precision; raises a ValueError if it is not."""
        try:
            factor = np.linalg.cholesky(precision)
        except np.linalg.LinAlgError as error:
            raise ValueError(
                "what is known without facts leaves a direction of the row open: the old rows are "
                "all the same, or zero"
            ) from error
        self._factor, self._inverse = factor, np.linalg.inv(factor)
        self.mode = mode

    def queries(self, queries: np.ndarray) -> np.ndarray:
        """Returns `[n, dim]` queries of z."""
        return queries @ self._inverse.T

    def coordinates(self, rows: np.ndarray) -> np.ndarray:
        """Returns the z `[n, dim]` of rows."""
        return (rows - self.mode) @ self._factor

    def rows(self, z: np.ndarray) -> np.ndarray:
        """Returns the rows `[n, dim]` that z `[n, dim]` stands for."""
        return self.mode + z @ self._inverse


class Squared(namedtuple("Squared", "variance")):
    """½ (score - target)² / variance: a normal distribution around the score."""

    __slots__ = ()

    def loss(self, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Returns the loss of each fact."""
        return 0.5 * (scores - targets) ** 2 / self.variance

    def slope_and_curvature(
        self, scores: np.ndarray, targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the first and the second derivative of each fact's loss by its score."""
        return (scores - targets) / self.variance, np.full(scores.shape, 1 / self.variance)


class Logistic:
    """log(1 + exp(score)) - target · score: the cross entropy of a yes (1) or a no (0)."""

    def loss(self, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Returns the loss of each fact."""
        return np.logaddexp(0, scores) - targets * scores

    def slope_and_curvature(
        self, scores: np.ndarray, targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the first and the second derivative of each fact's loss by its score."""
        share = 0.5 * (1 + np.tanh(0.5 * scores))
        return share - targets, share * (1 - share)


def solve(
    facts: Facts,
    num_rows: int,
    loss: Squared | Logistic,
    whitening: Whitening,
    dtype: Any = np.float64,
) -> np.ndarray:
    """Minimises ½ |z|² + the losses of its facts, for each row that has facts.

    Args:
      facts: `Facts`.
      num_rows: int.
      loss: a `Squared` or a `Logistic`.
      whitening: a `Whitening`.
      dtype: of the rows that are returned; they are computed in float64, a chunk at a time.

    Returns:
      floats `[num_rows, dim]`, the rows; those without facts are the mode.
    """
    dim = facts.queries.shape[1]
    order = np.argsort(facts.owners, kind="stable")
    counts = np.bincount(facts.owners, minlength=num_rows)
    begins = np.cumsum(counts) - counts
    rows = np.empty((num_rows, dim), dtype)
    rows[:] = whitening.mode
    for members in _alike(counts, dim):
        own = order[begins[members][:, np.newaxis] + np.arange(counts[members[0]])]
        # What the mode says of a fact is an offset: z is what the row differs by.
        queries = facts.queries[own].astype(np.float64)
        offsets = facts.offsets[own] + queries @ whitening.mode
        z = _newton(whitening.queries(queries), facts.targets[own], offsets, loss)
        rows[members] = whitening.rows(z)
    return rows


def _alike(counts, dim) -> Iterator[np.ndarray]:
    """Yields rows with the same number of facts, as many as may be solved at a time."""
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    starts = np.flatnonzero(np.diff(counts[order], prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(order)]):
        count = counts[order[start]]
        step = max(1, CHUNK_NUMBERS // (dim * max(count, min(count, dim))))
        for first in range(start, stop, step):
            yield order[first : min(first + step, stop)]


def _newton(queries, targets, offsets, loss):
    """Returns z `[rows, dim]` for queries `[rows, facts, dim]` by Newton's method."""
    num_facts, dim = queries.shape[1:]
    # By the identity of Woodbury z is a sum of the row's own queries, with weights of which there
    # are as many as facts. Where these are fewer than dimensions, the weights are what is sought.
    by_facts = num_facts < dim
    transposed = np.swapaxes(queries, 1, 2)
    design = queries @ transposed if by_facts else queries
    unknown = np.zeros((len(queries), design.shape[2]))
    eye = np.eye(design.shape[2])

    def value(unknown):
        scores = (design @ unknown[..., np.newaxis])[..., 0]
        size = (scores if by_facts else unknown) * unknown
        return scores, 0.5 * size.sum(axis=1) + loss.loss(scores + offsets, targets).sum(axis=1)

    scores, before = value(unknown)
    for _ in range(_MAX_STEPS):
        slope, curvature = loss.slope_and_curvature(scores + offsets, targets)
        pull = curvature * scores - slope
        if by_facts:
            matrix, right = eye + curvature[..., np.newaxis] * design, pull[..., np.newaxis]
        else:
            matrix = eye + transposed @ (curvature[..., np.newaxis] * queries)
            right = transposed @ pull[..., np.newaxis]
        step = np.linalg.solve(matrix, right)[..., 0] - unknown
        # The problem is convex: half the step, and half of that, must lead down in the end.
        length = np.ones((len(queries), 1))
        for _ in range(_MAX_STEPS):
            scores, after = value(unknown + length * step)
            worse = ~(after <= before + 1e-12 * np.abs(before))
            if not worse.any():
                break
            length[worse] /= 2
        unknown = unknown + length * step
        # Of a quadratic the first step is the last.
        gained = before - after
        if isinstance(loss, Squared) or (gained <= _TOLERANCE * (1 + np.abs(after))).all():
            break
        before = after
    return (transposed @ unknown[..., np.newaxis])[..., 0] if by_facts else unknown
