"""Options that several commands share: how they are declared, and what they mean.

Importing this imports no NumPy, which is for the commands as they run.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Callable, Iterable, Sequence

from tf1_embed.commands import output, questions
from tf1_embed.commands.paths import Input, InputCheckpoint, Output, OutputCheckpoint

if TYPE_CHECKING:
    from typing import Protocol

    from tf1_embed.rows import Rows
    from tf1_embed.types import Progress
    from tf1_embed.vocabulary import IdMap, Reserved

    class Commands(Protocol):
        """What `ArgumentParser.add_subparsers` returns."""

        def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
            """Adds the parser of a command."""


# What a row's place is said with: 3, 10:20, 3,7,10:20.
ROWS = "ids and ranges START:STOP, up to STOP - 1, such as 3,10:20 for 3 and 10 to 19"


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


def add_prefix(parser: argparse.ArgumentParser) -> None:
    """Adds PREFIX, the checkpoint that is read."""
    parser.add_argument(
        "prefix", metavar="PREFIX", type=InputCheckpoint, help="a checkpoint, or its folder"
    )


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


def runs(text: str, option: str) -> list[tuple[int, int]]:
    """Returns the (start, stop) that "3,10:20" means, in ascending order, apart from each other."""
    found = []
    for part in text.split(","):
        # [0-9], as \d is any digit of Unicode; no table has 10**18 rows.
        match = re.match(r"([0-9]{1,18})(?::([0-9]{1,18}))?\Z", part)
        if not match:
            raise ValueError(
                f"{option} must be ids and ranges START:STOP, such as 3,10:20; got {text!r}"
            )
        start = int(match.group(1))
        stop = start + 1 if match.group(2) is None else int(match.group(2))
        if stop <= start:
            raise ValueError(f"{option} {part} has no row: a range is START:STOP, without STOP")
        found.append((start, stop))
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(found):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return joined


def rows_of(text: str, option: str, size: int) -> Rows:
    """Returns the rows that "3,10:20" means of a table of `size` rows."""
    from tf1_embed.rows import Rows

    found = runs(text, option)
    if found[-1][1] > size:
        raise ValueError(
            f"{option} has row {found[-1][1] - 1}, but the table has {size} rows, 0 to {size - 1}"
        )
    return Rows.of_runs(found, size)


def trainable_rows(arguments: argparse.Namespace, tables: Sequence[str]) -> Rows | None:
    """Returns the rows that --trainable-rows means, of the size of the tables; None without it."""
    if arguments.trainable_rows is None:
        return None
    size = num_rows(arguments.prefix, tables)
    return rows_of(arguments.trainable_rows, "--trainable-rows", size)


def add_vocabularies(parser: argparse.ArgumentParser, old: str, new: str, missing: str) -> None:
    """Adds --old-vocab, --new-vocab, --drop-missing and --reserved, with the help for each."""
    parser.add_argument("--old-vocab", metavar="FILE", type=Input, help=old)
    parser.add_argument("--new-vocab", metavar="FILE", type=Input, help=new)
    parser.add_argument("--drop-missing", action="store_true", help=missing)
    add_first_column(parser)
    add_reserved(parser)


def add_first_column(parser: argparse.ArgumentParser) -> None:
    """Adds --first-column, for commands that read vocabularies."""
    parser.add_argument(
        "--first-column",
        action="store_true",
        help="tokens end at the first tab of their line, as in SentencePiece's TOKEN<TAB>SCORE",
    )


def tokens(arguments: argparse.Namespace, path: str) -> list[str]:
    """Returns the tokens of a vocabulary."""
    from tf1_embed.vocabulary import read_vocabulary

    return read_vocabulary(path, first_column=arguments.first_column)


def vocabulary_map(
    arguments: argparse.Namespace,
    num_old_rows: int | None = None,
    drop_missing: bool | None = None,
) -> IdMap:
    """Returns the map from --old-vocab to --new-vocab.

    Args:
      arguments: those of the command.
      num_old_rows: how many rows the old table has, to be checked.
      drop_missing: default: whether --drop-missing is given.
    """
    from tf1_embed.vocabulary import id_map

    if arguments.old_vocab is None:
        raise ValueError("--new-vocab needs --old-vocab, the vocabulary of the old table")
    return id_map(
        tokens(arguments, arguments.old_vocab),
        tokens(arguments, arguments.new_vocab),
        num_old_rows=num_old_rows,
        reserved=reserved(arguments),
        drop_missing=arguments.drop_missing if drop_missing is None else drop_missing,
    )


def map_of_two(arguments: argparse.Namespace, tables: Sequence[str]) -> IdMap | None:
    """Returns the map from the tables of OLD to those of NEW; None if every id is kept."""
    from tf1_embed.certificates import SUFFIX
    from tf1_embed.vocabulary import append_map

    if arguments.old_vocab is not None:
        is_certificate = arguments.old.endswith(SUFFIX)
        return vocabulary_map(
            arguments, None if is_certificate else num_rows(arguments.old, tables)
        )
    if arguments.drop_missing:
        raise ValueError("--drop-missing needs --old-vocab and --new-vocab")
    rows = reserved(arguments)
    # A certificate says itself which rows of the grown table are the old ones.
    if not rows.last or arguments.old.endswith(SUFFIX):
        return None
    num_old, num_new = (num_rows(each, tables) for each in (arguments.old, arguments.new))
    # Where rows are not merged yet, or none were added, all old ones are where they were.
    return append_map(num_old, num_new - num_old, rows) if num_new > num_old else None


# Files of vectors.

# What `add_vectors` adds, as the functions name it that read such files.
VECTORS = ("format", "encoding", "errors", "duplicates")


def add_vectors(parser: argparse.ArgumentParser) -> None:
    """Adds what says how a file of vectors is read."""
    add_format(parser)
    parser.add_argument(
        "--encoding", default="utf-8", help="that of the tokens in the file (default: utf-8)"
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
        help="which row of a token counts that the file has more than once (default: error)",
    )


def add_format(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """Adds --format, that of a file of vectors."""
    parser.add_argument(
        "--format",
        choices=["word2vec", "word2vec-bin", "glove", "npy"],
        required=required,
        help="the file's format" + ("" if required else " (default: what the file shows)"),
    )


# What else has the vocabulary.


def add_also(parser: argparse.ArgumentParser, verb: str) -> None:
    """Adds --also, --also-found and --only-tables; `verb` is what the command does to tables."""
    parser.add_argument(
        "--also",
        metavar="NAME[:AXIS]",
        action="append",
        default=[],
        help=f"a bias, or with :1 a projection [dim, rows], that {verb}s too",
    )
    parser.add_argument(
        "--also-found",
        action="store_true",
        help=f"{verb} all variables that have as many rows or columns as the tables",
    )
    parser.add_argument(
        "--only-tables", action="store_true", help=f"{verb} none of them, and do not ask"
    )


def also(arguments: argparse.Namespace, verb: str) -> list[str] | Callable[[list[str]], list[str]]:
    """Returns what else is meant; or what asks about it, once all else is checked."""
    if arguments.also_found and (arguments.also or arguments.only_tables):
        raise ValueError(
            f"--also-found {verb}s all that is found: give no --also and no --only-tables with it"
        )
    if arguments.also and arguments.only_tables:
        raise ValueError(f"--only-tables {verb}s nothing else: give no --also with it")
    if arguments.also or arguments.only_tables:
        return arguments.also
    return (lambda found: found) if arguments.also_found else functools.partial(_ask, verb)


def _ask(verb, found):
    """Returns which variables are meant of those that have as many rows or columns as tables."""
    listed = ", ".join(map(output.escaped, found))
    if not questions.at_terminal():
        raise ValueError(
            f"these have as many rows or columns as the tables: {listed}. Say whether they {verb} "
            f"as well: --also-found (all), --also NAME[:AXIS] (some) or --only-tables (none)"
        )
    facts = f"These have as many rows or columns as the tables: {listed}."
    return found if questions.ask(facts, f"Do they {verb} as well?", "y", "N") == "y" else []


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
        "rows with new slots step up to 6 times too far (default: fresh, where nothing else steps "
        "farther for it)",
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
