"""The assets of a SavedModel: vocabularies, of which a line belongs to a row of a table."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tf1_embed.types import PathLike


class Asset(NamedTuple):
    """A file among the assets.

    Attributes:
      name: string, its path in the SavedModel, such as "assets/words.txt".
      num_lines: int, of which the last one may have no end.
    """

    name: str
    num_lines: int


def find_assets(folder: str) -> list[Asset]:
    """Returns the files in a SavedModel's folder of assets, which need not exist."""
    found = []
    for above, _, names in os.walk(folder):
        for name in sorted(names):
            path = os.path.join(above, name)
            relative = os.path.relpath(path, os.path.dirname(folder)).replace(os.sep, "/")
            found.append(Asset(relative, count_lines(path)))
    return found


def count_lines(path: PathLike) -> int:
    """Returns how many lines a file has, of which the last one may have no end."""
    count, last = 0, b"\n"
    with open(path, "rb") as file:
        while True:
            chunk = file.read(1 << 20)
            if not chunk:
                return count + (last != b"\n")
            count, last = count + chunk.count(b"\n"), chunk[-1:]
