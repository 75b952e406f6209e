"""What optimizers put into the slots of new rows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Iterable, Mapping, NamedTuple

import numpy as np

from tf1_embed.bfloat16 import as_numbers
from tf1_embed.checkpoint.files.meta import read_first_values
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.rewrite import Change, LeftOut
from tf1_embed.checkpoint.slots import Slot, variable_name

if TYPE_CHECKING:
    from tf1_embed.checkpoint.clocks import Clock
    from tf1_embed.checkpoint.files.stored_rows import StoredRows
    from tf1_embed.checkpoint.growth import Growth

# The initial values of the slot variables of TensorFlow's optimizers, by the last part of their
# names: "table/Adam" and "table/Adam_1", or "m" and "v" in an object-based checkpoint.
SAME_AS_TABLE = "the table's"
_ACCUMULATOR = 0.1  # the default of `initial_accumulator_value`
_INITIAL_VALUES: dict[str, float | str] = {
    "Adadelta": 0.0,
    "Adadelta_1": 0.0,
    "Adagrad": _ACCUMULATOR,
    "AdagradDA": 0.0,
    "AdagradDA_1": _ACCUMULATOR,
    "AdaMax": 0.0,
    "AdaMax_1": 0.0,
    "Adam": 0.0,
    "Adam_1": 0.0,
    "ExponentialMovingAverage": SAME_AS_TABLE,
    "Ftrl": _ACCUMULATOR,
    "Ftrl_1": 0.0,
    "Momentum": 0.0,
    "ProximalAdagrad": _ACCUMULATOR,
    "RMSProp": 1.0,
    "RMSProp_1": 0.0,
    "RMSProp_2": 0.0,
    "adam_m": 0.0,  # BERT's AdamWeightDecayOptimizer
    "adam_v": 0.0,
    "lamb_m": 0.0,
    "lamb_v": 0.0,
    "accum_grad": 0.0,  # from here on names in object-based checkpoints
    "accum_update": 0.0,
    "accum_var": 0.0,
    "accumulator": _ACCUMULATOR,
    "average": SAME_AS_TABLE,
    "gradient_accumulator": 0.0,
    "gradient_squared_accumulator": _ACCUMULATOR,
    "linear": 0.0,
    "m": 0.0,
    "mg": 0.0,
    "momentum": 0.0,
    "v": 0.0,
    "velocity": 0.0,
    "velocity_hat": 0.0,
    "vhat": 0.0,
}
# How many slots a row has. Those of RMSProp are two or three.
_NUM_SLOTS = {
    "Adadelta": 2,
    "Adagrad": 1,
    "AdagradDA": 2,
    "AdaMax": 2,
    "Adam": 2,
    "ExponentialMovingAverage": 1,
    "Ftrl": 2,
    "Momentum": 1,
    "ProximalAdagrad": 1,
}
# Names that two optimizers give to slots which they begin with different values.
_AMBIGUOUS = {
    "accum": "0.1 of tf.train.FtrlOptimizer, 0 of tf.train.AdadeltaOptimizer",
    "rms": "1 of tf.train.RMSPropOptimizer, 0 of Keras' RMSprop",
}


class SlotChoice(NamedTuple):
    """What a user chose for the slot variables of tables.

    Attributes:
      values: dict from a kind or a name to a number or "table", or None; see `initial_value`.
      reset: bool, whether the slots of all rows begin anew.
      without: bool, whether there are to be none.

    Moving averages are no state of an optimizer: they go on, whatever is chosen.
    """

    values: Mapping[str, float | str] | None = None
    reset: bool = False
    without: bool = False

    def check(self, slots: Iterable[Slot], clocks: Iterable[Clock] = ()) -> None:
        """Checks that the choice is one, and fits the `Slot` and `Clock` that there are.

        Raises:
          KeyError: as `check_slot_values`; of slots that are left out no value can be given.
          ValueError: if slots are both to begin anew and to be left out.
        """
        if self.reset and self.without:
            raise ValueError(
                "slots either begin anew or are left out: give `reset_slots` or `without_slots`"
            )
        if self.without:
            slots = [slot for slot in slots if self._is_average(slot)]
        check_slot_values(slots, self.values, clocks)

    def applies_to(self, slot: Slot) -> bool:
        """Tells whether something was chosen for a slot variable, whatever its rows have."""
        return (self.reset or self.without) and not self._is_average(slot)

    def change(
        self,
        reader: CheckpointReader,
        growth: Growth,
        slot: Slot,
        name: str | None = None,
        like: StoredRows | None = None,
    ) -> Change | LeftOut:
        """Returns what becomes of a slot variable that the choice applies to.

        Args:
          reader: `CheckpointReader`, where the slot variable is.
          growth: `Growth` of its table.
          slot: `Slot`.
          name: string, its name in the new checkpoint; default: the same.
          like: as for `Growth.change`.

        Raises:
          ValueError: as `initial_value`.
        """
        if self.without:
            return LeftOut("left out, as slots are; a Saver that restores the rest lacks it too")
        value = initial_value(reader, slot, self.values)
        return growth.change(slot.name if name is None else name, value, value, like)

    def _is_average(self, slot):
        given = [self.values[key] for key in (slot.name, slot.kind) if key in (self.values or {})]
        return (given[0] == "table") if given else _known_value(slot) == SAME_AS_TABLE


def initial_value(
    reader: CheckpointReader, slot: Slot, values: Mapping[str, float | str] | None = None
) -> float | str:
    """Returns what an optimizer makes of the slots of a new row.

    Args:
      reader: `CheckpointReader`.
      slot: `Slot`.
      values: dict from a kind ("Adagrad") or a name in the checkpoint to a number, for slot
        variables whose optimizer is not known, or had other settings; or to "table" for what the
        row itself has.

    Returns:
      float, or `SAME_AS_TABLE` for moving averages. Accumulators only grow: that of a row which was
      never looked up still has what all began with.

    Raises:
      ValueError: if it is not known: neither is the kind, nor, of accumulators, do the saved graph
        and the rows tell that value.
    """
    values = values or {}
    for key in (slot.name, slot.kind):
        if key in values:
            return SAME_AS_TABLE if values[key] == "table" else float(values[key])
    remedy = f"slot_values={{{slot.kind!r}: VALUE}} (--slot-value {slot.kind}=VALUE)"
    value = _known_value(slot)
    if value is None:
        known = f" ({_AMBIGUOUS[slot.kind]})" if slot.kind in _AMBIGUOUS else ""
        raise ValueError(
            f"what an optimizer puts into new rows of the slot variable {slot.name!r} is not "
            f"known{known}. Say it with {remedy}"
        )
    if value != _ACCUMULATOR:
        return value
    begun = read_first_values(reader.prefix, slot.name)
    if begun is not None:
        return begun
    smallest = _smallest(reader, slot.source)
    # The default may have been rounded to half precision. There may be no rows at all.
    if abs(smallest - value) <= 0.01 * value or smallest == np.inf:
        return value
    if _has_row_of(reader, slot.source, smallest):
        return smallest
    raise ValueError(
        f"the slot variable {slot.name!r} begins with the `initial_accumulator_value` of its "
        f"optimizer, {value} by default; but the least that a row has is {smallest:g}, and none "
        f"that was never looked up tells it. Say it with {remedy}"
    )


def _known_value(slot):
    """Returns what slots of its kind begin with, or None."""
    if slot.kind in _INITIAL_VALUES:
        return _INITIAL_VALUES[slot.kind]
    if slot.kind == "rms" and "RMSprop" in slot.name:
        return 0.0  # Keras spells it so.
    # A second optimizer's slots follow the first one's: `Adam_2` is as `Adam`.
    match = re.match(r"(\w+?)_([1-9][0-9]*)\Z", slot.kind)
    if match and match.group(1) in _NUM_SLOTS:
        base, number = match.group(1), int(match.group(2)) % _NUM_SLOTS[match.group(1)]
        return _INITIAL_VALUES[f"{base}_{number}" if number else base]
    return None


def check_slot_values(
    slots: Iterable[Slot], values: Mapping[str, float | str] | None, clocks: Iterable[Clock] = ()
) -> None:
    """Checks that each of the slot values is that of a slot variable or a clock.

    Args:
      slots: iterable of `Slot`.
      values: dict as for `initial_value`, or None.
      clocks: iterable of `Clock`, which may be named as well.

    Raises:
      KeyError: if one is not; the error lists the slot variables that there are.
    """
    known = {key for slot in slots for key in (slot.name, slot.kind)}
    for clock in clocks:
        stem = variable_name(clock.name)
        known |= {clock.name, stem, stem.split("/")[-1]}
    for key in values or ():
        if key not in known:
            raise KeyError(
                f"`slot_values` has {key!r}, but the tables have no such slot variable; they have "
                f"{', '.join(sorted(known)) or 'none'}"
            )


def _smallest(reader, name):
    chunks = (reader.rows(name, start, stop) for start, stop in reader.chunks(name))
    least = min((as_numbers(chunk).min() for chunk in chunks if chunk.size), default=np.inf)
    return float(least)


def _has_row_of(reader, name, value):
    """Tells whether a row, or a column, has that value everywhere, and two numbers or more do."""
    num_rows, columns, shape = 0, True, reader.shape(name)
    for start, stop in reader.chunks(name):
        is_value = as_numbers(reader.rows(name, start, stop)) == value
        num_rows += int(is_value.reshape(stop - start, -1).all(axis=1).sum())
        columns &= is_value.all(axis=0)
    width = int(np.prod(shape[1:]))
    return num_rows * width > 1 or (len(shape) == 2 and columns.sum() * shape[0] > 1)
