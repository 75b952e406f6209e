"""What optimizers put into the slots of new rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, Mapping

import numpy as np

from tf1_embed.bfloat16 import as_numbers
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.slots import Slot, variable_name

if TYPE_CHECKING:
    from tf1_embed.checkpoint.clocks import Clock

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
    "vhat": 0.0,
}
# Names that two optimizers give to slots which they begin with different values.
_AMBIGUOUS = {
    "accum": "0.1 of tf.train.FtrlOptimizer, 0 of tf.train.AdadeltaOptimizer",
    "rms": "1 of tf.train.RMSPropOptimizer, 0 of Keras' RMSprop",
}


def initial_value(
    reader: CheckpointReader, slot: Slot, values: Mapping[str, float] | None = None
) -> float | str:
    """Returns what an optimizer makes of the slots of a new row.

    Args:
      reader: `CheckpointReader`.
      slot: `Slot`.
      values: dict from a kind ("Adagrad") or a name in the checkpoint to a number, for slot
        variables whose optimizer is not known, or had other settings.

    Returns:
      float, or `SAME_AS_TABLE` for moving averages.

    Raises:
      ValueError: if it is not known, or a row has less than what accumulators begin with by
        default.
    """
    values = values or {}
    for key in (slot.name, slot.kind):
        if key in values:
            return float(values[key])
    remedy = f"slot_values={{{slot.kind!r}: VALUE}} (--slot-value {slot.kind}=VALUE)"
    if slot.kind not in _INITIAL_VALUES:
        known = f" ({_AMBIGUOUS[slot.kind]})" if slot.kind in _AMBIGUOUS else ""
        raise ValueError(
            f"what an optimizer puts into new rows of the slot variable {slot.name!r} is not "
            f"known{known}. Say it with {remedy}"
        )
    value = _INITIAL_VALUES[slot.kind]
    if value == _ACCUMULATOR:
        smallest = _smallest(reader, slot.source)
        # Accumulators never shrink. 0.99: in half precision the default is a little less than 0.1.
        if smallest < 0.99 * _ACCUMULATOR:
            raise ValueError(
                f"the slot variable {slot.name!r} starts at {value} by default, but a row has "
                f"{smallest:g}, so its optimizer had another `initial_accumulator_value`. Say it "
                f"with {remedy}"
            )
    return value


def check_slot_values(
    slots: Iterable[Slot], values: Mapping[str, float] | None, clocks: Iterable[Clock] = ()
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
    return min((as_numbers(chunk).min() for chunk in chunks if chunk.size), default=np.inf)
