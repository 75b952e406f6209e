"""Slot variables in a checkpoint: whose they are, and what an optimizer makes of a new row's."""

import fnmatch
import re
from collections import namedtuple

import numpy as np

from tf1_embed.bfloat16 import as_numbers
from tf1_embed.checkpoint.files.catalog import OBJECT_SUFFIX
from tf1_embed.checkpoint.files.meta import read_first_values

# What follows a table's name in the name of the variable of its trainable rows.
NEW_ROWS, CHOSEN_ROWS = "_new_rows", "_trainable_rows"

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
# Kinds that Keras has before the variable's name, as in "Adam/m/e/embeddings".
_OF_KERAS = ("accumulator", "linear", "m", "momentum", "v", "vhat", "velocity", "velocity_hat")
# Names that optimizers use for slots of different initial values.
_AMBIGUOUS = {
    "accum": "0.1 of tf.train.FtrlOptimizer, 0 of tf.train.AdadeltaOptimizer",
    "rms": "1 of tf.train.RMSPropOptimizer, 0 of Keras' RMSprop",
}


class Slot(namedtuple("Slot", "name table kind source")):
    """A slot variable.

    Attributes:
      name: string, its name in the checkpoint.
      table: string, the name in the checkpoint of the variable that it belongs to.
      kind: string, what its name says of it, such as "Adam_1".
      source: string, the name under which the reader reads all of its rows. It is another than
        `name` where TensorFlow saved the slot variable's partitions under a name each.
    """

    __slots__ = ()


def find_slots(reader):
    """Finds the slot variables in a checkpoint, by their names and shapes.

        table                   slot variable
        scope/e                 scope/e/Adam, scope/e/adam_m, scope/scope/e/Adam_1
        scope/e, partitioned    scope/e/Adam, scope/e/art_0/Adam
        scope/e, Keras          training/Adam/scope/e/m, Adam/m/scope/e
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
            slots[name] = Slot(name, variables[owner], kind, name)
    for name, slot in slots.items():
        if slot.table in slots:
            # `e/Adam/average` is the "Adam/average" of `e`.
            owner = slots[slot.table]
            slots[name] = slot._replace(table=owner.table, kind=f"{owner.kind}/{slot.kind}")
    return {name: _with_source(reader, slot, slots) for name, slot in slots.items()}


def find_tables(reader, patterns):
    """Returns the names in a checkpoint of the tables that names or patterns (`user_*`) mean.

    Args:
      reader: `CheckpointReader`.
      patterns: list of strings.

    Returns:
      list of strings, each name once.

    Raises:
      KeyError: if one matches nothing; the error lists what there is.
      ValueError: if `patterns` is a string, or empty.
    """
    check_tables(patterns)
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


def check_tables(tables):
    """Raises a ValueError if `tables` is a string, or empty."""
    if isinstance(tables, str) or not tables:
        what = f"the string {tables!r}" if tables else "none"
        raise ValueError(f"`tables` must be a list of names, got {what}")


def initial_value(reader, slot, values=None):
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
    for key in (slot.name, slot.kind):
        if key in (values or {}):
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


def check_slot_values(slots, values, clocks=()):
    """Checks that each of the slot values is that of a slot variable or a clock.

    Args:
      slots: iterable of `Slot`.
      clocks: iterable of `Clock`.
      values: dict as for `initial_value`, or None.

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


def variable_name(name):
    """Returns the name of the variable that a tensor of a checkpoint is the value of."""
    return name[: -len(OBJECT_SUFFIX)] if name.endswith(OBJECT_SUFFIX) else name


def trainable_name(name, suffix=NEW_ROWS):
    """Returns the name in a checkpoint of the trainable rows of the table of that name there."""
    variable = variable_name(name)
    return variable + suffix + name[len(variable) :]


def rename_slot(slot, table):
    """Returns the name of a slot variable once its variable is called `table`.

    Both are of a checkpoint of names; in an object-based one, its graph names the slots.
    """
    if slot.name.endswith(f"/{slot.kind}/{slot.table}"):
        return slot.name[: -len(slot.table)] + table
    end = f"{slot.table}/{slot.kind}"
    # Else TensorFlow put a partition's name in it, see `find_slots`; one variable has none.
    scope = slot.name[: -len(end)] if slot.name.endswith(end) else ""
    return f"{scope}{table}/{slot.kind}"


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
    # `Adam/m/e`: Keras since TensorFlow 2.11.
    for start in range(2, len(parts)):
        owner = "/".join(parts[start:])
        if owner in variables and parts[start - 1] in _OF_KERAS:
            return owner, parts[start - 1], True
    # `e/art_0/Adam`: see `CheckpointReader.is_partial`.
    for stop in range(len(parts) - 2, 0, -1):
        owner = "/".join(parts[:stop])
        if owner in variables and parts[-2][-1:].isdigit():
            return owner, parts[-1], True
    return None, None, False


def _with_source(reader, slot, slots):
    if not reader.is_partial(slot.name):
        return slot
    kin = [
        each.name
        for each in slots.values()
        if (each.table, each.kind) == (slot.table, slot.kind) and reader.is_partial(each.name)
    ]
    return slot._replace(source=reader.join(kin))


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
