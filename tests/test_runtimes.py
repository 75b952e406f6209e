"""A grown table in what TensorFlow builds and runs graphs with on one machine.

Split: two variables, by `get_grown_table`. Chosen rows: one, by `TrainableRowsOptimizer`.
"""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.tables import bits, counting_rows, load_checkpoint, save_checkpoint
from tf1_embed import (
    FrozenRowsHook,
    Rows,
    TrainableRowsOptimizer,
    embedding_lookup,
    get_grown_table,
)

OLD_ROWS = counting_rows(6)
NEW_ROWS = Rows.range(6, 8, size=8)


@pytest.fixture(params=["split", "chosen rows"])
def path(request):
    """Which of the two ways a table grows."""
    return request.param


class Model:
    """Rows 0, 6 and 7 of a table of six old and two new rows are drawn to 1.

    Attributes:
      table: what is looked up, a `GrownTable` or a variable.
      frozen_rows: what `FrozenRowsHook` takes.
      train_op, step: a training step, and the variable that counts them.
      rows: tensor of the whole table, [8, 2].
    """

    def __init__(self, path, lookup=embedding_lookup, learning_rate=0.1):
        self.step = tf.train.get_or_create_global_step()
        optimizer = tf.train.AdamOptimizer(learning_rate)
        if path == "split":
            self.table = get_grown_table("embedding", 2, old_rows=OLD_ROWS)
            self.frozen_rows = self.table
            self.rows = self.table.read()
        else:
            start = np.concatenate([OLD_ROWS, np.zeros([2, 2], np.float32)])
            self.table = tf.get_variable("embedding", initializer=start)
            self.frozen_rows = {self.table: ~NEW_ROWS}
            self.rows = tf.identity(self.table)
            optimizer = TrainableRowsOptimizer(optimizer, {self.table: NEW_ROWS}, slots="full")
        vectors = lookup(self.table, tf.constant([0, 6, 7, 6]))
        loss = tf.reduce_sum(tf.squared_difference(vectors, 1))
        self.train_op = optimizer.minimize(loss, self.step, name="train")


def assert_only_new_rows_moved(before, after):
    np.testing.assert_array_equal(bits(before[:6]), bits(after[:6]))
    np.testing.assert_array_equal(bits(after[:6]), bits(OLD_ROWS))
    assert (before[6:] != after[6:]).all()


def read_rows(folder_or_prefix):
    """Returns the whole table in a checkpoint."""
    values = load_checkpoint(folder_or_prefix)
    parts = [values[name] for name in ("embedding", "embedding_new_rows") if name in values]
    return np.concatenate(parts)


class FailsOnce(tf.train.SessionRunHook):
    """Raises an error after the fifth run."""

    def __init__(self, error):
        self._error, self.num_runs = error, 0

    def after_run(self, run_context, run_values):
        self.num_runs += 1
        if self.num_runs == 5:
            raise self._error


# Sessions.


def monitored_session(folder, hooks):
    return tf.train.MonitoredTrainingSession(
        checkpoint_dir=str(folder),
        hooks=hooks,
        save_checkpoint_steps=3,
        save_checkpoint_secs=None,
        save_summaries_steps=None,
        save_summaries_secs=None,
        log_step_count_steps=None,
    )


def test_session_after_a_crash_finds_frozen_and_new_rows(path, tmp_path):
    with tf.Graph().as_default():
        model = Model(path)
        hook = FailsOnce(RuntimeError("crash"))
        with pytest.raises(RuntimeError, match="crash"):
            with monitored_session(tmp_path, [hook]) as session:
                start = session.run(model.rows)
                while True:
                    session.run(model.train_op)
    crashed = read_rows(tmp_path)
    assert_only_new_rows_moved(start, crashed)
    with tf.Graph().as_default():
        model = Model(path)
        with monitored_session(tmp_path, [FrozenRowsHook(model.frozen_rows)]) as session:
            step, found = session.run([model.step, model.rows])
            assert step == load_checkpoint(tmp_path)["global_step"] > 0
            np.testing.assert_array_equal(bits(found), bits(crashed))
            session.run(model.train_op)
    assert_only_new_rows_moved(crashed, read_rows(tmp_path))


