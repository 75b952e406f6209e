"""The names of the files of a checkpoint, and of those that lie beside it."""

from __future__ import annotations

import os
import re

# One data file, as `CheckpointWriter` writes it.
DATA, INDEX = ".data-00000-of-00001", ".index"
_BESIDE = (".delta.json", ".rows.json")
_SUFFIX = r"(\.index|\.data-\d+-of-\d+|\.delta\.json|\.rows\.json)"


def files_of(prefix: str) -> list[str]:
    """Returns the paths of the files that a checkpoint has, by name."""
    folder, name = os.path.split(prefix)
    pattern = re.compile(re.escape(name) + _SUFFIX)
    try:
        names = os.listdir(folder or ".")
    except FileNotFoundError:
        return []
    return [os.path.join(folder, each) for each in sorted(names) if pattern.fullmatch(each)]


def new_files_of(prefix: str) -> list[str]:
    """Returns the paths of all files that may be written for a checkpoint."""
    return [prefix + suffix for suffix in (DATA, INDEX, *_BESIDE)]
