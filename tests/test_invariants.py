"""The promises of the split path: see also test_lookup.py for loops and branches."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import tf1_embed
from support.optimizers import OPTIMIZERS
from support.tables import bits, counting_rows, numpy_dtype, save_checkpoint, special_rows
from tf1_embed.graph import train_ops

# Of 14 old rows and 4 new ones: duplicates, mixed, all old, all new, none, one new row alone.
BATCHES = [[0, 14, 16, 16, 3], [1, 2, 13], [15, 14, 15], [], [17], [4, 17, 0, 17]]


def train_steps(optimizer, loss, oracle_loss, table, oracle):
    """Returns an operation for one step of both, by two optimizers of the same kind."""
    return [
        optimizer().minimize(each_loss, var_list=[variable])
        for each_loss, variable in ((loss, table.trainable), (oracle_loss, oracle))
    ]


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("slots", ["cold", "warm"])
def test_new_rows_train_as_a_table_of_their_own_and_frozen_rows_keep_their_bits(
    variables, session, optimizer, slots
):
    old_rows = special_rows()
    num_old = len(old_rows)
    table = tf1_embed.get_grown_table(
        "embedding", 4, old_rows=old_rows, initializer=counting_rows(4, start=1)
    )
    oracle = tf.get_variable("oracle", initializer=counting_rows(4, start=1))
    ids = tf.placeholder(tf.int64, [None])
    targets = tf.placeholder(tf.float32, [None, 2])
    is_new = ids >= num_old
    # A loss whose gradient depends on the rows; that of the special rows is NaN.
    loss = tf.reduce_sum((tf1_embed.embedding_lookup(table, ids) - targets) ** 2)
    of_new = tf.nn.embedding_lookup(oracle, tf.boolean_mask(ids, is_new) - num_old)
    oracle_loss = tf.reduce_sum((of_new - tf.boolean_mask(targets, is_new)) ** 2)
    step = train_steps(OPTIMIZERS[optimizer], loss, oracle_loss, table, oracle)
    next_step = tf.assign_add(tf.train.get_or_create_global_step(), 1)
    session.run(tf.global_variables_initializer())

    random = np.random.RandomState(0)

    def train_on(batch):
        session.run(step, {ids: batch, targets: random.randn(len(batch), 2)})
        session.run(next_step)

    if slots == "warm":
        for _ in range(2):
            train_on([14, 15, 16, 17])
    for batch in BATCHES:
        before = session.run(table.trainable)
        train_on(batch)
        new_rows, expected = session.run([table.trainable, oracle])
        assert np.isfinite(new_rows).all()
        np.testing.assert_allclose(new_rows, expected, rtol=1e-5, atol=1e-6)
        named = sorted({each - num_old for each in batch if each >= num_old})
        assert (new_rows[named] != before[named]).all()
        if optimizer != "adam":
            # Adam alone moves rows that a batch does not name; so does it in a table of its own.
            others = sorted(set(range(4)) - set(named))
            assert bits(new_rows[others]).tobytes() == bits(before[others]).tobytes()
    assert bits(session.run(table.frozen)).tobytes() == bits(old_rows).tobytes()
    assert bits(session.run(table.read())[:num_old]).tobytes() == bits(old_rows).tobytes()


# The rules of four optimizers in NumPy, for sparse gradients as TensorFlow applies them: `rows`
# and `slots` change in place; `named` are the rows of the batch, `gradient` has a row for each.


def _gradient_descent(rows, slots, named, gradient):
    rows[named] -= 0.1 * gradient


def _momentum(rows, slots, named, gradient):
    momentum = slots.setdefault("momentum", np.zeros_like(rows))
    momentum[named] = 0.9 * momentum[named] + gradient
    rows[named] -= 0.05 * momentum[named]


def _adagrad(rows, slots, named, gradient):
    total = slots.setdefault("total", np.full_like(rows, 0.1))
    total[named] += gradient**2
    rows[named] -= 0.1 * gradient / np.sqrt(total[named])


def _adam(rows, slots, named, gradient):
    m = slots.setdefault("m", np.zeros_like(rows))
    v = slots.setdefault("v", np.zeros_like(rows))
    step = slots["step"] = slots.get("step", 0) + 1
    m *= 0.9
    v *= 0.999
    m[named] += 0.1 * gradient
    v[named] += 0.001 * gradient**2
    rate = 0.05 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    rows -= rate * m / (np.sqrt(v) + 1e-3)


NUMPY_RULES = {
    "adagrad": _adagrad,
    "adam": _adam,
    "gradient_descent": _gradient_descent,
    "momentum": _momentum,
}

TOLERANCE = {"float16": 3e-2, "bfloat16": 3e-1, "float32": 1e-4, "float64": 1e-6}


@st.composite
def trainings(draw):
    """Draws a table, how it is looked up and trained, and the batches."""
    strategy = draw(st.sampled_from(["partition", "cond", "concat"]))
    dtypes = ["float16", "bfloat16", "float32", "float64"]
    if strategy == "cond" and tf.__version__.startswith("1."):
        dtypes.remove("bfloat16")  # 1.15 has no gradient of it through a branch
    dtype = draw(st.sampled_from(dtypes))
    rules = ["gradient_descent"] if dtype == "bfloat16" else sorted(NUMPY_RULES)
    num_old, num_new = draw(st.integers(1, 30)), draw(st.integers(1, 6))
    kinds = [st.integers(0, num_old - 1), st.integers(num_old, num_old + num_new - 1)]
    if strategy != "cond":
        kinds.append(st.integers(0, num_old + num_new - 1))
    batch = st.one_of([st.lists(kind, max_size=8) for kind in kinds])
    return {
        "strategy": strategy,
        "dtype": dtype,
        "optimizer": draw(st.sampled_from(rules)),
        "num_old": num_old,
        "num_new": num_new,
        "dim": draw(st.sampled_from([None, 1, 3])),
        "use_resource": draw(st.booleans()),
        "id_dtype": draw(st.sampled_from(["int32", "int64"])),
        "batches": draw(st.lists(batch, min_size=1, max_size=4)),
    }


@settings(max_examples=40)
@given(trainings())
def test_table_after_some_steps_is_numpys(case):
    num_old, num_new, dim, dtype = (case[k] for k in ("num_old", "num_new", "dim", "dtype"))
    old_rows = np.resize(special_rows(dtype, dim or 1), [num_old, dim or 1])
    if dim is None:
        old_rows = old_rows[:, 0].copy()
    initial = counting_rows(num_new, dim, dtype)
    expected = initial.astype(np.float64)
    rule, slots = NUMPY_RULES[case["optimizer"]], {}
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf1_embed.get_grown_table(
            "embedding",
            num_new,
            old_rows=old_rows,
            initializer=initial,
            use_resource=case["use_resource"],
        )
        ids = tf.placeholder(case["id_dtype"], [None])
        slopes = tf.placeholder(dtype, [None] + ([] if dim is None else [dim]))
        vectors = tf1_embed.embedding_lookup(table, ids, strategy=case["strategy"])
        step = OPTIMIZERS[case["optimizer"]]().minimize(tf.reduce_sum(vectors * slopes))
        session.run(tf.global_variables_initializer())
        for batch in case["batches"]:
            batch_slopes = np.resize(np.float64([1, -0.5, 2, 0.25, 0]), [len(batch), dim or 1])
            if dim is None:
                batch_slopes = batch_slopes[:, 0]
            session.run(step, {ids: batch, slopes: batch_slopes.astype(numpy_dtype(dtype))})
            gradient = np.zeros_like(expected)
            new_places = [i for i, each in enumerate(batch) if each >= num_old]
            new_ids = [batch[i] - num_old for i in new_places]
            np.add.at(gradient, np.array(new_ids, int), batch_slopes[new_places])
            named = sorted(set(new_ids))
            rule(expected, slots, named, gradient[named])
        frozen, new_rows = session.run([table.frozen, table.trainable])
    assert bits(frozen).tobytes() == bits(old_rows).tobytes()
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(new_rows.astype(np.float64), expected, tolerance, tolerance)


# Nothing of the old table's size.

# A number that nothing else in the graph has.
BIG = 1009


def build_step(optimizer, strategy="partition", num_old=BIG):
    table = tf1_embed.get_grown_table("embedding", 7, old_rows=np.zeros([num_old, 3], np.float32))
    ids = tf.constant([0, 1, num_old, num_old + 3, 2])
    vectors = tf1_embed.embedding_lookup(table, ids, strategy=strategy)
    return table, OPTIMIZERS[optimizer]().minimize(tf.reduce_sum(vectors**2))


def is_the_variable_itself(operation):
    """Tells a variable, and the alias by which a ref variable is read, from a copy."""
    if operation.type == "Identity":
        operation = operation.inputs[0].op
        return operation.type == "VariableV2"
    return operation.type in ("VariableV2", "VarHandleOp")


def operations_with_outputs_of_size(operations, num_rows):
    return sorted(
        operation.name
        for operation in operations
        if not is_the_variable_itself(operation)
        for output in operation.outputs
        if output.shape.ndims is not None and num_rows in output.shape.as_list()
    )


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_no_operation_of_a_step_has_an_output_of_the_old_tables_size(variables, optimizer):
    _, step = build_step(optimizer)
    assert operations_with_outputs_of_size(train_ops.operations_under(step), BIG) == []


def test_the_walk_finds_the_copy_that_concat_makes(variables):
    _, step = build_step("gradient_descent", "concat")
    assert operations_with_outputs_of_size(train_ops.operations_under(step), BIG + 7) != []


@pytest.mark.parametrize("optimizer", ["adam", "gradient_descent", "momentum"])
def test_no_operation_that_runs_in_a_step_gives_or_takes_memory_of_the_old_tables_size(
    variables, graph, session, optimizer
):
    _, step = build_step(optimizer)
    session.run(tf.global_variables_initializer())
    trace = tf.RunMetadata()
    session.run(
        step, options=tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), run_metadata=trace
    )
    nodes = [node for device in trace.step_stats.dev_stats for node in device.node_stats]
    assert len(nodes) > 10
    for node in nodes:
        name = node.node_name.split(":")[0]
        try:
            is_variable = is_the_variable_itself(graph.get_operation_by_name(name))
        except (KeyError, ValueError):  # made by TensorFlow when the step runs
            is_variable = False
        for output in node.output:
            dims = [dim.size for dim in output.tensor_description.shape.dim]
            assert BIG not in dims or is_variable, f"{name} has an output of shape {dims}"
        for memory in node.memory:
            assert memory.total_bytes < BIG * 3 * 4, f"{name} takes {memory.total_bytes} bytes"


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_no_slot_variable_is_of_the_old_rows(variables, optimizer):
    table, _ = build_step(optimizer)
    of_old_rows = [each for each in tf.global_variables() if BIG in each.shape.as_list()]
    assert of_old_rows == [table.frozen]


@pytest.mark.parametrize("strategy", ["partition", "cond", "concat"])
def test_graph_def_does_not_grow_with_the_table(strategy):
    def graph_bytes(num_old):
        with tf.Graph().as_default() as graph:
            build_step("adam", strategy, num_old)
            return graph.as_graph_def().ByteSize()

    small, large = graph_bytes(1000), graph_bytes(1000000)
    assert large < small + 500
    assert large < 100e3


# Back in the model's original code.


def plain_model(num_rows, partitioner=None):
    """The code of a model that knows nothing of tf1_embed."""
    with tf.variable_scope("model", partitioner=partitioner):
        embedding = tf.get_variable("embedding", [num_rows, 2])
    with tf.variable_scope("model"):
        bias = tf.get_variable("bias", [2])
    return tf.nn.embedding_lookup(embedding, tf.range(num_rows), "div") + bias


@pytest.mark.parametrize("partitions", [None, 3])
def test_merged_checkpoint_opens_in_the_original_code_through_an_unmodified_saver(
    tmp_path, variables, partitions
):
    values = {"model/embedding": counting_rows(10), "model/bias": np.zeros([2], np.float32)}
    base = save_checkpoint(tmp_path / "base", values)
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("model", use_resource=variables == "resource"):
            table = tf1_embed.get_grown_table("embedding", 4, checkpoint=base)
            bias = tf.get_variable("bias", [2])
        logits = tf1_embed.embedding_lookup(table, [3, 10, 13]) + bias
        step = tf.train.AdamOptimizer(0.1).minimize(tf.reduce_sum(logits**2))
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            session.run(step)
        expected = session.run(table.read() + bias)
        grown = tf.train.Saver().save(session, str(tmp_path / "grown"))
    tf1_embed.merge_checkpoint(grown, ["model/embedding"], tmp_path / "merged")
    with tf.Session() as session:
        partitioner = tf.fixed_size_partitioner(partitions) if partitions else None
        output = plain_model(14, partitioner)
        tf.train.Saver().restore(session, str(tmp_path / "merged"))
        got = session.run(output)
    assert got.tobytes() == expected.tobytes()
