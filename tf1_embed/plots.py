"""Pictures of a growth: what changed, where new rows are, how long, what old answers lose to them.

Each function returns a `matplotlib.figure.Figure`; `save` writes it as PNG or SVG, `write_page`
several as one page. Large tables are read in pieces, and binned or sampled.
"""

try:
    import matplotlib  # noqa: F401
except ModuleNotFoundError as error:
    # It is installed, but lacks something.
    if error.name != "matplotlib":
        raise
    raise ImportError(
        "pictures need matplotlib, which is not installed: pip install matplotlib"
    ) from error

from tf1_embed.pictures.answers import old_answers
from tf1_embed.pictures.changes import row_changes
from tf1_embed.pictures.curves import training_curve
from tf1_embed.pictures.files import as_svg, save, write_page
from tf1_embed.pictures.norms import norms
from tf1_embed.pictures.plane import old_and_new

__all__ = [
    "as_svg",
    "norms",
    "old_and_new",
    "old_answers",
    "row_changes",
    "save",
    "training_curve",
    "write_page",
]
