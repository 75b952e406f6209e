"""The report of a growth: what it sees, and each of its warnings."""

import numpy as np
import pytest

from tf1_embed.solving.report import growth_report

RANDOM = np.random.RandomState(0)
OLD = RANDOM.randn(40, 3).astype(np.float32)
NEW = 0.5 * RANDOM.randn(4, 3).astype(np.float32)
QUERIES = RANDOM.randn(30, 3).astype(np.float32)


def test_rows_like_the_old_ones_cause_no_warning():
    report = growth_report(OLD, NEW, ids=[40, 41, 42, 43, 43], queries=QUERIES)
    assert report.warnings() == []
    scores = np.exp(QUERIES @ np.concatenate([OLD, NEW]).T)
    share = (scores[:, 40:].sum(axis=1) / scores.sum(axis=1)).mean()
    assert report.softmax_share == pytest.approx(share, rel=1e-4)
    assert report.largest_score == pytest.approx(np.abs(QUERIES @ NEW.T).max(), rel=1e-5)
    assert report.fair_share == 4 / 44
    np.testing.assert_allclose(report.new_norms, np.linalg.norm(NEW, axis=1), rtol=1e-6)
    assert f"they take {share:.2%}; as many old rows take 9.09%" in str(report)


def test_what_is_not_given_is_not_spoken_of():
    report = growth_report(OLD, NEW)
    assert report.softmax_share is report.largest_score is report.without_facts is None
    assert str(report).count("\n") == 0


def changed(row, value, dtype=np.float32):
    rows = NEW.astype(dtype)
    rows[row] = value
    return rows


@pytest.mark.parametrize(
    "new_rows, ids, warning",
    [
        (changed(1, np.nan), None, "1 new row (41) holds NaN or infinity"),
        (changed([1, 2], np.inf), None, "2 new rows (41, 42) hold NaN or infinity"),
        (changed(3, 40), None, "1 new row (43) is more than 2 times as long"),
        (NEW, [40, 43], "2 new rows (41, 42) have no facts"),
        (10 * NEW, None, "of the softmax of old queries, where as many old rows take 9.09%"),
        (changed(0, 3e4, np.float16), None, "and float16 ends at 6.55e+04"),
    ],
)
def test_each_fault_is_a_warning_with_what_to_do(new_rows, ids, warning):
    report = growth_report(OLD, new_rows, ids, QUERIES)
    found = [each for each in report.warnings() if warning in each]
    assert len(found) == 1 and f"warning: {found[0]}" in str(report)


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="`new_rows` must be of shape"):
        growth_report(OLD, NEW[:, :2])
    with pytest.raises(ValueError, match="`ids` must be those of new rows, in \\[40, 44\\); got 7"):
        growth_report(OLD, NEW, ids=[7, 40])
    with pytest.raises(ValueError, match="`queries` hold NaN"):
        growth_report(OLD, NEW, queries=np.full([2, 3], np.nan))
