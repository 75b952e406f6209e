"""The convex problem that a frozen model leaves of a new row, and its solution."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from tf1_embed.solving.background import Background
from tf1_embed.solving.facts import check_facts, log_partitions
from tf1_embed.solving.interference import Interference, interference
from tf1_embed.solving.softmax import OldQueries, Prior, refine
from tf1_embed.solving.whitened import Facts, Logistic, Squared, Whitening, solve

LOSSES = ("squared", "logistic", "softmax")
PRIORS = ("zero", "old", "cubed")

# How often facts between two new rows are looked at again, once the rows that they name are known.
_SWEEPS = 3

# The powers of two among which a budget chooses.
_WEIGHTS = (-4, 8)


def solve_rows(
    queries: Any,
    ids: Any,
    targets: Any,
    background: Background,
    loss: str = "softmax",
    prior: str = "zero",
    offsets: Any = None,
    num_new_rows: int | None = None,
    between: Callable | None = None,
    old_queries: Any = None,
    share: float = 1.0,
    seed: int = 0,
    old_weight: float = 1.0,
    penalty: float = 1.0,
) -> np.ndarray:
    """Solves new rows from their facts, the model and its old rows as they are.

    A score is `query · row + offset`, as in ComplEx, DistMult, matrix factorisation, two towers
    and softmax outputs; a fact is a query that a new row answers. Since the queries of a frozen
    model are constants, each row is the solution of a small convex problem of its own:

        squared    sum of ½ (score - target)² / noise        ridge regression
        logistic   cross entropy of a yes (1) or a no (0)    Newton's method
        softmax    -score + log(partition + exp(score))      Newton's method; the partition over
                                                             the old rows is computed once

    plus what is known without facts: the prior, and that a new row is no answer to old queries.
    Nothing is to be tuned: how strong these are follows from the background (see `RowSolver`), or
    is chosen on old rows that are solved as if they were new (`choose_solver`).

    Args:
      queries: floats `[num_facts, dim]`.
      ids: ints `[num_facts]`, the new row that answers each, numbered as in the grown table: from
        `background.num_old_rows` on.
      targets: floats `[num_facts]`, the scores that are sought (for "logistic" in [0, 1]); None
        where the facts say only which row is the right one.
      background: a `Background` of the old rows, with old queries.
      loss: "squared", "logistic" or "softmax": what the model was trained with.
      prior: "zero", rows as long as the old ones in any direction; "old", the old rows' mean and
        covariance; "cubed", their numbers' absolute cubes (only with `old_queries`).
      offsets: floats `[num_facts]`, what is added to each score; default 0.
      num_new_rows: int; default: as many as `ids` name.
      between: function of the new rows `[num_new_rows, dim]` that returns the facts between two
        new rows, `(queries, ids, targets)`; it is called again as the rows become known.
      old_queries: floats `[num_queries, dim]`, the same that the background was made of, in their
        order (a memory map will do). With them a softmax is solved to the end: all new rows
        together, and every old query with its own partition.
      share: the share of the old queries that is looked at, each with the weight 1 / share.
      seed: int, chooses these.
      old_weight: how much old queries count against the facts; `RowSolver.within` chooses it from
        what old answers may lose.
      penalty: how much the prior counts against the facts; 1 is the formula's.

    Returns:
      floats `[num_new_rows, dim]` of the old rows' dtype, to be given as `initializer=` or to be
      written. A row without facts is what the prior and the background say. Beside facts and rows
      the memory is that of some matrices `[dim, dim]` and of a chunk; with `old_queries` that of
      some fifteen times the rows.

    Raises:
      ValueError: if shapes do not fit, an id is not a new row's, numbers are not finite, the
        background has no queries or lacks what the loss needs.

    Example:
      >>> random = np.random.RandomState(0)
      >>> old_rows, queries = random.randn(50, 3), random.randn(400, 3)
      >>> background = Background(old_rows)
      >>> background.add(queries, np.arange(400) % 50, targets=queries @ [1, 2, 3])
      >>> solve_rows(queries, [50] * 400, queries @ [1, 2, 3], background, "squared").round(1)
      array([[1. , 1.9, 2.9]])
    """
    solver = RowSolver(background, loss, prior, old_weight, penalty)
    return solver.solve(
        queries, ids, targets, offsets, num_new_rows, between, old_queries, share, seed
    )


class RowSolver:
    """What all new rows of a table share, prepared once, for facts that come in time after time.

    Where its strengths come from, with n old rows of dim numbers and noise as the background's
    `noise_variance`:

    - Prior "zero": each number of a row has the variance s / dim, with s the mean squared length of
      the old rows. For squared loss that is ridge regression with the penalty noise · dim / s.
    - Prior "old": normal, of the old rows' mean and their shrunk covariance.
    - Prior "cubed": the density `exp(-c |number|³)` for each number, whose c = 1 / (3 m) makes the
      mean absolute cube that of the old rows' numbers, m. It is the penalty N3 of Lacroix et al.,
      "Canonical Tensor Decomposition for Knowledge Base Completion" (ICML 2018), which many factor
      models train with, and holds long rows back more than short ones.
    - `penalty` multiplies the ridge penalty, the inverse covariance, or c.
    - Background: an old row has on average 1/n of a softmax, so that each old query asks with the
      weight 1/n that a new row score no more than old rows do at random. Not where the background
      has targets: what nobody rated says nothing there.
    """

    def __init__(
        self,
        background: Background,
        loss: str = "softmax",
        prior: str = "zero",
        old_weight: float = 1.0,
        penalty: float = 1.0,
    ) -> None:
        """Takes a `Background` and strengths as `solve_rows` does, and raises as it does."""
        for name, value, known in (("loss", loss, LOSSES), ("prior", prior, PRIORS)):
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}; got {value!r}")
        if not 0 <= old_weight < np.inf:
            raise ValueError(f"`old_weight` must be 0 or more, got {old_weight}")
        if not 0 < penalty < np.inf:
            raise ValueError(f"`penalty` must be above 0, got {penalty}")
        if prior == "cubed" and loss != "softmax":
            raise ValueError(f"the prior cubed is for the loss softmax, not {loss}")
        self.background, self.loss = background, loss
        self.prior, self.old_weight, self.penalty = prior, old_weight, penalty
        dim = background.dim
        if prior != "old":
            if not background.mean_square_norm:
                raise ValueError("all old rows are zero: they say nothing of a new one's length")
            mean, precision = np.zeros(dim), np.eye(dim) * dim / background.mean_square_norm
        else:
            covariance = background.shrunk_covariance()
            if not np.trace(covariance):
                raise ValueError("all old rows are the same: they have no covariance")
            mean, precision = background.mean, np.linalg.inv(covariance)
        if prior == "cubed":
            # What rows begin with, and their coordinates, are of the prior zero.
            cubed = penalty / (3 * background.mean_cube)
            self._prior = Prior(mean, np.zeros((dim, dim)), cubed)
        else:
            precision = penalty * precision
            self._prior = Prior(mean, precision, 0.0)
        weight = 0.0 if background.has_targets else old_weight / background.num_old_rows
        joined = precision + weight * background.gram
        pull = background.random_mean * background.query_sum - background.query_offset_sum
        mode = np.linalg.solve(joined, precision @ mean + weight * pull)
        self._whitening = Whitening(joined, mode)
        if loss == "squared":
            if not background.noise_variance:
                raise ValueError(
                    "the scores of old queries do not vary, or miss nothing of their targets: "
                    "they say nothing of how far a score may be from its target"
                )
            self._loss: Squared | Logistic = Squared(background.noise_variance)
        else:
            self._loss = Logistic()

    def solve(
        self,
        queries: Any,
        ids: Any,
        targets: Any = None,
        offsets: Any = None,
        num_new_rows: int | None = None,
        between: Callable | None = None,
        old_queries: Any = None,
        share: float = 1.0,
        seed: int = 0,
    ) -> np.ndarray:
        """Returns new rows; arguments, result and errors are those of `solve_rows`."""
        facts = self._facts(queries, ids, targets, offsets)
        named = int(facts.owners.max()) + 1 if len(facts.owners) else 0
        if num_new_rows is None:
            num_new_rows = named
        self._check_owners("`ids`", facts, num_new_rows)
        if old_queries is not None:
            partitions = self._check_old_queries(old_queries, share)
        elif self.prior == "cubed":
            raise ValueError(
                "the prior cubed needs `old_queries`: rows that are solved one by one have a "
                "quadratic prior, zero or old"
            )
        dtype = self.background.old_rows.dtype
        rows = solve(facts, num_new_rows, self._loss, self._whitening, dtype)
        for _ in range(_SWEEPS if between else 0):
            every = self._with_between(facts, between, rows)
            rows = solve(every, num_new_rows, self._loss, self._whitening, dtype)
        if old_queries is not None:
            order = np.random.RandomState(seed).permutation(len(partitions))
            chosen = np.sort(order[: int(np.ceil(share * len(order)))])
            for _ in range(2 if between else 1):
                every = self._with_between(facts, between, rows) if between else facts
                old = OldQueries(old_queries, partitions, chosen, self.old_weight)
                rows = refine(rows, every, old, self._prior, self._whitening)
        return rows.astype(dtype, copy=False)

    def within(
        self, budget: float, held_out: Any, held_out_ids: Any, queries: Any, ids: Any, **facts: Any
    ) -> tuple[np.ndarray, float, Interference]:
        """Solves new rows such that old answers lose no more than a budget.

        The weight of the old queries is chosen on held-out ones: the smallest power of two that
        keeps the budget, found by bisection in five solutions.

        Args:
          budget: the share of the old queries' mean reciprocal rank that may be lost, such as 0.01.
          held_out: floats `[n, dim]`, old queries on which the model was not trained.
          held_out_ids: ints `[n]`, the old rows that are their right answers.
          queries: as for `solve`.
          ids: as for `solve`.
          **facts: the other arguments of `solve`.

        Returns:
          `(rows, old_weight, interference)`: floats `[num_new_rows, dim]`, the weight that was
          chosen, and the `Interference` of the held-out queries.

        Raises:
          ValueError: as `solve`, and if even the largest weight loses more.
        """

        def attempt(weight):
            solver = RowSolver(self.background, self.loss, self.prior, weight, self.penalty)
            rows = solver.solve(queries, ids, **facts)
            old_rows = self.background.old_rows
            return rows, weight, interference(held_out, held_out_ids, old_rows, rows)

        low, high = _WEIGHTS
        best = attempt(2.0**high)
        if best[2].lost > budget:
            raise ValueError(
                f"old answers lose {best[2].lost:.2%} of their mean reciprocal rank even with "
                f"`old_weight` {2**high}, more than the `budget` of {budget:.2%}: allow more, or "
                f"grow by fewer rows"
            )
        while low < high:
            middle = (low + high) // 2
            found = attempt(2.0**middle)
            if found[2].lost <= budget:
                best, high = found, middle
            else:
                low = middle + 1
        return best

    def _with_between(self, facts, between, rows):
        """Returns the facts, and those between new rows as these are now."""
        given = tuple(between(rows.astype(self.background.old_rows.dtype, copy=False)))
        more = self._facts(*given[:2], *(given[2:] + (None, None))[:2])
        self._check_owners("the ids of `between`", more, len(rows))
        return Facts(*(np.concatenate(pair) for pair in zip(facts, more)))

    def _check_owners(self, what, facts, num_new_rows):
        first = self.background.num_old_rows
        if len(facts.owners) and facts.owners.max() >= num_new_rows:
            raise ValueError(
                f"{what} go up to {facts.owners.max() + first}, but with `num_new_rows` "
                f"{num_new_rows} the last row is {first + num_new_rows - 1}"
            )

    def _facts(self, queries, ids, targets, offsets):
        queries, ids, targets, offsets = check_facts(
            self.background.dim, queries, ids, targets, offsets
        )
        first = self.background.num_old_rows
        if ids.size and ids.min() < first:
            raise ValueError(
                f"`ids` must be those of new rows, which begin at {first}; got {ids.min()}, an old "
                f"row's"
            )
        if self.loss == "softmax":
            if targets is not None:
                raise ValueError("`targets` must be None for a softmax: a fact is a right answer")
            # exp(score) / (partition + exp(score)) is a logistic function of what a score is above
            # the partition's logarithm; offsets are in both.
            offsets = -log_partitions(queries, self.background.old_rows)
        if targets is None:
            right = self.background.right_mean if self.loss == "squared" else 1.0
            targets = np.full(len(ids), right)
        elif self.loss == "logistic" and ((targets < 0) | (targets > 1)).any():
            raise ValueError(
                f"`targets` of a logistic loss must be in [0, 1], got {targets.min()} to "
                f"{targets.max()}"
            )
        return Facts(queries, ids - first, targets, offsets)

    def _check_old_queries(self, old_queries, share):
        if self.loss != "softmax":
            raise ValueError(f"`old_queries` are for the loss softmax, not {self.loss}")
        partitions = self.background.log_partitions
        if partitions is None:
            raise ValueError(
                "`old_queries` need a background with their partitions: make it with "
                "Background(old_rows, partitions=True)"
            )
        shape = (len(partitions), self.background.dim)
        if tuple(np.shape(old_queries)) != shape:
            raise ValueError(
                f"`old_queries` must be the {shape[0]} that the background was made of, of shape "
                f"{list(shape)}; got shape {list(np.shape(old_queries))}"
            )
        if not 0 < share <= 1:
            raise ValueError(f"`share` must be in (0, 1], got {share}")
        return partitions
