import functools
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.optimizers import OPTIMIZERS
from support.tables import DTYPES, bits, counting_rows, special_rows
from tf1_embed import Rows, initializers

STRATEGIES = ["partition", "cond", "concat"]
# 5 old rows and 3 new ones: row i of the whole table holds i.
NUM_OLD, NUM_NEW, NUM_ROWS = 5, 3, 8

OLD_ONLY = [4, 0, 0, 3]
NEW_ONLY = [7, 5, 7]
MIXED = [7, 0, 5, 4, 7, 0]


def make_table(name="embedding", dim=2, dtype="float32", chosen=None):
    """Returns a table whose row i holds i: grown, or with the `chosen` rows trainable."""
    whole = counting_rows(NUM_ROWS, dim, dtype)
    if chosen is not None:
        return tf1_embed.get_row_split_table(name, Rows.of(chosen, NUM_ROWS), old_rows=whole)
    return tf1_embed.get_grown_table(
        name, NUM_NEW, old_rows=whole[:NUM_OLD], initializer=whole[NUM_OLD:]
    )


TABLES = {
    "grown": make_table,
    "chosen range": functools.partial(make_table, chosen=[2, 3, 4]),
    "chosen rows": functools.partial(make_table, chosen=[1, 4, 5, 7]),
}


@pytest.fixture(params=sorted(TABLES))
def table(request, variables):
    return TABLES[request.param]()


def start(session):
    session.run(tf.global_variables_initializer())


def trainable_gradient(loss, table):
    (gradient,) = tf.gradients(loss, [table.trainable])
    return gradient


def dense(slices, num_rows, dim=2):
    """Returns [num_rows, dim], or [num_rows]: slices of the same id added up."""
    rows = np.zeros([num_rows] + ([] if dim is None else [dim]))
    np.add.at(rows, np.asarray(slices.indices), np.asarray(slices.values))
    return rows


# Vectors and gradients.


@pytest.mark.parametrize("strategy", ["partition", "concat"])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_vectors_are_the_rows_of_the_ids(table, session, strategy, dtype):
    ids = tf.placeholder(dtype, [None])
    vectors = tf1_embed.embedding_lookup(table, ids, strategy=strategy)
    start(session)
    for fed in (MIXED, OLD_ONLY, NEW_ONLY, [], list(range(NUM_ROWS))):
        np.testing.assert_array_equal(
            session.run(vectors, {ids: fed}), counting_rows(NUM_ROWS)[np.array(fed, int)]
        )


@pytest.mark.parametrize("is_new", [None, "scalar", "tensor"])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_cond_serves_batches_of_one_kind(variables, control_flow, session, dtype, is_new):
    table = make_table()
    for fed, kind in ((OLD_ONLY, False), (NEW_ONLY, True), ([], False), ([], True)):
        given = {None: None, "scalar": kind, "tensor": tf.constant(kind)}[is_new]
        ids = tf.constant(fed, dtype)
        vectors = tf1_embed.embedding_lookup(table, ids, strategy="cond", is_new=given)
        start(session)
        expected = counting_rows(NUM_ROWS)[np.array(fed, int)]
        np.testing.assert_array_equal(session.run(vectors), expected)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("fed", [OLD_ONLY, NEW_ONLY, MIXED, []], ids=["old", "new", "mixed", "no"])
