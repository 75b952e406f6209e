"""Runs as `python -m examples.words` in the root of the repository."""

import sys

from examples.words.main import main

if __name__ == "__main__":
    sys.exit(0 if main()["old_rows_identical"] else 1)
