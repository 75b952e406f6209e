"""New rows from a frozen model: solved where their scores are linear in them, and watched."""
