import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.models import Model
from support.optimizers import OPTIMIZERS
from support.tables import (
    DTYPES,
    assert_same,
    counting_rows,
    flip_byte,
    load_checkpoint,
    save_checkpoint,
    special_rows,
)
from tf1_embed import Rows
from tf1_embed import rows as chunks
from tf1_embed.checkpoint.files import reader
from tf1_embed.checkpoint.files.find import CheckpointDamaged
from tf1_embed.checkpoint.merge import merge_checkpoint
from tf1_embed.checkpoint.split import split_checkpoint

CHOSEN = Rows.of([0, 3, 4, 13], size=14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 2])
def test_rows_and_slots_go_to_two_variables_bit_for_bit(tmp_path, dtype, dim):
    rows = special_rows(dtype) if dim else special_rows(dtype)[:, 0].copy()
    values = {"e": rows, "e/Adam": rows[::-1].copy(), "other": rows, "step": np.int64(3)}
    prefix = save_checkpoint(tmp_path / "old", values)
    written = split_checkpoint(prefix, ["e"], tmp_path / "split", num_old_rows=10)
    split = {
        "e": rows[:10],
        "e_new_rows": rows[10:],
        "e/Adam": rows[::-1][:10],
        "e_new_rows/Adam": rows[::-1][10:],
        "other": rows,
        "step": np.int64(3),
    }
    assert_same(load_checkpoint(tmp_path / "split"), split)
    assert [(each.name, each.old_shape, each.new_shape) for each in written] == [
        (name, np.shape(values[name]) if name in values else None, np.shape(split[name]))
        for name in sorted(split)
    ]


