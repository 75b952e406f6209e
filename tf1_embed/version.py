"""The version of this library, read by `setup.py` without importing anything."""

__version__ = "0.1.0"
