"""The audit, held against random graphs that are run: no frozen row moves in one called clean."""

import collections
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "benchmarks"))

import audit_random_graphs

# More by the environment: AUDIT_GRAPHS=10000.
NUM_GRAPHS = int(os.environ.get("AUDIT_GRAPHS", "40"))


@pytest.fixture(scope="module")
def outcomes():
    """What became of each graph, by seed."""
    return [audit_random_graphs.judge(seed)[0] for seed in range(NUM_GRAPHS)]


def test_no_frozen_row_moves_in_a_random_graph_that_is_called_clean(outcomes):
    wrong = [seed for seed, outcome in enumerate(outcomes) if outcome == "FALSE CLEAN"]
    assert wrong == []


def test_random_graphs_are_of_all_kinds_and_few_that_are_safe_alarm(outcomes):
    counts = collections.Counter(outcomes)
    assert counts["alarmed rightly"] > NUM_GRAPHS / 4
    assert counts["clean"] > NUM_GRAPHS / 10
    assert counts["false alarm"] <= 1 + 0.05 * counts["clean"]
    assert counts["not built"] + counts["did not run"] < NUM_GRAPHS / 5
