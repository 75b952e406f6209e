"""Slot variables in a checkpoint: whose they are, and what an optimizer makes of a new row's."""

import fnmatch
import re
from collections import namedtuple

from tf1_embed.checkpoint.reader import OBJECT_SUFFIX

# The initial values of the slot variables of TensorFlow's optimizers, by the last part of their
# names: "table/Adam" and "table/Adam_1", or "m" and "v" in an object-based checkpoint.
SAME_AS_TABLE = "the table's"
_ACCUMULATOR = 0.1  # the default of `initial_accumulator_value`
_INITIAL_VALUES = {
    "Adadelta": 0.0,
    "Adadelta_1": 0.0,
    "Adagrad": _ACCUMULATOR,
    "AdagradDA": 0.0,
    "AdagradDA_1": _ACCUMULATOR,
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
    "average": SAME_AS_TABLE,  # from here on names in object-based checkpoints
    "accum": _ACCUMULATOR,
    "accum_grad": 0.0,
    "accum_var": 0.0,
    "accumulator": _ACCUMULATOR,
    "m": 0.0,
    "mg": 0.0,
    "momentum": 0.0,
    "linear": 0.0,
    "v": 0.0,
    "vhat": 0.0,
}


class Slot(namedtuple("Slot", "name table kind")):
    """A slot variable.

    Attributes:
      name: string, its name in the checkpoint.
      table: string, the name in the checkpoint of the variable that it belongs to.
      kind: string, the last part of its name, such as "Adam_1".
    """

    __slots__ = ()


def find_slots(reader):
    """Finds the slot variables in a checkpoint, by their names and shapes.

        table                   slot variable
        scope/e                 scope/e/Adam, scope/e/adam_m, scope/scope/e/Adam_1
        scope/e, partitioned    scope/e/Adam, scope/e/art_0/Adam
        e/.ATTRIBUTES/…VALUE    e/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/…VALUE

    Args:
      reader: `CheckpointReader`.

    Returns:
      dict from the name of each slot variable to its `Slot`.
    """
    variables = {variable_name(name): name for name in reader.names() if reader.shape(name)}
    slots = {}
    for stem, name in variables.items():
        owner, kind, is_elsewhere = _owner(stem, variables)
        if owner is None:
            continue
        shape, owner_shape = reader.shape(name), reader.shape(variables[owner])
        # Some optimizers keep one number a row. Elsewhere only the whole shape is proof.
        if shape == owner_shape or (shape[0] == owner_shape[0] and not is_elsewhere):
            slots[name] = Slot(name, variables[owner], kind)
    # A slot variable has none of its own: `e/Adam/average` is the second of `e`.
    return {
        name: slot._replace(table=slots[slot.table].table) if slot.table in slots else slot
        for name, slot in slots.items()
    }


def find_tables(reader, patterns):
    """Returns the names in a checkpoint of the tables that names or patterns (`user_*`) mean.

    Args:
      reader: `CheckpointReader`.
      patterns: list of strings.

    Returns:
      list of strings, each name once.

    Raises:
      KeyError: if one matches nothing; the error lists what there is.
    """
    slots = find_slots(reader)
    found = []
    for pattern in patterns:
        matches = [
            name
            for name in reader.names()
            if name not in slots and fnmatch.fnmatchcase(variable_name(name), pattern)
        ]
        found += matches or [reader.find(pattern)]
    return list(dict.fromkeys(found))


def initial_value(slot, values=None):
    """Returns what an optimizer makes of the slots of a new row.

    Args:
      slot: `Slot`.
      values: dict from a kind ("Adagrad") or a name in the checkpoint to a number, for slot
        variables whose optimizer is not known, or had other settings.

    Returns:
      float, or `SAME_AS_TABLE` for moving averages; and bool, whether `values` said so.

    Raises:
      ValueError: if it is not known.
    """
    for key in (slot.name, slot.kind):
        if key in (values or {}):
            return float(values[key]), True
    if slot.kind not in _INITIAL_VALUES:
        raise ValueError(
            f"what an optimizer puts into new rows of the slot variable {slot.name!r} is not "
            f"known. Say it with slot_values={{{slot.kind!r}: 0.0}} (--slot-value {slot.kind}=0), "
            f"or whatever its first value is"
        )
    return _INITIAL_VALUES[slot.kind], False


def check_initial_value(slot, value, smallest):
    """Checks a default against the slots of old rows: accumulators only ever grow.

    Args:
      slot: `Slot`.
      value: float, the initial value by default.
      smallest: float, the smallest of the old rows' slots.

    Raises:
      ValueError: if an old row has less than the default.
    """
    if value == _ACCUMULATOR and smallest < 0.99 * value:
        raise ValueError(
            f"the slot variable {slot.name!r} starts at {value} by default, but an old row has "
            f"{smallest:g}, so its optimizer had another `initial_accumulator_value`. Give it with "
            f"slot_values={{{slot.kind!r}: …}} (--slot-value {slot.kind}=…)"
        )


def variable_name(name):
    """Returns the name of the variable that a tensor of a checkpoint is the value of."""
    return name[: -len(OBJECT_SUFFIX)] if name.endswith(OBJECT_SUFFIX) else name


def _owner(stem, variables):
    """Finds the variable that a slot variable may belong to.

    Returns:
      the variable's stem, or None; the slot's kind; whether the slot is in another scope.
    """
    match = re.match(r"(.+)/\.OPTIMIZER_SLOT/.+/([^/]+)\Z", stem)
    if match:
        return (match.group(1) if match.group(1) in variables else None), match.group(2), False
    parts = stem.split("/")
    # The longest name first: `model/e/Adam` is of `model/e`, not of `e`.
    for start in range(len(parts) - 1):
        owner = "/".join(parts[start:-1])
        if owner in variables:
            return owner, parts[-1], start > 0
    # `e/art_0/Adam`: see `CheckpointReader.is_partial`.
    for stop in range(len(parts) - 2, 0, -1):
        owner = "/".join(parts[:stop])
        if owner in variables and parts[-2][-1:].isdigit():
            return owner, parts[-1], True
    return None, None, False
