import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.optimizers import OPTIMIZERS
from support.tables import (
    DTYPES,
    bits,
    counting_rows,
    load_checkpoint,
    save_checkpoint,
    special_rows,
)
from tf1_embed import Rows, initializers


def grow(name="embedding", num_new_rows=2, old_rows=None, **kwargs):
    """Returns a table whose old row i holds i; its new rows hold -1."""
    kwargs.setdefault("initializer", initializers.constant(-1))
    return tf1_embed.get_grown_table(
        name, num_new_rows, old_rows=counting_rows(5) if old_rows is None else old_rows, **kwargs
    )


def names(variables):
    return [each.op.name for each in variables]


# What a table is.


def test_table_says_what_it_is(variables):
    table = grow()
    assert (table.name, table.shape, table.dtype) == ("embedding", (7, 2), tf.float32)
    assert isinstance(table, tf1_embed.GrownTable)
    assert (table.num_old_rows, table.num_new_rows) == (5, 2)
    assert (table.num_frozen_rows, table.num_trainable_rows) == (5, 2)
    assert table.get_shape().as_list() == [7, 2]
    assert table.trainable_rows == Rows.range(5, 7, size=7)
    assert table.frozen.shape.as_list() == [5, 2]
    assert table.trainable.shape.as_list() == [2, 2]
    assert repr(table) == (
        "<GrownTable 'embedding' of 5 frozen and 2 trainable rows, shape (7, 2), float32>"
    )


IN_BOTH = """
    check_restored check_train_op dtype frozen get_shape name num_frozen_rows num_trainable_rows
    partition_strategy read shape summary trainable trainable_rows
""".split()


def test_completion_shows_what_is_documented_and_nothing_else(graph):
    split = tf1_embed.get_row_split_table("split", [1, 3], old_rows=counting_rows(5))
    for table, its_own in ((grow(), ["num_new_rows", "num_old_rows"]), (split, [])):
        assert [name for name in dir(table) if name[0] != "_"] == sorted(IN_BOTH + its_own)
        documented = " ".join(each.__doc__ for each in type(table).__mro__[:-1])
        methods = [name for name in IN_BOTH if callable(getattr(type(table), name, None))]
        assert all(getattr(type(table), name).__doc__ for name in methods)
        assert all(f"{name}:" in documented for name in set(IN_BOTH + its_own) - set(methods))


def test_summary_says_what_is_frozen_what_trains_and_what_that_saves(graph):
    assert grow(old_rows=counting_rows(12000, dim=64)).summary() == (
        "embedding, float32 of shape (12002, 64)\n"
        "  frozen     12,000 rows     3.1 MB  in embedding\n"
        "  trainable       2 rows      512 B  in embedding_new_rows\n"
        "  saved                      3.1 MB  in each slot of the optimizer"
    )


def test_summary_of_chosen_rows_counts_those_that_train(graph):
    table = tf1_embed.get_row_split_table(
        "table", slice(1, 3), old_rows=counting_rows(5, None, "float16")
    )
    assert table.summary() == (
        "table, float16 of shape (5,)\n"
        "  frozen     3 rows        6 B  in table\n"
        "  trainable  2 rows        4 B  in table_trainable_rows\n"
        "  saved                    6 B  in each slot of the optimizer"
    )


def test_only_the_new_rows_are_trainable_and_both_are_global(variables):
    table = grow()
    assert tf.trainable_variables() == [table.trainable]
    assert set(names(tf.global_variables())) == {"embedding", "embedding_new_rows"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 1, 3])
def test_read_returns_old_and_new_rows_in_one(variables, session, dtype, dim):
    table = grow(old_rows=counting_rows(5, dim, dtype))
    session.run(tf.global_variables_initializer())
    whole = table.read(name="whole")
    assert (whole.dtype, whole.shape.as_list()) == (dtype, list(table.shape))
    got = session.run(whole)
    np.testing.assert_array_equal(bits(got[:5]), bits(counting_rows(5, dim, dtype)))
    np.testing.assert_array_equal(got[5:].astype(np.float64), np.full(table.shape, -1)[5:])


