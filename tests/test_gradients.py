import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.optimizers import AdamWeightDecay
from support.tables import bits, counting_rows, special_rows
from tf1_embed import Rows, freeze_rows

FROZEN = Rows.range(0, 5, size=8)


def make_table(value=None, name="table"):
    return tf.get_variable(name, initializer=counting_rows(8) if value is None else value)


def gradients_of(loss, variable, how):
    if how == "compute_gradients":
        return tf.train.GradientDescentOptimizer(1.0).compute_gradients(loss, [variable])
    return zip(tf.gradients(loss, [variable]), [variable])


@pytest.fixture(params=["compute_gradients", "tf.gradients"])
def how(request):
    return request.param


# Slices.


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_slices_of_frozen_rows_are_dropped_and_duplicates_kept(session, variables, dtype, how):
    table = make_table()
    factors = tf.constant([[1.0], [2.0], [4.0], [8.0]])
    loss = tf.reduce_sum(tf.gather(table, tf.constant([7, 0, 7, 5], dtype)) * factors)
    [(gradient, variable)] = freeze_rows(gradients_of(loss, table, how), {table: FROZEN})
    assert variable is table
    assert gradient.indices.dtype == dtype
    session.run(table.initializer)
    values, indices, shape = session.run([gradient.values, gradient.indices, gradient.dense_shape])
    np.testing.assert_array_equal(indices, [7, 7, 5])
    np.testing.assert_array_equal(values, [[1, 1], [4, 4], [8, 8]])
    np.testing.assert_array_equal(shape, [8, 2])


def test_slices_of_one_row_are_summed_when_asked(session, variables, how):
    table = make_table()
    factors = tf.constant([[1.0], [2.0], [4.0], [8.0]])
    loss = tf.reduce_sum(tf.gather(table, [7, 0, 7, 5]) * factors)
    pairs = gradients_of(loss, table, how)
    [(gradient, _)] = freeze_rows(pairs, {table: FROZEN}, sum_duplicates=True)
    session.run(table.initializer)
    values, indices, shape = session.run([gradient.values, gradient.indices, gradient.dense_shape])
    np.testing.assert_array_equal(indices, [7, 5])
    np.testing.assert_array_equal(values, [[5, 5], [8, 8]])
    np.testing.assert_array_equal(shape, [8, 2])


@pytest.mark.parametrize("sum_duplicates", [False, True])
def test_batch_of_frozen_rows_leaves_no_slice(session, variables, sum_duplicates):
    table = make_table()
    pairs = gradients_of(tf.reduce_sum(tf.gather(table, [0, 4, 0])), table, "tf.gradients")
    [(gradient, _)] = freeze_rows(pairs, {table: FROZEN}, sum_duplicates)
    values, indices = session.run([gradient.values, gradient.indices])
    assert values.shape == (0, 2)
    assert indices.shape == (0,)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_slice_of_a_frozen_row_reaches_nothing_whatever_it_holds(session, variables, bad):
    table = make_table()
    factors = tf.constant([[bad], [1.0], [bad]])
    pairs = gradients_of(
        tf.reduce_sum(tf.gather(table, [0, 6, 1]) * factors), table, "tf.gradients"
    )
    [(gradient, _)] = freeze_rows(pairs, {table: FROZEN}, sum_duplicates=True)
    np.testing.assert_array_equal(session.run(gradient.values), [[1, 1]])
    assert session.run(tf.global_norm([gradient])) == pytest.approx(np.sqrt(2))


# Dense gradients.


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_dense_gradient_is_selected_never_multiplied(session, variables, bad, how):
    table = make_table()
    factors = np.full([8, 2], bad, np.float32)
    factors[5:] = [[1, 2], [3, 4], [bad, -0.0]]
    pairs = gradients_of(tf.reduce_sum(table * factors), table, how)
    [(gradient, _)] = freeze_rows(pairs, {table: FROZEN})
    session.run(table.initializer)
    actual = session.run(gradient)
    np.testing.assert_array_equal(bits(actual[:5]), 0)
    np.testing.assert_array_equal(bits(actual[5:]), bits(factors[5:]))


