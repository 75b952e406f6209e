"""SavedModels and saved graphs grow with their tables; TensorFlow itself serves and trains them."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.tables import assert_same, load_checkpoint, special_rows
from tf1_embed.cli import main
from tf1_embed.saved.files import read_meta_graph, read_saved_model
from tf1_embed.vocabulary import id_map

OLD, NEW = 14, 17
OLD_ROWS = special_rows()
NEW_ROWS = np.float32([[100, 1], [200, 2], [300, 3]])
ROWS = np.concatenate([OLD_ROWS, NEW_ROWS])
IDS = [16, 0, 3, 14, *range(OLD)]
LAYOUTS = [None, "mod", "div"]


def make_table(use_resource, strategy=None, rows=OLD_ROWS, **options):
    """Returns a variable of OLD rows, in three partitions if there is a strategy."""
    partitioner = tf.fixed_size_partitioner(3) if strategy else None
    return tf.get_variable(
        "table", [OLD, 2], use_resource=use_resource, partitioner=partitioner, **options
    )


def assign_rows(session, table, strategy):
    """Gives a table its rows, in the order of its partitions."""
    from tf1_embed.partitions import Partitions

    parts = list(table) if strategy else [table]
    partitions = Partitions.even(OLD, len(parts), strategy)
    for part, (start, stop) in zip(parts, partitions.slices):
        part.load(OLD_ROWS[partitions.ids(start, stop)], session)


def export(folder, inputs, outputs, session, **options):
    tf.saved_model.simple_save(session, str(folder), inputs, outputs, **options)


def served(folder, ids, output="vectors", tags=("serve",), name="ids"):
    """Returns what a SavedModel answers, by its signature; on TensorFlow 2, as a function too."""
    with tf.Graph().as_default(), tf.Session() as session:
        meta_graph = tf.saved_model.loader.load(session, list(tags), str(folder))
        signature = meta_graph.signature_def["serving_default"]
        answer = session.run(signature.outputs[output].name, {signature.inputs[name].name: ids})
    if not tf.VERSION.startswith("1."):
        with tf.Graph().as_default(), tf.Session() as session:
            function = tf.saved_model.load_v2(str(folder)).signatures["serving_default"]
            dtype = tf.string if isinstance(ids[0], bytes) else tf.int64
            tensor = function(**{name: tf.constant(list(ids), dtype)})[output]
            session.run([tf.global_variables_initializer(), tf.tables_initializer()])
            assert tensor.shape.ndims is None or tensor.shape.ndims == answer.ndim
    return answer


def files_in(folder):
    """Returns the content of each file below a folder, by its path there."""
    return {
        os.path.relpath(os.path.join(above, name), str(folder)): open(
            os.path.join(above, name), "rb"
        ).read()
        for above, _, names in os.walk(str(folder))
        for name in names
    }


def small_model(folder, use_resource=False, tail=lambda ids, table, vectors: {}, **options):
    """Exports a model of one table; `tail` adds outputs."""
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int64, [None], "ids")
        table = make_table(use_resource)
        vectors = tf.nn.embedding_lookup(table, ids)
        outputs = dict(tail(ids, table, vectors), vectors=vectors)
        session.run(tf.global_variables_initializer())
        assign_rows(session, table, None)
        export(folder, {"ids": ids}, outputs, session, **options)
    return str(folder)


# Serving.


@pytest.mark.parametrize("strategy", LAYOUTS)
@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
def test_grown_model_serves_old_ids_as_before_and_new_ones_too(tmp_path, use_resource, strategy):
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int64, [None], "ids")
        table = make_table(use_resource, strategy)
        vectors = tf.nn.embedding_lookup(table, ids, partition_strategy=strategy or "mod")
        hidden = tf.get_variable("hidden", [2, 3], use_resource=use_resource)
        pooled = tf.matmul(tf.nn.relu(vectors[4:]), hidden)
        session.run(tf.global_variables_initializer())
        assign_rows(session, table, strategy)
        before = session.run([vectors, pooled], {ids: [0] * 4 + list(range(OLD))})
        export(tmp_path / "old", {"ids": ids}, {"vectors": vectors, "pooled": pooled}, session)
    read = files_in(tmp_path / "old")
    grown = tf1_embed.grow_saved_model(
        str(tmp_path / "old"), ["table"], str(tmp_path / "new"), 3, initializer=NEW_ROWS
    )
    assert files_in(tmp_path / "old") == read
    assert grown.num_proved == (3 if strategy else 1)
    assert_same(served(tmp_path / "new", IDS), ROWS[IDS])
    assert_same(served(tmp_path / "new", IDS, "pooled"), before[1])
    verified = tf1_embed.verify_checkpoint(
        str(tmp_path / "old"),
        str(tmp_path / "new"),
        ["table"],
        partition_strategy=strategy,
    )
    assert all(each.num_rows == OLD for each in verified)
    assert [each.name for each in grown.nodes] == (
        ["embedding_lookup/Const"] if strategy == "div" else []
    )


@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
def test_tables_of_different_strategies_grow_one_after_the_other(tmp_path, use_resource):
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int64, [None], "ids")
        outputs, tables = {}, {}
        for strategy in ("mod", "div"):
            with tf.variable_scope(strategy):
                tables[strategy] = make_table(use_resource, strategy)
            outputs[strategy] = tf.nn.embedding_lookup(
                tables[strategy], ids, partition_strategy=strategy
            )
        session.run(tf.global_variables_initializer())
        for strategy, table in tables.items():
            assign_rows(session, table, strategy)
        export(tmp_path / "old", {"ids": ids}, outputs, session)
    folders = [str(tmp_path / name) for name in ("old", "one", "two")]
    both = ["mod/table", "div/table"]
    for strategy, other in (("mod", "div"), ("div", "mod")):
        with pytest.raises(ValueError, match=f"of '{other}/table' by '{other}'. Grow tables"):
            tf1_embed.grow_saved_model(folders[0], both, folders[1], 3, partition_strategy=strategy)
    for table, old, new in zip(both, folders, folders[1:]):
        options = {"initializer": NEW_ROWS, "partition_strategy": table[:3]}
        others = {"also": [], "keep": ["embedding_lookup_1/Const"] if table == both[0] else []}
        tf1_embed.grow_saved_model(old, [table], new, 3, **options, **others)
    for strategy in ("mod", "div"):
        assert_same(served(folders[2], IDS, strategy), ROWS[IDS])


@pytest.mark.parametrize("strategy", [None, "div"])
@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
def test_logits_over_all_rows_grow_with_their_bias(tmp_path, use_resource, strategy):
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int64, [None], "ids")
        table = make_table(use_resource, strategy, initializer=tf.random_normal_initializer())
        bias = tf.get_variable("bias", [OLD], use_resource=use_resource)
        vectors = tf.nn.embedding_lookup(table, ids, partition_strategy="div")
        logits = tf.matmul(vectors, tf.convert_to_tensor(table), transpose_b=True) + bias
        session.run(tf.global_variables_initializer())
        before = session.run(logits, {ids: range(OLD)})
        export(tmp_path / "old", {"ids": ids}, {"logits": logits}, session)
    with pytest.raises(ValueError, match="bias"):
        tf1_embed.grow_saved_model(str(tmp_path / "old"), ["table"], str(tmp_path / "new"), 3)
    with pytest.raises(ValueError, match="contradicts itself.*bias.*--also"):
        tf1_embed.grow_saved_model(
            str(tmp_path / "old"), ["table"], str(tmp_path / "new"), 3, also=[]
        )
    assert sorted(os.listdir(str(tmp_path))) == ["old"]
    tf1_embed.grow_saved_model(
        str(tmp_path / "old"), ["table"], str(tmp_path / "new"), 3, also=["bias"]
    )
    after = served(tmp_path / "new", range(NEW), "logits")
    assert after.shape == (NEW, NEW)
    np.testing.assert_allclose(after[:OLD, :OLD], before, rtol=1e-6)
    _, message = read_saved_model(str(tmp_path / "new"))
    shape = message.meta_graphs[0].signature_def["serving_default"].outputs["logits"].tensor_shape
    assert [dim.size for dim in shape.dim] == [-1, NEW]


def test_rows_follow_their_tokens_and_assets_are_replaced(tmp_path):
    (tmp_path / "words.txt").write_bytes(b"".join(b"w%d\n" % i for i in range(OLD)))
    new_words = [f"w{i}" for i in (5, 15, 0, 1, 2, 3, 4, 14, 6, 7, 8, 9, 10, 11, 12, 13, 16)]
    (tmp_path / "new.txt").write_text("\n".join(new_words) + "\n")
    with tf.Graph().as_default(), tf.Session() as session:
        words = tf.placeholder(tf.string, [None], "words")
        initializer = tf.lookup.TextFileInitializer(
            str(tmp_path / "words.txt"),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        ids = tf.lookup.StaticHashTable(initializer, 0).lookup(words)
        table = make_table(False)
        vectors = tf.nn.embedding_lookup(table, ids)
        session.run([tf.global_variables_initializer(), tf.tables_initializer()])
        assign_rows(session, table, None)
        export(
            tmp_path / "old",
            {"ids": words},
            {"vectors": vectors},
            session,
            legacy_init_op=tf.tables_initializer(),
        )
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    mapping = id_map([f"w{i}" for i in range(OLD)], new_words)
    options = {"id_map": mapping, "initializer": NEW_ROWS}
    with pytest.raises(ValueError, match="assets/words.txt.*14 lines.*--asset"):
        tf1_embed.grow_saved_model(old, ["table"], new, **options)
    with pytest.raises(KeyError, match="assets/words.txt"):
        tf1_embed.grow_saved_model(old, ["table"], new, assets={"words.txt": "x"}, **options)
    (tmp_path / "more.txt").write_text("\n".join([*new_words, "none's"]))
    assets = {"assets/words.txt": str(tmp_path / "more.txt")}
    with pytest.raises(ValueError, match="more.txt.*of 18 lines.* rows for 17"):
        tf1_embed.grow_saved_model(old, ["table"], new, assets=assets, **options)
    assets = {"assets/words.txt": str(tmp_path / "new.txt")}
    grown = tf1_embed.grow_saved_model(old, ["table"], new, assets=assets, **options)
    inside = {"assets/words.txt": os.path.join(new, "assets", "words.txt")}
    with pytest.raises(FileExistsError, match="words.txt would be replaced, and is read"):
        tf1_embed.grow_saved_model(old, ["table"], new, assets=inside, force=True, **options)
    assert [each.new for each in grown.nodes] == [f"as {tmp_path / 'new.txt'}, 17 lines"]
    asked = [b"w15", b"w0", b"w13", b"w5"]
    expected = np.concatenate([NEW_ROWS[:1], OLD_ROWS[[0, 13, 5]]])
    assert_same(served(new, asked), expected)
    tf1_embed.grow_saved_model(old, ["table"], new, keep=["assets/*"], force=True, **options)
    assert served(new, [b"w15"]).shape == (1, 2)


def test_everything_else_in_the_folder_is_as_it_was(tmp_path):
    old, new = small_model(tmp_path / "old"), str(tmp_path / "new")
    os.makedirs(os.path.join(old, "assets.extra", "deep"))
    same = {"assets.extra/deep/requests", "tfhub_module.pb", "keras_metadata.pb", "variables/notes"}
    for path in same:
        with open(os.path.join(old, path), "wb") as file:
            file.write(path.encode())
    with open(os.path.join(old, "fingerprint.pb"), "wb") as file:
        file.write(b"of the old graph")
    grown = tf1_embed.grow_saved_model(old, ["table"], new, 3)
    before, after = files_in(old), files_in(new)
    assert {path for path in before if after.get(path) == before[path]} == same
    assert set(after) - same == {
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "variables/variables.rows.json",
    }
    assert [each for each in grown.nodes if each.new == "left out"] == [
        ("fingerprint.pb", "a hash of the old graph", "left out")
    ]
    assert tf1_embed.grown_rows(os.path.join(new, "variables", "variables"))["table"].count == 3


def test_every_graph_of_the_model_grows(tmp_path):
    builder = tf.saved_model.builder.SavedModelBuilder(str(tmp_path / "old"))
    for is_training in (True, False):
        with tf.Graph().as_default(), tf.Session() as session:
            ids = tf.placeholder(tf.int64, [None], "ids")
            table = make_table(False)
            vectors = tf.nn.embedding_lookup(table, ids)
            signature = tf.saved_model.signature_def_utils.predict_signature_def(
                {"ids": ids}, {"vectors": vectors}
            )
            signatures = {"serving_default": signature}
            if is_training:
                tf.train.AdamOptimizer(0.1).minimize(tf.reduce_sum(vectors**2))
                session.run(tf.global_variables_initializer())
                assign_rows(session, table, None)
                builder.add_meta_graph_and_variables(session, ["train"], signatures)
            else:
                builder.add_meta_graph(["serve", "cpu"], signatures)
    builder.save()
    grown = tf1_embed.grow_saved_model(
        str(tmp_path / "old"), ["table"], str(tmp_path / "new"), 3, initializer=NEW_ROWS
    )
    assert grown.num_proved == 3 + 1
    for tags in (["train"], ["serve", "cpu"]):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.saved_model.loader.load(session, tags, str(tmp_path / "new"))
            assert_same(session.run("embedding_lookup/Identity:0", {"ids:0": IDS}), ROWS[IDS])


def test_module_without_a_saver_grows(tmp_path):
    with tf.Graph().as_default() as graph, tf.Session() as session:
        ids = tf.placeholder(tf.int64, [None], "ids")
        table = make_table(False, "div")
        vectors = tf.nn.embedding_lookup(table, ids, partition_strategy="div")
        session.run(tf.global_variables_initializer())
        assign_rows(session, table, "div")
        signature = tf.saved_model.signature_def_utils.predict_signature_def(
            {"ids": ids}, {"vectors": vectors}
        )
        bare = tf.train.export_meta_graph(graph_def=graph.as_graph_def(add_shapes=True))
        bare.meta_info_def.tags.append("serve")
        bare.signature_def["serving_default"].CopyFrom(signature)
        export(tmp_path / "old", {"ids": ids}, {"vectors": vectors}, session)
    name, message = read_saved_model(str(tmp_path / "old"))
    del message.meta_graphs[:]
    message.meta_graphs.add().CopyFrom(bare)
    (tmp_path / "old" / name).write_bytes(message.SerializeToString())
    (tmp_path / "old" / "tfhub_module.pb").write_bytes(b"\x08\x03")
    grown = tf1_embed.grow_saved_model(
        str(tmp_path / "old"), ["table"], str(tmp_path / "new"), 3, initializer=NEW_ROWS
    )
    assert grown.num_proved == 3
    with tf.Graph().as_default(), tf.Session() as session:
        # As TensorFlow Hub restores a module: with a Saver of the variables in its collection.
        meta_graph = read_saved_model(str(tmp_path / "new"))[1].meta_graphs[0]
        saver = tf.train.import_meta_graph(meta_graph)
        saver.restore(session, str(tmp_path / "new" / "variables" / "variables"))
        output = meta_graph.signature_def["serving_default"].outputs["vectors"].name
        assert_same(session.run(output, {"ids:0": IDS}), ROWS[IDS])


@pytest.mark.parametrize("use_resource", [False, True], ids=["ref", "resource"])
def test_initial_values_that_are_data_are_followed_by_zeros(tmp_path, use_resource):
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int64, [None], "ids")
        table = tf.get_variable("table", initializer=OLD_ROWS, use_resource=use_resource)
        vectors = tf.nn.embedding_lookup(table, ids)
        session.run(tf.global_variables_initializer())
        export(tmp_path / "old", {"ids": ids}, {"vectors": vectors}, session)
    tf1_embed.grow_saved_model(
        str(tmp_path / "old"), ["table"], str(tmp_path / "new"), 3, initializer=NEW_ROWS
    )
    assert_same(served(tmp_path / "new", IDS), ROWS[IDS])
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.import_meta_graph(read_saved_model(str(tmp_path / "new"))[1].meta_graphs[0])
        session.run(tf.global_variables_initializer())
        begun = session.run(tf.global_variables()[0])
    assert_same(begun, np.concatenate([OLD_ROWS, np.zeros_like(NEW_ROWS)]))


def test_model_in_text_grows(tmp_path):
    old = small_model(tmp_path / "old")
    name, message = read_saved_model(old)
    from google.protobuf import text_format

    (tmp_path / "old" / "saved_model.pbtxt").write_text(text_format.MessageToString(message))
    os.remove(os.path.join(old, name))
    tf1_embed.grow_saved_model(old, ["table"], str(tmp_path / "new"), 3, initializer=NEW_ROWS)
    assert os.path.exists(str(tmp_path / "new" / "saved_model.pbtxt"))
    assert_same(served(tmp_path / "new", IDS), ROWS[IDS])


# What else has the number of rows.


def sized(ids, table, vectors):
    """Outputs whose sizes nobody but the model's author knows to be those of the table."""
    one_hot = tf.matmul(tf.one_hot(ids, OLD, name="one_hot"), table)
    mask = tf.gather(tf.ones([OLD], name="mask"), ids)
    frequencies = tf.gather(tf.constant(np.float32(range(OLD)), name="frequencies"), ids)
    clipped = tf.nn.embedding_lookup(table, tf.minimum(ids, OLD - 1, name="clip"))
    fed = tf.placeholder_with_default(np.zeros([0, OLD], np.float32), [None, OLD], name="fed")
    top = tf.nn.top_k(tf.reduce_sum(vectors, 1), 1)[0]
    outputs = {"one_hot": one_hot, "mask": mask, "clipped": clipped, "top": top}
    return dict(outputs, frequencies=frequencies, fed=tf.reduce_sum(fed, 0))


