"""Where a checkpoint is, and what is said when there is none or it is damaged."""

import difflib
import os
import re

import tensorflow.compat.v1 as tf


def find_checkpoint(checkpoint):
    """Returns the prefix that `checkpoint` names: itself, or the latest one of a folder.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if the path has brackets.
    """
    checkpoint = os.fspath(checkpoint)
    refuse_brackets("checkpoint", checkpoint)
    if tf.gfile.Exists(f"{checkpoint}.index"):
        return checkpoint
    latest = tf.train.latest_checkpoint(checkpoint)
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


def refuse_brackets(argument, prefix):
    """Raises a ValueError for a prefix that TensorFlow takes for a pattern, and so never finds."""
    if re.search(r"\[.*\]", prefix):
        raise ValueError(
            f"`{argument}` must be a path without brackets, which TensorFlow takes for a pattern; "
            f"got {prefix!r}. Rename it, or give a relative path that has none"
        )


def data_loss(prefix, what):
    """Returns the error that a checkpoint is damaged, with its name and a remedy."""
    return tf.errors.DataLossError(
        None, None, f"DataLossError: checkpoint {prefix} is damaged: {what}. Restore it from a copy"
    )


def nearest_first(name, names):
    """Returns the names as one line of text, those most like `name` first, at most 20."""
    likeness = {each: difflib.SequenceMatcher(None, name, each).ratio() for each in names}
    ordered = sorted(names, key=lambda each: (-likeness[each], each))
    text = ", ".join(repr(each) for each in ordered[:20])
    return text + (f" and {len(ordered) - 20} more" if len(ordered) > 20 else "") or "nothing"
