"""Every planted fault is found, named and placed; what is no fault raises nothing."""

import os
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.tables import DTYPES, bits, counting_rows, save_checkpoint, special_rows
from tf1_embed import FrozenRowsChanged, FrozenRowsChecker, FrozenRowsHook, Rows
from tf1_embed import rows as chunks
from tf1_embed.certificates import read_certificates

DOCS = Path(__file__).resolve().parent.parent / "docs" / "proof.md"

FROZEN = Rows.of([0, 1, 2, 5, 6, 9], 14)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of two rows of two float32."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 16)


class Table:
    """A variable of the default graph, made of `values`, and a way to overwrite it."""

    def __init__(self, values, name="table", partitions=None):
        self.variable = tf.get_variable(
            name,
            values.shape,
            tf.as_dtype(values.dtype),
            partitioner=tf.fixed_size_partitioner(partitions) if partitions else None,
        )
        self._parts = list(self.variable) if partitions else [self.variable]
        self._feeds = [tf.placeholder(each.dtype.base_dtype, each.shape) for each in self._parts]
        self._assign = [tf.assign(*each).op for each in zip(self._parts, self._feeds)]
        self.values = values

    def write(self, session, parts):
        session.run(self._assign, dict(zip(self._feeds, parts)))


def start(session, table, rows=FROZEN, **kwargs):
    """Returns a checker that has taken the bits of a table's values."""
    checker = FrozenRowsChecker({table.variable: rows}, **kwargs)
    session.graph.finalize()
    table.write(session, [table.values])
    checker.start(session)
    return checker


def assert_found(found, ids, count, difference):
    assert found.value.variable == "table"
    assert (found.value.ids, found.value.count) == (ids, count)
    assert found.value.largest_difference == difference


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_bit_of_a_frozen_row_is_found_and_no_bit_of_another(variables, session, dtype):
    table = Table(special_rows(dtype))
    checker = start(session, table)
    for row in range(14):
        for bit in (0, 8 * table.values.dtype.itemsize - 1):
            changed = table.values.copy()
            bits(changed)[row, 1] ^= np.array(1 << bit, bits(changed).dtype)
            table.write(session, [changed])
            if not FROZEN.contains(row):
                checker.check(session)
                continue
            with pytest.raises(FrozenRowsChanged, match=f"1 of 6 frozen rows.* {row}\\.") as found:
                checker.check(session)
            assert (found.value.ids, found.value.count) == ([row], 1)
    table.write(session, [table.values])
    checker.check(session)


def test_how_far_rows_moved_is_told(session):
    table = Table(counting_rows(14))
    checker = start(session, table)
    table.write(session, [table.values + np.float32(0.5)])
    with pytest.raises(FrozenRowsChanged, match="6 of 6 frozen rows of 'table' changed by at") as e:
        checker.check(session)
    assert_found(e, [0, 1, 2, 5, 6, 9], 6, 0.5)
    swapped = table.values.copy()
    swapped[[2, 9]] = swapped[[9, 2]]
    table.write(session, [swapped])
    with pytest.raises(FrozenRowsChanged) as found:
        checker.check(session)
    assert_found(found, [2, 9], 2, 7.0)


def test_bits_that_compare_as_equal_are_found_and_told_apart(session):
    table = Table(counting_rows(14))
    table.values[0, 0], table.values[1, 1] = 0, np.nan
    checker = start(session, table)
    changed = table.values.copy()
    bits(changed)[1, 1] ^= 5  # the payload of the NaN
    changed[0, 0] = -0.0
    table.write(session, [changed])
    with pytest.raises(FrozenRowsChanged, match="only in bits that compare as equal") as found:
        checker.check(session)
    assert_found(found, [0, 1], 2, 0.0)
    changed[2, 0] = np.nan
    table.write(session, [changed])
    with pytest.raises(FrozenRowsChanged) as found:
        checker.check(session)
    assert_found(found, [0, 1, 2], 3, np.inf)