def test_session_that_is_made_again_after_a_worker_failed_goes_on(path, tmp_path):
    with tf.Graph().as_default():
        model = Model(path)
        failure = FailsOnce(tf.errors.AbortedError(None, None, "preempted"))
        hooks = [FrozenRowsHook(model.frozen_rows, every_n_steps=1), failure]
        with monitored_session(tmp_path, hooks) as session:
            start = session.run(model.rows)
            while failure.num_runs < 8:
                session.run(model.train_op)
            # Of seven steps, those since the last checkpoint were lost, but not all.
            assert 3 <= session.run(model.step) <= 7
    assert_only_new_rows_moved(start, read_rows(tmp_path))


def test_scaffold_restores_the_old_checkpoint_into_the_frozen_variable(tmp_path):
    old = save_checkpoint(tmp_path / "old", {"embedding": OLD_ROWS + 10})
    with tf.Graph().as_default():
        model = Model("split")
        saver = tf.train.Saver([model.table.frozen])
        scaffold = tf.train.Scaffold(init_fn=lambda _, session: saver.restore(session, old))
        with tf.train.MonitoredTrainingSession(scaffold=scaffold) as session:
            before = session.run(model.rows)
            session.run(model.train_op)
            after = session.run(model.rows)
    np.testing.assert_array_equal(before[:6], OLD_ROWS + 10)
    np.testing.assert_array_equal(bits(before[:6]), bits(after[:6]))
    assert (before[6:] != after[6:]).all()


def test_supervisor_trains_new_rows_and_finds_them_again(path, tmp_path):
    saved = []
    for _ in range(2):
        with tf.Graph().as_default():
            model = Model(path)
            # No threads, which on TF 2 would read the step eagerly.
            supervisor = tf.train.Supervisor(
                logdir=str(tmp_path), save_summaries_secs=0, save_model_secs=0
            )
            with supervisor.managed_session() as session:
                before = session.run(model.rows)
                session.run(model.train_op)
                after = session.run(model.rows)
                supervisor.saver.save(session, supervisor.save_path, session.run(model.step))
            supervisor.stop()
        assert_only_new_rows_moved(before, after)
        saved.append((before, after))
    np.testing.assert_array_equal(bits(saved[0][1]), bits(saved[1][0]))


