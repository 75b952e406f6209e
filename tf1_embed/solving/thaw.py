"""Which old rows to train as well, where freezing them is wrong: those that new facts are about."""

from __future__ import annotations

from typing import Any

import numpy as np

from tf1_embed.rows import Rows


def thaw_rows(ids: Any, num_rows: int, budget: float, weights: Any = None) -> Rows:
    """Chooses old rows that new facts name, the most important ones, for a budget.

    A frozen row learns nothing from new facts about it. The rows that are returned are for
    `TrainableRowsOptimizer`, which trains them and keeps all others, bit for bit. They forget what
    they are not shown: train them on their own old facts, too.

        ids  7 3 7 5      budget 2 -> rows 7 (twice) and 3 (of those named once, the first)

    Args:
      ids: ints of any shape: the old rows that new facts name, one for each mention.
      num_rows: int, how many rows the table has.
      budget: how many rows at most: an int; or, below 1, the share of `num_rows`, such as 0.05.
      weights: floats of the shape of `ids`, what each mention counts, such as the frozen model's
        loss on its fact; default 1. A row counts as much as its mentions do together.

    Returns:
      `Rows` of `num_rows`: no more than the budget, and none that no fact names.

    Raises:
      ValueError: if an id is outside of the table, the budget is no number above 0 or less than
        a row, or weights do not fit, are negative or not finite.

    Example:
      >>> thaw_rows([7, 3, 7, 5], num_rows=10, budget=2).ids()
      array([3, 7])
    """
    ids = np.asarray(ids)
    if ids.size and ids.dtype.kind not in "iu":
        raise ValueError(f"`ids` must be ints, got {ids.dtype}")
    if ids.size and not 0 <= ids.min() <= ids.max() < num_rows:
        raise ValueError(
            f"`ids` must be those of rows, in [0, {num_rows}); got {ids.min()} to {ids.max()}"
        )
    if not 0 < budget < float("inf") or (budget >= 1 and budget != int(budget)):
        raise ValueError(
            f"`budget` must be an int of 1 or more, or a share between 0 and 1; got {budget}"
        )
    most = int(budget) if budget >= 1 else int(budget * num_rows)
    if not most:
        raise ValueError(f"`budget`, {budget} of {num_rows} rows, must be 1 row or more")
    if weights is None:
        weights = np.ones(ids.shape)
    weights = np.asarray(weights, np.float64)
    if weights.shape != ids.shape:
        raise ValueError(
            f"`weights` must be of shape {list(ids.shape)}, one for each of `ids`; got shape "
            f"{list(weights.shape)}"
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("`weights` must be finite, and none below 0")
    named, place = np.unique(ids.ravel().astype(np.int64), return_inverse=True)
    totals = np.bincount(place.ravel(), weights.ravel(), minlength=len(named))
    chosen = named[np.argsort(-totals, kind="stable")[:most]]
    return Rows.of(chosen, size=num_rows)
