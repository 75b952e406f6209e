"""Runs an iterator one step ahead of its consumer."""

from __future__ import annotations

import queue
import threading
from typing import Iterable, Iterator, TypeVar

Item = TypeVar("Item")

_END = object()


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items of an iterable while a thread already makes the next one.

    Reading and checking a chunk then take place while the one before is written. An exception of
    the iterable is raised here. At most two items are in memory besides the consumer's. A consumer
    that may stop early closes the iterator, which ends the thread.

    Example:
      >>> list(ahead(iter("abc")))
      ['a', 'b', 'c']
    """
    ready: queue.Queue = queue.Queue(maxsize=1)
    abandoned = threading.Event()

    def run():
        try:
            for item in items:
                if not _put(ready, (item, None), abandoned):
                    return
            _put(ready, (_END, None), abandoned)
        except BaseException as error:  # noqa: BLE001 it is raised where the items are used
            _put(ready, (None, error), abandoned)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        abandoned.set()
        thread.join()


def _put(ready, item, abandoned):
    while not abandoned.is_set():
        try:
            ready.put(item, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False
