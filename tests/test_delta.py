"""Deltas: extracted, applied, stacked, reverted, refused, and read whatever they hold."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import strategies as st

import tf1_embed
from support.tables import (
    DTYPES,
    assert_same,
    counting_rows,
    flip_byte,
    load_checkpoint,
    save_checkpoint,
    special_rows,
    truncate,
)
from tf1_embed.checkpoint.delta import read_delta
from tf1_embed.checkpoint.delta.order import decode_order, encode_order
from tf1_embed.checkpoint.files.find import CheckpointDamaged
from tf1_embed.cli import main
from tf1_embed.rows import Rows
from tf1_embed.vocabulary import IdMap, append_map, id_map

TABLES, ALSO = ["e"], ["bias", "projection:1"]

# What grows along which axis in the checkpoints of these tests.
AXES = {"e": 0, "e/Adam": 0, "e/Adam_1": 0, "bias": 0, "projection": 1, "projection/Adam": 1}


def values_of(num_rows, special=True):
    """Returns the variables of a model; the first rows are the same whatever their number."""
    random = np.random.RandomState(7)
    values = {}
    for name, axis in AXES.items():
        rows = random.standard_normal([40, 3]).astype(np.float32)
        if special:
            rows[:14] = special_rows(dim=3)
        rows = rows[:num_rows]
        values[name] = rows[:, 0].copy() if name == "bias" else rows.T.copy() if axis else rows
    return dict(values, global_step=np.int64(100 * num_rows), other=counting_rows(5))


def save_model(folder, num_rows, **values):
    """Saves the variables of a model of so many rows in a folder of its own; returns the prefix."""
    folder.mkdir()
    return save_checkpoint(folder / "m", dict(values_of(num_rows), **values))


@pytest.fixture
def save(tmp_path):
    """`save_model` without its first argument."""
    return lambda *args, **values: save_model(
        tmp_path / f"model{len(list(tmp_path.iterdir()))}", *args, **values
    )


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """The folder of what `deltas` gives to each test."""
    folder = tmp_path_factory.mktemp("made_once") / "all"
    folder.mkdir()
    models = [save_model(folder / f"of{num_rows}", num_rows) for num_rows in (16, 18, 19, 23)]
    for number, (old, new) in enumerate(zip(models, models[1:])):
        tf1_embed.extract_delta(old, new, TABLES, folder / f"delta{number}", also=ALSO)
    return folder


@pytest.fixture
def deltas(made_once, tmp_path):
    """Checkpoints of 16, 18, 19 and 23 rows, and the deltas between them."""
    shutil.copytree(str(made_once), str(tmp_path / "all"))
    models = [str(tmp_path / "all" / f"of{num_rows}" / "m") for num_rows in (16, 18, 19, 23)]
    return models, [str(tmp_path / "all" / f"delta{number}") for number in range(3)]


def files_of(folder):
    """Returns a dict from each file under a folder to the SHA-256 of what it holds."""
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(str(folder)).rglob("*")
        if path.is_file()
    }


def edit(prefix, change):
    """Changes the JSON of a delta by a function of its content."""
    path = Path(f"{prefix}.delta.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_applied_delta_makes_the_grown_checkpoint_bit_for_bit(deltas, tmp_path):
    (base, grown, *_), (delta, *_) = deltas
    tf1_embed.apply_delta(base, delta, tmp_path / "out")
    expected = dict(values_of(18), global_step=np.int64(1600))
    assert_same(load_checkpoint(tmp_path / "out"), expected)
    with tf.Graph().as_default(), tf.Session() as session:
        variables = {
            name: tf.get_variable(name, value.shape, value.dtype)
            for name, value in expected.items()
        }
        tf.train.Saver().restore(session, str(tmp_path / "out"))
        assert_same(session.run(variables), expected)


def test_delta_is_a_checkpoint_of_the_new_rows_alone(deltas):
    _, (delta, *_) = deltas
    grown = values_of(18)
    expected = {name: np.take(grown[name], [16, 17], axis) for name, axis in AXES.items()}
    assert_same(load_checkpoint(delta), expected)


def test_json_names_rows_and_the_fingerprints_of_what_they_belong_to(deltas):
    (base, grown, *_), (delta, *_) = deltas
    content = json.loads(Path(f"{delta}.delta.json").read_text())
    assert content["tokens"] is None
    table = content["tables"]["e"]
    assert (table["rows"], table["size"], table["axis"]) == ([[16, 18]], 18, 0)
    assert table["base_sha256"] == tf1_embed.fingerprint_checkpoint(base, "e")
    assert table["grown_sha256"] == tf1_embed.fingerprint_checkpoint(grown, "e")
    assert table["new_sha256"] == tf1_embed.fingerprint(values_of(18)["e"][16:])
    assert set(table["slots"]) == {"e/Adam", "e/Adam_1"}
    # A projection's are of the matrix as it is.
    projection = content["tables"]["projection"]
    assert projection["base_sha256"] == tf1_embed.fingerprint(values_of(16)["projection"])


def test_delta_says_what_it_leaves_out(save, tmp_path):
    base, grown = save(16), save(18, other=counting_rows(5, start=1), fresh=counting_rows(2))
    written = tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", also=["bias"])
    shapes = {each.name: (each.old_shape, each.new_shape) for each in written}
    assert shapes == {
        "bias": ((18,), (2,)),
        "e": ((18, 3), (2, 3)),
        "e/Adam": ((18, 3), (2, 3)),
        "e/Adam_1": ((18, 3), (2, 3)),
        "fresh": ((2, 2), None),
        "global_step": ((), None),
        "other": ((5, 2), None),
        "projection": ((3, 18), None),
        "projection/Adam": ((3, 18), None),
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_bits_of_every_dtype_come_through(tmp_path, dtype):
    old, new = counting_rows(4, dtype=dtype), special_rows(dtype)
    base = save_checkpoint(tmp_path / "base", {"e": old})
    grown = save_checkpoint(tmp_path / "grown", {"e": np.concatenate([old, new])})
    tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", also=[])
    assert_same(load_checkpoint(tmp_path / "d"), {"e": new})
    tf1_embed.apply_delta(base, tmp_path / "d", tmp_path / "out")
    assert_same(load_checkpoint(tmp_path / "out"), load_checkpoint(grown))
    tf1_embed.revert_delta(tmp_path / "out", tmp_path / "d", tmp_path / "back")
    assert_same(load_checkpoint(tmp_path / "back"), {"e": old})


def test_deltas_stack_in_order_and_revert_to_the_base(deltas, tmp_path):
    (base, *_), prefixes = deltas
    out = str(tmp_path / "out")
    tf1_embed.apply_delta(base, prefixes, out)
    assert_same(load_checkpoint(out), dict(values_of(23), global_step=np.int64(1600)))
    for number, delta in reversed(list(enumerate(prefixes))):
        out, previous = str(tmp_path / f"back{number}"), out
        tf1_embed.revert_delta(previous, delta, out)
    assert_same(load_checkpoint(out), values_of(16))
    for name in ("e", "e/Adam", "bias", "projection"):
        digests = [tf1_embed.fingerprint_checkpoint(each, name) for each in (base, out)]
        assert digests[0] == digests[1]


def test_rows_between_old_ones_stack_and_revert(tmp_path):
    # Each growth keeps the last row last, and the first puts a row before all others too.
    old = counting_rows(5)
    first = np.insert(old, [0, 4, 4], [[10], [11], [12]], axis=0)
    second = np.insert(first, [7, 7], [[20], [21]], axis=0)
    prefixes = [
        save_checkpoint(tmp_path / str(number), {"e": each, "e/Momentum": -each})
        for number, each in enumerate([old, first, second])
    ]
    maps = [IdMap(Rows.of([0, 5, 6], 8), 5), append_map(8, 2, (0, 1))]
    for number, each in enumerate(maps):
        tf1_embed.extract_delta(
            prefixes[number], prefixes[number + 1], TABLES, tmp_path / f"d{number}", id_map=each
        )
    stack = [tmp_path / "d0", tmp_path / "d1"]
    tf1_embed.apply_delta(prefixes[0], stack, tmp_path / "out")
    assert_same(load_checkpoint(tmp_path / "out"), {"e": second, "e/Momentum": -second})
    tf1_embed.revert_delta(tmp_path / "out", stack[1], tmp_path / "back1")
    assert_same(load_checkpoint(tmp_path / "back1"), {"e": first, "e/Momentum": -first})
    tf1_embed.revert_delta(tmp_path / "back1", stack[0], tmp_path / "back0")
    assert_same(load_checkpoint(tmp_path / "back0"), {"e": old, "e/Momentum": -old})


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_partitioned_tables_keep_their_partitions(save, tmp_path, strategy):
    def by_id(num_rows):
        # TensorFlow 1.13 loses denormals as it slices what it is to save.
        values = values_of(num_rows, special=False)
        if strategy == "mod":
            for name, axis in AXES.items():
                if axis == 0:
                    order = np.concatenate([np.arange(part, num_rows, 3) for part in range(3)])
                    values[name] = values[name][order]
        return values

    # Of rank 0 is no partitioned variable, and the projection has its partitions along axis 0.
    models = []
    for number, num_rows in enumerate((16, 18, 23)):
        values = by_id(num_rows)
        del values["global_step"], values["projection"], values["projection/Adam"]
        models.append((save_checkpoint(tmp_path / f"m{number}", values, 3), values))
    (base, old), (middle, _), (grown, new) = models
    options = {"partition_strategy": strategy}
    tf1_embed.extract_delta(base, middle, TABLES, tmp_path / "d0", also=["bias"], **options)
    tf1_embed.extract_delta(middle, grown, TABLES, tmp_path / "d1", also=["bias"], **options)
    assert_same({"e": load_checkpoint(tmp_path / "d1")["e"]}, {"e": values_of(23)["e"][18:]})
    deltas = [tmp_path / "d0", tmp_path / "d1"]
    tf1_embed.apply_delta(base, deltas, tmp_path / "out", **options)
    assert_same(load_checkpoint(tmp_path / "out"), new)
    partitions = {each.name: each.num_partitions for each in inspect(tmp_path / "out")}
    assert partitions["e"] == 3
    tf1_embed.revert_delta(tmp_path / "out", deltas[1], tmp_path / "back1", **options)
    tf1_embed.revert_delta(tmp_path / "back1", deltas[0], tmp_path / "back0", **options)
    assert_same(load_checkpoint(tmp_path / "back0"), old)
    for call in (
        lambda: tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "no"),
        lambda: tf1_embed.apply_delta(base, deltas, tmp_path / "no"),
        lambda: tf1_embed.revert_delta(grown, deltas[1], tmp_path / "no"),
    ):
        with pytest.raises(ValueError, match="partition_strategy"):
            call()


def inspect(prefix):
    return tf1_embed.inspect_checkpoint(str(prefix))


def test_a_delta_of_a_table_without_partitions_applies_to_one_with_them(deltas, tmp_path):
    _, (delta, *_) = deltas
    values, grown = values_of(16, special=False), values_of(18, special=False)
    names = [name for name, axis in AXES.items() if axis == 0]
    base = save_checkpoint(tmp_path / "parts", {name: values[name] for name in names}, 2)
    with pytest.raises(KeyError, match="projection"):
        tf1_embed.apply_delta(base, delta, tmp_path / "out", partition_strategy="div")
    whole = save_checkpoint(tmp_path / "whole", {"e": values["e"]})
    parts = save_checkpoint(tmp_path / "grown", {"e": grown["e"]}, 3)
    tf1_embed.extract_delta(whole, parts, TABLES, tmp_path / "d", partition_strategy="div")
    tf1_embed.apply_delta(base, tmp_path / "d", tmp_path / "out", partition_strategy="div")
    out = load_checkpoint(tmp_path / "out")
    assert_same({"e": out["e"]}, {"e": grown["e"]})
    assert_same({"Adam": out["e/Adam"]}, {"Adam": padded(values["e/Adam"], 2, 0)})


def test_slots_that_tensorflow_saved_by_partition(tmp_path):
    def run(num_rows, saver_call):
        with tf.Graph().as_default(), tf.Session() as session:
            partitioner = tf.fixed_size_partitioner(2)
            with tf.variable_scope("m", partitioner=partitioner, use_resource=False):
                table = tf.get_variable("e", [num_rows, 2], initializer=tf.ones_initializer())
                loss = tf.reduce_sum(tf.nn.embedding_lookup(list(table), [0, 1], "div"))
                # Made in a scope, the slots of each partition have a name of their own.
                tf.train.MomentumOptimizer(0.1, 0.9).minimize(loss)
            session.run(tf.global_variables_initializer())
            slots = [each for each in tf.global_variables() if "Momentum" in each.op.name]
            for slot, start in zip(slots, (0, (num_rows + 1) // 2)):
                rows = counting_rows(slot.shape.as_list()[0], start=start)
                session.run(slot.assign(rows))
            saver_call(tf.train.Saver(), session)
            return session.run({each.op.name: each for each in tf.global_variables()})

    base, grown, out = (str(tmp_path / each) for each in ("base", "grown", "out"))
    run(4, lambda saver, session: saver.save(session, base))
    expected = run(7, lambda saver, session: saver.save(session, grown))
    options = {"partition_strategy": "div"}
    written = tf1_embed.extract_delta(base, grown, ["m/e"], tmp_path / "d", **options)
    assert [each.new_shape for each in written] == [(3, 2)] * 3
    tf1_embed.apply_delta(base, tmp_path / "d", out, **options)
    assert_same(run(7, lambda saver, session: saver.restore(session, out)), expected)
    tf1_embed.revert_delta(out, tmp_path / "d", tmp_path / "back", **options)
    back = run(4, lambda saver, session: saver.restore(session, str(tmp_path / "back")))
    assert_same(back, run(4, lambda saver, session: saver.restore(session, base)))


def test_object_based_checkpoints(tmp_path):
    def save(num_rows):
        with tf.Graph().as_default(), tf.Session() as session:
            variable = tf.get_variable("e", initializer=counting_rows(num_rows), use_resource=True)
            session.run(tf.global_variables_initializer())
            folder = tmp_path / str(num_rows)
            return tf.train.Checkpoint(e=variable).save(str(folder / "m"), session=session)

    base, grown = save(5), save(7)
    written = tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", also=[])
    assert [each.new_shape for each in written if each.name.startswith("e/")] == [(2, 2)]
    tf1_embed.apply_delta(base, tmp_path / "d", tmp_path / "out")
    key = "e/.ATTRIBUTES/VARIABLE_VALUE"
    assert_same({key: load_checkpoint(tmp_path / "out")[key]}, {key: counting_rows(7)})
    # Also a checkpoint by name of the same variable.
    named = save_checkpoint(tmp_path / "named", {"e": counting_rows(5)})
    tf1_embed.apply_delta(named, tmp_path / "d", tmp_path / "out2")
    assert_same(load_checkpoint(tmp_path / "out2"), {"e": counting_rows(7)})


def test_slots_that_the_base_has_not_are_left_out(deltas, tmp_path):
    _, (delta, *_) = deltas
    bare = {name: values_of(16)[name] for name in ("e", "bias", "projection")}
    base = save_checkpoint(tmp_path / "bare", bare)
    tf1_embed.apply_delta(base, delta, tmp_path / "out")
    assert_same(load_checkpoint(tmp_path / "out"), {name: values_of(18)[name] for name in bare})


def test_slots_that_a_delta_has_not_begin_as_the_optimizer_begins(save, tmp_path):
    more = {"e/Adagrad": counting_rows(16, 3, start=1), "e/ExponentialMovingAverage": -ones(16)}
    base, middle, grown = save(16, **more), save(18), save(19)
    tf1_embed.extract_delta(base, middle, TABLES, tmp_path / "d0", also=[], with_slots=False)
    tf1_embed.extract_delta(middle, grown, TABLES, tmp_path / "d1", also=[])
    assert read_delta(tmp_path / "d0").tables["e"].slots == {}
    deltas = [tmp_path / "d0", tmp_path / "d1"]
    tf1_embed.apply_delta(base, deltas, tmp_path / "out", {"Adagrad": 0.5})
    out, expected = load_checkpoint(tmp_path / "out"), values_of(19)
    assert_same({"Adam": out["e/Adam"][18:]}, {"Adam": expected["e/Adam"][18:]})
    assert_same({"Adam": out["e/Adam"][:18]}, {"Adam": padded(values_of(16)["e/Adam"], 2, 0)})
    assert_same({"a": out["e/Adagrad"]}, {"a": padded(more["e/Adagrad"], 3, 0.5)})
    average = np.concatenate([-ones(16), expected["e"][16:]])
    assert_same({"a": out["e/ExponentialMovingAverage"]}, {"a": average})
    with pytest.raises(KeyError, match="NoSuchSlot"):
        tf1_embed.apply_delta(base, deltas, tmp_path / "out2", {"NoSuchSlot": 0.5})


def ones(num_rows):
    return np.ones([num_rows, 3], np.float32)


def padded(rows, num_rows, value):
    return np.concatenate([rows, np.full([num_rows, 3], value, np.float32)])


def test_slots_of_an_unknown_optimizer_are_asked_for(save, tmp_path):
    base, grown = save(16, **{"e/gizmo": ones(16)}), save(18)
    tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", also=[])
    with pytest.raises(ValueError, match="gizmo"):
        tf1_embed.apply_delta(base, tmp_path / "d", tmp_path / "out")


def test_tokens_of_the_new_rows_are_noted(tmp_path):
    old, new = ["a", "b"], ["x", "a", "caf\u00e9", "b", "\u65b0 1"]
    reserved = (1, 1)
    base = save_checkpoint(tmp_path / "base", {"e": counting_rows(4)})
    rows = np.insert(counting_rows(4), [1, 2, 3], [[10], [11], [12]], axis=0)
    grown = save_checkpoint(tmp_path / "grown", {"e": rows})
    mapping = id_map(old, new, 4, reserved)
    tf1_embed.extract_delta(
        base, grown, TABLES, tmp_path / "d", id_map=mapping, tokens=new, reserved=reserved
    )
    delta = read_delta(tmp_path / "d")
    assert delta.tokens == ("x", "caf\u00e9", "\u65b0 1")
    assert delta.tables["e"].rows.ids().tolist() == [1, 3, 5]
    tf1_embed.apply_delta(base, tmp_path / "d", tmp_path / "out")
    assert_same(load_checkpoint(tmp_path / "out"), {"e": rows})
    # Without a map, new rows are before the last reserved one.
    grown = save_checkpoint(tmp_path / "grown2", {"e": np.insert(counting_rows(4), 3, 9, axis=0)})
    tf1_embed.extract_delta(
        base, grown, TABLES, tmp_path / "d2", tokens=["a", "b", "c"], reserved=reserved
    )
    assert read_delta(tmp_path / "d2").tokens == ("c",)
    for tokens, what in (
        (["a", "b"], "one for each"),
        (["a", "b", ""], "not empty"),
    ):
        with pytest.raises(ValueError, match=what):
            tf1_embed.extract_delta(
                base, grown, TABLES, tmp_path / "d3", tokens=tokens, reserved=reserved
            )
    more = save_checkpoint(tmp_path / "more", {"e": counting_rows(4), "f": counting_rows(3)})
    both = save_checkpoint(tmp_path / "both", {"e": counting_rows(5), "f": counting_rows(5)})
    with pytest.raises(ValueError, match="the same new rows"):
        tf1_embed.extract_delta(more, both, ["e", "f"], tmp_path / "d3", tokens=list("abcde"))
    inserted = IdMap(Rows.of([3], 5), 4)
    with pytest.raises(ValueError, match="reserved"):
        tf1_embed.extract_delta(
            base, grown, TABLES, tmp_path / "d3", id_map=inserted, tokens=["a"], reserved=(4, 0)
        )


def grown_by(values, id_map, random):
    """Returns the variables of `values_of` as an `IdMap` makes them, with new rows at random."""
    grown = dict(values)
    old_ids = id_map.old_ids(np.arange(id_map.num_rows))
    for name, axis in AXES.items():
        rows = np.moveaxis(values[name], axis, 0)
        new = random.standard_normal((id_map.num_rows, *rows.shape[1:])).astype(np.float32)
        new[old_ids >= 0] = rows[old_ids[old_ids >= 0]]
        grown[name] = np.ascontiguousarray(np.moveaxis(new, 0, axis))
    return grown


def random_map(num_old_rows, random):
    """Returns an `IdMap` that adds rows anywhere and drops, moves or keeps the others."""
    order = random.permutation(num_old_rows)
    kept = order[: random.randint(1, num_old_rows + 1)]
    if random.randint(2):
        kept = np.sort(kept)
    num_rows = kept.size + random.randint(1, 5)
    new_rows = Rows.of(random.choice(num_rows, num_rows - kept.size, replace=False), num_rows)
    return IdMap(new_rows, num_old_rows, kept)


def _note(maps):
    """Returns what is told of old rows that the maps, one after another, drop or move."""
    ids = np.arange(9)
    for each in maps:
        ids = np.where(ids < 0, -1, each.new_ids(np.maximum(ids, 0)))
    dropped, moved = np.sum(ids < 0), np.sum((ids >= 0) & (ids != np.arange(9)))
    told = [("are dropped", dropped), ("have other ids", moved)]
    return "; ".join(f"old rows that {what}: {count}" for what, count in told if count) or None


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_moved_and_rows_that_were_dropped_stack_and_revert(tmp_path, seed):
    random = np.random.RandomState(seed)
    # The first of some stacks keeps the order, and drops none.
    maps = [append_map(9, 2, (0, 1))] if seed % 2 else [random_map(9, random)]
    values = [{name: each for name, each in values_of(9).items() if name != "other"}]
    for _ in range(3):
        values.append(grown_by(values[-1], maps[-1], random))
        maps.append(random_map(maps[-1].num_rows, random))
    models = [save_checkpoint(tmp_path / f"m{n}", each) for n, each in enumerate(values)]
    deltas = [str(tmp_path / f"d{number}") for number in range(3)]
    for number, out in enumerate(deltas):
        pair = models[number : number + 2]
        tf1_embed.extract_delta(*pair, TABLES, out, also=ALSO, id_map=maps[number])
    for count in (1, 2, 3):
        out = str(tmp_path / f"applied{count}")
        written = tf1_embed.apply_delta(models[0], deltas[:count], out)
        assert_same(load_checkpoint(out), values[count])
        assert {each.note for each in written if each.name in TABLES} == {_note(maps[:count])}
    for number in (2, 1, 0):
        out, grown = str(tmp_path / f"back{number}"), out
        tf1_embed.revert_delta(grown, deltas[number], out)
        assert_same(load_checkpoint(out), values[number])


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_rows_that_moved_among_partitions(tmp_path, strategy):
    old, mapping = counting_rows(7), id_map(list("abcdefg"), list("gxbaydfec"))
    new = np.where(mapping.old_ids(range(9))[:, None] < 0, 50, old[mapping.old_ids(range(9))])
    values = [{"e": old, "e/Adam": -old}, {"e": new, "e/Adam": -new}]
    models = []
    for number, each in enumerate(values):
        count, places = len(each["e"]), np.arange(len(each["e"]))
        if strategy == "mod":
            places = np.concatenate([np.arange(part, count, 3) for part in range(3)])
        stored = {name: rows[places].astype("f") for name, rows in each.items()}
        models.append((save_checkpoint(tmp_path / f"m{number}", stored, 3), stored))
    (base, before), (grown, after) = models
    options = {"partition_strategy": strategy}
    tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", id_map=mapping, **options)
    tf1_embed.apply_delta(base, tmp_path / "d", tmp_path / "out", **options)
    assert_same(load_checkpoint(tmp_path / "out"), after)
    tf1_embed.revert_delta(tmp_path / "out", tmp_path / "d", tmp_path / "back", **options)
    assert_same(load_checkpoint(tmp_path / "back"), before)


def test_slots_of_dropped_rows_that_a_delta_lacks_begin_anew(tmp_path):
    old, mapping = counting_rows(3), id_map(list("abc"), list("cxa"), drop_missing=True)
    base = save_checkpoint(tmp_path / "base", {"e": old, "e/gizmo": old})
    values = np.stack([old[2], [9, 9], old[0]]).astype(np.float32)
    grown = save_checkpoint(tmp_path / "grown", {"e": values, "e/gizmo": values})
    options = {"id_map": mapping, "with_slots": False}
    tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", **options)
    assert read_delta(tmp_path / "d").tables["e"].dropped["e"].tolist() == [old[1].tolist()]
    with pytest.raises(ValueError, match="gizmo"):
        tf1_embed.revert_delta(grown, tmp_path / "d", tmp_path / "back")
    with pytest.raises(KeyError, match="NoSuchSlot"):
        tf1_embed.revert_delta(grown, tmp_path / "d", tmp_path / "back", {"NoSuchSlot": 1})
    tf1_embed.revert_delta(grown, tmp_path / "d", tmp_path / "back", {"gizmo": 0.5})
    expected = np.stack([old[0], [0.5, 0.5], old[2]]).astype(np.float32)
    assert_same(load_checkpoint(tmp_path / "back"), {"e": old, "e/gizmo": expected})


def test_growth_that_is_not_what_the_map_says_is_refused(tmp_path):
    base = save_checkpoint(tmp_path / "base", {"e": counting_rows(3)})
    grown = save_checkpoint(tmp_path / "grown", {"e": counting_rows(4)[[1, 0, 2, 3]]})
    dropped = IdMap(Rows.of([2, 3], 4), 3, np.array([0, 1]))
    for mapping, found in (
        (None, r"2 of 3 old rows \(ids 0, 1\) of 'e'.*--old-vocab"),
        (dropped, r"2 of 2 old rows \(ids 0, 1\)"),
        (append_map(3, 2), "`id_map` is of 3 and 5 rows"),
        (IdMap(Rows.range(0, 0, size=4), 3, np.array([0, 1, 2, 0])), "none that is new"),
    ):
        with pytest.raises(ValueError, match=found):
            tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", id_map=mapping)
    assert not list(tmp_path.glob("d.*"))


def test_order_takes_few_bytes_where_tokens_stay_behind_one_another(tmp_path):
    num_rows, random = 200000, np.random.RandomState(0)
    moved = np.arange(num_rows)
    for place, other in random.randint(num_rows, size=[500, 2]):
        moved = np.insert(np.delete(moved, place), other, moved[place])
    for order, most in (
        (np.arange(num_rows)[::2], 1000),
        (moved, 500 * 24),
        (random.permutation(num_rows), 3 * num_rows),
    ):
        encoded = encode_order(order, num_rows)
        assert encoded.size < most
        assert np.array_equal(decode_order(encoded, order.size, num_rows), order)


def test_bytes_that_are_no_order_are_refused():
    valid = encode_order(np.array([2, 0, 1]), 3)
    for content, count, num_old_rows, what in (
        (valid, 2, 3, "of 2 rows"),
        (valid, 4, 4, "of 4 rows"),
        (valid, 2**61, 2**61, "of 2305843009213693952 rows"),
        (valid[:-5], 3, 3, "of 3 rows"),
        (valid[::-1], 3, 3, "header"),
        (valid[:0], 0, 3, "of 0 rows"),
        (valid, 3, 2, "ids below 2"),
        (encode_order(np.array([1, 1, 1]), 3), 3, 3, "each id once"),
    ):
        with pytest.raises(ValueError, match=what):
            decode_order(content, count, num_old_rows)


def test_a_changed_old_row_is_named_and_refused(save, tmp_path):
    changed = values_of(18)
    for name, index in (("e", (3, 0)), ("e", (7, 1)), ("projection", (2, 5))):
        changed[name].view(np.uint32)[index] ^= 1
    base, grown = save(16), save(18, **changed)
    with pytest.raises(ValueError, match=r"2 of 16 old rows \(ids 3, 7\) of 'e'"):
        tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", also=[])
    with pytest.raises(ValueError, match=r"1 of 16 old columns \(ids 5\) of 'projection'"):
        tf1_embed.extract_delta(base, grown, ["bias"], tmp_path / "d", also=["projection:1"])
    assert not list(tmp_path.glob("d.*"))


@pytest.mark.parametrize(
    "values, what",
    [
        ({"e": counting_rows(16, 3)}, "none that is new.*merge"),
        ({"e": counting_rows(18, 4)}, "but for its size on axis 0"),
        ({"e": counting_rows(18, 3, "float64")}, "but for its size on axis 0"),
        ({"e": np.float32(1)}, "must have an axis 0"),
    ],
)
def test_a_table_that_did_not_just_get_rows_is_refused(tmp_path, values, what):
    base = save_checkpoint(tmp_path / "base", {"e": counting_rows(16, 3)})
    grown = save_checkpoint(tmp_path / "grown", values)
    with pytest.raises(ValueError, match=what):
        tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", also=[])


def test_names_that_match_nothing_are_refused(deltas, tmp_path):
    (base, grown, *_), (delta, *_) = deltas
    with pytest.raises(KeyError, match="no_such_table"):
        tf1_embed.extract_delta(base, grown, ["no_such_table"], tmp_path / "d")
    with pytest.raises(ValueError, match="`tables`"):
        tf1_embed.extract_delta(base, grown, "e", tmp_path / "d")
    other = save_checkpoint(tmp_path / "other", {"f": counting_rows(18)})
    with pytest.raises(KeyError, match="'e'"):
        tf1_embed.extract_delta(base, other, TABLES, tmp_path / "d")
    with pytest.raises(KeyError, match="it holds 'f'"):
        tf1_embed.revert_delta(other, delta, tmp_path / "d")
    with pytest.raises(FileNotFoundError, match="there is no delta"):
        tf1_embed.apply_delta(base, tmp_path / "nothing", tmp_path / "out")
    with pytest.raises(ValueError, match="`deltas`"):
        tf1_embed.apply_delta(base, [], tmp_path / "out")


@pytest.mark.parametrize("name", ["e", "bias", "projection"])
def test_a_base_with_one_other_bit_is_refused(deltas, save, tmp_path, name):
    _, (delta, *_) = deltas
    values, grown = values_of(16), values_of(18)
    for each in (values, grown):
        each[name].view(np.uint32)[(2,) * each[name].ndim] ^= 1
    base = save(16, **values)
    with pytest.raises(ValueError, match=f"(?s)was made for rows of '{name}.*SHA-256"):
        tf1_embed.apply_delta(base, delta, tmp_path / "out")
    with pytest.raises(ValueError, match=f"without the rows.*{name}"):
        tf1_embed.revert_delta(save(18, **grown), delta, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_deltas_out_of_order_are_refused(deltas, tmp_path):
    (base, middle, *_, grown), (first, second, third) = deltas
    for wrong in ([second], [first, third], [second, first], [first, first]):
        with pytest.raises(ValueError, match="order of their making"):
            tf1_embed.apply_delta(base, wrong, tmp_path / "out")
    with pytest.raises(ValueError, match="order of their making"):
        tf1_embed.apply_delta(middle, first, tmp_path / "out")
    with pytest.raises(ValueError, match="Revert the delta that was applied last"):
        tf1_embed.revert_delta(grown, second, tmp_path / "out")


def test_deltas_of_the_same_sizes_out_of_order_are_refused(tmp_path):
    # One after the other they fit, but for their bits.
    base = save_checkpoint(tmp_path / "base", {"e": counting_rows(4)})
    for number, rows in enumerate([counting_rows(5), np.append(counting_rows(4), [[9, 9]], 0)]):
        grown = save_checkpoint(tmp_path / f"g{number}", {"e": rows.astype(np.float32)})
        tf1_embed.extract_delta(base, grown, TABLES, tmp_path / f"d{number}")
    later = save_checkpoint(tmp_path / "later", {"e": counting_rows(6)})
    tf1_embed.extract_delta(tmp_path / "g0", later, TABLES, tmp_path / "d2")
    with pytest.raises(ValueError, match="d2 was made for rows of 'e' with the SHA-256"):
        tf1_embed.apply_delta(base, [tmp_path / "d1", tmp_path / "d2"], tmp_path / "out")


def test_new_rows_may_be_trained_on_before_they_are_reverted(deltas, save, tmp_path):
    _, (delta, *_) = deltas
    trained = values_of(18)
    trained["e"][16:] += 1
    tf1_embed.revert_delta(save(18, **trained), delta, tmp_path / "back")
    assert_same(load_checkpoint(tmp_path / "back"), dict(values_of(16), global_step=np.int64(1800)))


def test_changed_new_rows_are_refused(deltas, tmp_path):
    (base, *_), (delta, *_) = deltas
    values = load_checkpoint(delta)
    for name in ("e", "e/Adam", "projection"):
        changed = dict(values)
        changed[name] = values[name] + 1
        save_checkpoint(delta, changed)
        with pytest.raises(ValueError, match=f"new rows of '{name}' have another SHA-256"):
            tf1_embed.apply_delta(base, delta, tmp_path / "out")
    for changed in (
        dict(values, more=counting_rows(2)),
        dict(values, e=values["e"][:1]),
        dict(values, e=values["e"].astype(np.int32)),
        {name: value for name, value in values.items() if name != "bias"},
    ):
        save_checkpoint(delta, changed)
        with pytest.raises(ValueError, match="cannot be read as a delta"):
            tf1_embed.apply_delta(base, delta, tmp_path / "out")


@pytest.mark.parametrize(
    "key, value, what",
    [
        ("rows", [[15, 17]], "the delta was changed"),
        ("grown_sha256", "0" * 64, "the delta was changed"),
        ("base_sha256", "0" * 64, "was made for rows"),
        ("new_sha256", "0" * 64, "have another SHA-256"),
        ("size", 17, "`rows` of 'e'"),
        ("size", 19, "order of their making"),
        ("axis", 1, "'e' must be floats with 2 entries on axis 1"),
    ],
)
def test_changed_json_is_refused(deltas, tmp_path, key, value, what):
    (base, *_), (delta, *_) = deltas
    edit(delta, lambda content: content["tables"]["e"].update({key: value}))
    with pytest.raises(ValueError, match=what):
        tf1_embed.apply_delta(base, delta, tmp_path / "out")


@pytest.mark.parametrize(
    "change, what",
    [
        (lambda c: c.update(format=2), "format 2, and this version reads 1"),
        (lambda c: c.update(format=True), "`format` must be an int, got True"),
        (lambda c: c.update(tables={}), "`tables` must be a dict of tables"),
        (lambda c: c.update(tables={"e": 3}), "no `axis` of 'e'"),
        (lambda c: c.update(tables={"f": c["tables"]["e"]}), "does not hold 'f'"),
        (lambda c: c["tables"].pop("bias"), "other tensors"),
        (lambda c: c["tables"]["e"]["slots"].pop("e/Adam"), "other tensors"),
        (lambda c: c["tables"]["e"].pop("rows"), "no `rows` of 'e'"),
        (lambda c: c["tables"]["e"].update(rows=[[1, 2, 3]]), "pairs of ints"),
        (lambda c: c["tables"]["e"].update(rows=[[-1, 1]]), "pairs of ints"),
        (lambda c: c["tables"]["e"].update(rows=[[3, 1]]), "ascending order"),
        (lambda c: c["tables"]["e"].update(rows=[]), "0 entries"),
        (lambda c: c["tables"]["e"].update(size=2**70), "`size` of 'e' must be an int"),
        (lambda c: c["tables"]["e"].update(size=18.0), "`size` of 'e' must be an int"),
        (lambda c: c["tables"]["e"].update(axis=2), "`axis` of 'e' must be 0 or 1"),
        (lambda c: c["tables"]["e"].update(slots=[]), "`slots` of 'e' must be a dict"),
        (lambda c: c.update(tokens=["a", "a"]), "`tokens` must be a list of tokens, each once"),
        (lambda c: c.update(tokens=["a"]), "1 tokens, but"),
        (lambda c: c.update(others=[]), "`others` must be a dict from names"),
        (lambda c: c.update(others={"f": None}), "other tensors"),
        (lambda c: c["tables"]["e"].update(order=3), "`order` of 'e' must be the name"),
        (lambda c: c["tables"]["e"].update(order="f"), "does not hold 'f'"),
        (lambda c: c["tables"]["e"].update(order="e"), "'e' must be an order"),
        (lambda c: c["tables"]["e"].update(dropped=3), "`dropped` of 'e' must be"),
        (lambda c: c["tables"]["e"].update(dropped={}), "the dropped rows of 'e'"),
    ],
)
def test_json_of_another_form_is_refused_with_its_place(deltas, change, what):
    _, (delta, *_) = deltas
    edit(delta, change)
    with pytest.raises(ValueError, match=what) as error:
        read_delta(delta)
    assert "delta0.delta.json" in str(error.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda each: (
        st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=5), each, max_size=4)
    ),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def small_delta(tmp_path_factory):
    """A delta, and the content of its JSON."""
    folder = tmp_path_factory.mktemp("small")
    values = {"e": counting_rows(4), "e/Adam": counting_rows(4), "bias": counting_rows(4, None)}
    base = {name: each[[3, 2, 0]] for name, each in values.items()}
    for each in base.values():
        each[1] = 50
    base = save_checkpoint(folder / "base", {**base, "other": np.float32(1)})
    grown = save_checkpoint(folder / "grown", {**values, "other": np.float32(2)})
    prefix, mapping = str(folder / "d"), id_map(list("dxa"), list("abcd"), drop_missing=True)
    options = {"also": ["bias"], "tokens": list("abcd"), "others": "from-grown"}
    tf1_embed.extract_delta(base, grown, TABLES, prefix, id_map=mapping, **options)
    return prefix, Path(f"{prefix}.delta.json").read_bytes()


def read_or_refuse(prefix, content):
    Path(f"{prefix}.delta.json").write_bytes(content)
    try:
        assert set(read_delta(prefix).tables) == {"e", "bias"}
    except ValueError as error:
        assert "cannot be read as a delta" in str(error)


@hypothesis.settings(max_examples=150)
@hypothesis.given(st.data())
def test_reader_survives_values_changed_at_any_place_of_the_json(small_delta, data):
    prefix, valid = small_delta
    content = json.loads(valid.decode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = content
        while True:
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            inner = place[key]
            if not (isinstance(inner, (dict, list)) and inner and data.draw(st.booleans())):
                break
            place = inner
        if not data.draw(st.booleans()):
            place[key] = data.draw(JSON)
        elif isinstance(place, dict) and len(place) > 1:
            del place[key]
    read_or_refuse(prefix, json.dumps(content).encode())


@hypothesis.settings(max_examples=100)
@hypothesis.given(JSON.map(lambda each: json.dumps(each).encode()) | st.binary(max_size=50))
def test_reader_survives_any_json_and_any_bytes(small_delta, content):
    read_or_refuse(small_delta[0], content)


@hypothesis.settings(max_examples=100)
@hypothesis.given(position=st.floats(0, 1), bit=st.integers(0, 7), cut=st.booleans())
def test_reader_survives_damaged_json(small_delta, position, bit, cut):
    prefix, valid = small_delta
    position = int(position * (len(valid) - 1))
    damaged = bytearray(valid)
    damaged[position] ^= 1 << bit
    read_or_refuse(prefix, valid[:position] if cut else bytes(damaged))


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200000,
        b'{"format": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"format": ' + b"9" * 3000000 + b"}",
        b'{"format": 1.' + b"9" * 3000000 + b"}",
        b'{"format": 1' + b" " * (1 << 28) + b"}",
        b"\xff\xfe",
        b"",
        b"null",
    ],
    ids=["deeper", "deep", "digits", "decimals", "large", "not text", "empty", "null"],
)
def test_reader_survives_json_that_is_meant_to_harm(small_delta, content):
    with pytest.raises(ValueError, match="cannot be read as a delta"):
        Path(f"{small_delta[0]}.delta.json").write_bytes(content)
        read_delta(small_delta[0])


def test_rows_of_no_bytes_are_not_believed(tmp_path):
    # Of no bytes there can be more than there is memory for their ids.
    base = save_checkpoint(tmp_path / "base", {"e": np.zeros([2, 0], np.float32)})
    grown = save_checkpoint(tmp_path / "grown", {"e": np.zeros([4, 0], np.float32)})
    with pytest.raises(ValueError, match="'e' has no values"):
        tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", also=[])
    save_checkpoint(tmp_path / "d", {"e": np.zeros([10**6, 0], np.float32)})
    table = {
        **dict.fromkeys(["base_sha256", "grown_sha256", "new_sha256"], "0" * 64),
        **{"axis": 0, "rows": [[1, 10**6 + 1]], "size": 10**6 + 1, "slots": {}},
    }
    content = {"format": 1, "tables": {"e": table}, "tokens": None}
    (tmp_path / "d.delta.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="'e' must be floats with"):
        read_delta(tmp_path / "d")


def test_damaged_checkpoint_of_a_delta_is_refused(deltas, tmp_path):
    (base, *_), (delta, *_) = deltas
    data = Path(f"{delta}.data-00000-of-00001")
    whole = data.read_bytes()
    flip_byte(data, 5)
    with pytest.raises(CheckpointDamaged):
        tf1_embed.apply_delta(base, delta, tmp_path / "out")
    data.write_bytes(whole)
    truncate(data, 4)
    with pytest.raises(CheckpointDamaged):
        tf1_embed.apply_delta(base, delta, tmp_path / "out")
    os.remove(f"{delta}.index")
    with pytest.raises(FileNotFoundError):
        read_delta(delta)


def test_output_is_never_an_input_and_replaces_only_by_force(deltas, tmp_path):
    (base, grown, *_), (delta, other, _) = deltas
    before = files_of(tmp_path)

    def extract(out, force):
        tf1_embed.extract_delta(base, grown, TABLES, out, force=force)

    def apply(out, force):
        tf1_embed.apply_delta(base, [delta, other], out, force=force)

    def revert(out, force):
        tf1_embed.revert_delta(grown, delta, out, force=force)

    for call, sources in (
        (extract, [base, grown]),
        (apply, [base, delta, other]),
        (revert, [grown, delta]),
    ):
        for source in sources:
            with pytest.raises(FileExistsError, match="`out` is the checkpoint that is read"):
                call(source, True)
        with pytest.raises(FileExistsError, match="exists"):
            call(deltas[1][2], False)
    assert files_of(tmp_path) == before
    apply(deltas[1][2], True)
    assert_same({"e": load_checkpoint(deltas[1][2])["e"]}, {"e": values_of(19)["e"]})


def test_dry_run_checks_and_says_all_and_writes_nothing(deltas, tmp_path):
    (base, grown, *_), (delta, *_) = deltas
    before = files_of(tmp_path)
    calls = [
        lambda **options: tf1_embed.extract_delta(base, grown, TABLES, also=[], **options),
        lambda **options: tf1_embed.apply_delta(base, delta, **options),
        lambda **options: tf1_embed.revert_delta(grown, delta, **options),
    ]
    said = [call(out=tmp_path / f"{n}", dry_run=True) for n, call in enumerate(calls)]
    assert files_of(tmp_path) == before
    assert said == [call(out=tmp_path / f"{n}") for n, call in enumerate(calls)]


def test_delta_is_not_taken_for_the_latest_checkpoint_of_its_folder(save, tmp_path):
    base, grown = save(16), save(18)
    for checkpoint in (base, grown):
        folder = os.path.dirname(checkpoint)
        tf1_embed.extract_delta(base, grown, TABLES, os.path.join(folder, "delta"), also=[])
        assert tf.train.latest_checkpoint(folder) == checkpoint
    delta = os.path.join(folder, "delta")
    tf1_embed.apply_delta(os.path.dirname(base), delta, tmp_path / "out")
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "out")


def test_delta_is_as_small_as_its_rows(tmp_path):
    sizes = {}
    for num_old_rows in (1000, 40000):
        rows = counting_rows(num_old_rows + 5, 16)
        base = save_checkpoint(tmp_path / f"base{num_old_rows}", {"e": rows[:-5]})
        grown = save_checkpoint(tmp_path / f"grown{num_old_rows}", {"e": rows})
        prefix = tmp_path / f"d{num_old_rows}"
        tf1_embed.extract_delta(base, grown, TABLES, prefix)
        sizes[num_old_rows] = sum(path.stat().st_size for path in tmp_path.glob(f"{prefix.name}.*"))
    assert sizes[40000] - sizes[1000] < 20
    assert sizes[40000] < 5 * 16 * 4 + 2000


def test_progress_counts_to_the_end(deltas, tmp_path):
    (base, grown, *_), (delta, *_) = deltas

    class Bar:
        def __init__(self, num_bytes):
            self.total, self.done = num_bytes, 0
            bars.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self, num_bytes):
            self.done += num_bytes

    bars = []
    tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "0", also=ALSO, progress=Bar)
    tf1_embed.apply_delta(base, delta, tmp_path / "1", progress=Bar)
    tf1_embed.revert_delta(grown, delta, tmp_path / "2", progress=Bar)
    assert len(bars) == 3
    assert all(bar.done == bar.total > 0 for bar in bars)


# Forks, since it would take seconds to import TensorFlow for each moment.
KILLED = """
    import os, signal, sys, time
    from tf1_embed import apply_delta

    base, delta, out = sys.argv[1:]
    start = time.time()
    apply_delta(base, delta, out)
    seconds = time.time() - start
    for moment in range(8):
        child = os.fork()
        if not child:
            apply_delta(base, delta, out + str(moment))
            os._exit(0)
        time.sleep(seconds * moment / 6)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_apply_leaves_its_inputs_and_nothing_that_looks_whole_but_is_not(tmp_path):
    rows = np.random.RandomState(0).standard_normal([60000, 32]).astype(np.float32)
    base = save_checkpoint(tmp_path / "base", {"e": rows[:-9]})
    grown = save_checkpoint(tmp_path / "grown", {"e": rows})
    delta = str(tmp_path / "d")
    tf1_embed.extract_delta(base, grown, TABLES, delta)
    before = files_of(tmp_path)
    (tmp_path / "out").mkdir()
    out = str(tmp_path / "out" / "m")
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), base, delta, out], check=True, timeout=120
    )
    assert {path: digest for path, digest in files_of(tmp_path).items() if path in before} == before
    whole = [n for n in range(8) if os.path.exists(f"{out}{n}.index")]
    assert len(whole) < 8
    for number in range(8):
        if number in whole:
            assert_same(load_checkpoint(f"{out}{number}"), {"e": rows})
        tf1_embed.apply_delta(base, delta, f"{out}{number}", force=number in whole)
        assert_same(load_checkpoint(f"{out}{number}"), {"e": rows})
    assert not list((tmp_path / "out").glob("*.tmp"))
    assert not list((tmp_path / "out").glob(".*"))


