import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.models import Model, split_axis
from support.optimizers import OPTIMIZERS, AdamWeightDecay
from support.tables import (
    DTYPES,
    assert_same,
    bits,
    counting_rows,
    flip_byte,
    in_partitions,
    load_checkpoint,
    numpy_dtype,
    save_checkpoint,
    special_rows,
)
from tf1_embed import initializers
from tf1_embed import rows as chunks
from tf1_embed.checkpoint.files import reader
from tf1_embed.checkpoint.files.find import CheckpointDamaged
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.grow import grow_checkpoint
from tf1_embed.checkpoint.vocabulary_axis import VocabularyAxis, find_also, table_axes
from tf1_embed.vocabulary import append_map, id_map

ALSO = ["bias", "projection:1"]
BATCHES = [[0, 1, 1, 10], [5, 10], [3]]


def by_id(rows, count, strategy):
    """Returns the rows of a table by id, given in the order of its partitions."""
    order = in_partitions(np.arange(len(rows)), count, strategy)
    return rows[np.argsort(order)]


# The model's own code, with more rows, opens what grew and goes on training.


@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_model_opens_its_grown_checkpoint_and_trains_on_under_any_optimizer(
    tmp_path, name, use_resource
):
    with Model(11, OPTIMIZERS[name], use_resource) as model:
        model.train(*BATCHES)
        prefix = model.saver.save(model.session, str(tmp_path / "old"))
        old = model.values()
    grow_checkpoint(prefix, ["embedding"], tmp_path / "new", num_new_rows=2, also=ALSO)
    with Model(13, OPTIMIZERS[name], use_resource) as model:
        fresh = model.values()
        model.saver.restore(model.session, str(tmp_path / "new"))
        model.session.graph.finalize()
        grown = model.values()
        model.train([12, 0], [11, 12])
        trained = model.values()
    assert grown["global_step"] == 3
    assert trained["global_step"] == 5
    assert set(grown) == set(fresh) == set(old)
    for key, value in grown.items():
        old_part, new_part = split_axis(key, value, 11)
        is_clock = key.endswith("_power")
        assert_same(old_part, (fresh if is_clock else old)[key])
        if new_part is None:
            continue
        is_slot = key not in ("embedding", "bias", "projection")
        if is_slot:
            # What the optimizer itself makes of a new row is in the model that was just made.
            assert_same(new_part, split_axis(key, fresh[key], 11)[1])
        assert np.isfinite(trained[key]).all()
    assert (grown["bias"][11:] == 0).all()
    assert (grown["embedding"][11:] != 0).all()
    assert (grown["projection"][:, 11:] != 0).all()
    for row in (0, 11, 12):
        assert (trained["embedding"][row] != grown["embedding"][row]).all()
    if name != "adam":  # which moves every row that it once moved
        assert_same(trained["embedding"][1:11], grown["embedding"][1:11])


# Scope "model" doubles the names of slots; TensorFlow then gives those of partitions names such as
# `model/embedding/art_0/Adam`, and in scope "m" the 1st and the 11th partition share one.
PARTITIONED = [
    ("adam", 3, "mod", "", False),
    ("adam", 3, "div", "", False),
    ("adam", 3, "mod", "", True),
    ("adam", 3, "div", "", True),
    ("adam", 3, "mod", "model", False),
    ("rmsprop_centered", 3, "div", "a/longer_scope", False),
    ("ftrl", 11, "mod", "m", False),
    ("adagrad", 1, "div", "", False),
    ("momentum", 1, "mod", "model", False),
]


@pytest.mark.parametrize("name, count, strategy, scope, use_resource", PARTITIONED)
def test_partitioned_table_keeps_its_partitions_and_each_id_its_row_and_slots(
    tmp_path, name, count, strategy, scope, use_resource
):
    arguments = (OPTIMIZERS[name], use_resource, count, strategy, scope)
    inner = f"{scope}/" if scope else ""
    with Model(14, *arguments) as model:
        model.train(*BATCHES)
        prefix = model.saver.save(model.session, str(tmp_path / "old"))
        rows, slots = model.lookup(range(14)), model.slots(model.table, range(14), strategy)
        biases = model.slots(model.bias, range(14), strategy)
    grow_checkpoint(
        prefix,
        [f"{inner}embedding"],
        tmp_path / "new",
        num_new_rows=3,
        also=[f"{inner}bias"],
        initializer={f"{inner}embedding": counting_rows(3, start=100)},
        partition_strategy=None if count == 1 else strategy,
    )
    # Of a model without the projection, which does not grow here.
    with Model(17, *arguments) as model:
        fresh = model.slots(model.table, range(17), strategy)
        others = [each for each in tf.global_variables() if "projection" not in each.op.name]
        tf.train.Saver(others).restore(model.session, str(tmp_path / "new"))
        assert_same(model.lookup(range(14)), rows)
        assert_same(model.lookup(range(14, 17)), counting_rows(3, start=100))
        for kind, grown in model.slots(model.table, range(17), strategy).items():
            assert_same(grown[:14], slots[kind])
            assert_same(grown[14:], fresh[kind][14:])
        for kind, grown in model.slots(model.bias, range(17), strategy).items():
            assert_same(grown[:14], biases[kind])
        model.train([16, 0])
        assert (model.lookup([16, 0]) != np.stack([counting_rows(1, start=102)[0], rows[0]])).all()
    with CheckpointReader(str(tmp_path / "new")) as grown:
        assert len(grown.partitions(f"{inner}embedding")) == count


