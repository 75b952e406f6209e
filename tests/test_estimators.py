"""A grown table in Estimators, where TensorFlow has them."""

import inspect

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.adoptions import document
from support.tables import bits, counting_rows, load_checkpoint, save_checkpoint

pytestmark = pytest.mark.skipif(
    not hasattr(tf, "estimator") or not hasattr(tf.estimator, "DNNClassifier"),
    reason="this TensorFlow has no Estimator",
)

OLD_ROWS = counting_rows(6)
NEW_ROWS = tf1_embed.Rows.range(6, 8, size=8)


@pytest.fixture
def old(tmp_path):
    """The prefix of a checkpoint of six rows."""
    return save_checkpoint(tmp_path / "old", {"embedding": OLD_ROWS})


@pytest.fixture
def grown(old, tmp_path):
    """The prefix of the checkpoint grown to eight rows, the latest of its folder."""
    (tmp_path / "grown").mkdir()
    prefix = str(tmp_path / "grown" / "model.ckpt-0")
    tf1_embed.grow_checkpoint(old, ["embedding"], prefix, num_new_rows=2)
    return prefix


def input_fn():
    """Returns batches of ids of old and new rows, and labels."""
    features, labels = {"id": [0, 6, 7, 6]}, [0, 1, 1, 1]
    return tf.data.Dataset.from_tensor_slices((features, labels)).repeat(20).batch(4)


def model_fn(features, labels, mode, params):
    """Draws rows to their labels; splits the table, or wraps the optimizer if `old` is None."""
    optimizer = tf.train.AdamOptimizer(0.1)
    if params["old"] is not None:
        frozen = table = tf1_embed.get_grown_table("embedding", 2, checkpoint=params["old"])
    else:
        table = tf.get_variable("embedding", [8, 2])
        frozen = {table: ~NEW_ROWS}
        optimizer = tf1_embed.TrainableRowsOptimizer(optimizer, {table: NEW_ROWS})
    vectors = tf1_embed.embedding_lookup(table, features["id"])
    labels = tf.expand_dims(tf.cast(labels, tf.float32), 1)
    loss = tf.reduce_sum(tf.squared_difference(vectors, labels))
    train_op = optimizer.minimize(loss, tf.train.get_global_step())
    hooks = [tf1_embed.FrozenRowsHook(frozen, every_n_steps=2)]
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, training_hooks=hooks)


def make_estimator(folder, old=None, warm_start_from=None):
    config = tf.estimator.RunConfig(str(folder), save_checkpoints_steps=2, tf_random_seed=1)
    return tf.estimator.Estimator(
        model_fn, params={"old": old}, config=config, warm_start_from=warm_start_from
    )


def table_of(estimator):
    """Returns the whole table in an Estimator's latest checkpoint."""
    values = load_checkpoint(estimator.model_dir)
    parts = [values[name] for name in ("embedding", "embedding_new_rows") if name in values]
    return np.concatenate(parts)


def assert_only_new_rows_moved(before, after, old_rows=OLD_ROWS):
    np.testing.assert_array_equal(bits(before[:6]), bits(old_rows))
    np.testing.assert_array_equal(bits(after[:6]), bits(old_rows))
    assert (before[6:] != after[6:]).all()


def test_training_and_evaluation_go_on_from_the_last_checkpoint(old, tmp_path):
    estimator = make_estimator(tmp_path / "model", old)
    tables, losses = [], []
    for max_steps in (2, 6):
        train_spec = tf.estimator.TrainSpec(input_fn, max_steps=max_steps)
        eval_spec = tf.estimator.EvalSpec(input_fn, steps=1, start_delay_secs=0, throttle_secs=0)
        metrics, _ = tf.estimator.train_and_evaluate(estimator, train_spec, eval_spec)
        assert metrics["global_step"] == max_steps
        tables.append(table_of(estimator))
        losses.append(metrics["loss"])
    assert_only_new_rows_moved(*tables)
    assert losses[1] < losses[0]


def test_warm_start_finds_the_frozen_rows_under_the_table_name(old, tmp_path):
    other = save_checkpoint(tmp_path / "other", {"embedding": OLD_ROWS + 10})
    # A list finds variables that do not train as well, a string does not.
    settings = tf.estimator.WarmStartSettings(other, vars_to_warm_start=["embedding:"])
    estimator = make_estimator(tmp_path / "model", old, settings)
    estimator.train(input_fn, steps=1)
    np.testing.assert_array_equal(table_of(estimator)[:6], OLD_ROWS + 10)


def test_warm_start_from_a_grown_checkpoint_trains_chosen_rows(grown, tmp_path):
    settings = tf.estimator.WarmStartSettings(grown, vars_to_warm_start="embedding:")
    estimator = make_estimator(tmp_path / "model", warm_start_from=settings)
    estimator.train(input_fn, steps=3)
    assert_only_new_rows_moved(load_checkpoint(grown)["embedding"], table_of(estimator))


def new_rows_only():
    """Returns an optimizer for a canned Estimator, which makes its table later."""
    adam = tf.train.AdamOptimizer(0.1)
    return tf1_embed.TrainableRowsOptimizer(adam, {"*embedding*": range(6, 8)}, slots="full")


def test_document_shows_the_optimizer_for_a_canned_estimator():
    assert inspect.getsource(new_rows_only) in document()


def test_canned_dnn_goes_on_from_its_grown_checkpoint_and_trains_new_rows_only(tmp_path):
    def make_dnn(folder, num_ids, optimizer):
        column = tf.feature_column.categorical_column_with_identity("id", num_ids, 0)
        columns = [tf.feature_column.embedding_column(column, 2)]
        return tf.estimator.DNNClassifier(
            [3], columns, str(folder), optimizer=optimizer, activation_fn=tf.nn.tanh
        )

    old = make_dnn(tmp_path / "old", 6, tf.train.AdamOptimizer(0.1))
    old.train(input_fn, steps=3)
    (name,) = [each for each in old.get_variable_names() if each.endswith("embedding_weights")]
    (tmp_path / "grown").mkdir()
    prefix = str(tmp_path / "grown" / "model.ckpt-3")
    tf1_embed.grow_checkpoint(old.model_dir, [name], prefix, num_new_rows=2)
    grown = make_dnn(tmp_path / "grown", 8, new_rows_only())
    grown.train(input_fn, steps=3)
    assert grown.get_variable_value("global_step") == 6
    table_and_slots = [each for each in old.get_variable_names() if each.startswith(name)]
    assert len(table_and_slots) == 3
    for each in table_and_slots:
        old_rows, before = old.get_variable_value(each), load_checkpoint(prefix)[each]
        assert_only_new_rows_moved(before, grown.get_variable_value(each), old_rows)
    assert set(grown.evaluate(input_fn, steps=1)) > {"loss", "accuracy"}
