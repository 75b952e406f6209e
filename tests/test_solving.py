"""New rows solved from a frozen model, against problems written out one row at a time."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import tf1_embed
from support.tables import bits
from tf1_embed.solving import facts as facts_module
from tf1_embed.solving import softmax, whitened
from tf1_embed.solving.facts import log_partitions

NUM_OLD, DIM = 40, 6


class Problem:
    """Old rows, old queries that they answer, and facts of four new rows: 0, 1, 3 and 30 each."""

    def __init__(self, seed=0):
        random = np.random.RandomState(seed)
        self.old_rows = (random.randn(NUM_OLD, DIM) + 0.3).astype(np.float32)
        self.old_queries = random.randn(300, DIM)
        self.old_ids = np.argmax(self.old_queries @ self.old_rows.T, axis=1)
        self.old_offsets = random.randn(300)
        self.ids = random.permutation(np.repeat(np.arange(4), [0, 1, 3, 30])) + NUM_OLD
        self.queries = random.randn(34, DIM)
        self.offsets = random.randn(34)
        self.targets = random.rand(34)

    def background(self, partitions=False, targets=None):
        background = tf1_embed.Background(self.old_rows, partitions)
        background.add(self.old_queries, self.old_ids, targets, self.old_offsets)
        return background

    def facts_of(self, row):
        of_row = self.ids == row + NUM_OLD
        return self.queries[of_row], self.targets[of_row], self.offsets[of_row]


@pytest.fixture
def problem():
    return Problem()


def known_without_facts(problem, background, prior):
    """Returns the precision and what it pulls to: the quadratic that all new rows share."""
    rows = problem.old_rows.astype(np.float64)
    if prior == "zero":
        precision, mean = np.eye(DIM) * DIM / (rows**2).sum(axis=1).mean(), np.zeros(DIM)
    else:
        precision, mean = np.linalg.inv(background.shrunk_covariance()), rows.mean(axis=0)
    scores = problem.old_queries @ rows.T + problem.old_offsets[:, np.newaxis]
    weight = 1 / NUM_OLD
    gram = sum(np.outer(query, query) for query in problem.old_queries)
    pull = sum(
        query * (scores.mean() - offset)
        for query, offset in zip(problem.old_queries, problem.old_offsets)
    )
    return precision + weight * gram, precision @ mean + weight * pull


@pytest.mark.parametrize("prior", ["zero", "old"])
def test_squared_rows_are_those_of_ridge_regression(problem, prior):
    background = problem.background()
    rows = tf1_embed.solve_rows(
        problem.queries, problem.ids, problem.targets, background, "squared", prior, problem.offsets
    )
    assert rows.shape == (4, DIM) and rows.dtype == np.float32
    precision, pull = known_without_facts(problem, background, prior)
    right = np.einsum("ij,ij->i", problem.old_queries, problem.old_rows[problem.old_ids])
    noise = np.var(right + problem.old_offsets)
    for row in range(4):
        queries, targets, offsets = problem.facts_of(row)
        expected = np.linalg.solve(
            precision + queries.T @ queries / noise, pull + queries.T @ (targets - offsets) / noise
        )
        np.testing.assert_allclose(rows[row], expected, rtol=1e-4, atol=1e-5)


def test_squared_facts_without_targets_seek_the_mean_right_score(problem):
    background = problem.background()
    arguments = (problem.queries, problem.ids), (background, "squared")
    rows = tf1_embed.solve_rows(*arguments[0], None, *arguments[1])
    targets = np.full(34, background.right_mean)
    expected = tf1_embed.solve_rows(*arguments[0], targets, *arguments[1])
    np.testing.assert_array_equal(bits(rows), bits(expected))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
@pytest.mark.parametrize("prior", ["zero", "old"])
def test_newton_ends_where_the_gradient_is_zero(problem, loss, prior):
    background = problem.background()
    targets = None if loss == "softmax" else problem.targets
    rows = tf1_embed.solve_rows(
        problem.queries, problem.ids, targets, background, loss, prior, problem.offsets
    ).astype(np.float64)
    precision, pull = known_without_facts(problem, background, prior)
    for row in range(4):
        queries, targets, offsets = problem.facts_of(row)
        if loss == "softmax":
            # Offsets are in the partition as well.
            scores = queries @ problem.old_rows.T
            share = np.exp(queries @ rows[row])
            slope = share / (np.exp(scores).sum(axis=1) + share) - 1
        else:
            slope = sigmoid(queries @ rows[row] + offsets) - targets
        gradient = precision @ rows[row] - pull + queries.T @ slope
        np.testing.assert_allclose(gradient, 0, atol=2e-3)


def test_row_without_facts_is_what_is_known_without_them(problem):
    background = problem.background()
    rows = tf1_embed.solve_rows(
        np.zeros([0, DIM]), np.zeros(0, int), None, background, num_new_rows=2
    )
    precision, pull = known_without_facts(problem, background, "zero")
    np.testing.assert_allclose(rows, [np.linalg.solve(precision, pull)] * 2, rtol=1e-5, atol=1e-6)


def softmax_loss(problem, rows):
    """The loss of all facts and old queries over old and new rows, and the prior's."""
    every = np.concatenate([problem.old_rows.astype(np.float64), rows])
    total = 0.0
    for queries, ids in (
        (problem.queries, problem.ids),
        (problem.old_queries, problem.old_ids),
    ):
        scores = queries @ every.T
        total += np.log(np.exp(scores).sum(axis=1)).sum()
        total -= scores[np.arange(len(ids)), ids].sum()
    size = (problem.old_rows.astype(np.float64) ** 2).sum(axis=1).mean()
    return total + 0.5 * (rows**2).sum() * DIM / size


