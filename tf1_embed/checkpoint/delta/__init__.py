"""Deltas: the new rows of grown checkpoints in small files of their own, applied and reverted."""

from tf1_embed.checkpoint.delta.apply import apply_delta
from tf1_embed.checkpoint.delta.extract import extract_delta
from tf1_embed.checkpoint.delta.file import read_delta
from tf1_embed.checkpoint.delta.revert import revert_delta

__all__ = ["apply_delta", "extract_delta", "read_delta", "revert_delta"]
