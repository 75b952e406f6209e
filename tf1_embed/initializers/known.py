"""Rows of which something is known, and a named fallback for those of which nothing is."""

from __future__ import annotations

import itertools
import reprlib
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from tf1_embed.initializers.row_initializer import RowInitializer, told_apart

# The most rows that an error names.
_ROWS_NAMED = 5


class Knowledge(NamedTuple):
    """What is known of new rows.

    Attributes:
      is_known: bool array of shape [num_new_rows].
      prepare: function of the new rows' shape and of the old rows. It returns a sum over old rows,
        float64, a tensor or an array of any shape, or None; and a function of the new rows, a
        float64 array of shape [num_new_rows, ...] that holds the fallback, and of that sum, an
        array. It writes the rows that are known.
      names: what new rows are called, if not by their number.
    """

    is_known: np.ndarray
    prepare: Callable[[list, Any], tuple[Any, Callable[[np.ndarray, np.ndarray], None]]]
    names: Sequence[str] | None = None


class Coverage(NamedTuple):
    """Of how many new rows something is known.

    Attributes:
      num_known: int.
      lacking: tuple of strings, the tokens of the others, or their numbers among the new rows.
      fallback: string, the initializer that gives their values, or None.
    """

    num_known: int
    lacking: tuple[str, ...]
    fallback: str | None


class KnownRows(RowInitializer):
    """An initializer that knows something of each new row, and has a fallback for the others."""

    def __init__(
        self,
        know: Callable[[], Knowledge],
        description: str,
        fallback: Any = None,
        needs_old_rows: bool = True,
        check: Callable[[list, Any], None] | None = None,
    ):
        """Takes what finds out, at the first use, what is known.

        Args:
          know: function that returns `Knowledge`.
          description: string, what comes before the fallback in the initializer's `repr`.
          fallback: `RowInitializer` that needs no TensorFlow, or None.
          needs_old_rows: bool, whether known rows depend on old ones.
          check: function of the new rows' shape and the old rows, called before `know`.
        """
        fallback = told_apart(fallback)
        if fallback is not None and getattr(fallback, "needs_tensorflow", True):
            raise TypeError(
                f"`fallback` must be one of tf1_embed.initializers, such as initializers.mean(), "
                f"got {fallback!r}"
            )
        rest = "" if fallback is None else f", fallback={fallback!r}"
        needs_old_rows = needs_old_rows or getattr(fallback, "needs_old_rows", False)
        super().__init__(self._make, f"{description}{rest})", needs_old_rows, False)
        self._know, self._fallback, self._check = know, fallback, check
        self._name = description.partition("(")[0]
        self._knowledge: Knowledge | None = None

    def coverage(self) -> Coverage:
        """Returns of how many new rows something is known, `Coverage`; reads what is not read yet.

        Raises:
          ValueError: if what is known cannot be read, or contradicts itself.
        """
        knowledge = self._known()
        lacking = np.flatnonzero(~knowledge.is_known)
        names = knowledge.names
        named = tuple(str(row) if names is None else names[row] for row in lacking.tolist())
        fallback = None if self._fallback is None else repr(self._fallback)
        return Coverage(len(knowledge.is_known) - len(lacking), named, fallback)

    def _known(self):
        if self._knowledge is None:
            self._knowledge = self._know()
        return self._knowledge

    def _make(self, shape, dtype, old_rows):
        if self._check is not None:
            self._check(shape, old_rows)
        is_known, prepare, names = self._known()
        if len(is_known) != shape[0]:
            raise ValueError(
                f"{self._name}: what is known must be of the {shape[0]} new rows of "
                f"{old_rows.name!r}, got {len(is_known)}"
            )
        maths = old_rows.maths
        inputs = []
        total, fill = prepare(shape, old_rows)
        if total is not None:
            about = f"{self._name}: old rows of {old_rows.name!r} that it needs hold NaN or"
            inputs.append(maths.check_finite(total, f"{about} infinity"))
        num_sums = len(inputs)
        if not is_known.all():
            self._check_fallback(is_known, names)
            fallback = self._fallback(shape, dtype, old_rows)
            inputs.append(maths.as_float64(fallback))

        def combine(*inputs):
            rows = np.zeros(shape)
            if len(inputs) > num_sums:
                rows[~is_known] = inputs[-1][~is_known]
            fill(rows, inputs[0] if num_sums else None)
            return rows

        return maths.cast(maths.host(combine, inputs, shape, np.float64), dtype)

    def _check_fallback(self, is_known, names):
        if self._fallback is not None:
            return
        lacking = np.flatnonzero(~is_known)
        named = ", ".join(
            str(row) if names is None else reprlib.repr(names[row])
            for row in itertools.islice(lacking.tolist(), _ROWS_NAMED)
        )
        what = "rows" if names is None else "tokens"
        raise ValueError(
            f"{self._name}: nothing is known of {len(lacking)} of {len(is_known)} new {what}, such "
            f"as {named}. Say what they get with `fallback` (--fallback), such as mean or "
            f"mean_and_covariance"
        )
