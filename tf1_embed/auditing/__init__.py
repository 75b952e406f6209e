"""What in a finished graph can still move a frozen row."""

import fnmatch
import os

import tensorflow.compat.v1 as tf

from tf1_embed.auditing.findings import KINDS, Finding, finding
from tf1_embed.auditing.frozen_part import FrozenPart
from tf1_embed.auditing.lookups import find_lookups
from tf1_embed.auditing.writes import find_writes, writing_operations
from tf1_embed.graph.train_ops import check_precision, operations_run_by, operations_under
from tf1_embed.graph.variables import check_variable, rows_by_partition
from tf1_embed.rows import Rows

__all__ = ["KINDS", "Finding", "audit", "audit_metagraph", "report"]

# A smaller constant does no harm, however small the table is. In bytes.
_LARGE_CONSTANT = 1 << 20


def audit(fetches, frozen_rows, strict=False, axis=0, partition_strategy=None):
    """Finds what can move a frozen row when something is run.

    Walks the graph from `fetches` to every operation that writes a table, and asks which rows it
    writes, and what. Filters by id are run on every frozen id, so it does not matter who made them.
    What the graph does not decide counts as movement: the mask that is fed, the ids of a
    placeholder that are always new ones, the slots that are still cold.

    Writes in a body of control flow v2 are seen, but not looked into. Only what `fetches` run is
    seen: not other training operations, `Variable.load`, a `Saver` or another process.

    Args:
      fetches: what is run in a step, such as the training operation: a `tf.Operation`, `tf.Tensor`
        or variable, or a list of them.
      frozen_rows: dict from variable to the `Rows` that should stay. A partitioned variable, or
        the tuple of its partitions, takes the rows of the whole table.
      strict: bool, whether findings raise an error.
      axis: int, 0 or 1, the axis of the variables that ids count along.
      partition_strategy: "mod" or "div", how ids go to the partitions of a partitioned variable.

    Returns:
      list of `Finding`; empty when nothing that runs can move a frozen row.

    Raises:
      TypeError: if a key of `frozen_rows` is not a variable, or a value not `Rows`.
      ValueError: if a variable has another number of rows than its `Rows`; if it has partitions and
        `partition_strategy` is not given; if `strict` and there are findings.

    Example:
      >>> import numpy as np
      >>> import tensorflow.compat.v1 as tf
      >>> import tf1_embed
      >>> frozen = tf1_embed.Rows.range(0, 2, size=4)
      >>> with tf.Graph().as_default():
      ...     table = tf.get_variable("table", [4, 2])
      ...     loss = tf.reduce_sum(tf.nn.embedding_lookup(table, [2, 3]))
      ...     adam = tf.train.AdamOptimizer()
      ...     trap = adam.minimize(loss)
      ...     remedy = tf1_embed.TrainableRowsOptimizer(adam, {table: ~frozen}).minimize(loss)
      ...     found = tf1_embed.audit(trap, {table: frozen})
      ...     nothing = tf1_embed.audit(remedy, {table: frozen})
      >>> [each.name for each in found], nothing
      (['optimizer-moves-when-warm'], [])
    """
    operations = operations_run_by(_flatten(fetches))
    found = []
    for key, rows in frozen_rows.items():
        found += _audit_table(operations, key, rows, axis, partition_strategy)
    found = sorted(set(found), key=lambda each: (each.table, each.op, each.name))
    if strict and found:
        raise ValueError(report(found))
    return found


