"""Runs the programs of each client once; tells at the end what came of them."""

import importlib
import json
from pathlib import Path

import pytest

OUTCOMES = []
REPORT = Path("runs", "clients", "report.json")


@pytest.fixture(scope="session", params=["ampligraph", "bert", "deepctr", "libreco"])
def outcome(request, tmp_path_factory):
    """The `Outcome` of a client."""
    client = importlib.import_module(f"with_{request.param}")
    OUTCOMES.append(client.run(tmp_path_factory.mktemp(request.param)))
    return OUTCOMES[-1]


def pytest_terminal_summary(terminalreporter):
    for each in OUTCOMES:
        terminalreporter.write_line(
            f"{each.client}: {each.changed_lines} changed lines; of {each.old_rows} old rows "
            f"{each.old_rows_moved} moved, {each.old_rows_moved_plain} without tf1_embed; of "
            f"{each.new_rows} new rows {each.new_rows_moved} moved; {each.metric}: "
            f"{each.random_rows:.3f} of random rows, {each.trained:.3f} trained, "
            f"{each.trained_on:.3f} after the program as it was went on"
        )
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps([each._asdict() for each in OUTCOMES], indent=2) + "\n")
