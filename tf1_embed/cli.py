# PYTHON_ARGCOMPLETE_OK
"""The command `tf1-embed`: each of its commands is a thin front of one function.

Help and usage errors come at once: neither NumPy nor TensorFlow is imported before a command runs.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import logging
import os
import re
import sys
import warnings
from typing import Sequence

from tf1_embed.commands import (
    audit,
    delta,
    diff,
    grow,
    inspect,
    merge,
    options,
    output,
    paths,
    plot,
    repartition,
    row_options,
    shrink,
    split,
    vectors,
    verify,
)
from tf1_embed.commands.errors import message_of
from tf1_embed.new_files import published
from tf1_embed.version import __version__

# In the order of the help.
COMMANDS = (
    inspect,
    grow,
    shrink,
    merge,
    split,
    repartition,
    diff,
    verify,
    plot,
    delta,
    audit,
    vectors,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, 1 if a check failed, 2 if there was an error.

    Args:
      argv: the arguments; default: those of the process.
    """
    try:
        return _main(argv)
    finally:
        output.flush()


def _main(argv):
    parser = make_parser()
    _complete(parser)
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    arguments.spellings = options.spellings(arguments.parser, vars(arguments))
    if not arguments.debug:
        _quieten_tensorflow()
    num_published = len(published)
    try:
        paths.check(arguments)
        row_options.check(arguments)
        return arguments.run(arguments)
    except KeyboardInterrupt:
        # Wherever it came, what has its name is written, and nothing else is.
        written = ", ".join(map(os.path.relpath, published[num_published:]))
        output.warn(
            f"tf1-embed: interrupted, after this was written: {written}"
            if written
            else "tf1-embed: interrupted; nothing was written"
        )
        return 130
    except Exception as error:  # noqa: BLE001 a person reads this, not a traceback
        if arguments.debug:
            raise
        output.warn(f"tf1-embed: {message_of(error, arguments)}")
        return 2


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line, with all commands."""
    parser = _Parser(
        prog="tf1-embed",
        description=options.filled(
            "Grow trained embedding tables in TensorFlow checkpoints, and prove that the old rows "
            "did not change."
        ),
        epilog="Exit status: 0; 1 if verify, diff or audit found something; 2 after an error; 130 "
        "after\nan interrupt.\n\nexample:\n  tf1-embed inspect runs/base",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        help="print the versions of tf1-embed, TensorFlow and Python",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    commands.required = True
    for each in COMMANDS:
        each.add_to(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    """Proposes what is most like a word that it does not know."""

    def error(self, message):
        """Prints usage and message; exits with status 2."""
        wrong, known = "", []
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message, re.DOTALL)
        if choice:
            wrong = choice.group(1)
            known = [each.strip("' ") for each in choice.group(2).split(",")]
        elif message.startswith("unrecognized arguments: -"):
            wrong = message.split()[2].split("=")[0]
            known = re.findall(r"--[a-z][a-z-]+", self.format_help())
        nearest = difflib.get_close_matches(wrong, known, n=1)
        super().error(message + (f"; did you mean {nearest[0]}?" if nearest else ""))

    def print_help(self, file=None):
        """Prints the help, to a pipe that nobody reads as well."""
        output.say(self.format_help(), file, end="")


class _Version(argparse.Action):
    """Prints the versions; imports nothing that takes time."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Prints the versions and exits."""
        python = ".".join(map(str, sys.version_info[:3]))
        tensorflow = _version_of(_DISTRIBUTIONS) or "not installed"
        output.say(f"tf1-embed {__version__} (TensorFlow {tensorflow}, Python {python})")
        parser.exit()


# Under which names TensorFlow is packaged.
_DISTRIBUTIONS = (
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-gpu",
    "tensorflow-macos",
    "tf-nightly",
)


def _version_of(distributions):
    """Returns the version of the first of the distributions that is installed, or None."""
    try:
        from importlib import metadata
    except ImportError:
        # Python 3.7.
        import pkg_resources

        installed = {each.key: each.version for each in pkg_resources.working_set}
        return next((installed[each] for each in distributions if each in installed), None)
    for each in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(each)
    return None


def _complete(parser):
    """Prints what a shell asks for that completes a command line, and exits, if one does."""
    if "_ARGCOMPLETE" in os.environ:
        try:
            import argcomplete
        except ImportError:
            return
        argcomplete.autocomplete(parser)


def _quieten_tensorflow():
    """Keeps what TensorFlow says while it is imported away from the command's own words."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN announces itself at any level.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # NumPy's, about dtypes of TensorFlow 1.
    warnings.filterwarnings("ignore", category=FutureWarning, module="tensor")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
