"""Tables whose two variables are partitioned: row i holds i, whatever partition it is in."""

import functools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from test_lookup import CONTROL_FLOWS, dense

import tf1_embed
from support.optimizers import OPTIMIZERS
from support.tables import DTYPES, bits, counting_rows, in_partitions, save_checkpoint, special_rows
from tf1_embed import Rows, initializers
from tf1_embed.graph import train_ops
from tf1_embed.graph.variables import partitions_of
from tf1_embed.partitions import Partitions
from tf1_embed.sparse_lookup import safe_embedding_lookup_sparse

# 5 old rows and 3 new ones, each in two partitions of which the first has a row more.
NUM_OLD, NUM_NEW, NUM_ROWS = 5, 3, 8
TWO = tf.fixed_size_partitioner(2)
MIXED = [7, 0, 5, 4, 7, 0]


def make_table(partition_strategy="mod", dim=2, dtype="float32", chosen=None, **kwargs):
    """Returns a table whose row i holds i: grown, or with the `chosen` rows trainable."""
    whole = counting_rows(NUM_ROWS, dim, dtype)
    kwargs.setdefault("partitioner", TWO)
    kwargs["partition_strategy"] = partition_strategy
    if chosen is not None:
        rows = Rows.of(chosen, NUM_ROWS)
        return tf1_embed.get_row_split_table("embedding", rows, old_rows=whole, **kwargs)
    kwargs.setdefault("initializer", whole[NUM_OLD:])
    if "checkpoint" not in kwargs:
        kwargs.setdefault("old_rows", whole[:NUM_OLD])
    return tf1_embed.get_grown_table("embedding", NUM_NEW, **kwargs)


TABLES = {
    "grown": make_table,
    "chosen rows": functools.partial(make_table, chosen=[1, 4, 5, 7]),
}


@pytest.fixture(params=["mod", "div"])
def strategy(request):
    return request.param


@pytest.fixture(params=sorted(TABLES))
def table(request, variables, strategy):
    return TABLES[request.param](strategy)


def start(session):
    session.run(tf.global_variables_initializer())


def gradients(loss, table):
    return tf.gradients(loss, partitions_of(table.trainable))


def dense_of(slices, strategy, num_rows=NUM_NEW, dim=2):
    """Returns [num_rows, dim], the slices of all partitions of the trainable rows added up."""
    partitions = Partitions.even(num_rows, len(slices), strategy)
    parts = [dense(each, size, dim) for each, size in zip(slices, partitions.sizes)]
    return np.concatenate(parts)[partitions.places(np.arange(num_rows))]


def named(slices, strategy, num_rows=NUM_NEW):
    """Returns the positions that the slices name, sorted."""
    partitions = Partitions.even(num_rows, len(slices), strategy)
    return sorted(
        partitions.ids(0, num_rows)[first + row]
        for (first, _), each in zip(partitions.slices, slices)
        for row in each.indices
    )


# What a table is.


def test_both_variables_have_partitions(variables, session, strategy):
    table = make_table(strategy)
    assert [each.op.name for each in table.frozen] == ["embedding/part_0", "embedding/part_1"]
    assert [each.shape.as_list() for each in table.frozen] == [[3, 2], [2, 2]]
    assert [each.shape.as_list() for each in table.trainable] == [[2, 2], [1, 2]]
    assert tf.trainable_variables() == list(table.trainable)
    assert (table.name, table.shape, table.dtype) == ("embedding", (8, 2), tf.float32)
    assert table.partition_strategy == strategy
    start(session)
    whole = counting_rows(NUM_ROWS)
    frozen, trainable = session.run([list(table.frozen), list(table.trainable)])
    np.testing.assert_array_equal(
        np.concatenate(frozen), in_partitions(whole[:NUM_OLD], 2, strategy)
    )
    np.testing.assert_array_equal(
        np.concatenate(trainable), in_partitions(whole[NUM_OLD:], 2, strategy)
    )


