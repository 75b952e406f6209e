import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.optimizers import TRAIN, AdamWeightDecay
from support.tables import counting_rows, save_checkpoint
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.slot_values import SAME_AS_TABLE, check_slot_values, initial_value
from tf1_embed.checkpoint.slots import Slot, find_slots, find_tables, rename_slot


def slots_of(tmp_path, shapes):
    """Returns the slots found among variables of these shapes, as {name: (table, kind)}."""
    values = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    with CheckpointReader(save_checkpoint(tmp_path / "saved", values)) as reader:
        return {name: (slot.table, slot.kind) for name, slot in find_slots(reader).items()}


@pytest.mark.parametrize(
    "slot, owner, kind",
    [
        ("e/Adam", "e", "Adam"),
        ("e/Adam_1", "e", "Adam_1"),
        ("e/adam_m", "e", "adam_m"),
        ("train/e/Momentum", "e", "Momentum"),
        ("scope/scope/e/Adam", "scope/e", "Adam"),
        ("train/scope/e/Adam", "scope/e", "Adam"),
        ("training/Adam/scope/e/m", "scope/e", "m"),
        ("scope/e/art_0/Adam", "scope/e", "Adam"),
        ("e/Adam/average", "e", "Adam/average"),
    ],
)
def test_slots_are_found_by_their_names(tmp_path, slot, owner, kind):
    shapes = {each: [4, 2] for each in ("e", "scope/e", "e/Adam", "other", slot)}
    slots = slots_of(tmp_path, shapes)
    assert slots.pop(slot) == (owner, kind)
    assert set(slots) <= {"e/Adam"}


@pytest.mark.parametrize(
    "shapes",
    [
        {"e": [4, 2], "e/bias": [2]},
        {"e": [4, 2], "e/kernel": [3, 2]},
        {"e": [4, 2], "e/step": []},
        {"e": [4, 2], "layer/e/kernel": [4]},  # of the same number of rows, but in another scope
        {"e": [4, 2], "e_new_rows": [4, 2], "the_e/Adam": [4, 2]},
        {"scope": [], "scope/e": [4, 2]},
    ],
    ids=str,
)
def test_variables_of_another_shape_or_name_are_no_slots(tmp_path, shapes):
    assert slots_of(tmp_path, shapes) == {}


def test_slots_that_keep_one_number_a_row_are_found(tmp_path):
    slots = slots_of(tmp_path, {"e": [4, 2], "e/count": [4]})
    assert slots == {"e/count": ("e", "count")}


@pytest.mark.parametrize("name", sorted(TRAIN) + ["adam_weight_decay"])
def test_initial_values_are_those_of_the_optimizers_of_tensorflow(tmp_path, graph, session, name):
    table = tf.get_variable("scope/e", initializer=counting_rows(4))
    gradient = tf.convert_to_tensor(tf.gradients(tf.reduce_sum(table**2), table)[0])
    optimizer = TRAIN[name]() if name in TRAIN else AdamWeightDecay()
    optimizer.apply_gradients([(gradient, table)])
    session.run(tf.global_variables_initializer())
    prefix = tf.train.Saver().save(session, str(tmp_path / "saved"))
    values = session.run({each.op.name: each for each in tf.global_variables()})
    with CheckpointReader(prefix) as reader:
        slots = find_slots(reader)
        assert set(slots) == {each for each in values if values[each].shape} - {"scope/e"}
        for slot in slots.values():
            assert slot.table == "scope/e"
            assert (values[slot.name] == np.float32(initial_value(reader, slot))).all()


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """An open checkpoint of a table and slots."""
    names = ["e", "e/Adagrad", "e/Adam", "e/ExponentialMovingAverage", "e/rms", "e/strange"]
    values = {name: counting_rows(4, start=1) for name in names}
    values["e/Adagrad"] = np.float32([[0.5, 2], [3, 0.25], [0.75, 9], [1, 2]])
    folder = tmp_path_factory.mktemp("slots")
    with CheckpointReader(save_checkpoint(folder / "saved", values)) as reader:
        yield reader


