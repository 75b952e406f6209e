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
    in_partitions,
    load_checkpoint,
    save_checkpoint,
    special_rows,
)
from tf1_embed import Rows
from tf1_embed import rows as chunks
from tf1_embed.certificates import read_certificates
from tf1_embed.checkpoint.diff import diff_checkpoints
from tf1_embed.checkpoint.files import reader
from tf1_embed.checkpoint.files.find import CheckpointDamaged
from tf1_embed.checkpoint.grow import grow_checkpoint
from tf1_embed.checkpoint.shrink import shrink_checkpoint
from tf1_embed.checkpoint.split import split_checkpoint
from tf1_embed.checkpoint.verify import verify_checkpoint
from tf1_embed.vocabulary import Reserved, append_map, id_map, remove_map

ALSO = ["bias", "projection:1"]
GONE = [0, 3, 4, 13]
KEPT = [1, 2, 5, 6, 7, 8, 9, 10, 11, 12]


def statuses(old, new):
    return {each.status for each in diff_checkpoints(old, new, partition_strategy="mod")}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [GONE, Rows.of(GONE, size=14)], ids=["ids", "Rows"])
def test_rows_that_stay_keep_their_bits_and_their_order(tmp_path, dtype, rows):
    table = special_rows(dtype)
    values = {
        "e": table,
        "e/Adam": table[::-1].copy(),
        "bias": table[:, 0].copy(),
        "bias/Adam": table[::-1, 0].copy(),
        "projection": np.ascontiguousarray(table.T),
        "other": table,
        "step": np.int64(3),
    }
    prefix = save_checkpoint(tmp_path / "old", values)
    also = ["bias", "projection:1"]
    written = shrink_checkpoint(prefix, ["e"], tmp_path / "new", rows, also=also)
    expected = {
        name: value if name in ("other", "step") else value[KEPT]
        for name, value in values.items()
        if name != "projection"
    }
    expected["projection"] = values["projection"][:, KEPT]
    assert_same(load_checkpoint(tmp_path / "new"), expected)
    assert {each.name: each.new_shape for each in written} == {
        name: np.shape(value) for name, value in expected.items()
    }


@pytest.mark.parametrize("chunk_bytes", [chunks.CHUNK_BYTES, 16])
@pytest.mark.parametrize(
    "partitions, strategy", [(None, None), (3, "mod"), (3, "div"), (14, "mod")]
)
def test_what_was_grown_shrinks_to_what_it_was(
    tmp_path, monkeypatch, partitions, strategy, chunk_bytes
):
    for module in (chunks, reader):
        monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    values = {
        "e": in_partitions(special_rows(), partitions or 1, strategy),
        "e/Adam": in_partitions(special_rows()[::-1], partitions or 1, strategy),
        "bias": in_partitions(special_rows()[:, 0], partitions or 1, strategy),
    }
    prefix = save_checkpoint(tmp_path / "old", values, partitions)
    grow_checkpoint(prefix, ["e"], tmp_path / "g", 5, also=["bias"], partition_strategy=strategy)
    shrink_checkpoint(
        tmp_path / "g",
        ["e"],
        tmp_path / "back",
        slice(-5, None),
        also=["bias"],
        partition_strategy=strategy,
    )
    assert statuses(prefix, tmp_path / "back") == {"same"}
    assert_same(load_checkpoint(tmp_path / "back"), load_checkpoint(prefix))


@pytest.mark.parametrize("name", ["adam", "adagrad", "ftrl", "rmsprop_centered"])
def test_growth_and_shrinkage_of_a_model_are_inverses_but_for_the_clocks_that_began_anew(
    tmp_path, name
):
    with Model(11, OPTIMIZERS[name]) as model:
        model.train([0, 10], [3])
        prefix = model.saver.save(model.session, str(tmp_path / "old"))
    for clocks in ("keep", "fresh"):
        new_rows = append_map(11, 4, Reserved(0, 1))
        grow_checkpoint(
            prefix,
            ["embedding"],
            tmp_path / "g",
            id_map=new_rows,
            also=ALSO,
            clocks=clocks,
            force=True,
        )
        shrink_checkpoint(
            tmp_path / "g",
            ["embedding"],
            tmp_path / "back",
            new_rows.new_rows,
            also=ALSO,
            force=True,
        )
        changed = {
            each.name
            for each in diff_checkpoints(prefix, tmp_path / "back")
            if each.status != "same"
        }
        is_adam = name == "adam" and clocks == "fresh"
        assert changed == ({"beta1_power", "beta2_power"} if is_adam else set())