def test_read_returns_rows_in_the_order_of_their_ids(table, session):
    start(session)
    np.testing.assert_array_equal(session.run(table.read()), counting_rows(NUM_ROWS))


@pytest.mark.parametrize("argument, expected", [(None, 2), (tf.fixed_size_partitioner(3), 3)])
def test_partitioner_is_the_arguments_else_the_scopes(variables, session, argument, expected):
    with tf.variable_scope("model", partitioner=TWO):
        table = make_table(partitioner=argument)
    assert len(list(table.frozen)) == len(list(table.trainable)) == expected
    start(session)
    np.testing.assert_array_equal(session.run(table.read()), counting_rows(NUM_ROWS))


def test_partitioners_that_look_at_the_shape_are_asked_for_each_variable(variables):
    table = make_table(partitioner=tf.variable_axis_size_partitioner(16))
    assert [len(list(each)) for each in (table.frozen, table.trainable)] == [3, 2]


def test_one_partition_is_a_partition_too(variables, session):
    table = make_table(partitioner=tf.fixed_size_partitioner(1))
    assert [each.op.name for each in table.frozen] == ["embedding/part_0"]
    assert table.partition_strategy is None
    vectors = tf1_embed.embedding_lookup(table, MIXED, partition_strategy="div")
    start(session)
    np.testing.assert_array_equal(session.run(vectors), counting_rows(NUM_ROWS)[MIXED])


def test_no_partition_is_empty(variables, session, strategy):
    table = make_table(strategy, partitioner=tf.fixed_size_partitioner(4))
    assert [each.shape.as_list()[0] for each in table.frozen] == [2, 1, 1, 1]
    assert [each.shape.as_list()[0] for each in table.trainable] == [1, 1, 1]
    vectors = tf1_embed.embedding_lookup(table, MIXED)
    start(session)
    np.testing.assert_array_equal(session.run(vectors), counting_rows(NUM_ROWS)[MIXED])


def test_reuse_shares_the_partitions(variables):
    with tf.variable_scope("model"):
        first = make_table()
    with tf.variable_scope("model", reuse=True):
        second = make_table()
    assert list(second.frozen) == list(first.frozen)
    assert list(second.trainable) == list(first.trainable)


def test_name_that_exists_is_refused(variables):
    make_table()
    with pytest.raises(ValueError, match="'embedding' exists already .*reuse=True"):
        make_table()


def test_partitioner_of_columns_is_refused(variables):
    with pytest.raises(ValueError, match=r"`partitioner` must cut rows only.*\[1, 2\]"):
        make_table(partitioner=tf.fixed_size_partitioner(2, axis=1))


@pytest.mark.parametrize("make", [make_table, TABLES["chosen rows"]])
def test_strategies_are_two(variables, make):
    with pytest.raises(ValueError, match=r"`partition_strategy` must be one of \('mod', 'div'\)"):
        make("Div")


def test_regularizer_of_the_scope_is_for_the_new_rows_alone(variables, session):
    with tf.variable_scope("model", regularizer=tf.reduce_sum):
        make_table()
    losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    start(session)
    assert sum(session.run(losses)) == 2 * (5 + 6 + 7)


# Where the old rows come from.


