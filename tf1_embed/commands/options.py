"""Options that several commands share: how they are declared, and what they mean.

Importing this imports no NumPy, which is for the commands as they run.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Callable, Iterable, Sequence

from tf1_embed.commands.paths import InputCheckpoint, Output, OutputCheckpoint

if TYPE_CHECKING:
    from typing import Protocol

    from tf1_embed.types import Progress

    class Commands(Protocol):
        """What `ArgumentParser.add_subparsers` returns."""

        def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
            """Adds the parser of a command."""


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    example: str,
    description: str | None = None,
) -> argparse.ArgumentParser:
    """Adds a command with the options that all have; returns its parser.

    Args:
      commands: what `add_subparsers` returned.
      name: what the user types.
      run: function from the arguments to the exit status.
      summary: a sentence for the list of commands.
      example: a command line, which its help ends with.
      description: what its help begins with; default: the summary.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=filled(description or summary),
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    # Before the command or after it.
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    return parser


def filled(text: str) -> str:
    """Returns a paragraph in lines, since help that ends with an example is printed as it is."""
    return textwrap.fill(text, 78)


def spellings(parser: argparse.ArgumentParser, names: Iterable[str]) -> dict[str, str]:
    """Returns how each argument is written: "rows" is "--rows", "prefix" is "PREFIX"."""
    usage = parser.format_usage()
    found = {}
    for name in names:
        option = "--" + name.replace("_", "-")
        is_option = re.search(rf"{option}(?![\w-])", usage) is not None
        found[name] = option if is_option else name.upper()
    return found


# What is read.


def add_prefix(parser: argparse.ArgumentParser, what: str = "a checkpoint, or its folder") -> None:
    """Adds PREFIX, the checkpoint that is read; `what` says what it may be."""
    parser.add_argument("prefix", metavar="PREFIX", type=InputCheckpoint, help=what)


def add_table(parser: argparse.ArgumentParser) -> None:
    """Adds --table, the name of one variable."""
    parser.add_argument(
        "--table", metavar="NAME", help="the variable's name (default: the only table)"
    )


def add_tables(parser: argparse.ArgumentParser) -> None:
    """Adds --table, names and patterns."""
    parser.add_argument(
        "--table",
        metavar="NAME",
        action="append",
        help="a table's name or a pattern such as 'user_*'; may be given repeatedly (default: the "
        "only table)",
    )


def tables(arguments: argparse.Namespace, checkpoint: str, kind: str = "table") -> list[str]:
    """Returns the names and patterns of --table, or the only table of a checkpoint.

    Args:
      arguments: those of the command.
      checkpoint: where to look; of a certificate, all its tables are meant.
      kind: "new rows" for tables that have such.
    """
    given = arguments.table
    if given is not None:
        return [given] if isinstance(given, str) else given
    found = _found_tables(checkpoint, kind)
    # A certificate has nothing but what it is of.
    if len(found) == 1 or (found and checkpoint.endswith(".rows.json")):
        return found
    what = "tables" if kind == "table" else "tables with rows in a variable of their own"
    raise ValueError(
        f"say which table is meant with --table NAME: {checkpoint} has "
        + (f"{len(found)} {what}, {', '.join(found)}" if found else f"no {what} that show by name")
    )


def table(arguments: argparse.Namespace, checkpoint: str) -> str:
    """Returns the name of --table, or the only table of a checkpoint."""
    return tables(arguments, checkpoint)[0]


def _found_tables(checkpoint, kind):
    from tf1_embed.certificates import SUFFIX, read_certificates
    from tf1_embed.checkpoint.inspect import inspect_checkpoint

    if checkpoint.endswith(SUFFIX):
        return sorted(read_certificates(checkpoint))
    variables = inspect_checkpoint(checkpoint)
    return [each.name if kind == "table" else each.table for each in variables if each.kind == kind]


def add_partition_strategy(parser: argparse.ArgumentParser) -> None:
    """Adds --partition-strategy."""
    parser.add_argument(
        "--partition-strategy",
        choices=["mod", "div"],
        help="how the model's lookups send ids to the partitions of a partitioned table: mod is "
        "the default of tf.nn.embedding_lookup, div that of feature columns",
    )