def test_what_else_has_the_number_of_rows_is_listed_and_grows_when_it_is_said(tmp_path):
    old, new = small_model(tmp_path / "old", tail=sized), str(tmp_path / "new")
    names = ["clip/y", "fed", "fed/input", "mask", "one_hot/depth"]
    with pytest.raises(ValueError) as raised:
        tf1_embed.grow_saved_model(old, ["table"], new, 3)
    for name in [*names, "frequencies"]:
        assert f"\n  {name} (" in str(raised.value)
    assert "clip/y (Const, 13): would become 16" in str(raised.value)
    assert "frequencies (Const of shape [14]): what its new values" in str(raised.value)
    with pytest.raises(ValueError, match="frequencies"):
        tf1_embed.grow_saved_model(old, ["table"], new, 3, also_found=True)
    with pytest.raises(KeyError, match="'frequence'.*frequencies"):
        tf1_embed.grow_saved_model(old, ["table"], new, 3, also_found=True, keep=["frequence"])
    with pytest.raises(ValueError, match="what its new values would be is not known"):
        tf1_embed.grow_saved_model(old, ["table"], new, 3, also=[*names, "frequencies"])
    with pytest.raises(KeyError, match="'ids', which has the size of no table"):
        tf1_embed.grow_saved_model(old, ["table"], new, 3, also=["ids"])
    assert sorted(os.listdir(str(tmp_path))) == ["old"]
    grown = tf1_embed.grow_saved_model(
        old,
        ["table"],
        new,
        3,
        also=names,
        keep=["freq*"],
        initializer=NEW_ROWS,
    )
    assert [each.name for each in grown.nodes if each.new is None] == ["frequencies"]
    finite = [10, 11, 12, 13]
    for output in ("one_hot", "clipped"):
        answer = served(new, [*finite, 16], output)
        if output == "clipped":
            assert_same(answer, ROWS[[*finite, 16]])
        assert answer.shape == (5, 2)
    np.testing.assert_array_equal(served(new, IDS, "mask"), np.ones(len(IDS)))
    assert served(new, IDS, "fed").shape == (NEW,)
    with pytest.raises(tf.errors.InvalidArgumentError):
        served(new, [16], "frequencies")


