"""What files are, whatever they are called."""

from __future__ import annotations

import os
from typing import Any, Iterable


def check_not_read(written: Iterable[str], read: Iterable[str]) -> None:
    """Raises FileExistsError if a file would be written that is read, whatever it is called."""
    inputs = identities(read)
    for each, path in identities(written).items():
        if each in inputs:
            raise FileExistsError(
                f"{path} would be replaced, and is read ({inputs[each]}); choose another name"
            )


def identities(paths: Iterable[str]) -> dict[Any, str]:
    """Returns what files are, whatever they are called: a dict from that to one of their names.

    Links of either kind, relative paths and others of one file are the same. What does not exist
    is the name in the folder that would have it.
    """
    found: dict[Any, str] = {}
    for path in paths:
        try:
            state = os.stat(path)
            found[state.st_dev, state.st_ino] = path
        except OSError:
            found[os.path.realpath(path)] = path
    return found
