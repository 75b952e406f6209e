"""What right old answers lose to new rows, although no old row moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tf1_embed.pictures.style import INK, MUTED, NEW, OLD, new_figure, plain

if TYPE_CHECKING:
    from typing import Mapping

    from matplotlib.figure import Figure

    from tf1_embed.solving.interference import Interference

_LINES = [(NEW, "-"), (OLD, "--"), (INK, ":"), (MUTED, "-.")]


def old_answers(found: Mapping[str, Interference], title: str = "") -> Figure:
    """Draws how many right old answers are among the first k, without new rows and with them.

    The area is the ranks among the old rows alone, which no row that came can better. How far a
    line is below it is what is lost at that rank.

    Args:
      found: dict from label, such as how the new rows were made, to the `Interference` of the same
        old queries (`tf1_embed.interference`).
      title: string; default: what share of their mean reciprocal rank old answers lose.

    Returns:
      `matplotlib.figure.Figure`.

    Raises:
      ValueError: if nothing was found, more than can be told apart, no query, or not of the same
        queries: then the ranks among the old rows differ.

    Example:
      >>> from tf1_embed import interference
      >>> found = interference([[1.0], [-1.0]], [0, 1], np.array([[2.0], [1.0]]), [[3.0]])
      >>> figure = old_answers({"solved": found})
      >>> figure.axes[0].get_title(loc="left")
      'Of their MRR old answers lose 25.0% to new rows: solved'
    """
    if not 1 <= len(found) <= len(_LINES):
        raise ValueError(f"`found` must be 1 to {len(_LINES)} of them, got {len(found)}")
    before = next(iter(found.values())).ranks_before
    if not before.size:
        raise ValueError("`found` has no queries")
    for label, each in found.items():
        if not np.array_equal(each.ranks_before, before):
            raise ValueError(
                f"`found` must be of the same queries and old rows; the ranks of {label!r} among "
                f"the old rows are others than those of the first"
            )
    last = max(2.0, *(each.ranks_after.max() for each in found.values()))
    with new_figure(9, 3.6) as figure:
        axes = figure.subplots()
        ks, shares = _first(before, last)
        axes.fill_between(
            ks, shares, step="post", color=MUTED, alpha=0.3, linewidth=0, label="among old rows"
        )
        for (label, each), (colour, line) in zip(found.items(), _LINES):
            axes.step(
                *_first(each.ranks_after, last),
                where="post",
                color=colour,
                linestyle=line,
                label=plain(f"among all rows, {label}"),
            )
        lost = ", ".join(f"{each.lost:.1%} to new rows: {label}" for label, each in found.items())
        axes.set_title(plain(title or f"Of their MRR old answers lose {lost}"))
        axes.set_xscale("log")
        axes.set_xlim(1, last)
        axes.set_ylim(0, 100)
        axes.set_xlabel("k")
        axes.set_ylabel("% of right answers in the first k")
        axes.legend(loc="lower right")
    return figure


def _first(ranks, last):
    """Returns ranks that there are, and the percentage of answers that are at most so far back."""
    ks, counts = np.unique(np.floor(ranks), return_counts=True)
    shares = 100 * np.cumsum(counts) / len(ranks)
    return np.concatenate([[1.0], ks, [last]]), np.concatenate(
        [[shares[0] if ks[0] == 1 else 0.0], shares, shares[-1:]]
    )
