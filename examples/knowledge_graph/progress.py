"""Progress of a loop: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 5


def progress(steps, description, unit):
    """Yields the steps of a sequence and reports on stderr how far it is."""
    if sys.stderr.isatty():
        yield from tqdm(steps, desc=description, unit=unit)
        return
    last_line = time.perf_counter()
    for done, step in enumerate(steps, 1):
        yield step
        if done == len(steps) or time.perf_counter() - last_line > _SECONDS_BETWEEN_LINES:
            print(f"{description}: {unit} {done} of {len(steps)}", file=sys.stderr)
            last_line = time.perf_counter()
