"""What an audit returns, of graphs that are there and of saved ones, and what it takes."""

import collections
import inspect
import json
import os
from pathlib import Path

import pytest
import tensorflow.compat.v1 as tf

from support.audits import (
    DIM,
    FROZEN,
    OLD,
    SIZE,
    fed,
    make_table,
    moved_rows,
    names_of,
    sgd,
    write_handle,
)
from support.tables import counting_rows
from tf1_embed import Rows, TrainableRowsOptimizer, freeze_rows
from tf1_embed.auditing import KINDS, NOTES, audit, audit_metagraph, report


def looked_up(table, ids):
    return tf.reduce_sum(tf.gather(table, ids) * [3.0, -2.0])


# What is fetched.


def fetches_with_a_write():
    """Yields fetches as `session.run` takes them, each of which writes the table."""
    table = make_table()

    def after_a_write(value):
        with tf.control_dependencies([write_handle(table.handle)]):
            return tf.identity(value)

    indices = after_a_write(tf.constant([[0]], tf.int64))
    yield table, tf.SparseTensor(indices, [1.0], tf.constant([3], tf.int64))
    shape = after_a_write(tf.constant([4], tf.int64))
    sparse = tf.SparseTensor(tf.constant([[1]], tf.int64), [1.0], shape)
    yield table, {"loss": tf.constant(1.0), "features": [sparse]}
    yield table, tf.IndexedSlices(tf.constant([1.0]), after_a_write(tf.constant([1])))
    Step = collections.namedtuple("Step", "loss op")
    yield table, Step(tf.constant(1.0), write_handle(table.handle))
    yield table, [(), (after_a_write(tf.constant(1.0)),)]
    yield table, after_a_write(tf.constant(1.0)).name
    yield table, [write_handle(table.handle).name]


def test_fetches_are_taken_as_session_run_takes_them(graph):
    for table, fetches in list(fetches_with_a_write()):
        assert moved_rows(table, fetches) == list(range(OLD)), fetches
        assert names_of(table, fetches) == ["assign"], fetches
        assert names_of(table, [tf.constant(1.0), table]) == []


@pytest.mark.parametrize(
    "rows",
    [FROZEN, range(OLD), slice(OLD), slice(-2), list(range(OLD)), [True] * OLD + [False] * 2],
)
def test_rows_and_variables_are_named_in_many_ways(graph, rows):
    table = make_table()
    step = sgd(table, [11])
    for key in (table, "items", "it*"):
        assert audit(step, {key: rows}) == []
        assert len(audit(sgd(table, [OLD - 1]), {key: rows})) == 1


# What was looked at.


def test_result_names_what_was_looked_at_and_what_was_not(graph):
    table = make_table()
    step = sgd(table, [11])
    project = tf.assign(table, tf.nn.l2_normalize(table, 1), name="project_all")
    tf.train.Saver()
    found = audit(step, {table: FROZEN})
    assert found == []
    assert (found.fetches, found.tables) == ([step.name], ["items"])
    assert [each.op for each in found.left_out] == [getattr(project, "op", project).name] or [
        "project_all" in each.op for each in found.left_out
    ] == [True]
    whys = collections.Counter(each.why for each in found.not_audited)
    assert whys == {"not fetched": 1, "initializer": 1, "restore": 1}
    text = report(found)
    assert text.startswith(f"clean: {step.name!r} cannot move a frozen row of 'items'")
    assert "project_all" in text and "initializers (1)" in text
    assert json.loads(json.dumps(found.as_dict()))["not_audited"]
    assert audit([step, project], {table: FROZEN}).left_out == []


def test_initializer_in_a_step_is_a_finding(graph):
    table = make_table()
    assert names_of(table, table.initializer) == ["assign"]


def test_restored_value_that_is_not_assigned_as_it_is_is_no_restore(graph):
    table = make_table()
    [old] = tf.raw_ops.RestoreV2(
        prefix="base", tensor_names=["items"], shape_and_slices=[""], dtypes=[tf.float32]
    )
    tf.assign(table, tf.reshape(old, [SIZE, DIM]), name="restores")
    loss = tf.reduce_sum(tf.square(table - tf.reshape(old, [SIZE, DIM])))
    tf.train.GradientDescentOptimizer(0.1).minimize(loss, name="pulls")
    [left_out] = audit([], {table: FROZEN}).left_out
    assert left_out.op.startswith("pulls")


def test_moving_averages_that_drift_are_noted(graph):
    table, other = make_table(), make_table(name="other")
    average = tf.train.ExponentialMovingAverage(0.9)
    step = average.apply([table, other])
    found = audit(step, {table: FROZEN})
    assert found == []
    [note] = found.notes
    assert (note.name, note.table) == ("moving-average-drifts", "items/ExponentialMovingAverage")
    assert "note: moving-average-drifts" in report(found)
    mean = tf.get_variable("norm/moving_mean", [DIM], trainable=False)
    found = audit(tf.assign_sub(mean, tf.ones([DIM])), {table: FROZEN})
    assert [each.table for each in found.notes] == ["norm/moving_mean"]


