"""The bytes of a file of word vectors, which may be compressed by gzip."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

_GZIP = b"\x1f\x8b"


def is_compressed(path: PathLike) -> bool:
    """Tells whether a file is compressed by gzip, whatever its name says."""
    with open(path, "rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def open_source(path: PathLike) -> IO[bytes]:
    """Opens a file for its bytes, the decompressed ones."""
    return cast("IO[bytes]", _Decompressed(path)) if is_compressed(path) else open(path, "rb")


class _Decompressed(gzip.GzipFile):
    """A compressed file, which says its name when it is damaged."""

    def __init__(self, path):
        super().__init__(path, "rb")

    def read(self, size=-1):
        return self._checked(super().read, size)

    def readline(self, size=-1):
        return self._checked(super().readline, size)

    def _checked(self, read, size):
        try:
            return read(size)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{self.name} is damaged or truncated: {error}") from error


def size_of(path: PathLike) -> int | None:
    """Returns the number of bytes, None if only reading them all would tell."""
    return None if is_compressed(path) else os.path.getsize(path)