@pytest.mark.parametrize("kind", ["array", "npy", "variable", "whole", "partitions"])
def test_old_rows_keep_their_bits_from_every_source(tmp_path, variables, session, strategy, kind):
    # TensorFlow reads no slices of float16.
    rows = special_rows("float32" if kind == "partitions" else "float16")
    if kind == "array":
        source = {"old_rows": rows}
    elif kind == "npy":
        np.save(str(tmp_path / "rows.npy"), rows)
        source = {"old_rows": str(tmp_path / "rows.npy")}
    elif kind == "variable":
        source = {"old_rows": tf.get_variable("old", initializer=rows)}
    elif kind == "whole":
        source = {"checkpoint": save_checkpoint(tmp_path / "old", {"embedding": rows})}
    else:
        stored = {"embedding": in_partitions(rows, 4, strategy)}
        source = {"checkpoint": save_checkpoint(tmp_path / "old", stored, 4)}
    copies = initializers.copy_of([13, 0, 6])
    partitioner = tf.fixed_size_partitioner(4)
    table = make_table(strategy, initializer=copies, partitioner=partitioner, **source)
    vectors = tf1_embed.embedding_lookup(table, np.arange(17))
    start(session)
    got, frozen = session.run([vectors, list(table.frozen)])
    expected = np.concatenate([rows, rows[[13, 0, 6]]])
    assert bits(got).tobytes() == bits(expected).tobytes()
    in_order = in_partitions(rows, 4, strategy)
    assert bits(np.concatenate(frozen)).tobytes() == bits(in_order).tobytes()


def test_each_partition_reads_its_own_slice(tmp_path, variables):
    rows = {"embedding": in_partitions(counting_rows(NUM_OLD), 2, "mod")}
    make_table(checkpoint=save_checkpoint(tmp_path / "old", rows, 2))
    reads = [op for op in tf.get_default_graph().get_operations() if op.type == "RestoreV2"]
    slices = [tf.make_ndarray(op.inputs[2].op.get_attr("value")).tolist() for op in reads]
    assert slices == [[b"5 2 0,3:-"], [b"5 2 3,2:-"]]


@pytest.mark.parametrize("kind", ["variable", "whole"])
def test_what_is_stored_whole_is_read_once(tmp_path, variables, strategy, kind):
    rows = counting_rows(NUM_OLD)
    if kind == "whole":
        make_table(strategy, checkpoint=save_checkpoint(tmp_path / "old", {"embedding": rows}))
    else:
        make_table(strategy, old_rows=tf.get_variable("old", initializer=rows))
    types = [op.type for op in tf.get_default_graph().get_operations()]
    assert types.count("RestoreV2") == (kind == "whole")


def test_nothing_of_the_tables_size_enters_the_graph(variables, strategy):
    make_table(strategy, old_rows=counting_rows(50000), partitioner=tf.fixed_size_partitioner(4))
    assert len(tf.get_default_graph().as_graph_def().SerializeToString()) < 100000


@pytest.mark.parametrize("count", [None, 3])
def test_other_partitions_than_the_checkpoints_are_read_by_div(tmp_path, variables, session, count):
    rows = {"embedding": counting_rows(NUM_OLD)}
    table = make_table(
        "div",
        checkpoint=save_checkpoint(tmp_path / "old", rows, 2),
        partitioner=count and tf.fixed_size_partitioner(count),
    )
    start(session)
    np.testing.assert_array_equal(session.run(table.read()), counting_rows(NUM_ROWS))


@pytest.mark.parametrize("count", [None, 3])
def test_other_partitions_than_the_checkpoints_are_refused_by_mod(tmp_path, variables, count):
    rows = {"embedding": in_partitions(counting_rows(NUM_OLD), 2, "mod")}
    with pytest.raises(
        ValueError, match=r"in 2 partitions.*fixed_size_partitioner\(2\).*partition_strategy=\"div"
    ):
        make_table(
            checkpoint=save_checkpoint(tmp_path / "old", rows, 2),
            partitioner=count and tf.fixed_size_partitioner(count),
        )
    assert tf.global_variables() == []


def test_partitions_of_columns_are_read_as_one(tmp_path, variables, session, strategy):
    with tf.Graph().as_default(), tf.Session() as writing:
        columns = tf.fixed_size_partitioner(2, axis=1)
        tf.get_variable("embedding", [NUM_OLD, 2], partitioner=columns)
        writing.run(tf.global_variables_initializer())
        expected = np.concatenate(writing.run(tf.global_variables()), axis=1)
        prefix = tf.train.Saver().save(writing, str(tmp_path / "old"))
    table = make_table(strategy, checkpoint=prefix)
    start(session)
    np.testing.assert_array_equal(session.run(table.read())[:NUM_OLD], expected)


