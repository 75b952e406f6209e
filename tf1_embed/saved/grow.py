"""Appends rows to tables of models that were saved with their graphs, and grows the graphs."""

from __future__ import annotations

import fnmatch
import functools
import os
import shutil
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Sequence

from tf1_embed.checkpoint.files.catalog import Catalog
from tf1_embed.checkpoint.files.find import find_checkpoint, nearest_first
from tf1_embed.checkpoint.files.names import files_below, files_of, is_saved_model
from tf1_embed.checkpoint.grow import grow_checkpoint
from tf1_embed.checkpoint.rewrite import Written
from tf1_embed.checkpoint.slots import variable_name
from tf1_embed.new_files import NewFiles, check_absent, check_not_read, has_leftovers
from tf1_embed.saved.assets import Asset, count_lines, find_assets
from tf1_embed.saved.files import (
    BINARY,
    FINGERPRINT,
    encode_saved_model,
    read_meta_graph,
    read_saved_model,
)
from tf1_embed.saved.graph import SavedGraph
from tf1_embed.saved.nodes import Nodes
from tf1_embed.saved.proof import prove
from tf1_embed.saved.sizes import Holder
from tf1_embed.saved.variables import grown_tensors, strategies
from tf1_embed.vocabulary import IdMap

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

_VARIABLES, _ASSETS = "variables", "assets"
_PREFIX = os.path.join(_VARIABLES, "variables")


class GrownNode(NamedTuple):
    """What of a graph, or of a SavedModel's folder, is another than before, or was left.

    Attributes:
      name: string, the name of the node, of the function and its node, or of the file.
      old: string, what it was.
      new: string, what it is; None if it is left as it was.
    """

    name: str
    old: str
    new: str | None


class GrownModel(NamedTuple):
    """What became, or with `dry_run` would become, of a model that was saved with its graph.

    Attributes:
      tensors: list of `Written`, what became of each tensor of the checkpoint.
      nodes: list of `GrownNode`, what grew with the tables, and what was kept although it has
        their size.
      num_proved: int, how many variables, or partitions of some, TensorFlow restored with the bits
        that the checkpoint has.
    """

    tensors: list[Written]
    nodes: list[GrownNode]
    num_proved: int


def grow_saved_model(
    saved_model: PathLike,
    tables: Sequence[str],
    out: PathLike,
    num_new_rows: int | dict[str, int] | None = None,
    id_map: IdMap | None = None,
    also: Sequence[str] | Callable[[list[str]], Sequence[str]] | None = None,
    also_found: bool = False,
    keep: Sequence[str] = (),
    assets: Mapping[str, PathLike] | None = None,
    force: bool = False,
    dry_run: bool = False,
    **options: Any,
) -> GrownModel:
    """Writes a SavedModel in which tables have more rows, in the variables and in every graph.

    TensorFlow serves it for old and new ids. What is in the folder besides stays as it is, assets
    and signatures among it; `fingerprint.pb`, a hash of the old graph, is left out. Modules of
    TensorFlow Hub (`tfhub_module.pb`) are SavedModels.

    What follows from the variables' shapes grows with them: their initializers, partitions in the
    graph and the number of ids by which lookups find them, what gradients hold of shapes. Whatever
    else has the number of rows (constants, shapes of placeholders, assets with as many lines) is
    listed, and it is to be said what grows, `also`, and what stays, `keep`.

    At the end TensorFlow restores the result, and all rows of what grew are compared.

    Args:
      saved_model: string, the folder.
      tables: list of strings, as for `grow_checkpoint`.
      out: string, the folder to write.
      num_new_rows: as for `grow_checkpoint`.
      id_map: as for `grow_checkpoint`.
      also: as for `grow_checkpoint`; the list may name nodes of the graph as well.
      also_found: bool, whether all that is found grows, variables and nodes, as far as it can.
      keep: list of strings, names or patterns of nodes, and of assets ("assets/words.txt"), which
        have the number of rows and stay as they are.
      assets: dict from names of assets ("assets/words.txt") to the files that take their places.
      force: bool, whether a SavedModel at `out` is replaced. The input never is.
      dry_run: bool, whether nothing is written.
      **options: others of `grow_checkpoint`: `initializer`, `slot_values`, `reset_slots`, `clocks`,
        `partition_strategy` (default: what lookups in the graph do), `progress`.

    Returns:
      `GrownModel`.

    Raises:
      FileNotFoundError: if there is no such SavedModel, or asset.
      FileExistsError: if `out` exists and not `force`, or is the input, in it or around it, or has
        one of `assets` in it.
      KeyError: if a name in `also`, `keep` or `assets` matches nothing.
      ValueError: if it is not said what becomes of something that has the number of rows, or it
        cannot grow; if the graph contradicts itself; if TensorFlow cannot restore the result; if
        it is an object-based SavedModel of TensorFlow 2; as for `grow_checkpoint`.
    """
    folder, out = os.fspath(saved_model), os.fspath(out)
    if not is_saved_model(folder):
        raise FileNotFoundError(
            f"`saved_model` must be the folder of a SavedModel, with {BINARY} in it; got {folder!r}"
        )
    folder = folder if os.path.isdir(folder) else os.path.dirname(folder) or "."
    _check_out(folder, out, force)
    check_not_read(files_below(out), [os.fspath(each) for each in (assets or {}).values()])
    name, message = read_saved_model(folder)
    _check_kind(folder, message)
    prefix = find_checkpoint(os.path.join(folder, _PREFIX))
    graphs = list(message.meta_graphs)
    found_assets = find_assets(os.path.join(folder, _ASSETS))
    decision = _Decision(
        prefix, graphs, also, also_found, keep, assets or {}, found_assets, options
    )
    if os.path.exists(os.path.join(folder, FINGERPRINT)):
        decision.leave_out(FINGERPRINT, "a hash of the old graph")
    grow = functools.partial(
        grow_checkpoint, prefix, tables, num_new_rows=num_new_rows, id_map=id_map
    )
    if dry_run:
        place = os.path.join(out, _PREFIX)
        written = grow(out=place, dry_run=True, force=force, **decision.options())
        return GrownModel(written, decision.nodes, 0)
    with NewFiles(out, force=force) as files:
        new = files.add_folder(out)
        _copy(folder, new, {os.path.join(folder, _VARIABLES), os.path.join(folder, name)})
        os.mkdir(os.path.join(new, _VARIABLES))
        _copy(
            os.path.join(folder, _VARIABLES), os.path.join(new, _VARIABLES), set(files_of(prefix))
        )
        written = grow(out=os.path.join(new, _PREFIX), **decision.options())
        # A SavedModel has no file that names the latest checkpoint.
        os.remove(os.path.join(new, _VARIABLES, "checkpoint"))
        for each, path in (assets or {}).items():
            shutil.copyfile(path, os.path.join(new, each))
        with open(os.path.join(new, name), "wb") as file:
            file.write(encode_saved_model(name, message))
    return GrownModel(written, decision.nodes, decision.num_proved)


