"""The question's attempts do what examples/question_and_answer.py says of them."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from examples import question_and_answer as example

OLD, NEW, MIXED = "old data", "new data", "mixed batch"


def bits(rows):
    return np.asarray(rows).view(np.uint32)


def assert_only_new_rows_train(outcome):
    """Both sides: the new rows of the batch moved, the old ones have their bits, as looked up."""
    assert outcome.error is None
    new = [i for i in outcome.ids if i >= example.NUM_OLD]
    assert outcome.moved == new
    for i, before, after in zip(outcome.ids, outcome.before, outcome.after):
        assert (bits(before) == bits(after)).all() == (i not in new)
        if i not in new:
            np.testing.assert_array_equal(bits(before), bits(example.OLD_ROWS[i]))


def assert_fails(outcome, error, *texts):
    assert isinstance(outcome.error, error)
    assert any(text in example.telling_line(outcome.error) for text in texts)


def gradient_rows(look_up, data):
    """The new rows, counted from 0, that the gradient of `e` names in a step on `data`."""
    with tf.Graph().as_default(), tf.Session() as session:
        network = example.make_network(look_up, example.OLD_ROWS, example.NUM_NEW)
        (gradient,) = tf.gradients(network.loss, [network.e])
        if gradient is None:
            return None
        session.run(tf.global_variables_initializer())
        ids = example.BATCHES[data]
        feed = {network.x: ids, network.y_: np.ones(len(ids)), network.z: data == NEW}
        if isinstance(gradient, tf.IndexedSlices):
            return sorted(session.run(gradient.indices, feed).tolist())
        return list(range(len(session.run(gradient, feed))))


def test_lookup_of_its_own_has_no_gradient_as_the_loss_does_not_use_it():
    outcomes = example.optimize_separate_lookup()
    assert_fails(outcomes[NEW], ValueError, "No gradients provided for any variable")


def test_gathered_tensor_has_a_gradient_that_no_optimizer_applies():
    outcomes = example.optimize_gathered_tensor()
    assert_fails(outcomes[NEW], NotImplementedError, "Trying to update a Tensor")


def test_slice_has_no_gradient():
    assert_fails(example.optimize_slice()[NEW], ValueError, "No gradients provided")


def test_concat_with_rows_of_rank_2_fails_on_rank():
    outcomes = example.concat_of_rank_3()
    assert_fails(outcomes[NEW], ValueError, "Shape must be rank 2 but is rank 3")


@pytest.mark.parametrize("data", [NEW, OLD, MIXED])
def test_concat_of_two_variables_trains_the_new_rows_of_any_batch(data):
    assert_only_new_rows_train(example.concat_of_two_variables()[data])


def test_concat_after_the_lookup_trains_nothing_of_the_table_and_says_nothing():
    outcomes = example.concat_after_the_lookup()
    assert outcomes[OLD].error is None
    assert outcomes[OLD].moved == []
    assert gradient_rows(example.look_up_before_concat, OLD) is None
    assert_fails(outcomes[NEW], tf.errors.InvalidArgumentError, "6 is not in [0, 5)")


@pytest.mark.parametrize("data", [NEW, OLD])
def test_answer_trains_new_rows_on_new_data_and_none_on_old_data(data):
    assert_only_new_rows_train(example.cond_around_tables()[data])


def test_answer_cannot_serve_a_mixed_batch():
    outcomes = example.cond_around_tables()
    assert_fails(outcomes[MIXED], tf.errors.InvalidArgumentError, "-4 is not in [0, 3)")
    assert_fails(
        outcomes["mixed batch, z of each id"],
        (ValueError, tf.errors.InvalidArgumentError),
        "Shape must be rank 0 but is rank 1",
        "The second input must be a scalar",
    )


def test_only_the_answer_sends_a_gradient_to_every_new_row_on_old_data():
    every_new_row = list(range(example.NUM_NEW))
    assert gradient_rows(example.look_up_in_chosen_table, OLD) == every_new_row
    for look_up in (
        example.look_up_in_concat,
        example.look_up_in_branches,
        example.look_up_by_partition,
    ):
        assert gradient_rows(look_up, OLD) == []


def test_cond_around_lookups_trains_the_new_rows_and_refuses_a_mixed_batch():
    outcomes = example.cond_around_lookups()
    assert_only_new_rows_train(outcomes[NEW])
    assert_only_new_rows_train(outcomes[OLD])
    assert_fails(
        outcomes[MIXED], tf.errors.InvalidArgumentError, "serves batches of old ids only or of new"
    )


@pytest.mark.parametrize("data", [NEW, OLD, MIXED])
def test_one_line_trains_the_new_rows_of_any_batch(data):
    assert_only_new_rows_train(example.one_line()[data])


def test_main_prints_every_attempt_and_the_table(capsys):
    example.main(["--old-rows=20", "--dim=4", "--steps=2"])
    attempts, _, table = capsys.readouterr().out.partition("\nCost ")
    expected = {
        "a lookup of its own, optimized": "no no - - -",
        "a gathered tensor, optimized": "no no - - -",
        "a slice, optimized": "no no - - -",
        "tf.concat with [n, 1, d]": "no no - - -",
        "tf.concat of two variables": "yes yes ms ms ms",
        "tf.concat after the lookup": "no no - - -",
        "the answer: tf.cond, tables": "yes no ms ms -",
        "tf.cond, lookups": "yes no ms ms -",
        "tf1_embed.embedding_lookup": "yes yes ms ms ms",
    }
    assert list(expected) == [title for title, _, _ in example.ATTEMPTS]
    lines = table.splitlines()[-len(expected) :]
    for order, (title, cells) in enumerate(expected.items()):
        assert f"\n{order + 1}. {title}\n" in attempts
        got = lines[order][len(title) :].split()
        assert lines[order].startswith(title)
        for cell, text in zip(cells.split(), got):
            assert float(text) > 0 if cell == "ms" else cell == text
        assert len(got) == 5
