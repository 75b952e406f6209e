import os
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.tables import (
    DTYPES,
    assert_same,
    counting_rows,
    flip_byte,
    load_checkpoint,
    numpy_dtype,
    save_checkpoint,
    special_rows,
    truncate,
)
from tf1_embed.checkpoint.files.find import CheckpointDamaged
from tf1_embed.graph import sources


def read_frozen(**kwargs):
    """Returns the frozen rows of a table grown by one, each source in a graph of its own."""
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf1_embed.get_grown_table("embedding", 1, **kwargs)
        session.run(tf.global_variables_initializer())
        return session.run(table.frozen)


@pytest.fixture
def checkpoint(tmp_path):
    """The prefix of a checkpoint whose `embedding` of 20 rows holds i in row i."""
    values = {"embedding": counting_rows(20), "embeddings_of_users": counting_rows(3), "bias": 1.0}
    return save_checkpoint(tmp_path / "model.ckpt-7", values)


# Where the rows come from.


def test_checkpoint_is_named_by_its_prefix(checkpoint):
    assert_same(read_frozen(checkpoint=checkpoint), counting_rows(20))


def test_folder_stands_for_its_latest_checkpoint(checkpoint, tmp_path):
    save_checkpoint(tmp_path / "model.ckpt-8", {"embedding": counting_rows(4, start=100)})
    assert_same(read_frozen(checkpoint=str(tmp_path)), counting_rows(4, start=100))
    assert_same(read_frozen(checkpoint=checkpoint), counting_rows(20))


def test_paths_may_be_path_objects(checkpoint, tmp_path):
    np.save(str(tmp_path / "rows.npy"), counting_rows(5))
    assert_same(read_frozen(checkpoint=tmp_path / "model.ckpt-7"), counting_rows(20))
    assert_same(read_frozen(old_rows=tmp_path / "rows.npy"), counting_rows(5))


