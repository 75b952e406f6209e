"""Draws what a tensor is computed from: the real operations, without those that only pass it on.

For graphs of TensorFlow 1's kind, as `tf.disable_v2_behavior()` has them in any version: ref
variables, and branches made of Switch and Merge.
"""

from collections import namedtuple

import tensorflow.compat.v1 as tf
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from tf1_embed.pictures.style import INK, MUTED, NEW, OLD, PAPER

# What boxes are filled with: seen through to the paper, light or dark.
FILL = to_rgba(MUTED, 0.15)

# The operations that are drawn, and what Python calls them. All others are passed through.
NAMES = {
    "ConcatV2": "tf.concat",
    "DynamicPartition": "tf.dynamic_partition",
    "DynamicStitch": "tf.dynamic_stitch",
    "Gather": "lookup",
    "GatherV2": "lookup",
    "Merge": "tf.cond",
    "StridedSlice": "slice",
}

SOURCES = ("Placeholder", "VariableV2")

# Inputs that are places, shapes and sizes, not data: where an operation has some, those that count.
DATA = {
    "DynamicPartition": lambda inputs: inputs[:1],
    "DynamicStitch": lambda inputs: inputs[len(inputs) // 2 :],
    "Reshape": lambda inputs: inputs[:1],
    "Shape": lambda inputs: [],
    "Size": lambda inputs: [],
    "StridedSlice": lambda inputs: inputs[:1],
}

# From an operation that is drawn to another, or to the name of a tensor.
Edge = namedtuple("Edge", "source target")


def draw_graph(tensors, loss=None):
    """Draws the operations that tensors are computed from, from left to right.

    Each arrow has the shape of what flows along it, with `?` for what only a step decides. It is
    thick where an operation makes a matrix whose size no batch decides: a table, or a copy of one.
    Below a variable stands whether it trains: it is blue and square if frozen, orange and round if
    not.

    Args:
      tensors: dict from names to tensors.
      loss: scalar tensor; a variable trains if it has a gradient of this. None: do not say.

    Returns:
      A matplotlib `Figure`.
    """
    edges = find_edges(tensors)
    places = arrange(edges)
    columns = max(x for x, _ in places.values()) + 1
    heights = [y for _, y in places.values()]
    size = (2.0 * columns, 0.95 * (max(heights) - min(heights)) + 1.2)
    figure = Figure(figsize=size, facecolor=PAPER)
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set_xlim(-0.6, columns - 0.4)
    axes.set_ylim(min(heights) - 0.65, max(heights) + 0.6)
    axes.axis("off")
    for edge in edges:
        _draw_edge(axes, edge, places)
    for node, place in places.items():
        _draw_node(axes, node, place, loss)
    return figure


def find_edges(tensors):
    """Walks from tensors to all that they are computed from; returns a list of `Edge`."""
    edges = [Edge(source, name) for name, tensor in tensors.items() for source in _drawn(tensor)]
    # The list grows as it is walked along.
    for edge in edges:
        before = [Edge(source, edge.source) for source in _sources(edge.source)]
        edges += [each for each in dict.fromkeys(before) if each not in edges]
    return edges


def arrange(edges):
    """Returns a dict from nodes to (column, height): each is right of all its inputs."""
    nodes = list(dict.fromkeys([node for edge in edges for node in edge]))
    inputs = {node: [edge.source for edge in edges if edge.target == node] for node in nodes}
    outputs = {node: [edge.target for edge in edges if edge.source == node] for node in nodes}

    def column(node):
        return 1 + max([column(source) for source in inputs[node]], default=-1)

    columns = {node: column(node) for node in nodes}
    for node in nodes:
        if not inputs[node]:  # As near to its use as can be.
            columns[node] = min(columns[target] for target in outputs[node]) - 1
    last = max(columns.values())
    columns.update({node: last for node in nodes if _is_name(node)})
    places = {}
    for number in range(last + 1):
        column_nodes = [node for node in columns if columns[node] == number]

        def height(node):
            heights = [places[source][1] for source in inputs[node] if source in places]
            return sum(heights) / len(heights) if heights else -1 if _is_variable(node) else 1

        column_nodes.sort(key=height)
        middle = sum(map(height, column_nodes)) / len(column_nodes)
        for row, node in enumerate(column_nodes):
            places[node] = (number, middle + row - (len(column_nodes) - 1) / 2)
    return places


def _sources(operation):
    """Returns the drawn operations that the inputs of an operation come from."""
    inputs = DATA.get(operation.type, list)(list(operation.inputs))
    return [source for tensor in inputs for source in _drawn(tensor)]


def _drawn(tensor):
    is_drawn = tensor.op.type in NAMES or tensor.op.type in SOURCES
    return [tensor.op] if is_drawn else _sources(tensor.op)


def _is_name(node):
    return isinstance(node, str)


def _is_variable(node):
    return not _is_name(node) and node.type == "VariableV2"


def _draw_edge(axes, edge, places):
    start, end = places[edge.source], places[edge.target]
    tensor = edge.source.outputs[0]
    is_made = edge.source.type not in SOURCES
    is_large = is_made and tensor.shape.ndims == 2 and tensor.shape.is_fully_defined()
    axes.annotate(
        "",
        xy=(end[0] - 0.36, end[1]),
        xytext=(start[0] + 0.3, start[1]),
        arrowprops={
            "arrowstyle": "-|>",
            "color": INK if is_large else MUTED,
            "linewidth": 5 if is_large else 1.2,
            "mutation_scale": 20 if is_large else 12,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )
    if tensor.dtype.base_dtype.is_floating:
        sizes = ["?" if size is None else str(size) for size in tensor.shape.as_list()]
        axes.text(
            (start[0] + end[0]) / 2 - 0.03,
            (start[1] + end[1]) / 2 + (0.22 if is_large else 0),
            f"[{', '.join(sizes)}]",
            ha="center",
            va="center",
            fontsize=9,
            color=INK,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
        )


def _draw_node(axes, node, place, loss):
    x, y = place
    if _is_name(node):
        axes.text(x - 0.33, y, node, va="center", color=INK)
        return
    fill, edge, text, corners = FILL, INK, INK, "round,pad=0,rounding_size=0.05"
    label = NAMES.get(node.type, node.name).replace("tf.dynamic_", "tf.dynamic_\n")
    if _is_variable(node):
        trainable = [each for each in tf.trainable_variables() if each.op is node]
        fill = edge = NEW if trainable else OLD
        text = PAPER
        corners = "round,pad=0,rounding_size=0.17" if trainable else "square,pad=0"
        note = _training(trainable, loss) if trainable else "frozen"
        axes.text(x - 0.03, y - 0.27, note, ha="center", va="top", color=fill, fontsize=9)
    axes.add_patch(
        FancyBboxPatch(
            (x - 0.36, y - 0.2),
            0.66,
            0.4,
            boxstyle=corners,
            facecolor=fill,
            edgecolor=edge,
            zorder=3,
        )
    )
    axes.text(x - 0.03, y, label, ha="center", va="center", color=text, zorder=4)


def _training(variables, loss):
    if loss is None:
        return "trainable"
    return "no gradient" if tf.gradients(loss, variables)[0] is None else "trains"