def test_extract_that_fails_leaves_no_delta(deltas, tmp_path, monkeypatch):
    (base, grown, *_), _ = deltas

    def fail(*arguments):
        raise OSError("no room")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="no room"):
                tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", also=[])
        with pytest.raises(FileNotFoundError):
            read_delta(tmp_path / "d")
    tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", also=[])
    assert read_delta(tmp_path / "d").tables["e"].num_old_rows == 16


@pytest.mark.parametrize("name", ["with space", "\u00fcn\u00ef", "star*?", "a.b.c"])
def test_prefixes_are_names_and_no_patterns(deltas, tmp_path, name):
    (base, grown, *_), _ = deltas
    tf1_embed.extract_delta(base, grown, TABLES, tmp_path / name, also=ALSO)
    tf1_embed.apply_delta(base, tmp_path / name, tmp_path / "out")
    assert_same({"e": load_checkpoint(tmp_path / "out")["e"]}, {"e": values_of(18)["e"]})


# What a delta leaves out.


@pytest.fixture
def trained_on(tmp_path):
    """A base, and the same grown, with a projection that grew and a layer that was trained on."""
    base = {"words": counting_rows(6), "softmax": counting_rows(6).T.copy()}
    base.update({"dense": np.ones([2, 3], "f"), "global_step": np.int64(10)})
    grown = {**base, "words": counting_rows(8), "softmax": counting_rows(8).T.copy()}
    grown.update({"dense": base["dense"] + 1, "global_step": np.int64(250)})
    saved = [
        save_checkpoint(tmp_path / name, each) for name, each in (("base", base), ("grown", grown))
    ]
    return saved, grown