def grow_metagraph(
    checkpoint: PathLike,
    tables: Sequence[str],
    out: PathLike,
    num_new_rows: int | dict[str, int] | None = None,
    id_map: IdMap | None = None,
    also: Sequence[str] | Callable[[list[str]], Sequence[str]] | None = None,
    also_found: bool = False,
    keep: Sequence[str] = (),
    force: bool = False,
    dry_run: bool = False,
    **options: Any,
) -> GrownModel:
    """Does what `grow_checkpoint` does, and grows the graph that lies beside the checkpoint.

    So a training whose code is lost goes on with more rows: `<out>.meta` is imported by
    `tf.train.import_meta_graph`, which restores `out`; slots and gradients have the new shapes.
    What grows in the graph, and what is to be decided, is as for `grow_saved_model`.

    Args:
      checkpoint: string, a checkpoint prefix beside which there is a `.meta` file.
      tables: as for `grow_checkpoint`.
      out: as for `grow_checkpoint`.
      num_new_rows: as for `grow_checkpoint`.
      id_map: as for `grow_checkpoint`.
      also: as for `grow_checkpoint`; the list may name nodes of the graph as well.
      also_found: bool, whether all that is found grows, variables and nodes, as far as it can.
      keep: list of strings, as for `grow_saved_model`.
      force: bool, whether a checkpoint and a graph at `out` are replaced. The input never is.
      dry_run: bool, whether nothing is written.
      **options: as for `grow_saved_model`.

    Returns:
      `GrownModel`.

    Raises:
      FileNotFoundError: if there is no such checkpoint, or no graph beside it.
      FileExistsError: if a checkpoint or a graph is at `out` and not `force`, or it is the input.
      KeyError, ValueError: as for `grow_saved_model`.
    """
    prefix = find_checkpoint(checkpoint)
    meta_graph = read_meta_graph(f"{prefix}.meta")
    decision = _Decision(prefix, [meta_graph], also, also_found, keep, {}, [], options)
    place = os.fspath(out)
    if not has_leftovers(place):
        check_absent(f"{place}.meta", force)
    written = grow_checkpoint(
        prefix,
        tables,
        place,
        num_new_rows=num_new_rows,
        id_map=id_map,
        force=force,
        dry_run=dry_run,
        **decision.options({".meta": meta_graph.SerializeToString}),
    )
    return GrownModel(written, decision.nodes, decision.num_proved)


