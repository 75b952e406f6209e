"""A legacy model is audited as examples/audit_a_legacy_graph.py says."""

import contextlib
import inspect
import io

import pytest

from examples import audit_a_legacy_graph as example


@pytest.fixture(scope="module")
def run():
    """What main returned for a short training, and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        outcomes = example.main(["--steps=20"])
    return outcomes, printed.getvalue()


def test_adam_trap_is_found_in_the_masked_model_which_moves_every_old_row(run):
    [finding] = run[0]["masked"].findings
    assert finding.name == "optimizer-moves-when-warm"
    assert "TrainableRowsOptimizer" in finding.remedy
    assert run[0]["masked"].rows_moved == example.NUM_OLD


def test_finding_names_the_line_that_applies_the_gradient(run):
    [finding] = run[0]["masked"].findings
    lines, first = inspect.getsourcelines(example.minimize_masked)
    [number] = [first + i for i, line in enumerate(lines) if "apply_gradients" in line]
    assert finding.line.endswith(f"audit_a_legacy_graph.py:{number}")


def test_wrapped_model_is_clean_and_moves_no_old_row(run):
    assert run[0]["wrapped"] == ([], 0)


def test_main_prints_the_finding_and_then_that_there_is_none(run):
    masked, wrapped = run[1].split("\nwrapped\n")
    assert str(run[0]["masked"].findings[0]) in masked
    assert "200 of 200 old items moved" in masked
    assert "clean" in wrapped
    assert "0 of 200 old items moved" in wrapped
