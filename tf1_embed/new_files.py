"""Files that appear together or not at all, whatever fails and whenever the process is killed.

    runs/.out.tf1_embed/    the working folder of runs/out: one run at a time has its lock
      new-0, new-1          what is written, until all of it is
      old-0, old-1          what is replaced, until all that is new is in its place
      journal               while files take their places: which ones, and where the others are
    lists/.words.txt.tf1_embed/
      home                  whose journal names the files of this folder

Files take their places by being renamed, the old ones out of the way first. An error in between
takes all of it back. If the process is killed, the next run to any of the places does: it finds
the working folder with a journal and without a lock. Once the journal is removed, the new files are
the ones that are there.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, NamedTuple

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]  # on Windows

_LOCK, _JOURNAL, _HOME = "lock", "journal", "home"

# What this process has published so far, paths in their order: what it can say when it is
# interrupted, wherever the interrupt arrives.
published: list[str] = []


class _Move(NamedTuple):
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


class NewFiles:
    """A context in which files are written that appear together when it is left.

    If it is left by an exception, none of them does, and what they would have replaced is there.

    Example:
      >>> import os, tempfile
      >>> folder = tempfile.mkdtemp()
      >>> names = [os.path.join(folder, name) for name in ("a", "b")]
      >>> with NewFiles(*names) as files:
      ...     for name in names:
      ...         with files.open(name) as file:
      ...             length = file.write(b"text")
      ...     print(os.path.exists(names[0]))
      False
      >>> print(sorted(os.listdir(folder)))
      ['a', 'b']
    """

    def __init__(self, *places: str, force: bool = False):
        """Takes what nobody else may write at the same time.

        Args:
          places: paths of files, or prefixes of several; folders of theirs that are not there yet
            are made.
          force: whether files that are there are replaced.
        """
        self._places = [os.path.abspath(each) for each in places]
        self._force = force

    def __enter__(self) -> NewFiles:
        """Takes the places, once what killed runs left there is cleared up.

        Raises:
          FileExistsError: if another run is writing to one of them.
        """
        self._moves: list[_Move] = []
        self._made_folders: list[str] = []
        self._folders: list[_WorkingFolder] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self._release)
            for place in dict.fromkeys(self._places):
                self._made_folders += _make_folders(os.path.dirname(place))
                self._folders.append(_WorkingFolder.take(place))
            home = self._folders[0]
            for each in self._folders[1:]:
                with open(
                    each.path(_HOME), "w", encoding="utf-8", errors="surrogateescape"
                ) as file:
                    file.write(_relative(home.folder, each.folder))
                flush_to_disk(each.path(_HOME))
                flush_to_disk(each.folder)
            undo.pop_all()
        return self

    @property
    def places(self) -> list[str]:
        """The paths of the files that were added."""
        return [each.place for each in self._moves if each.new is not None]

    def add(self, place: str, stays: bool = False) -> str:
        """Adds a file; returns the path to write it to.

        Files take their places in the order in which they were added; the old ones leave theirs in
        the opposite order.

        Args:
          place: path where the file is to be, in the folder of one of the context's places.
          stays: whether the old file stays until the new one takes its place, for small files which
            others read at the same time.

        Raises:
          FileExistsError: if there is a file that is not to be replaced.
        """
        place = os.path.abspath(place)
        if not stays:
            check_absent(place, self._force)
        folder, number = self._folder_of(place), len(self._moves)
        new, old = folder.path(f"new-{number}"), folder.path(f"old-{number}")
        self._moves.append(_Move(place, new, old, False, None, stays))
        return new

    def open(self, place: str, stays: bool = False) -> IO[bytes]:
        """Adds a file as `add` does; returns it, open for bytes."""
        return open(self.add(place, stays), "wb")

    def remove(self, place: str) -> None:
        """Has a file removed when the others appear."""
        place = os.path.abspath(place)
        check_absent(place, self._force)
        old = self._folder_of(place).path(f"old-{len(self._moves)}")
        self._moves.append(_Move(place, None, old, False, None, False))

    def __exit__(
        self,
        kind: type | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish()
                self._made_folders = []
        finally:
            self._release()

    def _publish(self):
        for each in self._moves:
            if each.new is not None:
                flush_to_disk(each.new)
            if not each.stays:
                # Somebody may have written there, who takes no lock.
                check_absent(each.place, self._force)
        places = self.places
        if len(self._moves) == 1:
            # It takes one step, in which a reader finds the old file or the new one.
            os.replace(self._moves[0].new, places[0])
            published.extend(places)
            flush_to_disk(os.path.dirname(places[0]))
            return
        moves = [_as_it_is(each) for each in self._moves]
        journal = self._folders[0].path(_JOURNAL)
        try:
            _write_journal(journal, moves)
            for each in reversed(moves):
                if each.had_old:
                    (shutil.copyfile if each.stays else os.replace)(each.place, each.old)
            for each in moves:
                if each.new is not None:
                    os.replace(each.new, each.place)
            for folder in sorted({os.path.dirname(place) for place in places}):
                flush_to_disk(folder)
            os.remove(journal)
        except BaseException:
            if os.path.exists(journal):
                # If this fails as well, the journal stays for the next run.
                with contextlib.suppress(OSError):
                    _undo(journal)
            elif _are_done(moves):
                published.extend(places)
            raise
        published.extend(places)
        with contextlib.suppress(OSError):
            flush_to_disk(os.path.dirname(journal))

    def _release(self):
        # The home last: its journal, if one is left, names what the others have.
        if self._folders and os.path.exists(self._folders[0].path(_JOURNAL)):
            for each in self._folders:
                each.close()
            return
        for each in reversed(self._folders):
            each.clear()
            each.close()
        for folder in reversed(self._made_folders):
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def _folder_of(self, place):
        """Returns the working folder in which a file waits for its place, on the same disk."""
        return next(
            each for each in self._folders if each.beside == os.path.dirname(os.path.abspath(place))
        )


class _WorkingFolder:
    """The folder in which what belongs to a place waits; one run at a time has it."""

    def __init__(self, place, lock):
        self.folder, self._lock = _working_folder(place), lock
        self.beside = os.path.dirname(self.folder)

    @classmethod
    def take(cls, place):
        """Makes and locks the folder, and clears up what a killed run left in it."""
        folder = _working_folder(place)
        lock = _lock_folder(folder, place)
        taken = cls(place, lock)
        try:
            taken._take_back()
            taken._remove_files()
        except BaseException:
            taken.close()
            raise
        return taken

    def path(self, name):
        """Returns the path of a file in the folder."""
        return os.path.join(self.folder, name)

    def clear(self):
        """Removes what is in the folder, and the folder."""
        with contextlib.suppress(OSError):
            self._remove_files()
            if os.name == "nt":
                # Windows removes no file that is open.
                self.close()
            # Whoever opens the lock from now on finds that it is no longer there, and tries again.
            os.remove(self.path(_LOCK))
            os.rmdir(self.folder)

    def close(self):
        """Lets others have the folder."""
        self._lock.close()

    def _take_back(self):
        """Undoes what a killed run had done of a publication in which this folder has a part."""
        home = self.path(_HOME)
        if not os.path.exists(home):
            if os.path.exists(self.path(_JOURNAL)):
                _undo(self.path(_JOURNAL))
            return
        with open(home, "rb") as file:
            folder = os.path.join(self.folder, os.fsdecode(file.read()))
        journal = os.path.join(folder, _JOURNAL)
        if os.path.exists(journal):
            with _lock_folder(folder, folder):
                if os.path.exists(journal):
                    _undo(journal)

    def _remove_files(self):
        for name in os.listdir(self.folder):
            if name != _LOCK:
                os.remove(self.path(name))


@contextlib.contextmanager
def new_file(path: PathLike, force: bool = False) -> Iterator[IO[bytes]]:
    """Opens a file that takes its name when the context is left without an exception.

    Args:
      path: on a local disk; its folder is made if it is not there.
      force: whether a file of that name is replaced.

    Yields:
      the file, open for bytes.

    Raises:
      FileExistsError: if there is one and not `force`, or another run is writing it.
    """
    place = os.fspath(path)
    with NewFiles(place, force=force) as files, files.open(place) as file:
        yield file


def write_together(
    contents: Mapping[str, Callable[[IO[bytes]], object]], force: bool = False
) -> None:
    """Writes files that appear together or not at all.

    Args:
      contents: for each path a function that writes the file, given it open for bytes.
      force: whether files of these names are replaced.

    Raises:
      FileExistsError: if there is one and not `force`, or another run is writing one.
    """
    with NewFiles(*contents, force=force) as files:
        for path, write in contents.items():
            with files.open(path) as file:
                write(file)


def has_leftovers(place: str) -> bool:
    """Tells whether a run is writing to a place, or was killed when it did."""
    return os.path.isdir(_working_folder(os.path.abspath(place)))


def check_absent(path: PathLike, force: bool = False) -> None:
    """Raises FileExistsError if there is a file at a path that is not to be replaced."""
    if not force and os.path.lexists(path):
        raise FileExistsError(
            f"{path} exists; choose another name, or replace it with force=True (--force)"
        )


def check_not_read(written: Iterable[str], read: Iterable[str]) -> None:
    """Raises FileExistsError if a file would be written that is read, whatever it is called."""
    inputs = identities(read)
    for each, path in identities(written).items():
        if each in inputs:
            raise FileExistsError(
                f"{path} would be replaced, and is read ({inputs[each]}); choose another name"
            )


def identities(paths: Iterable[str]) -> dict[Any, str]:
    """Returns what files are, whatever they are called: a dict from that to one of their names.

    Links of either kind, relative paths and others of one file are the same. What does not exist
    is the name in the folder that would have it.
    """
    found: dict[Any, str] = {}
    for path in paths:
        try:
            state = os.stat(path)
            found[state.st_dev, state.st_ino] = path
        except OSError:
            found[os.path.realpath(path)] = path
    return found


def flush_to_disk(path: str) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    is_folder = os.path.isdir(path)
    if is_folder and os.name == "nt":
        # Windows opens no folders.
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems flush no folders.
        if not (is_folder and error.errno == errno.EINVAL):
            raise
    finally:
        os.close(descriptor)


def _working_folder(place):
    folder, name = os.path.split(place)
    return os.path.join(folder, f".{name}.tf1_embed")


def _make_folders(folder):
    """Makes a folder and those above it; returns those that were not there, the highest first."""
    missing, above = [], folder
    while above and not os.path.isdir(above):
        missing.insert(0, above)
        above = os.path.dirname(above)
    if missing:
        os.makedirs(folder, exist_ok=True)
    return missing


def _lock_folder(folder, place):
    """Makes a folder if it is not there, and locks it until the file that is returned is closed."""
    while True:
        is_mine = False
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
            is_mine = True
        path = os.path.join(folder, _LOCK)
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


def _relative(path, start):
    try:
        return os.path.relpath(path, start)
    except ValueError:
        # On another drive of Windows.
        return path


def _as_it_is(move):
    """Returns the move with what there is before anything is moved."""
    mark = None if move.new is None else _mark(move.new)
    return move._replace(had_old=os.path.lexists(move.place), mark=mark)


def _write_journal(path, moves):
    folder = os.path.dirname(path)
    content = [
        each._replace(
            place=_relative(each.place, folder),
            new=each.new and _relative(each.new, folder),
            old=_relative(each.old, folder),
        )
        for each in moves
    ]
    with open(path + ".new", "w", encoding="ascii") as file:
        json.dump(content, file)
    flush_to_disk(path + ".new")
    os.replace(path + ".new", path)
    flush_to_disk(folder)


def _undo(journal):
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
            for each in (_Move(*each) for each in json.load(file))
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
            for each in sorted({os.path.dirname(each.place) for each in moves}):
                flush_to_disk(each)
    os.remove(journal)


def _are_done(moves):
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
