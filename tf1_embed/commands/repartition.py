"""`tf1-embed repartition`: stores tables in another number of partitions."""

from __future__ import annotations

import argparse

from tf1_embed.commands import options, output


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    repartition = options.add_command(
        commands,
        "repartition",
        _run,
        "Store tables in another number of partitions; every id keeps its vector.",
        "tf1-embed repartition runs/base --table embedding --partitions 4 "
        "--partition-strategy mod --out runs/sharded/model.ckpt",
        "Store tables and their slot variables in another number of partitions, or by another "
        "strategy. Every id keeps its vector. Biases that the code partitions too are named with "
        "--table as well.",
    )
    options.add_prefix(repartition)
    options.add_tables(repartition)
    repartition.add_argument(
        "--partitions",
        metavar="N",
        type=int,
        required=True,
        help="how many there will be; 1 stores a table whole",
    )
    options.add_partition_strategy(repartition)
    options.add_new_partition_strategy(repartition, "the partitions that are written")
    options.add_output(repartition)


def _run(arguments: argparse.Namespace) -> int:
    from tf1_embed.checkpoint.repartition import repartition_checkpoint

    written = repartition_checkpoint(
        arguments.prefix,
        options.tables(arguments, arguments.prefix),
        arguments.out,
        num_partitions=arguments.partitions,
        partition_strategy=arguments.partition_strategy,
        new_partition_strategy=arguments.new_partition_strategy,
        **options.writing(arguments, "Writing partitions"),
    )
    return output.print_written(arguments, written)
