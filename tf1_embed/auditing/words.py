"""What a value holds in a row, in a word, and the arithmetic of these words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable

import numpy as np

if TYPE_CHECKING:
    from tf1_embed.types import ArrayLike

ZERO = 0
ZERO_IF_FINITE = 1  # zero times something: NaN, if that is infinite or NaN
ONE = 2
OWN = 3  # what the table holds there, bit for bit
NEAR = 4  # the same after arithmetic: ordinary values are equal, denormals and NaNs are not
NEAR_IF_FINITE = 5
FINITE = 6  # a number
NOTHING = 7  # no slice names the row
ANY = 8

ZEROS = (ZERO, ZERO_IF_FINITE)
_NUM_WORDS = 9


def words_of(rows: np.ndarray) -> np.ndarray:
    """Returns the word for each row of an array, [num_rows] or, of one row, a single word."""
    flat = rows.reshape([len(rows), -1])
    words = np.where(np.isfinite(flat).all(1), FINITE, ANY)
    words[(flat == 1).all(1)] = ONE
    words[(flat == 0).all(1)] = ZERO
    return words[0] if len(rows) == 1 else words


def _table(rule):
    found = [[rule(first, second) for second in range(_NUM_WORDS)] for first in range(_NUM_WORDS)]
    return np.array(found, np.uint8)


def _joined(first, second):
    if first == second or second == NOTHING:
        return first
    if first == NOTHING:
        return second
    pair = {first, second}
    for words, result in (
        (ZEROS, ZERO_IF_FINITE),
        ((OWN, NEAR), NEAR),
        ((OWN, NEAR, NEAR_IF_FINITE), NEAR_IF_FINITE),
        ((ZERO, ONE, FINITE), FINITE),
    ):
        if pair <= set(words):
            return result
    return ANY


def _product(first, second):
    pair = {first, second}
    if ZERO in pair:
        return ZERO if pair <= {ZERO, ONE, FINITE} else ZERO_IF_FINITE
    if ZERO_IF_FINITE in pair:
        return ZERO_IF_FINITE
    if pair == {ONE}:
        return ONE
    if ONE in pair and pair & {OWN, NEAR, NEAR_IF_FINITE}:
        return NEAR_IF_FINITE if NEAR_IF_FINITE in pair else NEAR
    # The product of two numbers may be infinite.
    return ANY


def _sum(first, second):
    pair = {first, second}
    if pair <= set(ZEROS):
        return max(pair)
    if pair & set(ZEROS) and pair & {OWN, NEAR, NEAR_IF_FINITE}:
        return NEAR_IF_FINITE if pair & {ZERO_IF_FINITE, NEAR_IF_FINITE} else NEAR
    return ANY


def _subtracted(first, second):
    if first in ZEROS and second not in ZEROS:
        return ANY
    return _sum(first, second)


JOIN, PRODUCT, SUM, DIFFERENCE = map(_table, (_joined, _product, _sum, _subtracted))


def join(found: Iterable[ArrayLike | None]) -> np.ndarray | None:
    """Returns what holds whichever of the answers is true, or None."""
    found = list(found)
    if not found or any(each is None for each in found):
        return None
    total = np.asarray(found[0], np.uint8)
    for each in found[1:]:
        total = JOIN[total, np.asarray(each, np.uint8)]
    return total


def choose(flags: np.ndarray, found: list[ArrayLike | None]) -> np.ndarray:
    """Returns what rows hold of two answers, by flags [num_rows, ...] for which."""
    first, second = (np.asarray(ANY if each is None else each, np.uint8) for each in found)
    mixed = JOIN[first, second]
    return np.where(flags.all(1), first, np.where(~flags.any(1), second, mixed))


def only(words: np.ndarray, kept: dict[int, int]) -> np.ndarray:
    """Returns words, `ANY` for those that have no entry in `kept`."""
    table = np.full(_NUM_WORDS, ANY, np.uint8)
    for word, result in kept.items():
        table[word] = result
    return table[words]
