import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.models import Model
from support.optimizers import OPTIMIZERS
from support.tables import (
    assert_same,
    counting_rows,
    in_partitions,
    load_checkpoint,
    save_checkpoint,
    special_rows,
)
from tf1_embed import rows as chunks
from tf1_embed.certificates import read_certificates
from tf1_embed.checkpoint.diff import diff_checkpoints
from tf1_embed.checkpoint.files import reader
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.repartition import repartition_checkpoint
from tf1_embed.checkpoint.verify import verify_checkpoint

# How many partitions there are and by which strategy, before and after.
WAYS = [
    (1, None, 3, "mod"),
    (1, None, 3, "div"),
    (3, "mod", 1, None),
    (3, "div", 1, None),
    (3, "mod", 5, "mod"),
    (5, "div", 2, "div"),
    (4, "mod", 4, "div"),
    (2, "div", 7, "mod"),
    (3, "mod", 14, "mod"),
    (3, "mod", 3, "mod"),
]


@pytest.mark.parametrize("dtype, chunk_bytes", [("float32", chunks.CHUNK_BYTES), ("float64", 16)])
@pytest.mark.parametrize("old, old_strategy, new, new_strategy", WAYS)
def test_every_id_keeps_its_vector_and_slots(
    tmp_path, monkeypatch, old, old_strategy, new, new_strategy, dtype, chunk_bytes
):
    for module in (chunks, reader):
        monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    by_id = {
        "e": special_rows(dtype),
        "e/Adam": special_rows(dtype)[::-1],
        "other": counting_rows(14),
    }
    placed = {name: in_partitions(rows, old, old_strategy) for name, rows in by_id.items()}
    prefix = save_checkpoint(tmp_path / "old", placed, None if old == 1 else old)
    written = repartition_checkpoint(
        prefix,
        ["e"],
        tmp_path / "new",
        new,
        partition_strategy=old_strategy or new_strategy,
        new_partition_strategy=new_strategy,
    )
    expected = {name: in_partitions(by_id[name], new, new_strategy) for name in ("e", "e/Adam")}
    assert_same(load_checkpoint(tmp_path / "new"), {**expected, "other": placed["other"]})
    with CheckpointReader(tmp_path / "new") as found:
        assert len(found.slices("e")) == len(found.slices("e/Adam")) == new
        assert len(found.slices("other")) == old
    assert [each.partitions for each in written] == [(old, new) if old != new else None] * 2 + [
        None
    ]
    strategies = (old_strategy or new_strategy, new_strategy)
    for tables in (["e"], ["e/Adam"]):
        (compared,) = verify_checkpoint(prefix, tmp_path / "new", tables, None, *strategies)
        assert (compared.num_rows, compared.num_changed) == (14, 0)
    certificate = read_certificates(tmp_path / "new")["e"]
    assert certificate.digest == tf1_embed.fingerprint(by_id["e"])
    (compared,) = verify_checkpoint(
        f"{tmp_path / 'new'}.rows.json", tmp_path / "new", ["e"], None, new_strategy
    )
    assert compared.num_changed == 0
    if old != new:
        differences = diff_checkpoints(prefix, tmp_path / "new", *strategies)
        assert {each.status for each in differences} == {"same"}


# In a scope, TensorFlow cuts the names of the slots of partitions out of those of its operations:
# `model/embedding/art_0/Adam`; in scope "m" the 1st and the 11th partition share one.
MODELS = [
    (None, 3, "mod", ""),
    (3, 2, "div", ""),
    (None, 12, "mod", "model"),
    (12, 3, "mod", "model"),
    (3, None, "mod", "model"),
    (1, 3, "mod", "a/longer_scope"),
    (3, None, "div", "a/longer_scope"),
    (2, 12, "mod", "m"),
    (12, None, "mod", "m"),
]


