"""Files of JSON that tf1_embed wrote, of which nothing is believed before it is checked."""

from __future__ import annotations

import json
import os
import re
import reprlib
from typing import Any, Callable, NamedTuple

from tf1_embed.rows import Rows


class Kind(NamedTuple):
    """A kind of files.

    Attributes:
      name: string, what such a file is, "certificate".
      remedy: string, a sentence without its full stop: what to do if one cannot be read.
      format: int, the number of the format that is read.
      max_bytes: int, the largest size that is read, or None for any.
    """

    name: str
    remedy: str
    format: int
    max_bytes: int | None = None

    def read(self, path: str) -> Fields:
        """Reads a file.

        Returns:
          `Fields`, those of the dict that the file holds.

        Raises:
          ValueError: if it is too large, no JSON, truncated, no dict or of another format.
        """
        fields = Fields(self, path, None)
        if self.max_bytes is not None and os.path.getsize(path) > self.max_bytes:
            raise fields.invalid(f"it has more than {self.max_bytes} bytes")
        with open(path, encoding="utf-8") as file:
            try:
                # An int of a million digits takes Python minutes; no field has one of twenty.
                fields.entries = json.load(file, parse_int=lambda digits: int(digits[:20]))
            except (RecursionError, ValueError) as error:
                raise fields.invalid(f"it is not JSON, or truncated: {error}") from error
        number = fields.take("format", "an int", is_int)
        if number != self.format:
            raise fields.invalid(f"it has format {number}, and this version reads {self.format}")
        return fields


class Fields:
    """A dict out of a file, whose values are checked as they are taken.

    Attributes:
      entries: what should be the dict.
      where: string, what errors say about its place in the file.
    """

    entries: Any
    where: str

    def __init__(self, kind: Kind, path: str, entries: Any, where: str = "") -> None:
        """Takes the attributes, and the file's kind and path."""
        self._kind, self._path = kind, path
        self.entries, self.where = entries, where

    def of(self, entries: Any, where: str) -> Fields:
        """Returns the `Fields` of a dict within this one."""
        return Fields(self._kind, self._path, entries, where)

    def take(self, key: str, expected: str, is_valid: Callable[[Any], Any]) -> Any:
        """Returns the value of a key.

        Args:
          key: string.
          expected: string, what errors say that the value must be.
          is_valid: function of the value that tells whether it is that.

        Raises:
          ValueError: if it is missing or not valid.
        """
        if not isinstance(self.entries, dict) or key not in self.entries:
            raise self.invalid(f"it has no `{key}`{self.where}")
        value = self.entries[key]
        if not is_valid(value):
            got = reprlib.repr(value)
            raise self.invalid(f"`{key}`{self.where} must be {expected}, got {got}")
        return value

    def take_digest(self, key: str) -> str:
        """Returns the value of a key that is a SHA-256."""
        return self.take(key, "64 hexadecimal digits", is_digest)

    def take_rows(self) -> Rows:
        """Returns the `Rows` of the keys "rows", which are the runs of them, and "size"."""
        size = self.take("size", "an int", is_int)
        runs = self.take("rows", "a list of [start, stop] pairs of ints", _are_pairs)
        try:
            return Rows.of_runs(runs, size)
        except (OverflowError, TypeError, ValueError) as error:
            raise self.invalid(f"`rows`{self.where}: {error}") from error

    def invalid(self, what: str) -> ValueError:
        """Returns the error for a file in which something is wrong."""
        kind = self._kind
        return ValueError(f"{self._path!r} cannot be read as a {kind.name}: {what}. {kind.remedy}")


def is_int(value: Any) -> bool:
    """Tells an int that is not negative, and no bool, which in Python is an int, too."""
    return type(value) is int and 0 <= value < 2**62


def are_ints(value: Any) -> bool:
    """Tells a list of ints that are not negative."""
    return isinstance(value, list) and all(map(is_int, value))


def is_digest(value: Any) -> bool:
    """Tells a SHA-256 in hexadecimal digits."""
    return isinstance(value, str) and re.match(r"[0-9a-f]{64}\Z", value) is not None


def _are_pairs(value):
    return isinstance(value, list) and all(are_ints(each) and len(each) == 2 for each in value)