def test_hash_buckets_never_grow(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        words = tf.placeholder(tf.string, [None], "words")
        table = make_table(False)
        vectors = tf.nn.embedding_lookup(table, tf.string_to_hash_bucket_fast(words, OLD))
        session.run(tf.global_variables_initializer())
        export(tmp_path / "old", {"ids": words}, {"vectors": vectors}, session)
    with pytest.raises(ValueError, match="num_buckets 14.*the same token has another id"):
        tf1_embed.grow_saved_model(
            str(tmp_path / "old"), ["table"], str(tmp_path / "new"), 3, also_found=True
        )


def test_partitions_that_are_joined_are_listed_where_their_order_moves(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int64, [None], "ids")
        table = make_table(False, "mod")
        vectors = tf.nn.embedding_lookup(table, ids)
        logits = tf.matmul(vectors, tf.convert_to_tensor(table), transpose_b=True)
        session.run(tf.global_variables_initializer())
        export(tmp_path / "old", {"ids": ids}, {"logits": logits}, session)
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    with pytest.raises(ValueError, match="in the order of the partitions"):
        tf1_embed.grow_saved_model(old, ["table"], new, 3)
    with pytest.raises(ValueError, match="is 'div', but lookups in the graph.*'mod'"):
        tf1_embed.grow_saved_model(old, ["table"], new, 3, partition_strategy="div")
    tf1_embed.grow_saved_model(old, ["table"], new, 3, keep=["table/Concat*"])


# What is written, and when nothing is.


def test_error_leaves_nothing_and_force_replaces_a_saved_model_only(tmp_path, monkeypatch):
    old, new = small_model(tmp_path / "old"), str(tmp_path / "new")

    def fail(*arguments):
        raise ValueError("TensorFlow cannot restore it")

    with monkeypatch.context() as patch:
        patch.setattr("tf1_embed.saved.grow.prove", fail)
        with pytest.raises(ValueError, match="cannot restore"):
            tf1_embed.grow_saved_model(old, ["table"], new, 3)
        assert os.listdir(str(tmp_path)) == ["old"]
    tf1_embed.grow_saved_model(old, ["table"], new, 3)
    with pytest.raises(FileExistsError, match="force"):
        tf1_embed.grow_saved_model(old, ["table"], new, 4)
    with monkeypatch.context() as patch:
        before = files_in(new)
        patch.setattr("tf1_embed.saved.grow.prove", fail)
        with pytest.raises(ValueError, match="cannot restore"):
            tf1_embed.grow_saved_model(old, ["table"], new, 4, force=True)
        assert files_in(new) == before
    tf1_embed.grow_saved_model(old, ["table"], new, 4, force=True)
    assert load_checkpoint(os.path.join(new, "variables", "variables"))["table"].shape == (18, 2)
    assert sorted(os.listdir(str(tmp_path))) == ["new", "old"]
    os.mkdir(str(tmp_path / "mine"))
    for out in (str(tmp_path / "mine"), os.path.join(new, "saved_model.pb")):
        with pytest.raises(FileExistsError, match="no SavedModel"):
            tf1_embed.grow_saved_model(old, ["table"], out, 3, force=True)
    for out in (old, os.path.join(old, "new"), str(tmp_path)):
        with pytest.raises(FileExistsError, match="another folder"):
            tf1_embed.grow_saved_model(old, ["table"], out, 3, force=True)


def test_graph_that_is_not_proved_leaves_what_is_beside_the_checkpoint(tmp_path, monkeypatch):
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    with tf.Graph().as_default(), tf.Session() as session:
        build(OLD, "plain", False, None, tf.train.AdamOptimizer(0.1))
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, old)
    tf1_embed.grow_metagraph(old, ["table"], new, 3, also=["bias"])
    before = files_in(str(tmp_path))
    seen = []

    def fail(meta_graph, prefix, variables):
        seen.append(load_checkpoint(prefix)["table"].shape)
        raise ValueError("TensorFlow cannot restore it")

    monkeypatch.setattr("tf1_embed.saved.grow.prove", fail)
    with pytest.raises(ValueError, match="cannot restore"):
        tf1_embed.grow_metagraph(old, ["table"], new, 4, also=["bias"], force=True)
    assert seen == [(18, 2)]
    assert files_in(str(tmp_path)) == before