def test_what_a_delta_would_leave_out_is_asked(trained_on, tmp_path, capsys):
    (base, grown), values = trained_on
    out = str(tmp_path / "delta")
    with pytest.raises(ValueError, match="dense changed; softmax grew.*softmax:1.*--others keep"):
        tf1_embed.extract_delta(base, grown, ["words"], out)
    arguments = ["delta", "extract", base, grown, "--table", "words", "--out", out]
    assert main(arguments) == 2
    assert "dense changed; softmax grew" in capsys.readouterr().err
    assert main([*arguments, "--only-tables"]) == 0
    text = capsys.readouterr().out
    for line in ("softmax: grew, and is left out", "dense: changed, and is left out"):
        assert line in text
    delta = tf1_embed.read_delta(out)
    assert delta.left_out == ("dense", "global_step", "softmax")
    assert main(["delta", "apply", base, out, "--out", str(tmp_path / "applied")]) == 0
    text = capsys.readouterr().out
    assert "global_step: as in the base; where the delta was made, it was another" in text
    applied = load_checkpoint(tmp_path / "applied")
    assert (applied["global_step"], len(applied["words"])) == (10, 8)


def test_others_come_from_the_grown_checkpoint_if_asked(trained_on, tmp_path):
    (base, grown), values = trained_on
    tf1_embed.extract_delta(base, grown, ["words"], tmp_path / "delta", also=["softmax:1"])
    out = str(tmp_path / "applied")
    arguments = ["delta", "apply", base, str(tmp_path / "delta"), "--out", out]
    assert main([*arguments, "--others-from", grown]) == 0
    for name, value in values.items():
        assert_same(load_checkpoint(out)[name], value)
    with pytest.raises(FileExistsError):
        tf1_embed.apply_delta(base, tmp_path / "delta", grown, others_from=grown, force=True)


