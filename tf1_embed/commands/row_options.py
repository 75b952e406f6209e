"""Options that say which rows are meant: by ids and ranges, and by the tokens of vocabularies."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Sequence

from tf1_embed.commands import options
from tf1_embed.commands.paths import Input

if TYPE_CHECKING:
    from tf1_embed.rows import Rows
    from tf1_embed.vocabulary import IdMap, Reserved

# What a row's place is said with: 3, 10:20, 3,7,10:20.
ROWS = "ids and ranges START:STOP, up to STOP - 1, such as 3,10:20 for 3 and 10 to 19"


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
    size = options.num_rows(arguments.prefix, tables)
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


def check(arguments: argparse.Namespace) -> None:
    """Checks that there is a vocabulary for --first-column, if it is given, to be about."""
    names = ("old_vocab", "new_vocab", "vocab", "vectors_vocab")
    is_given = any(getattr(arguments, name, None) is not None for name in names)
    if getattr(arguments, "first_column", False) and not is_given:
        raise ValueError("--first-column says how a vocabulary is read, and none is given")


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
            arguments, None if is_certificate else options.num_rows(arguments.old, tables)
        )
    if arguments.drop_missing:
        raise ValueError("--drop-missing needs --old-vocab and --new-vocab")
    rows = reserved(arguments)
    # A certificate says itself which rows of the grown table are the old ones.
    if not rows.last or arguments.old.endswith(SUFFIX):
        return None
    num_old, num_new = (options.num_rows(each, tables) for each in (arguments.old, arguments.new))
    # Where rows are not merged yet, or none were added, all old ones are where they were.
    return append_map(num_old, num_new - num_old, rows) if num_new > num_old else None
