"""Programs of others, from the package registry, adopt the library in five changed lines."""

from pathlib import Path

from outcome import changes

README = Path(__file__).resolve().parent / "README.md"


def test_at_most_five_lines_change(outcome):
    assert 1 <= outcome.changed_lines <= 5


def test_every_old_row_moves_in_the_program_as_it_is(outcome):
    assert outcome.old_rows_moved_plain == outcome.old_rows


def test_old_rows_stay_bit_identical_in_the_program_that_adopted(outcome):
    assert outcome.old_rows_moved == 0
    assert outcome.bit_identical


def test_every_new_row_is_trained(outcome):
    assert outcome.new_rows_moved == outcome.new_rows


def test_new_ids_do_better_than_with_random_rows(outcome):
    assert outcome.trained > outcome.random_rows + 0.25


def test_new_ids_do_as_well_as_if_all_rows_were_trained(outcome):
    assert outcome.trained > 0.9 * outcome.trained_plain


def test_the_program_as_it_is_opens_the_result_and_trains_on(outcome):
    assert outcome.rows_moved_on == outcome.old_rows + outcome.new_rows
    # Some steps of its own would not do as well: it went on from these rows.
    assert outcome.trained_on > 0.9 * outcome.trained


def test_the_readme_shows_every_changed_line(outcome):
    shown = README.read_text("utf-8").splitlines()
    assert [line for line in changes(outcome.client) if line not in shown] == []
