"""The types that annotations name, for editors and type checkers; nothing is here at run time.

TensorFlow has no types of its own. The stubs of `tensorflow`, which Pyright brings along and mypy
takes from `types-tensorflow`, describe variables and tensors, and say nothing of
`tensorflow.compat.v1`. So these names, and no others, are taken from there; without the stubs they
are anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from typing import Any, ContextManager, Protocol, Sequence, Union

    import numpy as np
    from numpy.typing import ArrayLike as ArrayLike
    from tensorflow import IndexedSlices as IndexedSlices
    from tensorflow import Tensor as Tensor
    from tensorflow import Variable as Variable

    PathLike = Union[str, os.PathLike[str]]

    # A variable in one piece, in partitions, or a list of partitions.
    LiveVariable = Union[Variable, Sequence[Variable]]

    class Table(Protocol):
        """What has a shape and is sliced by rows, as an array is."""

        @property
        def shape(self) -> tuple[int, ...]:
            """The number of rows, then the shape of a row."""

        @property
        def dtype(self) -> np.dtype:
            """That of each number."""

        def __getitem__(self, index: Any) -> Any: ...

    class Bar(Protocol):
        """What shows how far a work has come, such as a `tqdm`."""

        def update(self, num_bytes: int) -> object:
            """Says that so many bytes more are done."""

    class Progress(Protocol):
        """Makes a `Bar` of the number of bytes in all."""

        def __call__(self, num_bytes: int) -> ContextManager[Bar]:
            """Begins the work; the context ends with it."""

    class Names(Protocol):
        """What has a name for each row."""

        def __len__(self) -> int: ...

        def __getitem__(self, row: int) -> object: ...