def test_kind_of_variable_is_the_scopes_or_the_arguments(graph):
    for scope_uses, argument, expected in [
        (True, None, True),
        (False, None, False),
        (True, False, False),
        (False, True, True),
    ]:
        with tf.variable_scope(f"{scope_uses}_{argument}", use_resource=scope_uses):
            table = grow(use_resource=argument)
        for variable in (table.frozen, table.trainable):
            assert hasattr(variable, "handle") == expected


@pytest.mark.parametrize("num_new_rows", [np.int32(2), np.int64(2)])
def test_number_of_new_rows_may_be_a_numpy_int(graph, num_new_rows):
    assert grow(num_new_rows=num_new_rows).shape == (7, 2)


# The variable scope.


def test_scope_gives_the_prefix_of_both_names(variables):
    with tf.variable_scope("model"), tf.variable_scope("encoder"):
        table = grow()
    assert table.name == "model/encoder/embedding"
    assert names([table.frozen, table.trainable]) == [
        "model/encoder/embedding",
        "model/encoder/embedding_new_rows",
    ]


@pytest.mark.parametrize("reuse", [True, "AUTO_REUSE"])
def test_reuse_shares_both_variables(variables, session, reuse):
    reuse = tf.AUTO_REUSE if reuse == "AUTO_REUSE" else reuse
    with tf.variable_scope("model", reuse=reuse if reuse is tf.AUTO_REUSE else None):
        first = grow()
    with tf.variable_scope("model", reuse=reuse):
        second = grow()
    assert (second.frozen, second.trainable) == (first.frozen, first.trainable)
    assert len(tf.global_variables()) == 2
    session.run(tf.global_variables_initializer())
    got = session.run(tf1_embed.embedding_lookup(second, [4, 6]))
    np.testing.assert_array_equal(got, [[4, 4], [-1, -1]])


def test_reuse_of_what_does_not_exist_is_refused(variables):
    with pytest.raises(ValueError, match="embedding does not exist"):
        with tf.variable_scope("", reuse=True):
            grow()


@pytest.mark.parametrize("taken", ["embedding", "embedding_new_rows"])
def test_name_that_exists_is_refused_with_both_ways_out(variables, taken):
    tf.get_variable(taken, [3])
    with pytest.raises(ValueError, match=f"'{taken}' exists already .*reuse=True.* rename"):
        grow()


def test_custom_getter_is_called_for_both_variables(variables):
    seen = []

    def see(getter, name, *args, **kwargs):
        seen.append((name, kwargs["trainable"]))
        return getter(name, *args, **kwargs)

    with tf.variable_scope("model", custom_getter=see):
        grow()
    assert [name for name, _ in seen] == ["model/embedding", "model/embedding_new_rows"]
    assert seen[0][1] is False
    assert seen[1][1] is not False


def test_custom_getter_that_returns_a_tensor_is_refused(variables):
    def average(getter, *args, **kwargs):
        return tf.identity(getter(*args, **kwargs))

    with tf.variable_scope("model", custom_getter=average):
        with pytest.raises(ValueError, match="custom getter returned .* needs the variable itself"):
            grow()


def test_scope_may_lose_its_partitioner(variables):
    with tf.variable_scope("model", partitioner=tf.fixed_size_partitioner(2)):
        tf.get_variable_scope().set_partitioner(None)
        assert grow().shape == (7, 2)


@pytest.mark.parametrize("where", ["scope", "argument"])
def test_regularizer_is_of_the_new_rows_only(variables, session, where):
    def regularizer(rows):
        return tf.reduce_sum(rows)

    of_scope, of_argument = (regularizer, None) if where == "scope" else (None, regularizer)
    with tf.variable_scope("model", regularizer=of_scope):
        grow(regularizer=of_argument)
    (loss,) = tf.losses.get_regularization_losses()
    session.run(tf.global_variables_initializer())
    assert session.run(loss) == -4


