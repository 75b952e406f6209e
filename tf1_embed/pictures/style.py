"""How the pictures look: colours that the colour-blind tell apart, on light and on dark paper."""

from __future__ import annotations

import contextlib
import re
import warnings
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from typing import Iterator

# Colours of Okabe and Ito for what is old and what is new. Shapes and line styles differ as well.
PAPER, INK, MUTED, OLD, NEW = "#ffffff", "#1d2126", "#667080", "#0072b2", "#d55e00"

# What takes their places where a page or a reader prefers dark.
ON_DARK = {PAPER: "#14171b", INK: "#e8eaed", MUTED: "#98a2b0", OLD: "#56b4e9", NEW: "#ff8a3d"}

# Seen through to the paper, so that one image serves on light and on dark.
SHADES_OF_OLD, SHADES_OF_NEW = (
    LinearSegmentedColormap.from_list(
        f"shades_of_{colour}", [to_rgba(colour, alpha) for alpha in (0.3, 1.0)]
    )
    for colour in (OLD, NEW)
)

STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": PAPER,
    "savefig.facecolor": "auto",
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}

# All but the characters that XML can hold: those of control, and halves of surrogate pairs.
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Gives what is drawn or written in the context the style of these pictures."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A name in a script that matplotlib's font lacks: in SVG the reader's own font has it.
        warnings.filterwarnings("ignore", "Glyph .* missing|Matplotlib currently does not support")
        # What the user's own plots look like is left out of it.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


@contextlib.contextmanager
def new_figure(width: float = 9.0, height: float = 5.0) -> Iterator[Figure]:
    """Makes a `matplotlib.figure.Figure`, and gives what is drawn in the context its style.

    Args:
      width: float, inches.
      height: float, inches.
    """
    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        # Ticks are made when they are first drawn, and take their style then.
        figure.draw_without_rendering()


def printable(text: object) -> str:
    """Returns text with U+FFFD in the place of each character that no SVG can hold."""
    return _UNPRINTABLE.sub("\ufffd", str(text))


def plain(text: object) -> str:
    """Returns text that matplotlib draws as it is: a bare dollar sign would begin a formula."""
    return printable(text).replace("$", r"\$")
