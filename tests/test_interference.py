"""Ranks of old answers, against ranks counted one by one; and the budget."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from tf1_embed.solving import interference as module

NUM_OLD, NUM_NEW, NUM_QUERIES = 9, 3, 20


def draw(seed):
    random = np.random.RandomState(seed)
    # Small whole numbers: many ties.
    old, new = (random.randint(-2, 3, [n, 2]).astype(np.float32) for n in (NUM_OLD, NUM_NEW))
    queries = random.randint(-2, 3, [NUM_QUERIES, 2]).astype(np.float32)
    ids = random.randint(0, NUM_OLD, NUM_QUERIES)
    also_right = [
        random.permutation(NUM_OLD + NUM_NEW)[: random.randint(0, 4)] for _ in range(NUM_QUERIES)
    ]
    return queries, ids, old, new, also_right


def rank(scores, right, excluded):
    rivals = [s for i, s in enumerate(scores) if i != right and i not in excluded]
    better = sum(each > scores[right] for each in rivals)
    tied = sum(each == scores[right] for each in rivals)
    return 1 + better + tied / 2


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("chunk", [1, 1 << 22])
def test_ranks_are_those_counted_one_by_one(filtered, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_SCORES", chunk)
    for seed in range(5):
        queries, ids, old, new, also_right = draw(seed)
        if not filtered:
            also_right = None
        found = tf1_embed.interference(queries, ids, old, new, also_right)
        every = np.concatenate([old, new])
        for i in range(NUM_QUERIES):
            excluded = set(also_right[i]) if filtered else set()
            scores = every @ queries[i]
            assert found.ranks_before[i] == rank(scores[:NUM_OLD], ids[i], excluded)
            assert found.ranks_after[i] == rank(scores, ids[i], excluded)
        assert found.mrr_before == np.mean(1 / found.ranks_before)
        assert found.mrr_after == np.mean(1 / found.ranks_after)
        assert found.displaced == np.mean(found.ranks_after > found.ranks_before)


def test_numbers_go_to_tensorboard_and_into_a_sentence():
    old, new = np.array([[2.0], [1.0]]), np.array([[3.0]])
    found = tf1_embed.interference([[1.0], [-1.0]], [0, 1], old, new)
    assert found.as_dict() == {
        "mrr_before": 1.0,
        "mrr_after": 0.75,
        "lost": 0.25,
        "displaced": 0.5,
        "rank_change": 1.0,
    }
    assert str(found) == (
        "old MRR 1.000 among old rows, 0.750 among all: 25.0 % lost; 50.0 % of answers displaced, "
        "by 1.0 ranks on average"
    )
    summary = found.summary("old")
    assert isinstance(summary, tf.Summary)
    assert {each.tag: each.simple_value for each in summary.value}["old/mrr_after"] == 0.75


def test_rows_that_nobody_asks_for_cost_nothing():
    queries, ids, old, _, _ = draw(0)
    found = tf1_embed.interference(queries, ids, old, np.zeros([0, 2]))
    assert found.lost == found.displaced == found.rank_change == 0


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"ids": np.full(NUM_QUERIES, NUM_OLD)}, "`ids` must be those of old rows"),
        ({"queries": np.zeros([NUM_QUERIES, 3])}, "`queries` must be floats of shape"),
        ({"new_rows": np.zeros([1, 3])}, "`new_rows` must be of shape"),
        ({"new_rows": np.full([1, 2], np.nan)}, "`new_rows` hold NaN"),
        ({"also_right": [[]]}, "`also_right` must have ids for each of 20 queries, got 1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changed, message):
    queries, ids, old, new, _ = draw(0)
    arguments = {"queries": queries, "ids": ids, "old_rows": old, "new_rows": new, **changed}
    with pytest.raises(ValueError, match=message):
        tf1_embed.interference(**arguments)


@pytest.fixture(scope="module")
def crowded():
    """Old answers, and facts that ask for a new row exactly where old rows are the answers."""
    random = np.random.RandomState(0)
    old_rows = random.randn(60, 5).astype(np.float32)
    old_queries = random.randn(1000, 5).astype(np.float32)
    old_ids = (old_queries @ old_rows.T).argmax(axis=1)
    background = tf1_embed.Background(old_rows, partitions=True)
    background.add(old_queries, old_ids)
    held_out = random.randn(300, 5).astype(np.float32)
    held_out_ids = (held_out @ old_rows.T).argmax(axis=1)
    return background, old_queries, held_out, held_out_ids


def test_smallest_weight_that_keeps_the_budget_is_chosen(crowded):
    background, old_queries, held_out, held_out_ids = crowded
    facts = {"queries": old_queries[:200], "ids": np.arange(200) % 4 + 60}
    solver = tf1_embed.RowSolver(background)
    weights, lost = [], []
    for budget in (0.02, 0.1):
        rows, weight, found = solver.within(
            budget, held_out, held_out_ids, old_queries=old_queries, **facts
        )
        assert found.lost <= budget
        again = tf1_embed.interference(held_out, held_out_ids, background.old_rows, rows)
        assert again.lost == found.lost
        looser = tf1_embed.solve_rows(
            targets=None,
            background=background,
            old_queries=old_queries,
            old_weight=weight / 2,
            **facts,
        )
        less = tf1_embed.interference(held_out, held_out_ids, background.old_rows, looser)
        assert less.lost > budget
        weights.append(weight)
        lost.append(found.lost)
    assert weights[0] > weights[1] and lost[0] < lost[1]


def test_budget_that_no_weight_keeps_is_refused(crowded):
    background, old_queries, held_out, held_out_ids = crowded
    solver = tf1_embed.RowSolver(background)
    with pytest.raises(ValueError, match="more than the `budget` of -100.00%"):
        solver.within(-1.0, held_out, held_out_ids, old_queries[:9], np.full(9, 60))
    with pytest.raises(ValueError, match="`old_weight` must be 0 or more"):
        tf1_embed.RowSolver(background, old_weight=-1)
