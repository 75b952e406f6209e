"""What the commands print: from results to text, or to JSON."""

import json
import math
import shlex

from tf1_embed.fingerprints import how_far


def print_variables(arguments, variables):
    """Prints the variables of a checkpoint, a list of `Variable`; returns 0."""
    if arguments.json:
        return print_json([each._asdict() for each in variables])
    rows = []
    for each in variables:
        kind = each.kind if each.table is None else f"{each.kind} of {each.table}"
        parts = f"{each.num_partitions} partitions" if each.num_partitions > 1 else ""
        shape, size = format_shape(each.shape), format_bytes(each.num_bytes)
        rows.append([each.name, each.dtype, shape, size, kind, parts])
    print_columns(rows)
    total = format_bytes(sum(each.num_bytes for each in variables))
    print(f"{len(variables)} variables, {total}")
    return 0


def print_written(arguments, written):
    """Prints what became of each tensor, a list of `Written`; returns 0."""
    total = sum(each.num_bytes for each in written)
    if arguments.json:
        result = {
            "out": arguments.out,
            "written": not arguments.dry_run,
            "bytes": total,
            "tensors": [each._asdict() for each in written],
        }
        return print_json(result)
    changed = [each for each in written if each.changed]
    print_columns(
        [each.name, each.dtype, _change(each), format_bytes(each.num_bytes)]
        for each in (written if arguments.dry_run else changed)
    )
    if not arguments.dry_run and len(written) > len(changed):
        print(f"{len(written) - len(changed)} others as they were")
    for each in written:
        if each.note is not None:
            print(f"{each.name}: {each.note}")
    return _print_end(arguments, total)


def comparison(each):
    """Returns what a comparison of old rows found, as a line of text."""
    if each.num_changed == 0:
        return f"{each.table}: all {each.num_rows} old rows are the same, bit for bit"
    if each.num_changed is None:
        return (
            f"{each.table}: the {each.num_rows} old rows are not those of the certificate; which "
            f"of them differ only the old checkpoint could tell"
        )
    more = ", ..." if each.num_changed > len(each.first_ids) else ""
    return (
        f"{each.table}: {each.num_changed} of {each.num_rows} old rows changed "
        f"{how_far(each.largest_difference)}: ids "
        f"{', '.join(str(i) for i in each.first_ids)}{more}"
    )


def print_plotted(arguments, plotted):
    """Prints what was drawn, and where it is; returns 0."""
    projection = plotted.projection
    if arguments.json:
        result = dict(plotted._asdict(), written=not arguments.dry_run)
        result["projection"] = projection and projection._asdict()
        return print_json(result)
    print(f"{plotted.table}: {plotted.num_old_rows} old rows, {plotted.num_new_rows} new")
    if projection is not None:
        print(f"{projection.num_old} old and {projection.num_new} new rows for the projector")
    for path in plotted.paths + (projection.paths if projection is not None else []):
        print(f"dry run: would write {path}" if arguments.dry_run else f"written: {path}")
    if projection is not None and not arguments.dry_run:
        print(f"look at it: tensorboard --logdir {shlex.quote(arguments.projector)}")
    return 0


def print_shape(arguments, shape):
    """Prints the shape of the one table that was written; returns 0."""
    if arguments.json:
        return print_json(
            {"out": arguments.out, "written": not arguments.dry_run, "shape": list(shape)}
        )
    print(f"{arguments.table}: {format_shape(shape)}")
    return _print_end(arguments)


def _print_end(arguments, total=None):
    size = "" if total is None else f"{format_bytes(total)} "
    print(
        f"dry run: {size}would be written to {arguments.out}"
        if arguments.dry_run
        else f"{size}written to {arguments.out}"
    )
    return 0


def print_json(value):
    """Prints a value as JSON; returns 0."""
    print(json.dumps(_plain(value), indent=2))
    return 0


def _plain(value):
    """Returns a value in types that JSON has; it has no infinity."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def print_columns(rows):
    """Prints rows of texts in columns as wide as they need."""
    rows = [list(row) for row in rows]
    widths = (
        [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    )
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def _change(written):
    if written.old_shape == written.new_shape:
        return format_shape(written.new_shape) + (" other values" if written.changed else "")
    old = "-" if written.old_shape is None else format_shape(written.old_shape)
    new = "-" if written.new_shape is None else format_shape(written.new_shape)
    return f"{old} → {new}"


def format_shape(shape):
    """Returns a shape as text, such as "[10, 2]"."""
    return f"[{', '.join(str(dim) for dim in shape)}]"


def format_bytes(count):
    """Returns a number of bytes as text, such as "1.2 MB"."""
    if count < 1000:
        return f"{count} bytes"
    power = min(3, int(math.log10(count)) // 3)
    return f"{count / 1000**power:.1f} {' KMG'[power]}B"
