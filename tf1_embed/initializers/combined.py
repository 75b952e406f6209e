"""New rows that are means of other rows: of their parts, of their class, of their neighbours."""

from __future__ import annotations

from typing import Any, Iterable, Sequence

import numpy as np

from tf1_embed.initializers.known import Knowledge, KnownRows
from tf1_embed.initializers.row_initializer import sum_over_chunks
from tf1_embed.rows import rows_in_chunk


def mean_of(
    parts: Any,
    weights: Any = None,
    fallback: Any = None,
    tokens: Sequence[str] | None = None,
) -> KnownRows:
    """Makes each new row the mean of its parts, other rows of the table.

        old rows 0 1 2, new rows 3 4        parts=[[0, 2], [3, 1]]
        row 3 = (row 0 + row 2) / 2         row 4 = (row 3 + row 1) / 2

    Args:
      parts: for each new row a list of ids; or ints of shape [num_new_rows, m], padded with -1. An
        id below the number of old rows is that of an old row; the ids that follow are those of the
        new rows, in their order. An id that is there twice counts twice.
      weights: for each new row a list of positive numbers, one for each of its parts, for weighted
        means; default: all alike.
      fallback: one of `tf1_embed.initializers`, for new rows without parts; default: an error, if
        there are such.
      tokens: list of strings, those of the new rows, by which errors and `coverage()` name them;
        default: their numbers.

    Returns:
      `KnownRows`. It raises a ValueError, when the rows are made, if there are not parts for each
      new row, if an id is not that of a row of the table, if new rows are parts of one another, if
      new rows have no parts and no fallback, and if a part holds NaN or infinity.

    Raises:
      TypeError: if parts are not ints.
      ValueError: if weights are not one positive number for each part, or tokens not one for each
        new row.

    Example:
      >>> import numpy as np
      >>> import tensorflow.compat.v1 as tf
      >>> import tf1_embed
      >>> with tf.Graph().as_default(), tf.Session() as session:
      ...     table = tf1_embed.get_grown_table(
      ...         "embedding",
      ...         num_new_rows=2,
      ...         old_rows=np.float32([[0], [10], [20]]),
      ...         initializer=tf1_embed.initializers.mean_of([[0, 2], [3, 1]]),
      ...     )
      ...     session.run(tf.global_variables_initializer())
      ...     print(session.run(table.trainable).tolist())
      [[10.0], [10.0]]
    """
    lists = _as_lists(parts)
    weight_lists = _weights(lists, parts, weights)
    if tokens is not None and len(tokens) != len(lists):
        raise ValueError(f"`tokens` must be of {len(lists)} rows as `parts`, got {len(tokens)}")
    return KnownRows(
        lambda: weighted_means(lists, weight_lists, tokens),
        f"mean_of(parts of {len(lists)} rows",
        fallback,
    )


def class_means(old_classes: Any, new_classes: Any, fallback: Any = None) -> KnownRows:
    """Makes each new row the mean of the old rows of its class.

    Args:
      old_classes: sequence of [num_old_rows] ints or strings, the class of each old row. One that
        is None, negative or NaN is none.
      new_classes: sequence of [num_new_rows] such, the class of each new row.
      fallback: one of `tf1_embed.initializers`, for new rows of no class, or of one without old
        rows; default: an error, if there are such.

    Returns:
      `KnownRows`. It raises a ValueError, when the rows are made, as `mean_of` does.

    Example:
      >>> from tf1_embed import initializers
      >>> old_classes, new_classes = ["verb", "noun", "noun"], ["noun", "adverb"]
      >>> initializers.class_means(old_classes, new_classes, initializers.mean()).coverage()
      Coverage(num_known=1, lacking=('1',), fallback='mean()')
    """
    members: dict = {}
    for row, each in enumerate(old_classes):
        members.setdefault(_class(each), []).append(row)
    members.pop(None, None)
    parts = [np.array(members.get(_class(each), []), np.int64) for each in new_classes]
    return KnownRows(
        lambda: weighted_means(parts, None, num_old_rows=len(old_classes)),
        f"class_means(of {len(parts)} rows",
        fallback,
    )


def weighted_means(
    parts: Sequence[np.ndarray],
    weights: Sequence[np.ndarray] | None,
    names: Sequence[str] | None = None,
    num_old_rows: int | None = None,
) -> Knowledge:
    """Returns `Knowledge` of rows that are weighted means of others.

    Args:
      parts: list of int64 arrays, the ids of the parts of each new row.
      weights: list of float64 arrays, or None for weights of 1.
      names: what new rows are called.
      num_old_rows: int, of which old rows something is told; default: any.
    """
    group_of, groups, group_weights = _distinct(parts, weights)
    count = max(len(groups), 1)
    is_known = np.array([len(each) > 0 for each in parts], bool)
    whole = np.array([each.sum() for each in group_weights] or [1.0])

    def prepare(shape, old_rows):
        first = old_rows.num_rows
        _check_ids(parts, shape[0], old_rows, num_old_rows)
        order = _order(parts, first)
        targets = np.repeat(np.arange(len(groups)), [len(each) for each in groups])
        ids = np.concatenate([*groups, np.empty(0, np.int64)])
        flat = np.concatenate([*group_weights, np.empty(0)])
        is_old = ids < first
        totals = _weighted_sums(targets[is_old], ids[is_old], flat[is_old], count, shape, old_rows)

        def fill(rows, totals):
            group = group_of[is_known]
            rows[is_known] = totals[group] / whole[group].reshape([-1] + [1] * (rows.ndim - 1))
            # New rows that have new rows among their parts, these first.
            for row in order:
                group = group_of[row]
                ids, own = groups[group], group_weights[group]
                is_new = ids >= first
                added = np.tensordot(own[is_new], rows[ids[is_new] - first], 1)
                rows[row] = (totals[group] + added) / whole[group]

        return totals, fill

    return Knowledge(is_known, prepare, names)


