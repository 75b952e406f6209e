"""The command `tf1-embed`: each of its commands is a thin front of one function.

Help and usage errors come at once: neither NumPy nor TensorFlow is imported before a command runs.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from typing import Sequence

from tf1_embed.commands import audit, delta, grow, inspect, merge, plot, split, vectors, verify
from tf1_embed.version import __version__

# In the order of the help.
COMMANDS = (inspect, grow, merge, split, verify, plot, delta, audit, vectors)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, 1 if a check failed, 2 if there was an error.

    Args:
      argv: the arguments; default: those of the process.
    """
    arguments = make_parser().parse_args(argv)
    if not arguments.debug:
        _quieten_tensorflow()
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        # Of several pictures, some may be.
        written = "" if arguments.command == "plot" else "; nothing was written"
        print(f"tf1-embed: interrupted{written}", file=sys.stderr)
        return 130
    except Exception as error:  # noqa: BLE001 a person reads this, not a traceback
        if arguments.debug:
            raise
        # str() of a KeyError is its repr.
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f"tf1-embed: {message}", file=sys.stderr)
        return 2


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line, with all commands."""
    parser = argparse.ArgumentParser(
        prog="tf1-embed",
        description="Grow trained embedding tables in TensorFlow checkpoints, and prove that the "
        "old rows did not change.",
        epilog="Exit status: 0; 1 if verify or audit found something; 2 after an error.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    commands.required = True
    for each in COMMANDS:
        each.add_to(commands)
    return parser


def _quieten_tensorflow():
    """Keeps what TensorFlow says while it is imported away from the command's own words."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN announces itself at any level.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # NumPy's, about dtypes of TensorFlow 1.
    warnings.filterwarnings("ignore", category=FutureWarning, module="tensor")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
