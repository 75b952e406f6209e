"""One digest for the same rows, wherever they are; another one for any other rows."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import tf1_embed
from support.tables import DTYPES, counting_rows, flip_byte, save_checkpoint, special_rows
from tf1_embed import Rows
from tf1_embed import rows as chunks
from tf1_embed.checkpoint.files.find import CheckpointDamaged
from tf1_embed.fingerprints import largest_difference
from tf1_embed.graph.live_rows import LiveRows


def expected_digest(rows, dtype="float32"):
    """Returns the digest by its definition alone."""
    line = f"tf1_embed rows v1 {dtype} {'x'.join(str(dim) for dim in rows.shape)}\n"
    return hashlib.sha256(line.encode() + rows.tobytes()).hexdigest()


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of three rows of two float32."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 24)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 2])
def test_digest_is_that_of_the_line_and_the_bytes(dtype, dim):
    rows = special_rows(dtype) if dim else special_rows(dtype)[:, 0].copy()
    assert tf1_embed.fingerprint(rows) == expected_digest(rows, dtype)


def test_digest_is_the_one_written_down_here():
    # Certificates are kept for years: the digest of given rows must never become another one.
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert tf1_embed.fingerprint(rows) == (
        "cfaa3b5a817d00b6c3c75a0d524af4670f708b3a27bd2b74c4d50e2ad4b9bca7"
    )


@settings(max_examples=50)
@given(st.integers(0, 12), st.data())
def test_chosen_rows_have_the_digest_of_the_array_of_them(num_rows, data):
    table = counting_rows(num_rows)
    chosen = data.draw(st.frozensets(st.integers(0, num_rows - 1)) if num_rows else st.just([]))
    rows = Rows.of(np.array(sorted(chosen), np.int64), num_rows)
    assert tf1_embed.fingerprint(table, rows) == expected_digest(table[sorted(chosen)])


@pytest.mark.parametrize("chunk_bytes", [1, 24, 100, 1 << 20])
def test_size_of_chunks_does_not_matter(monkeypatch, chunk_bytes):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
    table, rows = counting_rows(50), Rows.of([0, 1, 2, 7, 9, 30, 31, 49], 50)
    assert tf1_embed.fingerprint(table, rows) == expected_digest(table[rows.ids()])


def test_memory_order_and_byte_order_do_not_matter(tmp_path, small_chunks):
    table = counting_rows(10)
    np.save(str(tmp_path / "table.npy"), table)
    for same in (
        np.asfortranarray(table),
        np.repeat(table, 2, axis=1)[:, ::2],
        table.astype(">f4"),
        np.load(str(tmp_path / "table.npy"), mmap_mode="r"),
        list(table),
    ):
        assert tf1_embed.fingerprint(same) == expected_digest(table)


def test_dtype_shape_and_order_are_bound_into_the_digest():
    table = counting_rows(4)
    others = [
        table.view(np.int32),
        table.reshape(2, 4),
        table.reshape(8),
        table[::-1],
        table[:3],
        table.astype(np.float64),
    ]
    digests = {tf1_embed.fingerprint(each) for each in [table, *others]}
    assert len(digests) == 1 + len(others)


@pytest.mark.parametrize(
    "fault", [1, 1 << 15, 1 << 22, 1 << 31], ids=["lowest", "middle", "payload", "sign"]
)
def test_one_bit_of_one_row_changes_the_digest(fault):
    table = special_rows()
    before = tf1_embed.fingerprint(table)
    for row in range(len(table)):
        changed = table.copy()
        changed.view(np.uint32)[row, 1] ^= fault
        assert tf1_embed.fingerprint(changed) != before
        others = Rows.of([each for each in range(len(table)) if each != row], len(table))
        assert tf1_embed.fingerprint(changed, others) == tf1_embed.fingerprint(table, others)


def test_a_swap_of_two_rows_changes_the_digest():
    swapped = counting_rows(6)
    swapped[[2, 3]] = swapped[[3, 2]]
    assert tf1_embed.fingerprint(swapped) != tf1_embed.fingerprint(counting_rows(6))


@pytest.mark.parametrize("dtype", DTYPES)
def test_variable_in_a_session_has_the_digest_of_its_array(variables, session, small_chunks, dtype):
    values = special_rows(dtype)
    variable = tf.get_variable("table", initializer=tf.constant(values))
    session.run(variable.initializer)
    rows = Rows.of([0, 1, 5, 6, 7, 8, 13], 14)
    assert tf1_embed.fingerprint(variable, session=session) == tf1_embed.fingerprint(values)
    assert tf1_embed.fingerprint(variable, rows, session) == tf1_embed.fingerprint(values, rows)


@pytest.mark.parametrize("strategy", ["mod", "div"])
@pytest.mark.parametrize("partitions", [1, 2, 3, 5])
def test_partitions_do_not_matter(variables, session, tmp_path, small_chunks, strategy, partitions):
    values = counting_rows(11)
    table = tf.get_variable("table", [11, 2], partitioner=tf.fixed_size_partitioner(partitions))
    ids = np.arange(11)
    if strategy == "mod":
        ids = np.concatenate([ids[part::partitions] for part in range(partitions)])
    for part, stop in zip(table, np.cumsum([part.shape.as_list()[0] for part in table])):
        start = stop - part.shape.as_list()[0]
        session.run(tf.assign(part, values[ids[start:stop]]).op)
    looked_up = tf.nn.embedding_lookup(table, tf.range(11), partition_strategy=strategy)
    np.testing.assert_array_equal(session.run(looked_up), values)

    rows = Rows.of([0, 1, 2, 3, 4, 8, 10], 11)
    expected = tf1_embed.fingerprint(values, rows)
    got = tf1_embed.fingerprint(table, rows, session, partition_strategy=strategy)
    parts = tf1_embed.fingerprint(list(table), rows, session, partition_strategy=strategy)
    prefix = tf.train.Saver([table]).save(session, str(tmp_path / "model.ckpt"))
    saved = tf1_embed.fingerprint_checkpoint(prefix, "table", rows, strategy)
    assert [got, parts, saved] == [expected] * 3
    if partitions > 1:
        with pytest.raises(ValueError, match="'table' has . partitions"):
            tf1_embed.fingerprint_checkpoint(prefix, "table", rows)


def test_a_partition_that_was_reordered_changes_the_digest(session):
    values = counting_rows(9)
    table = tf.get_variable("table", [9, 2], partitioner=tf.fixed_size_partitioner(3))
    parts = [values[part::3] for part in range(3)]
    for part, own in zip(table, parts):
        session.run(tf.assign(part, own).op)
    assert tf1_embed.fingerprint(table, session=session, partition_strategy="mod") == (
        tf1_embed.fingerprint(values)
    )
    for part, other in zip(table, parts[::-1]):
        session.run(tf.assign(part, other).op)
    assert tf1_embed.fingerprint(table, session=session, partition_strategy="mod") != (
        tf1_embed.fingerprint(values)
    )


def test_old_rows_have_one_digest_in_the_old_table_the_grown_and_the_merged_one(session, tmp_path):
    old = special_rows()
    base = save_checkpoint(tmp_path / "base", {"table": old})
    table = tf1_embed.get_grown_table("table", 3, checkpoint=base)
    session.run(tf.global_variables_initializer())
    grown = tf.train.Saver().save(session, str(tmp_path / "grown"))
    tf1_embed.merge_checkpoint(grown, ["table"], tmp_path / "merged")
    rows = Rows.range(0, 14, size=14)
    assert {
        tf1_embed.fingerprint(old),
        tf1_embed.fingerprint(table, session=session),
        tf1_embed.fingerprint_checkpoint(base, "table"),
        tf1_embed.fingerprint_checkpoint(grown, "table"),
        tf1_embed.fingerprint_checkpoint(str(tmp_path / "merged"), "table", rows),
    } == {expected_digest(old)}


def test_row_split_table_gives_its_frozen_rows(session):
    old = counting_rows(6)
    table = tf1_embed.get_row_split_table("table", Rows.of([1, 4], 6), old_rows=old)
    session.run(tf.global_variables_initializer())
    session.run(tf.assign(table.trainable, counting_rows(2, start=50)).op)
    assert tf1_embed.fingerprint(table, session=session) == expected_digest(old[[0, 2, 3, 5]])


def test_a_bit_that_flipped_in_a_checkpoint_is_found(tmp_path):
    save_checkpoint(tmp_path / "base", {"table": counting_rows(50)})
    flip_byte(tmp_path / "base.data-00000-of-00001", 60)
    with pytest.raises(CheckpointDamaged, match="checksum of 'table' does not match"):
        tf1_embed.fingerprint_checkpoint(tmp_path / "base", "table", Rows.range(0, 40, size=50))
    # One that was written so has the right checksum, and another digest.
    changed = counting_rows(50)
    changed.view(np.uint32)[7, 1] ^= 1
    other = save_checkpoint(tmp_path / "other", {"table": changed})
    assert tf1_embed.fingerprint_checkpoint(other, "table") != expected_digest(counting_rows(50))


def test_a_finalized_graph_serves_if_the_operations_were_made_before(session):
    table = tf.get_variable("table", initializer=counting_rows(4))
    session.run(table.initializer)
    digest = tf1_embed.fingerprint(table)
    num_operations = len(session.graph.get_operations())
    session.graph.finalize()
    assert tf1_embed.fingerprint(table, session=session) == digest
    assert len(session.graph.get_operations()) == num_operations


def test_a_finalized_graph_without_the_operations_is_an_error_that_says_so(session):
    table = tf.get_variable("table", initializer=counting_rows(4))
    session.graph.finalize()
    with pytest.raises(RuntimeError, match="is finalized, and has no operations yet.*'table'"):
        tf1_embed.fingerprint(table, session=session)


def test_rows_are_read_beside_the_variable_whatever_the_context(variables, graph):
    with tf.device("/job:ps/task:1"):
        table = tf.get_variable("a/table", initializer=tf.zeros_initializer(), shape=[4, 2])
    with tf.device("/job:worker"), tf.control_dependencies([tf.no_op()]), tf.name_scope("scope"):
        LiveRows(table)
    made = [each for each in graph.get_operations() if "rows_of" in each.name]
    assert {"tf1_embed_rows_of/a/table/ids", "tf1_embed_rows_of/a/table/rows"} <= {
        each.name for each in made
    }
    for operation in made:
        assert operation.device == table.device
        assert not operation.control_inputs


@pytest.mark.parametrize(
    "values, rows, error, message",
    [
        (np.array(["a"]), None, TypeError, "`values` must be numbers, got <U1"),
        (np.array([None]), None, TypeError, "`values` must be numbers, got object"),
        (np.float32(1), None, ValueError, "`values` must have rows, got a scalar"),
        (counting_rows(3), [0, 1], TypeError, "`rows` must be Rows, such as"),
        (counting_rows(3), Rows.range(1, 4, 9), ValueError, "go up to 3, `values` has only 3 rows"),
    ],
)
def test_what_has_no_fingerprint_is_refused(values, rows, error, message):
    with pytest.raises(error, match=message):
        tf1_embed.fingerprint(values, rows)


def test_variables_that_cannot_be_read_are_refused(graph):
    table = tf.get_variable("table", initializer=counting_rows(4))
    parted = tf.get_variable("parted", [4, 2], partitioner=tf.fixed_size_partitioner(2))
    grown = tf1_embed.get_grown_table("grown", 1, old_rows=counting_rows(4))
    with pytest.raises(ValueError, match="`session` must be given for variable 'table'"):
        tf1_embed.fingerprint(table)
    with tf.Session():
        with pytest.raises(TypeError, match="expected a variable, got .*fetch it first"):
            tf1_embed.fingerprint(tf.zeros([4, 2]))
        with pytest.raises(ValueError, match="'parted' has 2 partitions: `partition_strategy`"):
            tf1_embed.fingerprint(parted)
        with pytest.raises(ValueError, match=r"have \[4, 2, 2\] rows; TensorFlow's lookups expect"):
            tf1_embed.fingerprint([table, *parted], partition_strategy="div")
        with pytest.raises(ValueError, match="must have rows, and a known shape"):
            tf1_embed.fingerprint(tf.get_variable("scalar", []))
        with pytest.raises(ValueError, match="`rows` must be left out for a GrownTable"):
            tf1_embed.fingerprint(grown, Rows.range(0, 1, 5))


def test_a_table_that_a_checkpoint_lacks_is_an_error_that_lists_what_it_has(tmp_path):
    base = save_checkpoint(tmp_path / "base", {"tables": counting_rows(3)})
    with pytest.raises(KeyError, match="holds no variable 'table'; it holds 'tables'"):
        tf1_embed.fingerprint_checkpoint(base, "table")
    with pytest.raises(FileNotFoundError):
        tf1_embed.fingerprint_checkpoint(tmp_path / "none", "table")


def test_arrays_need_no_tensorflow():
    program = """
