"""Which operations reach a table: by handles, references, bodies, and what is not understood."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.python.framework import function, op_def_registry
from tensorflow.python.ops import data_flow_ops, functional_ops

import tf1_embed
from support.audits import (
    DIM,
    FROZEN,
    OLD,
    SIZE,
    STEPS,
    fed,
    make_table,
    moved_rows,
    names_of,
    overwrite,
    sgd,
    write_handle,
)
from tf1_embed.auditing import audit, audit_metagraph
from tf1_embed.graph import op_kinds
from tf1_embed.graph.flow import Flow
from tf1_embed.graph.nodes import Node, Value
from tf1_embed.graph.train_ops import writers_of


def add_to_handle(handle, row=6):
    return tf.raw_ops.ResourceScatterAdd(resource=handle, indices=[row], updates=tf.ones([1, DIM]))


def handle_named(name):
    return tf.raw_ops.VarHandleOp(
        dtype=tf.float32, shape=[SIZE, DIM], shared_name=name, container=""
    )


# The same variable by another handle, or reference.


def copy_imported_from_a_meta_graph():
    table = make_table()
    step = sgd(table, [3, 11])
    tf.train.import_meta_graph(tf.train.export_meta_graph(), import_scope="copy")
    return table, tf.get_default_graph().get_operation_by_name("copy/" + step.name)


def second_handle_of_a_shared_name():
    return make_table(), write_handle(handle_named("items"))


def second_handle_that_adds():
    return make_table(), add_to_handle(handle_named("items"))


def destroyed_and_made_anew():
    table = make_table()
    with tf.control_dependencies([tf.raw_ops.DestroyResourceOp(resource=table.handle)]):
        return table, write_handle(handle_named("items"))


def destroyed():
    table = make_table()
    return table, tf.raw_ops.DestroyResourceOp(resource=table.handle, ignore_lookup_error=True)


def handle_out_of_a_branch():
    table, other = make_table(), make_table(name="other")
    handle = tf.cond(
        fed(True, [], bool), lambda: tf.identity(table.handle), lambda: tf.identity(other.handle)
    )
    return table, write_handle(handle)


def reference_out_of_ref_select():
    table, other = make_table(False), make_table(False, "other")
    ref = tf.raw_ops.RefSelect(index=fed(1, []), inputs=[other._ref(), table._ref()])
    return table, tf.raw_ops.Assign(ref=ref, value=tf.zeros([SIZE, DIM]))


def reference_out_of_ref_merge():
    table, other = make_table(False), make_table(False, "other")
    choice = fed(False, [], bool)
    no, _ = tf.raw_ops.RefSwitch(data=table._ref(), pred=choice)
    _, yes = tf.raw_ops.RefSwitch(data=other._ref(), pred=choice)
    ref = tf.raw_ops.RefMerge(inputs=[yes, no]).output
    return table, tf.raw_ops.ScatterSub(ref=ref, indices=[7], updates=tf.ones([1, DIM]))


def second_of_identity_n():
    table, other = make_table(), make_table(name="other")
    return table, write_handle(tf.raw_ops.IdentityN(input=[other.handle, table.handle])[1])


def exchanged_in_a_loop():
    table, other = make_table(), make_table(name="other")

    def body(i, first, second):
        with tf.control_dependencies([write_handle(first)]):
            return i + 1, second, first

    start = [tf.constant(0), other.handle, table.handle]
    return table, tf.while_loop(lambda i, *handles: i < 2, body, start)[0]


def handle_out_of_a_function():
    table, other = make_table(), make_table(name="other")

    @tf.function
    def get_handle():
        total = tf.reduce_sum(other)
        return tf.identity(table.handle), total

    return table, write_handle(get_handle()[0])


def handle_chosen_in_a_function():
    table, other = make_table(), make_table(name="other")

    @tf.function
    def step(first, second):
        add_to_handle(tf.raw_ops.IdentityN(input=[first, second])[1])
        return tf.constant(1.0)

    return table, step(other.handle, table.handle)


# Functions, and those of data sets.


def function_that_assigns():
    table = make_table()

    @function.Defun()
    def step():
        with tf.control_dependencies([write_handle(table.handle)]):
            return tf.constant(1.0)

    return table, step()


def function_that_is_given_a_handle():
    table = make_table()

    @function.Defun(tf.resource)
    def step(handle):
        with tf.control_dependencies([add_to_handle(handle, 8)]):
            return tf.constant(1)

    return table, step(table.handle)


def function_in_a_function():
    table = make_table()

    @tf.function
    def inner():
        table.scatter_update(tf.IndexedSlices(tf.zeros([1, DIM]), [3]))
        return tf.constant(1.0)

    @tf.function
    def outer():
        return inner() + 1

    return table, outer()


def function_that_runs_elsewhere():
    table = make_table()

    @function.Defun(tf.float32, tf.resource)
    def step(x, handle):
        with tf.control_dependencies([write_handle(handle)]):
            return tf.identity(x)

    return table, functional_ops.remote_call(
        args=[tf.constant(1.0), table.handle],
        Tout=[tf.float32],
        f=step,
        target="/job:localhost/replica:0/task:0/device:CPU:0",
    )


def functional_for():
    table = make_table()

    @function.Defun(tf.int32, tf.float32, tf.resource)
    def body(i, x, handle):
        with tf.control_dependencies([write_handle(handle)]):
            return tf.identity(x), handle

    loop = tf.raw_ops.For(
        start=0, limit=2, delta=1, input=[tf.constant(1.0), table.handle], body=body
    )
    return table, loop[0]


def batch_function():
    table = make_table()

    @tf.nondifferentiable_batch_function(1, 1, 0)
    def serve(x):
        with tf.control_dependencies([write_handle(table.handle)]):
            return tf.identity(x)

    return table, serve(tf.constant([1.0]))


def reduced_data_set():
    table = make_table()

    def step(state, _):
        table.scatter_update(tf.IndexedSlices(tf.zeros([1, DIM]), [3]))
        return state + 1

    return table, tf.data.Dataset.range(2).reduce(np.int64(0), step)


def mapped_data_set():
    table = make_table()

    def write(x):
        table.scatter_update(tf.IndexedSlices(tf.zeros([1, DIM]), [3]))
        return x

    iterator = tf.data.make_initializable_iterator(tf.data.Dataset.range(100).map(write))
    return table, iterator.get_next(), [iterator.initializer]


def scanned_data_set():
    table = make_table()

    def step(state, x):
        table.scatter_update(tf.IndexedSlices(tf.zeros([1, DIM]), [5]))
        return state + x, state

    scan = tf.data.experimental.scan(np.int64(0), step)
    data = tf.data.Dataset.range(50).apply(scan).prefetch(1)
    iterator = tf.data.make_initializable_iterator(data)
    return table, iterator.get_next(), [iterator.initializer]


# Others that write.


def changed_in_place_by_reference():
    table = make_table(False)
    return table, tf.raw_ops.InplaceUpdate(x=table._ref(), i=[0], v=tf.zeros([1, DIM]))


def changed_in_place_after_a_read():
    table = make_table()
    return table, tf.raw_ops.InplaceSub(x=table.read_value(), i=[8], v=tf.ones([1, DIM]))


def staging_area_filled_after_a_write():
    table = make_table()
    area = data_flow_ops.StagingArea([tf.float32])
    with tf.control_dependencies([write_handle(table.handle)]):
        filled = area.put([tf.identity(1.0)])
    return table, [area.get()], [filled] * STEPS


def slot_of_another_table():
    table, other = make_table(), make_table(name="other")
    return table, tf.raw_ops.ResourceApplyMomentum(
        var=other.handle, accum=table.handle, lr=0.1, grad=tf.ones([SIZE, DIM]), momentum=0.9
    )


def column_assigned():
    table = make_table()
    return table, table[..., 0].assign(tf.zeros([SIZE]))


MOVING = [
    copy_imported_from_a_meta_graph,
    second_handle_of_a_shared_name,
    second_handle_that_adds,
    destroyed_and_made_anew,
    destroyed,
    handle_out_of_a_branch,
    reference_out_of_ref_select,
    reference_out_of_ref_merge,
    second_of_identity_n,
    exchanged_in_a_loop,
    handle_out_of_a_function,
    handle_chosen_in_a_function,
    function_that_assigns,
    function_that_is_given_a_handle,
    function_in_a_function,
    function_that_runs_elsewhere,
    functional_for,
    batch_function,
    reduced_data_set,
    mapped_data_set,
    scanned_data_set,
    changed_in_place_by_reference,
    changed_in_place_after_a_read,
    staging_area_filled_after_a_write,
    slot_of_another_table,
    column_assigned,
]


@pytest.fixture
def control_flow_v1():
    """The control flow that takes handles through loops and branches."""
    if not hasattr(tf, "control_flow_v2_enabled"):
        yield
        return
    was_v2 = tf.control_flow_v2_enabled()
    tf.disable_control_flow_v2()
    yield
    if was_v2:
        tf.enable_control_flow_v2()


@pytest.mark.parametrize("build", MOVING)
def test_what_reaches_the_table_is_found(graph, control_flow_v1, build):
    table, fetches, *before = build()
    assert moved_rows(table, fetches, *before)
    assert names_of(table, fetches)


def data_set_that_reads():
    table = make_table()

    @tf.function
    def total():
        rows = tf.data.Dataset.range(3).map(lambda i: tf.gather(table, i))
        return rows.reduce(tf.zeros([DIM]), lambda state, row: state + row)

    return table, total()


def function_that_writes_another():
    table, other = make_table(), make_table(name="other")

    @tf.function
    def step():
        other.assign(tf.zeros([SIZE, DIM]))
        return tf.reduce_sum(table)

    return table, step()


def first_of_identity_n():
    table, other = make_table(), make_table(name="other")
    return table, write_handle(tf.raw_ops.IdentityN(input=[other.handle, table.handle])[0])


def filter_in_a_function():
    table, ids = make_table(), fed([3, 11], [None])

    @tf.function
    def step(ids):
        kept = tf.boolean_mask(ids, ids >= OLD)
        table.scatter_update(tf.IndexedSlices(tf.zeros([tf.shape(kept)[0], DIM]), kept))
        return tf.constant(1.0)

    return table, step(ids)


def filter_outside_of_a_function():
    table, ids = make_table(), fed([3, 11], [None])

    @tf.function
    def step(kept):
        table.scatter_update(tf.IndexedSlices(tf.zeros([tf.shape(kept)[0], DIM]), kept))
        return tf.constant(1.0)

    return table, step(tf.boolean_mask(ids, ids >= OLD))


def handles_and_hash_tables_in_a_data_set():
    table = make_table()
    words = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(["a", "b"], np.int64([1, 11])), 0
    )
    data = tf.data.Dataset.from_tensor_slices(["a", "b"]).repeat()
    data = data.map(lambda x: tf.gather(table, words.lookup(x)))
    iterator = tf.data.make_initializable_iterator(data)
    with tf.control_dependencies([tf.tables_initializer()]):
        ready = tf.no_op()
    return table, iterator.get_next(), [ready, iterator.initializer]


KEEPING = [
    data_set_that_reads,
    function_that_writes_another,
    first_of_identity_n,
    filter_in_a_function,
    filter_outside_of_a_function,
    handles_and_hash_tables_in_a_data_set,
]


@pytest.mark.parametrize("build", KEEPING)
def test_what_reads_or_keeps_frozen_rows_is_clean(graph, build):
    table, fetches, *before = build()
    assert moved_rows(table, fetches, *before) == []
    assert names_of(table, fetches) == []


def scaled_step(table):
    """A step with loss scaling, which is left out where a gradient is not finite."""
    loss = tf.reduce_sum(tf.nn.embedding_lookup(table, fed([3, 11], [None]))) * 128
    optimizer = tf1_embed.TrainableRowsOptimizer(
        tf.train.MomentumOptimizer(0.1, 0.9), {table: ~FROZEN}
    )
    pairs = [
        (tf.IndexedSlices(each.values / 128, each.indices, each.dense_shape), variable)
        for each, variable in optimizer.compute_gradients(loss)
    ]
    finite = tf.reduce_all(tf.is_finite(pairs[0][0].values))

    def step():
        with tf.control_dependencies([optimizer.apply_gradients(pairs)]):
            return tf.constant(1)

    return tf.cond(finite, step, lambda: tf.constant(0))


def test_wrapped_optimizer_in_a_branch_is_clean(graph, control_flow):
    table = make_table()
    step = scaled_step(table)
    assert moved_rows(table, step) == []
    assert names_of(table, step) == []


# What is not understood.


def test_handle_that_is_fed_may_be_any_variable(graph):
    table = make_table()
    step = write_handle(tf.placeholder(tf.resource, []))
    assert names_of(table, step)


def test_operation_that_is_not_in_the_table_is_not_understood(graph, monkeypatch):
    table = make_table()
    step = overwrite([11], table)
    assert names_of(table, step) == []
    kind = step.op.type if hasattr(step, "op") else step.type
    assert kind == "ResourceScatterUpdate"
    monkeypatch.delitem(op_kinds.WRITES, "ResourceScatterUpdate")
    [finding] = audit(step, {table: FROZEN})
    assert finding.name == "not-understood"
    assert finding.op_type == "ResourceScatterUpdate"


def call(name, inputs, dtypes):
    graph_def = tf.GraphDef()
    node = graph_def.node.add(op="StatefulPartitionedCall", name="call")
    node.attr["f"].func.name = name
    node.attr["Tin"].list.type.extend(each.dtype.as_datatype_enum for each in inputs)
    node.attr["Tout"].list.type.extend(each.as_datatype_enum for each in dtypes)
    node.input.extend(f"input_{i}" for i in range(len(inputs)))
    mapped = {f"input_{i}": each for i, each in enumerate(inputs)}
    return tf.import_graph_def(graph_def, mapped, ["call"], name="")[0]


def test_function_that_is_not_there_is_not_understood(graph):
    table = make_table()
    step = call("nowhere", [tf.constant(1.0)], [tf.float32])
    assert names_of(table, step) == ["not-understood"]


def graph_def_of_functions(chain):
    """Returns a GraphDef with a call, and functions which call each other, by their names."""
    graph_def = tf.GraphDef()
    for name, called in chain:
        definition = graph_def.library.function.add()
        definition.signature.name = name
        definition.signature.input_arg.add(name="x", type=tf.float32.as_datatype_enum)
        definition.signature.output_arg.add(name="y", type=tf.float32.as_datatype_enum)
        for i, each in enumerate(called):
            node = definition.node_def.add(op="StatefulPartitionedCall", name=f"call_{i}")
            node.attr["f"].func.name = each
            for key in ("Tin", "Tout"):
                node.attr[key].list.type.append(tf.float32.as_datatype_enum)
            node.input.append("x")
        definition.ret["y"] = "call_0:output:0" if called else "x"
    graph_def.node.add(op="Placeholder", name="x").attr["dtype"].type = tf.float32.as_datatype_enum
    node = graph_def.node.add(op="StatefulPartitionedCall", name="call")
    node.attr["f"].func.name = chain[0][0]
    for key in ("Tin", "Tout"):
        node.attr[key].list.type.append(tf.float32.as_datatype_enum)
    node.input.append("x")
    return graph_def


CHAINS = {
    "calls itself": [("f", ["f"])],
    "call each other": [("f", ["g", "g"]), ("g", ["f"])],
    "doubles": [(f"f_{i}", [f"f_{i + 1}"] * 2) for i in range(60)] + [("f_60", [])],
    "too deep": [(f"g_{i}", [f"g_{i + 1}"]) for i in range(5000)] + [("g_5000", [])],
}


@pytest.mark.parametrize("chain", CHAINS)
def test_saved_graph_whose_functions_have_no_end_is_refused(tmp_path, chain):
    # TensorFlow's import would crash, or not come to an end.
    path = tmp_path / "hostile.meta"
    meta_graph = tf.MetaGraphDef(graph_def=graph_def_of_functions(CHAINS[chain]))
    path.write_bytes(meta_graph.SerializeToString())
    with pytest.raises(ValueError, match="hostile.meta' holds no graph .* function '[fg]"):
        audit_metagraph(str(path), {"items": FROZEN})


@pytest.mark.parametrize("limit", [None, 50])
def test_functions_that_are_too_many_are_not_understood(graph, monkeypatch, limit):
    if limit is not None:
        monkeypatch.setattr("tf1_embed.graph.layout._MAX_NODES_OF_BODIES", limit)
    chain = [(f"g_{i}", [f"g_{i + 1}"]) for i in range(500)] + [("g_500", [])]
    table = make_table()
    [step] = tf.import_graph_def(graph_def_of_functions(chain), return_elements=["call"], name="")
    assert set(names_of(table, step)) == {"not-understood"}
    assert names_of(table, sgd(table, [11])) == []


def test_chain_of_thousands_of_operations_is_followed(graph):
    table = make_table()
    gradient = tf.placeholder(tf.float32, [SIZE, DIM])
    ids = tf.constant([11])
    for _ in range(3000):
        gradient, ids = tf.identity(gradient), tf.identity(ids)
    for _ in range(500):
        gradient = gradient + 0.0
    dense = tf.train.GradientDescentOptimizer(0.1).apply_gradients([(gradient, table)])
    assert names_of(table, dense) == ["dense-gradient"]
    assert names_of(table, overwrite(ids, table)) == []


def test_graph_is_not_written_out(graph, monkeypatch):
    table, step = filter_in_a_function()

    def as_graph_def(*args, **kwargs):
        raise ValueError("Cannot serialize a graph over 2 GB")

    # tf.Graph itself makes one of the few operations of a body, which is small.
    monkeypatch.setattr(graph, "as_graph_def", as_graph_def)
    assert names_of(table, step) == []


# The table of operations, against the registry of TensorFlow.


def op_defs():
    """Returns the definitions of all operations that TensorFlow has, by name."""
    if hasattr(op_def_registry, "get_registered_ops"):
        return op_def_registry.get_registered_ops()
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    op_list = op_def_pb2.OpList()
    op_list.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {each.name: each for each in op_list.op}


class StandIn:
    """An operation of any type, for what looks at its type and arguments alone."""

    def __init__(self, op_def):
        self.op_def, self.type, self.name = op_def, op_def.name, op_def.name

    def get_attr(self, name):
        raise ValueError(name)


def test_every_operation_that_takes_a_variable_is_known_or_not_understood(graph):
    tables = {"ref": make_table(False, "by_reference"), "resource": make_table(True, "by_handle")}
    flow = Flow(graph)
    given = {
        kind: next(
            value
            for node in flow.nodes
            for value in node.outputs
            if node.op is not None and node.op.name == table.op.name
        )
        for kind, table in tables.items()
    }
    names = {"known": set(), "not understood": set()}
    for op_def in op_defs().values():
        for argument in op_def.input_arg:
            takes = "ref" if argument.is_ref else "resource"
            if takes == "resource" and argument.type != tf.resource.as_datatype_enum:
                continue
            node = Node(op_def.name, StandIn(op_def), None)
            # Each argument once, in its place.
            plain = Value(node, 0, tf.constant(0))
            for each in op_def.input_arg:
                node.inputs.append(given[takes] if each is argument else plain)
            flow.nodes.append(node)
            found = [each for each in writers_of(flow, tables[takes]) if each.node is node]
            flow.nodes.remove(node)
            known = op_kinds.is_known(op_def.name)
            names["known" if known else "not understood"].add(op_def.name)
            if op_kinds.WRITES.get(op_def.name):
                assert [each.how for each in found] == [op_kinds.WRITES[op_def.name]], op_def.name
            else:
                assert [each.how for each in found] == ["unknown"] * (not known), op_def.name
    assert {"ReadVariableOp", "ResourceApplyAdam", "QueueDequeueV2"} <= names["known"]
    verbs = ("Assign", "Apply", "Scatter")
    assert [each for each in names["not understood"] if any(v in each for v in verbs)] == []
