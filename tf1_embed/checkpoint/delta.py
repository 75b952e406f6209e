"""Deltas: the new rows of a grown checkpoint in small files of their own, applied and reverted."""

import os
from collections import namedtuple

import numpy as np

from tf1_embed.checkpoint.delta_file import Delta, NewRows, read_delta, write_delta
from tf1_embed.checkpoint.delta_rows import Removal, Stack, fingerprints
from tf1_embed.checkpoint.growth import Growth
from tf1_embed.checkpoint.progress import Silence
from tf1_embed.checkpoint.reader import CheckpointReader
from tf1_embed.checkpoint.rewrite import Written, rewrite
from tf1_embed.checkpoint.slots import (
    SAME_AS_TABLE,
    check_slot_values,
    find_slots,
    initial_value,
    variable_name,
)
from tf1_embed.checkpoint.stored_rows import StoredRows
from tf1_embed.checkpoint.verify import verify_checkpoint
from tf1_embed.checkpoint.vocabulary_axis import VocabularyAxis, also_axes, table_axes
from tf1_embed.checkpoint.writer import CheckpointWriter
from tf1_embed.rows import Rows
from tf1_embed.vocabulary import IdMap


class Extracted(namedtuple("Extracted", "written left_out")):
    """What a delta holds of a grown checkpoint, and what it does not.

    Attributes:
      written: list of `Written`, the tensors of the delta.
      left_out: list of strings, the names of other tensors that are not the same in the base and in
        the grown checkpoint, or not in both: step counters, other variables that were trained, and
        slot variables of whose old rows some changed. What the delta is applied to keeps its own.
    """

    __slots__ = ()


def extract_delta(
    base,
    grown,
    tables,
    out,
    also=(),
    id_map=None,
    tokens=None,
    with_slots=True,
    partition_strategy=None,
    force=False,
    dry_run=False,
    progress=None,
):
    """Writes the new rows of a grown checkpoint as a delta, once the old ones are proved the same.

        base                grown                out                   out.delta.json
        embedding [10, 4]   embedding [12, 4]    embedding [2, 4]      rows 10 to 11 of 12,
        bias [10]           bias [12]            bias [2]              SHA-256 of embedding [10, 4]

    The delta is a TensorFlow checkpoint in which each variable, under its own name, has its new
    rows alone, and JSON beside it. It is as large as the new rows. Tables are streamed.

    Args:
      base: string, the prefix of the checkpoint before it grew, on a local disk, or a folder, whose
        latest is taken. It is not written to.
      grown: string, likewise the grown checkpoint, trained and merged.
      tables: list of strings, names or patterns (`user_*`) of the tables that grew.
      out: string, the prefix to write; its folder must exist. The folder's `checkpoint` file goes
        on naming what it named as the latest.
      also: list of strings, other variables that grew with them: biases, or, with the axis as in
        "projection:1", projections.
      id_map: `tf1_embed.vocabulary.IdMap` by which the tables grew, if new rows are not all at the
        end; the old rows must have kept their order.
      tokens: list of strings, the tokens of the new rows in the order of their ids, to be noted.
      with_slots: bool, whether the delta holds the slots of the new rows.
      partition_strategy: "mod" or "div", how lookups send ids to partitions; needed where a table
        has more than one.
      force: bool, whether a checkpoint at `out` is replaced. The inputs never are.
      dry_run: bool, whether nothing is written; all is checked.
      progress: function of the number of bytes to compare, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.

    Returns:
      `Extracted`.

    Raises:
      FileNotFoundError: if there is no such checkpoint, or no folder to write to.
      FileExistsError: if `out` exists and not `force`, or is an input.
      KeyError: if a name matches nothing, or the grown checkpoint lacks it.
      ValueError: if an old row changed, in any bit; if a table has no new rows, or rows of another
        shape or dtype; if `id_map` is for other numbers of rows or another order; if `tokens` are
        not one for each new row; if `partition_strategy` is needed and not given.
      tf.errors.DataLossError: if a checkpoint is damaged.
    """
    with CheckpointReader(base) as old, CheckpointReader(grown) as new:
        _check_output(out, force, [old.prefix, new.prefix])
        growths = [
            _Extraction(old, new, axis, id_map, partition_strategy)
            for axis in table_axes(old, tables) + also_axes(old, also)
        ]
        tokens = _check_tokens(tokens, growths)
        with (progress or Silence)(sum(each.num_bytes for each in growths)) as bar:
            extracted = {each.name: each.new_rows(with_slots, bar.update) for each in growths}
        left_out = _left_out(old, new, extracted)
        for each in growths:
            left_out += each.changed_slots
        old.check_rest()
        new.check_rest()
        written = [
            Written(tensor, new.dtype(tensor).name, new.shape(tensor), values.shape, values.nbytes)
            for name, each in extracted.items()
            for tensor, values in [(name, each.values), *each.slots.items()]
        ]
    if not dry_run:
        write_delta(Delta(out, extracted, tokens), force)
    return Extracted(sorted(written), sorted(left_out))


