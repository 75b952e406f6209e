import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf1_embed import Rows
from tf1_embed.rows import as_rows


@st.composite
def sets_of_rows(draw):
    """Draws (a set of row ids, the size of its table)."""
    size = draw(st.integers(0, 40))
    kinds = st.sampled_from(["any", "range"])
    if size and draw(kinds) == "any":
        return draw(st.frozensets(st.integers(0, size - 1))), size
    start = draw(st.integers(0, size))
    return frozenset(range(start, draw(st.integers(start, size)))), size


def make_rows(ids, size):
    return Rows.of(np.array(sorted(ids), np.int64), size)


def assert_holds(rows, ids, size):
    """Asserts all that Rows say about themselves against a plain set of ids."""
    ordered = sorted(ids)
    assert (rows.size, rows.count, len(rows)) == (size, len(ids), len(ids))
    np.testing.assert_array_equal(rows.ids(), ordered)
    assert rows.ids().dtype == np.int64
    outside = np.arange(-3, size + 3)
    np.testing.assert_array_equal(rows.contains(outside), [each in ids for each in outside])
    np.testing.assert_array_equal(rows.position(ordered), np.arange(len(ids)))


@settings(max_examples=200)
@given(sets_of_rows())
def test_rows_are_the_set_they_were_made_of(case):
    ids, size = case
    assert_holds(make_rows(ids, size), ids, size)


@settings(max_examples=200)
@given(sets_of_rows())
def test_complement_holds_all_other_rows_and_twice_is_the_set_again(case):
    ids, size = case
    rows = make_rows(ids, size)
    assert_holds(~rows, set(range(size)) - ids, size)
    assert ~~rows == rows


@settings(max_examples=100)
@given(sets_of_rows(), st.randoms(use_true_random=False))
def test_order_duplicates_and_shape_of_ids_do_not_matter(case, random):
    ids, size = case
    shuffled = sorted(ids) * 2
    random.shuffle(shuffled)
    rows = Rows.of(np.array(shuffled, np.int32).reshape(2, -1), size)
    assert rows == make_rows(ids, size)
    assert hash(rows) == hash(make_rows(ids, size))


@settings(max_examples=100)
@given(sets_of_rows())
def test_where_takes_the_rows_at_which_the_mask_is_true(case):
    ids, size = case
    mask = np.array([each in ids for each in range(size)], bool)
    assert Rows.where(mask) == make_rows(ids, size)


@given(st.data())
def test_range_is_the_set_of_its_ids(data):
    size = data.draw(st.integers(0, 20))
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    rows = Rows.range(start, stop, size)
    assert_holds(rows, set(range(start, stop)), size)
    assert rows == Rows.of(range(start, stop), size)


@given(sets_of_rows(), sets_of_rows())
def test_rows_are_equal_where_their_ids_and_sizes_are(one, other):
    assert (make_rows(*one) == make_rows(*other)) == (one == other)
    assert make_rows(*one) in {make_rows(*one): None}


@settings(max_examples=40)
@given(sets_of_rows(), st.sampled_from(["int32", "int64"]), st.booleans())
def test_graph_says_what_numpy_says(case, dtype, is_matrix):
    ids, size = case
    rows = make_rows(ids, size)
    every = np.arange(size, dtype=dtype)
    members = np.array(sorted(ids), dtype)
    if is_matrix:
        every, members = every.reshape(1, -1), members.reshape(-1, 1)
    with tf.Graph().as_default(), tf.Session() as session:
        contains = rows.contains(tf.constant(every))
        position = rows.position(tf.constant(members))
        ids_tensor = rows.ids_tensor()
        got = session.run([contains, position, ids_tensor])
    assert (contains.dtype, position.dtype, ids_tensor.dtype) == (tf.bool, dtype, tf.int64)
    np.testing.assert_array_equal(got[0], rows.contains(every))
    np.testing.assert_array_equal(got[1], rows.position(members))
    np.testing.assert_array_equal(got[2], rows.ids())


@pytest.mark.parametrize("rows", [Rows.range(2, 5, 9), Rows.of([1, 4, 8], 9)])
def test_ids_of_unknown_shape_are_served_in_the_graph(rows, session):
    ids = tf.placeholder(tf.int64, None)
    contains = rows.contains(ids)
    assert session.run(contains, {ids: 4}) == True  # noqa: E712 a NumPy bool
    assert session.run(contains, {ids: [[4], [7]]}).tolist() == [[True], [False]]
    assert session.run(rows.position(ids), {ids: np.zeros([0, 3])}).shape == (0, 3)