def test_imported_meta_graph_trains_new_rows_only(path, tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        model = Model(path)
        rows, step = model.rows.name, model.train_op.name
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver().save(session, str(tmp_path / "model"))
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.import_meta_graph(f"{prefix}.meta").restore(session, prefix)
        before = session.run(rows)
        for _ in range(3):
            session.run(step)
        assert_only_new_rows_moved(before, session.run(rows))


# Lookups in loops.


class SumOfRows:
    """A cell of a recurrent network that looks its inputs, ids, up itself."""

    state_size = output_size = 2

    def __init__(self, table, lookup):
        self._table, self._lookup = table, lookup

    def __call__(self, inputs, state, scope=None):
        state += self._lookup(self._table, inputs[:, 0])
        return state, state

    def zero_state(self, batch_size, dtype):
        return tf.zeros([batch_size, 2], dtype)


def look_up_in_dynamic_rnn(lookup):
    def look_up(table, ids):
        ids = tf.reshape(ids, [2, 2, 1])
        outputs, _ = tf.nn.dynamic_rnn(SumOfRows(table, lookup), ids, dtype=tf.float32)
        return outputs

    return look_up


def look_up_in_while_loop(lookup):
    def look_up(table, ids):
        def body(i, total):
            return i + 1, total + lookup(table, ids[i])

        return tf.while_loop(lambda i, _: i < 4, body, [0, tf.zeros([2])])[1]

    return look_up


@pytest.mark.parametrize("loop", [look_up_in_dynamic_rnn, look_up_in_while_loop])
def test_lookups_in_a_loop_train_new_rows_only(path, loop, control_flow, session):
    lookup = embedding_lookup if path == "split" else tf.nn.embedding_lookup
    model = Model(path, loop(lookup))
    session.run(tf.global_variables_initializer())
    before = session.run(model.rows)
    for _ in range(3):
        session.run(model.train_op)
    assert_only_new_rows_moved(before, session.run(model.rows))


# Sampled losses.


@pytest.mark.parametrize("loss", [tf.nn.nce_loss, tf.nn.sampled_softmax_loss])
@pytest.mark.parametrize("partitions", [None, 2])
def test_sampled_losses_train_chosen_rows_of_table_and_bias_only(loss, partitions, session):
    partitioner = tf.fixed_size_partitioner(partitions) if partitions else None
    with tf.variable_scope("", partitioner=partitioner):
        table = tf.get_variable("embedding", [8, 2])
        bias = tf.get_variable("bias", [8])
    losses = loss(
        weights=table,
        biases=bias,
        labels=tf.constant([[6], [7], [0]]),
        inputs=tf.ones([3, 2]),
        num_sampled=6,
        num_classes=8,
        partition_strategy="mod",
    )
    chosen = Rows.of([2, 6, 7], size=8)
    optimizer = TrainableRowsOptimizer(
        tf.train.MomentumOptimizer(0.1, 0.9),
        {table: chosen, bias: chosen},
        partition_strategy="mod",
    )
    train_op = optimizer.minimize(tf.reduce_sum(losses))
    ids = tf.range(8)
    rows = [tf.nn.embedding_lookup(each, ids, "mod") for each in (table, bias)]
    session.run(tf.global_variables_initializer())
    before = session.run(rows)
    for _ in range(3):
        session.run(train_op)
    for old, new in zip(before, session.run(rows)):
        frozen = (~chosen).ids()
        np.testing.assert_array_equal(bits(old[frozen]), bits(new[frozen]))
        assert (old[6:] != new[6:]).all()


# Feature columns and Keras layers make their tables themselves.


def embedding_column():
    column = tf.feature_column.categorical_column_with_identity("id", 8)
    features = {"id": tf.constant([[0, 6], [7, 1]])}
    return tf.feature_column.input_layer(features, tf.feature_column.embedding_column(column, 2))


def shared_embedding_columns():
    names = ["id", "last_id"]
    columns = [tf.feature_column.categorical_column_with_identity(name, 8) for name in names]
    features = {"id": tf.constant([[0], [6]]), "last_id": tf.constant([[7], [1]])}
    columns = tf.feature_column.shared_embedding_columns(columns, 2)
    return tf.feature_column.input_layer(features, columns)


def sequence_column():
    if not hasattr(getattr(tf.keras, "experimental", None), "SequenceFeatures"):
        pytest.skip("this TensorFlow has no layer for sequence columns")
    column = tf.feature_column.sequence_categorical_column_with_identity("id", 8)
    layer = tf.keras.experimental.SequenceFeatures(tf.feature_column.embedding_column(column, 2))
    indices = [[0, 0], [0, 1], [1, 0], [1, 1]]
    return layer({"id": tf.SparseTensor(indices, tf.constant([0, 6, 7, 1], tf.int64), [2, 2])})[0]


def keras_embedding():
    return tf.keras.layers.Embedding(8, 2)(tf.constant([0, 6, 7, 1]))


COLUMNS = [embedding_column, shared_embedding_columns, sequence_column, keras_embedding]


@pytest.mark.parametrize("partitions", [None, 2])
@pytest.mark.parametrize("make_vectors", COLUMNS)
def test_tables_that_layers_make_train_new_rows_only(make_vectors, partitions, session):
    partitioner = tf.fixed_size_partitioner(partitions) if partitions else None
    with tf.variable_scope("", partitioner=partitioner):
        vectors = make_vectors()
    parts = [each for each in tf.trainable_variables() if "embedding" in each.op.name]
    if len(parts) < (partitions or 1):
        pytest.skip("Keras layers have no partitions")
    # Feature columns look partitions up by "div": each has the ids that follow the last one's.
    sizes = [part.shape.as_list()[0] for part in parts]
    chosen = dict(zip(parts, NEW_ROWS.of_partitions(sizes, "div")))
    optimizer = TrainableRowsOptimizer(tf.train.AdamOptimizer(0.1), chosen)
    train_op = optimizer.minimize(tf.reduce_sum((vectors - 1) ** 2))
    session.run(tf.global_variables_initializer())
    rows = tf.concat(parts, 0)
    before = session.run(rows)
    for _ in range(3):
        session.run(train_op)
    after = session.run(rows)
    np.testing.assert_array_equal(bits(before[:6]), bits(after[:6]))
    assert (before[6:] != after[6:]).all()
