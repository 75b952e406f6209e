"""The heat map of what changed: each number of a table, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from tf1_embed.bfloat16 import as_numbers
from tf1_embed.fingerprints import as_bytes
from tf1_embed.pictures.samples import check_rows, row_width
from tf1_embed.pictures.style import MUTED, SHADES_OF_NEW, new_figure, plain
from tf1_embed.rows import Rows, rows_in_chunk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tf1_embed.types import Table

# Cells of the picture; where the table has more, a cell shows the largest change of several.
_MAX_CELLS_ACROSS, _MAX_CELLS_DOWN = 240, 64

# Of the picture's width, the least that new rows have, however few they are.
_MIN_SHARE = 0.15

_UNCHANGED = -1.0


def row_changes(
    before: Table,
    after: Table,
    new_rows: Rows | None = None,
    limit: float | None = None,
    title: str | None = None,
) -> Figure:
    """Draws how far each number of a table went, one column of the picture a row of the table.

    What is the same in every bit is not drawn, so that the smallest change is told apart from none.
    Of a table with more rows than the picture has columns, a column shows the largest change of
    several rows: one changed row in ten million is seen.

    New rows that had no value before are drawn as they are now, by the size of their numbers, if no
    old row changed; else their panel is empty, since a colour can stand for one thing only.

    Args:
      before: array of shape [num_old_rows, ...], the old rows in the order that they have in
        `after`; or of the shape of `after`, then the change of the new rows is drawn as well. Or
        what has a shape and is sliced by rows as an array, such as a table in a checkpoint.
      after: array of shape [num_rows, ...], likewise.
      new_rows: `tf1_embed.Rows` of `after`; default: the rows beyond those of `before`.
      limit: float, the change that has the full colour, for pictures to be compared; default: that
        which 99 % of the changed cells do not exceed.
      title: string, put before what the picture says.

    Returns:
      `matplotlib.figure.Figure`.

    Raises:
      TypeError: if `new_rows` is no `Rows`, or the numbers are complex.
      ValueError: if `before` and `after` do not fit each other or `new_rows`, or a row has no
        numbers.

    Example:
      >>> before = np.zeros([3, 2], np.float32)
      >>> after = np.float32([[0, 0], [0, 0.5], [0, 0], [1, 1]])
      >>> row_changes(before, after).axes[0].get_title(loc="left")
      '1 of 3 old rows changed'
    """
    if new_rows is None:
        num_old = min(before.shape[0], after.shape[0])
        new_rows = Rows.range(num_old, after.shape[0], size=after.shape[0])
    check_rows("after", after, new_rows)
    old_rows = ~new_rows
    _check_pair(before, after, old_rows)
    has_all = before.shape[0] == after.shape[0]

    old_cells, num_changed = _cells(before, after, old_rows, has_all)
    # Where nothing else is to be seen, and they had no value before: what they are now.
    shows_values = not has_all and not num_changed
    new_cells = None
    if has_all or shows_values:
        new_cells = _cells(before if has_all else None, after, new_rows, has_all)[0]
    panels = [("old", old_rows, old_cells)]
    plural = "row" if old_rows.count == 1 else "rows"
    titles = [f"{num_changed:,} of {old_rows.count:,} old {plural} changed"]
    if title is not None:
        titles[0] = f"{title}: {titles[0]}"
    if new_rows.count:
        panels.append(("new", new_rows, new_cells))
        titles.append(f"{new_rows.count:,} new")
    limit = _full_colour(old_cells, new_cells) if limit is None else limit
    with new_figure(9, 3.6) as figure:
        _draw(figure, panels, row_width(after), limit, shows_values)
        for axes, each in zip(figure.axes, titles):
            axes.set_title(plain(each))
    return figure


def _check_pair(before, after, old_rows):
    if before.shape[0] not in (old_rows.count, after.shape[0]):
        raise ValueError(
            f"`before` must have a row for each of the {old_rows.count} old rows, or for each of "
            f"all {after.shape[0]}; got {before.shape[0]}"
        )
    if before.shape[1:] != after.shape[1:] or before.dtype != after.dtype:
        raise ValueError(
            f"`before` must have rows like those of `after`, {after.dtype} of shape "
            f"{list(after.shape[1:])}; got {before.dtype} of shape {list(before.shape[1:])}"
        )


def _cells(before, after, rows, has_all):
    """Returns the cells of a picture, [down, across], and how many rows changed in any bit."""
    width = row_width(after)
    cells = np.full([min(width, _MAX_CELLS_DOWN), min(rows.count, _MAX_CELLS_ACROSS)], _UNCHANGED)
    num_changed = start = 0
    for index in rows.chunks(rows_in_chunk(np.float64, after.shape[1:])):
        new = np.asarray(after[index])
        stop = start + len(new)
        if before is None:  # The size of a number is how far it is from zero.
            old = np.zeros_like(new)
        else:
            old = np.asarray(before[index if has_all else slice(start, stop)])
        differ = as_bytes(old) != as_bytes(new)
        if differ.any():
            differ = differ.reshape(len(new), width, -1).any(axis=2)
            num_changed += np.count_nonzero(differ.any(axis=1))
            change = np.where(differ, _distance(old, new).reshape(differ.shape), _UNCHANGED)
            largest = _largest_of(change, np.arange(width) * cells.shape[0] // width, axis=1)[1]
            across = np.arange(start, stop) * cells.shape[1] // rows.count
            seen, largest = _largest_of(largest, across, axis=0)
            cells[:, seen] = np.maximum(cells[:, seen], largest.T)
        start = stop
    return cells, num_changed


def _largest_of(change, cell, axis):
    """Returns the cells that there are, and the largest change of each; `cell` is ascending."""
    seen, firsts = np.unique(cell, return_index=True)
    return seen, np.maximum.reduceat(change, firsts, axis)


def _distance(old, new):
    with np.errstate(all="ignore"):
        distance = np.abs(as_numbers(new).astype(np.float64) - as_numbers(old).astype(np.float64))
    # Of NaNs with other bits, or of one infinity and another.
    return np.where(np.isnan(distance), np.inf, distance)


def _full_colour(*cells):
    cells = np.concatenate([each.ravel() for each in cells if each is not None])
    changes = cells[np.isfinite(cells) & (cells > 0)]
    return float(np.quantile(changes, 0.99)) if changes.size else 1.0


def _draw(figure, panels, width, limit, shows_values):
    shares = np.clip([rows.count / max(rows.size, 1) for _, rows, _ in panels], _MIN_SHARE, None)
    all_axes = figure.subplots(
        1, len(panels), sharey=True, squeeze=False, gridspec_kw={"width_ratios": shares}
    )[0]
    for axes, (kind, rows, cells) in zip(all_axes, panels):
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        if cells is None:
            axes.patch.set(hatch="///", edgecolor=MUTED, linewidth=0)
            axes.set_xticks([])
            # It grows to the left: a reader's font may be wider, and the panel is at the edge.
            axes.set_xlabel("no value before", loc="right")
            continue
        axes.set_xlabel(_across(kind, rows, shows_values))
        if rows.count:
            nothing = "all zeros" if shows_values and kind == "new" else "exactly zero"
            _draw_cells(axes, rows, cells, width, limit, nothing)
    all_axes[0].set_ylabel("number in the row")
    images = [axes.images[0] for axes in all_axes if axes.images]
    changes = np.concatenate([image.get_array().compressed() for image in images] + [[]])
    if changes.size:
        figure.colorbar(
            images[0],
            ax=list(all_axes),
            label="size of the new rows' numbers" if shows_values else "absolute change",
            extend="max" if changes.max() > limit else "neither",
        )


def _across(kind, rows, shows_values):
    per_column = -(-rows.count // _MAX_CELLS_ACROSS)
    what = "number" if shows_values and kind == "new" else "change"
    several = f", {per_column:,} rows a column: their largest {what}" if per_column > 1 else ""
    return ("id" if len(rows.runs()) <= 1 else f"place among the {kind} rows") + several


def _draw_cells(axes, rows, cells, width, limit, nothing):
    runs = rows.runs()
    first = runs[0][0] if len(runs) == 1 else 0
    # imshow leaves out what is infinite.
    cells = np.where(np.isinf(cells), 10 * limit, cells)
    image = axes.imshow(
        np.ma.masked_equal(cells, _UNCHANGED),
        cmap=SHADES_OF_NEW,
        vmin=0,
        vmax=limit,
        aspect="auto",
        interpolation="none",
        # The middle of a cell is over its number.
        extent=(first - 0.5, first + rows.count - 0.5, width - 0.5, -0.5),
    )
    if not image.get_array().count():
        axes.text(
            *(0.5, 0.5, nothing),
            transform=axes.transAxes,
            color=MUTED,
            ha="center",
            va="center",
        )
