"""Takes the new rows out of a grown checkpoint, once the old ones are proved the same."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable, Sequence

import numpy as np

from tf1_embed.checkpoint.delta.file import BEFORE, Delta, NewRows, check_output, write_delta
from tf1_embed.checkpoint.delta.rows import Back, MappedRows, check_fits, find_axis
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.rewrite import Silence, Written
from tf1_embed.checkpoint.slots import find_slots, variable_name
from tf1_embed.checkpoint.verify import verify_checkpoint
from tf1_embed.checkpoint.vocabulary_axis import also_axes, slots_of, table_axes
from tf1_embed.fingerprints import chunks_of, digest_of
from tf1_embed.vocabulary import NONE_RESERVED, IdMap, Reserved, append_map

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress

OTHERS = ("keep", "from-grown")


def extract_delta(
    base: PathLike,
    grown: PathLike,
    tables: Sequence[str],
    out: PathLike,
    also: Sequence[str] | None = None,
    id_map: IdMap | None = None,
    tokens: Sequence[str] | None = None,
    reserved: Reserved = NONE_RESERVED,
    others: str | Callable[[Sequence[str]], str] | None = None,
    with_slots: bool = True,
    partition_strategy: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Written]:
    """Writes the new rows of a grown checkpoint as a delta, once the old ones are proved the same.

        base                 grown                out                  out.delta.json
        embedding [10, 4]    embedding [12, 4]    embedding [2, 4]     rows 10 to 11 of 12, and the
        bias [10]            bias [12]            bias [2]             SHA-256 of base's embedding

    The delta is a checkpoint in which each variable has its new rows alone, under its own name, and
    JSON beside it. It is as small as the new rows. Where a vocabulary moved old rows, it has their
    order as well, in a few bytes for each that moved; where it dropped rows, these too, so that
    they can be put back. Tables are streamed; the new rows and a few chunks are in memory.

    Args:
      base: string, the prefix of the checkpoint before it grew, on a local disk, or a folder, whose
        latest is taken. It is not written to.
      grown: string, likewise the grown checkpoint, trained and merged.
      tables: list of strings, names or patterns (`user_*`) of the tables that grew.
      out: string, the prefix to write; its folder is made if it is not there. What the folder's
        `checkpoint` file names as the latest stays that.
      also: list of strings, other variables that grew with them: biases, or, with the axis as in
        "projection:1", projections. Where other variables grew or were trained, this or `others`
        must be given, `also` as [] if need be.
      id_map: `tf1_embed.vocabulary.IdMap` by which the tables grew, which may move and drop old
        rows. Default: the new rows follow the old ones.
      tokens: list of strings, the vocabulary of the grown tables; the delta notes those of the new
        rows.
      reserved: `tf1_embed.vocabulary.Reserved`, rows that stand for no token; by default, the new
        rows come before the last of them.
      others: what becomes of other variables that grew, were trained or are new, the global step
        and clocks of optimizers among them. "keep" leaves them out, and notes it: once the delta is
        applied, they are as in the base. "from-grown" stores them whole, as they are and as they
        were, so that the delta is applied and reverted with them. Default: "keep" if `also` is
        given; else it is an error if there are such. A function from the list of what was found to
        one of the two is called when all else has been checked.
      with_slots: bool, whether the delta has the slots of the new rows.
      partition_strategy: "mod" or "div", how lookups send ids to partitions; needed where a table
        has more than one.
      force: bool, whether a checkpoint at `out` is replaced. The inputs never are.
      dry_run: bool, whether all is checked, and nothing written.
      progress: function of the number of bytes to compare, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.

    Returns:
      list of `Written`: what the delta has of the tensors of the grown checkpoint. Their
      `new_shape` is None, and their `note` says so, if it has nothing of them, although they are
      not the same in the base: step counters, other variables that were trained. The slots of old
      rows are not compared.

    Raises:
      FileNotFoundError: if there is no such checkpoint.
      FileExistsError: if `out` exists and not `force`, or is an input.
      KeyError: if a name matches nothing, or the grown checkpoint lacks it.
      ValueError: if neither `also` nor `others` is given, and other variables grew or changed,
        which are named; if an old row changed in any bit; if a table has no new rows, or another
        shape or dtype of rows; if `id_map` is for other numbers of rows; if `tokens` and `reserved`
        do not make the rows; if `partition_strategy` is needed and not given.
      CheckpointDamaged: if a checkpoint is damaged.
    """
    if others not in (None, *OTHERS) and not callable(others):
        raise ValueError(f'`others` must be "keep" or "from-grown", got {others!r}')
    with CheckpointReader(base) as old, CheckpointReader(grown) as new:
        check_output(out, force, [old.prefix, new.prefix])
        pairs = [
            _Pair(old, axis, new, id_map, reserved, partition_strategy)
            for axis in table_axes(old, tables) + also_axes(old, also or ())
        ]
        if tokens is not None:
            tokens = _tokens_of({each.id_map.new_rows for each in pairs}, tokens, reserved)
        with (progress or Silence)(sum(each.num_bytes for each in pairs)) as bar:
            extracted = {each.axis.name: each.extract(with_slots, bar.update) for each in pairs}
        old.check_rest()
        new.check_rest()
        slots = {
            slot.name
            for name, each in extracted.items()
            for slot in slots_of(new, find_axis(new, name, each.axis))
        }
        found = _find_others(old, new, set(extracted), slots)
        if others is None or callable(others):
            others = _decide(old, new, found, also, others)
        left_out, taken = (found, {}) if others == "keep" else ({}, found)
        written = _written(old, new, extracted, slots, left_out, taken)
        if not dry_run:
            before = {
                name: BEFORE + name if name in old.names() else None for name in sorted(taken)
            }
            delta = Delta(os.fspath(out), extracted, tokens, sorted(left_out), before)
            write_delta(delta, old, new, force)
    return written


class _Pair:
    """A variable in the base and in the grown checkpoint.

    Attributes:
      axis: `VocabularyAxis`, as it is in the base.
      id_map: `IdMap` from the base to the grown variable.
      num_bytes: int, how many are compared.
    """

    def __init__(self, old, axis, new, id_map, reserved, partition_strategy):
        """Finds the variable in the grown checkpoint, and which of its rows are new."""
        self._old, self.axis, self._new = old, axis, new
        self._grown_axis = find_axis(new, axis.name, axis.axis)
        self._strategy = partition_strategy
        name = self._grown_axis.name
        check_fits(old, axis, axis.name, new.dtype(name), new.shape(name), new.prefix)
        if 0 in new.shape(name):
            raise ValueError(f"{name!r} has no values, but shape {list(new.shape(name))}")
        self.id_map = _id_map(axis, self._grown_axis.size, id_map, reserved)
        # The grown variable is read as it is, and in the order of the base.
        self.num_bytes = 2 * old.num_bytes(axis.name) + new.num_bytes(name)

    def extract(self, with_slots, update):
        """Returns the `NewRows`; raises a ValueError if an old row is not the same in both."""
        name, number = self._grown_axis.name, self.axis.axis
        dropped, slots, gone = self.id_map.dropped_rows(), {}, {}
        if with_slots:
            of_new = slots_of(self._new, self._grown_axis)
            slots = {slot.name: self._take(self._new, slot.source) for slot in of_new}
        if dropped.count:
            of_old = slots_of(self._old, self.axis) if with_slots else []
            sources = {
                self.axis.name: self.axis.name,
                **{each.name: each.source for each in of_old},
            }
            gone = {
                each: self._take(self._old, source, dropped) for each, source in sources.items()
            }
        before = StoredRows(self._old, self.axis.name, self._strategy, number)
        after = StoredRows(self._new, name, self._strategy, number)
        back = MappedRows(after, Back(self.id_map), gone.get(self.axis.name), number)
        base_digest, grown_digest, back_digest = (
            digest_of(each, axis=number, update=update) for each in (before, after, back)
        )
        if back_digest != base_digest:
            raise self._changed()
        values = self._take(self._new, name)
        return NewRows(number, self.id_map, base_digest, grown_digest, values, slots, gone)

    def _take(self, reader, name, rows=None):
        """Reads rows of the variable, or of a slot variable of it; default: the new ones."""
        number = self.axis.axis
        stored = StoredRows(reader, name, self._strategy, number)
        chunks = chunks_of(stored, self.id_map.new_rows if rows is None else rows, number)
        return np.concatenate([values for _, values in chunks])

    def _changed(self):
        compared = verify_checkpoint(
            self._old.prefix, self._new.prefix, [str(self.axis)], self.id_map, self._strategy
        )
        (found,) = [each for each in compared if each.table == str(self.axis)]
        what = f"old {'columns' if self.axis.axis else 'rows'}"
        ids = ", ".join(map(str, found.first_ids))
        return ValueError(
            f"{found.num_changed} of {found.num_rows} {what} (ids {ids}) of "
            f"{variable_name(self.axis.name)!r} have not the bits in {self._new.prefix} that they "
            f"have in {self._old.prefix}, so no delta of new rows makes the one of the other. "
            f"Train the new rows alone, or keep the grown checkpoint whole; where a vocabulary "
            f"moved rows, give it (--old-vocab and --new-vocab, `id_map`)"
        )


def _id_map(axis, grown_size, id_map, reserved):
    """Returns the `IdMap` by which a variable grew to a size."""
    if id_map is None and grown_size > axis.size:
        id_map = append_map(axis.size, grown_size - axis.size, reserved)
    if id_map is None or not id_map.new_rows.count:
        raise ValueError(
            f"{str(axis)!r} has {axis.size} rows in the base and {grown_size} in the grown "
            f"checkpoint, so none that is new. If new rows are in a variable of their own, merge "
            f"it first (tf1_embed.merge_checkpoint)"
        )
    if (id_map.num_old_rows, id_map.num_rows) != (axis.size, grown_size):
        raise ValueError(
            f"`id_map` is of {id_map.num_old_rows} and {id_map.num_rows} rows, but {str(axis)!r} "
            f"has {axis.size} and {grown_size}"
        )
    return id_map


def _tokens_of(new_rows, tokens, reserved):
    """Returns the tokens of new rows, of which all tables have the same."""
    if len(new_rows) > 1:
        raise ValueError("with `tokens`, all of `tables` and `also` must have the same new rows")
    (new_rows,) = new_rows
    first, last = reserved
    if len(tokens) != new_rows.size - first - last:
        raise ValueError(
            f"`tokens` must be {new_rows.size - first - last}, one for each of {new_rows.size} "
            f"rows but {first} + {last} reserved ones (first + last); got {len(tokens)}"
        )
    ids = new_rows.ids() - first
    if ids[0] < 0 or ids[-1] >= len(tokens):
        raise ValueError("`id_map` has new rows among those that are `reserved` for no token")
    new_tokens = [tokens[id] for id in ids.tolist()]
    if len(set(new_tokens)) < len(new_tokens) or not all(new_tokens):
        raise ValueError("`tokens` must be different strings that are not empty")
    return new_tokens


def _find_others(old, new, extracted, slots):
    """Returns what else is not as in the base, a dict from name to how it became so."""
    found = {}
    theirs = {new.find(variable_name(name)) for name in extracted}
    for name in new.names():
        if name in theirs or name in slots:
            continue
        if name not in old.names():
            found[name] = "is new"
        elif _sums(old, name) != _sums(new, name):
            sizes = list(zip(old.shape(name), new.shape(name)))
            has_grown = old.shape(name) != new.shape(name) and all(x <= y for x, y in sizes)
            found[name] = "grew" if has_grown else "changed"
    return found


def _decide(old, new, found, also, ask):
    """Returns what becomes of other variables; raises a ValueError if nobody said so.

    Args:
      old: `CheckpointReader`.
      new: `CheckpointReader`.
      found: dict from name to what became of it.
      also: as for `extract_delta`.
      ask: function as for `extract_delta`, or None.
    """
    slots = find_slots(new)
    # Slots go with their variables; steps and clocks are told when the delta is applied.
    asked = sorted(name for name in found if name not in slots and new.shape(name) != ())
    if also is not None or not asked:
        return "keep"
    listed = [f"{variable_name(name)} {found[name]}" for name in asked]
    if ask is not None:
        return ask(listed)
    grown = [
        f"{variable_name(name)}{_axis_of(old, new, name)}"
        for name in asked
        if found[name] == "grew"
    ]
    of_grown = f" `also` (--also NAME[:AXIS]) takes what grew, {', '.join(grown)};" if grown else ""
    raise ValueError(
        f"a delta has new rows alone, and would leave out other variables of {new.prefix}: "
        f'{"; ".join(listed)}. Say what becomes of them:{of_grown} others="keep" (--others keep) '
        f"leaves them out, so that they are as in the base once it is applied; "
        f'others="from-grown" (--others from-grown) stores them whole'
    )


def _axis_of(old, new, name):
    sizes = zip(old.shape(name), new.shape(name))
    axis = next(axis for axis, (before, after) in enumerate(sizes) if before != after)
    return f":{axis}" if axis else ""


def _written(old, new, extracted, slots, left_out, taken):
    """Returns what the delta has of the grown checkpoint, and what it leaves out."""
    shapes, sizes = {}, {}
    for name, each in extracted.items():
        arrays = {new.find(variable_name(name)): each.values, **each.slots}
        shapes.update((tensor, values.shape) for tensor, values in arrays.items())
        sizes.update((tensor, values.nbytes) for tensor, values in arrays.items())
        for tensor, values in each.dropped.items():
            tensor = new.find(variable_name(name)) if tensor == name else tensor
            sizes[tensor] = sizes.get(tensor, 0) + values.nbytes
    written = []
    for name in new.names():
        dtype = new.dtype(name)
        dtype_name, shape = "unknown" if dtype is None else dtype.name, new.shape(name)
        if name in shapes:
            written.append(Written(name, dtype_name, shape, shapes[name], sizes[name], True))
        elif name in taken:
            # As it is, and as it was.
            readers = [each for each in (old, new) if name in each.names()]
            num_bytes = sum(each.num_bytes(name) for each in readers)
            note = f"{taken[name]}, and is stored whole"
            written.append(Written(name, dtype_name, shape, shape, num_bytes, True, note))
        elif name in left_out:
            note = f"{left_out[name]}, and is left out: delta apply says what becomes of it"
            written.append(Written(name, dtype_name, shape, None, 0, True, note))
        elif name in slots:
            note = "has slots of the new rows, and is left out: once applied, they begin anew"
            written.append(Written(name, dtype_name, shape, None, 0, True, note))
    return written


def _sums(reader, name):
    """Returns what the index has of a tensor, its checksums among it."""
    return [
        (extents, entry._replace(shard=0, offset=0, slices=()))
        for extents, entry, _ in reader.raw(name)
    ]
