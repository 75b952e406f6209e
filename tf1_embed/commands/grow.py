"""`tf1-embed grow`: appends rows to tables, and to all that has a row for each of theirs."""

from __future__ import annotations

import argparse
import functools
import re

from tf1_embed.commands import also, initializers, options, output, questions, row_options
from tf1_embed.commands.paths import Input, InputAsset, OutputModel


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    grow = options.add_command(
        commands,
        "grow",
        _run,
        "Append rows to tables, their slot variables, biases and projections.",
        "tf1-embed grow runs/base --table embedding --rows 2 --also bias "
        "--out runs/grown/model.ckpt",
        "Append rows to tables, and to all that has a row for each of theirs. The model's original "
        "code, given the larger number of rows, restores the result. Of a SavedModel, and of a "
        "checkpoint with --graph, the graph grows too, so that nothing of the code is needed.",
    )
    options.add_prefix(grow, "a checkpoint, its folder, or that of a SavedModel")
    options.add_tables(grow)
    how_many = grow.add_mutually_exclusive_group(required=True)
    how_many.add_argument(
        "--rows",
        metavar="[NAME=]K",
        action="append",
        help="append so many rows; with NAME= to one of several tables",
    )
    how_many.add_argument(
        "--new-vocab", metavar="FILE", type=Input, help="grow to this vocabulary, one token a line"
    )
    grow.add_argument(
        "--old-vocab",
        metavar="FILE",
        type=Input,
        help="the vocabulary that the table was trained with",
    )
    grow.add_argument(
        "--drop-missing",
        action="store_true",
        help="drop rows of tokens that the new vocabulary lacks; else they are an error",
    )
    row_options.add_first_column(grow)
    row_options.add_reserved(grow)
    also.add_to(grow, "grow")
    grow.add_argument(
        "--graph",
        action="store_true",
        help="grow the graph beside the checkpoint as well, PREFIX.meta, and write it beside "
        "--out; needs TensorFlow",
    )
    grow.add_argument(
        "--keep",
        metavar="NODE",
        action="append",
        default=[],
        help="of a graph: a node, a pattern of nodes or an asset that has the number of rows and "
        "stays as it is; those that grow are named by --also",
    )
    grow.add_argument(
        "--asset",
        metavar="NAME=FILE",
        action="append",
        default=[],
        type=InputAsset,
        help="of a SavedModel: the file that takes the place of an asset, such as "
        "assets/words.txt=new_words.txt",
    )
    initializers.add_to(grow)
    options.add_slot_values(grow, "new rows")
    options.add_slot_choice(grow, "old rows")
    options.add_clocks(grow)
    options.add_partition_strategy(grow)
    options.add_output(
        grow, "the checkpoint to write; of a SavedModel, its folder", "PATH", OutputModel
    )


def _run(arguments: argparse.Namespace) -> int:
    from tf1_embed.vocabulary import append_map

    by_name = _num_new_rows(arguments)
    if arguments.table is None and isinstance(by_name, dict):
        arguments.table = list(by_name)
    tables = options.tables(arguments, arguments.prefix)
    reserved = row_options.reserved(arguments)
    sizes = options.sizes(arguments.prefix, tables)
    mapping = None
    if arguments.new_vocab is not None:
        mapping = row_options.vocabulary_map(arguments, options.one_size(sizes))
    elif arguments.old_vocab is not None:
        raise ValueError("--old-vocab needs --new-vocab")
    elif arguments.drop_missing:
        raise ValueError("--drop-missing needs --old-vocab and --new-vocab")
    elif reserved != (0, 0):
        if isinstance(by_name, dict):
            raise ValueError("with --reserved give one --rows K for all tables")
        mapping = append_map(options.one_size(sizes), by_name, reserved)
    made = initializers.Initializers(arguments, lambda: mapping or _one_map(sizes, by_name))
    function, of_graph = _function(arguments)
    grow = functools.partial(
        function,
        arguments.prefix,
        tables,
        arguments.out,
        id_map=mapping,
        initializer=made.value,
        slot_values=options.slot_values(arguments),
        clocks=arguments.clocks,
        reset_slots=arguments.reset_slots,
        without_slots=arguments.without_slots,
        partition_strategy=arguments.partition_strategy,
    )
    given, writing = (
        of_graph or {"also": also.chosen(arguments, "grow")},
        options.writing(arguments, "Growing"),
    )
    is_asked = of_graph is None and mapping is None and not isinstance(by_name, dict)
    if is_asked and questions.at_terminal():
        matched = {each: options.sizes(arguments.prefix, [each]) for each in tables}
        apart = {each: found for each, found in matched.items() if len(set(found.values())) > 1}
        if apart:
            by_name = dict.fromkeys(sizes, by_name)
            # The question comes when all else has been checked.
            grow(num_new_rows=by_name, also=[], **dict(writing, dry_run=True, progress=None))
            _ask_apart(apart, by_name)
    result = grow(num_new_rows=by_name if mapping is None else None, **given, **writing)
    counts = _counts(sizes, by_name, mapping)
    model = None if of_graph is None else result
    written = result if model is None else model.tensors
    return output.print_written(arguments, written, counts, made.coverage(), model)


