"""Progress of long work, where nobody wants to see it."""


class Silence:
    """Takes the place of a progress bar, such as a `tqdm`."""

    def __init__(self, num_bytes):
        """Takes the number of bytes in all."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        pass

    def update(self, num_bytes):
        """Notes that so many more bytes are done."""