def test_only_the_first_ids_are_named(session):
    table = Table(counting_rows(14))
    checker = start(session, table, Rows.range(0, 13, 14))
    table.write(session, [table.values * 2])
    with pytest.raises(FrozenRowsChanged, match="12 of 13 .*: 1, 2, .* 9, 10 and 2 more") as found:
        checker.check(session)
    assert_found(found, list(range(1, 11)), 12, 12.0)


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_partitioned_tables_are_checked_by_the_ids_of_the_whole(variables, session, strategy):
    table = Table(counting_rows(14), partitions=3)
    checker = FrozenRowsChecker({table.variable: FROZEN}, partition_strategy=strategy)
    stops = np.cumsum([5, 5, 4])
    ids = [np.arange(14)[part::3] for part in range(3)]
    if strategy == "div":
        ids = np.split(np.arange(14), stops[:-1])
    parts = [table.values[each] for each in ids]
    table.write(session, parts)
    checker.start(session)
    parts[1][2] += 1
    table.write(session, parts)
    moved = ids[1][2]
    if FROZEN.contains(moved):
        with pytest.raises(FrozenRowsChanged) as found:
            checker.check(session)
        assert_found(found, [moved], 1, 1.0)
    else:
        checker.check(session)
    parts[1][2] -= 1
    parts[0], parts[1] = parts[1], parts[0]
    table.write(session, parts)
    with pytest.raises(FrozenRowsChanged):
        checker.check(session)


def test_several_tables_and_both_kinds_of_grown_tables(session):
    grown = tf1_embed.get_grown_table("grown", 2, old_rows=counting_rows(4))
    split = tf1_embed.get_row_split_table("split", Rows.of([1], 4), old_rows=counting_rows(4))
    checker = FrozenRowsChecker([grown, split])
    session.run(tf.global_variables_initializer())
    checker.start(session)
    for harmless in (
        tf.assign_add(grown.trainable, tf.ones([2, 2])),
        tf.assign_add(split.trainable, tf.ones([1, 2])),
        # Stale in a row-split table: the row is in the other variable.
        tf.scatter_update(split.frozen, [1], tf.ones([1, 2])),
    ):
        session.run(harmless.op)
        checker.check(session)
    session.run(tf.scatter_update(split.frozen, [2], tf.ones([1, 2])).op)
    with pytest.raises(FrozenRowsChanged, match="1 of 3 frozen rows of 'split'"):
        checker.check(session)


def test_a_check_adds_nothing_to_the_graph_and_pulls_no_more_than_a_chunk(session, monkeypatch):
    table = Table(counting_rows(14))
    checker = start(session, table)  # finalizes the graph
    pulled = []
    run = type(session).run

    def record(self, fetches, feed_dict=None, **kwargs):
        pulled.append(run(self, fetches, feed_dict, **kwargs))
        return pulled[-1]

    monkeypatch.setattr(type(session), "run", record)
    checker.check(session)
    assert [each.nbytes for each in pulled] == [16, 16, 16]
    assert checker.seconds > 0


