"""The folder in which what belongs to a place waits; one run at a time has it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from typing import IO

from tf1_embed.new_files.journal import undo

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]  # on Windows

LOCK, JOURNAL, HOME = "lock", "journal", "home"


class WorkingFolder:
    """The folder in which what belongs to a place waits; one run at a time has it.

    Attributes:
      folder: its path.
      beside: path of the folder that it is in.
    """

    folder: str
    beside: str

    def __init__(self, place: str, lock: IO[bytes]):
        self.folder, self._lock = _path_of(place), lock
        self.beside = os.path.dirname(self.folder)

    @classmethod
    def take(cls, place: str) -> WorkingFolder:
        """Makes and locks the folder, and clears up what a killed run left in it."""
        folder = _path_of(place)
        lock = _lock_folder(folder, place)
        taken = cls(place, lock)
        try:
            taken._take_back()
            taken._remove_files()
        except BaseException:
            taken.close()
            raise
        return taken

    def path(self, name: str) -> str:
        """Returns the path of a file in the folder."""
        return os.path.join(self.folder, name)

    def clear(self) -> None:
        """Removes what is in the folder, and the folder."""
        with contextlib.suppress(OSError):
            self._remove_files()
            if os.name == "nt":
                # Windows removes no file that is open.
                self.close()
            # Whoever opens the lock from now on finds that it is no longer there, and tries again.
            os.remove(self.path(LOCK))
            os.rmdir(self.folder)

    def close(self) -> None:
        """Lets others have the folder."""
        self._lock.close()

    def _take_back(self):
        """Undoes what a killed run had done of a publication in which this folder has a part."""
        home = self.path(HOME)
        if not os.path.exists(home):
            if os.path.exists(self.path(JOURNAL)):
                undo(self.path(JOURNAL))
            return
        with open(home, "rb") as file:
            folder = os.path.join(self.folder, os.fsdecode(file.read()))
        journal = os.path.join(folder, JOURNAL)
        if os.path.exists(journal):
            with _lock_folder(folder, folder):
                if os.path.exists(journal):
                    undo(journal)

    def _remove_files(self):
        for name in os.listdir(self.folder):
            path = self.path(name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif name != LOCK:
                os.remove(path)


def has_leftovers(place: str) -> bool:
    """Tells whether a run is writing to a place, or was killed when it did."""
    return os.path.isdir(_path_of(os.path.abspath(place)))


def _path_of(place):
    folder, name = os.path.split(place)
    return os.path.join(folder, f".{name}.tf1_embed")


def _lock_folder(folder, place):
    """Makes a folder if it is not there, and locks it until the file that is returned is closed."""
    while True:
        is_mine = False
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
            is_mine = True
        path = os.path.join(folder, LOCK)
        try:
            file = open(path, "ab")
        except FileNotFoundError:
            # Another run has cleared it away just now.
            continue
        except BaseException:
            if is_mine:
                os.rmdir(folder)
            raise
        try:
            locked = _lock(file)
            if locked is None and not is_mine:
                raise FileExistsError(
                    f"{folder} is that of a run which was killed, or of one that is writing to "
                    f"{place} now: the file system has no locks that would tell. Remove it if none "
                    f"is"
                )
            if locked is False:
                raise FileExistsError(
                    f"another run is writing to {place} at this moment; wait for its end, or "
                    f"choose another name"
                )
            if _is_same_file(file, path):
                return file
        except BaseException:
            file.close()
            raise
        # Its owner removed it between the opening and the lock.
        file.close()


def _lock(file):
    """Takes the lock of a file; returns whether it could, or None if there are no locks.

    The lock ends with the process. The process' number would not do: another process may have it
    by now, or have it in another container.
    """
    try:
        if fcntl is None:
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        is_taken = error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
        return False if is_taken else None
    return True


def _is_same_file(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
