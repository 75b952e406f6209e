"""Which files take their places, so that the next run can take back what a killed one had done."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Iterable, NamedTuple

from tf1_embed.new_files.disk import flush_to_disk


class Move(NamedTuple):
    """A place whose file is replaced, made or removed; paths are absolute.

    Attributes:
      place: where the file is to be.
      new: where the new one waits; None if there is to be none.
      old: where the old one waits.
      had_old: whether there was one.
      mark: what tells the new one from files that others write there.
      stays: whether the old one is copied, so that a file is at the place all the time.
    """

    place: str
    new: str | None
    old: str
    had_old: bool
    mark: list[int] | None
    stays: bool


def as_it_is(move: Move) -> Move:
    """Returns the move with what there is before anything is moved."""
    mark = None if move.new is None else _mark(move.new)
    return move._replace(had_old=os.path.lexists(move.place), mark=mark)


def write_journal(path: str, moves: Iterable[Move]) -> None:
    """Writes what is about to be moved; from then on a killed run can be undone."""
    folder = os.path.dirname(path)
    content = [
        each._replace(
            place=relative(each.place, folder),
            new=each.new and relative(each.new, folder),
            old=relative(each.old, folder),
        )
        for each in moves
    ]
    with open(path + ".new", "w", encoding="ascii") as file:
        json.dump(content, file)
    flush_to_disk(path + ".new")
    os.replace(path + ".new", path)
    flush_to_disk(folder)


def undo(journal: str) -> None:
    """Takes back what was done of a publication, and removes its journal.

    Each step may have been done, and this may be interrupted and begun again: where the files are
    tells which steps are left.
    """
    folder = os.path.dirname(journal)
    with open(journal, encoding="ascii") as file:
        moves = [
            each._replace(
                place=os.path.join(folder, each.place),
                new=each.new and os.path.join(folder, each.new),
                old=os.path.join(folder, each.old),
            )
            for each in (Move(*each) for each in json.load(file))
        ]
    # If an old file is gone, the publication had ended, and the journal was still on the disk when
    # the power failed.
    if all(_is_old_one_there(each) for each in moves):
        for each in reversed(moves):
            if each.new is not None and not os.path.exists(each.new) and _is_the_new_one(each):
                os.replace(each.place, each.new)
        for each in moves:
            # Unless somebody has written there since.
            if os.path.lexists(each.old) and not os.path.lexists(each.place):
                os.replace(each.old, each.place)
        with contextlib.suppress(OSError):
            for above in sorted({os.path.dirname(each.place) for each in moves}):
                flush_to_disk(above)
    os.remove(journal)


def are_done(moves: Iterable[Move]) -> bool:
    """Tells whether every new file has left the folder in which it waited."""
    return not any(each.new is not None and os.path.exists(each.new) for each in moves)


def _is_old_one_there(move):
    if not move.had_old or os.path.lexists(move.old):
        return True
    return os.path.lexists(move.place) and (move.new is None or os.path.exists(move.new))


def _is_the_new_one(move):
    return os.path.exists(move.place) and _mark(move.place) == move.mark


def _mark(path):
    """Returns what a file keeps when it is renamed. Its number alone may be another's by now."""
    state = os.stat(path)
    return [state.st_ino, state.st_size, state.st_mtime_ns]


def relative(path: str, start: str) -> str:
    """Returns a path as seen from a folder, so that both can be moved together."""
    try:
        return os.path.relpath(path, start)
    except ValueError:
        # On another drive of Windows.
        return path
