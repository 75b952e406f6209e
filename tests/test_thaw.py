"""Which rows new facts thaw, and that no other row trains."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from benchmarks import thaw
from support.umls import write_slice


@pytest.mark.parametrize(
    "budget, expected", [(1, [7]), (2, [3, 7]), (3, [3, 5, 7]), (9, [3, 5, 7]), (0.2, [3, 7])]
)
def test_rows_that_most_facts_name_are_thawed_first(budget, expected):
    rows = tf1_embed.thaw_rows([[7, 3], [7, 5]], num_rows=10, budget=budget)
    assert rows.size == 10
    np.testing.assert_array_equal(rows.ids(), expected)


def test_weights_of_mentions_add_up():
    rows = tf1_embed.thaw_rows([1, 2, 1, 3], 5, 2, weights=[0.1, 5.0, 0.2, 1.0])
    np.testing.assert_array_equal(rows.ids(), [2, 3])


def test_nothing_named_thaws_nothing():
    assert tf1_embed.thaw_rows([], 5, 3).count == 0
    assert tf1_embed.thaw_rows(np.zeros([0, 2], np.int32), 5, 0.5).count == 0


def test_thawed_rows_train_and_all_others_keep_every_bit():
    facts = np.array([[2, 4], [4, 1]])
    rows = tf1_embed.thaw_rows(facts, num_rows=6, budget=2)
    before = np.arange(12, dtype=np.float32).reshape(6, 2)
    before[0] = -0.0, np.nan
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("table", initializer=before)
        loss = tf.reduce_sum(tf.square(tf.nn.embedding_lookup(table, facts.ravel())))
        optimizer = tf1_embed.TrainableRowsOptimizer(tf.train.AdamOptimizer(0.1), {table: rows})
        train_op = optimizer.minimize(loss)
        session.run(tf.global_variables_initializer())
        session.run(train_op)
        after = session.run(table)
    np.testing.assert_array_equal(rows.ids(), [1, 4])
    same = (after.view(np.uint32) == before.view(np.uint32)).all(axis=1)
    np.testing.assert_array_equal(same, [True, False, True, True, False, True])


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"ids": [0.5]}, "`ids` must be ints"),
        ({"ids": [5]}, "`ids` must be those of rows, in \\[0, 5\\); got 5 to 5"),
        ({"budget": 0}, "`budget` must be an int of 1 or more, or a share"),
        ({"budget": 1.5}, "`budget` must be an int of 1 or more, or a share"),
        ({"budget": float("nan")}, "`budget` must be"),
        ({"budget": float("inf")}, "`budget` must be"),
        ({"budget": 0.1}, "`budget`, 0.1 of 5 rows, must be 1 row or more"),
        ({"weights": [1.0]}, "`weights` must be of shape \\[2\\]"),
        ({"weights": [1.0, np.inf]}, "`weights` must be finite"),
        ({"weights": [1.0, -1.0]}, "`weights` must be finite, and none below 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        tf1_embed.thaw_rows(**{"ids": [1, 2], "num_rows": 5, "budget": 1, **changed})


@pytest.mark.parametrize("later", thaw.WAYS)
def test_benchmark_measures_every_way_and_finds_frozen_rows_unchanged(later, tmp_path, capsys):
    write_slice(tmp_path)
    flags = "--about 4 --seeds 1 --width 8 --epochs 2 --thaw-epochs 2 --budgets 0.5".split()
    found = thaw.main(["--data", str(tmp_path), "--later", later, *flags])
    names = list(found)
    assert names[0] == "before" and names[-2:] == ["all rows trained on", "retrained"]
    assert [name.split(":")[0] for name in names if "thawed" in name] == ["thawed 50%"]
    assert ("frozen, new relations only" in names) == (later == "relations")
    for ((new, old, _),) in found.values():
        assert 0 < new <= 1 and 0 < old <= 1
    assert "retrained" in capsys.readouterr().out