def test_apply_certifies_the_rows_of_the_base(trained_on, tmp_path):
    (base, grown), _ = trained_on
    tf1_embed.extract_delta(base, grown, ["words"], tmp_path / "delta", also=["softmax:1"])
    tf1_embed.apply_delta(base, tmp_path / "delta", tmp_path / "applied")
    certificates = tf1_embed.read_certificates(tmp_path / "applied")
    assert set(certificates) == {"words", "softmax:1"}
    for key, certificate in certificates.items():
        name, axis = certificate.table, certificate.axis
        assert certificate.digest == tf1_embed.fingerprint_checkpoint(base, name, axis=axis)
        (found,) = tf1_embed.verify_checkpoint(f"{tmp_path}/applied.rows.json", grown, [key])
        assert (found.num_rows, found.num_changed) == (6, 0)


def test_others_are_stored_whole_if_asked_and_come_back(trained_on, tmp_path, capsys):
    (base, grown), values = trained_on
    values = {**values, "fresh": np.int32([[1, 2]]), "words/Adam": -counting_rows(8)}
    grown = save_checkpoint(tmp_path / "grown2", values)
    delta, out, back = (str(tmp_path / name) for name in ("delta", "out", "back"))
    arguments = ["--table", "words", "--others", "from-grown", "--out", delta]
    assert main(["delta", "extract", base, grown, *arguments]) == 0
    text = capsys.readouterr().out
    for line in ("softmax: grew, and is stored whole", "fresh: is new, and is stored whole"):
        assert line in text
    # What it takes is said, too: as they are and as they were, and the rows.
    assert f"{4 * (16 + 12 + 6 + 6 + 2) + 2 * 8 + 2 * 2 * 8} bytes written to" in text
    found = read_delta(delta)
    assert (found.left_out, found.others["fresh"]) == ((), None)
    assert set(found.others) == {"dense", "fresh", "global_step", "softmax"}
    tf1_embed.apply_delta(base, delta, out)
    # The base has no slots of the table.
    expected = {name: each for name, each in values.items() if name != "words/Adam"}
    assert_same(load_checkpoint(out), expected)
    tf1_embed.revert_delta(out, delta, back)
    assert_same(load_checkpoint(back), load_checkpoint(base))


