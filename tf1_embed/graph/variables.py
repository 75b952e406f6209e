"""Variables: their kinds, what is checked of them, and the partitions TensorFlow cut them into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tf1_embed.partitions import STRATEGIES
from tf1_embed.rows import Rows

if TYPE_CHECKING:
    import tensorflow.compat.v1 as tf


def is_ref(variable: tf.Variable) -> bool:
    """Tells a ref variable, the default of TF 1, from a resource variable."""
    return not hasattr(variable, "handle")


def partitions_of(variable: Any) -> list:
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


def rows_by_partition(
    variable: Any, rows: Rows, partition_strategy: str | None = None
) -> list[tuple[tf.Variable, Rows]]:
    """Returns a list of (variable, its `Rows`), one for each partition.

    Whether the rows are those of the variable is checked here only where there are several.

    Args:
      variable: `tf.Variable`, partitioned or not, or the list of its partitions.
      rows: `Rows` of the whole.
      partition_strategy: "mod" or "div"; needed where there is more than one partition.

    Raises:
      TypeError: if `rows` are not `Rows`.
      ValueError: if the strategy is needed and not given, or `rows` are of another table.
    """
    parts = partitions_of(variable)
    if len(parts) == 1:
        return [(parts[0], rows)]
    check_strategy(variable, partition_strategy)
    if not isinstance(rows, Rows):
        check_variable(parts[0], rows)
    sizes = [part.shape.as_list()[0] for part in parts]
    if sum(sizes) != rows.size:
        raise ValueError(
            f"variable {full_name(variable)!r} has {sum(sizes)} rows in {len(parts)} partitions, "
            f"its Rows are of a table of {rows.size}"
        )
    return list(zip(parts, rows.of_partitions(sizes, partition_strategy)))


def check_variable(variable: tf.Variable, rows: Rows, axis: int = 0) -> None:
    """Checks that `rows` are rows of `variable`; raises as `freeze_rows` does."""
    if not hasattr(variable, "initializer"):
        raise TypeError(
            f"expected a variable, got {variable!r}. A gathered slice cannot be trained, since "
            f"there is nothing to store its update in: give the variable that it was looked up in, "
            f"and choose its rows with Rows.of(ids, size=num_rows)"
        )
    if not isinstance(rows, Rows):
        raise TypeError(
            f"expected Rows for variable {variable.op.name!r}, such as Rows.of(ids, "
            f"size=num_rows); got {type(rows).__name__}"
        )
    shape = variable.shape.as_list()
    if axis not in (0, 1) or axis >= len(shape):
        raise ValueError(
            f"`axis` of variable {variable.op.name!r} of shape {shape} cannot be {axis}. "
            f"TrainableRowsOptimizer takes a dict, `axis={{variable: 1}}`, for those where it is 1"
        )
    if shape[axis] != rows.size:
        raise ValueError(
            f"variable {variable.op.name!r} has {shape[axis]} rows on axis {axis}, its Rows are of "
            f"a table of {rows.size}"
        )
