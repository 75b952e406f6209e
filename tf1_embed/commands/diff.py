"""`tf1-embed diff`: tells what became of every variable."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tf1_embed.commands import options, output

if TYPE_CHECKING:
    from tf1_embed.checkpoint.diff import Difference


def run(arguments: argparse.Namespace) -> int:
    """Compares and prints; returns the exit status."""
    from tf1_embed.checkpoint.diff import diff_checkpoints

    found = diff_checkpoints(
        arguments.old,
        arguments.new,
        partition_strategy=arguments.partition_strategy,
        new_partition_strategy=arguments.new_partition_strategy,
        progress=options.progress("Comparing"),
    )
    if arguments.json:
        output.print_json([dict(each._asdict(), keeps_old=each.keeps_old) for each in found])
    else:
        same = [each for each in found if each.status == "same"]
        output.print_columns(_columns(each) for each in found if each.status != "same")
        print(f"{len(same)} {'others ' if len(same) < len(found) else ''}are the same, bit for bit")
    return 0 if all(each.keeps_old for each in found) else 1


def _columns(each: Difference) -> list[str]:
    shapes = ["-" if x is None else str(list(x)) for x in (each.old_shape, each.new_shape)]
    shape = shapes[0] if shapes[0] == shapes[1] else " → ".join(shapes)
    return [each.name, each.status, shape, _sentence(each)]


def _sentence(each):
    from tf1_embed.fingerprints import how_far

    if each.status in ("missing", "new"):
        return ""
    if each.num_changed is None:
        is_same_shape = each.old_shape == each.new_shape
        return "in values of no known size" if is_same_shape else "another dtype or shape"
    old = "old " if each.status == "grown" else ""
    what = f"{old}entries on axis {each.axis}" if each.axis else f"{old}rows"
    if not each.num_changed:
        return f"all {each.num_rows} {what} are the same"
    far = how_far(each.largest_difference)
    if not each.old_shape:
        return far
    return f"{each.num_changed} of {each.num_rows} {what} changed {far}"