@pytest.mark.parametrize("old, new, strategy, scope", MODELS)
def test_model_with_other_partitions_sees_the_same_vectors_and_trains_on(
    tmp_path, old, new, strategy, scope
):
    use_resource = strategy == "div"
    inner = f"{scope}/" if scope else ""
    with Model(14, OPTIMIZERS["adam"], use_resource, old, strategy, scope) as model:
        model.train([0, 5, 13, 12], [1, 2])
        prefix = model.saver.save(model.session, str(tmp_path / "old"))
        rows, slots = model.lookup(range(14)), model.slots(model.table, range(14), strategy)
        model.train([3, 13])
        trained = model.lookup(range(14))
    repartition_checkpoint(
        prefix,
        [f"{inner}embedding", f"{inner}bias"],
        tmp_path / "new",
        new or 1,
        partition_strategy=strategy,
    )
    with Model(14, OPTIMIZERS["adam"], use_resource, new, strategy, scope) as model:
        model.saver.restore(model.session, str(tmp_path / "new"))
        assert_same(model.lookup(range(14)), rows)
        for kind, kept in model.slots(model.table, range(14), strategy).items():
            assert_same(kept, slots[kind])
        model.train([3, 13])
        np.testing.assert_allclose(model.lookup(range(14)), trained, rtol=1e-5)


def test_slots_whose_new_names_are_not_known_are_refused(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        partitioner = tf.fixed_size_partitioner(2)
        table = tf.get_variable("table", [6, 2], partitioner=partitioner, use_resource=False)
        with tf.variable_scope("elsewhere"):
            loss = tf.reduce_sum(tf.nn.embedding_lookup(table, [0, 1]))
            tf.train.AdagradOptimizer(0.1).minimize(loss)
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver().save(session, str(tmp_path / "old"))
    with pytest.raises(
        ValueError, match=r"'table/.*0/Adagrad' has slots of one partition of 'table'"
    ):
        repartition_checkpoint(prefix, ["table"], tmp_path / "new", 3, partition_strategy="mod")
    assert not list(tmp_path.glob("new*"))


REFUSED = {
    "no partition": ({"num_partitions": 0}, r"`num_partitions` .* must be 1 or more, got 0"),
    "more than rows": (
        {"num_partitions": 7},
        r"6 rows in 7 partitions, of which none may be empty",
    ),
    "columns": ({"tables": ["e:1"]}, r"axis 1 of 'e:1', but partitions are of rows"),
    "no strategy": (
        {"partition_strategy": None},
        r"how the lookups send ids to the 2 partitions that 'e' gets: .*--partition-strategy",
    ),
    "no old strategy": (
        {"tables": ["s"], "num_partitions": 1, "partition_strategy": None},
        r"'s' has 3 partitions",
    ),
    "unknown strategy": ({"partition_strategy": "even"}, "must be mod or div, got 'even'"),
    "twice": ({"tables": ["e", "e/Adam"]}, r"'e/Adam' would change twice"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    save_checkpoint(folder / "old", {"e": counting_rows(6), "e/Adam": counting_rows(6)})
    save_checkpoint(folder / "parts", {"s": counting_rows(6)}, partitions=3)
    return folder


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_right_is_refused_and_nothing_is_written(folder, name):
    arguments, message = REFUSED[name]
    defaults = {"tables": ["e"], "num_partitions": 2, "partition_strategy": "mod"}
    arguments = {**defaults, **arguments}
    checkpoint = folder / ("parts" if arguments["tables"] == ["s"] else "old")
    before = sorted(folder.iterdir())
    with pytest.raises(ValueError, match=message):
        repartition_checkpoint(checkpoint, out=folder / "new", **arguments)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("suffix", ["_new_rows", "_trainable_rows"])
def test_both_variables_of_a_split_table_are_named_or_none(tmp_path, suffix):
    tables = {"e": counting_rows(6), f"e{suffix}": counting_rows(3, start=6)}
    prefix = save_checkpoint(tmp_path / "old", tables)
    for name in tables:
        with pytest.raises(ValueError, match=f"'e' is split.* 'e{suffix}' as well: name both"):
            repartition_checkpoint(prefix, [name], tmp_path / "new", 2, "mod")
    repartition_checkpoint(prefix, list(tables), tmp_path / "new", 2, "mod")
    expected = {name: in_partitions(rows, 2, "mod") for name, rows in tables.items()}
    assert_same(load_checkpoint(tmp_path / "new"), expected)


@pytest.mark.parametrize("partitions, said", [(None, "by div"), (2, "by div, no longer by mod")])
def test_another_strategy_is_told_where_there_was_one(tmp_path, partitions, said):
    prefix = save_checkpoint(tmp_path / "old", {"e": counting_rows(6)}, partitions)
    (written,) = repartition_checkpoint(prefix, ["e"], tmp_path / "new", 3, "mod", "div")
    assert written.note == f"ids are sent to its partitions {said}"
