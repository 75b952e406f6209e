"""Options that say what else has the vocabulary, or what asks about it."""

from __future__ import annotations

import argparse
import functools
from typing import Callable

from tf1_embed.commands import output, questions


def add_to(parser: argparse.ArgumentParser, verb: str) -> None:
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


def chosen(
    arguments: argparse.Namespace, verb: str
) -> list[str] | Callable[[list[str]], list[str]]:
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
