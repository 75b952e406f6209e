"""A legacy model adopts TrainableRowsOptimizer as examples/one_line_adoption.py says."""

import contextlib
import io

import pytest

from examples import one_line_adoption as example


@pytest.fixture(scope="module")
def run():
    """What main returned for a short training, and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        outcomes = example.main(["--old-steps=60", "--new-steps=60"])
    return outcomes, printed.getvalue()


@pytest.fixture(scope="module")
def outcomes(run):
    return run[0]


def test_every_old_row_moves_if_the_model_trains_as_it_is(outcomes):
    assert outcomes["as it is"].rows_moved == example.NUM_OLD
    assert outcomes["as it is"].slot_rows_moved == example.NUM_OLD


def test_every_old_row_moves_under_warm_adam_though_its_gradient_is_dropped(outcomes):
    assert outcomes["gradients dropped"].rows_moved == example.NUM_OLD
    # Far more than by rounding.
    assert outcomes["gradients dropped"].largest_move > 0.01


def test_old_rows_and_their_slots_stay_bit_identical_if_the_optimizer_is_wrapped(outcomes):
    assert outcomes["optimizer wrapped"].rows_moved == 0
    assert outcomes["optimizer wrapped"].slot_rows_moved == 0
    assert outcomes["optimizer wrapped"].largest_move == 0


def test_new_rows_are_learned_as_well_as_if_all_were_trained(outcomes):
    # All start from one checkpoint.
    (before,) = {outcome.loss_before for outcome in outcomes.values()}
    learned = {variant: before - outcome.loss_after for variant, outcome in outcomes.items()}
    assert learned["as it is"] > 0.5
    assert learned["optimizer wrapped"] > 0.9 * learned["as it is"]


def test_the_diff_is_one_line_of_the_code_that_ran(run):
    diff = example.one_line_diff()
    changed = [line for line in diff if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert len(changed) == 1
    assert changed[0].startswith("+    adam = TrainableRowsOptimizer(adam, ")
    assert 'slots="full"' in changed[0]
    assert "\n".join(diff) in run[1]
    ran = dict(example.VARIANTS)
    assert ran["as it is"] is example.minimize
    assert ran["optimizer wrapped"] is example.minimize_with_optimizer_wrapped


def test_main_prints_a_row_of_each_variant_and_what_happened(run):
    outcomes, printed = run
    for variant, outcome in outcomes.items():
        (row,) = [line for line in printed.splitlines() if line.startswith(f"{variant} ")]
        cells = row[len(variant) :].split()
        assert cells[:2] == [str(outcome.rows_moved), str(outcome.slot_rows_moved)]
        assert float(cells[2]) == pytest.approx(outcome.largest_move, abs=1e-4)
        assert cells[3:] == [f"{outcome.loss_before:.2f}", "to", f"{outcome.loss_after:.2f}"]
    assert f"{example.NUM_OLD} of {example.NUM_OLD} old rows" in printed.splitlines()[-1]