def apply_delta(
    base,
    deltas,
    out,
    slot_values=None,
    partition_strategy=None,
    force=False,
    dry_run=False,
    progress=None,
):
    """Writes a checkpoint that has the rows of one delta more, or of several.

        base                delta               out
        embedding [10, 4]   embedding [2, 4]    embedding [12, 4]
        global_step                             global_step, that of the base

    The tables must have the bits that the delta was made for, and get those that it was made from.
    What the delta does not hold passes through bit for bit. The slots of old rows are those of the
    base, which gets no slot variables that it has not. Tables are streamed; the deltas are in
    memory.

    Args:
      base: string, a checkpoint prefix on a local disk, or a folder, whose latest is taken. It is
        not written to.
      deltas: string, the prefix of a delta, or a list of them in the order of their making.
      out: string, the prefix to write; its folder must exist.
      slot_values: dict from the last part of a slot variable's name ("Adagrad"), or its whole name,
        to its value in rows whose slots a delta lacks. Default: what TensorFlow's optimizers begin
        with, and a moving average with the new row itself.
      partition_strategy: "mod" or "div", how lookups send ids to partitions; needed where a table
        has more than one. The number of them stays.
      force: bool, whether a checkpoint at `out` is replaced. The inputs never are.
      dry_run: bool, whether nothing is written; all is checked.
      progress: function of the number of bytes to write, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.

    Returns:
      list of `Written`, what becomes of each tensor.

    Raises:
      FileNotFoundError: if there is no such checkpoint or delta, or no folder to write to.
      FileExistsError: if `out` exists and not `force`, or is an input.
      KeyError: if the base lacks a table, or has no slot variable that `slot_values` names.
      ValueError: if a table of the base has other bits, another shape or dtype than the delta was
        made for; if deltas are out of order; if a delta was changed; if a slot variable's first
        value is needed and not known; if `partition_strategy` is needed and not given.
      OSError: if the disk is full.
      tf.errors.DataLossError: if a checkpoint is damaged.
    """
    prefixes = [deltas] if isinstance(deltas, (str, os.PathLike)) else list(deltas)
    if not prefixes:
        raise ValueError("`deltas` must be the prefixes of deltas, got none")
    deltas = [read_delta(prefix) for prefix in prefixes]
    with CheckpointReader(base) as reader:
        _check_output(out, force, [reader.prefix, *prefixes])
        growths = [
            (axis, [(each.prefix, each.tables[name]) for each in deltas if name in each.tables])
            for name, axis in _axes(reader, deltas)
        ]
        slots = [slot for axis, _ in growths for slot in _slots_of(reader, axis)]
        check_slot_values(slots, slot_values)
        changes = {}
        for axis, grown in growths:
            stack = _check_stack(reader, axis, grown, partition_strategy)
            ...
        return rewrite(reader, changes, out, force, dry_run, progress)
