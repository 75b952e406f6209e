"""The prior chosen on old rows solved as if new, against each of them solved and ranked by hand."""

import numpy as np
import pytest

import tf1_embed
from support.tables import bits
from tf1_embed.solving.choose import PENALTIES

NUM_OLD, DIM = 40, 4


class Old:
    """Old rows of one direction more than others, and what is asked of them."""

    def __init__(self, spread=1.0, seed=0):
        random = np.random.RandomState(seed)
        self.rows = (random.randn(NUM_OLD, DIM) * [3, 1, 1, 0.3] + 1).astype(np.float32)
        self.ids, self.held_ids = (random.randint(0, NUM_OLD, count) for count in (500, 300))
        self.queries, self.held_queries = random.randn(500, DIM), random.randn(300, DIM)
        self.offsets, self.held_offsets = random.randn(500), random.randn(300)
        self.targets = self.score(self.queries, self.ids, self.offsets) + spread * random.randn(500)
        self.held_targets = self.score(self.held_queries, self.held_ids, self.held_offsets)
        self.held_targets += spread * random.randn(300)

    def score(self, queries, ids, offsets):
        return (queries * self.rows[ids]).sum(axis=1) + offsets

    def answers(self, random_state=1):
        """Queries that are answered by the row that scores most, and those held out."""
        random = np.random.RandomState(random_state)
        queries = random.randn(1200, DIM)
        ids = np.argmax(queries @ self.rows.T + random.gumbel(size=(1200, NUM_OLD)), axis=1)
        return (queries[:800], ids[:800]), (queries[800:], ids[800:])


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_ridge_penalty_is_the_best_of_the_grid_on_held_out_facts(given, spread):
    old = Old(spread)
    background = tf1_embed.Background(old.rows)
    background.add(old.queries, old.ids, old.targets, old.offsets)
    held = old.held_queries, old.held_ids, old.held_targets, old.held_offsets
    choice = tf1_embed.choose_solver(
        background,
        *(old.queries, old.ids, old.targets, old.offsets),
        held_out=held if given else None,
        loss="squared",
    )
    assert choice.held_out == given
    assert len(choice.rows) == NUM_OLD // 10
    taken = np.isin(old.ids, choice.rows)
    rest = np.delete(old.rows, choice.rows, axis=0).astype(np.float64)
    noise = np.mean((old.targets - old.score(old.queries, old.ids, old.offsets))[~taken] ** 2)
    rest_background = tf1_embed.Background(np.delete(old.rows, choice.rows, axis=0))
    expected = {}
    for prior in ("zero", "old"):
        if prior == "zero":
            mean, precision = np.zeros(DIM), np.eye(DIM) * DIM / (rest**2).sum(axis=1).mean()
        else:
            mean = rest.mean(axis=0)
            precision = np.linalg.inv(rest_background.shrunk_covariance())
        for penalty in PENALTIES:
            errors = []
            for row in choice.rows:
                own = np.flatnonzero(old.ids == row)
                solved, tested = (own, None) if given else (own[::2], own[1::2])
                queries = old.queries[solved]
                matrix = penalty * precision + queries.T @ queries / noise
                right = queries.T @ (old.targets - old.offsets)[solved] / noise
                found = np.linalg.solve(matrix, penalty * precision @ mean + right)
                if given:
                    of_row = old.held_ids == row
                    queries, sought = old.held_queries[of_row], old.held_targets[of_row]
                    sought = sought - old.held_offsets[of_row]
                else:
                    queries, sought = old.queries[tested], (old.targets - old.offsets)[tested]
                errors.append((queries @ found - sought) ** 2)
            expected[prior, penalty] = 0.5 * np.concatenate(errors).mean()
    for trial in choice.trials:
        assert -trial.value == pytest.approx(expected.pop((trial.prior, trial.penalty)), rel=1e-4)
    assert not expected
    best = max(choice.trials, key=lambda trial: trial.value)
    assert (choice.prior, choice.penalty) == (best.prior, best.penalty)
    assert f"prior {best.prior}, penalty {best.penalty:g}: the best of 10" in str(choice)
    assert ("that the model was trained on, since none were held out" in str(choice)) != given


def rank(scores, right, excluded):
    rivals = [s for i, s in enumerate(scores) if i != right and i not in excluded]
    return 1 + sum(each > scores[right] for each in rivals)


