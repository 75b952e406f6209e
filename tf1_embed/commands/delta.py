"""`tf1-embed delta`: keeps new rows in a small file of their own; applies and reverts it."""

from __future__ import annotations

import argparse

from tf1_embed.commands import options, output, questions, row_options
from tf1_embed.commands.paths import InputCheckpoint

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
        "--others",
        choices=["keep", "from-grown"],
        help="what becomes of other variables that grew or changed: once the delta is applied, "
        "they are as in BASE, or as in GROWN, for which the delta has them whole (default: it is "
        "asked)",
    )
    extract.add_argument(
        "--only-tables",
        action="store_true",
        help="give no --also and keep the others, and do not ask",
    )
    row_options.add_vocabularies(
        extract,
        "with --new-vocab: old rows are where their tokens are now",
        "note the tokens of the new rows",
        "keep the rows of tokens that the new one lacks in the delta; else they are an error",
    )
    extract.add_argument(
        "--without-slots", action="store_true", help="leave out the slots of the new rows"
    )
    options.add_partition_strategy(extract)
    options.add_output(extract)


def _extract(arguments):
    from tf1_embed.checkpoint.delta import extract_delta

    tokens, id_map = None, None
    tables = options.tables(arguments, arguments.base)
    if arguments.new_vocab is not None:
        tokens = row_options.tokens(arguments, arguments.new_vocab)
    if arguments.old_vocab is not None:
        if tokens is None:
            raise ValueError("--old-vocab needs --new-vocab")
        id_map = row_options.vocabulary_map(arguments, options.num_rows(arguments.base, tables))
    elif arguments.drop_missing:
        raise ValueError("--drop-missing needs --old-vocab and --new-vocab")
    if arguments.only_tables and (arguments.also or arguments.others == "from-grown"):
        raise ValueError(
            "--only-tables leaves all else out: give no --also and no --others with it"
        )
    written = extract_delta(
        arguments.base,
        arguments.grown,
        tables,
        arguments.out,
        also=arguments.also if arguments.also or arguments.only_tables else None,
        id_map=id_map,
        tokens=tokens,
        reserved=row_options.reserved(arguments),
        with_slots=not arguments.without_slots,
        others=arguments.others or (_ask if questions.at_terminal() else None),
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Extracting"),
    )
    return output.print_written(arguments, written)


def _ask(found):
    """Returns what becomes of other variables that grew or changed, once all else is checked."""
    return questions.ask(
        f"These are not as in the base: {'; '.join(map(output.escaped, found))}.",
        "Are they as in the base once the delta is applied, or as in the grown checkpoint?",
        "keep",
        "from-grown",
    )


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
    options.add_slot_choice(apply, "old rows and of new ones that a delta has")
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
        reset_slots=arguments.reset_slots,
        without_slots=arguments.without_slots,
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
    options.add_slot_values(revert, "rows that are back and whose slots the delta lacks")
    options.add_partition_strategy(revert)
    options.add_output(revert)


def _revert(arguments):
    from tf1_embed.checkpoint.delta import revert_delta

    written = revert_delta(
        arguments.grown,
        arguments.delta,
        arguments.out,
        slot_values=options.slot_values(arguments),
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Reverting"),
    )
    return output.print_written(arguments, written)
