"""What several commands print: from results to text, or to JSON."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any, Iterable, Sequence

if TYPE_CHECKING:
    from tf1_embed.checkpoint.rewrite import Written


def print_written(arguments: argparse.Namespace, written: Sequence[Written]) -> int:
    """Prints what became of each tensor; returns 0."""
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
    for each in changed:
        if each.note is not None:
            print(f"{each.name}: {each.note}")
    return print_end(arguments, total)


def print_end(arguments: argparse.Namespace, total: int | None = None) -> int:
    """Prints where the result is, or would be; returns 0."""
    size = "" if total is None else f"{format_bytes(total)} "
    print(
        f"dry run: {size}would be written to {arguments.out}"
        if arguments.dry_run
        else f"{size}written to {arguments.out}"
    )
    return 0


def print_json(value: Any) -> int:
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


def print_columns(rows: Iterable[Sequence[str]]) -> None:
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


def format_shape(shape: Sequence[int]) -> str:
    """Returns a shape as text, such as "[10, 2]"."""
    return f"[{', '.join(str(dim) for dim in shape)}]"


def format_bytes(count: int) -> str:
    """Returns a number of bytes as text, such as "1.2 MB"."""
    if count < 1000:
        return f"{count} bytes"
    power = min(3, int(math.log10(count)) // 3)
    return f"{count / 1000**power:.1f} {' KMG'[power]}B"
