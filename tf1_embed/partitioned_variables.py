"""Variables that TensorFlow may have cut into partitions, each a variable of its own."""

from tf1_embed.gradients import check_variable
from tf1_embed.partitions import STRATEGIES
from tf1_embed.rows import Rows


def partitions_of(variable):
    """Returns the list of the partitions of a variable, which may be given as such a list."""
    is_whole = not hasattr(variable, "_get_variable_list") and not isinstance(
        variable, (list, tuple)
    )
    return [variable] if is_whole else list(variable)


def full_name(variable):
    """Returns a variable's full name, that of the whole for a partitioned one."""
    if hasattr(variable, "_get_variable_list"):
        return variable.name
    first, *others = partitions_of(variable)
    # "/part_0" is TensorFlow's own suffix.
    return first.op.name.rsplit("/part_", 1)[0] if others else first.op.name


def check_strategy(variable, partition_strategy):
    """Raises a ValueError if lookups in a variable need a strategy, and none is given."""
    count = len(partitions_of(variable))
    if count > 1 and partition_strategy not in STRATEGIES:
        raise ValueError(
            f"variable {full_name(variable)!r} has {count} partitions: `partition_strategy` must "
            f'say how its lookups send ids there, "mod" (the default of tf.nn.embedding_lookup) or '
            f'"div"; got {partition_strategy!r}'
        )


def rows_by_partition(variable, rows, partition_strategy=None):
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
