"""Graphs that were saved with a model, grown with the tables of its checkpoint."""
