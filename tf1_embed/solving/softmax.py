"""The softmax over old and new rows, solved for all new rows together.

Old rows are frozen, so that the partition over them is a constant of each query. For new rows E
and queries with partition Z the loss is

    facts         -query · E[answer] + log(Z + sum of exp(query · E))
    old queries   log(1 + sum of exp(query · E) / Z)

which is convex in E, and whose cost does not depend on how many old rows there are.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from tf1_embed.solving.facts import CHUNK_SCORES
from tf1_embed.solving.whitened import Facts, Whitening

# mean: float64 [dim]. precision: float64 [dim, dim], the inverse of the covariance. cubed: float,
# the weight of the sum of the numbers' absolute cubes.
Prior = namedtuple("Prior", "mean precision cubed")

# queries: floats [num_queries, dim]. partitions: floats [num_queries], the logarithms of theirs.
# chosen: ints, those that are looked at, each for as many as are not. weight: that of all of them.
OldQueries = namedtuple("OldQueries", "queries partitions chosen weight")

_MAX_STEPS = 20
_TOLERANCE = 1e-3
_MEMORY = 5


def refine(
    rows: np.ndarray, facts: Facts, old: OldQueries, prior: Prior, whitening: Whitening
) -> np.ndarray:
    """Minimises the loss and what the prior says of each row, from `rows` on.

    The prior's part is ½ (row - mean)ᵀ precision (row - mean) + cubed · sum of |number|³.

    By L-BFGS (Liu and Nocedal, 1989) in the coordinates of the whitening, in which what is known
    without facts is already solved.

    Args:
      rows: float64 `[num_new_rows, dim]`.
      facts: `Facts`, whose offsets are the negative logarithms of the partitions over old rows.
      old: `OldQueries`.
      prior: `Prior`.
      whitening: a `Whitening`.

    Returns:
      float64 `[num_new_rows, dim]`.
    """
    weight = old.weight * len(old.partitions) / max(1, len(old.chosen))
    step = max(1, CHUNK_SCORES // max(1, len(rows)))

    def value_and_slope(z):
        rows = whitening.rows(z)
        centred = rows - prior.mean
        slope = centred @ prior.precision
        value = 0.5 * (centred * slope).sum()
        if prior.cubed:
            squares = rows * np.abs(rows)
            value += prior.cubed * (rows * squares).sum()
            slope += 3 * prior.cubed * squares
        narrow = rows.astype(np.float32)
        for start in range(0, len(facts.owners), step):
            part = slice(start, start + step)
            more, by_rows = _softmax(
                narrow, facts.queries[part], -facts.offsets[part], facts.owners[part]
            )
            value, slope = value + more, slope + by_rows
        for start in range(0, len(old.chosen), step):
            part = old.chosen[start : start + step]
            more, by_rows = _softmax(narrow, old.queries[part], old.partitions[part])
            value, slope = value + weight * more, slope + weight * by_rows
        return value, whitening.queries(slope)

    return whitening.rows(_lbfgs(value_and_slope, whitening.coordinates(rows)))


def _softmax(rows, queries, partitions, owners=None):
    """Returns the loss of queries, and its gradient by the rows."""
    queries = np.asarray(queries, np.float32)
    scores = queries @ rows.T - partitions[:, np.newaxis].astype(np.float32)
    # Not below 0, the old rows' own: so nothing overflows.
    largest = np.maximum(scores.max(axis=1, keepdims=True), 0)
    value = 0.0
    if owners is not None:
        right = np.arange(len(owners)), owners
        value -= float(scores[right].sum(dtype=np.float64))
    shares = np.exp(scores - largest)
    total = np.exp(-largest) + shares.sum(axis=1, keepdims=True)
    value += float((np.log(total) + largest).sum(dtype=np.float64))
    shares /= total
    if owners is not None:
        shares[right] -= 1
    return value, (shares.T @ queries).astype(np.float64)


def _lbfgs(function, point):
    """Minimises a smooth convex function, which returns its value and its gradient."""
    value, slope = function(point)
    pairs = []
    for _ in range(_MAX_STEPS):
        direction = _direction(slope, pairs)
        descent = (slope * direction).sum()
        length = 1.0
        while True:
            moved = point + length * direction
            new_value, new_slope = function(moved)
            if new_value <= value + 1e-4 * length * descent or length < 1e-6:
                break
            length /= 2
        if new_value >= value:
            break
        change, bend = moved - point, new_slope - slope
        if (change * bend).sum() > 0:
            pairs = [*pairs, (change, bend)][-_MEMORY:]
        gained = value - new_value
        point, value, slope = moved, new_value, new_slope
        if gained <= _TOLERANCE * abs(value):
            break
    return point


def _direction(slope, pairs):
    """Returns where the inverse curvature that the last steps showed leads from a gradient."""
    direction, weights = -slope, []
    for change, bend in reversed(pairs):
        weight = (change * direction).sum() / (change * bend).sum()
        weights.append(weight)
        direction = direction - weight * bend
    if pairs:
        change, bend = pairs[-1]
        direction = direction * ((change * bend).sum() / (bend**2).sum())
    else:
        direction = direction / max(1.0, np.abs(slope).max())
    for (change, bend), weight in zip(pairs, reversed(weights)):
        direction = direction + change * (weight - (bend * direction).sum() / (change * bend).sum())
    return direction
