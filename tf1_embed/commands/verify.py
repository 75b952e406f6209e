"""`tf1-embed verify`: checks that every old row is the same, bit for bit."""

from __future__ import annotations

import argparse

from tf1_embed.commands import options, output, row_options
from tf1_embed.commands.paths import InputCheckpoint


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    verify = options.add_command(
        commands,
        "verify",
        _run,
        "Check that every old row is the same, bit for bit.",
        "tf1-embed verify runs/base runs/grown --table embedding",
        "Check that every old row of a table is in a grown checkpoint, bit for bit. Exit status 1 "
        "if not.",
    )
    verify.add_argument(
        "old",
        metavar="OLD",
        type=InputCheckpoint,
        help="the old checkpoint, or a certificate, *.rows.json",
    )
    verify.add_argument("new", metavar="NEW", type=InputCheckpoint, help="the grown checkpoint")
    options.add_tables(verify)
    row_options.add_vocabularies(
        verify,
        "compare by token: the old vocabulary",
        "compare by token: the new vocabulary",
        "leave out tokens that the new one lacks",
    )
    verify.add_argument(
        "--removed-rows",
        metavar="ROWS",
        help="rows of OLD that were taken away, as by shrink; the others moved up: "
        f"{row_options.ROWS}",
    )
    options.add_partition_strategy(verify)
    options.add_new_partition_strategy(verify)


def _run(arguments: argparse.Namespace) -> int:
    from tf1_embed.checkpoint.verify import verify_checkpoint

    if (arguments.old_vocab is None) != (arguments.new_vocab is None):
        raise ValueError("give both --old-vocab and --new-vocab, or neither")
    tables = options.tables(arguments, arguments.old)
    compared = verify_checkpoint(
        arguments.old,
        arguments.new,
        tables,
        id_map=_id_map(arguments, tables),
        partition_strategy=arguments.partition_strategy,
        new_partition_strategy=arguments.new_partition_strategy,
        progress=options.progress("Comparing"),
    )
    if arguments.json:
        output.print_json([each._asdict() for each in compared])
    else:
        for each in compared:
            output.say(_sentence(each))
    return 1 if any(each.num_changed != 0 for each in compared) else 0


def _id_map(arguments, tables):
    """Returns the `IdMap` from the tables of OLD to those of NEW; None if every id is kept."""
    if arguments.removed_rows is None:
        return row_options.map_of_two(arguments, tables)
    if arguments.old_vocab is not None or arguments.reserved:
        raise ValueError("--removed-rows says where each row is: give no vocabularies with it")
    from tf1_embed.vocabulary import remove_map

    size = options.num_rows(arguments.old, tables)
    return remove_map(row_options.rows_of(arguments.removed_rows, "--removed-rows", size))


def _sentence(each):
    """Returns what a `Comparison` of old rows found, as a line of text."""
    from tf1_embed.fingerprints import how_far

    name = output.escaped(each.table)
    if each.num_changed == 0:
        if each.num_rows == 1:
            return f"{name}: the old row is the same, bit for bit"
        return f"{name}: all {each.num_rows} old rows are the same, bit for bit"
    if each.num_changed is None:
        if each.num_rows == 1:
            return f"{name}: the old row is not that of the certificate"
        return (
            f"{name}: the {each.num_rows} old rows are not those of the certificate; which "
            f"of them differ only the old checkpoint could tell"
        )
    more = ", ..." if each.num_changed > len(each.first_ids) else ""
    far = how_far(each.largest_difference)
    ids = "id" if each.num_changed == 1 else "ids"
    return (
        f"{name}: {each.num_changed} of {each.num_rows} old rows changed {far}: {ids} "
        f"{', '.join(str(i) for i in each.first_ids)}{more}"
    )