# Rows that become NaN, though the gradient was multiplied by a mask.


def new_rows_mask():
    return tf.constant([[0.0]] * OLD + [[1.0]] * (SIZE - OLD))


def infinite_gradient(table):
    return 0.1, fed([[float("inf")] * DIM] * SIZE, [SIZE, DIM], "float32") * new_rows_mask()


def gradient_over_its_norm(table):
    gradient = fed([[0.0] * DIM] * SIZE, [SIZE, DIM], "float32") * new_rows_mask()
    return 0.1, gradient / tf.norm(gradient)


def infinite_rate(table):
    gradient = tf.where(tf.tile(new_rows_mask() > 0, [1, DIM]), table, tf.zeros_like(table))
    return fed(float("inf"), [], "float32"), gradient


def mean_over_no_new_ids(table):
    ids = fed([3, 4], [None])
    mask = tf.cast(ids >= OLD, tf.float32)
    values = tf.ones([2, DIM]) * mask[:, None] / tf.reduce_sum(mask)
    return 0.1, tf.IndexedSlices(values, ids, tf.constant([SIZE, DIM], tf.int64))


@pytest.mark.parametrize(
    "make", [infinite_gradient, gradient_over_its_norm, infinite_rate, mean_over_no_new_ids]
)
def test_zeros_that_can_be_nan_are_not_said_to_leave_ordinary_values(graph, make):
    table = make_table()
    rate, gradient = make(table)
    step = tf.train.GradientDescentOptimizer(rate).apply_gradients([(gradient, table)])
    assert moved_rows(table, step)
    assert names_of(table, step) == ["moves-if-not-finite"]


def test_selected_zeros_move_special_bits_only(graph):
    table = make_table()
    loss = tf.reduce_sum(tf.square(tf.nn.embedding_lookup(table, fed([3, 11], [None]))))
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    [(gradient, _)] = optimizer.compute_gradients(loss, [table])
    values = tf.where(gradient.indices >= OLD, gradient.values, tf.zeros_like(gradient.values))
    slices = tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    step = optimizer.apply_gradients([(slices, table)])
    assert moved_rows(table, step) == []
    assert names_of(table, step) == ["special-bits-move"]


def test_pieces_of_the_table_in_their_places_are_its_own(graph):
    table = make_table()
    new = tf.ones([SIZE - OLD, DIM])
    for start, names in [(0, []), (1, ["assign"])]:
        step = tf.assign(table, tf.concat([table[start : start + OLD], new], 0))
        step = getattr(step, "op", step)
        assert bool(moved_rows(table, step)) == bool(names)
        assert len(names_of(table, step)) == len(names)


# Findings, errors.


def trap():
    table = tf.get_variable("table", initializer=counting_rows(SIZE))
    pairs = tf.train.AdamOptimizer().compute_gradients(looked_up(table, [1, SIZE - 1]))
    pairs = freeze_rows(pairs, {table: FROZEN})
    train_op = tf.train.AdamOptimizer().apply_gradients(pairs)
    return table, train_op


def test_finding_tells_the_line_and_all_that_helps(graph):
    table, train_op = trap()
    [finding] = audit([train_op], {table: FROZEN})
    source, first_line = inspect.getsourcelines(trap)
    number = first_line + next(i for i, line in enumerate(source) if "train_op =" in line)
    assert os.path.samefile(finding.line.rpartition(":")[0], __file__)
    assert finding.line.endswith(f":{number}")
    assert (finding.table, finding.name) == ("table", "optimizer-moves-when-warm")
    assert graph.get_operation_by_name(finding.op).type == finding.op_type
    for part in finding:
        assert part in str(finding)
    assert json.loads(json.dumps(finding._asdict()))["remedy"] == finding.remedy
    assert report([finding]).startswith("1 finding")
    assert str(finding) in report([finding])
    assert report([]).startswith("clean")


def test_strict_raises_what_it_finds_and_nothing_else(graph):
    table, train_op = trap()
    with pytest.raises(ValueError, match="1 finding.*\n.*optimizer-moves-when-warm"):
        audit(train_op, {table: FROZEN}, strict=True)
    assert audit(table, {table: FROZEN}, strict=True) == []


def test_findings_of_several_tables_and_fetches_come_in_order(graph):
    fetches, frozen = {}, {}
    for name in ("second", "first"):
        with tf.variable_scope(name):
            table, fetches[name] = trap()
        frozen[table] = FROZEN
    assert [each.table for each in audit(fetches, frozen)] == ["first/table", "second/table"]
    assert [each.table for each in audit(fetches["first"], frozen)] == ["first/table"]