class _Decision:
    """What grows of graphs, once it is known which tensors do.

    Attributes:
      nodes: list of `GrownNode`, when it is decided.
      num_proved: int, how many variables the proof compared.
    """

    def __init__(self, prefix, graphs, also, also_found, keep, assets, found_assets, options):
        self._prefix, self._graphs, self._keep = prefix, graphs, keep
        self._assets, self._found_assets, self._also_found = assets, found_assets, also_found
        self._of_variables = _all if also_found else also
        self._of_nodes = []
        self._options = dict(options)
        self._saved: list[SavedGraph] = []
        self.nodes: list[GrownNode] = []
        self.num_proved = 0
        self._files: list[GrownNode] = []
        if isinstance(keep, str):
            raise ValueError(f"`keep` must be a list of names, got the string {keep!r}")
        if options.get("without_slots"):
            raise ValueError(
                "`without_slots` leaves out what the graph's Saver restores: grow with the slots, "
                "or the checkpoint alone"
            )
        if also_found and also:
            raise ValueError("`also_found` grows all that is found: give no `also` with it")
        if isinstance(also, (list, tuple)):
            variables = set(map(variable_name, Catalog(prefix).names()))
            names = _names_of_nodes(graphs)
            self._of_nodes = [each for each in also if each in names and each not in variables]
            self._of_variables = [each for each in also if each not in self._of_nodes]
        self._strategy()

    def options(self, contents=None):
        """Returns the options of `grow_checkpoint`, given how other files' contents are made."""

        def beside(written):
            self._grow(written)
            return {suffix: content() for suffix, content in (contents or {}).items()}

        return dict(self._options, also=self._of_variables, beside=beside, prove=self._prove)

    def leave_out(self, name, what):
        """Notes a file that is left out."""
        self._files.append(GrownNode(name, what, "left out"))

    def _prove(self, prefix):
        """Restores the grown checkpoint into each graph."""
        proved = [prove(each.meta_graph, prefix, each.variables) for each in self._saved]
        self.num_proved = sum(proved)

    def _strategy(self):
        """Finds how lookups in the graphs send ids to partitions."""
        self._strategies = found = strategies(
            Nodes(nodes)
            for each in self._graphs
            for nodes in [
                each.graph_def.node,
                *(function.node_def for function in each.graph_def.library.function),
            ]
        )
        given = self._options.get("partition_strategy")
        if given is None and len(found) == 1:
            (self._options["partition_strategy"],) = found
        elif given is not None and found and given not in found:
            raise ValueError(
                f"`partition_strategy` is {given!r}, but lookups in the graph send ids to "
                f"partitions by {next(iter(found))!r}"
            )

    def _check_strategy(self):
        """Raises a ValueError if partitions that grow are looked up by another strategy."""
        given = self._options.get("partition_strategy")
        grown = {
            node: variable.tensor.name
            for each in self._saved
            for node, variable in each.variables.items()
            if variable.tensor.num_pieces > 1
        }
        for strategy, nodes in self._strategies.items():
            for node in sorted(nodes.intersection(grown) if strategy != given else ()):
                raise ValueError(
                    f"`partition_strategy` is {given!r}, but a lookup in the graph sends ids to "
                    f"partitions of {variable_name(grown[node])!r} by {strategy!r}. Grow tables "
                    f"of different strategies one after the other"
                )

    def _grow(self, written):
        tensors = grown_tensors(Catalog(self._prefix), written)
        self._saved = [SavedGraph(each, tensors) for each in self._graphs]
        self._check_strategy()
        known = {v.tensor.name for each in self._saved for v in each.variables.values()}
        missing = sorted(set(tensors) - known)
        if missing:
            raise ValueError(
                f"no graph has the variables {', '.join(missing)}, which grow in the checkpoint, "
                f"by these names or by those of a Saver. Grow the checkpoint alone, and build the "
                f"graph by its code"
            )
        holders = {h.name: h for each in self._saved for h in each.holders}
        sizes = [each.sizes for each in tensors.values()]
        for each in self._found_assets:
            count = each.num_lines
            most = [new - (old - count) for old, new in sizes if old in (count, count + 1)]
            if most:
                holders[each.name] = _of_asset(each, self._assets, max(most))
        grow, kept = self._decide(holders)
        grown = [each for saved in self._saved for each in saved.grow(grow)]
        grown += [holders[name] for name in grow if name in self._assets]
        nodes = {each.name: GrownNode(each.name, each.what, each.becomes) for each in grown}
        nodes.update((n, GrownNode(n, holders[n].what, None)) for n in kept)
        nodes.update((each.name, each) for each in self._files)
        self.nodes = [nodes[name] for name in sorted(nodes)]

    def _decide(self, holders):
        """Returns the names of what grows, and of what is kept."""
        known = [each.name for each in self._found_assets]
        for name in self._assets:
            if name not in known:
                raise KeyError(
                    f"`assets` (--asset) has {name!r}; there is {nearest_first(name, known)}"
                )
        kept = []
        for pattern in self._keep:
            matches = fnmatch.filter(holders, pattern)
            if not matches:
                raise KeyError(
                    f"`keep` (--keep) has {pattern!r}, which matches nothing that has the size of "
                    f"a table: {nearest_first(pattern, holders)}"
                )
            kept += matches
        for name in self._of_nodes:
            if name not in holders:
                raise KeyError(
                    f"`also` (--also) has {name!r}, which has the size of no table: "
                    f"{nearest_first(name, holders)}"
                )
        grow = [*self._of_nodes, *(name for name in self._assets if name in holders)]
        open_ = [each for name, each in holders.items() if name not in kept and name not in grow]
        growable = [each.name for each in open_ if each.reason is None]
        if self._also_found:
            grow += growable
            open_ = [each for each in open_ if each.reason is not None]
        refused = [each for each in open_ if each.reason is not None]
        refused += [holders[name] for name in grow if holders[name].reason is not None]
        if open_ or refused:
            raise ValueError(_undecided([*open_, *refused]))
        return grow, kept


