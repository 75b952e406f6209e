"""A table in TensorBoard's projector: rows with their names, old and new ones marked."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tf1_embed.new_files import check_absent, write_together
from tf1_embed.pictures.samples import check_rows, finite_sample

if TYPE_CHECKING:
    from typing import IO, Callable

    from tf1_embed.rows import Rows
    from tf1_embed.types import Names, PathLike, Table

# TensorBoard's page takes the first 100,000 rows of a file: new rows, which come last, would not be
# seen (github.com/tensorflow/tensorboard/issues/773). Of more than 10,000 it projects a random
# sample, in which few of them are (issues/3647).
MAX_POINTS = 10_000

# The file in which TensorBoard looks for what to project.
CONFIG = "projector_config.pbtxt"


class Projection(NamedTuple):
    """What was written for the projector.

    Attributes:
      paths: list of strings, the files: numbers, metadata, and what names both.
      num_old: int, how many of the points are old rows.
      num_new: int, how many are new.
    """

    paths: list[str]
    num_old: int
    num_new: int


def write_projector(
    logdir: PathLike,
    values: Table,
    new_rows: Rows,
    names: Names | None = None,
    table: str = "table",
    max_points: int = MAX_POINTS,
    force: bool = False,
    dry_run: bool = False,
) -> Projection:
    """Writes what `tensorboard --logdir` shows in its projector; no TensorFlow is needed for it.

    A point has a name, an id, and a mark, "old" or "new", to colour by. All new rows are points, or
    if they are too many at least half of `max_points` are new rows; the others are old rows. Which
    ones is the same every time. Rows with an infinity or a NaN, on which the projector fails, are
    left out.

    Args:
      logdir: string, a folder on a local disk, which is made if need be.
      values: array of shape [num_rows, ...], or what has a shape and is sliced by rows as one.
      new_rows: `tf1_embed.Rows` of it.
      names: sequence of strings, or of what str() makes one of; row i has the name at i; default:
        its id.
      table: string, what the projector calls it.
      max_points: int, 10,000 if not given, of which the projector draws all; it never takes more
        than 100,000.
      force: bool, whether files of these names are replaced.
      dry_run: bool, whether nothing is written.

    Returns:
      `Projection`.

    Raises:
      FileExistsError: if there is one of the files, without `force`.
      TypeError: if `new_rows` is no `Rows`, or the numbers are complex.
      ValueError: if `new_rows` or `names` are of another number of rows; if a row has no numbers;
        if `max_points` is not 2 to 100,000.

    Example:
      >>> import os, tempfile
      >>> from tf1_embed import Rows
      >>> logdir = tempfile.mkdtemp()
      >>> new_rows = Rows.range(2, 3, size=3)
      >>> projection = write_projector(logdir, np.eye(3), new_rows, ["the", "of", "axolotl"])
      >>> print(open(os.path.join(logdir, "table_metadata.tsv")).read().expandtabs(10))
      name      mark      id
      the       old       0
      of        old       1
      axolotl   new       2
    """
    projection, contents = prepare_projector(
        logdir, values, new_rows, names, table, max_points, force
    )
    if not dry_run:
        write_together(contents, force)
    return projection


def prepare_projector(
    logdir: PathLike,
    values: Table,
    new_rows: Rows,
    names: Names | None,
    table: str,
    max_points: int,
    force: bool,
) -> tuple[Projection, dict[str, Callable[[IO[bytes]], object]]]:
    """Reads all that `write_projector`, which has the same arguments, writes.

    Returns:
      `Projection`, and for each path a function that writes the file, for `write_together`.
    """
    check_rows("values", values, new_rows, names)
    if not 2 <= max_points <= 100_000:
        raise ValueError(f"`max_points` must be 2 to 100,000, got {max_points}")
    paths = projector_paths(logdir, table)
    for path in paths:
        check_absent(path, force)
    old_rows = ~new_rows
    max_new = max(max_points - old_rows.count, max_points // 2)
    new_ids, new = finite_sample(values, new_rows, max_new)
    old_ids, old = finite_sample(values, old_rows, max_points - len(new_ids))
    metadata = "name\tmark\tid\n" + "".join(
        f"{_one_line(each if names is None else names[each])}\t{mark}\t{each}\n"
        for mark, ids in (("old", old_ids), ("new", new_ids))
        for each in ids.tolist()
    )
    points = np.concatenate([old, new])
    # It has three axes, and needs a number for each.
    if points.shape[1] < 3:
        points = np.pad(points, ((0, 0), (0, 3 - points.shape[1])), "constant")
    config = _config(table, points.shape, *paths[:2])

    contents = {
        paths[0]: lambda file: np.savetxt(file, points, fmt="%.9g", delimiter="\t"),
        # A half of a surrogate pair has no bytes of its own.
        paths[1]: lambda file: file.write(metadata.encode(errors="replace")),
        paths[2]: lambda file: file.write(config.encode(errors="replace")),
    }
    return Projection(paths, len(old_ids), len(new_ids)), contents


def projector_paths(logdir: PathLike, table: str) -> list[str]:
    """Returns the paths of the vectors, of their names, and of the configuration."""
    start = os.path.join(logdir, re.sub(r"[^\w.-]", "_", table, flags=re.ASCII))
    return [f"{start}_vectors.tsv", f"{start}_metadata.tsv", os.path.join(logdir, CONFIG)]


def _config(table, shape, vectors, metadata):
    """Returns a `ProjectorConfig` in the text format of protocol buffers."""
    table = re.sub(r'(["\\])', r"\\\1", _one_line(table))
    return (
        "embeddings {\n"
        f'  tensor_name: "{table}"\n'
        f"  tensor_shape: {shape[0]}\n"
        f"  tensor_shape: {shape[1]}\n"
        f'  tensor_path: "{os.path.basename(vectors)}"\n'
        f'  metadata_path: "{os.path.basename(metadata)}"\n'
        "}\n"
    )


def _one_line(name):
    """Returns a name without tabs and line ends, at which a column or a row would end."""
    return " ".join(re.split(r"[\t\v\f\r\n\x00\x1c-\x1e\x85\u2028\u2029]", str(name)))
