"""What docs/every_way.md says of every way under every optimizer is measured again."""

import re
from pathlib import Path

import pytest

from examples import every_way

PAGE = Path(__file__).resolve().parent.parent / "docs" / "every_way.md"

WORKS = ["`tf.concat` of two variables", "`tf.cond` between two variables"]
WORKS += ["`TrainableRowsOptimizer`", "a split table, `get_grown_table`"]


@pytest.fixture(scope="module")
def results():
    return every_way.measure_all()


def test_page_has_the_table_that_is_measured(results):
    text = PAGE.read_text(encoding="utf-8")
    (stored,) = re.findall(r"<!-- measured -->\n(.*?)<!-- end -->", text, re.DOTALL)
    assert stored == every_way.as_markdown(results)


def test_ways_that_the_page_calls_safe_keep_old_rows_under_every_optimizer(results):
    safe = [
        way
        for way in every_way.WAYS
        if all(results[way, optimizer][0] == "stays" for optimizer in every_way.OPTIMIZERS)
    ]
    assert safe == WORKS


@pytest.mark.parametrize(
    "way, telling",
    [
        ("a looked-up tensor, given to the optimizer", "Trying to update a Tensor"),
        ("a lookup of its own, that the loss does not use", "No gradients provided"),
        ("a slice of the table, `table[4:]`", "No gradients provided"),
        ("`tf.concat` of `[n, d]` and `[n, 1, d]`", "Shape must be rank 2 but is rank 3"),
    ],
)
def test_error_says_what_the_page_says(results, way, telling):
    outcome, reason = results[way, "SGD"]
    assert outcome == "error" and telling in reason
    assert telling in PAGE.read_text(encoding="utf-8")
