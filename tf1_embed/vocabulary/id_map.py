"""Which old row each row of a grown table has, when the ids follow the tokens.

Rows that stand for no token (padding, ids out of the vocabulary) are reserved, at the table's
beginning or its end.
"""

from __future__ import annotations

import collections
import itertools
import re
import reprlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tf1_embed.rows import Rows, ids_at, ids_of

if TYPE_CHECKING:
    from typing import Sequence

    from tf1_embed.types import ArrayLike


class Reserved(NamedTuple):
    """How many rows at a table's beginning and at its end stand for no token.

    Attributes:
      first: int, at its beginning.
      last: int, at its end.
    """

    first: int
    last: int


Counts = collections.namedtuple("Counts", ["kept", "moved", "dropped", "new"])
Counts.__doc__ = """How many rows are old ones, how many of these have other ids, and the rest."""

_IDS_AT_A_TIME = 1 << 20

NONE_RESERVED = Reserved(first=0, last=0)

# The most tokens that an error names.
_TOKENS_NAMED = 5


class IdMap:
    """The origin of each row of a grown table: it is new, or has an old row's id.

    Attributes:
      new_rows: `Rows` of the grown table, those that are new; `~new_rows` are the old ones.
      num_rows: int, the number of rows of the grown table.
      num_old_rows: int, the number of rows of the old table.
      appends: bool, whether all old rows keep their ids and the new ones follow them.

    Example:
      >>> ids = IdMap(Rows.range(1, 3, size=5), num_old_rows=3)
      >>> ids.old_ids([0, 1, 2, 3, 4])
      array([ 0, -1, -1,  1,  2])
    """

    new_rows: Rows
    num_rows: int
    num_old_rows: int
    appends: bool

    def __init__(
        self, new_rows: Rows, num_old_rows: int, order: np.ndarray | Rows | None = None
    ) -> None:
        """Takes where the new rows are, and which old ones the others are.

        Args:
          new_rows: `Rows` of the grown table.
          num_old_rows: int.
          order: int64 array of shape [number of rows that are not new], the old id of each, or
            `Rows` of the old table whose order is kept; default: 0, 1, 2 and so on.
        """
        self.new_rows, self.num_old_rows = new_rows, num_old_rows
        self.num_rows = new_rows.size
        self._kept_rows = ~new_rows
        if isinstance(order, Rows):
            in_order = order.count == num_old_rows
        else:
            in_order = order is None or np.array_equal(order, np.arange(num_old_rows))
        self._order = None if in_order else order
        self._new_ids: np.ndarray | None = None
        self.appends = in_order and self._kept_rows.runs() == [[0, num_old_rows]]

    @property
    def order(self) -> np.ndarray | None:
        """The old id of each row that is not new, int64; None if these are 0, 1, 2 and so on."""
        return self._order.ids() if isinstance(self._order, Rows) else self._order

    def counts(self) -> Counts:
        """Returns how many rows there are of each kind, `Counts`.

        Example:
          >>> IdMap(Rows.range(1, 3, size=5), num_old_rows=4).counts()
          Counts(kept=3, moved=2, dropped=1, new=2)
        """
        moved = 0
        if not self.appends:
            for index in self._kept_rows.chunks(_IDS_AT_A_TIME):
                ids = ids_of(index)
                moved += int(np.count_nonzero(self.old_ids(ids) != ids))
        kept = self._kept_rows.count
        return Counts(kept, moved, self.num_old_rows - kept, self.new_rows.count)

    def old_ids(self, ids: ArrayLike) -> np.ndarray:
        """Returns the old id of each row of the grown table, -1 of one that is new.

        Args:
          ids: ints of shape [m], each in [0, num_rows).

        Returns:
          int64 array of shape [m].
        """
        ids = np.asarray(ids, np.int64)
        old_ids = np.full(ids.shape, -1)
        is_old = self._kept_rows.contains(ids)
        kept = self._kept_rows.position(ids[is_old])
        if isinstance(self._order, Rows):
            kept = ids_at(self._order, kept)
        elif self._order is not None:
            kept = self._order[kept]
        old_ids[is_old] = kept
        return old_ids

    def new_ids(self, ids: ArrayLike) -> np.ndarray:
        """Returns the id in the grown table of each old row, -1 of one that was dropped.

        Args:
          ids: ints of shape [m], each in [0, num_old_rows).

        Returns:
          int64 array of shape [m].

        Example:
          >>> IdMap(Rows.range(1, 3, size=5), num_old_rows=4).new_ids([0, 1, 2, 3])
          array([ 0,  3,  4, -1])
        """
        ids = np.asarray(ids, np.int64)
        if self._order is not None:
            if self._new_ids is None:
                self._new_ids = np.full(self.num_old_rows, -1)
                self._new_ids[self.order] = self._kept_rows.ids()
            return self._new_ids[ids]
        new_ids, is_kept = np.full(ids.shape, -1), ids < self._kept_rows.count
        if is_kept.any():
            new_ids[is_kept] = ids_at(self._kept_rows, ids[is_kept])
        return new_ids

    def dropped_rows(self) -> Rows:
        """Returns the `Rows` of the old table that the grown one lacks.

        Example:
          >>> IdMap(Rows.range(1, 3, size=5), num_old_rows=4).dropped_rows()
          Rows.range(3, 4, size=4)
        """
        if isinstance(self._order, Rows):
            return ~self._order
        if self._order is None:
            return Rows.range(self._kept_rows.count, self.num_old_rows, size=self.num_old_rows)
        return ~Rows.of(self._order, size=self.num_old_rows)

    def then(self, other: IdMap) -> IdMap:
        """Returns the `IdMap` of growing by this one, and after that by another.

        Example:
          >>> one = IdMap(Rows.range(0, 1, size=4), num_old_rows=3)
          >>> one.then(IdMap(Rows.range(4, 6, size=6), num_old_rows=4)).old_ids(range(6))
          array([-1,  0,  1,  2, -1, -1])
        """
        added = other.new_ids(self.new_rows.ids())
        ids = np.concatenate([added[added >= 0], other.new_rows.ids()])
        new_rows, order = Rows.of(ids, size=other.num_rows), None
        if not (self._keeps_order() and other._keeps_order()):
            order = self.old_ids(other.old_ids((~new_rows).ids()))
        return IdMap(new_rows, self.num_old_rows, order)

    def _keeps_order(self):
        """Tells whether all old rows are there, one after another as they were."""
        return self._order is None and self._kept_rows.count == self.num_old_rows