def test_what_the_last_delta_says_of_a_variable_counts(trained_on, tmp_path):
    (base, grown), values = trained_on
    last = {**values, "words": counting_rows(9), "dense": values["dense"] + 1}
    later = save_checkpoint(tmp_path / "later", last)
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    tf1_embed.extract_delta(base, grown, ["words"], first, others="from-grown")
    tf1_embed.extract_delta(grown, later, ["words"], second, others="keep")
    written = tf1_embed.apply_delta(base, [first, second], tmp_path / "out")
    assert_same(load_checkpoint(tmp_path / "out"), {**last, "dense": values["dense"]})
    notes = {each.name: each.note for each in written if each.note is not None}
    as_in_first = f"as in delta {first}"
    assert notes == {
        "dense": f"{as_in_first}; where the delta was made, it was another",
        "global_step": as_in_first,
        "softmax": as_in_first,
    }
    tf1_embed.apply_delta(base, [first, second], tmp_path / "out2", others_from=later)
    assert_same(load_checkpoint(tmp_path / "out2"), last)
    # The other way round the last one has it.
    tf1_embed.extract_delta(base, grown, ["words"], first, others="keep", force=True)
    tf1_embed.extract_delta(grown, later, ["words"], second, others="from-grown", force=True)
    written = tf1_embed.apply_delta(base, [first, second], tmp_path / "out3")
    notes = {each.name: each.note for each in written if each.note is not None}
    assert notes["dense"] == f"as in delta {second}"
    assert notes["softmax"].startswith("as in the base; ")