def test_all_strategies_give_the_same_vectors_and_gradients(
    variables, control_flow, session, dtype, fed
):
    table = make_table()
    ids = tf.placeholder(dtype, [None])
    weights = np.arange(1, 2 * len(fed) + 1, dtype=np.float32).reshape(-1, 2)
    expected_gradient = np.zeros([NUM_ROWS, 2])
    np.add.at(expected_gradient, np.array(fed, int), weights)
    named = [each - NUM_OLD for each in fed if each >= NUM_OLD]
    fetches = {}
    for strategy in STRATEGIES:
        if strategy == "cond" and fed is MIXED:
            continue
        vectors = tf1_embed.embedding_lookup(table, ids, strategy=strategy)
        loss = tf.reduce_sum(vectors * weights)
        gradient = trainable_gradient(loss, table)
        assert isinstance(gradient, tf.IndexedSlices)
        fetches[strategy] = vectors, gradient
    start(session)
    for vectors, gradient in session.run(fetches, {ids: fed}).values():
        np.testing.assert_array_equal(vectors, counting_rows(NUM_ROWS)[np.array(fed, int)])
        assert sorted(gradient.indices) == sorted(named)
        np.testing.assert_array_equal(dense(gradient, NUM_NEW), expected_gradient[NUM_OLD:])
        np.testing.assert_array_equal(gradient.dense_shape, [NUM_NEW, 2])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_frozen_rows_get_no_gradient_from_the_optimizer(variables, session, strategy):
    table = make_table()
    loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, NEW_ONLY, strategy=strategy))
    pairs = tf.train.GradientDescentOptimizer(1.0).compute_gradients(loss)
    assert [variable for _, variable in pairs] == [table.trainable]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_ids_have_any_rank_and_shapes_stay_known(table, session, strategy):
    # A trainable id only: no other serves in every strategy.
    member = int(table.trainable_rows.ids()[-1])
    unknown = tf.placeholder(tf.int64, None)
    lookup = functools.partial(tf1_embed.embedding_lookup, table, strategy=strategy)
    of_unknown = lookup(unknown)
    assert of_unknown.shape.ndims is None
    start(session)
    for shape in ([], [1], [6], [2, 3], [1, 3, 2], [0], [0, 3], [3, 0]):
        ids = np.full(shape, member)
        known = lookup(ids.astype(np.int32))
        partly = tf.placeholder(tf.int64, [None] * len(shape))
        of_partly = lookup(partly)
        assert known.shape.as_list() == shape + [2]
        assert of_partly.shape.as_list() == [None] * len(shape) + [2]
        for got in session.run([known, of_partly, of_unknown], {partly: ids, unknown: ids}):
            assert got.shape == tuple(shape) + (2,)
            assert (got == member).all()


@pytest.mark.parametrize("strategy", ["partition", "concat"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 1, 3])
def test_tables_of_any_dtype_and_rank_are_looked_up(variables, session, strategy, dtype, dim):
    table = make_table(dim=dim, dtype=dtype)
    vectors = tf1_embed.embedding_lookup(table, [MIXED], strategy=strategy)
    gradient = trainable_gradient(tf.reduce_sum(tf.cast(vectors, tf.float64)), table)
    start(session)
    assert vectors.shape.as_list() == [1, len(MIXED)] + ([] if dim is None else [dim])
    got, gradient = session.run([vectors, gradient])
    np.testing.assert_array_equal(bits(got[0]), bits(counting_rows(8, dim, dtype)[MIXED]))
    assert sorted(gradient.indices) == [0, 2, 2]
    assert (gradient.values.astype(float) == 1).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_special_bits_come_out_as_they_are(variables, session, strategy):
    rows = special_rows()
    table = tf1_embed.get_grown_table("embedding", 1, old_rows=rows)
    vectors = tf1_embed.embedding_lookup(table, list(range(len(rows))), strategy=strategy)
    start(session)
    assert bits(session.run(vectors)).tobytes() == bits(rows).tobytes()


def test_name_is_that_of_the_output(variables):
    table = make_table()
    assert tf1_embed.embedding_lookup(table, [0], name="words").op.name == "words"
    assert tf1_embed.matmul(tf.ones([1, 2]), table, name="logits").op.name == "logits"


# Longer vectors cut down.


@pytest.mark.parametrize("dim", [None, 2])
@pytest.mark.parametrize("is_rank_known", [True, False])
def test_max_norm_is_that_of_tensorflow(variables, session, dim, is_rank_known):
    table = make_table(dim=dim)
    ids = tf.placeholder_with_default([MIXED], [1, len(MIXED)] if is_rank_known else None)
    vectors = tf1_embed.embedding_lookup(table, ids, max_norm=3.0)
    plain = tf.get_variable("plain", initializer=counting_rows(NUM_ROWS, dim))
    expected = tf.nn.embedding_lookup(plain, [MIXED], max_norm=3.0)
    loss_gradient = trainable_gradient(tf.reduce_sum(vectors**2), table)
    (expected_gradient,) = tf.gradients(tf.reduce_sum(expected**2), [plain])
    start(session)
    got, expected, gradient, expected_gradient = session.run(
        [vectors, expected, loss_gradient, expected_gradient]
    )
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert np.abs(got).max() < 3.1
    np.testing.assert_allclose(
        dense(gradient, NUM_NEW, dim), dense(expected_gradient, NUM_ROWS, dim)[NUM_OLD:], atol=1e-5
    )


# What is no grown table.


def plain_variable(kind):
    """Returns (a variable or what stands for one, that of 8 rows of which row i holds i)."""
    rows = counting_rows(NUM_ROWS)
    if kind == "tensor":
        return tf.constant(rows)
    if kind == "array":
        return rows
    if kind == "list":
        # By "mod", part p holds the ids p, p + 2, …
        return [tf.get_variable(f"part_{p}", initializer=rows[p::2]) for p in range(2)]
    if kind == "partitioned":
        return tf.get_variable(
            "partitioned", [NUM_ROWS, 2], partitioner=tf.fixed_size_partitioner(2)
        )
    return tf.get_variable("plain", initializer=rows)


