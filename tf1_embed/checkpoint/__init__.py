"""Checkpoints as files: tables in them grow, merge, split, and are compared."""
