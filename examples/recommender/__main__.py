"""Runs as `python -m examples.recommender` in the root of the repository."""

import sys

from examples.recommender.main import main

if __name__ == "__main__":
    sys.exit(0 if main()["old_rows_identical"] else 1)