@pytest.mark.parametrize("kind", ["grown", "row-split"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_merge_takes_back_what_was_split(tmp_path, dtype, kind):
    # Names that end, begin and are contained in one another.
    names = ["e", "e/Momentum", "e/Adam", "scope/scope/the_e/Adam", "scope/the_e", "other"]
    values = {name: np.roll(special_rows(dtype), i, axis=0) for i, name in enumerate(names)}
    prefix = save_checkpoint(tmp_path / "old", values)
    rows = {"num_old_rows": 9} if kind == "grown" else {"trainable_rows": CHOSEN}
    tables = ["e", "scope/the_e"]
    split_checkpoint(prefix, tables, tmp_path / "split", **rows)
    rows.pop("num_old_rows", None)
    merge_checkpoint(tmp_path / "split", tables, tmp_path / "merged", **rows)
    assert_same(load_checkpoint(tmp_path / "merged"), load_checkpoint(prefix))


@pytest.mark.parametrize("strategy", ["mod", "div"])
@pytest.mark.parametrize("scope", ["", "model"])
def test_partitioned_table_splits_by_id_into_variables_without_partitions(
    tmp_path, strategy, scope
):
    inner = f"{scope}/" if scope else ""
    with Model(14, OPTIMIZERS["adam"], partitions=3, strategy=strategy, scope=scope) as model:
        model.train([0, 5, 13, 12])
        prefix = model.saver.save(model.session, str(tmp_path / "old"))
        rows, slots = model.lookup(range(14)), model.slots(model.table, range(14), strategy)
    table = f"{inner}embedding"
    split_checkpoint(
        prefix, [table], tmp_path / "split", num_old_rows=11, partition_strategy=strategy
    )
    split = load_checkpoint_of(tmp_path / "split", table)
    assert_same(
        split,
        {
            table: rows[:11],
            f"{table}/Adam": slots["m"][:11],
            f"{table}/Adam_1": slots["v"][:11],
            f"{table}_new_rows": rows[11:],
            f"{table}_new_rows/Adam": slots["m"][11:],
            f"{table}_new_rows/Adam_1": slots["v"][11:],
        },
    )
    merge_checkpoint(tmp_path / "split", [table], tmp_path / "merged")
    merged = load_checkpoint_of(tmp_path / "merged", table)
    expected = {table: rows, f"{table}/Adam": slots["m"], f"{table}/Adam_1": slots["v"]}
    assert_same(merged, expected)


def load_checkpoint_of(prefix, table):
    """Returns the tensors of a checkpoint whose names begin with a table's."""
    opened = tf.train.load_checkpoint(str(prefix))
    names = [name for name in opened.get_variable_to_shape_map() if name.startswith(table)]
    return {name: opened.get_tensor(name) for name in names}


@pytest.mark.parametrize("kind", ["grown", "row-split"])
def test_code_with_a_split_table_restores_it_and_trains_on(tmp_path, graph, session, kind):
    rows = np.random.RandomState(0).randn(14, 2).astype(np.float32)
    slots = np.abs(rows) + 1
    names = {"e": rows, "e/Adam": rows * 2, "e/Adam_1": slots}
    prefix = save_checkpoint(tmp_path / "old", names)
    if kind == "grown":
        chosen = Rows.range(10, 14, size=14)
        split_checkpoint(prefix, ["e"], tmp_path / "split", num_old_rows=10)
        table = tf1_embed.get_grown_table("e", 4, old_rows=np.zeros([10, 2], np.float32))
    else:
        chosen = CHOSEN
        split_checkpoint(prefix, ["e"], tmp_path / "split", trainable_rows=CHOSEN)
        old_rows = np.zeros([14, 2], np.float32)
        table = tf1_embed.get_row_split_table("e", CHOSEN, old_rows=old_rows)
    adam = tf.train.AdamOptimizer(0.1)
    vectors = tf1_embed.embedding_lookup(table, list(range(14)))
    train_op = adam.minimize(tf.reduce_sum((vectors - 1) ** 2))
    session.run(tf.global_variables_initializer())
    variables = [each for each in tf.global_variables() if "power" not in each.op.name]
    tf.train.Saver(variables).restore(session, str(tmp_path / "split"))
    table.check_restored(session)
    assert_same(session.run(table.read()), rows)
    assert_same(session.run(adam.get_slot(table.trainable, "m")), (rows * 2)[chosen.ids()])
    assert_same(session.run(adam.get_slot(table.trainable, "v")), slots[chosen.ids()])
    session.run(train_op)
    trained = session.run(table.read())
    assert_same(trained[(~chosen).ids()], rows[(~chosen).ids()])
    assert (trained[chosen.ids()] != rows[chosen.ids()]).all()


def test_several_tables_split_by_pattern_and_in_many_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 32)
    monkeypatch.setattr(reader, "CHUNK_BYTES", 32)
    values = {"a_x": counting_rows(30), "a_y": counting_rows(30, None), "b": counting_rows(30)}
    prefix = save_checkpoint(tmp_path / "old", values)
    rows = Rows.of([0, 2, 3, 4, 17, 29], size=30)
    split_checkpoint(prefix, ["a_*"], tmp_path / "split", trainable_rows=rows)
    split = load_checkpoint(tmp_path / "split")
    expected = {f"{name}_trainable_rows": values[name][rows.ids()] for name in ("a_x", "a_y")}
    assert_same(split, {**values, **expected})


# What is refused, and leaves nothing behind.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of checkpoints that cannot be split."""
    folder = tmp_path_factory.mktemp("refused")
    save_checkpoint(folder / "old", {"e": counting_rows(4), "step": np.int64(3)})
    save_checkpoint(folder / "parts", {"e": counting_rows(4)}, partitions=2)
    save_checkpoint(folder / "split", {"e": counting_rows(4), "e_new_rows": counting_rows(1)})
    save_checkpoint(folder / "damaged", {"e": counting_rows(9)})
    flip_byte(folder / "damaged.data-00000-of-00001", 20)
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("x", initializer=counting_rows(4), use_resource=True)
        session.run(tf.global_variables_initializer())
        tf.train.Checkpoint(e=table).write(str(folder / "object"), session)
    return folder


def rows_instead(rows):
    """Returns the arguments of a split by rows."""
    return {"num_old_rows": None, "trainable_rows": rows}


REFUSED = {
    "neither": (ValueError, "give either `num_old_rows` or", {"num_old_rows": None}),
    "both": (ValueError, "give either `num_old_rows` or", {"trainable_rows": Rows.of([1], 4)}),
    "no old rows": (ValueError, "`num_old_rows` must be from 1 to 3", {"num_old_rows": 0}),
    "no new rows": (ValueError, "'e' has 4 rows; got 4", {"num_old_rows": 4}),
    "no rows": (ValueError, "must be some, but not all", rows_instead(Rows.of([], 4))),
    "all rows": (ValueError, "must be some, but not all", rows_instead(Rows.range(0, 4, 4))),
    "rows of another table": (ValueError, "of the 4 rows of 'e'", rows_instead(Rows.of([1], 5))),
    "object-based": (ValueError, "'e' is in an object-based checkpoint", {"checkpoint": "object"}),
    "split already": (ValueError, "'e' is split already.*'e_new_rows'", {"checkpoint": "split"}),
    "no strategy": (ValueError, "'e' has 2 partitions", {"checkpoint": "parts"}),
    "a string": (ValueError, "`tables` must be a list of names", {"tables": "e"}),
    "no tables": (ValueError, "got none", {"tables": []}),
    "unknown table": (KeyError, "holds no variable 'f'", {"tables": ["f"]}),
    "scalar": (ValueError, "'step' has no rows, but shape", {"tables": ["step"]}),
    "no checkpoint": (FileNotFoundError, "nothing", {"checkpoint": "nothing"}),
    "output exists": (FileExistsError, "exists", {"out": "parts"}),
    "output is the input": (FileExistsError, "is the checkpoint", {"out": "old", "force": True}),
    "damaged": (CheckpointDamaged, "'e'", {"checkpoint": "damaged"}),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_right_is_refused_and_nothing_is_written(folder, name):
    kind, match, changed = REFUSED[name]
    arguments = {"checkpoint": "old", "tables": ["e"], "out": "new", "num_old_rows": 3, **changed}
    for argument in ("checkpoint", "out"):
        arguments[argument] = str(folder / arguments[argument])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(kind, match=match):
        split_checkpoint(**arguments)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_full_disk_is_noticed_before_anything_is_written(folder, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="only 10 free"):
        split_checkpoint(str(folder / "old"), ["e"], str(folder / "new"), num_old_rows=2)


def test_dry_run_writes_nothing(folder):
    before = sorted(folder.iterdir())
    written = split_checkpoint(
        str(folder / "old"), ["e"], str(folder / "new"), num_old_rows=3, dry_run=True
    )
    assert [each.name for each in written] == ["e", "e_new_rows", "step"]
    assert sorted(folder.iterdir()) == before
