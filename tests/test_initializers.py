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
from tf1_embed.initializers.donor import sparsemax
from tf1_embed.word_vectors import write_word_vectors


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


def in_numpy(initializer, old_rows, num_new_rows=2, name="embedding"):
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


# What is known of new rows: their parts, their class, vectors from outside.


def oracle(parts, old_rows, weights=None):
    """Returns weighted means of rows, one after the other, in NumPy."""
    rows = list(as_numbers(as_bits(old_rows)).astype(np.float64))
    for number, ids in enumerate(parts):
        own = np.ones(len(ids)) if weights is None else np.array(weights[number])
        rows.append(np.tensordot(own, np.array([rows[each] for each in ids]), 1) / own.sum())
    return np.array(rows[len(old_rows) :])


def in_both(initializer, old_rows, num_new_rows):
    """Returns new rows as a graph and as `grow_checkpoint` make them, which are the same bits."""
    got = new_rows(initializer, old_rows, num_new_rows)
    numpy_rows = in_numpy(initializer, old_rows, num_new_rows)
    assert bits(got).tobytes() == bits(numpy_rows).tobytes()
    return got.astype(np.float64)


TOLERANCE = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 2e-7, "float64": 1e-14}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 3])
def test_mean_of_parts_is_their_mean_in_graph_and_numpy(monkeypatch, dtype, dim):
    old_rows = normal_rows(20, 3, dtype)
    old_rows = old_rows if dim else old_rows[:, 0].copy()
    # A part twice, a new row as a part, one that comes later.
    parts = [[0, 19, 7], [5], [3, 3, 20], [2, 4]]
    expected = oracle(parts, old_rows)
    for chunk_bytes in (24, 1 << 20):
        monkeypatch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
        got = in_both(initializers.mean_of(parts), old_rows, 4)
        np.testing.assert_allclose(got, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_new_rows_may_be_parts_of_those_before_them():
    # The last row is (1 + 3) / 2, the one before it (0 + that) / 2, the first of them all.
    got = in_both(initializers.mean_of([[5, 6, 6], [0, 6], [1, 3]]), counting_rows(4, 1), 3)
    np.testing.assert_allclose(got[:, 0], [5 / 3, 1, 2], rtol=1e-7)


def test_mean_of_one_part_is_its_copy_and_of_equal_ones_exact():
    old_rows = normal_rows(9, 3)
    got = new_rows(initializers.mean_of([[3], [4, 4, 4]]), old_rows)
    np.testing.assert_array_equal(got, old_rows[[3, 4]])


def test_parts_may_be_an_array_padded_with_minus_one_and_have_weights():
    old_rows, parts = normal_rows(9, 3, "float64"), np.array([[0, 4, 8], [2, -1, -1]])
    got = in_both(initializers.mean_of(parts), old_rows, 2)
    np.testing.assert_allclose(got, oracle([[0, 4, 8], [2]], old_rows), rtol=1e-14)
    weights = [[1, 2, 5], [3, 0, 0]]
    got = in_both(initializers.mean_of(parts, np.float64(weights)), old_rows, 2)
    np.testing.assert_allclose(got, oracle([[0, 4, 8], [2]], old_rows, [[1, 2, 5], [3]]), 1e-14)


def test_class_means_are_the_means_of_the_old_rows_of_a_class():
    old_rows = normal_rows(8, 3, "float64")
    old_classes, new_classes = list("abcabca") + [None], ["b", "a", "b"]
    initializer = initializers.class_means(old_classes, new_classes)
    expected = oracle([[1, 4], [0, 3, 6], [1, 4]], old_rows)
    np.testing.assert_allclose(in_both(initializer, old_rows, 3), expected, rtol=1e-14)
    numbers = {"a": 0, "b": 1, "c": 2, None: -1}
    initializer = initializers.class_means(
        np.array([numbers[each] for each in old_classes]), [1, 0, 1]
    )
    np.testing.assert_allclose(in_both(initializer, old_rows, 3), expected, rtol=1e-14)


def test_missing_classes_are_no_class():
    missing = float("nan")
    initializer = initializers.class_means([1.0, missing], [missing, 1.0], initializers.zeros())
    assert initializer.coverage().lacking == ("0",)
    np.testing.assert_array_equal(in_both(initializer, np.float32([[1], [2]]), 2), [[0], [1]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_which_nothing_is_known_are_those_of_the_fallback(dtype):
    old_rows = normal_rows(20, 3, dtype)
    fallback = initializers.glorot_normal(3)
    initializer = initializers.mean_of([[], [3], [], [20, 21]], fallback=fallback)
    drawn, got = new_rows(fallback, old_rows, 4), new_rows(initializer, old_rows, 4)
    np.testing.assert_array_equal(bits(got)[[0, 2]], bits(drawn)[[0, 2]])
    np.testing.assert_array_equal(bits(got)[1], bits(old_rows)[3])
    expected = (drawn[0].astype(float) + old_rows[3].astype(float)) / 2
    np.testing.assert_allclose(got[3].astype(float), expected, rtol=TOLERANCE[dtype])
    assert initializer.coverage() == (2, ("0", "2"), "glorot_normal(seed=3)")
    assert repr(initializer) == "mean_of(parts of 4 rows, fallback=glorot_normal(seed=3))"


def test_fallbacks_may_have_fallbacks():
    old_rows = normal_rows(6, 2)
    by_class = initializers.class_means("aabbcc", ["b", "x", "c"], initializers.mean())
    initializer = initializers.mean_of([[3], [], []], fallback=by_class)
    got = in_both(initializer, old_rows, 3)
    np.testing.assert_allclose(got, [old_rows[3], old_rows.mean(0), old_rows[4:].mean(0)], 1e-6)


@pytest.mark.parametrize(
    "initializer, message",
    [
        (lambda: initializers.mean_of([[0]]), "must be of the 2 new rows of 'embedding', got 1"),
        (lambda: initializers.mean_of([[0], [6]]), r"new row 1 must be ids in \[0, 6\).* got 6"),
        (lambda: initializers.mean_of([[-1], [0]]), "new row 0 must be ids .* got -1"),
        (lambda: initializers.mean_of([[5], [1, 4]]), "parts of one another, got new row 0"),
        (lambda: initializers.mean_of([[4], [0]]), r"new row 0 \(id 4\), which needs itself"),
        (
            lambda: initializers.mean_of([[0], []]),
            "known of 1 of 2 new rows, such as 1. .*fallback",
        ),
        (lambda: initializers.class_means("ab", "aa"), "each of the 4 old rows .* got 2"),
        (lambda: initializers.class_means("abcd", "ax"), "known of 1 of 2 new rows, such as 1"),
    ],
)
def test_parts_that_cannot_be_are_told(initializer, message):
    for make in (new_rows, in_numpy):
        with pytest.raises(ValueError, match=message):
            make(initializer(), counting_rows(4), 2)


def test_parts_that_are_no_ids_and_weights_that_are_none_are_refused():
    for parts in ([[0.5]], "ab", 3, [[[1]]], [["a"]]):
        with pytest.raises(TypeError, match="`parts` must be a list of ids for each new row"):
            initializers.mean_of(parts)
    for weights in ([[1]], [[1, 0]], [[1, np.nan]]):
        with pytest.raises(ValueError, match="positive number for each of the 2 parts of new row"):
            initializers.mean_of([[0, 1]], weights)
    with pytest.raises(ValueError, match="`weights` must be of 1 rows"):
        initializers.mean_of([[0, 1]], [])
    for fallback in ("mean", initializers.mean, tf.zeros_initializer()):
        with pytest.raises(TypeError):
            initializers.mean_of([[0]], fallback=fallback)


def test_only_parts_must_be_finite():
    old_rows = counting_rows(4)
    old_rows[1, 0] = np.nan
    assert np.isfinite(in_both(initializers.mean_of([[0], [2, 3]]), old_rows, 2)).all()
    with pytest.raises(ValueError, match="mean_of: old rows of 'embedding' .* NaN or infinity"):
        in_numpy(initializers.mean_of([[0], [1]]), old_rows, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="NaN or infinity"):
        new_rows(initializers.mean_of([[0], [1]]), old_rows, 2)


@pytest.fixture(params=["word2vec", "word2vec-bin", "glove", "npy", "array"])
def vectors_of(request, tmp_path):
    """Returns a function from tokens and vectors to arguments of `from_vectors`."""

    def make(tokens, vectors):
        if request.param == "array":
            return {"vectors": vectors, "vocabulary": tokens}
        path = str(tmp_path / "vectors")
        write_word_vectors(path, request.param, *vectors.shape, [(tokens, vectors)])
        return dict({"vocabulary": tokens} if request.param == "npy" else {}, vectors=path)

    return make


@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_are_taken_by_token_from_every_format(vectors_of, dtype):
    old_rows, vectors = normal_rows(5, 3, dtype), np.float32(normal_rows(6, 3)[::-1])
    given = vectors_of(["a", "b", "é", "d", "new york" if "x" in dtype else "e", "f"], vectors)
    fallback = initializers.copy_of([1, 2, 3])
    initializer = initializers.from_vectors(tokens=["é", "x", "a"], fallback=fallback, **given)
    got = new_rows(initializer, old_rows, 3)
    assert bits(got).tobytes() == bits(in_numpy(initializer, old_rows, 3)).tobytes()
    np.testing.assert_array_equal(bits(got)[[0, 2]], bits(vectors[[2, 0]].astype(got.dtype)))
    np.testing.assert_array_equal(bits(got)[1], bits(old_rows)[2])
    assert initializer.coverage() == (2, ("x",), "copy_of([1, 2, 3])")
    assert initializer.needs_old_rows
    assert not initializers.from_vectors(tokens=["a"], **given).needs_old_rows


def test_vectors_that_do_not_fit_are_told(vectors_of):
    given = vectors_of(["a", "b"], np.float32([[1, 2, 3], [4, np.inf, 6]]))
    for make in (new_rows, in_numpy):
        with pytest.raises(ValueError, match="vectors of dim 3, but 'embedding' has rows of shape"):
            make(initializers.from_vectors(tokens=["a", "b"], **given), counting_rows(4, 2))
        with pytest.raises(ValueError, match="'embedding' has single numbers.*NAME=INIT"):
            make(initializers.from_vectors(tokens=["a", "b"], **given), counting_rows(4, None))
        with pytest.raises(ValueError, match="the vector of 'b' holds NaN or infinity"):
            make(initializers.from_vectors(tokens=["a", "b"], **given), counting_rows(4, 3))
        with pytest.raises(ValueError, match="known of 2 of 3 new tokens, such as 'x', 'y'"):
            make(initializers.from_vectors(tokens=["x", "a", "y"], **given), counting_rows(4, 3), 3)
        with pytest.raises(ValueError, match="of the 2 new rows of 'embedding', got 1"):
            make(initializers.from_vectors(tokens=["a"], **given), counting_rows(4, 3))


def test_what_is_wrong_with_vectors_and_tokens_is_told_at_once(tmp_path):
    vectors, path = np.float32([[1, 2], [3, 4]]), str(tmp_path / "glove.txt")
    with open(path, "w") as file:
        file.write("a 1 2\nb 3 4\na 5 6\n")
    integers = np.eye(2, dtype=int)
    for given, tokens, vocabulary, message in [
        (vectors, ["a"], None, "the array has no tokens: give `vocabulary`"),
        (vectors, ["a"], ["a"], "each of the 2 vectors .* got 1"),
        (vectors, ["a"], ["a", "a"], "`vocabulary` must have each token once, got 'a'"),
        (path, ["a"], ["a"], "has tokens itself"),
        (path, ["a", "a"], None, "`tokens` must have each token once, got 'a'"),
        (path, "ab", None, "`tokens` must be a list of tokens, got the string"),
        (vectors[0], ["a"], ["a", "b"], r"floats of shape \[num_vectors"),
        (integers, ["a"], ["a", "b"], "but the array has int"),
    ]:
        with pytest.raises(ValueError, match=message):
            initializers.from_vectors(given, tokens, vocabulary)
    with pytest.raises(FileNotFoundError):
        initializers.from_vectors(str(tmp_path / "none.txt"), ["a"])
    # A token that is there twice matters if it is one of the new rows'.
    assert initializers.from_vectors(path, ["b"]).coverage().num_known == 1
    with pytest.raises(ValueError, match="token 'a' is that of line 1 again"):
        initializers.from_vectors(path, ["a"]).coverage()
    last = initializers.from_vectors(path, ["a"], duplicates="last")
    np.testing.assert_array_equal(in_numpy(last, counting_rows(4), 1), [[5, 6]])


def spaces(num_shared=60, num_new=4, seed=0):
    """Returns a donor [64, 5], its tokens, and table rows [60, 3] that are linear in it."""
    random = np.random.RandomState(seed)
    donor = random.randn(num_shared + num_new, 5)
    rows = donor @ random.randn(5, 3) + np.array([10.0, 0, -5])
    names = [f"t{number}" for number in range(num_shared + num_new)]
    return donor, names, rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ridge_finds_the_map_between_two_spaces(monkeypatch, dtype):
    donor, names, rows = spaces()
    # A reserved row at the beginning, two at the end; one old token that the donor lacks.
    old_tokens = [*names[:60], "lacks"]
    old_rows = np.zeros([1 + 61 + 2, 3])
    old_rows[1:61] = rows[:60]
    initializer = initializers.from_donor(
        donor, names[60:], old_tokens, vocabulary=names, method="ridge", reserved=(1, 2)
    )
    for chunk_bytes in (240, 1 << 20):
        monkeypatch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
        got = in_both(initializer, old_rows.astype(dtype), 4)
        np.testing.assert_allclose(got, rows[60:], atol=0.01)


def test_ridge_chooses_the_penalty_that_predicts_held_out_rows_best():
    random = np.random.RandomState(3)
    donor, names, rows = spaces(40, 200)
    noisy = rows[:40] + 5 * random.randn(40, 3)
    got = in_both(
        initializers.from_donor(donor, names[40:], names[:40], names, method="ridge"), noisy, 200
    )

    def fitted(penalty):
        centred = donor - donor[:40].mean(axis=0)
        shared = centred[:40]
        scale = penalty * np.square(shared).sum() / 5
        left = shared.T @ shared + scale * np.eye(5)
        matrix = np.linalg.solve(left, shared.T @ (noisy - noisy.mean(axis=0)))
        return noisy.mean(axis=0) + centred[40:] @ matrix

    tried = {penalty: fitted(penalty) for penalty in 10.0 ** np.arange(-4, 3)}
    chosen = [penalty for penalty, each in tried.items() if np.allclose(each, got, atol=1e-4)]
    assert len(chosen) == 1
    errors = {penalty: np.square(each - rows[40:]).mean() for penalty, each in tried.items()}
    assert errors[chosen[0]] < 2 * min(errors.values())


def test_nearest_weighs_the_rows_of_the_nearest_shared_tokens_by_sparsemax():
    donor = np.float32([[1, 0], [0, 2], [-1, 0], [0.6, 0.8], [30, 40.1], [0, 0]])
    names = ["east", "north", "west", "between", "new", "nothing"]
    old_rows = np.float64([[1], [2], [4], [8]])
    initializer = initializers.from_donor(
        donor, ["new", "nothing"], names[:4], names, k=2, fallback=initializers.zeros()
    )
    # Cosines to "between" and "north", .99… and .8: sparsemax of those.
    length = np.hypot(30, 40.1)
    first, second = (0.6 * 30 + 0.8 * 40.1) / length, 40.1 / length
    weights = np.array([1 + first - second, 1 - first + second]) / 2
    expected = weights[0] * 8 + weights[1] * 2
    np.testing.assert_allclose(in_both(initializer, old_rows, 2), [[expected], [0]], rtol=1e-6)
    assert initializer.coverage() == (1, ("nothing",), "constant(0.0)")
    one = initializers.from_donor(donor, ["new"], names[:4], names, k=1)
    np.testing.assert_array_equal(in_both(one, old_rows, 1), [[8]])


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    random = np.random.RandomState(0)
    scores = -np.sort(-random.randn(50, 6), axis=1)
    got = sparsemax(scores)
    np.testing.assert_allclose(got.sum(axis=1), 1)
    assert (got >= 0).all() and (got == 0).any()
    others = random.dirichlet(np.ones(6), size=[50, 500])
    distance = np.square(scores - got).sum(axis=1)
    assert (np.square(scores[:, np.newaxis] - others).sum(axis=2) >= distance[:, np.newaxis]).all()


def test_donors_that_tell_nothing_are_refused():
    donor, names, _ = spaces()
    for arguments, message in [
        ({"old_tokens": ["x", "y"]}, "has none of the 2 old tokens, such as"),
        ({"old_tokens": names[:3]}, "each of the 2 old rows of 'embedding', got 3 tokens"),
        ({"old_tokens": names[:1], "reserved": (0, 2)}, r"got 1 tokens and 0 \+ 2 reserved rows"),
        ({"old_tokens": [names[0]] * 2}, "`old_tokens` must have each token once"),
        ({"old_tokens": names[:2], "method": "far"}, "`method` must be one of nearest, ridge"),
        ({"old_tokens": names[:2], "k": 0}, "`k` must be positive, got 0"),
    ]:
        for make in (new_rows, in_numpy):
            with pytest.raises(ValueError, match=message):
                initializer = initializers.from_donor(
                    donor, names[60:], vocabulary=names, **arguments
                )
                make(initializer, counting_rows(2), 4)


def test_nothing_of_the_tables_size_enters_the_graph_def(graph):
    donor = np.random.RandomState(0).randn(30000, 4).astype(np.float32)
    names = [str(number) for number in range(30000)]
    for number, initializer in enumerate(
        [
            initializers.from_donor(donor, names[20000:], names[:20000], names, method="ridge"),
            initializers.from_vectors(donor, names[20000:], names),
            initializers.mean_of([[each] for each in range(10000)]),
        ]
    ):
        tf1_embed.get_grown_table(
            f"embedding_{number}",
            10000,
            old_rows=np.ones([20000, 4], np.float32),
            initializer=initializer,
        )
    assert graph.as_graph_def().ByteSize() < 100e3