def test_dry_run_checks_the_graph_and_writes_nothing(tmp_path):
    old = small_model(tmp_path / "old", tail=sized)
    with pytest.raises(ValueError, match="one_hot/depth"):
        tf1_embed.grow_saved_model(old, ["table"], str(tmp_path / "new"), 3, dry_run=True)
    grown = tf1_embed.grow_saved_model(
        old, ["table"], str(tmp_path / "new"), 3, also_found=True, keep=["freq*"], dry_run=True
    )
    assert [each.new_shape for each in grown.tensors] == [(17, 2)]
    assert ("one_hot/depth", "Const, 14", "17") in grown.nodes
    assert os.listdir(str(tmp_path)) == ["old"]


@pytest.mark.skipif(tf.VERSION.startswith("1."), reason="TensorFlow 1 has no objects to save")
def test_object_based_model_is_named_with_the_way_on(tmp_path):
    import tensorflow.compat.v2 as tf2

    with tf.Graph().as_default():
        pass
    module = tf2.Module()
    with tf.init_scope():
        if not tf.executing_eagerly():
            pytest.skip("eager execution is off")
        module.table = tf2.Variable(OLD_ROWS)
        tf2.saved_model.save(module, str(tmp_path / "old"))
    with pytest.raises(
        ValueError, match="object-based.*variables, restore them in the model's code"
    ):
        tf1_embed.grow_saved_model(str(tmp_path / "old"), ["table"], str(tmp_path / "new"), 3)


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff", b"no graph at all"])
def test_file_that_is_no_saved_model_is_named(tmp_path, content):
    old = small_model(tmp_path / "old")
    with open(os.path.join(old, "saved_model.pb"), "wb") as file:
        file.write(content)
    with pytest.raises(ValueError, match="saved_model.pb"):
        tf1_embed.grow_saved_model(old, ["table"], str(tmp_path / "new"), 3)


