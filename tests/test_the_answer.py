"""The experiment that the answer printed does what it printed, and cannot do what it cannot."""

import numpy as np

from examples import the_answer


def test_row_of_new_data_moves_and_no_other_row():
    step = the_answer.train([2], z=True)
    assert the_answer.rows_that_moved(step, "e") == [2]
    assert the_answer.rows_that_moved(step, "e_old") == []


def test_row_of_old_data_stays_and_the_layer_above_does_not():
    step = the_answer.train([2], z=False)
    assert the_answer.rows_that_moved(step, "e") == []
    assert the_answer.rows_that_moved(step, "e_old") == []
    assert the_answer.rows_that_moved(step, "weights") == list(range(the_answer.DIM))


def test_id_among_all_rows_is_out_of_range():
    assert the_answer.id_of_the_whole_table() == "indices[0] = 6 is not in [0, 5)"


def test_mixed_batch_of_the_printed_experiment_is_silently_wrong():
    step = the_answer.train([3, 1], z=True)
    np.testing.assert_array_equal(step.vectors[0], step.before["e"][3])
    assert not (step.vectors[0] == step.before["e_old"][3]).any()
    assert the_answer.rows_that_moved(step, "e") == [1, 3]


def test_main_prints_a_row_before_and_after(capsys):
    the_answer.main()
    lines = capsys.readouterr().out.splitlines()
    for name, moves in (("e", True), ("e_old", False)):
        before, after = (
            next(line for line in lines if f" {name}[2] {when}" in line).rpartition("[")[2]
            for when in ("before", "after")
        )
        assert (before != after) == moves
