"""Lookups that send ids to other rows than the growth of the table does."""

import collections

import numpy as np

from tf1_embed.auditing.evaluate import evaluate
from tf1_embed.auditing.findings import finding
from tf1_embed.partitions import Partitions

_GATHERS = ("Gather", "GatherV2", "ResourceGather")
_READS = ("Identity", "ReadVariableOp", "Enter", "RefEnter", "Switch", "RefSwitch")


def find_lookups(operations, variables, strategy):
    """Returns the findings about lookups that join several variables, some of them audited.

        ids ──mod──> dynamic_partition ──> gather from part_0
                                       └─> gather from part_1

    What each id gets is found by running the operations before the gathers on every id.

    Args:
      operations: set of `tf.Operation`, those that run.
      variables: list of the audited variables; with `strategy` the partitions of one table.
      strategy: "mod" or "div", how ids should go to the partitions; None for a variable that is
        audited by itself.

    Returns:
      list of `Finding`.
    """
    audited = {each.op for each in variables}
    found = []
    for partition, gathers in _partitioned_gathers(operations).items():
        tables = [_table_of(each) for each in gathers]
        if None in tables or not audited.intersection(tables) or len(set(tables)) == 1:
            continue
        sizes = [_num_rows(each) for each in gathers]
        rows = _rows_looked_up(partition, gathers, sum(sizes))
        if rows is None:
            continue
        name = variables[0].op.name
        if strategy is not None and tables == [each.op for each in variables]:
            if not _agree(rows, sizes, strategy):
                found.append(finding("partition-strategy-disagrees", name, partition))
        elif not _are_partitions(tables) and not _agree(rows, sizes, "div"):
            found.append(finding("lookup-in-unequal-pieces", name, partition))
    return sorted(found)


def _partitioned_gathers(operations):
    """Returns a dict from each `dynamic_partition` to its gathers, one for each output."""
    gathers = collections.defaultdict(dict)
    for operation in operations:
        if operation.type in _GATHERS:
            ids = operation.inputs[1]
            if ids.op.type == "DynamicPartition":
                gathers[ids.op][ids.value_index] = operation
    return {
        partition: [of_output[i] for i in range(len(partition.outputs))]
        for partition, of_output in gathers.items()
        if len(of_output) == len(partition.outputs)
    }


def _table_of(gather):
    """Returns the operation of the variable that rows are gathered from, None if it is none."""
    operation = gather.inputs[0].op
    while operation.type in _READS:
        operation = operation.inputs[0].op
    return operation if operation.type in ("VarHandleOp", "VariableV2", "Variable") else None


def _num_rows(gather):
    if gather.type == "ResourceGather":
        return gather.inputs[0].op.get_attr("shape").dim[0].size
    return gather.inputs[0].shape.as_list()[0]


def _rows_looked_up(partition, gathers, num_ids):
    """Returns the piece and the row that each id is looked up as, [num_ids]; None if unknown."""
    data, pieces = partition.inputs
    ids = np.arange(num_ids)
    for flat_ids in _upstream(data):
        piece, row = (evaluate(each, [flat_ids], ids) for each in (pieces, data))
        if piece is not None and row is not None:
            return piece.reshape(-1), row.reshape(-1)
    return None


def _upstream(tensor):
    """Yields the tensors that a tensor of ids may have been computed from, the nearest first."""
    pending, seen = [tensor], set()
    while pending and len(seen) < 50:
        each = pending.pop(0)
        if each.name in seen:
            continue
        seen.add(each.name)
        yield each
        pending.extend(source for source in each.op.inputs if source.dtype.is_integer)


def _agree(rows, sizes, strategy):
    """Tells whether each id is looked up as the row that a partition strategy gives it."""
    expected = Partitions(tuple(sizes), strategy).locate(np.arange(sum(sizes)))
    return all(np.array_equal(*pair) for pair in zip(rows, expected))


def _are_partitions(tables):
    """Whether variables are named as the partitions of one variable are."""
    return len({each.name.rpartition("/part_")[0] for each in tables} - {""}) == 1
