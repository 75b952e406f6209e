"""The commands of `tf1-embed`: a file for each, with its options and what it does."""