@pytest.mark.parametrize(
    "initializer",
    [
        initializers.glorot_normal(),
        initializers.mean(),
        initializers.mean_and_covariance(),
        initializers.copy_of([4, 0, 3]),
        initializers.constant([1, 2]),
    ],
    ids=repr,
)
def test_new_rows_are_those_of_a_table_without_partitions(session, strategy, initializer):
    partitioned = make_table(strategy, initializer=initializer)
    start(session)
    got = session.run(partitioned.read())
    # Random rows depend on the table's name, so that it is made in a graph of its own.
    with tf.Graph().as_default(), tf.Session() as session:
        whole = make_table(partitioner=None, initializer=initializer)
        start(session)
        np.testing.assert_allclose(got, session.run(whole.read()), rtol=1e-6)


@pytest.mark.parametrize("initializer", [tf.ones_initializer, tf.constant_initializer(1.0)])
def test_initializers_of_tensorflow_are_called_for_each_partition(variables, session, initializer):
    table = make_table(initializer=initializer)
    start(session)
    np.testing.assert_array_equal(session.run(table.read())[NUM_OLD:], np.ones([NUM_NEW, 2]))


def test_new_rows_may_be_a_tensor(variables, session, strategy):
    table = make_table(strategy, initializer=tf.constant(counting_rows(NUM_NEW, start=5)))
    start(session)
    np.testing.assert_array_equal(session.run(table.read()), counting_rows(NUM_ROWS))


# Lookups.


def test_vectors_are_the_rows_of_the_ids(table, session):
    lookup = functools.partial(tf1_embed.embedding_lookup, table)
    ids = tf.placeholder(tf.int32, None)
    wide_ids = tf.cast(ids, tf.int64)
    vectors = [
        lookup(each, strategy=s) for each in (ids, wide_ids) for s in ("partition", "concat")
    ]
    start(session)
    for fed in (MIXED, [4, 0], [7, 6], [], [[0], [5]], 7, list(range(NUM_ROWS))):
        for got in session.run(vectors, {ids: fed}):
            np.testing.assert_array_equal(got, counting_rows(NUM_ROWS)[np.array(fed, int)])


@pytest.mark.parametrize("lookup", ["partition", "concat"])
def test_ids_may_be_constants(variables, session, strategy, lookup):
    # Which TensorFlow folds; 1.15 takes a stitch of nothing for one row.
    table = make_table(strategy)
    all_ids = [tf.constant(each, tf.int32) for each in (MIXED, [4, 0], [7, 6], [5], [], [[]])]
    all_vectors = [tf1_embed.embedding_lookup(table, each, strategy=lookup) for each in all_ids]
    start(session)
    for ids, vectors in zip(all_ids, all_vectors):
        assert vectors.shape.as_list() == ids.shape.as_list() + [2]
        got, fed = session.run([vectors, ids])
        np.testing.assert_array_equal(got, counting_rows(NUM_ROWS)[fed])


@pytest.mark.parametrize("lookup", ["partition", "cond", "concat"])
def test_gradient_names_the_new_rows_looked_up(variables, session, strategy, lookup):
    table = make_table(strategy)
    ids, weights = tf.placeholder(tf.int64, [None]), tf.placeholder(tf.float32, [None, 2])
    vectors = tf1_embed.embedding_lookup(table, ids, strategy=lookup)
    slices = gradients(tf.reduce_sum(vectors * weights), table)
    start(session)
    for fed in ([7, 5, 7], [4, 0, 0], []) + (() if lookup == "cond" else (MIXED,)):
        values = np.arange(1, 2 * len(fed) + 1, dtype=np.float32).reshape(-1, 2)
        got = session.run([vectors] + slices, {ids: fed, weights: values})
        np.testing.assert_array_equal(got[0], counting_rows(NUM_ROWS)[np.array(fed, int)])
        expected = np.zeros([NUM_ROWS, 2])
        np.add.at(expected, np.array(fed, int), values)
        new = sorted(each - NUM_OLD for each in fed if each >= NUM_OLD)
        assert named(got[1:], strategy) == new
        np.testing.assert_array_equal(dense_of(got[1:], strategy), expected[NUM_OLD:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 3])
