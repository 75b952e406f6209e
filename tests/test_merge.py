import hashlib
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.optimizers import OPTIMIZERS
from support.tables import (
    DTYPES,
    assert_same,
    bits,
    counting_rows,
    flip_byte,
    load_checkpoint,
    save_checkpoint,
    special_rows,
    truncate,
)
from tf1_embed import Rows
from tf1_embed.checkpoint.files.find import CheckpointDamaged
from tf1_embed.checkpoint.merge import merge_checkpoint
from tf1_embed.checkpoint.split import split_checkpoint
from tf1_embed.cli import main

OTHERS = {
    "bias": special_rows()[:, 0].copy(),
    "global_step": np.int64(2**53 + 1),
    "is_ready": np.array([True, False]),
    "words": np.array([b"caf\xc3\xa9", b"", b"\x00\xff"], object),
    "no_rows": np.zeros([0, 3], np.float32),
}


@pytest.fixture
def grown(tmp_path):
    """The prefix of a checkpoint of 14 frozen rows and 4 new ones, in a folder of its own."""
    (tmp_path / "grown").mkdir()
    tables = {"embedding": special_rows(), "embedding_new_rows": counting_rows(4, start=14)}
    return save_checkpoint(tmp_path / "grown" / "model.ckpt-3", dict(OTHERS, **tables))


def files_of(folder):
    """Returns a dict from each file under a folder to the SHA-256 of what it holds."""
    return {
        str(path.relative_to(str(folder))): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


def merge_values(tmp_path, values, tables=("e",), **kwargs):
    """Saves variables, merges tables, and returns the variables of the merged checkpoint."""
    grown = save_checkpoint(tmp_path / "grown", values, kwargs.pop("partitions", None))
    merge_checkpoint(grown, list(tables), tmp_path / "merged", force=True, **kwargs)
    return load_checkpoint(tmp_path / "merged")


def test_merged_table_is_old_and_new_rows_bit_for_bit_under_the_old_name(grown, tmp_path):
    written = merge_checkpoint(grown, ["embedding"], tmp_path / "merged")
    assert [each[:7] for each in written if each.name.startswith("embedding")] == [
        ("embedding", "float32", (14, 2), (18, 2), 144, True, None),
        ("embedding_new_rows", "float32", (4, 2), None, 0, True, None),
    ]
    merged = load_checkpoint(tmp_path / "merged")
    assert set(merged) == set(OTHERS) | {"embedding"}
    assert_same(bits(merged["embedding"][:14]), bits(special_rows()))
    assert_same(merged["embedding"][14:], counting_rows(4, start=14))


def test_other_variables_pass_through_bit_for_bit(grown, tmp_path):
    merge_checkpoint(grown, ["embedding"], tmp_path / "merged")
    merged = load_checkpoint(tmp_path / "merged")
    for name, expected in OTHERS.items():
        assert_same(merged[name], expected)


def test_input_is_untouched_and_nothing_but_the_output_is_written(grown, tmp_path):
    before = files_of(tmp_path)
    merge_checkpoint(grown, ["embedding"], tmp_path / "merged")
    after = files_of(tmp_path)
    assert {name: after[name] for name in before} == before
    written = set(after) - set(before)
    assert "merged.index" in written
    assert all(name.startswith("merged.") or name == "checkpoint" for name in written)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 2])
def test_tables_of_any_dtype_and_rank_merge_and_open_through_a_saver(tmp_path, dtype, dim):
    old = special_rows(dtype) if dim else special_rows(dtype)[:, 0].copy()
    new = counting_rows(3, dim, dtype)
    merge_values(tmp_path, {"a/e": old, "a/e_new_rows": new}, ["a/e"])
    with tf.Graph().as_default(), tf.Session() as session:
        variable = tf.get_variable("a/e", [17] + ([dim] if dim else []), dtype)
        tf.train.Saver().restore(session, str(tmp_path / "merged"))
        got = session.run(variable)
    assert_same(bits(got), np.concatenate([bits(old), bits(new)]))


