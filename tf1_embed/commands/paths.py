"""What a command reads and what it writes: no option may name one file for both.

Options that take paths have one of these classes as their type, so that one place knows all files
of a command, by what they are, before any of them is opened.
"""

from __future__ import annotations

import argparse
import difflib
import os
from typing import Iterator

from tf1_embed.new_files import identities


class Input(str):
    """The path of a file that is read."""

    def files(self) -> list[str]:
        """Returns the files that are read; raises FileNotFoundError if there is none."""
        if not os.path.exists(self):
            raise FileNotFoundError(f"there is no file {str(self)!r}{_nearest(self)}")
        return [self]


class InputCheckpoint(Input):
    """The prefix of a checkpoint that is read, or its folder; or the path of a certificate."""

    def files(self) -> list[str]:
        """Returns the files that are read; raises FileNotFoundError if there is none."""
        from tf1_embed.certificates import SUFFIX
        from tf1_embed.checkpoint.files.find import find_checkpoint
        from tf1_embed.checkpoint.files.names import files_below, files_of, is_saved_model

        if self.endswith(SUFFIX):
            return super().files()
        found = files_of(find_checkpoint(self))
        if is_saved_model(self):
            return found + files_below(self if os.path.isdir(self) else os.path.dirname(self))
        return found + [path for path in [f"{find_checkpoint(self)}.meta"] if os.path.exists(path)]


class Output(str):
    """The path of a file that is written."""

    def files(self, arguments: argparse.Namespace) -> list[str]:
        """Returns the files that are written or removed."""
        return [self]


class OutputCheckpoint(Output):
    """The prefix of a checkpoint that is written."""

    def files(self, arguments: argparse.Namespace) -> list[str]:
        """Returns the files that are written or removed."""
        from tf1_embed.checkpoint.files.names import files_of, new_files_of

        return files_of(self) + new_files_of(self)

    def graph_left(self, arguments: argparse.Namespace) -> str | None:
        """Returns the path of a graph that lies beside this from before, or None."""
        path = f"{self}.meta"
        is_left = path not in self.files(arguments) and os.path.exists(path)
        return path if is_left else None


class OutputModel(OutputCheckpoint):
    """What `grow` writes: a checkpoint, with its graph or without, or a SavedModel's folder."""

    def files(self, arguments: argparse.Namespace) -> list[str]:
        """Returns the files that are written or removed."""
        from tf1_embed.checkpoint.files.names import files_below, is_saved_model

        if is_saved_model(arguments.prefix):
            return [self, *files_below(self)]
        return super().files(arguments) + ([f"{self}.meta"] if arguments.graph else [])

    def graph_left(self, arguments: argparse.Namespace) -> str | None:
        """Returns the path of a graph that lies beside a checkpoint from before, or None."""
        from tf1_embed.checkpoint.files.names import is_saved_model

        return None if is_saved_model(arguments.prefix) else super().graph_left(arguments)


class InputAsset(Input):
    """NAME=FILE, an asset and the file that takes its place."""

    def files(self) -> list[str]:
        """Returns the file that is read; none where the command will say that it is not told."""
        path = self.partition("=")[2]
        return Input(path).files() if path else []


def check(arguments: argparse.Namespace) -> None:
    """Checks that all that a command reads is there, and that it would write to none of it.

    Raises:
      FileExistsError: if a file would be read and written, or written twice.
      FileNotFoundError: if something that is read is not there.
    """
    read: dict = {}
    for option, path in _paths(arguments, Input):
        try:
            files = path.files()
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(str(error).replace("`checkpoint` must", f"{option} must")) from error
        read.update(dict.fromkeys(identities(files), option))
    written: dict = {}
    for option, path in _paths(arguments, Output):
        mine = identities(path.files(arguments))
        for each, name in mine.items():
            if each in read:
                raise FileExistsError(
                    f"{option} {path} would replace {name}, which is read ({read[each]}); choose "
                    f"another name. What is read is never replaced, --force or not"
                )
            if each in written:
                raise FileExistsError(
                    f"{option} and {written[each]} would both write {name}; choose another name "
                    f"for one of them"
                )
        written.update(dict.fromkeys(mine, option))


def _paths(arguments, kind) -> Iterator[tuple]:
    """Yields the option and the path of each argument of a class."""
    for dest, value in vars(arguments).items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, kind):
                yield arguments.spellings.get(dest, dest), each


def _nearest(path):
    """Returns a proposal of a file of the same folder whose name is like a path's, or ""."""
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return ""
    found = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {os.path.join(folder, found[0])!r}?" if found else ""