def parse_reserved(text: str) -> Reserved:
    """Parses reserved rows as the command line has them.

    Args:
      text: string, "first:N", "last:N", or both with a comma between them.

    Returns:
      `Reserved`.

    Raises:
      ValueError: if the text is anything else.

    Example:
      >>> parse_reserved("first:1,last:2")
      Reserved(first=1, last=2)
    """
    # [0-9], as \d is any digit of Unicode; a table has fewer than 10**18 rows.
    parts = [re.match(r"(first|last):([0-9]{1,18})\Z", part) for part in text.split(",")]
    counts = {part.group(1): int(part.group(2)) for part in parts if part}
    if len(counts) < len(parts):
        raise ValueError(
            f"reserved rows must be first:N, last:N or first:N,last:N, such as first:1; got "
            f"{text!r}"
        )
    return NONE_RESERVED._replace(**counts)


def append_map(
    num_old_rows: int, num_new_rows: int, reserved: tuple[int, int] = NONE_RESERVED
) -> IdMap:
    """Maps a table to one with new rows after all tokens, before the reserved rows at the end.

    Args:
      num_old_rows: int, the number of rows of the old table.
      num_new_rows: int, the number of rows to add.
      reserved: `Reserved`, or (first, last): rows of the old table that stand for no token.

    Returns:
      `IdMap`.

    Raises:
      ValueError: if `num_new_rows` is not positive, or more rows are reserved than there are.

    Example:
      >>> append_map(4, 2, Reserved(first=0, last=1)).old_ids(range(6))
      array([ 0,  1,  2, -1, -1,  3])
    """
    if num_new_rows < 1:
        raise ValueError(f"`num_new_rows` (--rows) must be positive, got {num_new_rows}")
    first, last = _check_reserved(reserved)
    if first + last > num_old_rows:
        raise ValueError(
            f"`reserved` must be at most the table's {num_old_rows} rows, got {first} at its "
            f"beginning and {last} at its end"
        )
    stop = num_old_rows - last + num_new_rows
    return IdMap(
        Rows.range(num_old_rows - last, stop, size=num_old_rows + num_new_rows), num_old_rows
    )


def remove_map(rows: Rows) -> IdMap:
    """Maps a table to one without some of its rows; the others move up, in their order.

    Args:
      rows: `Rows` of the table, those that go.

    Returns:
      `IdMap`.

    Example:
      >>> remove_map(Rows.of([0, 2], size=5)).old_ids(range(3))
      array([1, 3, 4])
    """
    kept = ~rows
    return IdMap(Rows.range(0, 0, size=kept.count), rows.size, kept)