@pytest.mark.parametrize("tables", [["user_real", "user_imaginary"], ["user_*"]], ids=str)
def test_several_tables_merge_at_once(tmp_path, tables):
    values = {"other": counting_rows(3)}
    for table in ("user_real", "user_imaginary"):
        values[table], values[f"{table}_new_rows"] = counting_rows(5), counting_rows(2, start=5)
    merged = merge_values(tmp_path, values, tables)
    assert set(merged) == {"user_real", "user_imaginary", "other"}
    assert_same(merged["user_real"], counting_rows(7))
    assert_same(merged["user_imaginary"], counting_rows(7))


def test_object_based_checkpoint_merges(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        old = tf.get_variable("old", initializer=counting_rows(5), use_resource=True)
        new = tf.get_variable("new", initializer=counting_rows(2, start=5), use_resource=True)
        session.run(tf.global_variables_initializer())
        saved = tf.train.Checkpoint(e=old, e_new_rows=new)
        prefix = saved.save(str(tmp_path / "object"), session=session)
    merge_checkpoint(prefix, ["e"], tmp_path / "merged")
    merged = load_checkpoint(tmp_path / "merged")
    assert_same(merged["e/.ATTRIBUTES/VARIABLE_VALUE"], counting_rows(7))
    assert not any("e_new_rows" in name for name in merged)
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("any", [7, 2], use_resource=True)
        # TensorFlow 1.14 fails when asked whether all of it matched.
        tf.train.Checkpoint(e=table).restore(str(tmp_path / "merged")).run_restore_ops(session)
        assert_same(session.run(table), counting_rows(7))


def test_slots_in_an_object_based_checkpoint_are_refused_as_its_graph_would_not_name_them(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        old = tf.get_variable("old", initializer=counting_rows(5), use_resource=True)
        new = tf.get_variable("new", initializer=counting_rows(2), use_resource=True)
        momentum = tf.train.MomentumOptimizer(0.1, 0.9)
        momentum.minimize(tf.reduce_sum(new), var_list=[new])
        session.run(tf.global_variables_initializer())
        saved = tf.train.Checkpoint(e=old, e_new_rows=new, optimizer=momentum)
        prefix = saved.save(str(tmp_path / "object"), session=session)
    with pytest.raises(ValueError, match="is a slot variable in an object-based checkpoint"):
        merge_checkpoint(prefix, ["e"], tmp_path / "merged")


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_partitioned_variables_merge_by_id_and_others_pass_through(tmp_path, strategy):
    def stored(rows):
        return np.concatenate([rows[0::2], rows[1::2]]) if strategy == "mod" else rows

    values = {
        "e": stored(counting_rows(11)),
        "e_new_rows": stored(counting_rows(4, start=11)),
        "e_new_rows/Adam": stored(counting_rows(4, start=1)),
        "other": counting_rows(7),
    }
    merged = merge_values(tmp_path, values, partitions=2, partition_strategy=strategy)
    slots = np.concatenate([np.zeros([11, 2], np.float32), counting_rows(4, start=1)])
    expected = {
        "e": stored(counting_rows(15)),
        "e/Adam": stored(slots),
        "other": counting_rows(7),
    }
    assert set(merged) == set(expected)
    for name, value in expected.items():
        assert_same(merged[name], value)
    with pytest.raises(ValueError, match="'e' has 2 partitions. Say how"):
        merge_values(tmp_path, values, partitions=2)


# Slot variables.


def test_slots_of_new_rows_follow_those_that_an_optimizer_begins_with(tmp_path):
    new = counting_rows(2, start=1)
    values = {"e": counting_rows(3), "e_new_rows": new}
    values.update({"e_new_rows/Adam": new, "scope/e_new_rows/RMSProp": new})
    values.update({"e_new_rows/ExponentialMovingAverage": new, "e_new_rows/adam_m": new})
    # There is no base whose averages frozen rows would keep.
    merged = merge_values(tmp_path, values, slot_values={"ExponentialMovingAverage": "table"})
    zeros = np.zeros([3, 2], np.float32)
    assert set(merged) == {name.replace("_new_rows", "") for name in values}
    assert_same(merged["e/Adam"], np.concatenate([zeros, new]))
    assert_same(merged["e/adam_m"], np.concatenate([zeros, new]))
    assert_same(merged["scope/e/RMSProp"], np.concatenate([zeros + 1, new]))
    assert_same(merged["e/ExponentialMovingAverage"], np.concatenate([counting_rows(3), new]))


def test_slots_that_one_of_the_two_variables_has_are_filled_up_for_the_other(tmp_path):
    both = counting_rows(3, start=1), counting_rows(2, start=4)
    values = {"e": counting_rows(3), "e_new_rows": counting_rows(2, start=3)}
    values.update({"e/Adam": both[0], "e_new_rows/Adam": both[1]})
    values.update({"e/Ftrl": both[0], "e/ExponentialMovingAverage": both[0]})
    merged = merge_values(tmp_path, values)
    assert_same(merged["e"], counting_rows(5))
    assert_same(merged["e/Adam"], np.concatenate(both))
    assert_same(merged["e/Ftrl"], np.concatenate([both[0], np.full([2, 2], 1, np.float32)]))
    averages = np.concatenate([both[0], counting_rows(2, start=3)])
    assert_same(merged["e/ExponentialMovingAverage"], averages)


def base_and_trained(tmp_path, optimizer=tf.train.AdamOptimizer):
    """Saves a model of a table, a frozen layer and averages, and the training of two new rows."""
    base, trained = str(tmp_path / "base"), str(tmp_path / "trained")

    def step(session, rows, variables):
        loss = tf.reduce_sum((rows - 1.0) ** 2)
        train_op = optimizer(0.1).minimize(loss, var_list=variables)
        averages = tf.train.ExponentialMovingAverage(0.9)
        with tf.control_dependencies([train_op]):
            train_op = averages.apply(variables)
        session.run(tf.global_variables_initializer())
        for _ in range(5):
            session.run(train_op)

    with tf.Graph().as_default(), tf.Session() as session:
        table, layer = tf.get_variable("e", [6, 2]), tf.get_variable("layer", [2, 2])
        step(session, tf.matmul(table, layer), [table, layer])
        tf.train.Saver().save(session, base)
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf1_embed.get_grown_table("e", 2, checkpoint=base)
        step(session, tf1_embed.embedding_lookup(table, [6, 7]), [table.trainable])
        tf.train.Saver().save(session, trained)
    return base, trained


def test_base_brings_all_that_the_training_did_not_hold(tmp_path):
    base, trained = base_and_trained(tmp_path)
    merge_checkpoint(trained, ["e"], tmp_path / "merged", base=base)
    before, after, merged = (load_checkpoint(each) for each in (base, trained, tmp_path / "merged"))
    assert set(merged) == set(before)
    for suffix in ("", "/Adam", "/Adam_1", "/ExponentialMovingAverage"):
        both = [before[f"e{suffix}"], after[f"e_new_rows{suffix}"]]
        assert_same(merged[f"e{suffix}"], np.concatenate(both))
        assert_same(merged[f"layer{suffix}"], before[f"layer{suffix}"])
    # No slot begins anew, so that the clock of the training goes on.
    assert_same(merged["beta1_power"], after["beta1_power"])
    # The unmodified code.
    with tf.Graph().as_default(), tf.Session() as session:
        table, layer = tf.get_variable("e", [8, 2]), tf.get_variable("layer", [2, 2])
        step = tf.train.AdamOptimizer(0.1).minimize(tf.reduce_sum(tf.matmul(table, layer)))
        tf.train.ExponentialMovingAverage(0.9).apply([table, layer])
        tf.train.Saver().restore(session, str(tmp_path / "merged"))
        session.run(step)


def test_averages_of_frozen_rows_are_never_made_up(tmp_path):
    base, trained = base_and_trained(tmp_path)
    with pytest.raises(ValueError, match="ExponentialMovingAverage.*--base BASE.*=table"):
        merge_checkpoint(trained, ["e"], tmp_path / "merged")
    assert main(["merge", trained, "--table", "e", "--out", str(tmp_path / "merged")]) == 2
    said = ["--slot-value", "ExponentialMovingAverage=table"]
    assert main(["merge", trained, "--table", "e", "--out", str(tmp_path / "merged"), *said]) == 0
    merged = load_checkpoint(tmp_path / "merged")
    assert_same(merged["e/ExponentialMovingAverage"][:6], merged["e"][:6])
    out = ["--force", "--out", str(tmp_path / "merged")]
    assert main(["merge", trained, "--table", "e", "--base", base, *out]) == 0
    merged, before = load_checkpoint(tmp_path / "merged"), load_checkpoint(base)
    assert_same(merged["e/ExponentialMovingAverage"][:6], before["e/ExponentialMovingAverage"])


def test_slots_that_the_base_alone_has_begin_in_new_rows_with_their_clock(tmp_path):
    base, trained = base_and_trained(tmp_path)
    values = load_checkpoint(trained)
    values = {name: each for name, each in values.items() if "Adam" not in name}
    values = {name: each for name, each in values.items() if "power" not in name}
    trained = save_checkpoint(tmp_path / "other", values)
    merge_checkpoint(trained, ["e"], tmp_path / "merged", base=base)
    merged, before = load_checkpoint(tmp_path / "merged"), load_checkpoint(base)
    assert_same(merged["e/Adam"], np.concatenate([before["e/Adam"], np.zeros([2, 2], "f")]))
    assert (before["beta1_power"], merged["beta1_power"]) < (np.float32(0.6), np.float32(1))
    assert merged["beta1_power"] == np.float32(0.9)


def test_base_of_other_rows_is_refused(tmp_path):
    values = {"e": counting_rows(3), "e_new_rows": counting_rows(2)}
    trained = save_checkpoint(tmp_path / "trained", values)
    base = save_checkpoint(tmp_path / "base", {"e": counting_rows(3, start=1)})
    with pytest.raises(ValueError, match=r"3 frozen rows of 'e' are not those of .*ids 0, 1, 2"):
        merge_checkpoint(trained, ["e"], tmp_path / "merged", base=base)
    longer = save_checkpoint(tmp_path / "longer", {"e": counting_rows(4)})
    with pytest.raises(ValueError, match=r"shape \[4, 2\], but its frozen rows are of \[3, 2\]"):
        merge_checkpoint(trained, ["e"], tmp_path / "merged", base=longer)
    with pytest.raises(FileExistsError):
        merge_checkpoint(trained, ["e"], longer, base=longer, force=True)


def test_first_value_of_slots_may_be_given(tmp_path):
    values = {"e": counting_rows(3), "e_new_rows": counting_rows(2)}
    trained = np.float32([[0.01, 0.02], [0.03, 0.01]])
    values["e_new_rows/strange"] = values["e_new_rows/Adagrad"] = trained
    with pytest.raises(ValueError, match="'e_new_rows/Adagrad' begins with .* 0.1 by default"):
        merge_values(tmp_path, values)
    with pytest.raises(ValueError, match="'e_new_rows/strange' is not known.*--slot-value"):
        merge_values(tmp_path, values, slot_values={"Adagrad": 0.0})
    with pytest.raises(KeyError, match="`slot_values` has 'Adam'.* they have Adagrad"):
        merge_values(tmp_path, values, slot_values={"Adam": 0.0})
    merged = merge_values(tmp_path, values, slot_values={"Adagrad": 0.01, "strange": 7})
    assert_same(merged["e/Adagrad"][:3], np.full([3, 2], 0.01, np.float32))
    assert_same(merged["e/strange"][:3], np.full([3, 2], 7, np.float32))


# The way there and back.


def train(table, optimizer, ids, restore, out):
    """Trains a model of a table for two steps and saves it; returns all values before and after.

    What `restore` lacks, the slots of a table that was just made, is initialised.
    """
    vectors = tf1_embed.embedding_lookup(table, ids)
    dense = tf.get_variable("dense", [2, 2], initializer=tf.ones_initializer())
    loss = tf.reduce_sum((tf.matmul(vectors, dense) - 1) ** 2)
    step = tf.train.get_or_create_global_step()
    train_op = optimizer().minimize(loss, step)
    variables = {each.op.name: each for each in tf.global_variables()}
    saver = tf.train.Saver()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        initial = session.run(variables)
        if restore:
            saver.restore(session, str(restore))
        before = session.run(variables)
        session.run(train_op)
        session.run(train_op)
        return initial, before, session.run(variables), saver.save(session, str(out))


@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_original_code_opens_what_was_trained_and_merged_under_any_optimizer(
    tmp_path, name, use_resource
):
    old = np.random.RandomState(0).randn(5, 2).astype(np.float32)
    with tf.Graph().as_default(), tf.variable_scope("", use_resource=use_resource):
        table = tf1_embed.get_grown_table("e", 2, old_rows=old)
        _, _, trained, grown = train(table, OPTIMIZERS[name], [0, 5, 6], None, tmp_path / "grown")
    merge_checkpoint(grown, ["e"], tmp_path / "merged")
    with tf.Graph().as_default(), tf.variable_scope("", use_resource=use_resource):
        table = tf.get_variable("e", [7, 2])
        restore, out = tmp_path / "merged", tmp_path / "on"
        initial, opened, after, _ = train(table, OPTIMIZERS[name], [0, 6], restore, out)
    assert_same(opened["e"], np.concatenate([old, trained["e_new_rows"]]))
    for key, value in opened.items():
        if key.startswith("e/"):
            # Slots of frozen rows are those that the optimizer has just made itself.
            expected = [initial[key][:5], trained[f"e_new_rows{key[1:]}"]]
            assert_same(value, np.concatenate(expected))
        elif key != "e":
            is_clock = key.endswith("_power")
            assert_same(value, (initial if is_clock else trained)[key])
    assert (after["e"][[0, 6]] != opened["e"][[0, 6]]).all()
    assert after["global_step"] == 4


def test_table_grows_any_number_of_times(tmp_path):
    prefix = save_checkpoint(tmp_path / "round-0", {"e": special_rows()})
    expected = special_rows()
    for number, num_new_rows in enumerate([3, 1, 2], start=1):
        new_ids = list(range(len(expected), len(expected) + num_new_rows))
        with tf.Graph().as_default():
            table = tf1_embed.get_grown_table("e", num_new_rows, checkpoint=prefix)
            adam = OPTIMIZERS["adam"]
            _, _, trained, grown = train(table, adam, new_ids, None, tmp_path / f"grown-{number}")
        prefix = tmp_path / f"round-{number}"
        merge_checkpoint(grown, ["e"], prefix)
        merged = load_checkpoint(prefix)
        expected = np.concatenate([expected, trained["e_new_rows"]])
        assert_same(bits(merged["e"]), bits(expected))
        assert set(merged) == {name.replace("_new_rows", "") for name in trained}
        assert len(merged["e/Adam"]) == len(expected)
        assert_same(merged["e/Adam"][new_ids], trained["e_new_rows/Adam"])


def test_split_takes_apart_what_was_merged(tmp_path):
    with tf.Graph().as_default():
        table = tf1_embed.get_grown_table("e", 3, old_rows=special_rows())
        _, _, trained, grown = train(table, OPTIMIZERS["adam"], [14, 16], None, tmp_path / "grown")
    merge_checkpoint(grown, ["e"], tmp_path / "merged", clocks="keep")
    split_checkpoint(tmp_path / "merged", ["e"], tmp_path / "split", num_old_rows=14)
    split = load_checkpoint(tmp_path / "split")
    slots_of_frozen_rows = {name: split.pop(name) for name in ("e/Adam", "e/Adam_1")}
    assert not any(slots.any() for slots in slots_of_frozen_rows.values())
    assert set(split) == set(trained)
    for name, value in trained.items():
        assert_same(split[name], value)


CHOSEN = Rows.of([0, 3, 4], size=6)


def test_row_split_table_merges_into_one_of_the_same_size(tmp_path):
    old = np.random.RandomState(0).randn(6, 2).astype(np.float32)
    with tf.Graph().as_default():
        table = tf1_embed.get_row_split_table("e", CHOSEN, old_rows=old)
        _, _, trained, _ = train(table, OPTIMIZERS["adam"], [0, 1], None, tmp_path / "grown")
    trained_rows = counting_rows(3, start=100)
    values = dict(trained, e_trainable_rows=trained_rows)
    values["e_trainable_rows/Adam"] = counting_rows(3, start=7)
    for rows in (CHOSEN, {"e": CHOSEN}):
        merged = merge_values(tmp_path, values, trainable_rows=rows)
        assert set(merged) == {name.replace("_trainable_rows", "") for name in trained}
        assert_same(bits(merged["e"][(~CHOSEN).ids()]), bits(old[(~CHOSEN).ids()]))
        assert_same(merged["e"][CHOSEN.ids()], trained_rows)
        assert_same(merged["e/Adam"][CHOSEN.ids()], counting_rows(3, start=7))
        assert not merged["e/Adam"][(~CHOSEN).ids()].any()


@pytest.mark.parametrize(
    "rows, kind, match",
    [
        (None, ValueError, r"'e' is a row-split table.*`trainable_rows` \(--trainable-rows\)"),
        (Rows.of([0], 6), ValueError, "of 'e' must be 3 of 6 rows, got Rows.range"),
        (Rows.of([0, 1, 2], 9), ValueError, "of 'e' must be 3 of 6 rows"),
        ({"f": CHOSEN}, KeyError, "`trainable_rows` has 'f', which is none of the tables: e"),
        ({}, ValueError, "'e' is a row-split table"),
    ],
)
def test_rows_of_a_row_split_table_must_be_known(tmp_path, rows, kind, match):
    values = {"e": counting_rows(6), "e_trainable_rows": counting_rows(3)}
    with pytest.raises(kind, match=match):
        merge_values(tmp_path, values, trainable_rows=rows)


# Prefixes.


@pytest.mark.parametrize("name", ["with space", "ünï-cødé", "star*?", "a.b.c", "model.ckpt-7"])
def test_prefixes_are_names_and_no_patterns(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    values = {"e": counting_rows(5), "e_new_rows": counting_rows(2, start=5)}
    grown = save_checkpoint(folder / name, values)
    merge_checkpoint(grown, ["e"], folder / f"{name} merged")
    assert_same(load_checkpoint(folder / f"{name} merged")["e"], counting_rows(7))


@pytest.mark.parametrize("out", ["merged", "./merged", "sub/../merged"])
def test_relative_prefixes_are_of_the_working_folder(grown, tmp_path, monkeypatch, out):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(str(tmp_path))
    merge_checkpoint(os.path.join("grown", "model.ckpt-3"), ["embedding"], out)
    assert load_checkpoint(tmp_path / "merged")["embedding"].shape == (18, 2)


def test_folder_stands_for_its_latest_checkpoint(grown, tmp_path):
    merge_checkpoint(tmp_path / "grown", ["embedding"], tmp_path / "merged")
    assert load_checkpoint(tmp_path / "merged")["embedding"].shape == (18, 2)


# What is refused, and leaves nothing behind.


def assert_refused(tmp_path, kind, match, grown, tables=("embedding",), out="merged", **kwargs):
    """Asserts that the merge fails, says why, and changes no file."""
    before = files_of(tmp_path)
    with pytest.raises(kind, match=match):
        merge_checkpoint(grown, list(tables), str(tmp_path / out), **kwargs)
    assert files_of(tmp_path) == before


def test_checkpoint_that_does_not_exist_is_refused(tmp_path):
    assert_refused(tmp_path, FileNotFoundError, "found neither.*nothing", tmp_path / "nothing")


def test_checkpoint_that_exists_is_replaced_if_forced_but_never_the_input(grown, tmp_path):
    save_checkpoint(tmp_path / "merged", {"e": counting_rows(3)})
    assert_refused(tmp_path, FileExistsError, "merged exists; choose another name, or", grown)
    for force in (False, True):
        out = os.path.join("grown", "model.ckpt-3")
        match = "is the checkpoint that is read"
        assert_refused(tmp_path, FileExistsError, match, grown, out=out, force=force)
    merge_checkpoint(grown, ["embedding"], tmp_path / "merged", force=True)
    assert load_checkpoint(tmp_path / "merged")["embedding"].shape == (18, 2)


@pytest.mark.parametrize("missing", ["embedding", "embedding_new_rows"])
def test_table_without_both_variables_is_refused(tmp_path, missing):
    tables = {"embedding": counting_rows(5), "embedding_new_rows": counting_rows(2)}
    tables.pop(missing)
    grown = save_checkpoint(tmp_path / "grown", tables)
    assert_refused(tmp_path, KeyError, f"no variable '{missing}'", grown)


@pytest.mark.parametrize(
    "new_rows", [counting_rows(2, 3), counting_rows(2, None), counting_rows(2, dtype="float64")]
)
def test_variables_that_are_not_rows_of_one_table_are_refused(tmp_path, new_rows):
    grown = save_checkpoint(tmp_path / "grown", {"e": counting_rows(5), "e_new_rows": new_rows})
    assert_refused(tmp_path, ValueError, "are not rows of one table", grown, ["e"])


@pytest.mark.parametrize("tables", ["embedding", []])
def test_tables_are_a_list_of_names(grown, tmp_path, tables):
    with pytest.raises(ValueError, match="`tables` must be a list of names, got"):
        merge_checkpoint(grown, tables, tmp_path / "merged")


def test_brackets_are_refused_as_tensorflow_would_never_find_the_output(grown, tmp_path):
    match = "`out` must be a path without brackets"
    assert_refused(tmp_path, ValueError, match, grown, out="merged[1]")


def test_truncated_checkpoint_is_refused(grown, tmp_path):
    truncate(tmp_path / "grown" / "model.ckpt-3.data-00000-of-00001", 40)
    assert_refused(tmp_path, CheckpointDamaged, "damaged", grown)


@pytest.mark.parametrize("file", ["index", "data-00000-of-00001"])
def test_flipped_byte_is_refused(grown, tmp_path, file):
    flip_byte(tmp_path / "grown" / f"model.ckpt-3.{file}", 60)
    assert_refused(tmp_path, CheckpointDamaged, "[Cc]hecksum|damaged", grown)


def test_full_disk_is_noticed_before_anything_is_written(grown, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    assert_refused(tmp_path, OSError, "only 10 free", grown)


def test_dry_run_tells_what_would_be_written_and_writes_nothing(grown, tmp_path):
    before = files_of(tmp_path)
    told = merge_checkpoint(grown, ["embedding"], tmp_path / "merged", dry_run=True)
    assert files_of(tmp_path) == before
    assert merge_checkpoint(grown, ["embedding"], tmp_path / "merged") == told


def test_command_merges(grown, tmp_path):
    out = str(tmp_path / "merged")
    assert main(["merge", grown, "--table", "embedding", "--out", out]) == 0
    assert load_checkpoint(out)["embedding"].shape == (18, 2)