@pytest.mark.parametrize("count", [3, None])
def test_partitions_are_chosen_by_tensorflow_anew_or_not_at_all(tmp_path, count):
    # Div partitions may be read as any others, and as none.
    prefix = save_checkpoint(tmp_path / "old", {"embedding": counting_rows(11)}, partitions=2)
    grow_checkpoint(
        prefix, ["embedding"], tmp_path / "new", num_new_rows=3, partition_strategy="div"
    )
    partitioner = tf.fixed_size_partitioner(count) if count else None
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("embedding", [14, 2], partitioner=partitioner)
        tf.train.Saver().restore(session, str(tmp_path / "new"))
        assert_same(session.run(tf.convert_to_tensor(table))[:11], counting_rows(11))


def test_slots_of_a_custom_optimizer_and_doubled_scopes_grow(tmp_path):
    def train(num_rows, restore=None):
        with tf.Graph().as_default(), tf.Session() as session:
            with tf.variable_scope("bert"):
                table = tf.get_variable("embedding", [num_rows, 2])
            loss = tf.reduce_sum((tf.gather(table, [0, num_rows - 1]) - 1) ** 2)
            gradient = tf.convert_to_tensor(tf.gradients(loss, table)[0])
            adam = tf.train.AdamOptimizer()
            with tf.variable_scope("train"):
                steps = [
                    AdamWeightDecay().apply_gradients([(gradient, table)]),
                    adam.minimize(loss, var_list=[table]),
                ]
            saver = tf.train.Saver()
            session.run(tf.global_variables_initializer())
            if restore:
                saver.restore(session, restore)
            values = session.run({each.op.name: each for each in tf.global_variables()})
            session.run(steps)
            return values, saver.save(session, str(tmp_path / str(num_rows)))

    _, prefix = train(5)
    grow_checkpoint(prefix, ["bert/embedding"], tmp_path / "grown", num_new_rows=2)
    old = load_checkpoint(prefix)
    new, _ = train(7, str(tmp_path / "grown"))
    slots = [
        "train/bert/embedding/Adam",
        "train/bert/embedding/Adam_1",
        "train/bert/embedding/adam_m",
        "train/bert/embedding/adam_v",
    ]
    assert set(slots) <= set(new)
    for name in slots:
        assert_same(new[name][:5], old[name])
        assert (old[name][0] != 0).any()
        assert_same(new[name][5:], np.zeros([2, 2], np.float32))


