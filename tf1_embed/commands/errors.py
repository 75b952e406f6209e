"""What a person reads when a command fails: the library's errors in the words of the command."""

from __future__ import annotations

import argparse
import errno
import re

# Arguments of functions whose options have other names.
_OTHER_NAMES = {
    "assets": "asset",
    "axes": "also",
    "checkpoint": "prefix",
    "fetches": "fetch",
    "frozen_rows": "frozen",
    "ids": "rows",
    "kinds": "kind",
    "names": "new_vocab",
    "new_tokens": "new_vocab",
    "num_new_rows": "rows",
    "num_old_rows": "old_rows",
    "num_partitions": "partitions",
    "old_tokens": "old_vocab",
    "path": "file",
    "saved_model": "prefix",
    "slot_values": "slot_value",
    "tables": "table",
    "tags": "tag",
    "tokens": "new_vocab",
    "vocabulary": "vocab",
}
# With the file that was given, since that is what is to be looked at.
_FILES = ("new_vocab", "old_vocab", "vocab", "vocab_out")

# The packages that provide a module.
_PACKAGES = {"tensorflow": "tensorflow (1.13.1 or newer)"}


def message_of(error: BaseException, arguments: argparse.Namespace) -> str:
    """Returns what an error says to who typed a command."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.split(".")[0]
        if str(error) == f"No module named {error.name!r}":
            return (
                f"this needs the package {_PACKAGES.get(module, module)}, which is not installed: "
                f"pip install {module}"
            )
    if isinstance(error, MemoryError):
        return f"the memory does not suffice{_colon(error)}"
    if isinstance(error, OSError) and error.strerror and error.errno == errno.ENOSPC:
        what = error.filename or getattr(arguments, "out", None)
        return f"{error.strerror}" + (f": {what}" if what else "")
    # str() of a KeyError is its repr.
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return _in_options(text, arguments) or f"{type(error).__name__}, of which nothing is known"


def _in_options(text, arguments):
    """Returns a message with options in the place of the arguments of functions."""
    # "`rows` (--rows)", "force=True (--force)", "slot_values={...} (--slot-value A=VALUE)".
    text = re.sub(r"(`\w+`|\b\w+=(?:\{[^}]*\}|\S+)) \((--[^()]+)\)", r"\2", text)

    def option(match):
        dest = match.group(1)
        for each in (dest, _OTHER_NAMES.get(dest)):
            if each in arguments.spellings:
                given = getattr(arguments, each, None)
                file = f" {given}" if each in _FILES and isinstance(given, str) else ""
                return arguments.spellings[each] + file
        return match.group(0)

    # A folder's `checkpoint` file is no argument.
    return re.sub(r"`(\w+)`(?! file)", option, text)


def _colon(error):
    return f": {error}" if str(error) else ""
