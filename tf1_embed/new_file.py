"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO, Iterator

    from tf1_embed.types import PathLike


@contextlib.contextmanager
def new_file(path: PathLike, force: bool = False) -> Iterator[BinaryIO]:
    """Opens a file that takes its name when the context is left without an exception.

    Args:
      path: PathLikeing, on a local disk.
      force: bool, whether a file of that name is replaced.

    Yields:
      the file, open for bytes.

    Raises:
      FileExistsError: if there is one and not `force`.
      FileNotFoundError: if there is no folder for it.
    """
    path = os.path.abspath(path)
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder!r} to write {name!r} to")
    check_absent(path, force)
    temporary = tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
    try:
        unfinished = os.path.join(temporary, name)
        with open(unfinished, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        flush_to_disk(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_absent(path: PathLike, force: bool = False) -> None:
    """Raises FileExistsError if there is a file at a path that is not to be replaced."""
    if os.path.exists(path) and not force:
        raise FileExistsError(
            f"{path} exists; choose another name, or replace it with force=True (--force)"
        )


def flush_to_disk(path: PathLike) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    is_folder = os.path.isdir(path)
    if is_folder and os.name == "nt":
        # Windows opens no folders.
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems flush no folders.
        if not (is_folder and error.errno == errno.EINVAL):
            raise
    finally:
        os.close(descriptor)