@pytest.mark.parametrize(
    "partitions, strategy, scope",
    [(None, "mod", ""), (3, "mod", ""), (3, "div", ""), (3, "mod", "model"), (10, "mod", "m")],
)
def test_model_of_fewer_rows_opens_what_shrank_and_trains_on(tmp_path, partitions, strategy, scope):
    use_resource = strategy == "div"
    arguments = (OPTIMIZERS["adam"], use_resource, partitions, strategy, scope)
    inner = f"{scope}/" if scope else ""
    with Model(14, *arguments) as model:
        model.train([0, 5, 13, 12], [1, 2])
        prefix = model.saver.save(model.session, str(tmp_path / "old"))
        rows, slots = model.lookup(KEPT), model.slots(model.table, KEPT, strategy)
    shrink_checkpoint(
        prefix,
        [f"{inner}embedding"],
        tmp_path / "new",
        GONE,
        also=[f"{inner}bias"],
        partition_strategy=strategy if partitions else None,
    )
    with Model(10, *arguments) as model:
        # Of a model without the projection, which does not shrink here.
        others = [each for each in tf.global_variables() if "projection" not in each.op.name]
        tf.train.Saver(others).restore(model.session, str(tmp_path / "new"))
        assert_same(model.lookup(range(10)), rows)
        for kind, kept in model.slots(model.table, range(10), strategy).items():
            assert_same(kept, slots[kind])
        model.train([9, 0])
        assert (model.lookup([9, 0]) != rows[[9, 0]]).all()


def test_object_based_checkpoint_shrinks(tmp_path, graph, session):
    table = tf.get_variable("e", initializer=counting_rows(6), use_resource=True)
    session.run(tf.global_variables_initializer())
    prefix = tf.train.Checkpoint(e=table).save(str(tmp_path / "old"), session=session)
    shrink_checkpoint(prefix, ["e"], tmp_path / "new", [0, 5])
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("e", [4, 2], use_resource=True)
        status = tf.train.Checkpoint(e=table).restore(str(tmp_path / "new"))
        status.assert_consumed().run_restore_ops(session)
        assert_same(session.run(table), counting_rows(6)[1:5])


def test_rows_follow_the_tokens_of_a_smaller_vocabulary(tmp_path):
    table = counting_rows(7)
    prefix = save_checkpoint(tmp_path / "old", {"e": table, "e/Adagrad": table + 10})
    ids = id_map(list("abcde"), list("eac"), 7, Reserved(1, 1), drop_missing=True)
    shrink_checkpoint(prefix, ["e"], tmp_path / "new", id_map=ids)
    places = [0, 5, 1, 3, 6]
    expected = {"e": table[places], "e/Adagrad": table[places] + 10}
    assert_same(load_checkpoint(tmp_path / "new"), expected)
    (found,) = verify_checkpoint(prefix, tmp_path / "new", ["e"], id_map=ids)
    assert (found.num_rows, found.num_changed) == (5, 0)


def test_verify_compares_the_rows_that_stay_and_the_certificate_is_of_them(tmp_path):
    table = special_rows()
    prefix = save_checkpoint(tmp_path / "old", {"e": table, "p": table.T.copy()})
    gone = Rows.of(GONE, size=14)
    shrink_checkpoint(prefix, ["e"], tmp_path / "new", gone, also=["p:1"])
    found = verify_checkpoint(prefix, tmp_path / "new", ["e", "p:1"], remove_map(gone))
    assert [(each.num_rows, each.num_changed) for each in found] == [(10, 0), (10, 0)]
    other = remove_map(Rows.of([0, 3, 4, 5], size=14))
    (found,) = verify_checkpoint(prefix, tmp_path / "new", ["e"], other)
    assert found.num_changed == 8
    certificates = read_certificates(tmp_path / "new")
    assert set(certificates) == {"e", "p:1"}
    assert certificates["e"].rows == Rows.range(0, 10, size=10)
    assert certificates["e"].digest == tf1_embed.fingerprint(table[KEPT])
    found = verify_checkpoint(f"{tmp_path / 'new'}.rows.json", tmp_path / "new", ["e", "p:1"])
    assert [each.num_changed for each in found] == [0, 0]
    with pytest.raises(ValueError, match=r"--removed-rows"):
        verify_checkpoint(prefix, tmp_path / "new", ["e"])


