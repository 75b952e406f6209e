"""Variables: how they are named by people, and the partitions TensorFlow cut them into."""

from __future__ import annotations

import fnmatch
from typing import Any, NamedTuple, Sequence, Union

import tensorflow.compat.v1 as tf

from tf1_embed.graph.graph_mode import check_graph_mode
from tf1_embed.partitions import STRATEGIES
from tf1_embed.rows import Rows, RowsLike, as_rows

# A variable, a partitioned one, the list of its partitions, or a name or pattern of variables.
VariableLike = Union[Any, Sequence[Any], str]


class Chosen(NamedTuple):
    """One variable that a dict of a user names, and what is said of it.

    Attributes:
      variable: `tf.Variable`, or the tuple of its partitions.
      axis: int, the axis that its ids count along if its key tells it, else None.
      value: what the dict holds for it.
    """

    variable: Any
    axis: int | None
    value: Any


def resolve_variables(chosen: dict[VariableLike, Any], argument: str) -> list[Chosen]:
    """Finds the variables that the keys of a dict mean, in the default graph.

    A key is a variable, partitioned or not, or the list of its partitions, or a string: the name of
    any variable, or a pattern of trainable ones such as `model/ent*`. The name of a partitioned
    variable is that of the whole. A number after a colon is the axis that ids count along, as in
    `projection:1`.

    Args:
      chosen: dict from such keys to anything.
      argument: string, what to call `chosen` in an error.

    Returns:
      list of `Chosen`, in the order of the keys.

    Raises:
      KeyError: if a string matches nothing; the trainable variables are listed.
      RuntimeError: if there is a string in eager mode.
      ValueError: if two keys mean the same variable.
    """
    found: list[Chosen] = []
    key_of: dict[str, VariableLike] = {}
    for key, value in chosen.items():
        axis, variables = None, [key]
        if isinstance(key, str):
            axis, variables = _variables_named(key, argument)
        for variable in variables:
            for part in partitions_of(variable):
                name = part.op.name if hasattr(part, "op") else repr(part)
                if key_of.setdefault(name, key) is not key:
                    other = key_of[name] if isinstance(key_of[name], str) else "the variable"
                    raise ValueError(
                        f"`{argument}` means variable {name!r} twice: by {other!r} and by "
                        f"{key if isinstance(key, str) else 'the variable'!r}. Name it once"
                    )
            found.append(Chosen(variable, axis, value))
    return found


def _variables_named(key, argument):
    check_graph_mode(f"`{argument}` with the name of a variable")
    pattern, colon, number = key.rpartition(":")
    axis = int(number) if colon and number.isdigit() else None
    pattern = key if axis is None else pattern
    everything = _by_full_name(tf.global_variables() + tf.local_variables())
    if pattern in everything:
        return axis, [everything[pattern]]
    # Of trainable ones alone: else the slots of a table would match as well.
    trainable = _by_full_name(tf.trainable_variables())
    matched = [each for name, each in trainable.items() if fnmatch.fnmatchcase(name, pattern)]
    if not matched:
        raise KeyError(
            f"`{argument}` has {key!r}, which matches no variable; the trainable ones are: "
            f"{', '.join(sorted(trainable)) or 'none'}"
        )
    return axis, matched


def _by_full_name(variables):
    """Returns a dict from full name to variable, or to the tuple of its partitions."""
    parts = {}
    for variable in variables:
        name, _, number = variable.op.name.rpartition("/part_")
        name = name if number.isdigit() else variable.op.name
        parts.setdefault(name, {})[int(number) if number.isdigit() else 0] = variable
    return {
        name: each[0] if list(each) == [0] else tuple(each[number] for number in sorted(each))
        for name, each in parts.items()
    }


def axis_of(variable: Any, own: int | None, axis: int | dict[VariableLike, int]) -> int:
    """Returns the axis along which a variable's ids count.

    Args:
      variable: `tf.Variable`, partitioned or not, or the tuple of its partitions.
      own: int, the axis that its key brings, as "projection:1" does; else None.
      axis: int for all variables, or a dict from variables, names or patterns to their axes.

    Raises:
      ValueError: if the two differ.
    """
    said: int | None
    if isinstance(axis, dict):
        name = full_name(variable)
        said = next(
            (
                number
                for key, number in axis.items()
                if (fnmatch.fnmatchcase(name, key) if isinstance(key, str) else key is variable)
            ),
            None,
        )
    else:
        # 0 is the default.
        said = None if own is not None and axis == 0 else axis
    if own is None or said is None:
        return own or said or 0
    if own != said:
        raise ValueError(f"`axis` of variable {full_name(variable)!r} is both {own} and {said}")
    return own


def check_axis_keys(axis: int | dict[VariableLike, int], variables: Sequence[Any]) -> None:
    """Raises a KeyError for a name in `axis` that is none of the variables whose rows are given."""
    names = {full_name(each).rsplit("/part_", 1)[0] for each in variables}
    for key in axis if isinstance(axis, dict) else ():
        if isinstance(key, str) and not fnmatch.filter(names, key):
            raise KeyError(
                f"`axis` has {key!r}, which is none of the variables whose rows are given: "
                f"{', '.join(sorted(names))}"
            )


def is_ref(variable: Any) -> bool:
    """Tells a ref variable, the default of TF 1, from a resource variable."""
    return not hasattr(variable, "handle")