def test_initial_values_may_be_given_by_kind_or_by_name(reader):
    slots = find_slots(reader)
    adagrad = slots["e/Adagrad"]
    assert initial_value(reader, adagrad, {"Adagrad": 1e-8}) == 1e-8
    assert initial_value(reader, adagrad, {"e/Adagrad": 2, "Adagrad": 1}) == 2.0
    assert initial_value(reader, slots["e/Adam"]) == 0.0
    assert initial_value(reader, slots["e/ExponentialMovingAverage"]) == SAME_AS_TABLE


@pytest.mark.parametrize(
    "name, match",
    [
        ("e/strange", r"'e/strange' is not known. Say it with slot_values={'strange': VALUE}"),
        ("e/rms", r"is not known \(1 of tf.train.RMSPropOptimizer, 0 of Keras' RMSprop\)"),
        ("e/Adagrad", "0.1 by default; but the least that a row has is 0.25, and none"),
    ],
)
def test_initial_values_that_are_not_known_are_refused(reader, name, match):
    with pytest.raises(ValueError, match=match):
        initial_value(reader, find_slots(reader)[name])


def test_values_of_slots_that_do_not_exist_are_refused(reader):
    slots = list(find_slots(reader).values())
    check_slot_values(slots, {"Adam": 0, "e/Adagrad": 0})
    check_slot_values(slots, None)
    with pytest.raises(KeyError, match="'Adamm', .* no such slot .*they have Adagrad, Adam"):
        check_slot_values(slots, {"Adamm": 0})
    with pytest.raises(KeyError, match="they have none"):
        check_slot_values([], {"Adam": 0})


def test_slots_saved_in_pieces_are_read_as_one(tmp_path, graph, session):
    with tf.variable_scope("scope", partitioner=tf.fixed_size_partitioner(3)):
        table = tf.get_variable("e", [11, 2])
        loss = tf.reduce_sum(tf.nn.embedding_lookup(table, tf.range(11), "div") ** 2)
        tf.train.MomentumOptimizer(0.1, 0.9).minimize(loss)
    session.run(tf.global_variables_initializer())
    momenta = [each for each in tf.global_variables() if "Momentum" in each.op.name]
    for part, start in zip(momenta, (0, 4, 8)):
        part.load(counting_rows(part.shape.as_list()[0], start=start), session)
    prefix = tf.train.Saver().save(session, str(tmp_path / "saved"))
    with CheckpointReader(prefix) as reader:
        slots = find_slots(reader)
        assert sorted(slots) == [f"scope/e/art_{part}/Momentum" for part in range(3)]
        for slot in slots.values():
            assert slot == Slot(slot.name, "scope/e", "Momentum", slot.source)
            assert reader.rows(slot.source, 0, 11).tolist() == counting_rows(11).tolist()


def test_tables_are_found_by_name_and_by_pattern(tmp_path):
    names = ["user/a", "user/b", "user/b/Adam", "item"]
    values = {name: counting_rows(3) for name in names}
    with CheckpointReader(save_checkpoint(tmp_path / "saved", values)) as reader:
        assert find_tables(reader, ["user/*"]) == ["user/a", "user/b"]
        assert find_tables(reader, ["*"]) == ["item", "user/a", "user/b"]
        assert find_tables(reader, ["item", "user/?", "item"]) == ["item", "user/a", "user/b"]
        # A pattern leaves out slot variables, a name does not.
        assert find_tables(reader, ["user/b/Adam"]) == ["user/b/Adam"]
        with pytest.raises(KeyError, match=r"holds no variable 'usr/\*'; it holds .*user/a"):
            find_tables(reader, ["item", "usr/*"])
        for tables in ("item", []):
            with pytest.raises(ValueError, match="`tables` must be a list of names, got"):
                find_tables(reader, tables)