def test_the_bits_lie_in_the_folder_that_was_named_and_vanish(session, tmp_path, monkeypatch):
    folders = []
    temporary_file = tempfile.TemporaryFile

    def record(dir=None):
        folders.append(dir)
        return temporary_file(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", record)
    table = Table(counting_rows(14))
    checker = start(session, table, folder=str(tmp_path))
    checker.check(session)
    assert folders == [str(tmp_path)]
    assert os.listdir(str(tmp_path)) == []


def test_a_check_before_the_start_is_an_error_that_says_so(session):
    checker = FrozenRowsChecker({Table(counting_rows(14)).variable: FROZEN})
    for call in (lambda: checker.check(session), checker.certificates):
        with pytest.raises(ValueError, match=r"call start\(session\) first"):
            call()


@pytest.mark.parametrize("expected", ["checkpoint", "certificate"])
def test_a_start_is_compared_with_what_was_expected(session, tmp_path, expected):
    base = save_checkpoint(tmp_path / "base", {"table": counting_rows(12)})
    table = Table(counting_rows(14))
    if expected == "certificate":
        rows = Rows.of(FROZEN.ids(), 12)
        entry = tf1_embed.certificates.Certificate(
            "table", rows, "float32", (2,), tf1_embed.fingerprint(counting_rows(12), rows), base
        )
        path = tf1_embed.certificates.write_certificates(tmp_path / "other", [entry])
    else:
        path = tmp_path  # whose latest checkpoint is taken
    checker = FrozenRowsChecker({table.variable: FROZEN}, expected=path)
    table.write(session, [table.values])
    checker.start(session)
    (certificate,) = checker.certificates()
    assert certificate.base == base
    assert certificate.digest == tf1_embed.fingerprint(counting_rows(12), Rows.of(FROZEN.ids(), 12))
    tf1_embed.check_frozen_rows(session, {table.variable: FROZEN}, path)

    changed = table.values.copy()
    bits(changed)[[4, 9]] ^= 1
    table.write(session, [changed])
    for call in (
        lambda: checker.start(session),
        lambda: checker.check(session),
        lambda: tf1_embed.check_frozen_rows(session, {table.variable: FROZEN}, path),
    ):
        with pytest.raises(FrozenRowsChanged, match="1 of 6") as found:
            call()
        assert_found(found, [9], 1, float(np.abs(changed - table.values)[9].max()))
    if expected == "certificate":
        os.remove(f"{base}.index")
        with pytest.raises(FrozenRowsChanged, match="which ones differ cannot be told") as found:
            checker.start(session)
        assert_found(found, None, None, None)


def test_a_certificate_takes_the_place_of_the_old_checkpoint(session, tmp_path):
    table = Table(counting_rows(14))
    checker = start(session, table)
    path = tf1_embed.certificates.write_certificates(tmp_path / "model", checker.certificates())
    tf1_embed.check_frozen_rows(session, {table.variable: FROZEN}, path)
    table.write(session, [table.values + 1])
    with pytest.raises(FrozenRowsChanged):
        tf1_embed.check_frozen_rows(session, {table.variable: FROZEN}, path)


def test_a_certificate_of_others_is_refused(graph, tmp_path):
    table = Table(counting_rows(14))
    entry = tf1_embed.certificates.Certificate("table", FROZEN, "float32", (2,), "0" * 64, None)

    def refuse(error, message, **fields):
        path = tf1_embed.certificates.write_certificates(
            tmp_path / "model", [entry._replace(**fields)]
        )
        with pytest.raises(error, match=message):
            FrozenRowsChecker({table.variable: FROZEN}, expected=path)

    refuse(KeyError, "has no certificate of 'table'; it has 'other'", table="other")
    refuse(ValueError, "has dtype 'float16', the variable has 'float32'", dtype="float16")
    refuse(ValueError, r"has row_shape \(3,\), the variable has \(2,\)", row_shape=(3,))
    refuse(ValueError, "a certificate of other rows of 'table'", rows=Rows.range(0, 3, 14))
    with pytest.raises(FileNotFoundError):
        FrozenRowsChecker({table.variable: FROZEN}, expected=str(tmp_path / "no.rows.json"))
    with pytest.raises(FileNotFoundError):
        FrozenRowsChecker({table.variable: FROZEN}, expected=str(tmp_path / "none"))


def test_what_names_no_frozen_rows_is_refused(graph):
    table = Table(counting_rows(14)).variable
    for wrong in (table, [table], "table", None, {}, []):
        with pytest.raises(TypeError, match="`frozen_rows` must be a dict from variable"):
            FrozenRowsChecker(wrong)
    with pytest.raises(ValueError, match="go up to 14, `variable table` has only 14 rows"):
        FrozenRowsChecker({table: Rows.range(0, 15, 15)})
    with pytest.raises(ValueError, match="`expected` must be the path of a certificate or"):
        tf1_embed.check_frozen_rows(None, {table: FROZEN}, None)
    for wrong in ({"every_n_steps": 0}, {"every_n_secs": -1}):
        with pytest.raises(ValueError, match="must be positive, or None"):
            FrozenRowsHook({table: FROZEN}, **wrong)


@pytest.mark.parametrize("partitions", [None, 2])
@pytest.mark.parametrize("key", ["model/entities", "model/ent*"])
def test_tables_may_be_named_and_rows_be_plain_ids(session, key, partitions):
    with tf.variable_scope("model"):
        table = Table(counting_rows(4), "entities", partitions)
    checker = FrozenRowsChecker({key: [0, 2]}, partition_strategy="mod")
    ids = np.argsort(np.arange(4) % 2, kind="stable") if partitions else np.arange(4)
    values = counting_rows(4)
    parts = [values] if partitions is None else np.split(values[ids], 2)
    table.write(session, parts)
    checker.start(session)
    values[[1, 3]] += 1
    table.write(session, [values] if partitions is None else np.split(values[ids], 2))
    checker.check(session)
    values[2] += 1
    table.write(session, [values] if partitions is None else np.split(values[ids], 2))
    with pytest.raises(FrozenRowsChanged) as found:
        checker.check(session)
    assert (found.value.variable, found.value.ids) == ("model/entities", [2])


def test_name_or_axis_that_is_not_there_is_refused(graph):
    Table(counting_rows(4))
    with pytest.raises(KeyError, match="`frozen_rows` has 'tables', .*trainable ones are: table"):
        FrozenRowsChecker({"tables": [0]})
    with pytest.raises(ValueError, match="`axis` of variable 'table' of shape .* cannot be 2"):
        FrozenRowsChecker({"table:2": [0]})
    with pytest.raises(KeyError, match="`axis` has 'tabel', which is none of the variables"):
        FrozenRowsChecker({"table": [0]}, axis={"tabel": 1})
    grown = tf1_embed.get_grown_table("grown", 1, old_rows=counting_rows(2))
    with pytest.raises(ValueError, match="`axis` must be left out for a GrownTable"):
        FrozenRowsChecker(grown, axis=1)


@pytest.mark.parametrize("partitions", [None, 2])
@pytest.mark.parametrize("how", ["an int", "a dict", "the name"])
def test_columns_of_a_projection_are_proved_by_its_axis(graph, session, tmp_path, how, partitions):
    # Square, so that no error of shapes tells rows from columns.
    values = np.arange(36, dtype=np.float32).reshape(6, 6)
    base = save_checkpoint(tmp_path / "base", {"k": values[:, :4].copy()})
    table = Table(values, "k", partitions)
    key, options = table.variable, {}
    if how == "the name":
        key = "k:1"
    else:
        options["axis"] = 1 if how == "an int" else {table.variable: 1}
    if partitions and how == "a dict":
        options["axis"] = {"k": 1}
    checker = FrozenRowsChecker({key: Rows.range(0, 4, size=6)}, expected=base, **options)

    def write():
        table.write(session, np.split(values, 2) if partitions else [values])

    write()
    checker.start(session)
    (certificate,) = checker.certificates()
    assert (certificate.key, certificate.row_shape) == ("k:1", (6,))
    assert certificate.digest == tf1_embed.fingerprint(values[:, :4])
    values[:, 4:] += 1
    write()
    checker.check(session)
    path = tf1_embed.certificates.write_certificates(tmp_path / "proof", [certificate])
    again = {key: Rows.range(0, 4, size=6)}
    tf1_embed.check_frozen_rows(session, again, path, **options)
    values[5, 2] += 0.5
    values[0, 2] += 2
    write()
    for check in (
        lambda: checker.check(session),
        lambda: tf1_embed.check_frozen_rows(session, again, base, **options),
    ):
        with pytest.raises(FrozenRowsChanged, match="1 of 4 frozen entries on axis 1") as found:
            check()
        assert (found.value.ids, found.value.count) == ([2], 1)
        assert found.value.largest_difference == 2


def test_hook_says_what_it_checks(graph):
    table = Table(counting_rows(4)).variable
    hook = FrozenRowsHook({table: range(2), "other": [0]}, every_n_steps=5, every_n_secs=None)
    assert repr(hook) == (
        "<FrozenRowsHook of table: range(0, 2), other: [0], every 5 steps or at the end>"
    )
    grown = tf1_embed.get_grown_table("grown", 1, old_rows=counting_rows(2))
    assert "<FrozenRowsHook of <GrownTable 'grown' of 2 frozen" in repr(FrozenRowsHook(grown))
    assert repr(FrozenRowsHook(None)) == "<FrozenRowsHook of None, every 600 s or at the end>"


class Training:
    """A grown table in a new graph, a step that trains it, and one that spoils old row 3."""

    def __init__(self):
        with tf.Graph().as_default() as self.graph:
            step = tf.train.get_or_create_global_step()
            self.table = tf1_embed.get_grown_table("table", 2, old_rows=counting_rows(6))
            vectors = tf1_embed.embedding_lookup(self.table, [0, 3, 6, 7])
            loss = tf.reduce_sum(vectors**2)
            self.train = tf.train.AdamOptimizer(0.1).minimize(loss, global_step=step)
            with tf.control_dependencies([self.train]):
                self.spoil = tf.scatter_add(self.table.frozen, [3], tf.fill([1, 2], 0.25)).op

    def run(self, hook, steps, **kwargs):
        """Runs the steps; returns the number that were run when it ended."""
        self.done = 0
        with self.graph.as_default(), tf.train.MonitoredTrainingSession(
            hooks=[hook], save_summaries_steps=None, log_step_count_steps=None, **kwargs
        ) as session:
            for step in steps:
                session.run(step)
                self.done += 1


def test_hook_in_a_monitored_session_leaves_a_certificate(tmp_path):
    training = Training()
    hook = FrozenRowsHook(training.table, every_n_steps=2, certificate=tmp_path / "grown")
    training.run(hook, [training.train] * 5, checkpoint_dir=str(tmp_path / "run"))
    certificate = read_certificates(tmp_path / "grown")["table"]
    assert certificate.rows == Rows.range(0, 6, 6)
    assert certificate.digest == tf1_embed.fingerprint(counting_rows(6))
    assert (certificate.dtype, certificate.row_shape, certificate.base) == ("float32", (2,), None)
    # Another run, of the same hook, goes on from what the first one saved.
    expecting = FrozenRowsHook(training.table, expected=str(tmp_path / "grown.rows.json"))
    training.run(expecting, [training.train], checkpoint_dir=str(tmp_path / "run"))


@pytest.mark.parametrize("every_n_steps, noticed_after", [(1, 3), (2, 4), (5, 5), (None, 6)])
def test_hook_notices_at_the_next_check_and_tells_the_step(tmp_path, every_n_steps, noticed_after):
    training = Training()
    hook = FrozenRowsHook(training.table, every_n_steps, certificate=tmp_path / "grown")
    steps = [training.train] * 2 + [training.spoil] + [training.train] * 3
    with pytest.raises(FrozenRowsChanged, match=f"at step {noticed_after}: 3\\.") as found:
        training.run(hook, steps)
    assert training.done == min(noticed_after - 1, 6) or every_n_steps is None
    assert_found(found, [3], 1, 0.25)
    assert found.value.step == noticed_after
    assert os.listdir(str(tmp_path)) == []


def test_hook_checks_by_time_but_spends_little_of_it(monkeypatch):
    training = Training()
    hook = FrozenRowsHook(training.table, every_n_secs=10)
    checks = []
    monkeypatch.setattr(FrozenRowsChecker, "check", lambda *_: checks.append(training.done))
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def steps():
        for _ in range(50):
            now[0] += 1
            if training.done == 24:
                hook._checker.seconds = 0.17  # a hundred times as long: 17
            yield training.train

    training.run(hook, steps())
    assert checks == [9, 19, 36, 50]


def test_hook_notices_rows_that_are_not_the_expected_ones_before_a_step(tmp_path):
    base = save_checkpoint(tmp_path / "base", {"table": counting_rows(6, start=1)})
    training = Training()
    with pytest.raises(FrozenRowsChanged, match="at step 0") as found:
        training.run(FrozenRowsHook(training.table, expected=base), [training.train])
    assert training.done == 0
    assert_found(found, [0, 1, 2, 3, 4, 5], 6, 1.0)


def test_hook_compares_in_a_session_that_was_made_again():
    training = Training()
    hook = FrozenRowsHook(training.table)
    # What MonitoredSession calls, the second time after a parameter server was lost.
    with training.graph.as_default(), tf.Session() as session:
        hook.begin()
        session.run(tf.global_variables_initializer())
        hook.after_create_session(session, None)
        hook.after_create_session(session, None)
        session.run(training.spoil)
        with pytest.raises(FrozenRowsChanged):
            hook.after_create_session(session, None)


def test_hook_works_in_an_ordinary_table_under_the_optimizer(tmp_path):
    with tf.Graph().as_default():
        table = Table(counting_rows(14))
        optimizer = tf1_embed.TrainableRowsOptimizer(
            tf.train.AdamOptimizer(0.1), {table.variable: ~FROZEN}
        )
        train_op = optimizer.minimize(tf.reduce_sum(table.variable**2))
        hook = FrozenRowsHook({table.variable: FROZEN}, every_n_steps=1)
        with tf.train.MonitoredSession(hooks=[hook]) as session:
            for _ in range(3):
                session.run(train_op)


@pytest.mark.skipif(not hasattr(tf, "estimator"), reason="this TensorFlow has no Estimator")
@pytest.mark.parametrize("fault", [False, True])
def test_hook_works_in_an_estimator(tmp_path, fault):
    base = save_checkpoint(tmp_path / "base", {"table": counting_rows(6)})

    def model_fn(features, labels, mode):
        table = tf1_embed.get_grown_table("table", 2, checkpoint=base)
        loss = tf.reduce_sum((tf1_embed.embedding_lookup(table, features) - labels) ** 2)
        step = tf.train.get_global_step()
        train_op = tf.train.AdagradOptimizer(0.1).minimize(loss, step)
        if fault:
            train_op = tf.group(train_op, tf.scatter_add(table.frozen, [2], tf.ones([1, 2])))
        hook = FrozenRowsHook(table, every_n_steps=2, expected=base, certificate=tmp_path / "grown")
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, training_hooks=[hook])

    def input_fn():
        return tf.constant([1, 6, 7]), tf.zeros([3, 2])

    estimator = tf.estimator.Estimator(model_fn, str(tmp_path / "run"))
    if fault:
        with pytest.raises(FrozenRowsChanged, match="at step 2: 2"):
            estimator.train(input_fn, steps=5)
        return
    estimator.train(input_fn, steps=5)
    assert read_certificates(tmp_path / "grown")["table"].base == base