@pytest.mark.parametrize("kind", ["variable", "tensor", "array", "list", "partitioned"])
@pytest.mark.parametrize(
    "arguments",
    [
        ((), {}),
        (("mod",), {}),
        (("div",), {}),
        ((), {"partition_strategy": "div"}),
        (("div",), {"max_norm": 2.0}),
    ],
    ids=["default", "mod", "div", "by_name", "max_norm"],
)
def test_ordinary_variables_go_to_tensorflow(variables, session, kind, arguments):
    params = plain_variable(kind)
    positional, named = arguments
    got = tf1_embed.embedding_lookup(params, [[6, 0], [3, 3]], *positional, **named)
    partition_strategy = positional[0] if positional else named.get("partition_strategy", "mod")
    expected = tf.nn.embedding_lookup(
        params,
        [[6, 0], [3, 3]],
        partition_strategy=partition_strategy,
        max_norm=named.get("max_norm"),
    )
    start(session)
    np.testing.assert_array_equal(*session.run([got, expected]))
    if kind == "list" and partition_strategy == "mod":
        np.testing.assert_array_equal(session.run(got)[:, :, 0], [[6, 0], [3, 3]])


def test_ordinary_variables_go_to_tensorflow_from_sparse_lookups_and_matmul(variables, session):
    params = plain_variable("variable")
    sp_ids = tf.SparseTensor([[0, 0], [1, 0], [1, 1]], [3, 7, 1], [2, 2])
    sparse = tf1_embed.embedding_lookup_sparse(params, sp_ids, None, "mod", combiner="sum")
    logits = tf1_embed.matmul(tf.ones([1, 2]), params)
    start(session)
    np.testing.assert_array_equal(session.run(sparse), [[3, 3], [8, 8]])
    np.testing.assert_array_equal(session.run(logits), [np.arange(8) * 2.0])