def test_moving_average_of_new_rows_begins_with_the_new_rows(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("embedding", initializer=counting_rows(4))
        averages = tf.train.ExponentialMovingAverage(0.5)
        update = averages.apply([table])
        session.run(tf.global_variables_initializer())
        session.run(tf.assign(table, table + 1))
        session.run(update)
        prefix = tf.train.Saver().save(session, str(tmp_path / "old"))
        name = averages.average_name(table)
    for reset_slots in (False, True):
        grow_checkpoint(
            prefix,
            ["embedding"],
            tmp_path / f"new-{reset_slots}",
            num_new_rows=2,
            reset_slots=reset_slots,
        )
        grown = load_checkpoint(tmp_path / f"new-{reset_slots}")
        assert_same(grown[name][:4], counting_rows(4) + np.float32(0.5))
        assert_same(grown[name][4:], grown["embedding"][4:])


@pytest.mark.skipif(not hasattr(tf, "estimator"), reason="this TensorFlow has no Estimator")
def test_estimator_goes_on_from_a_grown_checkpoint(tmp_path):
    def estimator(num_rows, folder):
        def model_fn(features, labels, mode):
            table = tf.get_variable("embedding", [num_rows, 2])
            rows = tf.nn.embedding_lookup(table, features["ids"])
            if mode == tf.estimator.ModeKeys.PREDICT:
                return tf.estimator.EstimatorSpec(mode, predictions={"rows": rows})
            loss = tf.reduce_sum((tf.layers.dense(rows, 1) - labels) ** 2)
            step = tf.train.get_global_step()
            train_op = tf.train.AdamOptimizer().minimize(loss, step)
            return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

        config = tf.estimator.RunConfig(log_step_count_steps=None, tf_random_seed=1)
        return tf.estimator.Estimator(model_fn, str(folder), config)

    def data(ids):
        return lambda: tf.data.Dataset.zip(
            (
                tf.data.Dataset.from_tensors({"ids": tf.constant(ids)}),
                tf.data.Dataset.from_tensors(tf.ones([len(ids), 1])),
            )
        ).repeat()

    def rows_of(model, num_rows):
        inputs = lambda: tf.data.Dataset.from_tensors({"ids": tf.range(num_rows)})  # noqa: E731
        return np.stack([each["rows"] for each in model.predict(inputs)])

    with tf.Graph().as_default():
        old = estimator(6, tmp_path / "old")
        old.train(data([0, 1, 5]), steps=3)
        old_rows = rows_of(old, 6)
        (tmp_path / "new").mkdir()
        grow_checkpoint(tmp_path / "old", ["embedding"], tmp_path / "new/model", num_new_rows=2)
        new = estimator(8, tmp_path / "new")
        before = rows_of(new, 8)
        assert_same(before[:6], old_rows)
        new.train(data([7, 0]), steps=2)
        after = rows_of(new, 8)
        assert new.get_variable_value("global_step") == 5
        assert (after[[7, 0]] != before[[7, 0]]).all()


# TensorFlow 2's object-based checkpoints.


# The kinds of slots whose first value depends on the optimizer.
OBJECT_SLOT_VALUES = {
    "adadelta": {"accum": 0},
    "ftrl": {"accum": 0.1},
    "rmsprop": {"rms": 1},
    "rmsprop_centered": {"rms": 1},
}


class ObjectModel:
    """A table in a `tf.train.Checkpoint`, with its optimizer."""

    def __init__(self, num_rows, optimizer):
        self.table = tf.get_variable("e", [num_rows, 2], use_resource=True)
        self.optimizer = optimizer()
        vectors = tf.nn.embedding_lookup(self.table, [0, 2, num_rows - 1])
        step = tf.train.get_or_create_global_step()
        self.train_op = self.optimizer.minimize(tf.reduce_sum((vectors - 1) ** 2), step)
        self.checkpoint = tf.train.Checkpoint(model=self.table, optimizer=self.optimizer, step=step)
        self.variables = {
            name: self.optimizer.get_slot(self.table, name)
            for name in self.optimizer.get_slot_names()
        }
        self.variables["table"] = self.table


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_object_based_checkpoint_grows_and_restores_into_larger_variables(tmp_path, name):
    with tf.Graph().as_default(), tf.Session() as session:
        model = ObjectModel(5, OPTIMIZERS[name])
        session.run(tf.global_variables_initializer())
        session.run(model.train_op)
        prefix = model.checkpoint.save(str(tmp_path / "old"), session=session)
        old = session.run(model.variables)
    grow_checkpoint(
        prefix,
        ["model"],
        tmp_path / "new",
        num_new_rows=2,
        slot_values=OBJECT_SLOT_VALUES.get(name),
    )
    with tf.Graph().as_default(), tf.Session() as session:
        model = ObjectModel(7, OPTIMIZERS[name])
        session.run(tf.global_variables_initializer())
        fresh = session.run(model.variables)
        status = model.checkpoint.restore(str(tmp_path / "new"))
        status.assert_consumed().run_restore_ops(session)
        new = session.run(model.variables)
        session.run(model.train_op)
        assert (session.run(model.table)[6] != new["table"][6]).all()
    for key, value in new.items():
        assert_same(value[:5], old[key])
        if key != "table":
            assert_same(value[5:], fresh[key][5:])


@pytest.mark.skipif(
    not getattr(tf.keras, "__version__", "2").startswith("3"),
    reason="Keras 3 alone has slots without owners",
)
def test_slots_of_keras_3_are_found_and_grow_as_variables_of_the_same_vocabulary(tmp_path):
    # Not in graph mode, which Keras 3 does not know; the checkpoint may be someone else's.
    from tensorflow import IndexedSlices, Variable

    def model(num_rows):
        table = Variable(counting_rows(num_rows, start=1))
        adam = tf.keras.optimizers.Adam(0.1)
        adam.build([table])
        return table, adam, tf.train.Checkpoint(e=table, optimizer=adam)

    def train(table, adam, row):
        gradient = IndexedSlices(np.float32([[1, 1]]), np.int64([row]), np.int64(table.shape))
        adam.apply([gradient], [table])

    with tf.init_scope():
        table, adam, checkpoint = model(5)
        train(table, adam, 3)
        prefix = checkpoint.save(str(tmp_path / "old"))
    with CheckpointReader(prefix) as opened:
        slots = [str(each) for each in find_also(opened, table_axes(opened, ["e"]))]
    grow_checkpoint(
        prefix,
        ["e"],
        tmp_path / "new",
        num_new_rows=2,
        also=slots,
        initializer={name: initializers.zeros() for name in slots},
    )
    with tf.init_scope():
        old_table, old_slots = table.numpy(), adam.variables[2:]
        table, adam, checkpoint = model(7)
        checkpoint.restore(str(tmp_path / "new")).assert_consumed()
        assert_same(table.numpy()[:5], old_table)
        assert len(old_slots) == len(slots) == 2
        for slot, old_slot in zip(adam.variables[2:], old_slots):
            assert_same(slot.numpy()[:5], old_slot.numpy())
            assert_same(slot.numpy()[5:], np.zeros([2, 2], np.float32))
        new_row = table.numpy()[6]
        train(table, adam, 6)
        assert (table.numpy()[6] != new_row).all()


@pytest.mark.parametrize("name", sorted(OBJECT_SLOT_VALUES))
def test_slots_whose_name_two_optimizers_share_are_refused(tmp_path, name):
    with tf.Graph().as_default(), tf.Session() as session:
        model = ObjectModel(5, OPTIMIZERS[name])
        session.run(tf.global_variables_initializer())
        prefix = model.checkpoint.save(str(tmp_path / "old"), session=session)
    (kind,) = OBJECT_SLOT_VALUES[name]
    with pytest.raises(ValueError, match=rf"not known \(.*slot_values=.'{kind}': VALUE"):
        grow_checkpoint(prefix, ["model"], tmp_path / "new", num_new_rows=2)


# Values.

OTHERS = {
    "global_step": np.int64(2**53 + 1),
    "is_ready": np.array([True, False]),
    "words": np.array([b"caf\xc3\xa9", b"", b"\x00\xff"], object),
    "no_rows": np.zeros([0, 3], np.float32),
    "special": special_rows(),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 2])
