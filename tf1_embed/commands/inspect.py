"""`tf1-embed inspect`: lists the variables of a checkpoint."""

from __future__ import annotations

import argparse

from tf1_embed.commands import options, output


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    inspect = options.add_command(
        commands, "inspect", _run, "List variables, tables and slot variables."
    )
    options.add_prefix(inspect)


def _run(arguments: argparse.Namespace) -> int:
    from tf1_embed.checkpoint.inspect import inspect_checkpoint

    return _print_variables(arguments, inspect_checkpoint(arguments.checkpoint))


def _print_variables(arguments, variables):
    """Prints the variables of a checkpoint; returns 0."""
    if arguments.json:
        return output.print_json([each._asdict() for each in variables])
    rows = []
    for each in variables:
        kind = each.kind if each.table is None else f"{each.kind} of {each.table}"
        parts = f"{each.num_partitions} partitions" if each.num_partitions > 1 else ""
        shape, size = output.format_shape(each.shape), output.format_bytes(each.num_bytes)
        rows.append([each.name, each.dtype, shape, size, kind, parts])
    output.print_columns(rows)
    total = output.format_bytes(sum(each.num_bytes for each in variables))
    print(f"{len(variables)} variables, {total}")
    return 0
