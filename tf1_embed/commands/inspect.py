"""`tf1-embed inspect`: lists the variables of a checkpoint, or prints rows of them."""

from __future__ import annotations

import argparse
import fnmatch

from tf1_embed.commands import options, output, row_options


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    inspect = options.add_command(
        commands,
        "inspect",
        _run,
        "List variables, tables and slot variables.",
        "tf1-embed inspect runs/base 'embed*' --rows 0:3",
        "List variables, tables and slot variables, or print rows of them.",
    )
    options.add_prefix(inspect)
    inspect.add_argument(
        "name", metavar="NAME", nargs="*", help="only variables of these names or patterns"
    )
    inspect.add_argument("--slots", action="store_true", help="list slot variables as well")
    inspect.add_argument(
        "--rows", metavar="ROWS", help=f"print these rows of the tables: {row_options.ROWS}"
    )
    options.add_partition_strategy(inspect)


def _run(arguments: argparse.Namespace) -> int:
    from tf1_embed.checkpoint.inspect import inspect_checkpoint

    variables = inspect_checkpoint(arguments.prefix)
    if arguments.name:
        variables = _matching(variables, arguments.name)
    if arguments.rows is not None:
        return _print_rows(arguments, variables)
    if arguments.json:
        return output.print_json([each._asdict() for each in variables])
    shown = [each for each in variables if _is_shown(each, arguments)]
    output.print_columns(map(_columns, shown))
    total = output.format_bytes(sum(each.num_bytes for each in variables))
    output.say(f"{len(variables)} {'variable' if len(variables) == 1 else 'variables'}, {total}")
    if len(shown) < len(variables):
        num_slots = len(variables) - len(shown)
        are = "is a slot variable" if num_slots == 1 else "are slot variables"
        output.say(f"{num_slots} of them {are}: --slots lists them")
    return 0


def _matching(variables, patterns):
    from tf1_embed.checkpoint.files.find import nearest_first

    found = []
    for pattern in patterns:
        matches = [each for each in variables if fnmatch.fnmatchcase(each.name, pattern)]
        if not matches:
            names = nearest_first(pattern, [each.name for each in variables])
            raise KeyError(f"no variable matches {pattern!r}; there are {names}")
        found += matches
    return list(dict.fromkeys(found))


def _is_shown(variable, arguments):
    return variable.kind != "slot" or arguments.slots or variable.name in arguments.name


def _columns(variable):
    kind = variable.kind if variable.table is None else f"{variable.kind} of {variable.table}"
    parts = f"{variable.num_partitions} partitions" if variable.num_partitions > 1 else ""
    shape, size = output.format_shape(variable.shape), output.format_bytes(variable.num_bytes)
    return [variable.name, variable.dtype, shape, size, kind, parts]


def _print_rows(arguments, variables):
    """Prints rows of the variables that were named, or of the tables."""
    from tf1_embed.checkpoint.files.reader import CheckpointReader
    from tf1_embed.checkpoint.files.stored_rows import StoredRows

    if not arguments.name:
        variables = [each for each in variables if each.kind == "table"]
    if not variables:
        raise ValueError("--rows needs the name of a variable, since no table shows by its name")
    result = []
    with CheckpointReader(arguments.prefix) as reader:
        for variable in variables:
            if not variable.shape:
                raise ValueError(f"{variable.name!r} is a number, and has no rows")
            rows = row_options.rows_of(arguments.rows, "--rows", variable.shape[0])
            stored = StoredRows(reader, reader.find(variable.name), arguments.partition_strategy)
            for start in range(0, rows.count, _ROWS_AT_A_TIME):
                ids = rows.ids()[start : start + _ROWS_AT_A_TIME]
                for id, row in zip(ids.tolist(), stored[ids].tolist()):
                    if arguments.json:
                        result.append({"name": variable.name, "id": id, "values": row})
                    else:
                        output.say(f"{output.escaped(variable.name)}[{id}]: {_numbers(row)}")
    return output.print_json(result) if arguments.json else 0


_ROWS_AT_A_TIME = 1024


def _numbers(row):
    """Returns a row as text; nine digits tell every float32 from its neighbours."""
    if isinstance(row, list):
        return f"[{', '.join(map(_numbers, row))}]"
    return f"{row:.9g}" if isinstance(row, float) else str(row)