def test_rows_of_any_dtype_and_rank_keep_their_bits(tmp_path, dtype, dim):
    old = special_rows(dtype) if dim else special_rows(dtype)[:, 0].copy()
    values = {"e": old, "e/Adam": old[::-1].copy(), "e/Adam_1": old}
    prefix = save_checkpoint(tmp_path / "old", values)
    new = counting_rows(3, dim, dtype)
    written = grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows=3, initializer=new)
    assert [each[:4] for each in written] == [
        (name, dtype, old.shape, (17,) + old.shape[1:]) for name in ("e", "e/Adam", "e/Adam_1")
    ]
    grown = load_checkpoint(tmp_path / "new")
    assert_same(bits(grown["e"]), np.concatenate([bits(old), bits(new)]))
    for name in ("e/Adam", "e/Adam_1"):
        assert_same(bits(grown[name][:14]), bits(values[name]))
        assert not bits(grown[name][14:]).any()


def test_other_variables_pass_through_bit_for_bit(tmp_path):
    prefix = save_checkpoint(tmp_path / "old", dict(OTHERS, e=counting_rows(4)))
    grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows=1)
    grown = load_checkpoint(tmp_path / "new")
    assert set(grown) == {"e", *OTHERS}
    for name, expected in OTHERS.items():
        assert_same(grown[name], expected)


def test_other_partitioned_variables_keep_their_slices(tmp_path):
    values = {"e": counting_rows(8), "other": special_rows()}
    prefix = save_checkpoint(tmp_path / "old", values, partitions=2)
    grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows=1, partition_strategy="mod")
    assert_same(bits(load_checkpoint(tmp_path / "new")["other"]), bits(special_rows()))
    with CheckpointReader(str(tmp_path / "new")) as grown:
        assert grown.partitions("other") == [7, 7]
        assert grown.partitions("e") == [5, 4]


@pytest.mark.parametrize("num_last", [0, 2])
def test_tables_of_many_chunks_grow_as_those_of_one(tmp_path, monkeypatch, num_last):
    values = {"e": counting_rows(50), "e/Adam": counting_rows(50, start=100)}
    values["p"] = counting_rows(50, 7).T.copy()
    prefix = save_checkpoint(tmp_path / "old", values)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 40)
    monkeypatch.setattr(reader, "CHUNK_BYTES", 40)
    mapping = append_map(50, 9, reserved=(0, num_last))
    grow_checkpoint(
        prefix,
        ["e"],
        tmp_path / "new",
        id_map=mapping,
        also=["p:1"],
        initializer={"e": counting_rows(9, start=-9), "p:1": initializers.mean()},
    )
    grown = load_checkpoint(tmp_path / "new")
    new = range(50 - num_last, 59 - num_last)
    assert_same(np.delete(grown["e"], new, 0), values["e"])
    assert_same(grown["e"][new], counting_rows(9, start=-9))
    assert_same(np.delete(grown["e/Adam"], new, 0), values["e/Adam"])
    assert_same(grown["e/Adam"][new], np.zeros([9, 2], np.float32))
    assert_same(np.delete(grown["p"], new, 1), values["p"])
    assert_same(grown["p"][:, new], np.full([7, 9], 24.5, np.float32))


def test_several_tables_grow_by_name_and_by_pattern(tmp_path):
    names = ["real", "user_a", "user_b", "user_b/Adam", "other"]
    prefix = save_checkpoint(tmp_path / "old", {name: counting_rows(5) for name in names})
    tables = ["user_*", "real", "user_a"]
    grow_checkpoint(prefix, tables, tmp_path / "new", num_new_rows=2, also=[])
    grown = load_checkpoint(tmp_path / "new")
    assert {name: len(rows) for name, rows in grown.items()} == {
        "real": 7,
        "user_a": 7,
        "user_b": 7,
        "user_b/Adam": 7,
        "other": 5,
    }
    # Tables of another name get other rows.
    assert (grown["user_a"][5:] != grown["user_b"][5:]).all()