@pytest.mark.parametrize("name", ["run*?", "with space", "ünï", "a.b-c"])
def test_checkpoint_prefix_is_a_name_and_no_pattern(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    for suffix, start in (("", 0), ("0", 50)):
        save_checkpoint(folder / (name + suffix), {"embedding": counting_rows(6, start=start)})
    assert_same(read_frozen(checkpoint=folder / name), counting_rows(6))


@pytest.mark.parametrize("name", ["embedding", "embedding/.ATTRIBUTES/VARIABLE_VALUE"])
def test_object_based_checkpoint_of_tensorflow_2_is_read(tmp_path, name):
    with tf.Graph().as_default(), tf.Session() as session:
        variable = tf.get_variable("v", initializer=counting_rows(9), use_resource=True)
        session.run(tf.global_variables_initializer())
        saved = tf.train.Checkpoint(embedding=variable)
        prefix = saved.save(str(tmp_path / "object"), session=session)
    assert "embedding/.ATTRIBUTES/VARIABLE_VALUE" in load_checkpoint(prefix)
    got = read_frozen(checkpoint=prefix, checkpoint_name=name)
    assert_same(got, counting_rows(9))


@pytest.mark.parametrize("partitions", [2, 3])
def test_partitioned_variable_is_read_as_one_table(tmp_path, partitions):
    # 11 rows do not divide evenly.
    save_checkpoint(tmp_path / "parts", {"embedding": counting_rows(11)}, partitions)
    got = read_frozen(checkpoint=tmp_path / "parts", partition_strategy="div")
    assert_same(got, counting_rows(11))


def test_scope_is_part_of_the_name_in_the_checkpoint(tmp_path, graph, session):
    save_checkpoint(tmp_path / "m", {"a/b/e": counting_rows(3), "e": counting_rows(4)})
    with tf.variable_scope("a"), tf.variable_scope("b"):
        table = tf1_embed.get_grown_table("e", 1, checkpoint=tmp_path / "m")
        other = tf1_embed.get_grown_table("f", 1, checkpoint=tmp_path / "m", checkpoint_name="e")
    session.run(tf.global_variables_initializer())
    assert (table.name, other.name) == ("a/b/e", "a/b/f")
    assert_same(session.run(table.frozen), counting_rows(3))
    assert_same(session.run(other.frozen), counting_rows(4))


def test_npy_file_is_read_from_disk(tmp_path):
    np.save(str(tmp_path / "rows.npy"), counting_rows(20))
    assert_same(read_frozen(old_rows=str(tmp_path / "rows.npy")), counting_rows(20))


def test_memory_map_is_read(tmp_path):
    rows = np.memmap(str(tmp_path / "raw"), np.float32, "w+", offset=12, shape=(20, 2))
    rows[:] = counting_rows(20)
    assert_same(read_frozen(old_rows=rows), counting_rows(20))
    assert_same(read_frozen(old_rows=rows[5:]), counting_rows(15, start=5))


@pytest.mark.parametrize(
    "arrange",
    [
        np.asfortranarray,
        lambda rows: np.repeat(rows, 2, axis=0)[::2],
        lambda rows: rows[::-1].copy()[::-1],
        lambda rows: rows.astype(">f4"),
    ],
    ids=["fortran", "strided", "reversed", "big_endian"],
)
def test_order_of_an_array_in_memory_does_not_matter(arrange, tmp_path):
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    assert_same(read_frozen(old_rows=arrange(rows)), rows)


def test_big_endian_npy_file_is_read(tmp_path):
    np.save(str(tmp_path / "rows.npy"), special_rows().astype(">f4", copy=True))
    assert_same(read_frozen(old_rows=tmp_path / "rows.npy"), special_rows())


@pytest.mark.parametrize("num_rows", [1, 255, 256, 257, 600])
@pytest.mark.parametrize("chunk_bytes", [1, 56, 1 << 20])
@pytest.mark.parametrize("from_file", [False, True])
def test_chunks_put_together_are_the_array(tmp_path, monkeypatch, num_rows, chunk_bytes, from_file):
    # 56 bytes are 7 rows, which divide none of these numbers but one.
    monkeypatch.setattr(sources, "CHUNK_BYTES", chunk_bytes)
    rows = counting_rows(num_rows)
    np.save(str(tmp_path / "rows.npy"), rows)
    got = read_frozen(old_rows=tmp_path / "rows.npy" if from_file else rows)
    assert_same(got, rows)


@pytest.mark.parametrize("is_initialized", [False, True])
def test_variable_gives_its_value_or_else_its_initial_value(variables, session, is_initialized):
    variable = tf.get_variable("source", initializer=counting_rows(6))
    table = tf1_embed.get_grown_table("embedding", 1, old_rows=variable)
    expected = counting_rows(6)
    if is_initialized:
        session.run(variable.initializer)
        session.run(variable.assign_add(tf.ones([6, 2])))
        expected = counting_rows(6, start=1)
    session.run(table.frozen.initializer)
    assert_same(session.run(table.frozen), expected)
    # What becomes of the source does not touch the table.
    session.run(variable.initializer)
    session.run(variable.assign_add(tf.ones([6, 2])))
    assert_same(session.run(table.frozen), expected)


def test_variable_serves_when_all_variables_are_initialized_at_once(variables, session):
    variable = tf.get_variable("source", initializer=counting_rows(6))
    table = tf1_embed.get_grown_table("embedding", 1, old_rows=variable)
    session.run(tf.global_variables_initializer())
    assert_same(session.run(table.frozen), counting_rows(6))


@pytest.mark.parametrize("make_array", [np.array, np.asfortranarray], ids=["c", "fortran"])
def test_array_changed_after_initialisation_does_not_move_the_variable(
    variables, session, make_array
):
    rows = make_array(np.arange(40, dtype=np.float32).reshape(20, 2))
    table = tf1_embed.get_grown_table("embedding", 1, old_rows=rows)
    session.run(tf.global_variables_initializer())
    expected = rows.copy()
    rows[:] = -1
    assert_same(session.run(table.frozen), expected)
    # Initialised again, the array is read again.
    session.run(table.frozen.initializer)
    assert_same(session.run(table.frozen), np.ascontiguousarray(rows))


def test_npy_file_rewritten_after_initialisation_does_not_move_the_variable(
    tmp_path, variables, session
):
    path = str(tmp_path / "rows.npy")
    np.save(path, counting_rows(20))
    table = tf1_embed.get_grown_table("embedding", 1, old_rows=path)
    session.run(tf.global_variables_initializer())
    np.save(path, counting_rows(20, start=100))
    assert_same(session.run(table.frozen), counting_rows(20))


# What must not happen to them on the way.


def write_source(kind, rows, folder):
    """Returns the arguments of a table whose rows come from a source of that kind."""
    if (kind, tf.as_dtype(rows.dtype)) == ("partitioned", tf.bfloat16) and tf.__version__ < "1.15":
        pytest.skip("before 1.15, TensorFlow puts no slices of bfloat16 together")
    if kind == "array":
        return {"old_rows": rows}
    if kind == "npy":
        np.save(str(folder / "rows.npy"), rows)
        return {"old_rows": folder / "rows.npy"}
    if kind == "variable":
        return {"old_rows": tf.get_variable("source", initializer=tf.constant(rows))}
    partitions = 3 if kind == "partitioned" else None
    checkpoint = save_checkpoint(folder / "model", {"embedding": rows}, partitions)
    return {"checkpoint": checkpoint, "partition_strategy": "div"}


EVERY_SOURCE_AND_DTYPE = [
    (kind, dtype)
    for kind in ("array", "npy", "variable", "checkpoint", "partitioned")
    for dtype in DTYPES
    # NumPy's files do not know bfloat16, and TensorFlow puts no slices of float16 together.
    if (kind, dtype) not in (("npy", "bfloat16"), ("partitioned", "float16"))
]


@pytest.mark.parametrize("kind, dtype", EVERY_SOURCE_AND_DTYPE)
def test_special_bits_come_through_every_source(variables, session, tmp_path, kind, dtype):
    rows = special_rows(dtype)
    table = tf1_embed.get_grown_table("embedding", 1, **write_source(kind, rows, tmp_path))
    session.run(tf.global_variables_initializer())
    assert table.dtype == dtype
    assert_same(session.run(table.frozen), rows)
    assert_same(session.run(table.read())[:-1], rows)


@pytest.mark.parametrize("kind, dtype", EVERY_SOURCE_AND_DTYPE)
def test_table_of_rank_1_comes_through_every_source(variables, session, tmp_path, kind, dtype):
    rows = special_rows(dtype)[:, 0].copy()
    table = tf1_embed.get_grown_table("embedding", 1, **write_source(kind, rows, tmp_path))
    session.run(tf.global_variables_initializer())
    assert table.shape == (15,)
    assert_same(session.run(table.frozen), rows)


@pytest.mark.parametrize("kind", ["array", "npy", "checkpoint"])
def test_nothing_of_the_table_enters_the_graph_def(variables, tmp_path, kind):
    rows = np.random.RandomState(0).rand(40000, 32).astype(np.float32)
    arguments = write_source(kind, rows, tmp_path)
    table = tf1_embed.get_grown_table("embedding", 1, **arguments)
    tf.train.GradientDescentOptimizer(1.0).minimize(
        tf.reduce_sum(tf1_embed.embedding_lookup(table, [0, 40000]))
    )
    assert rows.nbytes > 5e6
    assert tf.get_default_graph().as_graph_def().ByteSize() < 100e3


def test_number_of_chunks_and_so_the_graph_is_bounded(graph, monkeypatch):
    monkeypatch.setattr(sources, "GRAPH_CHUNK_BYTES", 1)
    tf1_embed.get_grown_table("embedding", 1, old_rows=np.zeros([20000, 1], np.float32))
    chunks = [each for each in graph.get_operations() if each.type == "StridedSliceAssign"]
    assert 200 <= len(chunks) <= 300


# Bad input.


@pytest.mark.parametrize("name", ["run [1]", "[a-z]"])
def test_checkpoint_with_brackets_is_refused_as_tensorflow_never_finds_it(tmp_path, graph, name):
    (tmp_path / name).mkdir()
    prefix = save_checkpoint(tmp_path / name / "model", {"embedding": counting_rows(6)})
    for path in (prefix, tmp_path / name):
        with pytest.raises(ValueError, match="`checkpoint` must be a path without brackets"):
            tf1_embed.get_grown_table("embedding", 1, checkpoint=path)


def test_checkpoint_that_does_not_exist_is_not_found(tmp_path, graph):
    for path in (tmp_path, tmp_path / "nothing", "/no/such/folder/model.ckpt"):
        with pytest.raises(FileNotFoundError, match="`checkpoint` must be .* found neither"):
            tf1_embed.get_grown_table("embedding", 1, checkpoint=path)


def test_variable_that_is_not_in_the_checkpoint_is_told_with_those_that_are(checkpoint, graph):
    with pytest.raises(KeyError) as caught:
        tf1_embed.get_grown_table("embeding", 1, checkpoint=checkpoint)
    message = caught.value.args[0]
    assert "holds no variable 'embeding'" in message
    listed = [message.index(f"'{n}'") for n in ("embedding", "embeddings_of_users", "bias")]
    assert listed == sorted(listed)


def test_list_of_variables_is_cut_after_the_nearest_twenty(tmp_path, graph):
    values = {f"other_{i}": np.float32(i) for i in range(30)}
    prefix = save_checkpoint(tmp_path / "many", dict(values, embedding=counting_rows(2)))
    with pytest.raises(KeyError, match=r"it holds 'embedding', .* and 11 more"):
        tf1_embed.get_grown_table("embeddings", 1, checkpoint=prefix)


@pytest.mark.parametrize("num_bytes", [1, 100, 172])
def test_truncated_data_are_found_while_the_graph_is_built(checkpoint, tmp_path, graph, num_bytes):
    truncate(tmp_path / "model.ckpt-7.data-00000-of-00001", num_bytes)
    with pytest.raises(CheckpointDamaged, match="damaged: .*truncated"):
        tf1_embed.get_grown_table("embedding", 1, checkpoint=checkpoint)


def test_missing_data_file_is_found_while_the_graph_is_built(checkpoint, tmp_path, graph):
    (tmp_path / "model.ckpt-7.data-00000-of-00001").unlink()
    with pytest.raises(CheckpointDamaged, match="is missing"):
        tf1_embed.get_grown_table("embedding", 1, checkpoint=checkpoint)


def test_index_truncated_at_any_byte_is_found_while_the_graph_is_built(checkpoint, tmp_path, graph):
    index = tmp_path / "model.ckpt-7.index"
    whole = index.read_bytes()
    for length in range(0, len(whole), 5):
        index.write_bytes(whole[:length])
        with pytest.raises(CheckpointDamaged, match="checkpoint .*damaged"):
            tf1_embed.get_grown_table("embedding", 1, checkpoint=checkpoint)


def test_flipped_byte_of_the_index_is_found_or_does_not_matter(checkpoint, tmp_path):
    index = tmp_path / "model.ckpt-7.index"
    whole = index.read_bytes()
    found = 0
    for position in range(len(whole)):
        flip_byte(index, position)
        try:
            rows = sources.CheckpointRows(checkpoint, "embedding")
            assert rows.shape == (20, 2)
        except CheckpointDamaged as error:
            assert "checkpoint" in str(error)
            found += 1
        index.write_bytes(whole)
    # Some bytes of the file's footer are padding.
    assert found > len(whole) // 2


def test_npy_file_of_bfloat16_which_numpy_does_not_know_is_refused(tmp_path, graph):
    np.save(str(tmp_path / "rows.npy"), special_rows("bfloat16"))
    with pytest.raises((TypeError, ValueError), match="`old_rows`"):
        tf1_embed.get_grown_table("embedding", 1, old_rows=tmp_path / "rows.npy")


@pytest.mark.parametrize("position", [8, 80, 150])
def test_flipped_byte_of_the_values_is_a_data_loss_when_initialised(
    checkpoint, tmp_path, variables, session, position
):
    # `bias` takes the first 4 bytes.
    flip_byte(tmp_path / "model.ckpt-7.data-00000-of-00001", position)
    table = tf1_embed.get_grown_table("embedding", 1, checkpoint=checkpoint)
    with pytest.raises(tf.errors.DataLossError, match="[Cc]hecksum"):
        session.run(table.frozen.initializer)


def test_npy_file_that_does_not_exist_is_not_found(tmp_path, graph):
    with pytest.raises(FileNotFoundError, match="no file at '.*rows.npy'"):
        tf1_embed.get_grown_table("embedding", 1, old_rows=tmp_path / "rows.npy")


def test_npy_file_cut_anywhere_is_refused(tmp_path, graph):
    path = tmp_path / "rows.npy"
    np.save(str(path), counting_rows(20))
    whole = path.read_bytes()
    for length in [0, *range(1, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cannot be read as a .npy file: .*rows.npy"):
            tf1_embed.get_grown_table("embedding", 1, old_rows=path)


def test_npy_file_cut_after_the_graph_was_built_is_found_when_initialised(tmp_path, graph, session):
    np.save(str(tmp_path / "rows.npy"), counting_rows(20))
    table = tf1_embed.get_grown_table("embedding", 1, old_rows=tmp_path / "rows.npy")
    truncate(tmp_path / "rows.npy", 4)
    with pytest.raises(tf.errors.OpError, match="was cut short"):
        session.run(table.frozen.initializer)


@pytest.mark.parametrize("content", [b"junk" * 20, b"PK\x03\x04junk", b""])
def test_file_of_something_else_is_refused(tmp_path, graph, content):
    (tmp_path / "rows.npy").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as a .npy file"):
        tf1_embed.get_grown_table("embedding", 1, old_rows=tmp_path / "rows.npy")


def test_archive_of_arrays_is_refused(tmp_path, graph):
    np.savez(str(tmp_path / "rows.npz"), rows=counting_rows(20))
    with pytest.raises(ValueError, match="expected a .npy file, got an archive"):
        tf1_embed.get_grown_table("embedding", 1, old_rows=tmp_path / "rows.npz")


def test_npy_file_stored_by_columns_says_how_to_save_it(tmp_path, graph):
    np.save(str(tmp_path / "rows.npy"), np.asfortranarray(counting_rows(20)))
    with pytest.raises(ValueError, match="stored row by row, got .*. Save it again"):
        tf1_embed.get_grown_table("embedding", 1, old_rows=tmp_path / "rows.npy")


def test_npy_file_of_objects_is_refused(tmp_path, graph):
    np.save(str(tmp_path / "rows.npy"), np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read as a .npy file"):
        tf1_embed.get_grown_table("embedding", 1, old_rows=tmp_path / "rows.npy")


@pytest.mark.parametrize(
    "rows",
    [np.array([[{}]], object), {"rows": 1}, np.zeros([2, 2], np.longdouble)],
    ids=["objects", "dict", "longdouble"],
)
def test_values_that_are_no_floats_of_tensorflow_are_a_type_error(graph, rows):
    with pytest.raises(TypeError, match="`old_rows` must be floats of a TensorFlow dtype"):
        tf1_embed.get_grown_table("embedding", 1, old_rows=rows)


def test_tensor_is_no_source_of_old_rows(graph):
    with pytest.raises(TypeError, match="`old_rows` must be an array, the path .*, or a variable"):
        tf1_embed.get_grown_table("embedding", 1, old_rows=tf.zeros([2, 2]))


@pytest.mark.parametrize("dtype", ["int32", "int64", "complex64", "bool", "<U3"])
def test_rows_that_are_not_floats_are_refused(graph, dtype):
    with pytest.raises(ValueError, match="'embedding' must be of a float dtype, got"):
        tf1_embed.get_grown_table("embedding", 1, old_rows=np.zeros([2, 2], dtype))


def test_checkpoint_can_move_once_the_variables_have_values(checkpoint, tmp_path, graph, session):
    table = tf1_embed.get_grown_table("embedding", 1, checkpoint=checkpoint)
    session.run(tf.global_variables_initializer())
    for file in os.listdir(str(tmp_path)):
        (tmp_path / file).unlink()
    shutil.rmtree(str(tmp_path))
    assert_same(session.run(table.frozen), counting_rows(20))
    assert numpy_dtype(table.dtype) == np.float32