def test_tables_of_any_dtype_and_rank_are_looked_up(variables, session, strategy, dtype, dim):
    table = make_table(strategy, dim, dtype)
    vectors = tf1_embed.embedding_lookup(table, [MIXED])
    slices = gradients(tf.reduce_sum(tf.cast(vectors, tf.float64)), table)
    start(session)
    got = session.run([vectors, table.read()] + slices)
    np.testing.assert_array_equal(bits(got[0][0]), bits(counting_rows(8, dim, dtype)[MIXED]))
    np.testing.assert_array_equal(bits(got[1]), bits(counting_rows(8, dim, dtype)))
    assert named(got[2:], strategy) == [0, 2, 2]


@pytest.mark.parametrize("offending", [-1, 8])
def test_id_that_is_not_in_the_table_is_named(table, session, offending):
    vectors = tf1_embed.embedding_lookup(table, tf.constant([7, offending]))
    start(session)
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"\[0, 8\).*got.*{offending}"):
        session.run(vectors)


def test_lookup_by_another_strategy_than_the_tables_is_refused(variables):
    sp_ids = tf.SparseTensor([[0, 0]], [7], [1, 1])
    table = make_table("mod")
    for lookup in (
        lambda: tf1_embed.embedding_lookup(table, [7], partition_strategy="div"),
        lambda: tf1_embed.embedding_lookup_sparse(table, sp_ids, None, "div"),
        # As in TensorFlow, "div" is the default of this one.
        lambda: safe_embedding_lookup_sparse(table, sp_ids),
    ):
        with pytest.raises(ValueError, match='`partition_strategy` is "div", .* by "mod". Give'):
            lookup()


def test_matmul_is_that_of_the_whole_table(table, session):
    x_value = np.random.RandomState(0).randn(4, 2).astype(np.float32)
    x = tf.constant(x_value)
    logits = tf1_embed.matmul(x, table)
    (x_gradient,) = tf.gradients(tf.reduce_sum(logits * np.arange(8, dtype=np.float32)), [x])
    start(session)
    got, x_gradient = session.run([logits, x_gradient])
    whole = counting_rows(NUM_ROWS)
    np.testing.assert_allclose(got, x_value.dot(whole.T), rtol=1e-5)
    np.testing.assert_allclose(x_gradient, np.tile(np.arange(8).dot(whole), [4, 1]), rtol=1e-5)


@pytest.mark.parametrize(
    "case, lookup",
    [
        ("loop", "partition"),
        ("loop", "concat"),
        ("branch taken", "partition"),
        ("branch not taken", "partition"),
        ("branch in loop", "partition"),
    ],
)
def test_gradient_names_exactly_the_rows_looked_up_in_loops_and_branches(
    variables, control_flow, session, case, lookup
):
    build, of_ids = CONTROL_FLOWS[case]
    table = make_table()
    loss = build(functools.partial(tf1_embed.embedding_lookup, table, strategy=lookup))
    slices = gradients(loss, table)
    start(session)
    got = session.run([loss] + slices)
    assert got[0] == sum(2 * each * weight for each, weight in of_ids.items())
    expected = np.zeros([NUM_ROWS, 2])
    for each, weight in of_ids.items():
        expected[each] = weight
    new = {each - NUM_OLD for each in of_ids if each >= NUM_OLD}
    assert set(named(got[1:], "mod")) == new
    np.testing.assert_allclose(dense_of(got[1:], "mod"), expected[NUM_OLD:])