# A training whose code is lost.


def build(num, kind, use_resource, strategy, optimizer):
    """Builds a training of a table of so many rows; returns its ids and its step."""
    ids = tf.placeholder(tf.int64, [None], "ids")
    table = tf.get_variable(
        "table",
        [num, 2],
        initializer=tf.random_normal_initializer(seed=1),
        partitioner=tf.fixed_size_partitioner(3) if strategy else None,
        use_resource=use_resource,
    )
    bias = tf.get_variable(
        "bias", [num], initializer=tf.zeros_initializer(), use_resource=use_resource
    )
    lookup = lambda some: tf.nn.embedding_lookup(  # noqa: E731
        table, some, partition_strategy=strategy or "mod"
    )
    if kind == "loop":
        _, loss = tf.while_loop(
            lambda i, _: i < 3,
            lambda i, total: (i + 1, total + tf.reduce_sum(lookup(ids[i : i + 2]) ** 2)),
            [0, tf.constant(0.0)],
        )
    else:
        whole = tf.convert_to_tensor(table)
        logits = tf.matmul(lookup(ids), whole, transpose_b=True) + bias
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=ids, logits=logits)
        loss = tf.reduce_mean(losses) + tf.reduce_mean(whole**2) + tf.reduce_sum(bias**2)
    gradients = optimizer.compute_gradients(loss)
    if kind == "clipped":
        clipped, _ = tf.clip_by_global_norm([gradient for gradient, _ in gradients], 1.0)
        gradients = list(zip(clipped, [variable for _, variable in gradients]))
    step = tf.train.get_or_create_global_step()
    train_op = optimizer.apply_gradients(gradients, step)
    if kind == "averaged":
        average = tf.train.ExponentialMovingAverage(0.9, step)
        with tf.control_dependencies([train_op]):
            train_op = average.apply([variable for _, variable in gradients])
    tf.add_to_collection("step", train_op)
    return train_op


