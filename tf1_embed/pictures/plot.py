"""Pictures of a table that grew, from the checkpoints before and after."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tf1_embed.bfloat16 import name_of
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.rewrite import Silence
from tf1_embed.checkpoint.slots import CHOSEN_ROWS, trainable_name, variable_name
from tf1_embed.fingerprints import digest_of
from tf1_embed.new_files import check_absent, write_together
from tf1_embed.pictures.events import read_scalars
from tf1_embed.pictures.projector import MAX_POINTS, prepare_projector
from tf1_embed.pictures.samples import counted, read_rows
from tf1_embed.rows import Rows, ids_at, ids_of
from tf1_embed.solving.interference import interference
from tf1_embed.version import __version__
from tf1_embed.vocabulary import IdMap

if TYPE_CHECKING:
    from typing import IO, Callable, Sequence

    from tf1_embed.pictures.projector import Projection
    from tf1_embed.types import Names, Progress

# kind of a picture -> its title
KINDS = {
    "changes": "What changed",
    "map": "Where the new rows are",
    "norms": "How long the rows are",
    "curve": "How they trained",
    "answers": "What old answers lose",
}

# kind -> the argument that it needs, how the command calls it, and what that is
_NEEDS = {
    "curve": ("events", "--events", "the folder of the summaries"),
    "answers": ("queries", "--queries", "a .npz of old queries and of what answers them"),
}

_SUFFIXES = (".html", ".png", ".svg")


class Plotted(NamedTuple):
    """What was drawn.

    Attributes:
      paths: list of strings, the files of pictures.
      table: string, its name.
      num_old_rows: int.
      num_new_rows: int.
      projection: `tf1_embed.pictures.projector.Projection`, None if none was asked for.
    """

    paths: list[str]
    table: str
    num_old_rows: int
    num_new_rows: int
    projection: Projection | None


def plot_checkpoint(
    old: str,
    new: str,
    table: str,
    out: str | None = None,
    kinds: Sequence[str] | None = None,
    id_map: IdMap | None = None,
    names: Names | None = None,
    events: str | None = None,
    tags: Sequence[str] = ("*loss*",),
    queries: str | None = None,
    projector: str | None = None,
    max_points: int = MAX_POINTS,
    partition_strategy: str | None = None,
    new_partition_strategy: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Plotted:
    """Draws what a growth did to a table.

    Args:
      old: string, the prefix of the old checkpoint on a local disk, or a folder, whose latest is
        taken.
      new: string, likewise, the grown one: the table under its old name with more rows, or not
        merged yet, with its new rows beside it.
      table: string, the variable's name.
      out: string, a page .html, a picture .png or .svg, or a folder for pictures .svg; default: no
        pictures are drawn.
      kinds: list of "changes", "map", "norms", "curve" and "answers"; default: all, but "curve"
        only where there are `events`, and "answers" where there are `queries`.
      id_map: `tf1_embed.vocabulary.IdMap`, where old rows moved to; default: every id is kept.
      names: sequence of strings; row i of the grown table has the name at i; default: its id.
      events: string, a folder of the summaries of the training, for "curve".
      tags: list of strings, the scalars in them that are drawn, or patterns.
      queries: string, a .npz file for "answers": `queries`, floats `[n, dim]`, whose products with
        the rows are scores; and `ids`, ints `[n]`, the old row that answers each.
      projector: string, a folder to write what TensorBoard's projector shows.
      max_points: int, see `tf1_embed.pictures.projector.write_projector`.
      partition_strategy: "mod" or "div", how lookups send ids to partitions; needed where the table
        has more than one.
      new_partition_strategy: string, that of the new checkpoint, if it is another.
      force: bool, whether files are replaced.
      dry_run: bool, whether nothing is drawn and written.
      progress: function of the number of bytes in all, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.

    Returns:
      `Plotted`.

    Raises:
      FileNotFoundError: if there is no such checkpoint.
      FileExistsError: if a file exists, without `force`.
      ImportError: if pictures are asked for and matplotlib is not installed.
      KeyError: if a checkpoint lacks the table, or no tag matches.
      ValueError: if neither `out` nor `projector` is given; if `kinds` are not those, or several
        for one picture, or "curve" without `events`, or "answers" without `queries`; if these are
        no such file or do not fit the table; if the tables do not fit each other, `id_map`
        or `names`; if a strategy is needed and not given.
      CheckpointDamaged: if a checkpoint is damaged.
    """
    if out is None and projector is None:
        raise ValueError("give `out` (--out), `projector` (--projector), or both")
    kinds = _check_kinds(kinds, {"events": events, "queries": queries})
    paths = [] if out is None else _paths(out, kinds, force)
    if paths:
        # Without matplotlib this fails, before anything is read and in a dry run as well.
        _plots()
    curves = asked = None
    if paths and events is not None and "curve" in kinds:
        curves = read_scalars(events, tags)
    if paths and queries is not None and "answers" in kinds:
        asked = _read_queries(queries)
    with CheckpointReader(old) as old_reader, CheckpointReader(new) as new_reader:
        before = StoredRows(old_reader, old_reader.find(table), partition_strategy)
        after = _grown_rows(new_reader, table, new_partition_strategy or partition_strategy)
        id_map = _check_id_map(id_map, before, after)
        rows = id_map.new_rows
        projection, figures, facts = None, {}, {}
        contents: dict[str, Callable[[IO[bytes]], object]] = {}
        if projector is not None:
            projection, contents = prepare_projector(
                projector, after, rows, names, table, max_points, force
            )
        if paths and not dry_run:
            for kind in kinds:
                figures[kind] = _draw(
                    kind, before, after, id_map, names, curves, asked, progress or Silence
                )
            if paths[0].lower().endswith(".html"):
                facts = _facts(old_reader, new_reader, table, before, after, id_map)
        # Before anything is written: what was read may have been damaged.
        old_reader.check_rest()
        new_reader.check_rest()
    if figures:
        contents.update(_contents(figures, paths, facts))
    if not dry_run:
        write_together(contents, force)
    return Plotted(paths, table, rows.size - rows.count, rows.count, projection)


def _check_kinds(kinds, given):
    lacking = [kind for kind, (name, _, _) in _NEEDS.items() if given[name] is None]
    if kinds is None:
        return [each for each in KINDS if each not in lacking]
    unknown = [each for each in kinds if each not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"`kinds` must be some of {', '.join(KINDS)}; got {kinds}")
    for kind in lacking:
        if kind in kinds:
            name, option, what = _NEEDS[kind]
            raise ValueError(f"a picture of the kind {kind} needs `{name}` ({option}), {what}")
    return [each for each in KINDS if each in kinds]


def _read_queries(path):
    """Returns the queries and the ids of a .npz file."""
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"`queries` (--queries) must be a .npz file, got {path}")
        file.seek(0)
        with np.load(file) as arrays:
            if not {"queries", "ids"} <= set(arrays.files):
                raise ValueError(
                    f"`queries` (--queries) must hold arrays named queries and ids; {path} has "
                    f"{', '.join(arrays.files) or 'none'}: "
                    f"np.savez(path, queries=…, ids=…) writes one"
                )
            return arrays["queries"], arrays["ids"]


def _paths(out, kinds, force):
    """Returns the files to write, and makes sure of what can be known before the work."""
    suffix = os.path.splitext(out)[1].lower()
    if os.path.isfile(out) and not suffix:
        raise FileExistsError(f"{out} exists and is no folder; choose another name")
    if os.path.isdir(out) or not suffix:
        paths = [os.path.join(out, f"{kind}.svg") for kind in kinds]
    elif suffix not in _SUFFIXES:
        raise ValueError(f"`out` must end in {', '.join(_SUFFIXES)}, or be a folder; got {out!r}")
    elif suffix != ".html" and len(kinds) > 1:
        raise ValueError(
            f"one picture must be of one kind: choose with `kinds` (--kind) one of "
            f"{', '.join(kinds)}; or write to a page .html or to a folder"
        )
    else:
        paths = [out]
    for path in paths:
        check_absent(path, force)
    return paths


def _grown_rows(reader, table, partition_strategy):
    name = reader.find(table)
    stored = StoredRows(reader, name, partition_strategy)
    names = reader.names()
    if trainable_name(name, CHOSEN_ROWS) in names:
        raise ValueError(
            f"{variable_name(name)!r} is split into frozen and chosen rows in {reader.prefix}; "
            f"merge it first (tf1-embed merge)"
        )
    if trainable_name(name) not in names:
        return stored
    return _TwoVariables(stored, StoredRows(reader, trainable_name(name), partition_strategy))


class _TwoVariables:
    """A grown table that is not merged: its frozen rows, then its new ones."""

    def __init__(self, frozen, new):
        self._frozen, self._new = frozen, new
        self.shape = (frozen.shape[0] + new.shape[0],) + frozen.shape[1:]
        self.dtype = frozen.dtype

    def __getitem__(self, index):
        ids = ids_of(index)
        is_new = ids >= self._frozen.shape[0]
        rows = np.empty((len(ids),) + self.shape[1:], self.dtype)
        rows[~is_new] = self._frozen[ids[~is_new]]
        rows[is_new] = self._new[ids[is_new] - self._frozen.shape[0]]
        return rows


class _OldRows:
    """The old rows in the order that they have in the grown table; a bar sees them read."""

    def __init__(self, before, id_map, bar):
        self._before, self._id_map, self._bar = before, id_map, bar
        self._kept = ~id_map.new_rows
        self.shape, self.dtype = (self._kept.count,) + before.shape[1:], before.dtype

    def __getitem__(self, index):
        ids = ids_at(self._kept, ids_of(index))
        rows = self._before[self._id_map.old_ids(ids)]
        self._bar.update(rows.nbytes)
        return rows


def _check_id_map(id_map, before, after):
    num_old, num_rows = before.shape[0], after.shape[0]
    if id_map is None:
        if num_rows < num_old:
            raise ValueError(
                f"the table has {num_old} rows in the old checkpoint and only {num_rows} in the new"
            )
        return IdMap(Rows.range(num_old, num_rows, size=num_rows), num_old)
    if (id_map.num_old_rows, id_map.num_rows) != (num_old, num_rows):
        raise ValueError(
            f"the vocabularies are of {id_map.num_old_rows} and {id_map.num_rows} rows, but the "
            f"table has {num_old} and {num_rows}"
        )
    return id_map


def _plots():
    """Imports what draws, not before pictures are asked for: it needs matplotlib."""
    from tf1_embed import plots

    return plots


def _draw(kind, before, after, id_map, names, curves, asked, progress):
    plots = _plots()
    if kind == "changes":
        num_bytes = int(np.prod(before.shape, dtype=np.int64)) * before.dtype.itemsize
        with progress(num_bytes) as bar:
            return plots.row_changes(_OldRows(before, id_map, bar), after, id_map.new_rows)
    if kind == "map":
        return plots.old_and_new(after, id_map.new_rows, names)
    if kind == "norms":
        return plots.norms(after, id_map.new_rows)
    if kind == "answers":
        old = read_rows(before, slice(0, before.shape[0]))
        found = interference(*asked, old, read_rows(after, id_map.new_rows.ids()))
        return plots.old_answers({"as they are": found})
    return plots.training_curve(curves)


def _facts(old_reader, new_reader, table, before, after, id_map):
    """Returns what a page says of what it shows. No date: the same input gives the same page."""
    # Not before pictures are asked for: it needs matplotlib.
    import matplotlib

    kept, num_new = ~id_map.new_rows, id_map.new_rows.count
    with Silence(0) as bar:
        digest = digest_of(_OldRows(before, id_map, bar))
    digest_now = digest_of(after, kept)
    same = f"the same {kept.count:,}, bit for bit"
    return {
        "Table": table,
        "Before": f"{old_reader.prefix}, {name_of(before.dtype)} {list(before.shape)}",
        "After": f"{new_reader.prefix}, {name_of(after.dtype)} {list(after.shape)}",
        "New": counted(num_new, num_new, "row"),
        "SHA-256 of the old rows, before": digest,
        "and after": same if digest_now == digest else digest_now,
        "Drawn by": f"tf1_embed {__version__}, matplotlib {matplotlib.__version__}",
    }


def _contents(figures, paths, facts):
    """Returns what writes each of the files, for `write_together`; a page has `facts`."""
    # Not before pictures are asked for: it needs matplotlib.
    from tf1_embed.pictures.files import encode_page, encode_picture

    if facts:
        titled = {KINDS[kind]: figure for kind, figure in figures.items()}
        heading = f"{facts['Table']}: {facts['New'].replace(' ', ' new ')}"
        encoded = [encode_page(titled, heading, facts)]
    else:
        encoded = [encode_picture(figure, path) for path, figure in zip(paths, figures.values())]
    return {
        path: lambda file, content=content: file.write(content)
        for path, content in zip(paths, encoded)
    }
