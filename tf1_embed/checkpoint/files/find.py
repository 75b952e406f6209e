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
    """Returns the prefix that `checkpoint` names.

        runs/model.ckpt-7                  itself
        runs/model.ckpt-7.index            runs/model.ckpt-7, as of any of its files
        runs                               what the folder's `checkpoint` file names as the latest
        saved_model                        saved_model/variables/variables, of a SavedModel

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if the path has brackets, or the checkpoint is of the format V1.
    """
    checkpoint = os.fspath(checkpoint)
    refuse_brackets("checkpoint", checkpoint)
    latest = latest_checkpoint(checkpoint, files)
    candidates = [
        checkpoint,
        latest,
        re.sub(r"\.(index|meta|data-\d+-of-\d+)\Z", "", checkpoint),
        os.path.join(checkpoint, "variables", "variables"),
        os.path.join(checkpoint, "variables"),
        os.path.join(os.path.dirname(checkpoint), "variables", "variables"),
    ]
    if os.path.basename(checkpoint) != "saved_model.pb":
        del candidates[-1]
    for each in candidates:
        if each is not None and files.exists(f"{each}.index"):
            return each
    for each in candidates[:2]:
        if each is not None and files.exists(each) and _is_of_format_v1(each, files):
            raise ValueError(
                f"{each} is a checkpoint of the format V1, of before TensorFlow 1.0, which is not "
                f"read. Convert it with TensorFlow: restore it in the model's own code, and save "
                f"it with tf.train.Saver(write_version=tf.train.SaverDef.V2)"
            )
    raise FileNotFoundError(
        f"`checkpoint` must be a checkpoint prefix (such as runs/model.ckpt-1000) or a folder "
        f"with a `checkpoint` file; found neither at {checkpoint!r}"
        + (f", nor {latest + '.index'!r}, which its file names" if latest is not None else "")
    )


def latest_checkpoint(folder: str, files: Files = LOCAL) -> str | None:
    """Returns the prefix that a folder's `checkpoint` file names, None if there is no such file."""
    path = os.path.join(folder, "checkpoint")
    if not files.exists(path):
        return None
    latest, _ = read_state(files.read(path).decode("utf-8", "surrogateescape"))
    return None if latest is None else os.path.join(folder, latest)


def _is_of_format_v1(path, files):
    """Tells whether a file is a table of keys and values, as an index is."""
    return files.size(path) < _MOST_BYTES_LOOKED_AT and files.read(path).endswith(_TABLE)


# What ends a table, and how large the file may be that is looked at.
_TABLE = bytes.fromhex("57fb808b247547db")
_MOST_BYTES_LOOKED_AT = 1 << 31


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