@pytest.mark.parametrize("bad", [1.0, np.inf, np.nan])
def test_dense_gradient_of_a_table_with_its_rows_on_axis_1(session, variables, bad):
    table = make_table(counting_rows(8, 3).T.copy())
    factors = np.full([3, 8], bad, np.float32)
    factors[:, 5:] = 7
    pairs = gradients_of(tf.reduce_sum(table * factors), table, "tf.gradients")
    [(gradient, _)] = freeze_rows(pairs, {table: FROZEN}, axis=1)
    actual = session.run(gradient)
    np.testing.assert_array_equal(actual, [[0] * 5 + [7] * 3] * 3)


def test_table_of_rank_1(session, variables):
    table = make_table(counting_rows(8, None))
    pairs = gradients_of(tf.reduce_sum(table * counting_rows(8, None)), table, "tf.gradients")
    [(gradient, _)] = freeze_rows(pairs, {table: FROZEN})
    np.testing.assert_array_equal(session.run(gradient), [0, 0, 0, 0, 0, 5, 6, 7])


# All pairs.


def test_pairs_keep_their_order_and_gradients_of_other_variables_are_untouched(graph, variables):
    table, other, unused = (make_table(name=name) for name in ("table", "other", "unused"))
    loss = tf.reduce_sum(tf.gather(table, [1])) + tf.reduce_sum(tf.gather(other, [1]))
    pairs = list(zip(tf.gradients(loss, [other, table, unused]), [other, table, unused]))
    frozen = freeze_rows(pairs, {table: FROZEN})
    assert [variable for _, variable in frozen] == [other, table, unused]
    assert frozen[0][0] is pairs[0][0]
    assert frozen[1][0] is not pairs[1][0]
    assert frozen[2][0] is None


@pytest.mark.parametrize("form", ["slices", "dense"])
@pytest.mark.parametrize("num_frozen", [0, 8])
def test_all_rows_or_none_may_be_frozen(session, variables, form, num_frozen):
    table = make_table()
    loss = tf.reduce_sum(tf.gather(table, [0, 7]) if form == "slices" else table)
    pairs = gradients_of(loss, table, "tf.gradients")
    [(gradient, _)] = freeze_rows(pairs, {table: Rows.range(0, num_frozen, size=8)})
    assert isinstance(gradient, tf.IndexedSlices) == (form == "slices")
    gradient = session.run(tf.convert_to_tensor(gradient))
    expected = [[0, 7] if form == "slices" else list(range(8)), []][num_frozen == 8]
    np.testing.assert_array_equal(np.flatnonzero(gradient[:, 0]), expected)


# Bad input.


def test_tensor_in_place_of_the_variable_is_explained(graph):
    table = make_table()
    vectors = tf.nn.embedding_lookup(table, [1, 2])
    with pytest.raises(TypeError, match="expected a variable.*slice cannot be trained.*Rows.of"):
        freeze_rows([], {vectors: FROZEN})


def test_rows_must_be_rows(graph):
    table = make_table()
    with pytest.raises(TypeError, match=r"`rows of variable 'table'` must be Rows.*got 0.5"):
        freeze_rows([(None, table)], {table: 0.5})
    with pytest.raises(ValueError, match=r"`rows of variable 'table'` must be ids in \[0, 8\)"):
        freeze_rows([(None, table)], {table: [8]})


@pytest.mark.parametrize("key", ["table", "tab*", "table:0"])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], range(5), slice(5), np.arange(8) < 5])
def test_variables_by_name_and_rows_as_plain_ids(session, key, rows):
    table = make_table()
    loss = tf.reduce_sum(tf.gather(table, [3, 6, 7]))
    pairs = gradients_of(loss, table, "compute_gradients")
    [(gradient, _)] = freeze_rows(pairs, {key: rows})
    np.testing.assert_array_equal(session.run(gradient.indices), [6, 7])