def test_regularizer_of_the_argument_goes_before_the_scopes(variables, session):
    with tf.variable_scope("model", regularizer=lambda rows: tf.constant(1.0)):
        grow(regularizer=lambda rows: tf.constant(2.0))
    assert [session.run(each) for each in tf.losses.get_regularization_losses()] == [2.0]


def test_constraint_is_of_the_new_rows_only(variables):
    table = grow(constraint=lambda rows: rows)
    assert table.trainable.constraint is not None
    assert table.frozen.constraint is None


def test_collections_are_those_of_both_variables(variables):
    grow(collections=["mine", tf.GraphKeys.GLOBAL_VARIABLES])
    assert names(tf.get_collection("mine")) == ["embedding", "embedding_new_rows"]


def test_initializer_of_the_scope_makes_the_new_rows_and_not_the_old_ones(variables, session):
    with tf.variable_scope("model", initializer=tf.constant_initializer(9.0)):
        table = grow(initializer=None)
    session.run(tf.global_variables_initializer())
    assert session.run(table.trainable).tolist() == [[9, 9], [9, 9]]
    np.testing.assert_array_equal(session.run(table.frozen), counting_rows(5))


def test_variables_can_be_initialised_in_any_order(variables, session):
    table = grow(initializer=initializers.copy_of([3, 4]))
    session.run(table.trainable.initializer)
    session.run(table.frozen.initializer)
    np.testing.assert_array_equal(session.run(table.trainable), [[3, 3], [4, 4]])
    np.testing.assert_array_equal(session.run(table.frozen), counting_rows(5))


# Chosen rows.

CHOSEN = {
    "first": [0, 1],
    "last": [4, 5],
    "middle": [2, 3],
    "scattered": [0, 3, 5],
    "all": [0, 1, 2, 3, 4, 5],
}


@pytest.mark.parametrize("chosen", list(CHOSEN.values()), ids=list(CHOSEN))
def test_row_split_table_starts_as_the_old_table(variables, session, chosen):
    rows = special_rows("float32")[:6]
    table = tf1_embed.get_row_split_table("embedding", Rows.of(chosen, 6), old_rows=rows)
    assert names(tf.global_variables()) == ["embedding", "embedding_trainable_rows"]
    assert tf.trainable_variables() == [table.trainable]
    assert isinstance(table, tf1_embed.RowSplitTable)
    assert table.shape == (6, 2)
    assert (table.num_frozen_rows, table.num_trainable_rows) == (6 - len(chosen), len(chosen))
    session.run(tf.global_variables_initializer())
    assert bits(session.run(table.frozen)).tobytes() == bits(rows).tobytes()
    assert bits(session.run(table.trainable)).tobytes() == bits(rows[chosen]).tobytes()
    whole = table.read()
    assert whole.shape.as_list() == [6, 2]
    assert bits(session.run(whole)).tobytes() == bits(rows).tobytes()


@pytest.mark.parametrize("chosen", list(CHOSEN.values()), ids=list(CHOSEN))
def test_training_moves_the_chosen_rows_and_no_others(variables, session, chosen):
    table = tf1_embed.get_row_split_table(
        "embedding", Rows.of(chosen, 6), old_rows=counting_rows(6)
    )
    every_id = tf1_embed.embedding_lookup(table, tf.range(6))
    train_op = tf.train.GradientDescentOptimizer(10.0).minimize(tf.reduce_sum(every_id))
    session.run(tf.global_variables_initializer())
    session.run(train_op)
    expected = counting_rows(6)
    expected[chosen] -= 10
    assert session.run(table.read()).tobytes() == expected.tobytes()
    assert session.run(every_id).tobytes() == expected.tobytes()
    assert session.run(table.frozen).tobytes() == counting_rows(6).tobytes()


