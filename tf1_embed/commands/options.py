"""Options that several commands share: how they are declared, and what they mean.

Importing this imports no NumPy, which is for the commands as they run.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Callable, Sequence

if TYPE_CHECKING:
    from tf1_embed.rows import Rows
    from tf1_embed.vocabulary import IdMap, Reserved

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# What a row's place is said with: 3, 10:20, 3,7,10:20.
ROWS = "ids and ranges START:STOP, up to STOP - 1, such as 3,10:20 for 3 and 10 to 19"


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str | None = None,
) -> argparse.ArgumentParser:
    """Adds a command with the options that all have; returns its parser.

    Args:
      commands: what `add_subparsers` returned.
      name: string, what the user types.
      run: function from the arguments to the exit status.
      summary: string, a sentence for the list of commands.
      description: string, what its help begins with; default: the summary.
    """
    parser = commands.add_parser(name, help=summary, description=description or summary)
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    # Before the command or after it.
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    return parser


# What is read.


def add_prefix(parser: argparse.ArgumentParser) -> None:
    """Adds PREFIX, the checkpoint that is read."""
    parser.add_argument("checkpoint", metavar="PREFIX", help="a checkpoint, or its folder")


def add_table(parser: argparse.ArgumentParser) -> None:
    """Adds --table, the name of one variable."""
    parser.add_argument("--table", metavar="NAME", required=True, help="the variable's name")


def add_tables(parser: argparse.ArgumentParser) -> None:
    """Adds --table, names and patterns."""
    parser.add_argument(
        "--table",
        metavar="NAME",
        action="append",
        required=True,
        help="a table's name or a pattern such as 'user_*'; may be given repeatedly",
    )


def add_partition_strategy(parser: argparse.ArgumentParser) -> None:
    """Adds --partition-strategy."""
    parser.add_argument(
        "--partition-strategy",
        choices=["mod", "div"],
        help="how the model's lookups send ids to the partitions of a partitioned table: mod is "
        "the default of tf.nn.embedding_lookup, div that of feature columns",
    )


def add_new_partition_strategy(parser: argparse.ArgumentParser) -> None:
    """Adds --new-partition-strategy, for commands that read two checkpoints."""
    parser.add_argument(
        "--new-partition-strategy",
        choices=["mod", "div"],
        help="that of NEW, if it is another (default: the same)",
    )


def num_rows(checkpoint: str, tables: Sequence[str]) -> int:
    """Returns the number of rows that all of the tables have."""
    from tf1_embed.checkpoint.files.reader import CheckpointReader
    from tf1_embed.checkpoint.vocabulary_axis import table_axes

    with CheckpointReader(checkpoint) as reader:
        axes = table_axes(reader, tables)
    sizes = sorted({each.size for each in axes})
    if len(sizes) > 1:
        raise ValueError(
            f"tables that are treated alike must have as many rows, got {sizes}; run the command "
            f"for each of them"
        )
    return sizes[0]


# Which rows.


def add_reserved(parser: argparse.ArgumentParser) -> None:
    """Adds --reserved."""
    parser.add_argument(
        "--reserved",
        metavar="WHERE",
        action="append",
        default=[],
        help="rows that have no token: first:1 (padding), last:1 (out of vocabulary), or both",
    )


def reserved(arguments: argparse.Namespace) -> Reserved:
    """Returns the rows that --reserved means."""
    from tf1_embed.vocabulary import Reserved, parse_reserved

    return parse_reserved(",".join(arguments.reserved)) if arguments.reserved else Reserved(0, 0)


def ids(text: str) -> list[int]:
    """Returns the ids that "3,10:20" means."""
    found = []
    for part in text.split(","):
        ends = part.split(":")
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            raise ValueError(
                f"rows must be ids and ranges START:STOP, such as 3,10:20; got {text!r}"
            )
        found.extend(range(int(ends[0]), int(ends[1])) if len(ends) == 2 else [int(part)])
    return found


def trainable_rows(arguments: argparse.Namespace) -> Rows | None:
    """Returns the rows that --trainable-rows means, of the size of the tables; None without it."""
    from tf1_embed.rows import Rows

    if arguments.trainable_rows is None:
        return None
    found = ids(arguments.trainable_rows)
    return Rows.of(found, size=num_rows(arguments.checkpoint, arguments.table))


def vocabulary_map(arguments: argparse.Namespace) -> IdMap:
    """Returns the map from --old-vocab to --new-vocab."""
    from tf1_embed.vocabulary import id_map, read_vocabulary

    if arguments.old_vocab is None:
        raise ValueError("--new-vocab needs --old-vocab, the vocabulary of the old table")
    return id_map(
        read_vocabulary(arguments.old_vocab),
        read_vocabulary(arguments.new_vocab),
        reserved=reserved(arguments),
        drop_missing=arguments.drop_missing,
    )


def map_of_two(arguments: argparse.Namespace, tables: Sequence[str]) -> IdMap | None:
    """Returns the map from the tables of OLD to those of NEW; None if every id is kept."""
    from tf1_embed.certificates import SUFFIX
    from tf1_embed.vocabulary import append_map

    if arguments.old_vocab is not None:
        return vocabulary_map(arguments)
    if arguments.drop_missing:
        raise ValueError("--drop-missing needs --old-vocab and --new-vocab")
    rows = reserved(arguments)
    # A certificate says itself which rows of the grown table are the old ones.
    if not rows.last or arguments.old.endswith(SUFFIX):
        return None
    num_old, num_new = (num_rows(each, tables) for each in (arguments.old, arguments.new))
    # Where rows are not merged yet, or none were added, all old ones are where they were.
    return append_map(num_old, num_new - num_old, rows) if num_new > num_old else None


# Slot variables.


def add_slot_values(parser: argparse.ArgumentParser, rows: str) -> None:
    """Adds --slot-value; `rows` says whose slots get the value."""
    parser.add_argument(
        "--slot-value",
        metavar="SLOT=NUMBER",
        action="append",
        default=[],
        help=f"value of a slot variable in {rows}, such as Adagrad=1e-8 (default: what "
        "TensorFlow's optimizers begin with)",
    )


def slot_values(arguments: argparse.Namespace) -> dict[str, float]:
    """Returns the values of slot variables by their names."""
    values = {}
    for text in arguments.slot_value:
        name, equals, number = text.rpartition("=")
        try:
            values[name] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ValueError(f"--slot-value must be SLOT=NUMBER, got {text!r}")
    return values


# What is written.


def add_output(
    parser: argparse.ArgumentParser,
    what: str = "the checkpoint to write",
    metavar: str = "PREFIX",
) -> None:
    """Adds --out, --force and --dry-run."""
    parser.add_argument("--out", metavar=metavar, required=True, help=what)
    add_writing(parser)


def add_writing(parser: argparse.ArgumentParser) -> None:
    """Adds --force and --dry-run."""
    parser.add_argument("--force", action="store_true", help="replace it if it exists")
    parser.add_argument(
        "--dry-run", action="store_true", help="write nothing; print what would be written"
    )


def writing(arguments: argparse.Namespace, what: str, **others: Any) -> dict[str, Any]:
    """Returns the arguments that all functions take which write."""
    return dict(
        force=arguments.force,
        dry_run=arguments.dry_run,
        progress=progress(what),
        **others,
    )


def progress(what: str) -> Callable[[int], Any] | None:
    """Returns what makes a progress bar, if there is a terminal to show it and tqdm to draw it."""
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return lambda num_bytes: tqdm(
        total=num_bytes, desc=what, unit="B", unit_scale=True, leave=False, delay=0.5
    )