@pytest.mark.parametrize("start", [1.0, 1e-8, 0.1])
@pytest.mark.parametrize("kind", ["Adagrad", "Ftrl", "ProximalAdagrad", "Ftrl_2"])
def test_rows_never_looked_up_tell_what_accumulators_began_with(tmp_path, kind, start):
    slot = np.full([5, 2], start, np.float32)
    slot[:2] += [[0.5, 2.0], [3.0, 0.25]]
    # Columns of a projection; and a bias, of which two numbers are needed.
    values = {"e": counting_rows(5), f"e/{kind}": slot}
    values.update({"p": counting_rows(5).T.copy(), f"p/{kind}": slot.T.copy()})
    values.update({"b": counting_rows(5, None), f"b/{kind}": slot[:, 0].copy()})
    with CheckpointReader(save_checkpoint(tmp_path / "saved", values)) as reader:
        for name in ("e", "p", "b"):
            value = initial_value(reader, find_slots(reader)[f"{name}/{kind}"])
            assert np.float32(value) == np.float32(start)


def test_one_number_of_a_bias_tells_nothing(tmp_path):
    values = {"b": counting_rows(3, None), "b/Adagrad": np.float32([1, 2, 3])}
    with CheckpointReader(save_checkpoint(tmp_path / "saved", values)) as reader:
        with pytest.raises(ValueError, match="none that was never looked up tells it"):
            initial_value(reader, find_slots(reader)["b/Adagrad"])


@pytest.mark.parametrize("optimizer", [tf.train.AdagradOptimizer, tf.train.FtrlOptimizer])
@pytest.mark.parametrize("use_resource", [False, True])
def test_saved_graph_tells_what_accumulators_began_with(tmp_path, optimizer, use_resource):
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("e", [3, 2], use_resource=use_resource)
        step = optimizer(0.1, initial_accumulator_value=0.5).minimize(tf.reduce_sum(table**2))
        session.run(tf.global_variables_initializer())
        session.run(step)
        # All rows were trained.
        prefix = tf.train.Saver().save(session, str(tmp_path / "saved"))
    with CheckpointReader(prefix) as reader:
        slot = find_slots(reader)[f"e/{optimizer.__name__[: -len('Optimizer')]}"]
        assert initial_value(reader, slot) == 0.5


def test_slots_of_a_second_optimizer_are_as_those_of_the_first(tmp_path):
    kinds = ["Adam_2", "Adam_3", "Adadelta_3", "Ftrl_3", "Momentum_1", "ExponentialMovingAverage_1"]
    values = {"e": counting_rows(4), **{f"e/{kind}": counting_rows(4) for kind in kinds}}
    values["e/RMSProp_3"] = counting_rows(4)
    with CheckpointReader(save_checkpoint(tmp_path / "saved", values)) as reader:
        slots = find_slots(reader)
        found = [initial_value(reader, slots[f"e/{kind}"]) for kind in kinds]
        assert found == [0.0] * 5 + [SAME_AS_TABLE]
        # Whether RMSProp has two slots or three, its names do not tell.
        with pytest.raises(ValueError, match="RMSProp_3=VALUE"):
            initial_value(reader, slots["e/RMSProp_3"])


def test_slots_that_keras_names_are_known(tmp_path):
    names = {"training/Adam/scope/e/m": "m", "Adam/v/scope/e": "v", "RMSprop/scope/e/rms": "rms"}
    values = {"scope/e": counting_rows(4), **dict.fromkeys(names, counting_rows(4))}
    with CheckpointReader(save_checkpoint(tmp_path / "saved", values)) as reader:
        slots = find_slots(reader)
        assert {name: each.kind for name, each in slots.items()} == names
        assert {each.table for each in slots.values()} == {"scope/e"}
        assert {initial_value(reader, each) for each in slots.values()} == {0.0}
        assert rename_slot(slots["Adam/v/scope/e"], "f") == "Adam/v/f"