def test_row_split_table_needs_rows_of_its_own_size(graph):
    with pytest.raises(ValueError, match="of a table of 5 rows, got rows of a table of 6"):
        tf1_embed.get_row_split_table("embedding", Rows.of([1], 6), old_rows=counting_rows(5))
    with pytest.raises(ValueError, match="at least one row"):
        tf1_embed.get_row_split_table("embedding", Rows.of([], 5), old_rows=counting_rows(5))
    with pytest.raises(TypeError, match="`trainable_rows` must be Rows, a list of ids, .* got 1"):
        tf1_embed.get_row_split_table("embedding", 1, old_rows=counting_rows(5))


@pytest.mark.parametrize(
    "chosen", [[3, 1], range(1, 4, 2), slice(1, None, 2), [False, True, False, True, False]]
)
def test_chosen_rows_may_be_ids_a_range_a_slice_or_a_mask(graph, chosen):
    table = tf1_embed.get_row_split_table("embedding", chosen, old_rows=counting_rows(5))
    assert table.trainable_rows == Rows.of([1, 3], size=5)


# Growing, training, saving, merging, and again.


def train_new_rows(session, table, amount):
    """Subtracts `amount` from all new rows by training."""
    new_ids = tf.range(table.num_old_rows, table.shape[0])
    loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, new_ids))
    train_op = tf.train.GradientDescentOptimizer(amount).minimize(loss)
    session.run(tf.global_variables_initializer())
    session.run(train_op)


@pytest.mark.parametrize("use_resource", [False, True])
def test_table_grows_twice(tmp_path, use_resource):
    rows = special_rows()
    checkpoint = save_checkpoint(tmp_path / "base", {"model/embedding": rows})
    for growth in range(2):
        with tf.Graph().as_default(), tf.Session() as session:
            with tf.variable_scope("model", use_resource=use_resource):
                table = tf1_embed.get_grown_table(
                    "embedding", 3, checkpoint=checkpoint, initializer=initializers.constant(5)
                )
            train_new_rows(session, table, amount=growth + 1.0)
            grown = tf.train.Saver().save(session, str(tmp_path / f"grown-{growth}"))
        checkpoint = str(tmp_path / f"merged-{growth}")
        tf1_embed.merge_checkpoint(grown, ["model/embedding"], checkpoint)
        expected_new = np.full([3, 2], 4.0 - growth, np.float32)
        rows = np.concatenate([rows, expected_new])

        got = load_checkpoint(checkpoint)["model/embedding"]
        assert bits(got).tobytes() == bits(rows).tobytes()


def test_saver_of_the_old_model_finds_the_frozen_rows(tmp_path, variables, session):
    checkpoint = save_checkpoint(tmp_path / "base", {"embedding": counting_rows(5, start=50)})
    table = grow()
    session.run(tf.global_variables_initializer())
    tf.train.Saver({"embedding": table.frozen}).restore(session, checkpoint)
    np.testing.assert_array_equal(session.run(table.frozen), counting_rows(5, start=50))
    np.testing.assert_array_equal(session.run(table.trainable), np.full([2, 2], -1))


def test_grown_model_restores_what_it_saved(tmp_path, variables, session):
    table = grow(old_rows=special_rows())
    train_new_rows(session, table, amount=1.0)
    before = bits(session.run(table.read())).tobytes()
    path = tf.train.Saver().save(session, str(tmp_path / "grown"))
    session.run(tf.global_variables_initializer())
    assert bits(session.run(table.read())).tobytes() != before
    tf.train.Saver().restore(session, path)
    assert bits(session.run(table.read())).tobytes() == before
    table.check_restored(session)


# After a restore.


def test_restore_that_shrank_a_resource_variable_is_found(tmp_path, session):
    table = grow(use_resource=True)
    smaller = save_checkpoint(
        tmp_path / "smaller", {"embedding": counting_rows(3), "embedding_new_rows": np.ones([2, 2])}
    )
    session.run(tf.global_variables_initializer())
    table.check_restored(session)
    saver = tf.train.Saver([table.frozen])
    tf.get_default_graph().finalize()
    saver.restore(session, smaller)
    with pytest.raises(ValueError) as caught:
        table.check_restored(session)
    assert "'embedding' was made with shape (5, 2) and has shape (3, 2)" in str(caught.value)


