"""Appends rows to tables in a checkpoint, and to all that has a row for each of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from tf1_embed import initializers
from tf1_embed.checkpoint.clocks import find_clocks, fresh_clocks
from tf1_embed.checkpoint.files.find import nearest_first
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.writer import CheckpointWriter
from tf1_embed.checkpoint.growth import Growth, certificates_of
from tf1_embed.checkpoint.rewrite import Written, rewrite
from tf1_embed.checkpoint.slot_values import SAME_AS_TABLE, SlotChoice, initial_value
from tf1_embed.checkpoint.slots import find_slots, variable_name
from tf1_embed.checkpoint.vocabulary_axis import (
    also_axes,
    check_once,
    decide_also,
    find_also,
    table_axes,
)
from tf1_embed.vocabulary import IdMap, append_map

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress


def grow_checkpoint(
    checkpoint: PathLike,
    tables: Sequence[str],
    out: PathLike,
    num_new_rows: int | dict[str, int] | None = None,
    id_map: IdMap | None = None,
    also: Sequence[str] | Callable[[list[str]], Sequence[str]] | None = None,
    initializer: Any = None,
    slot_values: Mapping[str, float | str] | None = None,
    reset_slots: bool = False,
    without_slots: bool = False,
    clocks: str | None = None,
    partition_strategy: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    beside: Callable[[list[Written]], Mapping[str, bytes]] | None = None,
    prove: Callable[[str], object] | None = None,
) -> list[Written]:
    """Writes a checkpoint in which tables have more rows, their slot variables likewise.

    The model's original code, given the larger number of rows, restores it with an unmodified
    `tf.train.Saver` and goes on training. Old rows keep their bits, and their ids unless `id_map`
    moves them; a certificate of them, `<out>.rows.json`, lies beside the checkpoint. All other
    variables pass through bit for bit. Tables are streamed; the new rows and
    a few chunks are in memory.

        embedding [10, 4]         embedding [12, 4]
        embedding/Adam [10, 4]    embedding/Adam [12, 4], zeros in the new rows
        bias [10]                 bias [12], with also=["bias"]
        projection [4, 10]        projection [4, 12], with also=["projection:1"]
        global_step               global_step

    Args:
      checkpoint: string, a checkpoint prefix on a local disk, TF1 or TF2 object-based, or a folder,
        whose latest is taken. It is not written to.
      tables: list of strings, names or patterns (`user_*`) of variables of shape
        [num_rows, ...]; those of one call get the same ids, unless `num_new_rows` is a dict.
      out: string, the prefix to write; its folder is made if it is not there.
      num_new_rows: int, the number of rows to append; a dict from each table's name to that of its
        own; or give `id_map`.
      id_map: `tf1_embed.vocabulary.IdMap` from `id_map` or `append_map` there.
      also: list of strings, other variables that have the same vocabulary: biases, or, with the
        axis as in "projection:1", projections. `vocabulary_axis.find_also` finds what may be
        meant. Default: an error, if there are such; an empty list for none of them, or a function
        from the list of what was found to the list of what grows, which is called when all else
        has been checked. Slots of Keras 3's optimizers ("optimizer/_variables/2") are variables
        like others: give them here, with an initializer.
      initializer: values of new rows: one of `tf1_embed.initializers`, a TensorFlow initializer, an
        array, or a dict from names of variables to such. Default: `glorot_normal()` for what has
        rank 2, zeros for what has rank 1 and is in `also`.
      slot_values: dict from the last part of a slot variable's name ("Adagrad"), or its whole name,
        to its value in new rows. Default: what TensorFlow's optimizers begin with, and a moving
        average with the new row itself.
      reset_slots: bool, whether slots of old rows start anew as well. Moving averages go on.
      without_slots: bool, whether the optimizer's slots of what grows are left out, which is noted.
        Moving averages go on.
      clocks: "fresh" or "keep": whether what counts the optimizer's steps (Adam's `beta1_power`,
        Keras' `iter`) begins anew, as the slots of new rows do, or goes on as it is, so that
        these rows step up to 6 times too far (see `tf1_embed.checkpoint.clocks`). Default: anew;
        for AdaMax it must be given. What it begins with, where the checkpoint does not tell, may be
        in `slot_values`.
      partition_strategy: "mod" or "div", how the model's lookups send ids to partitions
        (`tf.nn.embedding_lookup` defaults to "mod", feature columns use "div"). Needed where a
        table has partitions; the number of them stays.
      force: bool, whether a checkpoint at `out` is replaced. The input never is.
      dry_run: bool, whether nothing is written.
      progress: function of the number of bytes in all, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.
      beside: function of the list that is returned, called when all is checked and before anything
        is written, which returns more files that appear with the checkpoint: a dict from suffix
        (".meta") to bytes.
      prove: function of a prefix at which the result can be opened when all is written and nothing
        has appeared; if it raises, nothing does.

    Returns:
      list of `Written`, what becomes of each tensor.

    Raises:
      FileNotFoundError: if there is no such checkpoint.
      FileExistsError: if `out` exists and not `force`, or is the input.
      KeyError: if a name in `tables`, `num_new_rows`, `also`, `initializer` or `slot_values`
        matches nothing.
      TypeError: if an initializer is of no known kind.
      ValueError: if arguments contradict the checkpoint or each other, a variable would grow twice,
        `partition_strategy` is needed and not given, or what a slot variable or a clock begins with
        is not known; if slots are both reset and left out;
        if `also` is not given and there are biases or projections; if a pattern names tables of
        different sizes, which may be the shards of one; if the memory cannot hold the new rows.
      OSError: if the disk is full.
      CheckpointDamaged: if the checkpoint is damaged.
    """
    if (num_new_rows is None) == (id_map is None):
        raise ValueError("give either `num_new_rows` or `id_map`")
    with CheckpointReader(checkpoint) as reader:
        axes = table_axes(reader, tables)
        if not isinstance(num_new_rows, dict):
            _check_shards(reader, tables)
        plan = _Plan(
            reader,
            axes,
            id_map or _new_rows_by_name(axes, num_new_rows),
            initializer,
            SlotChoice(slot_values, reset_slots, without_slots),
            clocks,
            partition_strategy,
        )
        # What is wrong with `out` is found here, too.
        CheckpointWriter(out, force=force, source=reader.prefix)
        decided = None if also is None or callable(also) else also
        others = find_also(reader, axes) if decided is None else also_axes(reader, decided)
        grown_tables = plan.check(others)[: len(axes)]
        changes = plan.changes(grown_tables)
        if others and decided is None:
            others = decide_also(reader, others, also, "grow")
        grown_others = plan.check(others)[len(axes) :]
        changes.update(plan.changes(grown_others, are_tables=False))
        changes.update(plan.clocks)
        certify = certificates_of([*grown_tables, *grown_others])
        return rewrite(
            reader, changes, out, force, dry_run, progress, certify, beside=beside, prove=prove
        )


class _Plan:
    """How the variables of a checkpoint grow.

    Attributes:
      clocks: dict from name to `Change`, of the optimizers of what was checked last.
    """

    def __init__(self, reader, tables, ids, initializer, slot_choice, clocks, strategy):
        """Takes the arguments of `grow_checkpoint`, `tables` as a list of `VocabularyAxis`.

        `ids` is the `IdMap` of all tables, or a dict from each one's name to its new rows' number.
        """
        self._reader, self._tables, self._ids = reader, tables, ids
        self._initializer, self._slot_choice = initializer, slot_choice
        self._clocks, self._strategy = clocks, strategy

    def check(self, others):
        """Checks the arguments for the tables and others; returns a `Growth` for each of them."""
        axes = self._tables + others
        names = [axis.name for axis in axes]
        self._slots = [slot for slot in find_slots(self._reader).values() if slot.table in names]
        check_once(axes, self._slots, "grow")
        _check_initializer(axes, self._initializer)
        self._slot_choice.check(self._slots, find_clocks(self._reader))
        values = self._slot_choice.values
        self.clocks = fresh_clocks(self._reader, self._slots, self._clocks, values)
        growths = [Growth(self._reader, axis, self._map(axis), self._strategy) for axis in axes]
        for growth in growths:
            growth.check_memory()
        return growths

    def changes(self, growths, are_tables=True):
        """Returns the changes of variables and of their slot variables, a dict by name."""
        changes = {}
        for growth in growths:
            axis = growth.axis
            is_bias = not are_tables and len(self._reader.shape(axis.name)) == 1
            new_rows = growth.make_new_rows(_initializer_of(axis, self._initializer, is_bias))
            changes[axis.name] = growth.change(axis.name, new_rows)
            for slot in self._slots:
                # A slot variable of one number a row has nothing to a column.
                if slot.table == axis.name and len(self._reader.shape(slot.name)) > axis.axis:
                    changes[slot.name] = self._slot_change(growth, slot, new_rows)
        return changes

    def _slot_change(self, growth, slot, new_rows):
        if self._slot_choice.applies_to(slot):
            return self._slot_choice.change(self._reader, growth, slot)
        value = initial_value(self._reader, slot, self._slot_choice.values)
        new = new_rows if value == SAME_AS_TABLE else value
        return growth.change(slot.name, new, slot.source)

    def _map(self, axis):
        if not isinstance(self._ids, dict):
            return self._ids
        # A table's own number, or that of the tables of its size.
        numbers = {self._ids[each.name] for each in self._tables if each.name == axis.name} or {
            self._ids[each.name] for each in self._tables if each.size == axis.size
        }
        # What is named in `also` without having a table's size grows as all do.
        numbers = numbers or set(self._ids.values())
        if len(numbers) > 1:
            raise ValueError(
                f"{str(axis)!r} has {axis.size} rows, as have tables that get different numbers of "
                f"rows; grow them one after the other"
            )
        return append_map(axis.size, *numbers)


def _check_shards(reader, patterns):
    """Refuses a pattern of tables of different sizes: is it one vocabulary in several variables?"""
    for pattern in patterns:
        axes = table_axes(reader, [pattern])
        if len({axis.size for axis in axes}) > 1:
            listed = ", ".join(f"{axis} ({axis.size} rows)" for axis in axes)
            raise ValueError(
                f"{pattern!r} means tables of different sizes: {listed}. If the model joins them "
                f"to one table, more rows in each would move its ids; if not, say how many rows "
                f"each gets with num_new_rows={{NAME: K, ...}} (--rows NAME=K)"
            )


def _new_rows_by_name(tables, num_new_rows):
    """Returns how many rows each table gets, a dict by name."""
    if not isinstance(num_new_rows, dict):
        return {axis.name: num_new_rows for axis in tables}
    names = [str(axis) for axis in tables]
    for name in num_new_rows:
        if name not in names:
            raise KeyError(
                f"`num_new_rows` (--rows) has {name!r}, which is none of the tables: "
                f"{nearest_first(name, names)}"
            )
    missing = [name for name in names if name not in num_new_rows]
    if missing:
        raise ValueError(f"`num_new_rows` (--rows) has no number for {', '.join(missing)}")
    return {axis.name: num_new_rows[str(axis)] for axis in tables}


def _check_initializer(axes, initializer):
    known = {name for axis in axes for name in (str(axis), variable_name(axis.name))}
    for name in initializer if isinstance(initializer, dict) else ():
        if name not in known:
            raise KeyError(
                f"`initializer` has {name!r}, which is none of the variables that grow: "
                f"{nearest_first(name, known)}"
            )


def _initializer_of(axis, initializer, is_bias):
    if isinstance(initializer, dict):
        initializer = initializer.get(str(axis), initializer.get(variable_name(axis.name)))
    if initializer is not None:
        return initializer
    return initializers.zeros() if is_bias else initializers.glorot_normal()