def audit_metagraph(path, frozen_rows, fetches=None, strict=False, axis=0, partition_strategy=None):
    """Finds what can move a frozen row in a graph that was saved.

    Args:
      path: string, a `.meta` file, as `tf.train.Saver` or `tf.train.export_meta_graph` writes it.
      frozen_rows: dict from the name of a variable, or a pattern of trainable ones such as
        `*/embeddings`, to the ids of its rows that should stay: `Rows`, or a `range` or array of
        ids. A partitioned variable has the name it was made with.
      fetches: names of the operations that are run in a step. Default: those of the collection
        `tf.GraphKeys.TRAIN_OP`; if it is empty, every operation that writes a table, but for
        initializers and what restores checkpoints.
      strict: bool, as for `audit`.
      axis: int, as for `audit`.
      partition_strategy: string, as for `audit`.

    Returns:
      list of `Finding`, whose `line` is None: a saved graph does not tell it.

    Raises:
      FileNotFoundError: if there is no such file.
      KeyError: if a name matches no variable (those there are being listed), or a fetch nothing.
      ValueError: as for `audit`.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no file {path!r}; expected the graph that a Saver writes beside a "
            f"checkpoint, such as 'runs/model.ckpt-1000.meta'"
        )
    with tf.Graph().as_default() as graph:
        tf.train.import_meta_graph(path, clear_devices=True)
        tables = {}
        for pattern, rows in frozen_rows.items():
            for variable in _variables_named(pattern):
                tables[variable] = _rows_of(variable, rows, axis)
        fetches = _fetches_of(graph, fetches, tables)
        found = audit(fetches, tables, False, axis, partition_strategy)
    found = [each._replace(line=None) for each in found]
    if strict and found:
        raise ValueError(report(found))
    return found


def report(findings):
    """Returns what findings say, as text; that there is none, if so."""
    if not findings:
        return "clean: nothing that runs can move a frozen row"
    count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    return "\n".join([f"{count}: frozen rows can move", *(str(each) for each in findings)])


def _audit_table(operations, key, rows, axis, strategy):
    parts = rows_by_partition(key, rows, strategy)
    found = []
    for variable, part_rows in parts:
        check_variable(variable, part_rows, axis)
        if part_rows.count:
            found += find_writes(operations, FrozenPart(variable, part_rows, axis))
        found += _find_precision(found, operations, variable)
    variables = [variable for variable, _ in parts]
    found += find_lookups(operations, variables, strategy if len(parts) > 1 else None)
    return found + _find_constants(variables)


def _flatten(fetches):
    if isinstance(fetches, dict):
        fetches = list(fetches.values())
    if isinstance(fetches, (list, tuple, set)):
        return [each for one in fetches for each in _flatten(one)]
    if not hasattr(fetches, "op") and not isinstance(fetches, tf.Operation):
        raise TypeError(
            f"`fetches` must be operations, tensors or variables, such as what `minimize` returns; "
            f"got {fetches!r}"
        )
    return [fetches]


def _find_precision(found, operations, variable):
    """Returns a finding if the optimizer that moves a table divides by what underflows in it."""
    culprits = {each.op for each in found if each.name.startswith(("optimizer", "gradient"))}
    for operation in sorted(operations, key=lambda each: each.name):
        if operation.name in culprits:
            try:
                check_precision(operations_under(operation), variable)
            except ValueError:
                return [finding("epsilon-underflows", variable.op.name, operation)]
    return []


def _find_constants(variables):
    """Returns findings about constants of at least a table's size, wherever in the graph."""
    sizes = [each.shape.num_elements() * each.dtype.base_dtype.size for each in variables]
    smallest = max(_LARGE_CONSTANT, sum(sizes))
    return [
        finding("constant-of-table-size", variables[0].op.name, each)
        for each in variables[0].graph.get_operations()
        if each.type == "Const"
        and each.outputs[0].shape.num_elements() * each.outputs[0].dtype.size >= smallest
    ]


def _variables_named(pattern):
    """Returns the variables of the default graph that a pattern matches, partitions as a tuple."""
    whole = {}
    for variable in tf.global_variables() + tf.local_variables():
        name, _, number = variable.op.name.rpartition("/part_")
        name = name if number.isdigit() else variable.op.name
        whole.setdefault(name, {})[variable.op.name] = variable
    trainable = {each.op.name for each in tf.trainable_variables()}
    matched = (
        [pattern]
        if pattern in whole
        else [
            # Else the slots of a table would match as well.
            name
            for name, parts in whole.items()
            if trainable.intersection(parts) and fnmatch.fnmatchcase(name, pattern)
        ]
    )
    if not matched:
        raise KeyError(
            f"no variable is named {pattern!r}; there are: {', '.join(sorted(whole)) or 'none'}"
        )
    parts = [tuple(whole[name].values()) for name in matched]
    return [each if len(each) > 1 else each[0] for each in parts]


def _rows_of(variable, rows, axis):
    if isinstance(rows, Rows):
        return rows
    parts = variable if isinstance(variable, tuple) else (variable,)
    size = sum(each.shape.as_list()[axis] for each in parts)
    if isinstance(rows, range) and rows.step == 1:
        return Rows.range(rows.start, rows.stop, size=size)
    return Rows.of(rows, size=size)


def _fetches_of(graph, names, tables):
    if names is not None:
        return [graph.as_graph_element(each) for each in names]
    fetches = tf.get_collection(tf.GraphKeys.TRAIN_OP)
    if fetches:
        return fetches
    variables = [each for key in tables for each in (key if isinstance(key, tuple) else (key,))]
    initializers = {each.initializer for each in tf.global_variables() + tf.local_variables()}
    operations = [each for each in graph.get_operations() if each not in initializers]
    return [
        each
        for variable in variables
        for each in writing_operations(operations, variable)
        if not _restores(each)
    ]


def _restores(operation):
    """Whether an operation assigns what a checkpoint holds."""
    return any(
        each.type in ("RestoreV2", "Restore", "RestoreSlice")
        for each in operations_under(operation)
    )
