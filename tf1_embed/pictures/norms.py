"""How long the rows are, the old ones and the new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tf1_embed.pictures.samples import check_rows, counted, read_in_chunks, sample_ids
from tf1_embed.pictures.style import NEW, OLD, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tf1_embed.rows import Rows
    from tf1_embed.types import Table

_MAX_ROWS = 100_000

_MAX_BINS = 48

# So few new rows are marked one by one.
_MAX_MARKS = 50


def norms(values: Table, new_rows: Rows) -> Figure:
    """Draws the distributions of the rows' norms, old against new.

    Rows that are much longer or shorter than the others win or lose every dot product; new rows
    among old ones should be as long as they are. Of more than 100,000 a sample is read, the same
    every time.

    Args:
      values: array of shape [num_rows, ...], or what has a shape and is sliced by rows as one.
      new_rows: `tf1_embed.Rows` of it.

    Returns:
      `matplotlib.figure.Figure`.

    Raises:
      TypeError: if `new_rows` is no `Rows`, or the numbers are complex.
      ValueError: if `new_rows` are of another number of rows, or a row has no numbers.

    Example:
      >>> from tf1_embed import Rows
      >>> figure = norms(np.eye(5) * [[1], [1], [1], [3], [3]], Rows.range(3, 5, size=5))
      >>> figure.axes[0].get_title(loc="left")
      'Median norm of old rows 1, of new rows 3'
    """
    check_rows("values", values, new_rows)
    found, labels, left_out = {}, {}, 0
    for kind, rows in (("old", ~new_rows), ("new", new_rows)):
        each = _norms_of(values, sample_ids(rows, _MAX_ROWS))
        labels[kind] = counted(len(each), rows.count, f"{kind} row")
        found[kind] = each[np.isfinite(each)]
        left_out += len(each) - len(found[kind])

    old, new = found["old"], found["new"]
    with new_figure(9, 3.6) as figure:
        axes = figure.subplots()
        edges = _edges(axes, np.concatenate([old, new]))
        _draw_shares(
            axes, old, edges, histtype="stepfilled", color=OLD, alpha=0.55, label=labels["old"]
        )
        if new.size > _MAX_MARKS:
            _draw_shares(
                axes, new, edges, histtype="step", color=NEW, linewidth=2, label=labels["new"]
            )
        elif new.size:
            axes.plot(
                *(new, np.zeros(new.size), "^"),
                color=NEW,
                markersize=9,
                markeredgewidth=0,
                clip_on=False,
                label=labels["new"],
            )
        medians = [
            f"{kind} rows {np.median(some):.3g}" for kind, some in found.items() if some.size
        ]
        axes.set_title(f"Median norm of {', of '.join(medians)}" if medians else "No norms")
        axes.set_xlabel("norm of the row" + _note(left_out))
        axes.set_ylabel("% of the rows")
        axes.set_ylim(bottom=0)
        if medians:
            axes.legend()
    return figure


def _draw_shares(axes, found, edges, **style):
    if found.size:
        axes.hist(found, edges, weights=np.full(found.size, 100 / found.size), **style)


def _norms_of(values, ids):
    found = np.empty(len(ids))
    for start, stop, rows in read_in_chunks(values, ids):
        with np.errstate(over="ignore", invalid="ignore"):
            found[start:stop] = np.sqrt(np.square(rows).sum(axis=1))
    return found


def _edges(axes, found):
    """Returns the bins' edges; in a logarithmic scale if norms are of several magnitudes."""
    num_edges = int(np.clip(3 * np.sqrt(found.size), 8, _MAX_BINS)) + 1
    low, high = (found.min(), found.max()) if found.size else (0.0, 1.0)
    if low > 0 and high > 30 * low:
        axes.set_xscale("log")
        return np.geomspace(low, high, num_edges)
    if high - low < 1e-6 * high or high == low:
        low, high = 0.9 * low, 1.1 * high or 1.0
    return np.linspace(low, high, num_edges)


def _note(left_out):
    return f" ({left_out:,} rows whose norm is not finite are left out)" if left_out else ""
