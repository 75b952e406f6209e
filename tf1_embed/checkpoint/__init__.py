"""Checkpoints as files: merge a grown table into one variable under its old name."""

from tf1_embed.checkpoint.merge import merge_checkpoint

__all__ = ["merge_checkpoint"]