@pytest.mark.parametrize("is_new", [True, False])
def test_cond_takes_the_branch_it_is_told(variables, control_flow, session, strategy, is_new):
    ids = [7, 5, 7] if is_new else [4, 0]
    table = make_table(strategy)
    vectors = tf1_embed.embedding_lookup(table, ids, "cond", is_new=tf.constant(is_new))
    slices = gradients(tf.reduce_sum(vectors), table)
    start(session)
    got = session.run([vectors] + slices)
    np.testing.assert_array_equal(got[0], counting_rows(NUM_ROWS)[ids])
    assert named(got[1:], strategy) == ([0, 2, 2] if is_new else [])


# Sparse ids.

SPARSE = {
    "each row has ids": ([[0, 0], [0, 1], [1, 0], [2, 0]], [7, 0, 5, 4], [3, 2]),
    "an id twice": ([[0, 0], [0, 1], [1, 0], [1, 2]], [7, 7, 2, 7], [2, 3]),
    "empty rows": ([[1, 0], [1, 1], [4, 0]], [6, 1, 6], [6, 2]),
    "invalid ids": ([[0, 0], [0, 1], [1, 0], [2, 0]], [-1, 7, -3, 5], [3, 2]),
    "no ids": (np.zeros([0, 2], np.int64), [], [2, 2]),
    "three axes": ([[0, 0, 0], [0, 1, 1], [1, 1, 0]], [7, 5, 2], [2, 2, 2]),
}


def sparse(case, dtype=tf.int64, weighted=False):
    """Returns the sparse ids of a case, and weights of which one is not positive, or None."""
    indices, values, shape = SPARSE[case]
    sp_ids = tf.SparseTensor(tf.constant(indices, tf.int64), tf.constant(values, dtype), shape)
    if not weighted:
        return sp_ids, None
    weights = tf.constant([0.5, 0, 3, 1][: len(values)], tf.float32)
    return sp_ids, tf.SparseTensor(sp_ids.indices, weights, sp_ids.dense_shape)


@pytest.mark.parametrize("case", ["each row has ids", "an id twice"])
def test_sparse_lookup_is_that_of_tensorflow_on_the_whole_table(session, strategy, case):
    table, whole = make_table(strategy), tf.constant(counting_rows(NUM_ROWS))
    sp_ids, weights = sparse(case, weighted=True)
    pairs = []
    for combiner in ("sum", "mean", "sqrtn"):
        got = tf1_embed.embedding_lookup_sparse(table, sp_ids, weights, combiner=combiner)
        expected = tf.nn.embedding_lookup_sparse(whole, sp_ids, weights, combiner=combiner)
        pairs.append((got, expected))
    start(session)
    for got, expected in session.run(pairs):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "case, combiner, default_id, weighted, partitioner",
    [
        ("each row has ids", "sum", None, True, TWO),
        ("an id twice", "mean", 6, True, TWO),
        ("empty rows", "sqrtn", None, True, TWO),
        ("empty rows", "mean", 6, False, None),
        ("invalid ids", "mean", 0, False, TWO),
        ("invalid ids", "sum", None, True, None),
        ("no ids", "sum", None, False, TWO),
        ("no ids", "mean", 6, True, TWO),
        ("three axes", "sqrtn", 6, False, TWO),
        ("three axes", "mean", None, True, None),
    ],
)
def test_safe_sparse_lookup_is_that_of_tensorflow_on_the_whole_table(
    session, case, combiner, default_id, weighted, partitioner
):
    plain = tf.get_variable("plain", initializer=counting_rows(NUM_ROWS))
    table = make_table("div", partitioner=partitioner)
    sp_ids, weights = sparse(case, tf.int32 if weighted else tf.int64, weighted)
    arguments = {"combiner": combiner, "default_id": default_id, "max_norm": 9.0}
    got = safe_embedding_lookup_sparse(table, sp_ids, weights, **arguments)
    expected = tf.nn.safe_embedding_lookup_sparse(plain, sp_ids, weights, **arguments)
    assert got.shape.as_list() == SPARSE[case][2][:-1] + [2]
    slices = gradients(tf.reduce_sum(got**2), table)
    (of_plain,) = tf.gradients(tf.reduce_sum(expected**2), [plain])
    start(session)
    got, expected, slices, of_plain = session.run([got, expected, slices, of_plain])
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    of_new_rows = dense(of_plain, NUM_ROWS)[NUM_OLD:]
    np.testing.assert_allclose(dense_of(slices, "div"), of_new_rows, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "default_id, expected", [(None, [2]), (6, [1, 2]), (0, [2])], ids=["none", "new", "old"]
)
def test_gradient_of_a_safe_sparse_lookup_names_the_rows_that_count(session, default_id, expected):
    table = make_table("div")
    # Row 1 has no ids, row 2 none that is valid; id 5 has no weight.
    sp_ids = tf.SparseTensor([[0, 0], [0, 1], [2, 0]], [7, 5, -1], [3, 2])
    weights = tf.SparseTensor(sp_ids.indices, [1.0, 0.0, 1.0], sp_ids.dense_shape)
    vectors = safe_embedding_lookup_sparse(table, sp_ids, weights, default_id=default_id)
    slices = gradients(tf.reduce_sum(vectors), table)
    start(session)
    assert named(session.run(slices), "div") == expected