@pytest.mark.parametrize(
    "argument, value",
    [("strategy", "nonsense"), ("strategy", "cond"), ("is_new", True), ("is_new", False)],
)
def test_arguments_of_split_tables_are_refused_for_ordinary_variables(graph, argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` is for a table of .*got {value!r}"):
        tf1_embed.embedding_lookup(plain_variable("variable"), [0, 3], **{argument: value})


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_partition_strategy_may_be_third_as_in_tensorflow(variables, session, strategy):
    vectors = tf1_embed.embedding_lookup(make_table(), MIXED, strategy)
    start(session)
    np.testing.assert_array_equal(session.run(vectors), counting_rows(NUM_ROWS)[MIXED])


# In TensorFlow's place.


@pytest.fixture
def in_tensorflows_place(monkeypatch):
    """Puts the lookups of tf1_embed in the place of TensorFlow's, as legacy code may."""
    for name in ("embedding_lookup", "embedding_lookup_sparse", "safe_embedding_lookup_sparse"):
        monkeypatch.setattr(tf.nn, name, getattr(tf1_embed, name))


@pytest.mark.parametrize("kind", ["variable", "tensor", "list", "partitioned"])
def test_lookups_serve_in_tensorflows_place(variables, session, in_tensorflows_place, kind):
    params, whole = plain_variable(kind), counting_rows(NUM_ROWS)
    sp_ids = tf.SparseTensor([[0, 0], [1, 0], [1, 1]], [3, 7, 1], [2, 2])
    dense, sparse, safe = [], [], []
    for table in (params, make_table()):
        dense.append(tf.nn.embedding_lookup(table, MIXED, "mod"))
        sparse.append(tf.nn.embedding_lookup_sparse(table, sp_ids, None, combiner="sum"))
        safe.append(
            tf.nn.safe_embedding_lookup_sparse(table, sp_ids, None, "sum", partition_strategy="mod")
        )
    start(session)
    if kind == "partitioned":
        for part, rows in zip(params, (whole[0::2], whole[1::2])):
            part.load(rows, session)
    for got in session.run(dense):
        np.testing.assert_array_equal(got, whole[MIXED])
    for got in session.run(sparse + safe):
        np.testing.assert_array_equal(got, [[3, 3], [8, 8]])


def test_tensorflows_own_losses_work_with_lookups_in_its_place(
    variables, session, in_tensorflows_place
):
    # They look up rows of their weights.
    weights = plain_variable("variable")
    loss = tf.nn.sampled_softmax_loss(
        weights, tf.zeros([NUM_ROWS]), tf.constant([[7], [0]], tf.int64), tf.ones([2, 2]), 3, 8
    )
    start(session)
    assert np.isfinite(session.run(loss)).all()


def test_partitioned_tables_are_looked_up_with_lookups_in_tensorflows_place(
    variables, session, in_tensorflows_place
):
    whole = counting_rows(NUM_ROWS)
    table = tf1_embed.get_grown_table(
        "parts",
        NUM_NEW,
        old_rows=whole[:NUM_OLD],
        initializer=whole[NUM_OLD:],
        partitioner=tf.fixed_size_partitioner(2),
    )
    vectors = tf.nn.embedding_lookup(table, MIXED)
    start(session)
    np.testing.assert_array_equal(session.run(vectors), whole[MIXED])


def test_function_put_in_tensorflows_place_before_ours_was_imported_is_told_of():
    program = """
import tensorflow.compat.v1 as tf
import tf1_embed

tf.disable_eager_execution()
tf.nn.embedding_lookup = lambda params, ids, **kwargs: tf1_embed.embedding_lookup(params, ids)
try:
    tf.nn.embedding_lookup(tf.get_variable("table", [4, 2]), [0])
except RuntimeError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert "Put `import tf1_embed.lookup` ahead" in result.stdout, result.stderr


def test_lookup_in_a_lambda_layer_of_keras_is_warned_of(graph):
    if not tf.__version__.startswith("1."):
        pytest.skip("Keras 3 has no graph mode")
    table = make_table()
    layers = tf.keras.layers
    ids = layers.Input(shape=(2,), dtype="int32")
    with pytest.warns(UserWarning, match="'embedding' is looked up in a Lambda layer.*do not trai"):
        layers.Lambda(lambda each: tf1_embed.embedding_lookup(table, each))(ids)


def test_keras_trains_a_table_that_is_an_attribute_of_a_layer():
    if not tf.__version__.startswith("1."):
        pytest.skip("Keras 3 has no graph mode")
    keras = tf.keras

    class Lookup(tf.keras.layers.Layer):
        """Looks ids up in a table of get_grown_table, of which Keras then trains the new rows."""

        def __init__(self, table):
            super().__init__()
            self.table, self.old_rows, self.new_rows = table, table.frozen, table.trainable

        def call(self, ids):
            return tf1_embed.embedding_lookup(self.table, ids)

    with tf.Graph().as_default(), tf.Session() as session, warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        keras.backend.set_session(session)
        with tf.variable_scope("", use_resource=True):
            table = make_table()
        ids = keras.layers.Input(shape=(2,), dtype="int64")
        scores = keras.layers.Dense(1)(keras.layers.Flatten()(Lookup(table)(ids)))
        model = keras.Model(ids, scores)
        model.compile(optimizer=tf.train.AdamOptimizer(0.1), loss="mse")
        session.run(tf.global_variables_initializer())
        ids = np.array([[0, 7], [5, 7]] * 2)
        model.fit(ids, np.zeros([4, 1]), epochs=2, verbose=0)
        got = session.run(table.read())
    keras.backend.clear_session()
    moved = (got != counting_rows(NUM_ROWS)).any(axis=1)
    assert np.flatnonzero(moved).tolist() == [5, 7]


# Sparse ids.

SPARSE = {
    "each row has ids": ([[0, 0], [0, 1], [1, 0], [2, 0]], [7, 0, 5, 4], [3, 2]),
    "an id twice": ([[0, 0], [0, 1], [1, 0], [1, 2]], [7, 7, 2, 7], [2, 3]),
    "empty rows": ([[1, 0], [1, 1], [4, 0]], [6, 1, 6], [5, 2]),
    "old ids only": ([[0, 0], [1, 0]], [4, 0], [2, 1]),
    "new ids only": ([[0, 0], [1, 0]], [5, 6], [2, 1]),
}


@pytest.mark.parametrize("combiner", ["sum", "mean", "sqrtn"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("case", sorted(SPARSE))
def test_sparse_lookup_is_that_of_tensorflow_on_the_whole_table(
    variables, session, case, combiner, weighted
):
    indices, values, shape = SPARSE[case]
    table = make_table()
    plain = plain_variable("variable")
    weights = None
    if weighted:
        weights = tf.SparseTensor(indices, np.float32([0.5, 2, 3, 1])[: len(values)], shape)
    gots = []
    for dtype in ("int32", "int64"):
        sp_ids = tf.SparseTensor(indices, tf.constant(values, dtype), shape)
        got = tf1_embed.embedding_lookup_sparse(table, sp_ids, weights, combiner=combiner)
        gots.append((got, trainable_gradient(tf.reduce_sum(got**2), table)))
    expected = tf.nn.embedding_lookup_sparse(plain, sp_ids, weights, combiner=combiner)
    (expected_gradient,) = tf.gradients(tf.reduce_sum(expected**2), [plain])
    start(session)
    gots, expected, expected_gradient = session.run([gots, expected, expected_gradient])
    for got, gradient in gots:
        # TensorFlow ends at the last row that has ids.
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        assert sorted(gradient.indices) == sorted(
            each - NUM_OLD for each in set(values) if each >= NUM_OLD
        )
        np.testing.assert_allclose(
            dense(gradient, NUM_NEW), dense(expected_gradient, NUM_ROWS)[NUM_OLD:], rtol=1e-6
        )


def test_sparse_lookup_cuts_norms_as_tensorflow_does(variables, session):
    table, plain = make_table(), plain_variable("variable")
    sp_ids = tf.SparseTensor([[0, 0], [0, 1], [1, 0]], [7, 1, 4], [2, 2])
    got = tf1_embed.embedding_lookup_sparse(table, sp_ids, None, combiner="sum", max_norm=2.0)
    expected = tf.nn.embedding_lookup_sparse(plain, sp_ids, None, combiner="sum", max_norm=2.0)
    start(session)
    np.testing.assert_allclose(*session.run([got, expected]), rtol=1e-6)


def test_sparse_lookup_takes_sparse_ids_only(variables):
    with pytest.raises(TypeError, match="`sp_ids` must be a tf.SparseTensor, got list"):
        tf1_embed.embedding_lookup_sparse(make_table(), [1, 2], None)


def test_sparse_lookup_knows_three_combiners(variables):
    sp_ids = tf.SparseTensor([[0, 0]], [7], [1, 1])
    with pytest.raises(ValueError, match="combiner"):
        tf1_embed.embedding_lookup_sparse(make_table(), sp_ids, None, combiner="max")


@pytest.mark.parametrize("offending", [-1, 8])
def test_sparse_lookup_names_the_id_that_is_not_in_the_table(variables, session, offending):
    sp_ids = tf.SparseTensor([[0, 0], [1, 0]], [7, offending], [2, 1])
    got = tf1_embed.embedding_lookup_sparse(make_table(), sp_ids, None, combiner="sum")
    start(session)
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"\[0, 8\).*got.*{offending}"):
        session.run(got)


# Logits over all rows.


@pytest.mark.parametrize("shape", [[2], [3, 2], [4, 1, 2], [0, 2]])
def test_matmul_is_that_of_the_whole_table(table, session, shape):
    x_value = np.random.RandomState(0).randn(*shape).astype(np.float32)
    x = tf.constant(x_value)
    logits = tf1_embed.matmul(x, table)
    assert logits.shape.as_list() == shape[:-1] + [NUM_ROWS]
    coefficients = np.random.RandomState(1).randn(*(shape[:-1] + [NUM_ROWS]))
    coefficients = coefficients.astype(np.float32)
    gradients = tf.gradients(tf.reduce_sum(logits * coefficients), [x, table.trainable])
    start(session)
    got, x_gradient, rows_gradient = session.run([logits] + gradients)
    whole = counting_rows(NUM_ROWS)
    np.testing.assert_allclose(got, x_value.dot(whole.T), rtol=1e-5)
    np.testing.assert_allclose(x_gradient, coefficients.dot(whole), rtol=1e-4, atol=1e-4)
    of_all_rows = coefficients.reshape(-1, NUM_ROWS).T.dot(x_value.reshape(-1, 2))
    np.testing.assert_allclose(
        rows_gradient, of_all_rows[table.trainable_rows.ids()], rtol=1e-4, atol=1e-5
    )


def test_matmul_takes_batches_of_unknown_size(table, session):
    x = tf.placeholder(tf.float32, [None, None, 2])
    logits = tf1_embed.matmul(x, table)
    assert logits.shape.as_list() == [None, None, NUM_ROWS]
    start(session)
    assert session.run(logits, {x: np.ones([3, 4, 2])}).shape == (3, 4, NUM_ROWS)


def test_matmul_copies_neither_variable(variables, graph):
    table = make_table()
    before = set(graph.get_operations())
    tf1_embed.matmul(tf.ones([3, 2]), table)
    for operation in set(graph.get_operations()) - before:
        for output in operation.outputs:
            assert output.shape.ndims is None or output.shape.as_list() != [NUM_ROWS, 2]


def test_matmul_needs_a_table_of_rank_2(variables):
    with pytest.raises(ValueError, match=r"shape \[num_rows, dim\]; table 'embedding' has \(8,\)"):
        tf1_embed.matmul(tf.ones([3, 1]), make_table(dim=None))


# Bad ids.


def text_of(caught):
    """Returns an error's message without the backslashes that TensorFlow puts before quotes."""
    return caught.value.message.replace("\\", "")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_id_that_is_not_in_the_table_is_named_with_the_tables_size(
    variables, session, strategy, dtype
):
    ids = tf.placeholder(dtype, [None])
    vectors = tf1_embed.embedding_lookup(make_table(), ids, strategy=strategy)
    start(session)
    for offending in (-1, 8, 2**31 - 1, -(2**31)):
        for fed in ([offending], [0, offending, 7], [7, 5, offending]):
            with pytest.raises(tf.errors.InvalidArgumentError) as caught:
                session.run(vectors, {ids: fed})
            expected = "`ids` must be in [0, 8), the rows of table 'embedding'; got ids from"
            assert offending in (min(fed), max(fed))
            assert f"{expected}] [{min(fed)}] [to] [{max(fed)}]" in text_of(caught)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ids", [[0.0], [True], ["a"], np.zeros([2], np.int16)])
def test_ids_that_are_not_int32_or_int64_are_a_type_error(variables, strategy, ids):
    with pytest.raises(TypeError, match="`ids` must be int32 or int64, got"):
        tf1_embed.embedding_lookup(make_table(), ids, strategy=strategy)


def test_cond_refuses_a_mixed_batch_and_says_so(variables, control_flow, session):
    vectors = tf1_embed.embedding_lookup(make_table(), MIXED, strategy="cond")
    start(session)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        session.run(vectors)
    assert "serves batches of old ids only or of new ids only" in text_of(caught)
    assert "table 'embedding'. Use \"partition\" instead" in text_of(caught)


@pytest.mark.parametrize("is_new", [True, False])
def test_cond_refuses_a_batch_that_is_not_what_is_new_says(variables, session, is_new):
    ids = OLD_ONLY if is_new else NEW_ONLY
    vectors = tf1_embed.embedding_lookup(make_table(), ids, strategy="cond", is_new=is_new)
    start(session)
    with pytest.raises(tf.errors.InvalidArgumentError, match="as `is_new` says; got both, or the"):
        session.run(vectors)


def test_unknown_strategy_is_told_with_those_there_are(variables):
    table = make_table()
    for strategy in ("Partition", "", None):
        with pytest.raises(ValueError, match=r"one of \['concat', 'cond', 'partition'\]"):
            tf1_embed.embedding_lookup(table, [0], strategy=strategy)


@pytest.mark.parametrize("strategy", ["partition", "concat"])
def test_is_new_is_for_cond_alone(variables, strategy):
    with pytest.raises(ValueError, match='`is_new` is for strategy "cond"'):
        tf1_embed.embedding_lookup(make_table(), [0], strategy=strategy, is_new=True)


# Loops and branches. A lookup in one must name the rows that were looked up and no others, with
# the gradient that a lookup outside would have.


def loop(lookup):
    """Looks up 7 and 2 and 5 in turn; the gradient of step i is i + 1."""
    ids = tf.constant([7, 2, 5])

    def body(i, total):
        return i + 1, total + tf.cast(i + 1, tf.float32) * tf.reduce_sum(lookup(ids[i : i + 1]))

    return tf.while_loop(lambda i, _: i < 3, body, [0, 0.0])[1]


def nested_loops(lookup):
    ids = tf.constant([[7, 2], [6, 6]])

    def outer(i, total):
        def inner(j, total):
            return j + 1, total + tf.reduce_sum(lookup(ids[i, j]))

        return i + 1, tf.while_loop(lambda j, _: j < 2, inner, [0, total])[1]

    return tf.while_loop(lambda i, _: i < 2, outer, [0, 0.0])[1]


def branch(taken, lookup):
    """Looks up 7, 1, 7 if `taken`, else 6."""
    return tf.cond(
        tf.placeholder_with_default(taken, []),
        lambda: tf.reduce_sum(lookup([7, 1, 7])),
        lambda: 3 * tf.reduce_sum(lookup([6])),
    )


def branch_without_lookup(taken, lookup):
    return tf.cond(
        tf.placeholder_with_default(taken, []),
        lambda: tf.reduce_sum(lookup([7])),
        lambda: tf.constant(0.0),
    )


def branch_in_loop(lookup):
    """Looks up 5 in the second of three steps only."""

    def body(i, total):
        term = tf.cond(tf.equal(i, 1), lambda: tf.reduce_sum(lookup([5])), lambda: tf.constant(0.0))
        return i + 1, total + term

    return tf.while_loop(lambda i, _: i < 3, body, [0, 0.0])[1]


def loop_in_branch(lookup):
    return tf.cond(
        tf.placeholder_with_default(True, []), lambda: loop(lookup), lambda: tf.constant(0.0)
    )


def loop_that_ends_at_once(lookup):
    def body(i, total):
        return i + 1, total + tf.reduce_sum(lookup([6]))

    return tf.while_loop(lambda i, _: i < tf.placeholder_with_default(0, []), body, [0, 0.0])[1]


def scan(lookup):
    """As in a recurrent network, of which the state forgets half in each step."""
    states = tf.scan(
        lambda state, step: 0.5 * state + lookup(step), tf.constant([5, 1, 7]), tf.zeros([2])
    )
    return tf.reduce_sum(states[-1])


def map_over_ids(lookup):
    return tf.reduce_sum(tf.map_fn(lookup, tf.constant([5, 1, 5]), dtype=tf.float32))


def gradient_of_exactly_zero(lookup):
    """Looks up 7 with a gradient of 0, and 5 with one of 1."""
    ids = tf.constant([7, 5])

    def body(i, total):
        return i + 1, total + tf.cast(i, tf.float32) * tf.reduce_sum(lookup([ids[i]]))

    return tf.while_loop(lambda i, _: i < 2, body, [0, 0.0])[1]


def inside_and_outside(lookup):
    return tf.reduce_sum(lookup([6])) + branch_without_lookup(False, lookup)


# The ids that each looks up, with the gradient of each.
CONTROL_FLOWS = {
    "loop": (loop, {7: 1, 2: 2, 5: 3}),
    "nested loops": (nested_loops, {7: 1, 2: 1, 6: 2}),
    "branch taken": (functools.partial(branch, True), {7: 2, 1: 1}),
    "branch not taken": (functools.partial(branch, False), {6: 3}),
    "lookup not run": (functools.partial(branch_without_lookup, False), {}),
    "branch in loop": (branch_in_loop, {5: 1}),
    "loop in branch": (loop_in_branch, {7: 1, 2: 2, 5: 3}),
    "loop of no steps": (loop_that_ends_at_once, {}),
    "scan": (scan, {5: 0.25, 1: 0.5, 7: 1}),
    "map_fn": (map_over_ids, {5: 2, 1: 1}),
    "gradient of zero": (gradient_of_exactly_zero, {7: 0, 5: 1}),
    "inside and outside": (inside_and_outside, {6: 1}),
}


@pytest.mark.parametrize(
    "case, strategy",
    [
        (case, strategy)
        for case in sorted(CONTROL_FLOWS)
        for strategy in STRATEGIES
        # Which mixes old and new ids.
        if (case, strategy) != ("branch taken", "cond")
    ],
)
def test_gradient_names_exactly_the_rows_looked_up_in_loops_and_branches(
    variables, control_flow, session, case, strategy
):
    build, of_ids = CONTROL_FLOWS[case]
    table = make_table()
    lookup = functools.partial(tf1_embed.embedding_lookup, table, strategy=strategy)
    loss = build(lookup)
    gradient = trainable_gradient(loss, table)
    assert isinstance(gradient, tf.IndexedSlices)
    start(session)
    got, slices = session.run([loss, gradient])
    assert got == sum(2 * each * weight for each, weight in of_ids.items())
    of_new_ids = {each: weight for each, weight in of_ids.items() if each >= NUM_OLD}
    assert set(slices.indices + NUM_OLD) == set(of_new_ids)
    expected = np.zeros([NUM_ROWS, 2])
    for each, weight in of_new_ids.items():
        expected[each] = weight
    np.testing.assert_allclose(dense(slices, NUM_NEW), expected[NUM_OLD:])


@pytest.mark.parametrize("case", ["loop", "branch taken", "branch not taken", "lookup not run"])
@pytest.mark.parametrize("dim", [None, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_loops_and_branches_serve_any_dtype_and_rank(
    graph, control_flow, session, case, dtype, dim
):
    if dtype == "bfloat16" and tf.__version__.startswith("1."):
        pytest.skip("TensorFlow 1.15 has no gradient of bfloat16 through a branch")
    build, of_ids = CONTROL_FLOWS[case]
    table = make_table(dim=dim, dtype=dtype)
    loss = build(lambda ids: tf.cast(tf1_embed.embedding_lookup(table, ids), tf.float32))
    gradient = trainable_gradient(loss, table)
    start(session)
    got, slices = session.run([loss, gradient])
    assert got == sum((dim or 1) * each * weight for each, weight in of_ids.items())
    assert set(slices.indices + NUM_OLD) == {each for each in of_ids if each >= NUM_OLD}


@pytest.mark.parametrize("chosen", [[2, 3, 4], [1, 4, 5, 7]])
def test_row_split_tables_serve_in_loops_and_branches(variables, control_flow, session, chosen):
    table = make_table(chosen=chosen)
    loss = branch_in_loop(functools.partial(tf1_embed.embedding_lookup, table)) + loop(
        functools.partial(tf1_embed.embedding_lookup, table)
    )
    gradient = trainable_gradient(loss, table)
    start(session)
    slices = session.run(gradient)
    positions = [chosen.index(each) for each in (7, 2, 5) if each in chosen]
    assert set(slices.indices) == set(positions)


def test_sparse_lookup_in_a_loop_names_the_rows_looked_up(variables, control_flow, session):
    table = make_table()
    sp_ids = tf.SparseTensor([[0, 0], [0, 1], [0, 2]], [7, 2, 6], [1, 3])

    def body(i, total):
        vectors = tf1_embed.embedding_lookup_sparse(table, sp_ids, None, combiner="sum")
        return i + 1, total + tf.reduce_sum(vectors)

    loss = tf.while_loop(lambda i, _: i < 3, body, [0, 0.0])[1]
    gradient = trainable_gradient(loss, table)
    start(session)
    got, slices = session.run([loss, gradient])
    assert got == 3 * 2 * (7 + 2 + 6)
    assert set(slices.indices) == {1, 2}
    np.testing.assert_array_equal(dense(slices, NUM_NEW), [[0, 0], [3, 3], [3, 3]])


def test_ids_are_checked_in_loops_too(variables, control_flow, session):
    table = make_table()

    def body(i, total):
        return i + 1, total + tf.reduce_sum(tf1_embed.embedding_lookup(table, [7 + i]))

    total = tf.while_loop(lambda i, _: i < 3, body, [0, 0.0])[1]
    start(session)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must be in \[0, 8\)"):
        session.run(total)


@pytest.mark.parametrize("optimizer", ["momentum", "ftrl", "adagrad_da", "proximal_adagrad"])
@pytest.mark.parametrize("case", ["loop", "branch not taken", "lookup not run", "branch in loop"])
def test_optimizers_move_the_same_rows_as_by_a_lookup_outside(
    variables, control_flow, session, optimizer, case
):
    build, of_ids = CONTROL_FLOWS[case]
    table = make_table()
    oracle = make_table("oracle")
    loss = build(functools.partial(tf1_embed.embedding_lookup, table))
    weights = np.float32(list(of_ids.values())).reshape(-1, 1)
    vectors = tf1_embed.embedding_lookup(oracle, tf.constant(list(of_ids), tf.int32))
    oracle_loss = tf.reduce_sum(vectors * weights)
    every_row = [
        tf.reduce_sum(tf1_embed.embedding_lookup(each, NEW_ONLY + [6])) for each in (table, oracle)
    ]
    make = OPTIMIZERS[optimizer]
    # One optimizer for both steps: the slots are warm from a step on every row.
    optimizers = make(), make()
    warm_up = [
        each.minimize(row_loss, var_list=[one.trainable])
        for each, row_loss, one in zip(optimizers, every_row, (table, oracle))
    ]
    train_op = [
        each.minimize(its_loss, var_list=[one.trainable])
        for each, its_loss, one in zip(optimizers, (loss, oracle_loss), (table, oracle))
    ]
    start(session)
    frozen = session.run(table.frozen).tobytes()
    session.run(warm_up)
    before = session.run(table.trainable)
    for _ in range(3):
        session.run(train_op)
    after, expected = session.run([table.trainable, oracle.trainable])
    np.testing.assert_allclose(after, expected, rtol=1e-5)
    named = [each - NUM_OLD for each in of_ids if each >= NUM_OLD]
    others = sorted(set(range(NUM_NEW)) - set(named))
    assert bits(after[others]).tobytes() == bits(before[others]).tobytes()
    assert (after[named] != before[named]).all()
    assert session.run(table.frozen).tobytes() == frozen


def test_initializers_module_is_public():
    assert tf1_embed.initializers is initializers
