"""Brings a file to the disk while it is still being written."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

# Bytes after which the next flush begins, if the last one has ended.
FLUSH_BYTES = 32 << 20


class WriteBack:
    """Flushes an open file now and then in a thread, so that little is left to flush in the end."""

    def __init__(self, file: IO[bytes]) -> None:
        """Takes the file, which stays open until `close` is called."""
        self._file = file
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._flush: Future | None = None
        self._num_bytes = 0

    def add(self, num_bytes: int) -> None:
        """Notes that so many more bytes were written; raises the OSError of an earlier flush."""
        self._num_bytes += num_bytes
        if self._num_bytes >= FLUSH_BYTES and (self._flush is None or self._flush.done()):
            self._raise_error()
            flush = getattr(os, "fdatasync", os.fsync)
            self._flush = self._thread.submit(flush, self._file.fileno())
            self._num_bytes = 0

    def finish(self) -> None:
        """Waits for the flush that is under way; raises the OSError of any."""
        self.close()
        # The system reports an error once: the flushes after it succeed.
        self._raise_error()

    def close(self) -> None:
        """Waits for the flush that is under way."""
        self._thread.shutdown()

    def _raise_error(self):
        if self._flush is not None:
            self._flush.result()