def test_restore_that_shrank_the_new_rows_is_found(tmp_path, session):
    table = grow(use_resource=True)
    smaller = save_checkpoint(tmp_path / "smaller", {"embedding_new_rows": counting_rows(1)})
    session.run(tf.global_variables_initializer())
    tf.train.Saver([table.trainable]).restore(session, smaller)
    with pytest.raises(ValueError, match=r"'embedding_new_rows' was made with shape \(2, 2\)"):
        table.check_restored(session)


def test_restore_of_a_smaller_table_into_ref_variables_is_tensorflows_error(tmp_path, session):
    table = grow(use_resource=False)
    smaller = save_checkpoint(tmp_path / "smaller", {"embedding": counting_rows(3)})
    session.run(tf.global_variables_initializer())
    with pytest.raises(tf.errors.InvalidArgumentError, match="shapes of both tensors to match"):
        tf.train.Saver([table.frozen]).restore(session, smaller)
    table.check_restored(session)


# Before training.


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("gradient", ["sparse", "dense"])
def test_train_op_that_moves_the_new_rows_is_accepted(variables, optimizer, gradient):
    table = grow()
    vectors = tf1_embed.embedding_lookup(table, [0, 6])
    if gradient == "dense":
        vectors = tf1_embed.matmul(vectors, table)
    train_op = OPTIMIZERS[optimizer]().minimize(tf.reduce_sum(vectors))
    table.check_train_op(train_op)


def test_train_op_of_other_kinds_is_accepted(variables):
    table = grow()
    loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, [0, 6]))
    optimizer = tf.train.MomentumOptimizer(0.1, 0.9)
    clipped = [
        (tf.clip_by_norm(gradient, 1.0), variable)
        for gradient, variable in optimizer.compute_gradients(loss)
    ]
    apply_op = optimizer.apply_gradients(clipped, tf.train.get_or_create_global_step())
    table.check_train_op(apply_op)
    table.check_train_op(tf.group(apply_op))
    with tf.control_dependencies([apply_op]):
        table.check_train_op(tf.identity(loss))


@pytest.mark.parametrize("looks_up_new_rows", [True, False])
def test_train_op_of_synchronous_replicas_is_seen_through(variables, looks_up_new_rows):
    table = grow()
    other = tf.get_variable("other", [2], initializer=tf.ones_initializer())
    vectors = tf1_embed.embedding_lookup(table, [0, 6]) if looks_up_new_rows else table.frozen
    optimizer = tf.train.SyncReplicasOptimizer(tf.train.AdamOptimizer(0.1), 2)
    global_step = tf.train.get_or_create_global_step()
    train_op = optimizer.minimize(tf.reduce_sum(other * vectors), global_step)
    if looks_up_new_rows:
        table.check_train_op(train_op)
    else:
        with pytest.raises(ValueError, match="never changes 'embedding_new_rows'"):
            table.check_train_op(train_op)


def test_train_op_is_refused_if_the_new_rows_have_no_gradient_while_another_variable_trains(
    variables,
):
    table = grow()
    other = tf.get_variable("other", [2], initializer=tf.ones_initializer())
    # As in the question, whose loss did not depend on the variable.
    train_op = tf.train.AdamOptimizer(0.1).minimize(tf.reduce_sum(other * table.frozen))
    with pytest.raises(ValueError, match="never changes 'embedding_new_rows': the loss does not"):
        table.check_train_op(train_op)


def test_train_op_is_refused_if_its_var_list_leaves_the_new_rows_out(variables):
    table = grow()
    other = tf.get_variable("other", [2], initializer=tf.ones_initializer())
    loss = tf.reduce_sum(other * tf1_embed.embedding_lookup(table, [0, 6]))
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    with pytest.raises(ValueError, match="or `var_list` leaves them out"):
        table.check_train_op(optimizer.minimize(loss, var_list=[other]))
    table.check_train_op(optimizer.minimize(loss))