def test_softmax_with_old_queries_is_solved_for_all_rows_together(problem):
    rows = tf1_embed.solve_rows(
        problem.queries,
        problem.ids,
        None,
        problem.background(partitions=True),
        old_queries=problem.old_queries,
    ).astype(np.float64)
    reached = softmax_loss(problem, rows)
    # The slope, by differences, against that of rows which do not know of the old queries.
    start = tf1_embed.solve_rows(problem.queries, problem.ids, None, problem.background())
    assert reached < softmax_loss(problem, start.astype(np.float64))
    random = np.random.RandomState(1)
    for _ in range(20):
        step = random.randn(4, DIM)
        step *= 0.3 / np.linalg.norm(step)
        assert softmax_loss(problem, rows + step) > reached - 1e-2
    # The old rows' share of the old queries is what remains.
    scores = problem.old_queries @ rows.T
    taken = np.exp(scores) / np.exp(log_partitions(problem.old_queries, problem.old_rows))[:, None]
    assert taken.mean() < 0.05


@pytest.mark.parametrize("penalty", [0.5, 3.0])
def test_cubed_rows_end_where_the_gradient_is_zero(problem, penalty, monkeypatch):
    monkeypatch.setattr(softmax, "_TOLERANCE", 1e-12)
    monkeypatch.setattr(softmax, "_MAX_STEPS", 500)
    rows = tf1_embed.solve_rows(
        problem.queries,
        problem.ids,
        None,
        problem.background(partitions=True),
        prior="cubed",
        penalty=penalty,
        old_queries=problem.old_queries,
    ).astype(np.float64)
    weight = penalty / (3 * (np.abs(problem.old_rows.astype(np.float64)) ** 3).mean())
    slope = 3 * weight * rows * np.abs(rows)
    every = np.concatenate([problem.old_rows.astype(np.float64), rows])
    for queries, ids in (
        (problem.queries, problem.ids),
        (problem.old_queries, problem.old_ids),
    ):
        shares = np.exp(queries @ every.T)
        shares /= shares.sum(axis=1, keepdims=True)
        shares[np.arange(len(ids)), ids] -= 1
        slope += (shares.T @ queries)[NUM_OLD:]
    np.testing.assert_allclose(slope, 0, atol=2e-3)


