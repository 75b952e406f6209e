"""`tf1-embed shrink`: removes rows from tables, and from all that has a row for each of theirs."""

from __future__ import annotations

import argparse

from tf1_embed.commands import also, options, output, row_options
from tf1_embed.commands.paths import Input


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    shrink = options.add_command(
        commands,
        "shrink",
        _run,
        "Remove rows from tables, their slot variables, biases and projections.",
        "tf1-embed shrink runs/grown --table embedding --rows 3,10:12 --also bias "
        "--out runs/shrunk/model.ckpt",
        "Remove rows from tables, and from all that has a row for each of theirs: the inverse of "
        "grow. The model's original code, given the smaller number of rows, restores the result.",
    )
    options.add_prefix(shrink)
    options.add_tables(shrink)
    which = shrink.add_mutually_exclusive_group(required=True)
    which.add_argument("--rows", metavar="ROWS", help=f"these go: {row_options.ROWS}")
    which.add_argument(
        "--last",
        metavar="K",
        type=int,
        help="the last K go, before those of --reserved last:N: what grow --rows K appended",
    )
    which.add_argument(
        "--new-vocab",
        metavar="FILE",
        type=Input,
        help="rows of tokens that this vocabulary lacks go; the others follow its order",
    )
    shrink.add_argument(
        "--old-vocab",
        metavar="FILE",
        type=Input,
        help="the vocabulary that the table was trained with",
    )
    row_options.add_first_column(shrink)
    row_options.add_reserved(shrink)
    also.add_to(shrink, "shrink")
    options.add_partition_strategy(shrink)
    options.add_output(shrink)


def _run(arguments: argparse.Namespace) -> int:
    from tf1_embed.checkpoint.shrink import shrink_checkpoint

    tables = options.tables(arguments, arguments.prefix)
    sizes = options.sizes(arguments.prefix, tables)
    id_map = _id_map(arguments, options.one_size(sizes))
    written = shrink_checkpoint(
        arguments.prefix,
        tables,
        arguments.out,
        id_map=id_map,
        also=also.chosen(arguments, "shrink"),
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Shrinking"),
    )
    counts = dict.fromkeys(sizes, id_map.counts()._asdict())
    return output.print_written(arguments, written, rows=counts)


def _id_map(arguments, size):
    """Returns the `IdMap` to a table without the rows that go."""
    from tf1_embed.rows import Rows
    from tf1_embed.vocabulary import remove_map

    if arguments.new_vocab is not None:
        return row_options.vocabulary_map(arguments, size, drop_missing=True)
    if arguments.old_vocab is not None:
        raise ValueError("--old-vocab needs --new-vocab")
    reserved = row_options.reserved(arguments)
    if arguments.rows is not None:
        if reserved != (0, 0):
            raise ValueError("--reserved is for --last and --new-vocab; --rows names each row")
        rows = row_options.rows_of(arguments.rows, "--rows", size)
        if rows.count == size:
            raise ValueError(f"--rows {arguments.rows} are all {size} rows: none would stay")
    else:
        most = size - max(1, reserved.first + reserved.last)
        if most < 1:
            raise ValueError(f"--reserved leaves none of the {size} rows for --last to take away")
        if not 1 <= arguments.last <= most:
            raise ValueError(
                f"--last must be from 1 to {most}, so that of {size} rows those of --reserved, or "
                f"one, stay; got {arguments.last}"
            )
        stop = size - reserved.last
        rows = Rows.range(stop - arguments.last, stop, size)
    return remove_map(rows)
