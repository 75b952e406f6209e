"""Runs as `python -m examples.knowledge_graph` in the root of the repository."""

import sys

from examples.knowledge_graph.main import main

if __name__ == "__main__":
    sys.exit(0 if main()["frozen_rows_identical"] else 1)
