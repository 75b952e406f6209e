"""Checkpoints as files: tables in them grow, merge, split, and are compared."""

from tf1_embed.checkpoint.grow import grow_checkpoint
from tf1_embed.checkpoint.merge import merge_checkpoint
from tf1_embed.checkpoint.split import split_checkpoint
from tf1_embed.checkpoint.verify import verify_checkpoint

__all__ = ["grow_checkpoint", "merge_checkpoint", "split_checkpoint", "verify_checkpoint"]
