"""What is asked of the disk: is a name free, are the folders there, is all of it written."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tf1_embed.types import PathLike


def check_absent(path: PathLike, force: bool = False) -> None:
    """Raises FileExistsError if there is a file at a path that is not to be replaced."""
    if not force and os.path.lexists(path):
        raise FileExistsError(
            f"{path} exists; choose another name, or replace it with force=True (--force)"
        )


def flush_to_disk(path: str) -> None:
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


def make_folders(folder: str) -> list[str]:
    """Makes a folder and those above it; returns those that were not there, the highest first."""
    missing: list[str] = []
    above = folder
    while above and not os.path.isdir(above):
        missing.insert(0, above)
        above = os.path.dirname(above)
    if missing:
        os.makedirs(folder, exist_ok=True)
    return missing
