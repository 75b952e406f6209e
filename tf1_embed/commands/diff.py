"""`tf1-embed diff`: tells what became of every variable."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tf1_embed.commands import options, output
from tf1_embed.commands.paths import InputCheckpoint

if TYPE_CHECKING:
    from tf1_embed.checkpoint.diff import Difference


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    diff = options.add_command(
        commands,
        "diff",
        _run,
        "Tell what became of every variable from one checkpoint to another.",
        "tf1-embed diff runs/base runs/grown",
        "Tell what became of every variable from one checkpoint to another. Exit status 1 if one "
        "is missing, or changed in any bit of what was there; 0 if some grew or are new, and the "
        "old ones are all the same.",
    )
    diff.add_argument("old", metavar="OLD", type=InputCheckpoint, help="the old checkpoint")
    diff.add_argument("new", metavar="NEW", type=InputCheckpoint, help="the new one")
    options.add_partition_strategy(diff)
    options.add_new_partition_strategy(diff)


def _run(arguments: argparse.Namespace) -> int:
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
        output.say(
            f"{len(same)} {'others ' if len(same) < len(found) else ''}are the same, bit for bit"
        )
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
    one, several = ("entry", "entries") if each.axis else ("row", "rows")
    what = old + (one if each.num_rows == 1 else several)
    what += f" on axis {each.axis}" if each.axis else ""
    if not each.num_changed:
        return (
            f"the {what} is the same"
            if each.num_rows == 1
            else f"all {each.num_rows} {what} are the same"
        )
    far = how_far(each.largest_difference)
    if not each.old_shape:
        return far
    return f"{each.num_changed} of {each.num_rows} {what} changed {far}"
