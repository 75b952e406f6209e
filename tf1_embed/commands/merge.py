"""`tf1-embed merge`: makes one variable of a table's frozen and trainable rows."""

from __future__ import annotations

import argparse

from tf1_embed.commands import options, output, row_options
from tf1_embed.commands.paths import InputCheckpoint


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    merge = options.add_command(
        commands,
        "merge",
        _run,
        "Make one variable of a table's frozen and trainable rows.",
        "tf1-embed merge runs/split --table embedding --out runs/merged/model.ckpt",
        "Make one variable of a table's frozen and trainable rows, under its old name. The model's "
        "original code restores the result.",
    )
    options.add_prefix(merge)
    options.add_tables(merge)
    merge.add_argument(
        "--trainable-rows",
        metavar="ROWS",
        help=f"of a row-split table, which rows those are: {row_options.ROWS}",
    )
    merge.add_argument(
        "--base",
        metavar="BASE",
        type=InputCheckpoint,
        help="the checkpoint that the tables grew from: slots and averages of frozen rows, and all "
        "else that the training did not hold, are as in it",
    )
    options.add_slot_values(merge, "frozen rows")
    options.add_slot_choice(merge, "new rows")
    options.add_clocks(merge)
    options.add_partition_strategy(merge)
    options.add_output(merge)


def _run(arguments: argparse.Namespace) -> int:
    from tf1_embed.checkpoint.merge import merge_checkpoint

    tables = options.tables(arguments, arguments.prefix, kind="new rows")
    written = merge_checkpoint(
        arguments.prefix,
        tables,
        arguments.out,
        trainable_rows=row_options.trainable_rows(arguments, tables),
        base=arguments.base,
        slot_values=options.slot_values(arguments),
        reset_slots=arguments.reset_slots,
        without_slots=arguments.without_slots,
        clocks=arguments.clocks,
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Merging"),
    )
    return output.print_written(arguments, written)