def _function(arguments):
    """Returns the function that grows what is given, and what it takes for a graph, or None."""
    from tf1_embed.checkpoint.files.names import is_saved_model

    is_model = is_saved_model(arguments.prefix)
    if arguments.graph and is_model:
        raise ValueError("--graph is of a checkpoint; the graphs of a SavedModel grow without it")
    if arguments.asset and not is_model:
        raise ValueError("--asset is of a SavedModel, which alone has assets")
    if not arguments.graph and not is_model:
        if arguments.keep:
            raise ValueError("--keep is of a graph: give --graph, or the folder of a SavedModel")
        from tf1_embed.checkpoint.grow import grow_checkpoint

        return grow_checkpoint, None
    from tf1_embed.saved.grow import grow_metagraph, grow_saved_model

    chosen = also.chosen(arguments, "grow")
    of_graph = {
        "also": None if arguments.also_found else chosen,
        "also_found": arguments.also_found,
        "keep": arguments.keep,
    }
    if arguments.graph:
        return grow_metagraph, of_graph
    return grow_saved_model, dict(of_graph, assets=_assets(arguments))


def _assets(arguments):
    """Returns the files that take the places of assets, by their names."""
    files = {}
    for text in arguments.asset:
        name, equals, path = text.partition("=")
        if not (name and equals and path) or name in files:
            raise ValueError(f"--asset must be NAME=FILE, once for each asset; got {text!r}")
        files[name] = path
    return files


def _num_new_rows(arguments):
    """Returns what --rows says: a number, a dict from name to number, or None without it."""
    by_name = {}
    for text in arguments.rows or ():
        name, _, number = text.rpartition("=")
        if not re.match(r"[0-9]{1,18}\Z", number) or int(number) < 1:
            raise ValueError(
                f"--rows must be a number of new rows, 1 or more, or NAME=K; got {text!r}"
            )
        if name in by_name:
            raise ValueError(f"--rows is given twice{' for ' + name if name else ''}")
        by_name[name] = int(number)
    if "" in by_name and len(by_name) > 1:
        raise ValueError("give one --rows K for all tables, or NAME=K for each of them")
    return by_name.get("", by_name or None)


def _ask_apart(apart, by_name):
    """Asks whether tables of different sizes that one pattern means are tables of their own."""
    for pattern, sizes in apart.items():
        listed = ", ".join(
            f"{name} ({output.counted(size, 'row')})" for name, size in sizes.items()
        )
        rows = output.counted(by_name[next(iter(sizes))], "row")
        facts = (
            f"{pattern!r} means tables of different sizes: {listed}. If the model joins them to "
            f"one table, more rows in each would move its ids."
        )
        if questions.ask(facts, f"Append {rows} to each of them?", "y", "N") != "y":
            raise ValueError("nothing was written; say how many rows each gets with --rows NAME=K")


def _one_map(sizes, by_name):
    """Returns the map of tables that get one number of rows, as files of their rows need it."""
    from tf1_embed.vocabulary import append_map

    if isinstance(by_name, dict) and len(by_name) > 1:
        raise ValueError("with a file that tells of new rows give one --rows K for all tables")
    (number,) = by_name.values() if isinstance(by_name, dict) else [by_name]
    return append_map(options.one_size(sizes), number)


def _counts(sizes, by_name, mapping):
    """Returns how many rows of each table are kept, moved, dropped and new."""
    counts = {}
    for name, size in sizes.items():
        if mapping is not None:
            counts[name] = mapping.counts()._asdict()
        else:
            new = by_name[name] if isinstance(by_name, dict) else by_name
            counts[name] = {"kept": size, "moved": 0, "dropped": 0, "new": new}
    return counts
