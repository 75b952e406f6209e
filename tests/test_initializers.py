import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.tables import DTYPES, bits, counting_rows, numpy_dtype, special_rows
from tf1_embed import initializers
from tf1_embed import rows as chunks
from tf1_embed.bfloat16 import as_bits, as_numbers
from tf1_embed.checkpoint.files.dtypes import as_dtype
from tf1_embed.checkpoint.new_rows import OldRows, make_new_rows


def new_rows(initializer, old_rows, num_new_rows=2, name="embedding", graph_seed=None):
    """Returns the new rows of a grown table, made in a graph of their own."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(graph_seed)
        table = tf1_embed.get_grown_table(
            name, num_new_rows, old_rows=old_rows, initializer=initializer
        )
        session.run(tf.global_variables_initializer())
        assert bits(session.run(table.frozen)).tobytes() == bits(old_rows).tobytes()
        return session.run(table.trainable)


def normal_rows(num_rows, dim, dtype="float32"):
    """Returns rows of a normal distribution whose mean is not 0 and whose columns correlate."""
    random = np.random.RandomState(0)
    mixed = random.randn(num_rows, dim).dot(random.randn(dim, dim)) + np.arange(1, dim + 1)
    return mixed.astype(numpy_dtype(dtype))


# Values that are told.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 3])
def test_zeros_and_constants(dtype, dim):
    old_rows = counting_rows(4, dim, dtype)
    assert not new_rows(initializers.zeros(), old_rows).astype(float).any()
    got = new_rows(initializers.constant(2.5), old_rows)
    assert (got.shape, got.dtype) == ((2,) + old_rows.shape[1:], old_rows.dtype)
    assert (got.astype(float) == 2.5).all()


def test_constant_may_be_a_row():
    for row in ([1, 2, 3], np.float64([1, 2, 3])):
        got = new_rows(initializers.constant(row), counting_rows(4, 3))
        np.testing.assert_array_equal(got, [[1, 2, 3]] * 2)


@pytest.mark.parametrize("value", [[1, 2], [[1, 2, 3]], [[1, 2, 3], [1, 2, 3]]])
def test_constant_of_the_wrong_shape_names_both_shapes(value):
    shape = np.shape(value)
    with pytest.raises(ValueError) as caught:
        new_rows(initializers.constant(value), counting_rows(4, 3))
    assert f"one row of shape [3], got shape {shape}" in str(caught.value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_are_bit_identical(dtype):
    old_rows = special_rows(dtype)
    ids = [3, 8, 3, 9, 1, 0]
    got = new_rows(initializers.copy_of(ids), old_rows, num_new_rows=6)
    np.testing.assert_array_equal(bits(got), bits(old_rows)[ids])
    got = new_rows(initializers.copy_of(4), old_rows, num_new_rows=3)
    np.testing.assert_array_equal(bits(got), bits(old_rows)[[4, 4, 4]])


@pytest.mark.parametrize("ids", [1.0, [0.5], [[1, 2]], "a", True])
def test_copies_of_what_is_no_vector_of_ints_are_refused(ids):
    with pytest.raises(TypeError, match="`ids` must be an int or a vector of ints"):
        initializers.copy_of(ids)


@pytest.mark.parametrize("ids, offending", [(4, 4), ([0, -1], -1), ([0, 9], 9)])
def test_copies_of_rows_that_are_not_old_are_refused(ids, offending):
    with pytest.raises(ValueError, match=rf"must be old rows, in \[0, 4\); got {offending}"):
        new_rows(initializers.copy_of(ids), counting_rows(4))


def test_copies_need_one_id_for_each_new_row():
    with pytest.raises(ValueError, match="one old row for each of 2 new rows, got 3"):
        new_rows(initializers.copy_of([1, 2, 3]), counting_rows(4))


# Values from the statistics of the old rows.


@pytest.mark.parametrize("chunk_rows", [1, 7, 50, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mean_is_numpys_however_many_chunks(monkeypatch, chunk_rows, dtype):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 24 * chunk_rows)
    old_rows = normal_rows(50, 3, dtype)
    got = new_rows(initializers.mean(), old_rows)
    expected = old_rows.astype(np.float64).mean(axis=0).astype(dtype)
    np.testing.assert_allclose(got, [expected] * 2, rtol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 2])
def test_mean_of_a_table_of_any_dtype_and_rank(dtype, dim):
    got = new_rows(initializers.mean(), counting_rows(5, dim, dtype))
    assert got.dtype == numpy_dtype(dtype)
    assert (got.astype(float) == 2).all()


def test_mean_is_taken_in_float64():
    # In float16, 3000 ones add up to 2048 and no further.
    got = new_rows(initializers.mean(), np.ones([3000, 2], np.float16))
    np.testing.assert_array_equal(got, np.ones([2, 2]))


@pytest.mark.parametrize("chunk_rows", [7, 1000])
def test_mean_and_covariance_are_those_of_the_old_rows(monkeypatch, chunk_rows):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 24 * chunk_rows)
    old_rows = normal_rows(200, 3)
    got = new_rows(initializers.mean_and_covariance(), old_rows, num_new_rows=100000)
    np.testing.assert_allclose(got.mean(axis=0), old_rows.mean(axis=0), atol=0.03)
    expected = np.cov(old_rows, rowvar=False, bias=True)
    np.testing.assert_allclose(np.cov(got, rowvar=False), expected, atol=0.1)


def test_number_of_chunks_does_not_change_the_draw(monkeypatch):
    def draw(chunk_rows):
        monkeypatch.setattr(chunks, "CHUNK_BYTES", 24 * chunk_rows)
        return new_rows(initializers.mean_and_covariance(), normal_rows(50, 3))

    np.testing.assert_allclose(draw(7), draw(1000), rtol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 1, 2])
def test_mean_and_covariance_serve_any_dtype_and_rank(dtype, dim):
    got = new_rows(initializers.mean_and_covariance(), counting_rows(9, dim, dtype), 2000)
    assert (got.shape[1:], got.dtype) == (((dim,) if dim else ()), numpy_dtype(dtype))
    got = got.astype(float)
    np.testing.assert_allclose([got.mean(), got.std()], [4, np.std(np.arange(9))], atol=0.2)


def test_singular_covariance_draws_rows_of_the_space_of_the_old_ones():
    # Two old rows of eight dimensions: all new rows must lie on the line through them.
    old_rows = np.float64([[0] * 8, [1, 2, 3, 4, 5, 6, 7, 8]])
    got = new_rows(initializers.mean_and_covariance(), old_rows, num_new_rows=2000)
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, got[:, :1] * old_rows[1], atol=1e-6)
    np.testing.assert_allclose([got[:, 0].mean(), got[:, 0].std()], [0.5, 0.5], atol=0.05)


def test_old_rows_that_are_all_equal_are_drawn_again():
    got = new_rows(initializers.mean_and_covariance(), np.full([5, 3], 7.0))
    np.testing.assert_array_equal(got, np.full([2, 3], 7.0))


@pytest.mark.parametrize("make", [initializers.mean, initializers.mean_and_covariance])
@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_statistics_of_nan_or_infinity_are_refused_with_the_tables_name(make, spoilt):
    old_rows = counting_rows(9)
    old_rows[3, 1] = spoilt
    with pytest.raises(tf.errors.InvalidArgumentError, match="'embedding' hold NaN or infinity"):
        new_rows(make(), old_rows)


def test_other_initializers_do_not_mind_nan():
    old_rows = special_rows()
    for initializer in (initializers.glorot_normal(), initializers.zeros()):
        assert np.isfinite(new_rows(initializer, old_rows)).all()


@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.parametrize(
    "initializer",
    [initializers.mean(), initializers.mean_and_covariance(), initializers.copy_of(1)],
    ids=repr,
)
def test_initializer_of_the_new_rows_runs_alone(use_resource, initializer, graph, session):
    table = tf1_embed.get_grown_table(
        "embedding",
        1,
        old_rows=np.ones([4, 2], np.float32),
        initializer=initializer,
        use_resource=use_resource,
    )
    session.run(table.trainable.initializer)
    np.testing.assert_array_equal(session.run(table.trainable), np.ones([1, 2]))


# Random values.


@pytest.mark.parametrize("dtype", DTYPES)
def test_glorot_normal_has_the_deviation_of_the_new_rows_alone(dtype):
    got = new_rows(initializers.glorot_normal(), counting_rows(3, 30, dtype), 2000)
    assert got.dtype == numpy_dtype(dtype)
    got = got.astype(np.float64)
    expected = np.sqrt(2 / (2000 + 30))
    np.testing.assert_allclose(got.std(), expected, rtol=0.02)
    np.testing.assert_allclose(got.mean(), 0, atol=1e-3)
    # Cut off at two deviations of the normal distribution before the cut.
    assert np.abs(got).max() <= 2.001 * expected / 0.87962566


@pytest.mark.parametrize("make", [initializers.glorot_normal, initializers.mean_and_covariance])
@pytest.mark.parametrize("dim", [None, 3])
def test_rows_are_drawn_by_seed_and_name_alone(make, dim):
    old_rows = normal_rows(20, 3) if dim else normal_rows(20, 3)[:, 0].copy()

    def draw(seed=0, name="embedding", graph_seed=None):
        return new_rows(make(seed), old_rows, name=name, graph_seed=graph_seed)

    assert draw().tobytes() == draw().tobytes() == draw(graph_seed=7).tobytes()
    assert not np.isclose(draw(), draw(seed=1)).any()
    assert not np.isclose(draw(), draw(name="embedding_imaginary")).any()
    assert len(np.unique(draw())) == draw().size


def test_default_is_glorot_normal():
    default = new_rows(None, counting_rows(4))
    assert default.tobytes() == new_rows(initializers.glorot_normal(), counting_rows(4)).tobytes()


def test_needs_old_rows_is_told():
    for initializer, expected in [
        (initializers.zeros(), False),
        (initializers.glorot_normal(), False),
        (initializers.mean(), True),
        (initializers.mean_and_covariance(), True),
        (initializers.copy_of(1), True),
    ]:
        assert initializer.needs_old_rows == expected


@pytest.mark.parametrize(
    "text", ["constant(2)", "glorot_normal(seed=3)", "mean()", "copy_of([1, 2])"]
)
def test_repr_is_the_call_that_made_it(text):
    assert repr(eval(f"initializers.{text}")) == text


# The same in a checkpoint, where NumPy computes them.


def in_numpy(initializer, old_rows, num_new_rows, name="embedding"):
    """Returns the new rows as `grow_checkpoint` makes them."""
    old_rows = as_bits(old_rows)
    seen = OldRows(name, len(old_rows), lambda ids: old_rows[ids])
    shape, dtype = old_rows.shape[1:], as_dtype(old_rows.dtype)
    return make_new_rows(initializer, num_new_rows, seen, shape, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "initializer",
    [
        initializers.zeros(),
        initializers.constant(1 / 3),
        initializers.constant([0.1, 1e-5, 70000]),
        initializers.copy_of([3, 8, 3]),
    ],
    ids=repr,
)
def test_numpy_gives_the_bits_of_the_graph(initializer, dtype):
    old_rows = special_rows(dtype, 3)
    expected, got = new_rows(initializer, old_rows, 3), in_numpy(initializer, old_rows, 3)
    assert bits(got).tobytes() == bits(expected).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 5])
@pytest.mark.parametrize(
    "initializer",
    [
        initializers.glorot_normal(),
        initializers.glorot_normal(-3),
        initializers.mean(),
        initializers.mean_and_covariance(7),
    ],
    ids=repr,
)
def test_numpy_gives_the_values_of_the_graph_but_for_their_last_bits(initializer, dim, dtype):
    old_rows = normal_rows(40, 5)
    # Also where fewer old rows than columns make the covariance singular.
    for rows in (old_rows, old_rows[:3]):
        rows = (rows if dim else rows[:, 0]).astype(numpy_dtype(dtype))
        expected = new_rows(initializer, rows, 2000).astype(np.float64)
        got = as_numbers(in_numpy(initializer, rows, 2000)).astype(np.float64)
        one_bit = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 3e-7, "float64": 1e-13}[dtype]
        # Square roots of variances that are 0 but for their rounding.
        near_zero = 1e-6 if repr(initializer).startswith("mean_and") else 1e-9
        np.testing.assert_allclose(got, expected, rtol=one_bit, atol=near_zero)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_numpy_too_refuses_statistics_of_nan_or_infinity(spoilt):
    old_rows = counting_rows(9)
    old_rows[3, 1] = spoilt
    with pytest.raises(ValueError, match="'embedding' hold NaN or infinity"):
        in_numpy(initializers.mean(), old_rows, 2)


# TensorFlow's own initializers, arrays and tensors.


@pytest.mark.parametrize("variable", [False, True], ids=["ref", "resource"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: tf.constant_initializer(3.0),
        lambda: np.full([2, 2], 3, np.float32),
        lambda: np.full([2, 2], 3, ">f4"),
        lambda: tf.constant(3.0, shape=[2, 2]),
        lambda: lambda shape, dtype=None, partition_info=None: tf.fill(shape, tf.cast(3, dtype)),
        lambda: tf.get_variable("source", initializer=np.full([2, 2], 3, np.float32)),
    ],
    ids=["initializer", "array", "big_endian", "tensor", "function", "variable"],
)
def test_tensorflows_ways_are_accepted(make, variable, graph, session):
    with tf.variable_scope("model", use_resource=variable):
        table = tf1_embed.get_grown_table(
            "embedding", 2, old_rows=counting_rows(4), initializer=make()
        )
    for each in tf.global_variables():
        session.run(each.initializer)
    np.testing.assert_array_equal(session.run(table.trainable), np.full([2, 2], 3))
    np.testing.assert_array_equal(session.run(table.frozen), counting_rows(4))


def test_initializer_given_by_name_is_refused(graph):
    with pytest.raises(TypeError, match="`initializer` must be .* got the string 'zeros'"):
        tf1_embed.get_grown_table(
            "e", 1, old_rows=np.zeros([2, 2], np.float32), initializer="zeros"
        )


def test_class_of_an_initializer_is_called():
    assert not new_rows(tf.zeros_initializer, counting_rows(4)).any()


def test_array_of_new_rows_does_not_enter_the_graph_def(graph):
    array = np.random.RandomState(0).rand(50000, 16).astype(np.float32)
    tf1_embed.get_grown_table("embedding", 50000, old_rows=counting_rows(4, 16), initializer=array)
    assert graph.as_graph_def().ByteSize() < 100e3


@pytest.mark.parametrize("shape", [[2, 1, 2], [3, 2], [2, 3], [2], [1, 2]])
@pytest.mark.parametrize("make", [np.zeros, tf.zeros], ids=["array", "tensor"])
def test_values_of_the_wrong_shape_name_both_shapes(graph, make, shape):
    # [n, 1, d] is what the question gave.
    with pytest.raises(ValueError) as caught:
        tf1_embed.get_grown_table(
            "embedding", 2, old_rows=counting_rows(4), initializer=make(shape)
        )
    assert f"shape of the new rows, [2, 2], got shape {shape}" in str(caught.value)


@pytest.mark.parametrize("make", [np.zeros, tf.zeros], ids=["array", "tensor"])
def test_values_of_another_dtype_are_refused(graph, make):
    with pytest.raises(ValueError, match="dtype of the old rows, float32, got float64"):
        tf1_embed.get_grown_table(
            "embedding", 2, old_rows=counting_rows(4), initializer=make([2, 2], np.float64)
        )