@pytest.mark.parametrize(
    "initializer",
    [
        None,
        initializers.glorot_normal(seed=3),
        initializers.mean(),
        initializers.mean_and_covariance(seed=1),
        initializers.copy_of([3, 0]),
        initializers.constant([1.0, 2.0]),
        tf.ones_initializer,
        tf.constant_initializer(5.0),
        np.float32([[1, 2], [3, 4]]),
    ],
    ids=lambda initializer: getattr(initializer, "__name__", type(initializer).__name__),
)
@pytest.mark.parametrize("partitions", [None, 2])
def test_new_rows_are_those_of_get_grown_table(tmp_path, initializer, partitions):
    random = np.random.RandomState(0).randn(6, 2).astype(np.float32)
    whole = save_checkpoint(tmp_path / "whole", {"a/e": random})
    stored = {"a/e": in_partitions(random, partitions or 1, "mod")}
    prefix = save_checkpoint(tmp_path / "old", stored, partitions)
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf1_embed.get_grown_table("a/e", 2, checkpoint=whole, initializer=initializer)
        session.run(tf.global_variables_initializer())
        expected = session.run(table.read())
    grow_checkpoint(
        prefix,
        ["a/e"],
        tmp_path / "new",
        num_new_rows=2,
        initializer=initializer,
        partition_strategy="mod",
    )
    grown = load_checkpoint(tmp_path / "new")["a/e"]
    assert_same(by_id(grown, partitions or 1, "mod"), expected)


def test_columns_are_made_as_rows_are(tmp_path):
    random = np.random.RandomState(0).randn(6, 3).astype(np.float32)
    prefix = save_checkpoint(tmp_path / "old", {"e": random, "p": random.T.copy()})
    grow_checkpoint(
        prefix,
        ["e"],
        tmp_path / "new",
        num_new_rows=2,
        also=["p:1"],
        initializer=initializers.mean(),
    )
    grown = load_checkpoint(tmp_path / "new")
    assert_same(grown["p"], grown["e"].T)


def test_first_value_of_an_accumulator_may_be_given(tmp_path):
    trained = np.float32([[1, 2], [3, 1], [2, 2], [1, 4]]) * np.float32(1e-3)
    values = {"e": counting_rows(4), "e/Adagrad": trained}
    values.update({"b": counting_rows(4, None), "b/Adagrad": counting_rows(4, None, start=1)})
    prefix = save_checkpoint(tmp_path / "old", values)

    def grow(slot_values=None, **kwargs):
        grow_checkpoint(
            prefix,
            ["e"],
            tmp_path / "new",
            num_new_rows=2,
            also=["b"],
            slot_values=slot_values,
            force=True,
            **kwargs,
        )
        return load_checkpoint(tmp_path / "new")

    with pytest.raises(ValueError, match=r"'e/Adagrad' .* a row has is 0.001, .*slot_v"):
        grow()
    with pytest.raises(ValueError, match="initial_accumulator_value"):
        grow(dry_run=True)
    grown = grow({"Adagrad": 1e-3})
    assert_same(grown["e/Adagrad"][:4], values["e/Adagrad"])
    assert_same(grown["e/Adagrad"][4:], np.full([2, 2], 1e-3, np.float32))
    assert_same(grown["b/Adagrad"][4:], np.full(2, 1e-3, np.float32))
    # A name in full says more than a kind.
    grown = grow({"Adagrad": 0.5, "e/Adagrad": 0.25})
    assert_same(grown["e/Adagrad"][4:], np.full([2, 2], 0.25, np.float32))
    assert_same(grown["b/Adagrad"][4:], np.full(2, 0.5, np.float32))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_accumulators_of_half_precision_are_known_though_rounded(tmp_path, dtype):
    accumulators = np.full([4, 2], 0.1).astype(numpy_dtype(dtype))
    values = {"e": counting_rows(4, dtype=dtype), "e/Adagrad": accumulators}
    prefix = save_checkpoint(tmp_path / "old", values)
    grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows=2)
    grown = load_checkpoint(tmp_path / "new")["e/Adagrad"]
    assert_same(bits(grown), np.repeat(bits(accumulators)[:1], 6, axis=0))


def test_slots_of_old_rows_start_anew_if_asked_to(tmp_path):
    values = {"e": counting_rows(4), "e/Adam": counting_rows(4, start=1)}
    values.update({"p": counting_rows(4).T.copy(), "p/Adagrad": counting_rows(4, start=1).T.copy()})
    prefix = save_checkpoint(tmp_path / "old", dict(values, other=special_rows()))
    grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows=2, also=["p:1"], reset_slots=True)
    grown = load_checkpoint(tmp_path / "new")
    assert_same(grown["e"][:4], values["e"])
    assert_same(grown["e/Adam"], np.zeros([6, 2], np.float32))
    # The column that no step has moved.
    assert_same(grown["p/Adagrad"], np.ones([2, 6], np.float32))
    assert_same(grown["other"], special_rows())


def test_slots_of_one_number_a_row_grow(tmp_path):
    values = {"e": counting_rows(4), "e/count": counting_rows(4, None)}
    # That of a projection has none for a new column.
    values.update({"p": counting_rows(4).T.copy(), "p/count": counting_rows(2, None)})
    prefix = save_checkpoint(tmp_path / "old", values)
    grow_checkpoint(
        prefix,
        ["e"],
        tmp_path / "new",
        num_new_rows=2,
        also=["p:1"],
        slot_values={"count": 7},
    )
    grown = load_checkpoint(tmp_path / "new")
    assert_same(grown["e/count"], np.float32([0, 1, 2, 3, 7, 7]))
    assert_same(grown["p/count"], values["p/count"])