def _weighted_sums(targets, ids, weights, num_sums, shape, old_rows):
    """Returns [num_sums, ...] float64, each the sum of weights times old rows, read by chunks."""
    ids, places = np.unique(ids, return_inverse=True)
    order = np.lexsort((targets, places))
    targets, places, weights = targets[order], places[order], weights[order]
    step = rows_in_chunk(np.float64, shape[1:])
    total_shape = [num_sums] + shape[1:]

    def of_chunk(rows, start):
        total = np.zeros(total_shape)
        first, last = np.searchsorted(places, [start, start + len(rows)])
        for begin in range(first, last, step):
            part = slice(begin, min(begin + step, last))
            by_target = np.argsort(targets[part], kind="stable")
            chosen = targets[part][by_target]
            scale = weights[part][by_target].reshape([-1] + [1] * (rows.ndim - 1))
            products = rows[places[part][by_target] - start] * scale
            starts = np.flatnonzero(np.diff(chosen, prepend=-1))
            total[chosen[starts]] += np.add.reduceat(products, starts, axis=0)
        return total

    def add(rows, start):
        return old_rows.maths.host(of_chunk, [rows, start], total_shape, np.float64)

    return sum_over_chunks(add, total_shape, shape, old_rows, ids)


def _distinct(parts, weights):
    """Returns (group of each row, parts of each group, weights of each): equal rows are one."""
    number: dict = {}
    groups, group_weights = [], []
    group_of = np.zeros(len(parts), np.int64)
    for row, ids in enumerate(parts):
        own = np.ones(len(ids)) if weights is None else weights[row]
        key = ids.tobytes(), own.tobytes()
        if key not in number:
            number[key] = len(groups)
            groups.append(ids)
            group_weights.append(own)
        group_of[row] = number[key]
    return group_of, groups, group_weights


def _order(parts, num_old_rows):
    """Returns the new rows that have new rows among their parts, each after its own parts."""
    waits_for = {
        row: {each - num_old_rows for each in ids.tolist() if each >= num_old_rows}
        for row, ids in enumerate(parts)
        if len(ids) and ids.max() >= num_old_rows
    }
    needed_by: dict[int, list[int]] = {}
    for row, needed in waits_for.items():
        # What waits for nothing is there at once.
        needed.intersection_update(waits_for)
        for each in needed:
            needed_by.setdefault(each, []).append(row)
    order = [row for row, needed in waits_for.items() if not needed]
    for row in order:
        for each in needed_by.get(row, ()):
            waits_for[each].discard(row)
            if not waits_for[each]:
                order.append(each)
    if len(order) < len(waits_for):
        left = [row for row, needed in waits_for.items() if needed]
        raise ValueError(
            f"mean_of: new rows must not be parts of one another, got new row {left[0]} (id "
            f"{num_old_rows + left[0]}), which needs itself"
        )
    return order


def _check_ids(parts, num_new_rows, old_rows, num_old_rows):
    size = old_rows.num_rows + num_new_rows
    if num_old_rows not in (None, old_rows.num_rows):
        raise ValueError(
            f"class_means: there must be a class for each of the {old_rows.num_rows} old rows of "
            f"{old_rows.name!r}, got {num_old_rows}"
        )
    for row, ids in enumerate(parts):
        if len(ids) and not 0 <= ids.min() <= ids.max() < size:
            offending = ids.min() if ids.min() < 0 else ids.max()
            raise ValueError(
                f"mean_of: the parts of new row {row} must be ids in [0, {size}), of "
                f"{old_rows.num_rows} old rows and {num_new_rows} new ones; got {offending}"
            )


def _as_lists(parts):
    """Returns a list of int64 arrays, the parts of each new row."""
    if isinstance(parts, np.ndarray) and parts.ndim == 2 and parts.dtype.kind in "iu":
        return [row[row >= 0].astype(np.int64) for row in parts]
    if isinstance(parts, (str, bytes)) or not isinstance(parts, Iterable):
        raise TypeError(f"`parts` must be a list of ids for each new row, got {parts!r:.100}")
    lists = []
    for ids in parts:
        array = np.asarray(ids)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise TypeError(f"`parts` must be a list of ids for each new row, got {ids!r:.100}")
        lists.append(array.astype(np.int64))
    return lists


def _weights(lists, parts, weights):
    if weights is None:
        return None
    found = []
    if len(weights) != len(lists):
        raise ValueError(f"`weights` must be of {len(lists)} rows as `parts`, got {len(weights)}")
    for row, (ids, own) in enumerate(zip(lists, weights)):
        own = np.asarray(own, np.float64)
        if isinstance(parts, np.ndarray) and own.shape == parts[row].shape:
            own = own[parts[row] >= 0]
        if own.shape != ids.shape or not (np.isfinite(own) & (own > 0)).all():
            raise ValueError(
                f"`weights` must be a positive number for each of the {len(ids)} parts of new row "
                f"{row}, got {own.tolist()!r:.100}"
            )
        found.append(own)
    return found


def _class(value):
    """Returns a class as a key, None for none."""
    if isinstance(value, np.generic):
        value = value.item()
    # As missing values are in tables of data, and no NaN equals another.
    is_none = isinstance(value, (int, float)) and not value >= 0
    return None if is_none else value