def test_range_of_a_huge_table_costs_nothing():
    rows = Rows.range(2**40, 2**41, size=2**42)
    assert rows.count == 2**40
    assert (~rows).count == 3 * 2**40
    assert rows.position([2**40 + 7])[0] == 7
    assert (~rows).position([2**41])[0] == 2**40


def test_range_adds_no_more_to_the_graph_when_the_table_is_larger(graph):
    def graph_bytes(size):
        with tf.Graph().as_default() as graph:
            rows = Rows.range(size // 2, size, size)
            ids = tf.placeholder(tf.int64, [None])
            rows.contains(ids), rows.position(ids), rows.ids_tensor()
            return graph.as_graph_def().ByteSize()

    assert graph_bytes(1 << 40) <= graph_bytes(1 << 4) + 100


@pytest.mark.parametrize("field", ["size", "count", "_starts", "anything"])
def test_rows_are_immutable(field):
    with pytest.raises(AttributeError, match=f"immutable: `{field}`"):
        setattr(Rows.range(0, 1, 2), field, 3)


def test_ids_that_rows_gave_or_took_do_not_reach_into_them():
    given_ids = np.array([1, 4])
    rows = Rows.of(given_ids, 6)
    given_ids[:] = 0
    rows.ids()[:] = 0
    assert rows.ids().tolist() == [1, 4]


@pytest.mark.parametrize("other", [None, 3, {1, 2}, [1, 2]])
def test_rows_equal_nothing_but_rows(other):
    assert Rows.of([1, 2], 3) != other


@pytest.mark.parametrize(
    "rows",
    [Rows.of([], 3), Rows.range(1, 3, 3), Rows.of([0, 2], 3), Rows.of(range(0, 16, 2), 20)],
)
def test_repr_of_few_rows_makes_them_again(rows):
    assert eval(repr(rows)) == rows


def test_repr_of_many_rows_is_short():
    assert repr(Rows.of(range(0, 2000, 2), 2000)) == "<1000 rows of 2000, from 0 to 1998>"


@pytest.mark.parametrize("argument", ["start", "stop", "size"])
@pytest.mark.parametrize("value", [1.0, True, np.bool_(True), "1", None])
def test_range_takes_ints_only(argument, value):
    arguments = {"start": 0, "stop": 1, "size": 2, argument: value}
    with pytest.raises(TypeError, match=f"`{argument}` must be an int"):
        Rows.range(**arguments)


@pytest.mark.parametrize("start, stop, size", [(-1, 1, 2), (2, 1, 2), (0, 3, 2), (0, 0, -1)])
def test_range_outside_of_the_table_is_refused(start, stop, size):
    with pytest.raises(ValueError, match=f"start={start}, stop={stop}, size={size}"):
        Rows.range(start, stop, size)


@pytest.mark.parametrize("ids", [[0.5], ["a"], [True, False]])
def test_of_takes_integers_only(ids):
    with pytest.raises(TypeError, match="`ids` must be integers, got .* use Rows.where"):
        Rows.of(ids, 2)


@pytest.mark.parametrize("size", [2.0, True, None])
def test_of_takes_an_int_as_size(size):
    with pytest.raises(TypeError, match="`size` must be an int"):
        Rows.of([0], size)


@pytest.mark.parametrize("ids, offending", [([0, 5], 5), ([-2, 1], -2)])
def test_of_names_the_id_that_is_not_in_the_table(ids, offending):
    with pytest.raises(ValueError, match=rf"`ids` must be in \[0, 5\).* got {offending}$"):
        Rows.of(ids, 5)


def test_of_refuses_a_negative_size():
    with pytest.raises(ValueError, match="`size` must not be negative, got -1"):
        Rows.of([], -1)


@pytest.mark.parametrize("mask", [[0, 1], [[True]], True, [1.0]])
def test_where_takes_a_vector_of_bools_only(mask):
    with pytest.raises(ValueError, match="`mask` must be a bool vector, .* use Rows.of"):
        Rows.where(mask)


@pytest.mark.parametrize("rows", [Rows.range(2, 4, 6), Rows.of([2, 5], 6), Rows.of([], 6)])
def test_position_of_an_id_that_is_not_in_the_set_names_it(rows):
    with pytest.raises(ValueError, match="`ids` must be in Rows.*; 1 is not"):
        rows.position([1])


def test_membership_of_ids_that_are_no_integers_is_refused():
    with pytest.raises(TypeError, match="`ids` must be integers"):
        Rows.range(0, 1, 2).contains([0.0])


@settings(max_examples=200)
@given(sets_of_rows())
def test_runs_are_the_set_and_make_it_again(case):
    ids, size = case
    rows = make_rows(ids, size)
    assert [id_ for start, stop in rows.runs() for id_ in range(start, stop)] == sorted(ids)
    assert Rows.of_runs(rows.runs(), size) == rows


@pytest.mark.parametrize(
    "runs, error",
    [
        ([[0, 9]], ValueError),
        ([[-1, 2]], ValueError),
        ([[3, 3]], ValueError),
        ([[3, 5], [1, 2]], ValueError),
        ([[1, 3], [2, 4]], ValueError),
        # One run, which Rows keeps as one.
        ([[1, 3], [3, 4]], ValueError),
        ([[1, 2, 3]], TypeError),
        ([1, 2], TypeError),
        ([[0.0, 1.0]], TypeError),
        ([[False, True]], TypeError),
        ("rows", TypeError),
    ],
)
def test_runs_that_are_none_of_the_table_are_refused(runs, error):
    with pytest.raises(error, match="`runs` must be"):
        Rows.of_runs(runs, size=8)


@settings(max_examples=200)
@given(sets_of_rows(), st.integers(1, 12))
def test_chunks_are_the_rows_in_order_and_no_longer_than_asked(case, max_rows):
    ids, size = case
    rows = make_rows(ids, size)
    table = np.arange(size)
    chunks = [table[index] for index in rows.chunks(max_rows)]
    assert [len(each) for each in chunks[:-1]] == [max_rows] * len(chunks[:-1])
    assert all(0 < len(each) <= max_rows for each in chunks)
    assert np.concatenate([[], *chunks]).tolist() == sorted(ids)


def test_chunks_of_a_range_are_slices_which_cost_no_array():
    rows = Rows.range(10, 10**12, size=10**12)
    chunks = rows.chunks(10**9)
    assert next(chunks) == slice(10, 10**9 + 10)
    assert next(chunks) == slice(10**9 + 10, 2 * 10**9 + 10)


@pytest.mark.parametrize(
    "value",
    [
        Rows.of([3, 4], size=5),
        [4, 3, 4],
        (3, 4),
        np.int32([3, 4]),
        range(3, 5),
        range(4, 2, -1),
        slice(3, None),
        slice(-2, 5),
        [False, False, False, True, True],
        np.arange(5) > 2,
    ],
    ids=repr,
)
def test_as_rows_takes_rows_ids_ranges_slices_and_masks(value):
    assert as_rows("rows", value, 5) == Rows.range(3, 5, size=5)


@pytest.mark.parametrize("value", [[], range(2, 2), slice(0, 0), np.zeros(5, bool)], ids=repr)
def test_as_rows_takes_none_of_the_rows(value):
    assert as_rows("rows", value, 5) == Rows.range(0, 0, size=5)


def test_as_rows_takes_every_second_row():
    assert as_rows("rows", slice(None, None, 2), 5) == Rows.of([0, 2, 4], size=5)


def test_as_rows_makes_no_ids_of_a_long_range():
    assert as_rows("rows", slice(1 << 40), 1 << 50).count == 1 << 40


@pytest.mark.parametrize(
    "value", [3, "3", None, [[3]], {3}, [3.0], tf, object()], ids=lambda value: type(value).__name__
)
def test_as_rows_refuses_what_names_no_rows(value):
    with pytest.raises(TypeError, match="`chosen` must be"):
        as_rows("chosen", value, 5)


def test_as_rows_refuses_a_tensor_by_its_name():
    with tf.Graph().as_default(), pytest.raises(TypeError, match="`chosen` must be Rows, a list"):
        as_rows("chosen", tf.constant([3]), 5)


@pytest.mark.parametrize(
    "value, got",
    [
        ([5], "got 5"),
        ([-1], "got -1"),
        (range(3, 6), "got 5"),
        (slice(3, 6), r"got slice\(3, 6"),
        (slice(-6, 2), r"got slice\(-6, 2"),
        ([True, False], "got 2"),
        (Rows.of([3], size=4), "got rows of a table of 4"),
    ],
)
def test_as_rows_refuses_rows_that_the_table_does_not_have(value, got):
    with pytest.raises(ValueError, match=f"`chosen`.* {got}"):
        as_rows("chosen", value, 5)