# Vocabularies.

OLD_TOKENS = list("abcdefghi")
NEW_TOKENS = list("icxaheyfbgdz")


@pytest.mark.parametrize("reserved", [(0, 0), (1, 0), (0, 1), (1, 2)])
@pytest.mark.parametrize("partitions, strategy", [(None, None), (3, "mod"), (3, "div")])
def test_rows_follow_their_tokens_into_another_order(tmp_path, reserved, partitions, strategy):
    first, last = reserved
    old = counting_rows(first + len(OLD_TOKENS) + last, start=50)
    slots, columns = counting_rows(len(old), start=1), counting_rows(len(old), 3)
    values = {"e": old, "e/Adam": slots}
    stored = {key: in_partitions(rows, partitions or 1, strategy) for key, rows in values.items()}
    stored["p"] = columns.T.copy()
    prefix = save_checkpoint(tmp_path / "old", stored, partitions)
    mapping = id_map(OLD_TOKENS, NEW_TOKENS, len(old), reserved)
    new = counting_rows(3, start=100)
    grow_checkpoint(
        prefix,
        ["e"],
        tmp_path / "new",
        id_map=mapping,
        also=["p:1"],
        initializer={"e": new, "p": initializers.zeros()},
        partition_strategy=strategy,
    )
    grown = load_checkpoint(tmp_path / "new")
    table = by_id(grown["e"], partitions or 1, strategy)
    adam = by_id(grown["e/Adam"], partitions or 1, strategy)
    assert len(table) == len(adam) == first + len(NEW_TOKENS) + last
    added = iter(new)
    for position, token in enumerate(NEW_TOKENS):
        row = first + position
        if token in OLD_TOKENS:
            old_row = first + OLD_TOKENS.index(token)
            assert_same(table[row], old[old_row])
            assert_same(adam[row], slots[old_row])
            assert_same(grown["p"][:, row], columns[old_row])
        else:
            assert_same(table[row], next(added))
            assert not adam[row].any()
            assert not grown["p"][:, row].any()
    for kept in (slice(0, first), slice(len(old) - last, None)):
        moved = slice(len(table) - last, None) if kept.start else kept
        assert_same(table[moved], old[kept])
        assert_same(adam[moved], slots[kept])


def test_rows_of_dropped_tokens_are_gone(tmp_path):
    prefix = save_checkpoint(tmp_path / "old", {"e": counting_rows(4)})
    mapping = id_map(list("abcd"), list("dxb"), drop_missing=True)
    grow_checkpoint(
        prefix, ["e"], tmp_path / "new", id_map=mapping, initializer=counting_rows(1, start=9)
    )
    assert_same(load_checkpoint(tmp_path / "new")["e"][:, 0], np.float32([3, 9, 1]))


def test_variables_of_the_same_vocabulary_are_found(tmp_path):
    values = {
        "e": counting_rows(5),
        "e/Adam": counting_rows(5),
        "bias": counting_rows(5, None),
        "bias/Adam": counting_rows(5, None),
        "projection": counting_rows(3, 5),
        "dense": counting_rows(3, 4),
        "words": np.array([b"a"] * 5, object),
        "cube": np.zeros([5, 5, 5], np.float32),
        "step": np.int64(5),
    }
    prefix = save_checkpoint(tmp_path / "old", values)
    with CheckpointReader(prefix) as opened:
        found = find_also(opened, table_axes(opened, ["e"]))
    assert found == [VocabularyAxis("bias", 0, 5), VocabularyAxis("projection", 1, 5)]
    assert [str(each) for each in found] == ["bias", "projection:1"]


@pytest.mark.parametrize("also", [None, lambda found: found], ids=["error", "all"])
def test_axis_of_what_is_square_is_asked_for(tmp_path, also):
    values = {"e": counting_rows(3), "square": counting_rows(3, 3)}
    prefix = save_checkpoint(tmp_path / "old", values)
    with pytest.raises(ValueError, match=r"'square' has the size of a table on both axes.*--also"):
        grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows=2, also=also)
    for axis, shape in enumerate([(5, 3), (3, 5)]):
        also = [f"square:{axis}"]
        grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows=2, also=also, force=True)
        grown = load_checkpoint(tmp_path / "new")["square"]
        assert grown.shape == shape
        assert_same(grown[:3, :3], values["square"])


# What is refused, and leaves nothing behind.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a checkpoint "old", one "parts" of three partitions, and one "uneven"."""
    folder = tmp_path_factory.mktemp("refused")
    values = {
        "e": counting_rows(4),
        "e/Adam": counting_rows(4),
        "mystery": counting_rows(4),
        "mystery/strange": counting_rows(4),
        "nan": special_rows(),
        "step": np.int64(3),
        "words": np.array([b"a"], object),
    }
    save_checkpoint(folder / "old", values)
    save_checkpoint(folder / "parts", {"e": counting_rows(8)}, partitions=3)
    return folder


