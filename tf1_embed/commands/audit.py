"""`tf1-embed audit`: finds what in a saved graph can move a frozen row."""

from __future__ import annotations

import argparse

from tf1_embed.commands import options, output, row_options
from tf1_embed.commands.paths import Input

# More than any table has; of one range none is listed.
_MOST_IDS = 1 << 30


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    audit = options.add_command(
        commands,
        "audit",
        _run,
        "Find what in a saved graph can move a frozen row.",
        "tf1-embed audit runs/base/model.ckpt-1.meta --table embedding --frozen 0:10",
        "Find what in a saved graph (a MetaGraph, *.meta) can move a frozen row.",
    )
    audit.add_argument("meta", metavar="META", type=Input, help="the path of a .meta file")
    audit.add_argument(
        "--table", metavar="NAME", action="append", required=True, help="a name or pattern"
    )
    audit.add_argument("--frozen", metavar="ROWS", required=True, help=row_options.ROWS)
    audit.add_argument(
        "--fetch",
        metavar="NAME",
        action="append",
        help="what a step runs (default: the training operations that the graph names)",
    )
    options.add_partition_strategy(audit)


def _run(arguments: argparse.Namespace) -> int:
    from tf1_embed.auditing import audit_metagraph, report

    # Its size is that of each table, which the graph tells.
    runs = [range(*run) for run in row_options.runs(arguments.frozen, "--frozen")]
    findings = audit_metagraph(
        arguments.meta,
        dict.fromkeys(arguments.table, runs[0] if len(runs) == 1 else _ids(runs)),
        fetches=arguments.fetch,
        partition_strategy=arguments.partition_strategy,
    )
    if arguments.json:
        output.print_json(findings.as_dict())
    else:
        output.say(report(findings))
    # What may move a row was left out although nobody said what a step runs.
    return 1 if findings or findings.left_out and not arguments.fetch else 0


def _ids(runs):
    """Returns the ids of several ranges, an array."""
    import numpy as np

    count = sum(map(len, runs))
    if count > _MOST_IDS:
        raise ValueError(f"--frozen has {count} rows in {len(runs)} ranges; give one range")
    return np.concatenate([np.arange(each.start, each.stop) for each in runs])