def add_new_partition_strategy(parser: argparse.ArgumentParser, of: str = "NEW") -> None:
    """Adds --new-partition-strategy, of the second checkpoint or of what is written."""
    parser.add_argument(
        "--new-partition-strategy",
        choices=["mod", "div"],
        help=f"that of {of}, if it is another (default: the same)",
    )


def sizes(checkpoint: str, tables: Sequence[str]) -> dict[str, int]:
    """Returns the number of rows of each table that names and patterns mean."""
    from tf1_embed.checkpoint.files.reader import CheckpointReader
    from tf1_embed.checkpoint.vocabulary_axis import table_axes

    with CheckpointReader(checkpoint) as reader:
        return {str(each): each.size for each in table_axes(reader, tables)}


def one_size(sizes: dict[str, int]) -> int:
    """Returns the number of rows that all of the tables have."""
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} ({size})" for name, size in sizes.items())
        raise ValueError(
            f"tables that are treated alike must have as many rows, got {listed}; run the command "
            f"for each of them"
        )
    return next(iter(sizes.values()))


def num_rows(checkpoint: str, tables: Sequence[str]) -> int:
    """Returns the number of rows that all of the tables have."""
    return one_size(sizes(checkpoint, tables))


# Files of vectors.

# What `add_vectors` adds, as the functions name it that read such files.
VECTORS = ("format", "encoding", "errors", "duplicates")


def add_vectors(parser: argparse.ArgumentParser) -> None:
    """Adds what says how a file of vectors is read."""
    add_format(parser)
    parser.add_argument(
        "--encoding",
        default="utf-8",
        help="that of the tokens in the file of vectors (default: utf-8)",
    )
    parser.add_argument(
        "--errors",
        choices=["strict", "replace", "backslashreplace", "ignore"],
        default="strict",
        help="what becomes of bytes that are not of the encoding, such as a word cut in the middle "
        "of a character (default: strict, an error)",
    )
    parser.add_argument(
        "--duplicates",
        choices=["first", "last", "error"],
        default="error",
        help="which row of a token counts that the file of vectors has more than once (default: "
        "error)",
    )


def add_format(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """Adds --format, that of a file of vectors."""
    parser.add_argument(
        "--format",
        choices=["word2vec", "word2vec-bin", "glove", "npy"],
        required=required,
        help="the format of the file of vectors"
        + ("" if required else " (default: what the file shows)"),
    )


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


def slot_values(arguments: argparse.Namespace) -> dict[str, float | str]:
    """Returns the values of slot variables by their names."""
    values: dict[str, float | str] = {}
    for text in arguments.slot_value:
        name, equals, number = text.rpartition("=")
        try:
            values[name] = number if number == "table" else float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ValueError(f"--slot-value must be SLOT=NUMBER or SLOT=table, got {text!r}")
    return values


def add_slot_choice(parser: argparse.ArgumentParser, rows: str) -> None:
    """Adds --reset-slots and --without-slots; `rows` says whose slots begin anew."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--reset-slots", action="store_true", help=f"start the slots of {rows} anew as well"
    )
    either.add_argument(
        "--without-slots",
        action="store_true",
        help="leave the optimizer's slots of the tables out, for code that restores none; moving "
        "averages stay",
    )


def add_clocks(parser: argparse.ArgumentParser) -> None:
    """Adds --clocks."""
    parser.add_argument(
        "--clocks",
        choices=["fresh", "keep"],
        help="whether what counts the steps of Adam begins anew, as new slots do; if it goes on, "
        "rows with new slots step up to 6 times too far (default: fresh; it must be said for what "
        "may be AdaMax, where all else would step up to 10 times too far)",
    )


# What is written.


def add_output(
    parser: argparse.ArgumentParser,
    what: str = "the checkpoint to write",
    metavar: str = "PREFIX",
    type: type[Output] = OutputCheckpoint,
) -> None:
    """Adds --out, --force and --dry-run."""
    parser.add_argument("--out", metavar=metavar, type=type, required=True, help=what)
    add_writing(parser)


def add_writing(parser: argparse.ArgumentParser) -> None:
    """Adds --force and --dry-run."""
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")
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


def progress(what: str) -> Progress | None:
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