def test_name_that_matches_nothing_lists_the_trainable_variables(graph):
    table = make_table()
    with pytest.raises(KeyError, match="`frozen_rows` has 'tables\\*'.*trainable ones are: table"):
        freeze_rows([(None, table)], {"tables*": [0]})


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_rows_of_a_partitioned_variable_are_those_of_the_whole(session, strategy):
    partitioner = tf.fixed_size_partitioner(2)
    table = tf.get_variable("table", [8, 2], partitioner=partitioner)
    loss = tf.reduce_sum(tf.nn.embedding_lookup(table, [0, 3, 6, 7], strategy))
    pairs = tf.train.GradientDescentOptimizer(1.0).compute_gradients(loss)
    frozen = freeze_rows(pairs, {"table": range(5)}, partition_strategy=strategy)
    indices = session.run([gradient.indices for gradient, _ in frozen])
    assert [each.tolist() for each in indices] == {"mod": [[3], [3]], "div": [[], [2, 3]]}[strategy]
    with pytest.raises(ValueError, match="'table' has 2 partitions: `partition_strategy` must"):
        freeze_rows(pairs, {table: range(5)})


def test_slices_of_another_axis_than_the_rows_become_dense(session):
    table = tf.get_variable("table", [3, 4, 2], initializer=tf.zeros_initializer())
    pairs = tf.train.GradientDescentOptimizer(1.0).compute_gradients(
        tf.reduce_sum(tf.gather(table, [1, 1]))
    )
    assert isinstance(pairs[0][0], tf.IndexedSlices)
    [(gradient, _)] = freeze_rows(pairs, {table: range(3)}, axis=1)
    expected = np.zeros([3, 4, 2])
    expected[1, 3] = 2
    np.testing.assert_array_equal(session.run(gradient), expected)


def test_eager_mode_is_an_error():
    with tf.Graph().as_default():
        table = make_table()
    if not tf.executing_eagerly():
        pytest.skip("this process is in graph mode")
    with pytest.raises(RuntimeError, match="freeze_rows builds a graph.*graph mode"):
        freeze_rows([(None, table)], {"table": [0]})


def test_rows_must_be_of_the_size_of_the_table(graph):
    table = make_table()
    with pytest.raises(ValueError, match="'table' has 8 rows on axis 0.* of a table of 9"):
        freeze_rows([(None, table)], {table: Rows.range(0, 5, size=9)})
    with pytest.raises(ValueError, match="'table' has 2 rows on axis 1.* of a table of 8"):
        freeze_rows([(None, table)], {table: FROZEN}, axis=1)


@pytest.mark.parametrize("axis", [-1, 2])
def test_axis_must_be_one_of_the_table(graph, axis):
    table = make_table()
    with pytest.raises(ValueError, match=rf"`axis` of variable 'table'.* cannot be {axis}"):
        freeze_rows([(None, table)], {table: FROZEN}, axis=axis)


def test_variable_without_a_gradient_is_an_error(graph, how):
    table, other = make_table(), make_table(name="other")
    pairs = list(zip(tf.gradients(tf.reduce_sum(other), [table, other]), [table, other]))
    with pytest.raises(ValueError, match="'table' has no gradient: the loss does not depend"):
        freeze_rows(pairs, {table: FROZEN})


@pytest.mark.parametrize("trainable", [True, False])
def test_variable_that_is_not_among_the_pairs_is_an_error_that_lists_them(graph, trainable):
    table = tf.get_variable("table", initializer=counting_rows(8), trainable=trainable)
    pairs = [(tf.zeros([8, 2]), make_table(name=name)) for name in ("other", "another")]
    with pytest.raises(ValueError, match="'table' is not among .*'another', 'other'") as error:
        freeze_rows(pairs, {table: FROZEN})
    assert ("trainable=False" in str(error.value)) != trainable


# What the docstring says of optimizers: a row without a gradient is not a row that stays. A
# TensorFlow that behaves otherwise should be noticed.

_L2 = {"l2_regularization_strength": 0.1}