def partitions_of(variable: Any) -> list[Any]:
    """Returns the list of the partitions of a variable, which may be given as such a list."""
    # TensorFlow's class of partitioned variables has no public name; no other has this method.
    is_partitioned = isinstance(variable, (list, tuple)) or hasattr(variable, "as_tensor")
    return list(variable) if is_partitioned else [variable]


def full_name(variable: Any) -> str:
    """Returns a variable's full name, that of the whole for a partitioned one."""
    if hasattr(variable, "as_tensor"):
        return variable.name
    first, *others = partitions_of(variable)
    # "/part_0" is TensorFlow's own suffix.
    return first.op.name.rsplit("/part_", 1)[0] if others else first.op.name


def check_strategy(variable: Any, partition_strategy: str | None) -> None:
    """Raises a ValueError if lookups in a variable need a strategy, and none is given."""
    count = len(partitions_of(variable))
    if count > 1 and partition_strategy not in STRATEGIES:
        raise ValueError(
            f"variable {full_name(variable)!r} has {count} partitions: `partition_strategy` must "
            f'say how its lookups send ids there, "mod" (the default of tf.nn.embedding_lookup) or '
            f'"div"; got {partition_strategy!r}'
        )


def resolve_rows(variable: Any, rows: RowsLike, axis: int = 0) -> Rows:
    """Returns `Rows` of a variable, whatever way they are given.

    `Rows` are taken as they are: `check_variable` says whether they are the variable's.

    Args:
      variable: `tf.Variable`, partitioned or not, or the list of its partitions.
      rows: `Rows`, ids, a range, a slice, or a bool vector.
      axis: int, the axis that ids count along.

    Raises:
      TypeError: if `variable` is not one, or `rows` are none of these.
      ValueError: if they are not rows of the variable, or it has no such axis.
    """
    if isinstance(rows, Rows):
        return rows
    parts = partitions_of(variable)
    for part in parts:
        _check_axis(part, axis)
    if not parts[0].shape.ndims:
        return as_rows(f"rows of the number {full_name(variable)!r}", rows, 1)
    sizes = [part.shape.as_list()[axis] for part in parts]
    size = sum(sizes) if axis == 0 else sizes[0]
    return as_rows(f"rows of variable {full_name(variable)!r}", rows, size)


def rows_by_partition(
    variable: Any, rows: RowsLike, partition_strategy: str | None = None, axis: int = 0
) -> list[tuple[Any, Rows]]:
    """Returns a list of (variable, its `Rows`), one for each partition.

    Whether `Rows` are those of the variable is checked here only where there are several.

    Args:
      variable: `tf.Variable`, partitioned or not, or the list of its partitions.
      rows: `Rows` of the whole, or ids, a range, a slice, or a bool vector.
      partition_strategy: "mod" or "div"; needed where there is more than one partition.
      axis: int, the axis that ids count along; partitions lie along axis 0.

    Raises:
      TypeError: if `rows` are none of these.
      ValueError: if the strategy is needed and not given, or `rows` are of another table.
    """
    parts = partitions_of(variable)
    rows = resolve_rows(variable, rows, axis)
    if len(parts) == 1 or axis:
        return [(part, rows) for part in parts]
    check_strategy(variable, partition_strategy)
    sizes = [part.shape.as_list()[0] for part in parts]
    if sum(sizes) != rows.size:
        raise ValueError(
            f"variable {full_name(variable)!r} has {sum(sizes)} rows in {len(parts)} partitions, "
            f"its Rows are of a table of {rows.size}"
        )
    return list(zip(parts, rows.of_partitions(sizes, partition_strategy)))


def check_variable(variable: Any, rows: Rows, axis: int = 0) -> None:
    """Checks that `rows` are rows of `variable`; raises as `freeze_rows` does."""
    _check_axis(variable, axis)
    if not variable.shape.ndims:
        if rows.count:
            raise ValueError(
                f"variable {variable.op.name!r} is a number, and has no rows that could train; got "
                f"{rows}. [] freezes it"
            )
        return
    size = variable.shape.as_list()[axis]
    if size != rows.size:
        raise ValueError(
            f"variable {variable.op.name!r} has {size} rows on axis {axis}, its Rows are of "
            f"a table of {rows.size}"
        )


def _check_axis(variable, axis):
    if not hasattr(variable, "initializer"):
        raise TypeError(
            f"expected a variable, got {variable!r}. A gathered slice cannot be trained, since "
            f"there is nothing to store its update in: give the variable that it was looked up in, "
            f"and choose its rows with Rows.of(ids, size=num_rows)"
        )
    shape = variable.shape.as_list()
    if not 0 <= axis < max(len(shape), 1):
        raise ValueError(
            f"`axis` of variable {variable.op.name!r} of shape {shape} cannot be {axis}. "
            f"TrainableRowsOptimizer takes a dict, `axis={{variable: 1}}`, for those where it is 1"
        )


def variable_key(operation: tf.Operation) -> tuple[str, str, str]:
    """Returns which variable an operation makes: its kind, container and name in the session.

    Operations of one key are one variable: imported copies, a second handle of its shared name.
    """
    kind = "variable" if "Handle" in operation.type else "ref variable"
    container, name = (operation.get_attr(each).decode() for each in ("container", "shared_name"))
    return kind, container, name or operation.name