REFUSED = {
    "neither rows nor a map": (ValueError, "give either `num_new_rows`", {"num_new_rows": None}),
    "both": (ValueError, "give either `num_new_rows`", {"id_map": append_map(4, 1)}),
    "no new rows": (ValueError, "`num_new_rows` .--rows. must be positive", {"num_new_rows": 0}),
    "map of another table": (
        ValueError,
        "ids are those of 5 old rows, but 'e' has 4",
        {"num_new_rows": None, "id_map": append_map(5, 1)},
    ),
    "a string of tables": (ValueError, "`tables` must be a list of names", {"tables": "e"}),
    "no tables": (ValueError, "`tables` must be a list of names, got none", {"tables": []}),
    "unknown table": (KeyError, "holds no variable 'f'", {"tables": ["f"]}),
    "pattern of nothing": (KeyError, r"holds no variable 'f\*'", {"tables": ["f*"]}),
    "scalar table": (ValueError, "'step' has no rows, but shape", {"tables": ["step"]}),
    "strings": (ValueError, "'words' must be floats with an axis 0", {"tables": ["words"]}),
    "a string of others": (ValueError, "`also` must be a list of names", {"also": "b"}),
    "unknown other": (KeyError, "holds no variable 'b'", {"also": ["b"]}),
    "unknown axis": (ValueError, "`also` must be NAME or NAME:AXIS", {"also": ["e:2"]}),
    "an axis too many": (ValueError, "'step' must be floats with an axis 1", {"also": ["step:1"]}),
    "table twice": (ValueError, "'e' would grow twice", {"also": ["e:1"]}),
    "table and its slots": (ValueError, "'e/Adam' would grow twice", {"also": ["e/Adam"]}),
    "unknown slots": (
        ValueError,
        r"'mystery/strange' is not known. Say it with slot_values=.*--slot-value strange=VALUE",
        {"tables": ["mystery"]},
    ),
    "value of no slot": (
        KeyError,
        "`slot_values` has 'Adagard', .* they have Adam, e/Adam",
        {"slot_values": {"Adagard": 1}},
    ),
    "initializer of nothing": (
        KeyError,
        "`initializer` has 'f', which is none of .*: 'e'",
        {"initializer": {"f": initializers.zeros()}},
    ),
    "initializer by name": (TypeError, "got the string 'zeros'", {"initializer": "zeros"}),
    "array of another shape": (
        ValueError,
        r"`initializer` of 'e' must have the shape of the new rows, \[2, 2\], got shape \[1, 2\]",
        {"initializer": counting_rows(1)},
    ),
    "array of another dtype": (
        ValueError,
        "dtype of the old rows, float32, got float64",
        {"initializer": np.zeros([2, 2])},
    ),
    "initializer of another shape": (
        ValueError,
        r"shape of the new rows, \[2, 2\], got shape \[3\]",
        {"initializer": lambda shape, dtype=None: tf.zeros([3])},
    ),
    "mean of NaN": (
        ValueError,
        "'nan' hold NaN or infinity",
        {"tables": ["nan"], "initializer": initializers.mean()},
    ),
    "partitions without a strategy": (
        ValueError,
        r"'e' has 3 partitions.*`partition_strategy` \(--partition-strategy\) mod",
        {"checkpoint": "parts"},
    ),
    "unknown strategy": (
        ValueError,
        "`partition_strategy` must be mod or div, got 'hash'",
        {"partition_strategy": "hash"},
    ),
    "no checkpoint": (FileNotFoundError, "nothing", {"checkpoint": "nothing"}),
    "output exists": (FileExistsError, "exists", {"out": "parts"}),
    "output is the input": (FileExistsError, "is the checkpoint", {"out": "old", "force": True}),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_right_is_refused_and_nothing_is_written(folder, name):
    kind, match, changed = REFUSED[name]
    arguments = {"checkpoint": "old", "tables": ["e"], "out": "new", "num_new_rows": 2}
    arguments.update(changed)
    for argument in ("checkpoint", "out"):
        arguments[argument] = str(folder / arguments[argument])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(kind, match=match):
        grow_checkpoint(**arguments)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_partitions_that_no_lookup_expects_are_refused(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        for part, (rows, start) in enumerate([(2, 0), (6, 2)]):
            tf.get_variable(f"e{part}", initializer=counting_rows(rows))._set_save_slice_info(
                tf.Variable.SaveSliceInfo("e", [8, 2], [start, 0], [rows, 2])
            )
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver().save(session, str(tmp_path / "uneven"))
    with pytest.raises(ValueError, match=r"partitions of \[2, 6\] rows, but lookups expect \[4, 4"):
        grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows=2, partition_strategy="mod")


def test_full_disk_is_noticed_before_anything_is_written(folder, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="only 10 free"):
        grow_checkpoint(str(folder / "old"), ["e"], str(folder / "new"), num_new_rows=2, also=[])


@pytest.mark.parametrize("initializer", [None, initializers.mean()], ids=str)
def test_damaged_checkpoint_is_refused(tmp_path, initializer):
    prefix = save_checkpoint(tmp_path / "old", {"e": counting_rows(9)})
    flip_byte(tmp_path / "old.data-00000-of-00001", 20)
    with pytest.raises(CheckpointDamaged, match="'e'"):
        grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows=2, initializer=initializer)
    assert not (tmp_path / "new.index").exists()


