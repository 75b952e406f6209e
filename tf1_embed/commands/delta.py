"""`tf1-embed delta`: keeps new rows in a small file of their own; applies and reverts it."""

from __future__ import annotations

import argparse

from tf1_embed.commands import options, output
from tf1_embed.commands.paths import Input, InputCheckpoint

_EXTRACT = (
    "tf1-embed delta extract runs/base runs/grown --table embedding --also bias --out runs/delta"
)


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    delta = commands.add_parser(
        "delta",
        help="Keep new rows in a small file of their own; apply and revert it.",
        description=options.filled(
            "Keep new rows, and the fingerprint of the rows they belong to, in a small file of "
            "their own; apply and revert it."
        ),
        epilog=f"example:\n  {_EXTRACT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    deltas = delta.add_subparsers(title="commands", metavar="COMMAND", dest="delta_command")
    deltas.required = True
    _add_extract(deltas)
    _add_apply(deltas)
    _add_revert(deltas)


def _add_extract(deltas):
    extract = options.add_command(
        deltas, "extract", _extract, "Take the new rows out of a grown checkpoint.", _EXTRACT
    )
    extract.add_argument(
        "base", metavar="BASE", type=InputCheckpoint, help="the checkpoint before growth"
    )
    extract.add_argument("grown", metavar="GROWN", type=InputCheckpoint, help="the one after it")
    options.add_tables(extract)
    extract.add_argument(
        "--also", metavar="NAME[:AXIS]", action="append", default=[], help="as for grow"
    )
    extract.add_argument(
        "--only-tables",
        action="store_true",
        help="leave out all else that grew or changed; else it is an error",
    )
    extract.add_argument(
        "--new-vocab", metavar="FILE", type=Input, help="note the tokens of the new rows"
    )
    options.add_first_column(extract)
    options.add_reserved(extract)
    options.add_partition_strategy(extract)
    options.add_output(extract)


def _extract(arguments):
    from tf1_embed.checkpoint.delta import extract_delta

    tokens = None
    if arguments.new_vocab is not None:
        tokens = options.tokens(arguments, arguments.new_vocab)
    written = extract_delta(
        arguments.base,
        arguments.grown,
        options.tables(arguments, arguments.base),
        arguments.out,
        also=arguments.also if arguments.also or arguments.only_tables else None,
        tokens=tokens,
        reserved=options.reserved(arguments),
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Extracting"),
    )
    return output.print_written(arguments, written)


def _add_apply(deltas):
    apply = options.add_command(
        deltas,
        "apply",
        _apply,
        "Append the rows of deltas.",
        "tf1-embed delta apply runs/base runs/delta --out runs/again/model.ckpt",
    )
    apply.add_argument(
        "base",
        metavar="BASE",
        type=InputCheckpoint,
        help="the checkpoint that the first was made from",
    )
    apply.add_argument(
        "delta", metavar="DELTA", type=InputCheckpoint, nargs="+", help="deltas, in their order"
    )
    apply.add_argument(
        "--others-from",
        metavar="GROWN",
        type=InputCheckpoint,
        help="what the deltas left out, such as other variables that were trained, is as in this "
        "checkpoint (default: as in BASE)",
    )
    options.add_slot_values(apply, "new rows")
    options.add_clocks(apply)
    options.add_partition_strategy(apply)
    options.add_output(apply)


def _apply(arguments):
    from tf1_embed.checkpoint.delta import apply_delta

    written = apply_delta(
        arguments.base,
        arguments.delta,
        arguments.out,
        others_from=arguments.others_from,
        slot_values=options.slot_values(arguments),
        clocks=arguments.clocks,
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Applying"),
    )
    return output.print_written(arguments, written)


def _add_revert(deltas):
    revert = options.add_command(
        deltas,
        "revert",
        _revert,
        "Remove the rows of a delta.",
        "tf1-embed delta revert runs/again runs/delta --out runs/back/model.ckpt",
    )
    revert.add_argument(
        "grown",
        metavar="GROWN",
        type=InputCheckpoint,
        help="a checkpoint with the delta's rows",
    )
    revert.add_argument(
        "delta", metavar="DELTA", type=InputCheckpoint, help="the delta that was applied last"
    )
    options.add_partition_strategy(revert)
    options.add_output(revert)


def _revert(arguments):
    from tf1_embed.checkpoint.delta import revert_delta

    written = revert_delta(
        arguments.grown,
        arguments.delta,
        arguments.out,
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Reverting"),
    )
    return output.print_written(arguments, written)