UNDERFLOWING = {
    "adam": lambda **epsilon: tf.train.AdamOptimizer(0.1, **epsilon),
    "rmsprop": lambda **epsilon: tf.train.RMSPropOptimizer(0.1, **epsilon),
    "adadelta": lambda **epsilon: tf.train.AdadeltaOptimizer(0.1, **epsilon),
}


@pytest.mark.parametrize("optimizer", sorted(UNDERFLOWING))
@pytest.mark.parametrize("dtype", DTYPES)
def test_epsilon_that_is_zero_in_the_tables_dtype_is_refused(variables, optimizer, dtype):
    table = grow(old_rows=counting_rows(5, dtype=dtype))
    loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, [0, 6]))
    with tf.variable_scope("default"):
        by_default = UNDERFLOWING[optimizer]().minimize(loss)
    with tf.variable_scope("larger"):
        larger = UNDERFLOWING[optimizer](epsilon=1e-4).minimize(loss)
    table.check_train_op(larger)
    if dtype == "float16":
        with pytest.raises(ValueError, match="0 in float16, .*NaN. Give .* a larger epsilon"):
            table.check_train_op(by_default)
    else:
        table.check_train_op(by_default)


def test_refused_epsilon_does_make_nan_and_the_larger_one_does_not(variables, session):
    table = grow(old_rows=counting_rows(5, dtype="float16"))
    # Row 6 gets no gradient: 0 / sqrt(0) without an epsilon.
    loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, [5]))
    with tf.variable_scope("default"):
        by_default = tf.train.AdamOptimizer(0.1).minimize(loss)
    with tf.variable_scope("larger"):
        larger = tf.train.AdamOptimizer(0.1, epsilon=1e-4).minimize(loss)
    for train_op, is_spoilt in ((by_default, True), (larger, False)):
        session.run(tf.global_variables_initializer())
        session.run(train_op)
        assert np.isnan(session.run(table.trainable)).any() == is_spoilt
        np.testing.assert_array_equal(session.run(table.frozen), counting_rows(5))


# Bad input.


@pytest.mark.parametrize("value", [0, -1])
def test_number_of_new_rows_must_be_positive(graph, value):
    with pytest.raises(ValueError, match=f"`num_new_rows` must be positive, got {value}"):
        grow(num_new_rows=value)


@pytest.mark.parametrize("value", [2.0, "2", None, True, [2]])
def test_number_of_new_rows_must_be_an_int(graph, value):
    with pytest.raises(TypeError, match="`num_new_rows` must be an int, got"):
        grow(num_new_rows=value)


def test_exactly_one_source_is_expected(graph):
    with pytest.raises(ValueError, match="exactly one of `checkpoint` and `old_rows`, got neither"):
        tf1_embed.get_grown_table("embedding", 2)
    with pytest.raises(ValueError, match="exactly one of `checkpoint` and `old_rows`, got both"):
        tf1_embed.get_grown_table("embedding", 2, checkpoint="a", old_rows=counting_rows(5))


@pytest.mark.parametrize("shape", [(), (2, 1, 2), (1, 1, 1, 1)])
def test_rank_other_than_1_or_2_is_refused(graph, tmp_path, shape):
    rows = np.zeros(shape, np.float32)
    checkpoint = save_checkpoint(tmp_path / "m", {"embedding": rows})
    for source in ({"old_rows": rows}, {"checkpoint": checkpoint}):
        with pytest.raises(ValueError) as caught:
            tf1_embed.get_grown_table("embedding", 2, **source)
        assert "must have rank 2, [num_rows, dim], or rank 1" in str(caught.value)
        assert str(shape) in str(caught.value)


