"""How strong the prior is, chosen by solving old rows as if they were new."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tf1_embed.solving.background import Background
from tf1_embed.solving.facts import check_facts
from tf1_embed.solving.interference import ranks
from tf1_embed.solving.solve import PRIORS, RowSolver
from tf1_embed.solving.whitened import Facts, Logistic, Squared

PENALTIES = (1 / 16, 1 / 4, 1.0, 4.0, 16.0)

# More say little more.
_MOST_ROWS = 200
_MOST_TESTS = 2000


def choose_solver(
    background: Background,
    queries: Any,
    ids: Any,
    targets: Any = None,
    offsets: Any = None,
    held_out: tuple | None = None,
    loss: str = "softmax",
    share: float | None = None,
    old_weight: float = 1.0,
    penalties: tuple[float, ...] = PENALTIES,
    seed: int = 0,
) -> Choice:
    """Chooses the prior and its penalty for new rows: those that were best for old ones.

    Some old rows are taken out of the table, and solved from their facts beside the others, as if
    they were new, with each prior and penalty. The best is that whose rows answer best what they
    were not solved from:

        with targets      the least mean loss of the rows' held-out facts
        without           the greatest mean of two mean reciprocal ranks: of held-out queries that
                          these rows answer, and of those that the others answer, both among all
                          rows but other right answers to the very same query

    The model has seen these rows, and its queries are made for them: really new ones are harder.

    Args:
      background: `Background` of the old rows.
      queries: floats `[num_facts, dim]`, old queries.
      ids: ints `[num_facts]`, the old row that answers each, or was rated with.
      targets: floats `[num_facts]`, as for `solve_rows`.
      offsets: floats `[num_facts]`, likewise.
      held_out: `(queries, ids)`, or `(queries, ids, targets, offsets)`, of old rows, on which the
        model was not trained. None: every other fact of the rows that are taken out is held out,
        on which the model was trained; the choice says so.
      loss: "squared", "logistic" or "softmax".
      share: the share of the old queries with which the rows are solved together, as
        `solve_rows(…, old_queries=queries, share=share)` does; None, as without `old_queries`.
      old_weight: as for `solve_rows`.
      penalties: floats, what is tried with each prior.
      seed: int, chooses the rows.

    Returns:
      `Choice`, whose `solver` is a `RowSolver` of the background.

    Raises:
      ValueError: if shapes do not fit, an id is not an old row's, no old row has facts enough, or
        the background has no queries.

    Example:
      >>> random = np.random.RandomState(0)
      >>> old_rows, queries = random.randn(50, 3), random.randn(1000, 3)
      >>> ids = np.arange(1000) % 50
      >>> targets = (queries * old_rows[ids]).sum(axis=1) + 0.1 * random.randn(1000)
      >>> background = Background(old_rows)
      >>> background.add(queries, ids, targets)
      >>> choice = choose_solver(background, queries, ids, targets, loss="squared")
      >>> choice.prior, choice.held_out, len(choice.trials)
      ('zero', False, 10)
    """
    if share is not None and not 0 < share <= 1:
        raise ValueError(f"`share` must be in (0, 1], got {share}")
    facts = _facts_of_old_rows(background, queries, ids, targets, offsets)
    held = held_out and _facts_of_old_rows(background, *(tuple(held_out) + (None, None))[:4])
    if held and (held.targets is None) != (facts.targets is None):
        raise ValueError("`held_out` must have targets if the other facts have, and none if not")
    growth = _TrialGrowth(background, facts, held, loss, share, old_weight, seed)
    trials = [
        growth.attempt(prior, penalty)
        for prior in PRIORS
        if prior != "cubed" or (share is not None and loss == "softmax")
        for penalty in penalties
    ]
    best = max(trials, key=lambda trial: trial.value)
    solver = RowSolver(background, loss, best.prior, old_weight, best.penalty)
    return Choice(solver, best.prior, best.penalty, trials, growth.rows, held is not None)


class Trial(NamedTuple):
    """What old rows were worth that were solved as if they were new.

    Attributes:
      prior: string.
      penalty: float.
      value: float, the greater the better: what `choose_solver` says, a loss with a minus.
      new: float, the mean reciprocal rank of held-out queries that the rows answer; None where
        facts have targets.
      old: float, that of those which other rows answer; None likewise.
    """

    prior: str
    penalty: float
    value: float
    new: float | None
    old: float | None


class Choice(NamedTuple):
    """What was chosen, and from what; printed, it says so.

    Attributes:
      solver: `RowSolver`.
      prior: string.
      penalty: float.
      trials: list of `Trial`.
      rows: ints, the ids of the old rows that were solved as if they were new.
      held_out: bool, whether they were tested on facts that the model was not trained on.
    """

    solver: RowSolver
    prior: str
    penalty: float
    trials: list[Trial]
    rows: np.ndarray
    held_out: bool

    def __str__(self) -> str:
        best = max(self.trials, key=lambda trial: trial.value)
        measured = (
            f"mean loss {-best.value:.3g}"
            if best.new is None
            else f"MRR {best.new:.3f} of theirs, {best.old:.3f} of others"
        )
        on = (
            "held-out facts"
            if self.held_out
            else "facts that the model was trained on, since none were held out"
        )
        return (
            f"prior {self.prior}, penalty {self.penalty:g}: the best of {len(self.trials)} for "
            f"{len(self.rows)} old rows solved as if they were new, by {measured} on {on}"
        )


class _TrialGrowth:
    """Old rows that are taken out of a table, and what is known of them and of the others."""

    def __init__(self, background, facts, held_out, loss, share, old_weight, seed):
        random = np.random.RandomState(seed)
        num_old = background.num_old_rows
        out = _rows_to_take_out(facts, held_out, num_old, random)
        self.rows = out
        self._old_rows = np.delete(np.asarray(background.old_rows), out, axis=0)
        # The rows that stay come first, the others after them, as new ones do.
        place = np.empty(num_old, np.int64)
        place[np.setdiff1d(np.arange(num_old), out)] = np.arange(num_old - len(out))
        place[out] = np.arange(num_old - len(out), num_old)
        first = num_old - len(out)
        facts = facts._replace(owners=place[facts.owners])
        is_new = facts.owners >= first
        if held_out is None:
            own = np.flatnonzero(is_new)
            own = own[np.argsort(facts.owners[own], kind="stable")]
            owners = facts.owners[own]
            # Of each row the second fact, the fourth, and so on.
            tested = np.zeros(len(is_new), bool)
            tested[own] = (np.arange(len(own)) - np.searchsorted(owners, owners)) % 2
            others = random.permutation(np.flatnonzero(~is_new))[: max(1, len(own) // 2)]
            held_out = _some(facts, np.sort(np.concatenate([np.flatnonzero(tested), others])))
            self._facts = _some(facts, is_new & ~tested)
        else:
            held_out = held_out._replace(owners=place[held_out.owners])
            self._facts = _some(facts, is_new)
        every = [facts, held_out]
        self._tests = _some(held_out, held_out.owners >= first)
        others = random.permutation(np.flatnonzero(held_out.owners < first))[:_MOST_TESTS]
        self._old_tests = _some(held_out, np.sort(others))
        if facts.targets is None and not len(others):
            raise ValueError(
                f"`held_out` has no queries but those of the {len(out)} rows that are taken out: "
                f"nothing would say what the answers of the others lose to them"
            )
        if facts.targets is None:
            self._also_right = [_also_right(each, every) for each in (self._tests, self._old_tests)]
        rest = np.flatnonzero(~is_new)
        if share is not None:
            rest = np.sort(random.permutation(rest)[: int(np.ceil(share * len(rest)))])
        old = _some(facts, rest)
        self._background = Background(self._old_rows, partitions=share is not None)
        self._background.add(old.queries, old.owners, old.targets, old.offsets)
        self._old_queries = old.queries if share is not None else None
        # Each of the old queries stands for as many as were left out.
        self._loss, self._old_weight = loss, old_weight / (share or 1.0)

    def attempt(self, prior, penalty):
        """Solves the rows with a prior, and tests them; returns a `Trial`."""
        solver = RowSolver(self._background, self._loss, prior, self._old_weight, penalty)
        facts, tests = self._facts, self._tests
        rows = solver.solve(
            facts.queries,
            facts.owners,
            facts.targets,
            facts.offsets,
            len(self.rows),
            old_queries=self._old_queries,
        )
        if tests.targets is not None:
            owners = tests.owners - len(self._old_rows)
            scores = np.einsum("ij,ij->i", tests.queries, rows[owners]) + tests.offsets
            loss = Logistic() if self._loss == "logistic" else Squared(1.0)
            return Trial(
                prior, penalty, -float(loss.loss(scores, tests.targets).mean()), None, None
            )
        new, old = (
            float(np.mean(1 / ranks(each.queries, each.owners, (self._old_rows, rows), right)[-1]))
            for each, right in zip((tests, self._old_tests), self._also_right)
        )
        return Trial(prior, penalty, (new + old) / 2, new, old)


def _also_right(tests, every):
    """Returns for each test the rows that are known to answer the same query, bit for bit."""
    answers = {query.tobytes(): [] for query in tests.queries}
    for facts in every:
        for query, owner in zip(facts.queries.astype(tests.queries.dtype), facts.owners.tolist()):
            found = answers.get(query.tobytes())
            if found is not None:
                found.append(owner)
    return [answers[query.tobytes()] for query in tests.queries]


def _rows_to_take_out(facts, held_out, num_old, random):
    """Returns the ids of some old rows that have facts to be solved from, and others to test."""
    counts = np.bincount(facts.owners, minlength=num_old)
    if held_out is None:
        able = np.flatnonzero(counts > 1)
    else:
        able = np.flatnonzero((counts > 0) & (np.bincount(held_out.owners, minlength=num_old) > 0))
    most = min(_MOST_ROWS, num_old // 10)
    if not most or not len(able):
        raise ValueError(
            f"of {num_old} old rows {len(able)} have facts to be solved from and others to be "
            f"tested by: too few to choose a prior by. Give more `queries` and `held_out` ones, or "
            f"use the formula's (`RowSolver`)"
        )
    return np.sort(random.permutation(able)[:most])


def _facts_of_old_rows(background, queries, ids, targets, offsets):
    queries, ids, targets, offsets = check_facts(background.dim, queries, ids, targets, offsets)
    if not ids.size or not 0 <= ids.min() <= ids.max() < background.num_old_rows:
        raise ValueError(
            f"`ids` must be those of old rows, in [0, {background.num_old_rows}); got "
            + (f"{ids.min()} to {ids.max()}" if ids.size else "none")
        )
    return Facts(queries, ids, targets, offsets)


def _some(facts, chosen):
    return Facts(*(each if each is None else each[chosen] for each in facts))