def test_dry_run_tells_what_would_be_written_and_writes_nothing(folder):
    before = sorted(folder.iterdir())
    arguments = (str(folder / "old"), ["e"], str(folder / "new"), 2)
    told = grow_checkpoint(*arguments, also=[], dry_run=True)
    assert sorted(folder.iterdir()) == before
    assert [each[:7] for each in told if each.changed] == [
        ("e", "float32", (4, 2), (6, 2), 48, True, None),
        ("e/Adam", "float32", (4, 2), (6, 2), 48, True, None),
    ]
    assert [each.name for each in told] == sorted(load_checkpoint(folder / "old"))


def test_output_is_replaced_if_forced_and_the_input_is_untouched(tmp_path):
    prefix = save_checkpoint(tmp_path / "old", {"e": counting_rows(4)})
    before = {path.name: path.read_bytes() for path in tmp_path.glob("old.*")}
    for num_new_rows in (1, 2):
        grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows, force=num_new_rows == 2)
    assert load_checkpoint(tmp_path / "new")["e"].shape == (6, 2)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("old.*")} == before


def test_progress_is_told_of_every_byte(folder, tmp_path):
    class Bar(list):
        def __init__(self, num_bytes):
            bars.append(self)
            self.num_bytes = num_bytes

        def __enter__(self):
            return self

        def __exit__(self, kind, error, trace):
            pass

        def update(self, num_bytes):
            self.append(num_bytes)

    bars = []
    written = grow_checkpoint(
        str(folder / "old"), ["e"], tmp_path / "new", 2, also=[], progress=Bar
    )
    (bar,) = bars
    assert sum(bar) == bar.num_bytes == sum(each.num_bytes for each in written)


def test_what_else_has_so_many_rows_must_be_decided(tmp_path):
    prefix = save_checkpoint(
        tmp_path / "old",
        {"e": counting_rows(4), "bias": np.zeros(4, np.float32), "out": counting_rows(3, 4)},
    )
    with pytest.raises(ValueError, match=r"bias, out:1\. Say whether .* also=\['bias', 'out:1'\]"):
        grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows=2)
    assert not (tmp_path / "new.index").exists()
    asked = []
    for answer, shapes in [([], [(4,), (3, 4)]), (["out:1"], [(4,), (3, 6)])]:
        for also in (answer, lambda found, answer=answer: asked.append(found) or answer):
            grow_checkpoint(prefix, ["e"], tmp_path / "new", 2, also=also, force=True)
            grown = load_checkpoint(tmp_path / "new")
            assert [grown["bias"].shape, grown["out"].shape] == shapes
    assert asked == [["bias", "out:1"]] * 2


def test_tables_get_rows_by_name_and_what_belongs_to_them_as_many(tmp_path):
    prefix = save_checkpoint(
        tmp_path / "old",
        {"users": counting_rows(4), "items": counting_rows(3), "bias": np.zeros(3, np.float32)},
    )
    rows = {"users": 1, "items": 2}
    grow_checkpoint(prefix, ["users", "items"], tmp_path / "new", rows, also=["bias"])
    grown = load_checkpoint(tmp_path / "new")
    assert [len(grown[name]) for name in ("users", "items", "bias")] == [5, 5, 5]
    same = save_checkpoint(
        tmp_path / "same",
        {"a": counting_rows(3), "b": counting_rows(3), "bias": np.zeros(3, np.float32)},
    )
    with pytest.raises(ValueError, match="'bias' has 3 rows, as have tables that get different"):
        grow_checkpoint(same, ["a", "b"], tmp_path / "x", {"a": 1, "b": 2}, also=["bias"])
    with pytest.raises(ValueError, match=r"`num_new_rows` \(--rows\) has no number for items"):
        grow_checkpoint(prefix, ["users", "items"], tmp_path / "x", {"users": 1}, also=[])
    with pytest.raises(KeyError, match=r"has 'user', which is none of the tables: 'users'"):
        grow_checkpoint(prefix, ["users"], tmp_path / "x", {"users": 1, "user": 1}, also=[])


def test_shards_of_different_sizes_are_refused_unless_each_is_told(tmp_path):
    shards = {f"weights_{i}": counting_rows(size) for i, size in enumerate((4, 4, 3))}
    prefix = save_checkpoint(tmp_path / "old", shards)
    match = r"'weights_\*' means tables of different sizes: .*weights_2 \(3 rows\).*--rows NAME=K"
    with pytest.raises(ValueError, match=match):
        grow_checkpoint(prefix, ["weights_*"], tmp_path / "new", 2, also=[])
    grow_checkpoint(prefix, ["weights_*"], tmp_path / "new", dict.fromkeys(shards, 2), also=[])
    assert load_checkpoint(tmp_path / "new")["weights_2"].shape == (5, 2)


def test_rows_beyond_the_memory_are_refused_before_they_are_made(tmp_path):
    prefix = save_checkpoint(tmp_path / "old", {"e": counting_rows(4)})
    with pytest.raises(ValueError, match=r"take 8000000000000 bytes of memory, and there are only"):
        grow_checkpoint(prefix, ["e"], tmp_path / "new", num_new_rows=10**12)