@pytest.mark.parametrize("prior", ["zero", "old"])
def test_penalty_multiplies_what_the_prior_says(problem, prior):
    background = problem.background(targets=problem.old_offsets)
    rows = tf1_embed.solve_rows(
        *(problem.queries, problem.ids, problem.targets, background, "squared", prior),
        penalty=5.0,
    )
    old = problem.old_rows.astype(np.float64)
    mean, precision = np.zeros(DIM), np.eye(DIM) * DIM / (old**2).sum(axis=1).mean()
    if prior == "old":
        mean, precision = old.mean(axis=0), np.linalg.inv(background.shrunk_covariance())
    for row in range(4):
        queries, targets, _ = problem.facts_of(row)
        expected = np.linalg.solve(
            5 * precision + queries.T @ queries / background.noise_variance,
            5 * precision @ mean + queries.T @ targets / background.noise_variance,
        )
        np.testing.assert_allclose(rows[row], expected, rtol=1e-4, atol=1e-5)


def test_share_of_the_old_queries_weighs_as_much_as_all(problem):
    facts = problem.queries, problem.ids, None, problem.background(partitions=True)
    every, half, again = (
        tf1_embed.solve_rows(*facts, old_queries=problem.old_queries, share=share)
        for share in (1.0, 0.5, 0.5)
    )
    np.testing.assert_array_equal(bits(half), bits(again))
    assert not np.array_equal(every, half)
    assert np.linalg.norm(every - half) < 0.35 * np.linalg.norm(every)


