"""The names of the files of a checkpoint, and of those that lie beside it."""

from __future__ import annotations

import os
import re

# One data file, as `CheckpointWriter` writes it.
DATA, INDEX = ".data-00000-of-00001", ".index"
# What has the graphs of a SavedModel: in binary, in text, or in pieces. TensorFlow looks in this
# order.
SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
_BESIDE = (".delta.json", ".rows.json")
_SUFFIX = r"(\.index|\.data-\d+-of-\d+|\.delta\.json|\.rows\.json)"


def is_saved_model(path: str) -> bool:
    """Tells whether a path is the folder of a SavedModel, or the file in it that has the graphs."""
    folder = os.path.dirname(path) if os.path.basename(path) in SAVED_MODEL else path
    return any(os.path.isfile(os.path.join(folder, each)) for each in SAVED_MODEL)


def files_below(folder: str) -> list[str]:
    """Returns the paths of all files in a folder and in those in it."""
    return [os.path.join(above, name) for above, _, names in os.walk(folder) for name in names]


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