FACTS = {
    # optimizer: what frozen rows do with slices (cold, warm), with dense gradients (cold, warm)
    "gradient_descent": (
        lambda: tf.train.GradientDescentOptimizer(0.1),
        "stays / stays / stays* / stays*",
    ),
    "adagrad": (lambda: tf.train.AdagradOptimizer(0.1), "stays / stays / stays* / stays*"),
    "rmsprop": (lambda: tf.train.RMSPropOptimizer(0.1), "stays / stays / stays* / stays*"),
    "adadelta": (lambda: tf.train.AdadeltaOptimizer(1.0), "stays / stays / stays* / stays*"),
    "momentum": (lambda: tf.train.MomentumOptimizer(0.1, 0.9), "stays / stays / stays* / moves"),
    "momentum_nesterov": (
        lambda: tf.train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
        "stays / stays / stays* / moves",
    ),
    "rmsprop_momentum": (
        lambda: tf.train.RMSPropOptimizer(0.1, momentum=0.9),
        "stays / stays / stays* / moves",
    ),
    "rmsprop_momentum_centered": (
        lambda: tf.train.RMSPropOptimizer(0.1, momentum=0.9, centered=True),
        "stays / stays / stays* / moves",
    ),
    "adam": (lambda: tf.train.AdamOptimizer(0.1), "stays* / moves / stays* / moves"),
    "ftrl": (lambda: tf.train.FtrlOptimizer(0.1), "stays / stays / set to 0 / moves"),
    "adagrad_da": (
        lambda: tf.train.AdagradDAOptimizer(0.1, tf.train.get_or_create_global_step()),
        "stays / stays / set to 0 / moves",
    ),
    "ftrl_shrinkage": (
        lambda: tf.train.FtrlOptimizer(0.1, l2_shrinkage_regularization_strength=0.1),
        "stays / stays / moves / moves",
    ),
    "proximal_adagrad": (
        lambda: tf.train.ProximalAdagradOptimizer(0.1, **_L2),
        "stays / stays / moves / moves",
    ),
    "proximal_gradient_descent": (
        lambda: tf.train.ProximalGradientDescentOptimizer(0.1, **_L2),
        "stays / stays / moves / moves",
    ),
    "adam_weight_decay": (AdamWeightDecay, "moves / moves / moves / moves"),
}


@pytest.mark.parametrize("optimizer", FACTS)
def test_what_dropping_gradients_alone_does(graph, variables, optimizer):
    make_optimizer, facts = FACTS[optimizer]
    special = special_rows()
    ordinary = counting_rows(4, start=1)
    initial = np.concatenate([special, ordinary, ordinary])
    size, num_special = len(initial), len(special)
    frozen = Rows.range(0, num_special + 4, size=size)
    factors = tf.constant(np.linspace(-1, 1, 2 * size).reshape([size, 2]), tf.float32)
    trains, tables = {}, {}
    for form in ("slices", "dense"):
        table = tables[form] = make_table(initial, form)
        vectors = tf.gather(table, np.arange(size)) if form == "slices" else table
        base = make_optimizer()
        pairs = base.compute_gradients(tf.reduce_sum(vectors * factors), [table])
        with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
            trains[form, "all"] = base.apply_gradients(pairs)
            trains[form, "frozen"] = base.apply_gradients(freeze_rows(pairs, {table: frozen}))
    actual = []
    with tf.Session(graph=graph) as session:
        for form, table in tables.items():
            session.run(tf.global_variables_initializer())
            for state in ("cold", "warm"):
                if state == "warm":
                    session.run([trains[form, "all"]])
                    session.run(table.initializer)
                for _ in range(2):
                    session.run([trains[form, "frozen"]])
                value = session.run(table)
                assert not np.array_equal(value[frozen.count :], initial[frozen.count :])
                actual.append(_what_rows_did(value, initial, num_special, frozen.count))
    assert " / ".join(actual) == facts


def _what_rows_did(value, initial, num_special, num_frozen):
    unchanged = bits(value) == bits(initial)
    if unchanged[:num_frozen].all():
        return "stays"
    if unchanged[num_special:num_frozen].all():
        return "stays*"
    return "moves" if value[num_special:num_frozen].any() else "set to 0"