def test_facts_between_new_rows_are_looked_at_again_as_rows_become_known(problem):
    background = problem.background()

    def between(rows):
        # Row 0, which has no fact of its own, is like row 3, and asks for what row 3 asks for.
        return rows[[3, 3]] * 2, [NUM_OLD, NUM_OLD], None

    rows = tf1_embed.solve_rows(
        problem.queries, problem.ids, None, background, "squared", between=between
    )
    without = tf1_embed.solve_rows(problem.queries, problem.ids, None, background, "squared")
    np.testing.assert_allclose(rows[1:], without[1:], rtol=1e-6)
    alone = tf1_embed.solve_rows(without[[3, 3]] * 2, [NUM_OLD] * 2, None, background, "squared")
    np.testing.assert_allclose(rows[0], alone[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
def test_memory_is_that_of_the_rows_and_of_a_chunk(loss, monkeypatch):
    monkeypatch.setattr(whitened, "CHUNK_NUMBERS", 1 << 14)
    monkeypatch.setattr(facts_module, "CHUNK_SCORES", 1 << 14)
    num_new, dim = 20000, 64
    random = np.random.RandomState(0)
    old_rows = random.randn(200, dim).astype(np.float32)
    background = tf1_embed.Background(old_rows)
    background.add(random.randn(400, dim), np.arange(400) % 200)
    solver = tf1_embed.RowSolver(background, loss)
    # Of a row fewer facts than numbers, but for one.
    ids = np.concatenate([np.arange(num_new), np.zeros(100, int)]) + 200
    queries = random.randn(len(ids), dim).astype(np.float32)
    tracemalloc.start()
    rows = solver.solve(queries, ids)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows.shape == (num_new, dim)
    # Ids, targets and offsets are as long as the facts, a chunk is of some 130 KB in float64.
    assert peak < 1.3 * rows.nbytes + 10 * 8 * len(ids) + 20 * (1 << 17)


def test_order_and_batches_of_facts_do_not_matter(problem):
    at_once = problem.background(partitions=True)
    in_parts = tf1_embed.Background(problem.old_rows, partitions=True)
    for part in (slice(0, 7), slice(7, 7), slice(7, 300)):
        in_parts.add(
            problem.old_queries[part], problem.old_ids[part], None, problem.old_offsets[part]
        )
    np.testing.assert_allclose(in_parts.gram, at_once.gram)
    np.testing.assert_allclose(in_parts.log_partitions, at_once.log_partitions, rtol=1e-6)
    order = np.random.RandomState(0).permutation(34)
    one = tf1_embed.solve_rows(problem.queries, problem.ids, None, at_once, "squared")
    other = tf1_embed.solve_rows(
        problem.queries[order], problem.ids[order], None, in_parts, "squared"
    )
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_background_sums_are_those_of_numpy(problem):
    background = problem.background(partitions=True)
    rows = problem.old_rows.astype(np.float64)
    scores = problem.old_queries @ rows.T + problem.old_offsets[:, np.newaxis]
    right = scores[np.arange(300), problem.old_ids]
    assert background.num_queries == 300
    assert background.right_mean == pytest.approx(right.mean())
    assert background.noise_variance == pytest.approx(right.var())
    assert background.random_mean == pytest.approx(scores.mean())
    assert background.mean_square_norm == pytest.approx((rows**2).sum(axis=1).mean())
    np.testing.assert_allclose(background.covariance, np.cov(rows.T, bias=True), atol=1e-12)
    logits = problem.old_queries @ rows.T
    np.testing.assert_allclose(
        background.log_partitions, np.log(np.exp(logits).sum(axis=1)), rtol=1e-5
    )
    missed = problem.background(targets=right + 2)
    assert missed.noise_variance == pytest.approx(4)


def test_offsets_of_old_queries_cancel_in_a_softmax(problem):
    found = []
    for offset in (0.0, 3.0):
        background = tf1_embed.Background(problem.old_rows, partitions=True)
        background.add(problem.old_queries, problem.old_ids, None, np.full(300, offset))
        found.append(
            tf1_embed.solve_rows(
                problem.queries, problem.ids, None, background, old_queries=problem.old_queries
            )
        )
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_partition_of_large_scores_does_not_overflow():
    rows = np.array([[1000.0], [999.0]], np.float32)
    expected = [1000 + np.log1p(np.exp(-1)), -999 + np.log1p(np.exp(-1))]
    np.testing.assert_allclose(log_partitions(np.array([[1.0], [-1.0]]), rows), expected)


@pytest.mark.parametrize("num_old, most", [(3, 1.0), (20000, 0.02)])
def test_covariance_is_shrunk_where_old_rows_are_few(num_old, most):
    deviations = np.arange(1, DIM + 1)
    rows = np.random.RandomState(0).randn(num_old, DIM) * deviations
    background = tf1_embed.Background(rows)
    shrunk = background.shrunk_covariance()
    assert np.linalg.eigvalsh(shrunk).min() > 0.01
    assert np.trace(shrunk) == pytest.approx(np.trace(background.covariance))
    change = np.linalg.norm(shrunk - background.covariance) / np.linalg.norm(background.covariance)
    assert (change > 0.1) == (num_old < DIM) and change < most


def test_saved_background_solves_the_same_rows(problem, tmp_path):
    prefix = str(tmp_path / "background.ckpt")
    background = problem.background(partitions=True)
    background.save(prefix)
    loaded = tf1_embed.Background.load(prefix, problem.old_rows.copy())
    rows, again = (
        tf1_embed.solve_rows(
            problem.queries, problem.ids, None, each, old_queries=problem.old_queries
        )
        for each in (background, loaded)
    )
    np.testing.assert_array_equal(bits(rows), bits(again))
    assert tf1_embed.read_certificates(prefix)["rows"].digest == tf1_embed.fingerprint(
        problem.old_rows
    )
    with pytest.raises(FileExistsError):
        background.save(prefix)
    background.save(prefix, force=True)
    with pytest.raises(FileNotFoundError):
        tf1_embed.Background.load(str(tmp_path / "none"), problem.old_rows)
    background.save(str(tmp_path / "made" / "background.ckpt"))
    assert not list(tmp_path.rglob("checkpoint"))


def test_saved_background_is_refused_for_rows_with_one_bit_changed(problem, tmp_path):
    prefix = str(tmp_path / "background.ckpt")
    problem.background().save(prefix)
    other = problem.old_rows.copy()
    other.view(np.uint32)[7, 2] ^= 1
    with pytest.raises(ValueError, match="`old_rows` are not those that .* was made of"):
        tf1_embed.Background.load(prefix, other)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"loss": "hinge"}, "`loss` must be one of squared, logistic, softmax; got 'hinge'"),
        ({"prior": "flat"}, "`prior` must be one of zero, old, cubed"),
        ({"prior": "cubed"}, "the prior cubed needs `old_queries`"),
        ({"prior": "cubed", "loss": "squared"}, "prior cubed is for the loss softmax, not squared"),
        ({"penalty": 0.0}, "`penalty` must be above 0, got 0.0"),
        ({"old_weight": -1.0}, "`old_weight` must be 0 or more"),
        ({"queries": np.zeros([34, 5])}, "`queries` must be floats of shape"),
        ({"queries": np.full([34, DIM], np.nan)}, "`queries` hold NaN"),
        ({"ids": np.zeros(34, int)}, "`ids` must be those of new rows, which begin at 40; got 0"),
        ({"ids": np.zeros(34)}, "`ids` must be ints"),
        ({"num_new_rows": 2}, "`ids` go up to 43, but with `num_new_rows` 2 the last row is 41"),
        ({"targets": np.zeros(3)}, "`targets` must be floats of shape"),
        ({"targets": np.full(34, 2.0), "loss": "logistic"}, "must be in \\[0, 1\\]"),
        ({"targets": np.zeros(34), "loss": "softmax"}, "`targets` must be None for a softmax"),
        ({"offsets": np.full(34, np.inf)}, "`offsets` hold NaN or infinity"),
        ({"old_queries": np.zeros([300, DIM])}, "need a background with their partitions"),
        ({"old_queries": np.zeros([1, 1]), "loss": "squared"}, "are for the loss softmax"),
        ({"between": lambda rows: (rows[:1], [99], None)}, "the ids of `between` go up to 99"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(problem, changed, message):
    arguments = {
        "queries": problem.queries,
        "ids": problem.ids,
        "targets": None,
        "background": problem.background(),
        **changed,
    }
    with pytest.raises(ValueError, match=message):
        tf1_embed.solve_rows(**arguments)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"share": 0.0}, "`share` must be in"),
        ({"old_queries": np.zeros([299, DIM])}, "must be the 300 that the background was made of"),
    ],
)
def test_old_queries_that_do_not_fit_are_refused(problem, changed, message):
    arguments = {"old_queries": problem.old_queries, **changed}
    background = problem.background(partitions=True)
    with pytest.raises(ValueError, match=message):
        tf1_embed.solve_rows(problem.queries, problem.ids, None, background, **arguments)


