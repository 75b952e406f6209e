"""`tf1-embed split`: makes two variables of a table, its frozen and its trainable rows."""

from __future__ import annotations

import argparse

from tf1_embed.commands import options, output, row_options


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    split = options.add_command(
        commands,
        "split",
        _run,
        "Make two variables of a table, its frozen and its trainable rows.",
        "tf1-embed split runs/grown --table embedding --old-rows 10 --out runs/split/model.ckpt",
        "Make two variables of a table, its frozen and its trainable rows: the inverse of merge.",
    )
    options.add_prefix(split)
    options.add_tables(split)
    which = split.add_mutually_exclusive_group(required=True)
    which.add_argument("--old-rows", metavar="N", type=int, help="the first N rows are frozen")
    which.add_argument("--trainable-rows", metavar="ROWS", help=f"these train: {row_options.ROWS}")
    options.add_partition_strategy(split)
    options.add_output(split)


def _run(arguments: argparse.Namespace) -> int:
    from tf1_embed.checkpoint.split import split_checkpoint

    tables = options.tables(arguments, arguments.prefix)
    written = split_checkpoint(
        arguments.prefix,
        tables,
        arguments.out,
        num_old_rows=arguments.old_rows,
        trainable_rows=row_options.trainable_rows(arguments, tables),
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Splitting"),
    )
    return output.print_written(arguments, written)