def test_clocks_come_with_the_others(tmp_path):
    values = {"e": counting_rows(3), "e/Adam": counting_rows(3), "e/Adam_1": counting_rows(3)}
    powers = {"beta1_power": np.float32(0.9**500), "beta2_power": np.float32(0.999**500)}
    base = save_checkpoint(tmp_path / "base", {**values, **powers})
    values = {name: counting_rows(4) for name in values}
    after = {"beta1_power": np.float32(0.9**20), "beta2_power": np.float32(0.999**20)}
    grown = save_checkpoint(tmp_path / "grown", {**values, **after})
    tf1_embed.extract_delta(base, grown, TABLES, tmp_path / "d", others="from-grown")
    tf1_embed.apply_delta(base, tmp_path / "d", tmp_path / "out")
    assert_same(load_checkpoint(tmp_path / "out"), {**values, **after})
    tf1_embed.revert_delta(tmp_path / "out", tmp_path / "d", tmp_path / "back")
    assert_same(load_checkpoint(tmp_path / "back"), load_checkpoint(base))


@pytest.mark.parametrize(
    "answer, left_out", [("keep", 3), ("k", 3), ("from-grown", 0), ("FROM", 0), ("", None)]
)
def test_others_are_asked_for_at_a_terminal(
    trained_on, tmp_path, capsys, monkeypatch, answer, left_out
):
    (base, grown), _ = trained_on
    stdin = io.StringIO(answer + "\n")
    stdin.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", stdin)
    out = str(tmp_path / "delta")
    arguments = ["delta", "extract", base, grown, "--table", "words", "--out", out]
    assert main(arguments) == (2 if left_out is None else 0)
    error = capsys.readouterr().err
    assert "These are not as in the base: dense changed; softmax grew." in error
    if left_out is None:
        assert error.endswith("must be keep or from-grown, got ''; nothing was written\n")
        assert not os.path.exists(f"{out}.index")
    else:
        assert len(read_delta(out).left_out) == left_out
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    sys.stdin.isatty = lambda: True
    assert main([*arguments, "--force"]) == 2
    assert "no answer: the input ended; nothing was written" in capsys.readouterr().err


