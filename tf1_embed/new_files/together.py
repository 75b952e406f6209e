"""Files that appear together or not at all: the context that writes them."""

from __future__ import annotations

import contextlib
import os
import shutil
from types import TracebackType
from typing import IO, TYPE_CHECKING, Callable, Iterator, Mapping

from tf1_embed.new_files.disk import check_absent, flush_to_disk, make_folders
from tf1_embed.new_files.journal import Move, are_done, as_it_is, relative, undo, write_journal
from tf1_embed.new_files.working_folder import HOME, JOURNAL, WorkingFolder

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

# What this process has published so far, paths in their order: what it can say when it is
# interrupted, wherever the interrupt arrives.
published: list[str] = []


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
        self._moves: list[Move] = []
        self._made_folders: list[str] = []
        self._folders: list[WorkingFolder] = []
        with contextlib.ExitStack() as stack:
            stack.callback(self._release)
            for place in dict.fromkeys(self._places):
                self._made_folders += make_folders(os.path.dirname(place))
                self._folders.append(WorkingFolder.take(place))
            home = self._folders[0]
            for each in self._folders[1:]:
                with open(each.path(HOME), "w", encoding="utf-8", errors="surrogateescape") as file:
                    file.write(relative(home.folder, each.folder))
                flush_to_disk(each.path(HOME))
                flush_to_disk(each.folder)
            stack.pop_all()
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
        self._moves.append(Move(place, new, old, False, None, stays))
        return new

    def path_of(self, place: str) -> str:
        """Returns where a file that was added is until it takes its place."""
        place = os.path.abspath(place)
        return next(each.new for each in self._moves if each.place == place and each.new)

    def add_folder(self, place: str) -> str:
        """Adds a folder, which takes its place with all that is in it; returns the path to fill.

        Raises:
          FileExistsError: as for `add`.
        """
        folder = self.add(place)
        os.mkdir(folder)
        return folder

    def open(self, place: str, stays: bool = False) -> IO[bytes]:
        """Adds a file as `add` does; returns it, open for bytes."""
        return open(self.add(place, stays), "wb")

    def remove(self, place: str) -> None:
        """Has a file removed when the others appear."""
        place = os.path.abspath(place)
        check_absent(place, self._force)
        old = self._folder_of(place).path(f"old-{len(self._moves)}")
        self._moves.append(Move(place, None, old, False, None, False))

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
                for folder, _, names in os.walk(each.new):
                    for name in (*names, ""):
                        flush_to_disk(os.path.join(folder, name))
                flush_to_disk(each.new)
            if not each.stays:
                # Somebody may have written there, who takes no lock.
                check_absent(each.place, self._force)
        places = self.places
        if len(self._moves) == 1 and not os.path.isdir(places[0]):
            # It takes one step, in which a reader finds the old file or the new one.
            os.replace(self._moves[0].new, places[0])
            published.extend(places)
            flush_to_disk(os.path.dirname(places[0]))
            return
        moves = [as_it_is(each) for each in self._moves]
        journal = self._folders[0].path(JOURNAL)
        try:
            write_journal(journal, moves)
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
                    undo(journal)
            elif are_done(moves):
                published.extend(places)
            raise
        published.extend(places)
        with contextlib.suppress(OSError):
            flush_to_disk(os.path.dirname(journal))

    def _release(self):
        # The home last: its journal, if one is left, names what the others have.
        if self._folders and os.path.exists(self._folders[0].path(JOURNAL)):
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