def test_a_bit_that_flipped_in_an_export_is_found(tmp_path):
    exported = counting_rows(14)
    digest = tf1_embed.fingerprint(exported, FROZEN)
    np.save(str(tmp_path / "table.npy"), exported)
    mapped = np.load(str(tmp_path / "table.npy"), mmap_mode="r+")
    assert tf1_embed.fingerprint(mapped, FROZEN) == digest
    mapped.view(np.uint32)[3, 0] ^= 1
    assert tf1_embed.fingerprint(mapped, FROZEN) == digest
    mapped.view(np.uint32)[9, 1] ^= 1
    assert tf1_embed.fingerprint(mapped, FROZEN) != digest


def test_certificate_in_the_docs_can_be_read(tmp_path):
    (shown,) = re.findall(r"```json\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "model.rows.json").write_text(shown)
    assert read_certificates(tmp_path / "model")["entities"].rows == Rows.range(0, 125, 125)


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_partitioned_grown_tables_need_no_strategy(session, strategy):
    table = tf1_embed.get_grown_table(
        "grown",
        3,
        old_rows=counting_rows(11),
        partitioner=tf.fixed_size_partitioner(3),
        partition_strategy=strategy,
    )
    checker = FrozenRowsChecker(table)
    session.run(tf.global_variables_initializer())
    checker.start(session)
    digest = tf1_embed.fingerprint(counting_rows(11))
    assert tf1_embed.fingerprint(table, session=session) == digest
    assert checker.certificates()[0].digest == digest
    session.run(tf.assign_add(list(table.frozen)[1], tf.ones([4, 2])))
    with pytest.raises(FrozenRowsChanged, match="4 of 11 frozen rows of 'grown' changed"):
        checker.check(session)