@pytest.mark.parametrize(
    "rows, message",
    [
        (np.zeros([3]), "`old_rows` must be floats of shape"),
        (np.zeros([3, 2], int), "`old_rows` must be floats of shape"),
        (np.full([3, 2], np.nan), "`old_rows` hold NaN or infinity"),
    ],
)
def test_old_rows_that_are_no_rows_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        tf1_embed.Background(rows)


def test_backgrounds_that_say_nothing_are_refused(problem):
    empty = tf1_embed.Background(problem.old_rows)
    with pytest.raises(ValueError, match="`add` old ones first"):
        tf1_embed.RowSolver(empty)
    with pytest.raises(ValueError, match="`ids` must be those of old rows"):
        empty.add(problem.old_queries, problem.old_ids + NUM_OLD)
    zeros = tf1_embed.Background(np.zeros([3, DIM]))
    zeros.add(problem.old_queries[:3], [0, 1, 2])
    with pytest.raises(ValueError, match="all old rows are zero"):
        tf1_embed.RowSolver(zeros)
    with pytest.raises(ValueError, match="all old rows are the same"):
        tf1_embed.RowSolver(zeros, prior="old")
    alike = tf1_embed.Background(np.ones([3, DIM]))
    alike.add(np.ones([3, DIM]), [0, 1, 2])
    with pytest.raises(ValueError, match="do not vary"):
        tf1_embed.RowSolver(alike, "squared")


def test_a_certified_checkpoint_that_is_no_background_is_refused(problem, tmp_path):
    import tensorflow.compat.v1 as tf

    prefix = str(tmp_path / "background.ckpt")
    problem.background().save(prefix)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("other", [2])
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, prefix, write_meta_graph=False)
    with pytest.raises(ValueError, match="is no background: it holds \\['other'\\]"):
        tf1_embed.Background.load(prefix, problem.old_rows)


def test_solving_needs_no_tensorflow():
    program = (
        "import sys; from tf1_embed.solving.solve import solve_rows; "
        "print([each for each in sys.modules if each.startswith('tensorflow')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert result.stdout.strip() == "[]", result.stderr
