"""`tf1-embed grow`: appends rows to tables, and to all that has a row for each of theirs."""

from __future__ import annotations

import argparse
import sys

from tf1_embed.commands import options, output


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    grow = options.add_command(
        commands,
        "grow",
        _run,
        "Append rows to tables, their slot variables, biases and projections.",
        "Append rows to tables, and to all that has a row for each of theirs. The model's original "
        "code, given the larger number of rows, restores the result.",
    )
    options.add_prefix(grow)
    options.add_tables(grow)
    how_many = grow.add_mutually_exclusive_group(required=True)
    how_many.add_argument("--rows", metavar="K", type=int, help="append so many rows")
    how_many.add_argument(
        "--new-vocab", metavar="FILE", help="grow to this vocabulary, one token a line"
    )
    grow.add_argument(
        "--old-vocab", metavar="FILE", help="the vocabulary that the table was trained with"
    )
    grow.add_argument(
        "--drop-missing",
        action="store_true",
        help="drop rows of tokens that the new vocabulary lacks; else they are an error",
    )
    options.add_reserved(grow)
    grow.add_argument(
        "--also",
        metavar="NAME[:AXIS]",
        action="append",
        default=[],
        help="a bias, or with :1 a projection [dim, rows], that grows too",
    )
    grow.add_argument(
        "--also-found",
        action="store_true",
        help="grow all variables that have as many rows or columns as the tables",
    )
    grow.add_argument(
        "--only-tables", action="store_true", help="grow none of them, and do not ask"
    )
    grow.add_argument(
        "--initializer",
        metavar="[NAME=]INIT",
        action="append",
        default=[],
        help="values of new rows: zeros, glorot_normal (default), mean, mean_and_covariance, "
        "constant:NUMBER, copy_of:ID, or a .npy file; with NAME= of one variable",
    )
    grow.add_argument(
        "--seed", type=int, default=0, help="of an --initializer that draws values (default: 0)"
    )
    options.add_slot_values(grow, "new rows")
    grow.add_argument(
        "--reset-slots", action="store_true", help="start the slots of old rows anew as well"
    )
    options.add_partition_strategy(grow)
    options.add_output(grow)


def _run(arguments: argparse.Namespace) -> int:
    from tf1_embed.checkpoint.grow import grow_checkpoint
    from tf1_embed.vocabulary import append_map

    reserved = options.reserved(arguments)
    mapping = None
    if arguments.new_vocab is not None:
        mapping = options.vocabulary_map(arguments)
    elif arguments.old_vocab is not None:
        raise ValueError("--old-vocab needs --new-vocab")
    elif reserved != (0, 0):
        mapping = append_map(
            options.num_rows(arguments.checkpoint, arguments.table), arguments.rows, reserved
        )
    written = grow_checkpoint(
        arguments.checkpoint,
        arguments.table,
        arguments.out,
        num_new_rows=arguments.rows if mapping is None else None,
        id_map=mapping,
        also=_also(arguments),
        initializer=_initializers(arguments),
        slot_values=options.slot_values(arguments),
        reset_slots=arguments.reset_slots,
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Growing"),
    )
    return output.print_written(arguments, written)


def _also(arguments):
    """Returns what else grows: as told, or as found and confirmed."""
    if arguments.also or arguments.only_tables:
        return arguments.also
    from tf1_embed.checkpoint.files.reader import CheckpointReader
    from tf1_embed.checkpoint.vocabulary_axis import find_also, table_axes

    with CheckpointReader(arguments.checkpoint) as reader:
        found = [str(each) for each in find_also(reader, table_axes(reader, arguments.table))]
    if not found or arguments.also_found:
        return found
    listed = ", ".join(found)
    if not sys.stdin.isatty():
        raise ValueError(
            f"these have as many rows or columns as the tables: {listed}. Say whether they grow as "
            f"well: --also-found (all), --also NAME[:AXIS] (some) or --only-tables (none)"
        )
    print(f"These have as many rows or columns as the tables: {listed}.", file=sys.stderr)
    print("Do they grow as well? [y/N] ", end="", file=sys.stderr, flush=True)
    return found if sys.stdin.readline().strip().lower() in ("y", "yes") else []


def _initializers(arguments):
    """Returns the initializer, or a dict of them, that the options mean."""
    by_name = {}
    for text in arguments.initializer:
        name, equals, initializer = text.rpartition("=")
        by_name[name if equals else None] = _initializer(initializer, arguments.seed)
    if None in by_name and len(by_name) > 1:
        raise ValueError("give one --initializer for all, or NAME=INIT for each variable")
    return by_name.get(None) if None in by_name or not by_name else by_name


def _initializer(text, seed):
    import numpy as np

    from tf1_embed import initializers

    kind, _, argument = text.partition(":")
    if text.endswith(".npy"):
        return np.load(text, allow_pickle=False)
    try:
        if kind in ("zeros", "mean") and not argument:
            return getattr(initializers, kind)()
        if kind in ("glorot_normal", "mean_and_covariance") and not argument:
            return getattr(initializers, kind)(seed=seed)
        if kind == "constant":
            return initializers.constant(float(argument))
        if kind == "copy_of":
            return initializers.copy_of(int(argument))
    except ValueError:
        pass
    raise ValueError(
        f"--initializer must be zeros, glorot_normal, mean, mean_and_covariance, constant:NUMBER, "
        f"copy_of:ID or a .npy file; got {text!r}"
    )