def _all(found):
    return found


def _undecided(holders):
    lines = []
    for each in {each.name: each for each in holders}.values():
        becomes = f"would become {each.becomes}" if each.reason is None else each.reason
        lines.append(f"\n  {each.name} ({each.what}): {becomes}")
    grows = any(each.reason is None for each in holders)
    return (
        "this, too, has the number of rows, and may have to grow:"
        + "".join(lines)
        + "\nSay for each of it "
        + ("whether it grows, `also` (--also with its whole name), or " if grows else "whether it ")
        + "stays as it is, `keep` (--keep with its name or a pattern)"
        + (
            "; without these `also_found` (--also-found) grows all that can, variables too"
            if grows
            else ""
        )
    )


def _of_asset(asset: Asset, given, most_lines):
    what = f"{asset.num_lines} lines"
    if asset.name in given:
        path = os.fspath(given[asset.name])
        num_lines = count_lines(path)
        # A vocabulary may have fewer tokens than there are rows, and no more.
        if num_lines > most_lines:
            raise ValueError(
                f"`assets` (--asset) has {path!r} for {asset.name!r}, of {num_lines} lines, but "
                f"there will be rows for {most_lines} only"
            )
        return Holder(asset.name, what, f"as {path}, {num_lines} lines", None, None)
    reason = f"give the file that takes its place, `assets` (--asset {asset.name}=FILE)"
    return Holder(asset.name, what, None, reason, None)


def _names_of_nodes(graphs):
    names = set()
    for each in graphs:
        names.update(node.name for node in each.graph_def.node)
        for function in each.graph_def.library.function:
            stem = function.signature.name
            names.update(f"{stem}/{node.name}" for node in function.node_def)
    return names


def _check_out(folder, out, force):
    """Checks the place of a new SavedModel, before anything is read."""
    check_absent(out, force)
    read, written = os.path.realpath(folder), os.path.realpath(out)
    if os.path.commonpath([read, written]) in (read, written):
        raise FileExistsError(
            f"`out` must be another folder than the SavedModel that is read, neither in it nor "
            f"around it; got {out!r}"
        )
    if os.path.lexists(out) and not (os.path.isdir(out) and is_saved_model(out)):
        raise FileExistsError(
            f"`out` {out!r} exists and is no SavedModel, so that it is not replaced; choose "
            f"another name"
        )


def _check_kind(folder, message):
    """Refuses what TensorFlow 2 saves of objects: its graph is but a part of what is restored."""
    for each in message.meta_graphs:
        if any(node.HasField("variable") for node in each.object_graph_def.nodes):
            raise ValueError(
                f"{folder} is an object-based SavedModel, of tf.saved_model.save or Keras, whose "
                f"functions and objects have shapes of their own. Grow its variables alone, "
                f"{os.path.join(folder, _PREFIX)}, restore them in the model's code "
                f"(tf.train.Checkpoint), and save it again"
            )


def _copy(source, target, left_out):
    """Copies what is in a folder, but for some paths in it."""
    for each in sorted(os.listdir(source)):
        path, new = os.path.join(source, each), os.path.join(target, each)
        if path in left_out or each == FINGERPRINT:
            continue
        (shutil.copytree if os.path.isdir(path) else shutil.copyfile)(path, new)
