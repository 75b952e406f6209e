"""What a step moves beside the tables: moving averages drift, though rows are frozen."""

from __future__ import annotations

from tf1_embed.auditing.findings import Finding, finding
from tf1_embed.graph import op_kinds
from tf1_embed.graph.flow import Flow
from tf1_embed.graph.nodes import Node

_AVERAGES = ("ExponentialMovingAverage", "moving_mean", "moving_variance")


def find_notes(flow: Flow, run: set[Node], names: list[str]) -> list[Finding]:
    """Returns notes about moving averages that a step moves.

    Averages of variables are named after them. Those of other variables than the tables follow
    what trains, as they should; the statistics of a batch normalisation follow every batch.

    Args:
      flow: `Flow` of the graph.
      run: set of `Node`, those that run.
      names: list of strings, the names of the tables.

    Returns:
      list of `Finding`, whose `table` is the variable that holds the average.
    """
    found = {}
    for node in run:
        if node.type not in op_kinds.WRITES or not node.inputs:
            continue
        for kind, *_, name in flow.origins.get(node.inputs[0], ()):
            if "variable" not in kind:
                continue
            of_table = any(f"{table}/{_AVERAGES[0]}" in name for table in names)
            if of_table or name.rpartition("/")[2] in _AVERAGES[1:]:
                found[name] = finding("moving-average-drifts", name, node)
    return list(found.values())
