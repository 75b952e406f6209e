"""The map of a table: its rows on the plane on which the old ones differ most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tf1_embed.pictures.samples import check_rows, counted, finite_sample, row_width
from tf1_embed.pictures.style import INK, MUTED, NEW, OLD, SHADES_OF_OLD, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tf1_embed.rows import Rows
    from tf1_embed.types import ArrayLike, Names, Table

# Old rows that the plane is fitted to, and that are drawn: as points, or from there on as a
# density. A picture of a hundred thousand points is one blot, and megabytes as SVG.
_MAX_OLD_ROWS, _MAX_OLD_POINTS = 50_000, 2_000
_MAX_NEW_POINTS = 2_000

# Of long rows, fewer old ones than that are read.
_MAX_BYTES = 64 << 20

# Of longer rows, the covariance would take more memory than the rows.
_MAX_COVARIANCE = 2_048

# Names that can be read beside one picture.
_MAX_NAMES, _MAX_NAMES_OF_A_SIDE = 30, 20

_LONGEST_NAME = 34

_CELLS = (120, 80)

# Of the part of the picture that has the points, without the names beside it.
_WIDTH_OVER_HEIGHT = 1.4


def old_and_new(
    values: Table, new_rows: Rows, names: Names | None = None, came_from: ArrayLike | None = None
) -> Figure:
    """Draws the rows on the two principal axes of the old ones; few new rows are named.

    Of many rows a sample is read, the same every time; many old ones are drawn as their density.

    Args:
      values: array of shape [num_rows, ...], or what has a shape and is sliced by rows as one.
      new_rows: `tf1_embed.Rows` of it.
      names: sequence of strings; row i has the name at i; default: its id.
      came_from: array of shape [new_rows.count, ...], what the new rows were before they trained,
        for the way from there to be drawn.

    Returns:
      `matplotlib.figure.Figure`.

    Raises:
      TypeError: if `new_rows` is no `Rows`, or the numbers are complex.
      ValueError: if `new_rows` or `names` are of another number of rows, or `came_from` of another
        number of new rows; if a row has no numbers.

    Example:
      >>> from tf1_embed import Rows
      >>> figure = old_and_new(np.eye(5, 3), Rows.range(3, 5, size=5), names=list("abcde"))
      >>> [each.get_text() for each in figure.axes[0].texts]
      ['d', 'e']
    """
    check_rows("values", values, new_rows, names)
    begun = None if came_from is None else np.asarray(came_from)
    if begun is not None and len(begun) != new_rows.count:
        raise ValueError(
            f"`came_from` must have {new_rows.count} rows, one a new row, got {len(begun)}"
        )
    old_rows = ~new_rows
    max_old = max(_MAX_OLD_POINTS, _MAX_BYTES // (8 * row_width(values)))
    _, old = finite_sample(values, old_rows, min(max_old, _MAX_OLD_ROWS))
    new_ids, new = finite_sample(values, new_rows, _MAX_NEW_POINTS)
    kind, fitted = ("old", old) if len(old) else ("new", new)
    # Squares of very large numbers would overflow.
    scale = max(np.abs(each).max(initial=0) for each in (old, new)) or 1.0
    old /= scale
    new /= scale
    centre = fitted.mean(axis=0) if len(fitted) else np.zeros(row_width(values))
    old -= centre
    new -= centre
    axes_of_rows, share = _principal_axes(fitted)
    old, new = old @ axes_of_rows, new @ axes_of_rows

    with new_figure(9, 6) as figure:
        axes = figure.subplots()
        _draw_old(axes, old, new, counted(len(old), old_rows.count, "old row"))
        if begun is not None:
            begun = begun[new_rows.position(new_ids)]
            begun = (begun.reshape(len(new), -1) / scale - centre) @ axes_of_rows
            for start, stop in zip(begun, new):
                axes.plot(*zip(start, stop), color=NEW, linewidth=0.8, alpha=0.6)
        if new_rows.count:
            axes.scatter(
                new[:, 0],
                new[:, 1],
                s=64 if len(new) <= _MAX_NAMES else 18,
                color=NEW,
                marker="^",
                alpha=1 if len(new) <= _MAX_NAMES else 0.6,
                linewidths=0,
                zorder=3,
                label=counted(len(new), new_rows.count, "new row")
                + ("" if begun is None else ", with the way they came"),
            )
        _scale_alike(axes)
        if len(new) <= _MAX_NAMES:
            _name_in_margins(axes, new, [_name(names, each) for each in new_ids.tolist()])
        # Directions of a projection: their numbers say nothing.
        axes.axis("off")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncol=2)
        figure.supxlabel(
            f"The two directions in which {kind} rows differ most: {share:.0%} of their variance",
            fontsize=9,
            color=MUTED,
        )
    return figure


def _principal_axes(rows):
    """Returns the two principal axes [dim, 2] of centred rows, and their share of the variance."""
    if rows.shape[1] <= _MAX_COVARIANCE:
        variances, vectors = np.linalg.eigh(rows.T @ rows)
        axes = vectors[:, ::-1][:, :2]
    else:
        # The products of the rows with each other have the same variances.
        variances, vectors = np.linalg.eigh(rows @ rows.T)
        axes = np.linalg.qr(rows.T @ vectors[:, ::-1][:, :2])[0]
    # Either direction is an axis; which one is found differs between machines.
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1, 1)
    total = variances.sum()
    share = variances[::-1][:2].sum() / total if total > 0 else 1.0
    # A row of one number has one axis.
    return np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])), "constant"), share


def _draw_old(axes, old, new, label):
    if len(old) <= _MAX_OLD_POINTS:
        axes.scatter(*old.T, s=26, color=OLD, alpha=0.55, linewidths=0, label=label)
        return
    # A few rows far from all others would leave one blot of these.
    low, high = np.quantile(old, [0.001, 0.999], axis=0)
    both = np.concatenate([new, [low, high]])
    low, high = both.min(axis=0), both.max(axis=0)
    # Rows of one number lie on a line.
    margin = np.where(low == high, 0.5, 0)
    (left, bottom), (right, top) = low - margin, high + margin
    density, _, _ = np.histogram2d(*old.T, bins=_CELLS, range=[(left, right), (bottom, top)])
    axes.imshow(
        np.ma.masked_equal(np.log1p(density.T), 0),
        cmap=SHADES_OF_OLD,
        aspect="auto",
        interpolation="none",
        origin="lower",
        extent=(left, right, bottom, top),
    )
    axes.scatter([], [], s=64, marker="s", color=OLD, linewidths=0, label=f"{label}, their density")


def _scale_alike(axes):
    """Gives both axes one scale, so that what lies near in the picture lies near."""
    limits = np.array([axes.get_xlim(), axes.get_ylim()])
    centres, spans = limits.mean(axis=1), np.ptp(limits, axis=1)
    shape = np.array([_WIDTH_OVER_HEIGHT, 1.0])
    half = (spans / shape).max() * shape / 2
    axes.set_xlim(centres[0] - half[0], centres[0] + half[0])
    axes.set_ylim(centres[1] - half[1], centres[1] + half[1])


def _name(names, row_id):
    name = str(row_id if names is None else names[row_id])
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _name_in_margins(axes, points, names):
    """Writes names beside the plot, in the order of their points' heights, so that none overlap.

    A name is on the side on which its point is, unless there is no more room on it.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    by_x = np.argsort(points[:, 0], kind="stable")
    num_left = int((points[:, 0] < (left + right) / 2).sum())
    num_left = min(max(num_left, len(by_x) - _MAX_NAMES_OF_A_SIDE), _MAX_NAMES_OF_A_SIDE)
    for side, members in (("right", by_x[:num_left]), ("left", by_x[num_left:])):
        members = members[np.argsort(points[members, 1], kind="stable")]
        heights = bottom + (top - bottom) * (np.arange(len(members)) + 0.5) / len(members)
        for member, height in zip(members, heights):
            axes.annotate(
                plain(names[member]),
                points[member],
                xytext=(left if side == "right" else right, height),
                ha=side,
                va="center",
                color=INK,
                annotation_clip=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": MUTED,
                    "linewidth": 0.6,
                    # From the middle of the label's inner edge.
                    "relpos": (side == "right", 0.5),
                },
            )