def initialize(session):
    """Initializes all variables: averages after what they are of, which TensorFlow lets race."""
    averages = [each for each in tf.global_variables() if "ExponentialMovingAverage" in each.name]
    others = [each for each in tf.global_variables() if each not in averages]
    for variables in (others, averages):
        session.run(tf.variables_initializer(variables))


TRAININGS = [
    ("plain", False, None, lambda: tf.train.AdamOptimizer(0.1)),
    ("plain", True, "div", lambda: tf.train.AdagradOptimizer(0.1)),
    ("loop", False, "mod", lambda: tf.train.MomentumOptimizer(0.1, 0.9)),
    ("loop", True, "div", lambda: tf.train.AdagradOptimizer(0.1)),
    ("loop", True, None, lambda: tf.train.FtrlOptimizer(0.1)),
    ("clipped", True, None, lambda: tf.train.RMSPropOptimizer(0.1)),
    ("averaged", False, "div", lambda: tf.train.MomentumOptimizer(0.1, 0.9)),
]


@pytest.mark.parametrize("kind, use_resource, strategy, optimizer", TRAININGS)
def test_training_goes_on_from_a_grown_graph_as_in_code_with_more_rows(
    tmp_path, kind, use_resource, strategy, optimizer
):
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    with tf.Graph().as_default(), tf.Session() as session:
        train_op = build(OLD, kind, use_resource, strategy, optimizer())
        initialize(session)
        for _ in range(3):
            session.run(train_op, {"ids:0": [1, 2, 13, 2]})
        tf.train.Saver().save(session, old)
    grown = tf1_embed.grow_metagraph(old, ["table"], new, 3, also=["bias"])
    assert all(each.new is not None for each in grown.nodes)
    before = load_checkpoint(new)
    for path, build_it in [
        ("code", lambda: build(NEW, kind, use_resource, strategy, optimizer())),
        ("graph", lambda: None),
    ]:
        with tf.Graph().as_default(), tf.Session() as session:
            train_op = build_it()
            if train_op is None:
                saver = tf.train.import_meta_graph(f"{new}.meta")
                (train_op,) = tf.get_collection("step")
                # What it begins with has the new shapes, too.
                initialize(session)
            else:
                saver = tf.train.Saver()
            saver.restore(session, new)
            for _ in range(4):
                session.run(train_op, {"ids:0": [1, 15, 15, 16, 2]})
            saver.save(session, str(tmp_path / path))
    after = load_checkpoint(str(tmp_path / "graph"))
    expected = load_checkpoint(str(tmp_path / "code"))
    assert set(after) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    assert (after["table"] != before["table"]).any(axis=1).sum() >= 3


