"""Where a checkpoint is, and what is said when there is none or it is damaged."""

from __future__ import annotations

import difflib
import os
import re
from typing import Callable, Iterable, NamedTuple

from tf1_embed.checkpoint.files.state import read_state


class CheckpointDamaged(ValueError):
    """A checkpoint's bytes are not those that were written, or some of them are missing."""


class Files(NamedTuple):
    """How the files of a checkpoint are reached.

    Attributes:
      exists: function of a path that tells whether there is such a file.
      read: function of a path that returns the file's bytes.
      size: function of a path that returns how many these are.
    """

    exists: Callable[[str], bool]
    read: Callable[[str], bytes]
    size: Callable[[str], int]


def _read(path):
    with open(path, "rb") as file:
        return file.read()


LOCAL = Files(os.path.isfile, _read, os.path.getsize)


def find_checkpoint(checkpoint: str | os.PathLike, files: Files = LOCAL) -> str:
    """Returns the prefix that `checkpoint` names: itself, or the latest one of a folder.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if the path has brackets.
    """
    checkpoint = os.fspath(checkpoint)
    refuse_brackets("checkpoint", checkpoint)
    if files.exists(f"{checkpoint}.index"):
        return checkpoint
    latest = latest_checkpoint(checkpoint, files)
    if latest is None and checkpoint.endswith(".index"):
        raise FileNotFoundError(
            f"`checkpoint` must be a prefix: leave `.index` out of {checkpoint!r}"
        )
    if latest is None:
        raise FileNotFoundError(
            f"`checkpoint` must be a checkpoint prefix (such as runs/model.ckpt-1000) or a folder "
            f"with a `checkpoint` file; found neither at {checkpoint!r}"
        )
    return latest


def latest_checkpoint(folder: str, files: Files = LOCAL) -> str | None:
    """Returns the prefix that a folder's `checkpoint` file names, None if there is no such."""
    path = os.path.join(folder, "checkpoint")
    if not files.exists(path):
        return None
    latest, _ = read_state(files.read(path).decode("utf-8", "surrogateescape"))
    if latest is None:
        return None
    latest = os.path.join(folder, latest)
    return latest if files.exists(f"{latest}.index") else None


def refuse_brackets(argument: str, prefix: str) -> None:
    """Raises a ValueError for a prefix that TensorFlow takes for a pattern, and so never finds."""
    if re.search(r"\[.*\]", prefix):
        raise ValueError(
            f"`{argument}` must be a path without brackets, which TensorFlow takes for a pattern; "
            f"got {prefix!r}. Rename it, or give a relative path that has none"
        )


def damaged(prefix: str, what: object) -> CheckpointDamaged:
    """Returns the error that a checkpoint is damaged, with its name and a remedy."""
    return CheckpointDamaged(f"checkpoint {prefix} is damaged: {what}. Restore it from a copy")


def nearest_first(name: str, names: Iterable[str]) -> str:
    """Returns the names as one line of text, those most like `name` first, at most 20."""
    likeness = {each: difflib.SequenceMatcher(None, name, each).ratio() for each in names}
    ordered = sorted(names, key=lambda each: (-likeness[each], each))
    text = ", ".join(repr(each) for each in ordered[:20])
    return text + (f" and {len(ordered) - 20} more" if len(ordered) > 20 else "") or "nothing"