def test_split_and_shrunk_tables_are_told_apart(tmp_path):
    prefix = save_checkpoint(tmp_path / "old", {"e": counting_rows(6)})
    split_checkpoint(prefix, ["e"], tmp_path / "split", num_old_rows=4)
    with pytest.raises(ValueError, match=r"'e' is split: .*'e_new_rows'.*Merge them first"):
        shrink_checkpoint(tmp_path / "split", ["e"], tmp_path / "new", [0], also=[])
    # The new rows alone may go, as long as one stays.
    shrink_checkpoint(tmp_path / "split", ["e_new_rows"], tmp_path / "new", [0], also=[])
    assert_same(load_checkpoint(tmp_path / "new")["e_new_rows"], counting_rows(6)[5:])


REFUSED = {
    "neither": ({}, "give either `rows` or `id_map`"),
    "both": ({"rows": [0], "id_map": remove_map(Rows.of([0], 6))}, "give either"),
    "no row": ({"rows": []}, r"`rows` must be some, but not all, of the 6 rows of 'e'"),
    "all rows": ({"rows": range(6)}, r"`rows` must be some, but not all, of the 6 rows of 'e'"),
    "rows beyond": ({"rows": [6]}, r"`rows` must be ids in \[0, 6\)"),
    "rows of another table": ({"rows": Rows.of([1], 7)}, "`rows` must be some"),
    "ids of another table": (
        {"id_map": remove_map(Rows.of([1], 7))},
        "the ids are those of 7 old rows, but 'e' has 6",
    ),
    "new rows": ({"id_map": append_map(6, 2)}, r"names 2 that the table lacks.*grow by it"),
    "nothing said": ({"rows": [0], "also": None}, r"bias, p:1\. Say whether they shrink as well"),
    "twice": ({"rows": [0], "also": ["bias", "e"]}, r"'e' would shrink twice"),
    "sizes": ({"rows": [0], "tables": ["e", "f"]}, r"as many, got e \(6\), f \(5\)"),
    "partitions": ({"rows": [0, 1, 2, 3], "tables": ["s"]}, r"partition_strategy"),
    "too few": (
        {"rows": [0, 1, 2, 3], "tables": ["s"], "partition_strategy": "div"},
        r"'s' would have 2 rows in 3 partitions, of which none may be empty. Store it in fewer",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    values = {"e": counting_rows(6), "bias": counting_rows(6, None), "p": counting_rows(2, 6)}
    save_checkpoint(folder / "old", {**values, "f": counting_rows(5)})
    save_checkpoint(folder / "parts", {"s": counting_rows(6)}, partitions=3)
    return folder


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_right_is_refused_and_nothing_is_written(folder, name):
    arguments, message = REFUSED[name]
    arguments = {"tables": ["e"], "also": [], **arguments}
    checkpoint = folder / ("parts" if arguments["tables"] == ["s"] else "old")
    before = sorted(folder.iterdir())
    with pytest.raises(ValueError, match=message):
        shrink_checkpoint(checkpoint, out=folder / "new", **arguments)
    assert sorted(folder.iterdir()) == before


def test_question_is_asked_once_all_else_is_checked(folder):
    asked = []

    def also(found):
        asked.append(found)
        return ["bias"]

    with pytest.raises(ValueError, match="some, but not all"):
        shrink_checkpoint(folder / "old", ["e"], folder / "new", [], also=also)
    assert asked == []
    written = shrink_checkpoint(folder / "old", ["e"], folder / "new", [1], also=also, dry_run=True)
    assert asked == [["bias", "p:1"]]
    assert {each.name for each in written if each.changed} == {"e", "bias"}
    assert not list(folder.glob("new*"))


def test_damaged_rows_are_found(tmp_path):
    prefix = save_checkpoint(tmp_path / "old", {"e": counting_rows(6)})
    data = tmp_path / "old.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[3] ^= 1
    data.write_bytes(bytes(content))
    # Although it is the damaged row that goes.
    with pytest.raises(CheckpointDamaged):
        shrink_checkpoint(prefix, ["e"], tmp_path / "new", [0])
    assert not list(tmp_path.glob("new*"))