@pytest.mark.parametrize("dtype", [tf.float64, "float64", np.float64])
def test_dtype_that_is_not_the_old_rows_is_refused_rather_than_cast(graph, dtype):
    with pytest.raises(ValueError, match="`dtype` is float64 but the old rows .* are float32"):
        grow(dtype=dtype)
    assert grow(dtype=np.float32).dtype == tf.float32


def test_table_of_ints_in_a_checkpoint_is_refused(graph, tmp_path):
    checkpoint = save_checkpoint(tmp_path / "m", {"embedding": np.zeros([3, 2], np.int64)})
    with pytest.raises(ValueError, match="must be of a float dtype, got int64"):
        tf1_embed.get_grown_table("embedding", 2, checkpoint=checkpoint)


def test_old_rows_without_a_dtype_are_refused(graph):
    with pytest.raises(TypeError, match=r"`old_rows` of table 'embedding' is a list, .*np.float32"):
        grow(old_rows=[[1.0, 2.0]])


def test_initializer_that_was_not_called_is_refused(graph):
    with pytest.raises(TypeError, match=r"`initializer` is the function initializers.mean itself"):
        grow(initializer=initializers.mean)


def test_table_is_no_tensor_and_says_what_to_do(variables, session):
    table = grow()
    session.run(tf.global_variables_initializer())
    for use in (
        lambda: session.run(table),
        lambda: session.run({"loss": tf.constant(0), "table": [table]}),
        lambda: table[1:],
        lambda: list(table),
    ):
        with pytest.raises(TypeError, match=r"'embedding' is no tensor: .*table.read\(\) is all"):
            use()


def test_attribute_that_is_not_there_is_an_attribute_error(graph):
    with pytest.raises(AttributeError, match="'GrownTable' object has no attribute 'rows'"):
        grow().rows  # noqa: B018


def test_eager_mode_is_refused_by_all_that_builds_a_graph():
    program = """
import numpy as np
import tensorflow.compat.v1 as tf
import tf1_embed

tf.enable_eager_execution()
rows = np.ones([4, 2], np.float32)
with tf.Graph().as_default():
    table = tf1_embed.get_grown_table("table", 1, old_rows=rows)
    variable = tf.get_variable("variable", [4, 2])
sp_ids = tf.SparseTensor([[0, 0]], [4], [1, 1])
for call in (
    lambda: tf1_embed.get_grown_table("grown", 2, old_rows=rows),
    lambda: tf1_embed.get_row_split_table("split", [1], old_rows=rows),
    lambda: tf1_embed.embedding_lookup(table, [0, 4]),
    lambda: tf1_embed.embedding_lookup_sparse(table, sp_ids, None),
    lambda: tf1_embed.safe_embedding_lookup_sparse(table, sp_ids),
    lambda: tf1_embed.matmul(rows, table),
    lambda: tf1_embed.project_rows(variable, [1], tf.identity),
    table.read,
):
    try:
        call()
    except RuntimeError as error:
        print("graph mode" in str(error), str(error).split()[0])
print(tf1_embed.embedding_lookup(tf.constant(rows), [0]).numpy().tolist())
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert result.stdout.splitlines() == [
        "True get_grown_table",
        "True get_row_split_table",
        "True embedding_lookup",
        "True embedding_lookup_sparse",
        "True safe_embedding_lookup_sparse",
        "True matmul",
        "True project_rows",
        "True table.read()",
        "[[1.0, 1.0]]",
    ], result.stderr


def test_lookup_of_tensorflow_and_var_list_say_what_to_give_them(variables):
    table = grow()
    for lookup in (tf.nn.embedding_lookup, tf.gather):
        with pytest.raises(TypeError, match=r"tf1_embed.embedding_lookup\(table, ids\)"):
            lookup(table, [0, 6])
    loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, [0, 6]))
    with pytest.raises(AttributeError, match="in `var_list` give 'embedding' as table.trainable"):
        tf.train.AdamOptimizer().minimize(loss, var_list=[table])
