"""Runs as `python -m examples.parameter_server` in the root of the repository."""

import sys

from examples.parameter_server.main import main

if __name__ == "__main__":
    result = main()
    sys.exit(0 if result is None or result["old_rows_identical"] else 1)