def test_default_id_has_no_gradient_where_no_row_is_empty(session):
    table = make_table("mod")
    sp_ids = tf.SparseTensor([[0, 0]], [7], [1, 1])
    vectors = safe_embedding_lookup_sparse(
        table, sp_ids, default_id=6, partition_strategy="mod", name="words"
    )
    assert vectors.op.name == "words"
    slices = gradients(tf.reduce_sum(vectors), table)
    start(session)
    assert named(session.run(slices), "mod") == [2]


def test_safe_sparse_lookup_of_an_ordinary_variable_is_tensorflows(variables, session):
    plain = tf.get_variable("plain", initializer=counting_rows(NUM_ROWS))
    sp_ids, _ = sparse("empty rows")
    got = safe_embedding_lookup_sparse(plain, sp_ids, None, "sum", 3, "words", "mod", 2.0)
    expected = tf.nn.safe_embedding_lookup_sparse(plain, sp_ids, None, "sum", 3, None, "mod", 2.0)
    start(session)
    np.testing.assert_array_equal(*session.run([got, expected]))


def test_safe_sparse_lookup_refuses_what_the_sparse_one_refuses(variables, session):
    table = make_table("div")
    with pytest.raises(TypeError, match="`sp_ids` must be a tf.SparseTensor, got list"):
        safe_embedding_lookup_sparse(table, [1, 2])
    with pytest.raises(ValueError, match="combiner"):
        safe_embedding_lookup_sparse(table, sparse("an id twice")[0], combiner="max")
    beyond = safe_embedding_lookup_sparse(table, tf.SparseTensor([[0, 0]], [8], [1, 1]))
    start(session)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 8\).*got.*8"):
        session.run(beyond)


# Training, saving, merging.


@pytest.mark.parametrize("optimizer", ["adam", "ftrl", "momentum"])
def test_partitions_train_as_one_variable_does(variables, session, optimizer):
    tables = []
    for name in ("two", "one"):
        with tf.variable_scope(name):
            tables.append(make_table(partitioner=TWO if name == "two" else None))
    losses = [tf.reduce_sum(tf1_embed.embedding_lookup(each, MIXED) ** 2) for each in tables]
    steps = [OPTIMIZERS[optimizer]().minimize(loss) for loss in losses]
    for table, step in zip(tables, steps):
        table.check_train_op(step)
    start(session)
    frozen = session.run([each.value() for each in tables[0].frozen])
    for _ in range(3):
        session.run(steps)
    got, expected = session.run([each.read() for each in tables])
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    moved = (got[NUM_OLD:] != counting_rows(NUM_ROWS)[NUM_OLD:]).all(axis=1)
    assert moved.tolist() == [True, False, True]
    for each, before in zip(session.run([each.value() for each in tables[0].frozen]), frozen):
        assert each.tobytes() == before.tobytes()