import sys, numpy, tf1_embed
tf1_embed.fingerprint(numpy.zeros([3, 2]))
print(any(each.startswith("tensorflow") for each in sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr


def test_differences_of_the_largest_integers_and_of_quantized_ones_are_exact():
    old, new = (np.array([each], np.uint64) for each in (2**64 - 1, 2**64 - 3))
    assert largest_difference(old, new) == 2
    old, new = (np.array([each], np.int8).view([("qint8", "i1")]) for each in (-100, 100))
    assert largest_difference(old, new) == 200
    # Of floats of eight bits NumPy knows no numbers.
    old, new = (np.array([each], np.uint8).view([("float8_e5m2", "u1")]) for each in (1, 2))
    assert largest_difference(old, new) is None


def test_fingerprint_of_columns_is_that_of_the_matrix_of_them(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 16)
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    rows = Rows.of([0, 2, 5], size=9)
    assert tf1_embed.fingerprint(values, rows, axis=1) == tf1_embed.fingerprint(
        values[:, [0, 2, 5]]
    )
    with pytest.raises(ValueError, match=r"`axis` of `values` of shape \[4, 6\] cannot be 2"):
        tf1_embed.fingerprint(values, axis=2)
    with pytest.raises(ValueError, match="`values` has only 6 entries on axis 1"):
        tf1_embed.fingerprint(values, Rows.of([8], size=9), axis=1)