def test_options_of_extract_that_contradict_are_refused(trained_on, tmp_path, capsys):
    (base, grown), _ = trained_on
    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")
    extract = ["delta", "extract", base, grown, "--table", "words", "--out", str(tmp_path / "d")]
    for options, what in (
        (["--only-tables", "--others", "from-grown"], "--only-tables leaves all else out"),
        (["--only-tables", "--also", "softmax:1"], "--only-tables leaves all else out"),
        (["--drop-missing"], "--drop-missing needs --old-vocab and --new-vocab"),
        (["--old-vocab", str(words)], "--old-vocab needs --new-vocab"),
    ):
        assert main([*extract, *options]) == 2
        assert what in capsys.readouterr().err
    with pytest.raises(ValueError, match="`others` must be"):
        tf1_embed.extract_delta(base, grown, ["words"], tmp_path / "d", others="all")


def test_deltas_by_token_of_the_command(tmp_path, capsys):
    old, new = ["the", "of", "cat", "dog"], ["of", "new", "the", "dog", "york"]
    for name, tokens in (("old.txt", old), ("new.txt", new)):
        (tmp_path / name).write_text("".join(each + "\n" for each in tokens))
    values = {"e": counting_rows(4), "e/Adam": -counting_rows(4), "bias": counting_rows(4, None)}
    base = save_checkpoint(tmp_path / "base", values)
    grown, delta, out, back = (str(tmp_path / name) for name in ("grown", "delta", "out", "back"))
    words = ["--old-vocab", f"{tmp_path}/old.txt", "--new-vocab", f"{tmp_path}/new.txt"]
    of = ["--table", "e", "--also", "bias", *words, "--drop-missing"]
    assert main(["grow", base, *of, "--out", grown]) == 0
    assert "e: 3 rows kept (2 of them moved), 1 dropped, 2 new" in capsys.readouterr().out
    assert main(["delta", "extract", base, grown, *of, "--out", delta]) == 0
    assert read_delta(delta).tokens == ("new", "york")
    assert main(["delta", "apply", base, delta, "--out", out]) == 0
    assert_same(load_checkpoint(out), load_checkpoint(grown))
    assert main(["delta", "revert", out, delta, "--out", back]) == 0
    assert_same(load_checkpoint(back), values)


def test_deltas_that_note_nothing_left_out_are_read(deltas):
    edit(deltas[1][0], lambda content: content.pop("left_out"))
    edit(deltas[1][0], lambda content: content.pop("others"))
    delta = tf1_embed.read_delta(deltas[1][0])
    assert (delta.left_out, delta.others) == ((), {})
    edit(deltas[1][0], lambda content: content.update(left_out=[3]))
    with pytest.raises(ValueError, match="`left_out` must be a list of names"):
        tf1_embed.read_delta(deltas[1][0])
