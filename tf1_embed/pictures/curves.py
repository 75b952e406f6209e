"""Curves of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tf1_embed.pictures.style import INK, MUTED, NEW, OLD, new_figure, plain

if TYPE_CHECKING:
    from typing import Mapping, Sequence

    from matplotlib.figure import Figure

_COLOURS, _STYLES = (NEW, OLD, INK, MUTED), ("-", "--", ":", "-.")

# The first four differ in both: in print, and to the colour-blind, the line alone says it.
_LINES = [
    (_COLOURS[i], _STYLES[(i + shift) % len(_STYLES)])
    for shift in range(len(_STYLES))
    for i in range(len(_COLOURS))
]

# More points than a line in the picture has room for are drawn as means.
_MAX_POINTS = 500


def training_curve(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str = "",
    xlabel: str = "step",
    ylabel: str = "",
) -> Figure:
    """Draws one or more measurements over the steps of a training.

    Of many steps, means over equal stretches are drawn.

    Args:
      curves: dict from label to (steps, values), each a sequence of m numbers. What is not finite
        is left out.
      title: string.
      xlabel: string, what is counted: steps, epochs, seconds.
      ylabel: string.

    Returns:
      `matplotlib.figure.Figure`.

    Raises:
      ValueError: if there are no curves, or more than can be told apart; if a curve has not as many
        steps as values, or no finite value.

    Example:
      >>> figure = training_curve({"loss": ([1, 2, 3], [0.9, 0.5, 0.4])})
      >>> figure.axes[0].lines[0].get_ydata().tolist()
      [0.9, 0.5, 0.4]
    """
    if not 1 <= len(curves) <= len(_LINES):
        raise ValueError(f"`curves` must be 1 to {len(_LINES)}, got {len(curves)}; choose some")
    with new_figure(9, 3.6) as figure:
        axes = figure.subplots()
        for (label, (steps, values)), (colour, line) in zip(curves.items(), _LINES):
            steps, values = _points(label, steps, values)
            marker = "o" if len(steps) <= 20 else None
            axes.plot(
                steps,
                values,
                color=colour,
                linestyle=line,
                marker=marker,
                markersize=4,
                label=_shown(label),
            )
        axes.set_title(plain(title))
        axes.set_xlabel(plain(xlabel))
        axes.set_ylabel(plain(ylabel))
        axes.legend()
    return figure


def _shown(label):
    """Returns a label that matplotlib puts into the legend: a bare underscore would hide it."""
    label = plain(label)
    return f"\u200b{label}" if label.startswith("_") else label


def _points(label, steps, values):
    steps, values = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    if steps.shape != values.shape or steps.ndim != 1:
        raise ValueError(
            f"`curves` must have as many steps as values, got {list(steps.shape)} and "
            f"{list(values.shape)} of {label!r}"
        )
    is_finite = np.isfinite(values)
    if not is_finite.any():
        raise ValueError(f"`curves` must have a finite value each; {label!r} has none")
    steps, values = steps[is_finite], values[is_finite]
    if len(steps) <= _MAX_POINTS:
        return steps, values
    pieces = [np.array_split(each, _MAX_POINTS) for each in (steps, values)]
    return tuple(np.array([piece.mean() for piece in each]) for each in pieces)