@pytest.mark.parametrize("share", [None, 1.0])
def test_softmax_prior_is_the_best_by_the_ranks_of_new_and_old_answers(share):
    old = Old()
    (queries, ids), (held_queries, held_ids) = old.answers()
    # One query with two answers: neither is the other's rival.
    held_queries[0], held_ids[0] = queries[0], (ids[0] + 1) % NUM_OLD
    background = tf1_embed.Background(old.rows, partitions=True)
    background.add(queries, ids)
    choice = tf1_embed.choose_solver(
        background, queries, ids, held_out=(held_queries, held_ids), share=share
    )
    priors = ("zero", "old") if share is None else ("zero", "old", "cubed")
    tried = [(trial.prior, trial.penalty) for trial in choice.trials]
    assert tried == [(prior, penalty) for prior in priors for penalty in PENALTIES]
    out = choice.rows
    order = np.concatenate([np.setdiff1d(np.arange(NUM_OLD), out), out])
    place = np.argsort(order)
    taken = np.isin(ids, out)
    beside = tf1_embed.Background(np.delete(old.rows, out, axis=0), partitions=True)
    beside.add(queries[~taken], place[ids[~taken]])
    for trial in choice.trials:
        rows = tf1_embed.solve_rows(
            queries[taken],
            place[ids[taken]],
            None,
            beside,
            prior=trial.prior,
            penalty=trial.penalty,
            num_new_rows=len(out),
            old_queries=None if share is None else queries[~taken],
        )
        every = np.concatenate([beside.old_rows, rows])
        reciprocal = {True: [], False: []}
        for query, answer in zip(held_queries, held_ids):
            same = (queries == query).all(axis=1)
            also = place[np.concatenate([ids[same], held_ids[(held_queries == query).all(axis=1)]])]
            found = rank(every @ query, place[answer], also)
            reciprocal[answer in out].append(1 / found)
        assert trial.new == pytest.approx(np.mean(reciprocal[True]))
        assert trial.old == pytest.approx(np.mean(reciprocal[False]))
        assert trial.value == pytest.approx((trial.new + trial.old) / 2)
    assert choice.trials[tried.index((choice.prior, choice.penalty))].value == max(
        trial.value for trial in choice.trials
    )


def test_solver_is_that_of_the_choice_for_all_old_rows():
    old = Old()
    background = tf1_embed.Background(old.rows)
    background.add(old.queries, old.ids, old.targets, old.offsets)
    choice, again = (
        tf1_embed.choose_solver(
            background, old.queries, old.ids, old.targets, old.offsets, loss="squared"
        )
        for _ in range(2)
    )
    assert choice.trials == again.trials
    facts = old.queries[:9], np.full(9, NUM_OLD), old.targets[:9]
    expected = tf1_embed.solve_rows(
        *facts, background, "squared", choice.prior, penalty=choice.penalty
    )
    np.testing.assert_array_equal(bits(choice.solver.solve(*facts)), bits(expected))


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"ids": np.full(500, NUM_OLD)}, "`ids` must be those of old rows, in \\[0, 40\\)"),
        ({"queries": np.zeros([0, DIM]), "ids": np.zeros(0, int)}, "got none"),
        ({"ids": np.arange(500) % 2 + 38, "queries": np.ones([500, 3])}, "`queries` must be"),
        ({"held_out": (np.ones([1, DIM]), [99])}, "`ids` must be those of old rows"),
        ({"held_out": (np.ones([1, DIM]), [3], [1.0])}, "`held_out` must have targets if"),
        ({"share": 0.0}, "`share` must be in"),
    ],
)
def test_facts_that_do_not_fit_are_refused(changed, message):
    old = Old()
    background = tf1_embed.Background(old.rows)
    background.add(old.queries, old.ids)
    with pytest.raises(ValueError, match=message):
        tf1_embed.choose_solver(background, **{"queries": old.queries, "ids": old.ids, **changed})


def test_too_few_facts_to_choose_by_are_refused():
    old = Old()
    few = tf1_embed.Background(old.rows[:9])
    few.add(old.queries, old.ids % 9)
    with pytest.raises(ValueError, match="of 9 old rows 9 have facts .* too few to choose"):
        tf1_embed.choose_solver(few, old.queries, old.ids % 9)
    background = tf1_embed.Background(old.rows)
    once = np.arange(NUM_OLD)
    background.add(old.queries[:NUM_OLD], once)
    with pytest.raises(ValueError, match="of 40 old rows 0 have facts"):
        tf1_embed.choose_solver(background, old.queries[:NUM_OLD], once)
    with pytest.raises(ValueError, match="nothing would say what the answers of the others lose"):
        tf1_embed.choose_solver(background, old.queries, old.ids, held_out=(old.queries[:1], [3]))