def test_graph_that_lies_beside_no_checkpoint_is_asked_for(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        make_table(False)
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(tmp_path / "old"), write_meta_graph=False)
    with pytest.raises(FileNotFoundError, match="there is no graph .*old.meta"):
        tf1_embed.grow_metagraph(str(tmp_path / "old"), ["table"], str(tmp_path / "new"), 3)


def test_graph_that_is_there_is_not_replaced_unasked(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        make_table(False)
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(tmp_path / "old"))
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    (tmp_path / "new.meta").write_text("another graph")
    with pytest.raises(FileExistsError, match="new.meta exists"):
        tf1_embed.grow_metagraph(old, ["table"], new, 3, dry_run=True)
    assert (tmp_path / "new.meta").read_text() == "another graph"
    tf1_embed.grow_metagraph(old, ["table"], new, 3, force=True)
    assert read_meta_graph(f"{new}.meta").graph_def.node


# The command.


def test_command_grows_a_saved_model(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_model("old", tail=sized)
    arguments = ["grow", "old", "--table", "table", "--rows", "3", "--out", "new/model"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "one_hot/depth (Const, 14): would become 17" in error
    assert "--also with its whole name" in error
    assert main([*arguments, "--also-found", "--keep", "freq*"]) == 0
    printed = capsys.readouterr().out
    assert "one_hot/depth  Const, 14 → 17" in printed
    assert "frequencies  Const of shape [14], kept" in printed
    assert "table: 14 rows kept, 0 dropped, 3 new" in printed
    assert "TensorFlow restored it; 1 variable that grew" in printed
    assert main(["verify", "old", "new/model", "--table", "table"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--also-found", "--keep", "freq*", "--force", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"name": "one_hot/depth", "old": "Const, 14", "new": "17"} in told["graph"]
    assert told["restored"] == 1
    for wrong in (
        [*arguments, "--graph"],
        [*arguments, "--asset", "assets/words.txt=nowhere"],
        [*arguments[:-1], "old"],
        ["grow", "old/variables/variables", "--rows", "3", "--out", "x", "--keep", "y"],
    ):
        assert main(wrong) == 2
    assert "--keep is of a graph" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, error",
    [
        ("--also-found --only-tables", "give no --also and no --only-tables with it"),
        ("--also-found --also one_hot/depth", "give no --also and no --only-tables with it"),
        ("--also-found --asset words.txt", "--asset must be NAME=FILE"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    tmp_path, capsys, monkeypatch, options, error
):
    monkeypatch.chdir(tmp_path)
    small_model("old", tail=sized)
    options = options.split() + ["--keep", "freq*", "--out", "new"]
    assert main(["grow", "old", "--table", "table", "--rows", "3", *options]) == 2
    assert error in capsys.readouterr().err
    assert not os.path.exists("new")


def test_command_keeps_what_is_read_though_it_lies_in_the_output(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_model("old")
    shutil.copytree("old", "new")
    os.mkdir("new/assets")
    words = "".join(f"w{i}\n" for i in range(OLD))
    (tmp_path / "new" / "assets" / "words.txt").write_text(words)
    (tmp_path / "more.txt").write_text(words + "x\n")
    assert (
        main(
            ["grow", "old", "--table", "table", "--old-vocab", "new/assets/words.txt"]
            + ["--new-vocab", "more.txt", "--out", "new", "--force"]
        )
        == 2
    )
    assert "which is read" in capsys.readouterr().err
    assert os.path.exists("new/assets/words.txt")


def test_command_grows_the_graph_beside_a_checkpoint(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tf.Graph().as_default(), tf.Session() as session:
        build(OLD, "plain", False, None, tf.train.AdamOptimizer(0.1))
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, "old")
    arguments = ["grow", "old", "--table", "table", "--rows", "3", "--also-found", "--graph"]
    assert main([*arguments, "--out", "new"]) == 0
    assert "gradients/" in capsys.readouterr().out
    nodes = {node.name: node for node in read_meta_graph("new.meta").graph_def.node}
    assert [dim.size for dim in nodes["table/Adam"].attr["shape"].shape.dim] == [NEW, 2]
    assert [dim.size for dim in nodes["table"].attr["_output_shapes"].list.shape[0].dim] == [NEW, 2]
    assert main([*arguments, "--out", "new"]) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*arguments, "--without-slots", "--out", "other"]) == 2
    assert "--without-slots leaves out what the graph's Saver restores" in capsys.readouterr().err


def test_page_of_adopting_serves_and_trains_what_has_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int64, [None], "ids")
        table = tf.get_variable("table", [6, 2])
        vectors = tf.nn.embedding_lookup(table, ids)
        tf.train.AdamOptimizer(0.1).minimize(tf.reduce_sum((vectors - 1) ** 2))
        session.run(tf.global_variables_initializer())
        session.run(tf.get_collection(tf.GraphKeys.TRAIN_OP), {ids: range(6)})
        before = session.run(table)
        tf.train.Saver().save(session, "old")
        export("exported", {"ids": ids}, {"vectors": vectors}, session)
    text = (Path(__file__).resolve().parent.parent / "docs" / "adopting.md").read_text("utf-8")
    section = text.partition("## Only a SavedModel\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)
    assert [language for language, _ in blocks] == ["sh", "sh", "python"]
    for language, block in blocks:
        if language == "sh":
            assert main(shlex.split(block)[1:]) == 0
        else:
            with tf.Graph().as_default():
                exec(block, {})
    assert_same(served("exported_grown", range(8))[:6], before)
    grown, trained = load_checkpoint("grown")["table"], load_checkpoint("new")["table"]
    # Adam moves each row of which it has momentum; the new ones have it from the batches.
    assert (grown[6:] != trained[6:]).all() and grown.shape == trained.shape == (8, 2)