def test_what_cannot_be_audited_is_refused(graph):
    table, train_op = trap()
    with pytest.raises(TypeError, match="expected a variable"):
        audit(train_op, {table + 0: FROZEN})
    with pytest.raises(TypeError, match="expected a variable"):
        audit(train_op, {table + 0: [0, 1]})
    with pytest.raises(TypeError, match="rows of variable 'table'"):
        audit(train_op, {table: "all"})
    with pytest.raises(ValueError, match="rows of variable 'table'"):
        audit(train_op, {table: [0, SIZE]})
    with pytest.raises(
        KeyError, match="'tible', which matches no variable; the trainable ones are: table"
    ):
        audit(train_op, {"tible": [0, 1]})
    with pytest.raises(ValueError, match="has 12 rows on axis 0"):
        audit(train_op, {table: Rows.range(0, 3, size=5)})
    with pytest.raises(TypeError, match="`fetches` must be operations"):
        audit([train_op, 3], {table: FROZEN})
    with pytest.raises(KeyError, match="`fetches` names .*train.*, which is no operation"):
        audit("train", {table: FROZEN})
    with tf.Graph().as_default():
        other = tf.constant(1.0)
    with pytest.raises(ValueError, match="another graph"):
        audit(other, {table: FROZEN})


# Saved graphs.


@pytest.fixture
def metagraph(tmp_path, variables):
    """The path of a saved graph of the trap."""
    _, train_op = trap()
    tf.add_to_collection(tf.GraphKeys.TRAIN_OP, train_op)
    path = str(tmp_path / "model.meta")
    tf.train.Saver()
    tf.train.export_meta_graph(path)
    return path


@pytest.mark.parametrize("rows", [FROZEN, range(OLD), FROZEN.ids()])
def test_saved_graph_is_audited(metagraph, rows):
    [finding] = audit_metagraph(metagraph, {"tab*": rows})
    assert (finding.name, finding.line) == ("optimizer-moves-when-warm", None)
    with pytest.raises(ValueError, match="1 finding"):
        audit_metagraph(metagraph, {"table": rows}, strict=True)


def test_fetches_of_a_saved_graph(metagraph):
    assert audit_metagraph(metagraph, {"table": FROZEN}, fetches=["table"]) == []
    [finding] = audit_metagraph(metagraph, {"table": FROZEN}, fetches=["Adam"])
    assert finding.name == "optimizer-moves-when-warm"
    with pytest.raises(KeyError, match="no_such_op"):
        audit_metagraph(metagraph, {"table": FROZEN}, fetches=["no_such_op"])


def test_saved_graph_without_a_training_operation_is_audited_whole(tmp_path, variables):
    trap()
    tf.train.Saver()
    path = str(tmp_path / "model.meta")
    tf.train.export_meta_graph(path)
    [finding] = audit_metagraph(path, {"table": FROZEN})
    assert finding.name == "optimizer-moves-when-warm"


def test_wrapped_optimizer_is_clean_in_a_saved_graph(tmp_path, variables):
    table = tf.get_variable(
        "table", [SIZE, DIM], partitioner=tf.fixed_size_partitioner(3), dtype=tf.float32
    )
    ids = tf.placeholder(tf.int32, [None])
    vectors = tf.nn.embedding_lookup(table, ids, partition_strategy="div")
    optimizer = TrainableRowsOptimizer(
        tf.train.AdamOptimizer(), {table: ~FROZEN}, partition_strategy="div"
    )
    optimizer.minimize(tf.reduce_sum(vectors))
    path = str(tmp_path / "model.meta")
    tf.train.export_meta_graph(path)
    assert audit_metagraph(path, {"table": range(OLD)}, partition_strategy="div") == []


@pytest.mark.parametrize("strategy, first", [("mod", 10), ("div", 46)])
def test_eleven_partitions_are_told_apart(tmp_path, graph, strategy, first):
    table = tf.get_variable(
        "big", [50, DIM], use_resource=True, partitioner=tf.fixed_size_partitioner(11)
    )
    step = tf.scatter_update(list(table)[10], [0], tf.zeros([1, DIM]))
    tf.add_to_collection(tf.GraphKeys.TRAIN_OP, getattr(step, "op", step))
    path = str(tmp_path / "graph.meta")
    tf.train.export_meta_graph(path)
    others = [each for each in range(50) if each != first]
    assert audit_metagraph(path, {"big": [first]}, partition_strategy=strategy)
    assert audit_metagraph(path, {"big": others}, partition_strategy=strategy) == []


def test_name_that_matches_no_variable_is_an_error_that_lists_them(metagraph):
    with pytest.raises(
        KeyError, match="'items', which matches no variable; the trainable ones are: table"
    ):
        audit_metagraph(metagraph, {"items": FROZEN})


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x0a\xff\xff\xff", b"\x00" * 99])
def test_file_that_holds_no_graph_is_named(tmp_path, content):
    path = tmp_path / "model.meta"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.meta' holds no graph that can be read"):
        audit_metagraph(str(path), {"table": FROZEN})
    with pytest.raises(FileNotFoundError, match="no file .*nothing.meta"):
        audit_metagraph(str(tmp_path / "nothing.meta"), {"table": FROZEN})


def test_every_finding_is_documented():
    page = Path(__file__).parent.parent / "docs" / "audit.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in {**KINDS, **NOTES} if f"`{name}`" not in text] == []
