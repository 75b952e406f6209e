"""The scalars that a training wrote for TensorBoard."""

from __future__ import annotations

import fnmatch
import os
from typing import TYPE_CHECKING

import tensorflow.compat.v1 as tf

if TYPE_CHECKING:
    from typing import Sequence

    from tf1_embed.types import PathLike


def read_scalars(
    logdir: PathLike, tags: Sequence[str] = ("*loss*",)
) -> dict[str, tuple[list[int], list[float]]]:
    """Reads scalars from the event files in a folder and the folders in it.

    Args:
      logdir: string.
      tags: list of strings, tags or patterns (`*/new_rows/*`).

    Returns:
      dict from label to (steps, values), two lists of m numbers. The label is the tag, and before
      it the folder of the run if there are several.

    Raises:
      FileNotFoundError: if there are no event files.
      KeyError: if no tag matches; the error lists those that there are.
    """
    paths = sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(logdir)
        for name in names
        if ".tfevents." in name
    )
    if not paths:
        raise FileNotFoundError(
            f"`logdir` must have event files of TensorBoard in it (*.tfevents.*), got {logdir!r}"
        )
    found: dict[tuple[str, str], dict[int, float]] = {}
    others: set[str] = set()
    for path in paths:
        run = os.path.relpath(os.path.dirname(path), logdir)
        for event in _events(path):
            for value in event.summary.value:
                number = _scalar(value)
                if number is None:
                    continue
                # A tag may have brackets, which mean something else in a pattern.
                if value.tag in tags or any(fnmatch.fnmatchcase(value.tag, each) for each in tags):
                    # Of a step that was run again, after a restart, the last time counts.
                    found.setdefault((run, value.tag), {})[event.step] = number
                else:
                    others.add(value.tag)
    if not found:
        raise KeyError(
            f"`tags` must match scalars in {logdir}, got {', '.join(tags)}; it has "
            f"{', '.join(sorted(others)) or 'none'}"
        )
    several = len({run for run, _ in found}) > 1
    curves = {}
    for (run, tag), points in sorted(found.items()):
        steps, values = zip(*sorted(points.items()))
        curves[f"{run}: {tag}" if several else tag] = (list(steps), list(values))
    return curves


def _events(path):
    """Yields the events of a file, up to where it is cut short, as TensorBoard does."""
    try:
        yield from tf.train.summary_iterator(path)
    except tf.errors.DataLossError:
        return


def _scalar(value):
    """Returns the number in a `tf.Summary.Value`, None if there is something else in it."""
    if value.HasField("simple_value"):
        return value.simple_value
    # As TensorFlow 2 writes it.
    if value.metadata.plugin_data.plugin_name == "scalars" and value.HasField("tensor"):
        return float(tf.make_ndarray(value.tensor))
    return None
