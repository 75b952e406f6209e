"""Shows figures as SVG that reads on light paper and on dark, with words for who does not see it.

Importing this gives all figures of a notebook the style of the library's own pictures.
"""

import matplotlib

from tf1_embed.pictures.files import as_svg
from tf1_embed.pictures.style import STYLE

matplotlib.rcParams.update(STYLE)


class Picture:
    """What a cell ends with to show a figure.

    Args:
      figure: a matplotlib `Figure`.
      words: string, what there is to see; the site and screen readers have it from here.
    """

    def __init__(self, figure, words):
        self._figure, self._words = figure, " ".join(words.split())

    def _repr_svg_(self):
        return as_svg(self._figure, self._words)

    def __repr__(self):
        return f"Picture: {self._words}"
