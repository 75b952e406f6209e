"""Files of parts: of which other tokens each new token is made."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Callable

from tf1_embed.vocabulary.tokens import Remedies, Tokens, read_lines

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

_REMEDIES = Remedies("Save the file as UTF-8", "Give the parts of a token in one line")


def read_parts(
    path: PathLike, id_of: Callable[[str], int | None], num_old_rows: int, num_new_rows: int
) -> list[list[int]]:
    r"""Reads of which other tokens each new token is made, for `initializers.mean_of`.

    A line is a token and its parts, each after one tab; or after one space, if the first line has
    no tab. Lines of tokens that have an old row already are passed over.

    Args:
      path: string.
      id_of: function from a token to its id, as `mean_of` has them: that of its old row, or the
        number of old rows and its place among the new ones; None for what is no token.
      num_old_rows: int.
      num_new_rows: int.

    Returns:
      for each new row a list of ids, empty where the file has no line for it, or no parts.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if a token or a part is none of the vocabulary's, with its line; if a token has
        two lines; if a line is empty or not UTF-8.

    Example:
      >>> import os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "parts.txt")
      >>> with open(path, "w") as file:
      ...     length = file.write("sunflower sun flower\n")
      >>> ids = {token: id for id, token in enumerate(["sun", "flower", "sunflower", "sunlight"])}
      >>> read_parts(path, ids.get, num_old_rows=2, num_new_rows=2)
      [[0, 1], []]
    """
    tokens = Tokens(path, "line", remedies=_REMEDIES)
    parts: list[list[int]] = [[] for _ in range(num_new_rows)]
    separator = None
    for number, line in read_lines(path):
        if separator is None:
            separator = b"\t" if b"\t" in line else b" "
        first, *others = line.split(separator)
        row = _id(path, number, tokens.add(first, number), id_of) - num_old_rows
        if row >= 0:
            names = (tokens.decode(each, number) for each in others)
            parts[row] = [_id(path, number, name, id_of) for name in names]
    return parts


def _id(path, number, token, id_of):
    found = id_of(token)
    if found is None:
        raise ValueError(
            f"{path}, line {number}: expected a token and its parts, all of them in the "
            f"vocabulary, old tokens or new ones; got {reprlib.repr(token)}, which is none"
        )
    return found