def test_train_op_that_leaves_the_new_rows_out_is_found(variables):
    table = make_table()
    bias = tf.get_variable("bias", [2])
    loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, MIXED) + bias)
    step = tf.train.GradientDescentOptimizer(0.1).minimize(loss, var_list=[bias])
    with pytest.raises(ValueError, match="never changes 'embedding_new_rows/part_0'"):
        table.check_train_op(step)


def legacy_model(num_rows, strategy):
    """The code of a model that knows nothing of tf1_embed."""
    with tf.variable_scope("model", partitioner=TWO):
        embedding = tf.get_variable("embedding", [num_rows, 2])
    return tf.nn.embedding_lookup(embedding, tf.range(num_rows), strategy)


def test_a_legacy_model_grows_trains_merges_and_opens_again(tmp_path, strategy):
    with tf.Graph().as_default(), tf.Session() as session:
        vectors = legacy_model(NUM_OLD, strategy)
        start(session)
        old = session.run(vectors)
        base = tf.train.Saver().save(session, str(tmp_path / "base"))
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("model", partitioner=TWO):
            table = tf1_embed.get_grown_table(
                "embedding", NUM_NEW, checkpoint=base, partition_strategy=strategy
            )
        loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, MIXED) ** 2)
        step = tf.train.AdamOptimizer(0.1).minimize(loss)
        start(session)
        for _ in range(3):
            session.run(step)
        grown = tf.train.Saver().save(session, str(tmp_path / "grown"))
        expected = session.run(table.read())
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("model", partitioner=TWO):
            table = tf1_embed.get_grown_table(
                "embedding", NUM_NEW, checkpoint=base, partition_strategy=strategy
            )
        tf.train.Saver().restore(session, grown)
        table.check_restored(session)
        assert session.run(table.read()).tobytes() == expected.tobytes()
    assert expected[:NUM_OLD].tobytes() == old.tobytes()
    tf1_embed.merge_checkpoint(
        grown, ["model/embedding"], tmp_path / "merged", partition_strategy=strategy
    )
    with tf.Graph().as_default(), tf.Session() as session:
        vectors = legacy_model(NUM_ROWS, strategy)
        tf.train.Saver().restore(session, str(tmp_path / "merged"))
        assert session.run(vectors).tobytes() == expected.tobytes()


# On parameter servers.


@pytest.mark.parametrize("partitioner", [TWO, tf.fixed_size_partitioner(1), None])
def test_only_rows_of_the_batch_leave_the_server_of_a_partition(graph, variables, partitioner):
    with tf.device(tf.train.replica_device_setter(ps_tasks=2, worker_device="/job:worker")):
        table = make_table(partitioner=partitioner)
        ids = tf.placeholder(tf.int64, [None])
        loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, ids) ** 2)
        sp_ids = tf.sparse_placeholder(tf.int64, [None, None])
        loss += tf.reduce_sum(safe_embedding_lookup_sparse(table, sp_ids, partition_strategy="mod"))
        step = tf.train.AdamOptimizer(0.1).minimize(loss)
    operations = train_ops.operations_under(step)
    for variable in partitions_of(table.frozen):
        readers = readers_of(variable, operations)
        assert {each.type for each in readers} & {"GatherV2", "ResourceGather"}
        for each in readers:
            assert each.type in ("Identity", "GatherV2", "ResourceGather")
            assert each.device == variable.device and "/job:ps" in each.device


def readers_of(variable, operations):
    """Returns the operations that are given a variable as a whole, in whatever step."""
    whole, found = {variable.op}, set()
    while whole:
        inputs = whole
        readers = {
            each for each in operations if inputs.intersection(tensor.op for tensor in each.inputs)
        }
        found |= readers
        whole = {each for each in readers if each.type in ("Identity", "ReadVariableOp", "Enter")}
    return found