def id_map(
    old_tokens: Sequence[str],
    new_tokens: Sequence[str],
    num_old_rows: int | None = None,
    reserved: tuple[int, int] = NONE_RESERVED,
    drop_missing: bool = False,
) -> IdMap:
    """Maps a table to one whose rows follow a new vocabulary, in any order; tokens keep their rows.

        old_tokens       a b c          ids 1 2 3 of 5 rows, reserved first 1 (padding), last 1
        new_tokens     c x a b          ids 1 2 3 4 of 6 rows
        old_ids      0 3 -1 1 2 4

    Args:
      old_tokens: list of strings, the vocabulary that the table was trained with.
      new_tokens: list of strings, the vocabulary of the grown table.
      num_old_rows: int, the number of rows of the old table, to be checked; default: what the
        vocabulary and `reserved` make.
      reserved: `Reserved`, or (first, last): rows that stand for no token. The first ones keep
        their ids; the last ones stay last, so that theirs grow.
      drop_missing: bool, whether tokens that the new vocabulary lacks lose their rows; default:
        they are an error.

    Returns:
      `IdMap`.

    Raises:
      ValueError: if a vocabulary has a token twice; if `num_old_rows` is not what the vocabulary
        and `reserved` make; if old tokens are missing, all of them or without `drop_missing`.

    Example:
      >>> old, new = ["a", "b", "c"], ["c", "x", "a", "b"]
      >>> mapped = id_map(old, new, num_old_rows=5, reserved=Reserved(first=1, last=1))
      >>> mapped.old_ids(range(6))
      array([ 0,  3, -1,  1,  2,  4])
      >>> mapped.new_rows
      Rows.range(2, 3, size=6)
    """
    first, last = _check_reserved(reserved)
    expected = first + len(old_tokens) + last
    if num_old_rows is not None and num_old_rows != expected:
        raise ValueError(_wrong_count(num_old_rows, len(old_tokens), first, last))
    old_id = _id_of_token("old_tokens", old_tokens, start=first)
    new_id = _id_of_token("new_tokens", new_tokens, start=first)
    old_ids = np.fromiter((old_id.get(each, -1) for each in new_tokens), np.int64, len(new_tokens))
    num_missing = len(old_tokens) - np.count_nonzero(old_ids >= 0)
    if num_missing and (num_missing == len(old_tokens) or not drop_missing):
        missing = (reprlib.repr(token) for token in old_tokens if token not in new_id)
        named = ", ".join(itertools.islice(missing, _TOKENS_NAMED))
        raise ValueError(
            f"`new_tokens` lacks {num_missing} of {len(old_tokens)} old tokens, such as {named}. "
            + (
                "Are both vocabularies of the same table?"
                if num_missing == len(old_tokens)
                else "Add them, or drop their rows with drop_missing=True (--drop-missing)"
            )
        )
    last_ids = np.arange(expected - last, expected)
    old_ids = np.concatenate([np.arange(first), old_ids, last_ids])
    return IdMap(Rows.where(old_ids < 0), expected, old_ids[old_ids >= 0])


def _check_reserved(reserved):
    first, last = reserved
    if first < 0 or last < 0:
        raise ValueError(
            f"`reserved` must be numbers of rows, not negative; got {first} at the table's "
            f"beginning and {last} at its end"
        )
    return first, last


def _id_of_token(argument, tokens, start):
    ids = dict(zip(tokens, range(start, start + len(tokens))))
    if len(ids) < len(tokens):
        ((token, count),) = collections.Counter(tokens).most_common(1)
        raise ValueError(
            f"`{argument}` must have each token once, got {reprlib.repr(token)} {count} times"
        )
    return ids


def _wrong_count(num_old_rows, num_tokens, first, last):
    excess = num_old_rows - first - num_tokens - last
    remedy = (
        f"If the other {excess} stand for no token, such as padding or ids out of the vocabulary, "
        f"say where they are with `reserved` (--reserved first:{first + excess} or "
        f"last:{last + excess})"
        if excess > 0
        else "Is it the vocabulary that the table was trained with?"
    )
    return (
        f"the table must have a row for each of {num_tokens} old tokens and {first} + {last} "
        f"reserved rows (first + last), got {num_old_rows} rows. {remedy}"
    )
