"""Tokens out of files: lines of bounded length, in UTF-8, and no token twice."""

from __future__ import annotations

import codecs
import functools
import reprlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import IO, Callable, Generator, Iterator

    from tf1_embed.types import PathLike

# Longer than any word; what is longer is no list of words, and would fill the memory.
MAX_TOKEN_BYTES = 1 << 20


def read_lines(
    path: PathLike,
    max_bytes: int = MAX_TOKEN_BYTES,
    open_file: Callable[[PathLike], IO[bytes]] | None = None,
) -> Generator[tuple[int, bytes], None, None]:
    r"""Yields the lines of a file as TensorFlow's lookup tables see them.

    A line ends in LF or CRLF, and in nothing else that Unicode takes for a line's end; after the
    last line it may be missing. All other white space is kept.

    Args:
      path: string.
      max_bytes: int, the length of the longest line that is allowed.
      open_file: function that opens a path for bytes; default: `open`.

    Yields:
      (number, line): int, from 1; bytes, without the line end.

    Raises:
      ValueError: if a line is longer, or the file starts with a byte order mark.
    """
    with open(path, "rb") if open_file is None else open_file(path) as file:
        read_line = functools.partial(file.readline, max_bytes + len(b"\r\n"))
        for number, line in enumerate(iter(read_line, b""), 1):
            line = line.rstrip(b"\n")
            line = line[:-1] if line.endswith(b"\r") else line
            if len(line) > max_bytes:
                raise ValueError(
                    f"{path}, line {number}: expected at most {max_bytes} bytes, got more; is it a "
                    f"text file?"
                )
            if number == 1 and line.startswith(codecs.BOM_UTF8):
                # Not dropped: TensorFlow's lookup tables keep it as a part of the first token.
                raise ValueError(
                    f"{path}, line 1: expected a token, got a byte order mark before it. Save the "
                    f"file as UTF-8 without a byte order mark"
                )
            yield number, line


class Remedies(NamedTuple):
    """What to do about a token that is not of the encoding, and about one that is there twice."""

    encoding: str
    duplicate: str


REMEDIES = Remedies("Save the file as UTF-8", "Every token must differ")


class Tokens:
    r"""The tokens of one file, gathered in their order and checked one by one.

    Example:
      >>> tokens = Tokens("words.txt", "line")
      >>> tokens.add(b"caf\xc3\xa9", 1)
      'café'
      >>> tokens.add(b"caf\xc3\xa9", 2)
      Traceback (most recent call last):
      ValueError: words.txt, line 2: token 'café' is that of line 1 again. Every token must differ
    """

    def __init__(
        self,
        path: PathLike,
        unit: str,
        encoding: str = "utf-8",
        errors: str = "strict",
        remedies: Remedies = REMEDIES,
    ) -> None:
        """Takes what errors name, and how bytes become text.

        Args:
          path: string, the file.
          unit: string, what its tokens are counted in ("line", "row").
          encoding: string, that of the tokens.
          errors: string, what becomes of other bytes, as for `bytes.decode`.
          remedies: `Remedies`.
        """
        self._path = path
        self._unit = unit
        self._encoding, self._errors, self._remedies = encoding, errors, remedies
        self._number_of: dict[str, int] = {}

    def add(self, token: bytes, number: int) -> str:
        """Returns the token, bytes, as a string.

        Raises:
          ValueError: if it is empty, too long, not UTF-8, or a token of an earlier number.
        """
        text = self.decode(token, number)
        if not text or len(token) > MAX_TOKEN_BYTES:
            raise self._error(
                number,
                f"expected a token of 1 to {MAX_TOKEN_BYTES} bytes, got one of {len(token)}",
            )
        first = self._number_of.setdefault(text, number)
        if first != number:
            raise self._error(
                number,
                f"token {reprlib.repr(text)} is that of {self._unit} {first} again. "
                f"{self._remedies.duplicate}",
            )
        return text

    def decode(self, token: bytes, number: int) -> str:
        """Returns a token, bytes, as a string; raises a ValueError if it is not of the encoding."""
        try:
            return token.decode(self._encoding, self._errors)
        except UnicodeDecodeError as error:
            name = "UTF-8" if self._encoding == "utf-8" else self._encoding
            raise self._error(
                number,
                f"expected a token in {name}, got {reprlib.repr(token)}, whose byte {error.start} "
                f"is none. {self._remedies.encoding}",
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._number_of)

    def __len__(self) -> int:
        return len(self._number_of)

    def _error(self, number, what):
        return ValueError(f"{self._path}, {self._unit} {number}: {what}")
