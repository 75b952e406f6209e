"""`tf1-embed plot`: draws what a growth did to a table."""

from __future__ import annotations

import argparse
import os
import shlex

from tf1_embed.commands import options, output, row_options
from tf1_embed.commands.paths import Input, InputCheckpoint, Output

_KINDS = ["changes", "map", "norms", "curve", "answers"]


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    plot = options.add_command(
        commands,
        "plot",
        _run,
        "Draw what changed, where the new rows are, and how they trained.",
        "tf1-embed plot runs/base runs/grown --table embedding --out growth.html",
        "Draw what a growth did to a table: a heat map of what changed, a map of old and new rows, "
        "their norms, the curve of the training, what old answers lose to new rows; and write what "
        "TensorBoard's projector shows.",
    )
    plot.add_argument(
        "old", metavar="OLD", type=InputCheckpoint, help="the old checkpoint, or its folder"
    )
    plot.add_argument(
        "new", metavar="NEW", type=InputCheckpoint, help="the grown checkpoint, merged or not"
    )
    options.add_table(plot)
    plot.add_argument(
        "--out",
        metavar="FILE",
        type=_Pictures,
        help="a page .html, a picture .png or .svg, or a folder for pictures .svg",
    )
    plot.add_argument(
        "--kind",
        choices=_KINDS,
        action="append",
        help="draw this one; may be given repeatedly (default: all that there is data for)",
    )
    row_options.add_vocabularies(
        plot,
        "with --new-vocab: rows follow their tokens",
        "the names of the rows, one a line",
        "leave out tokens that the new one lacks",
    )
    plot.add_argument(
        "--events", metavar="LOGDIR", help="draw the training curve from these summaries"
    )
    plot.add_argument(
        "--tag",
        metavar="TAG",
        action="append",
        help="the scalars of the curve, or a pattern; may be given repeatedly (default: *loss*)",
    )
    plot.add_argument(
        "--queries",
        metavar="FILE",
        type=Input,
        help="draw what old answers lose: a .npz with queries [n, dim] and ids [n], the old row "
        "that answers each",
    )
    plot.add_argument(
        "--projector",
        metavar="LOGDIR",
        type=_Projector,
        help="write what TensorBoard's projector shows",
    )
    plot.add_argument(
        "--max-points",
        metavar="N",
        type=int,
        default=10000,
        help="of the projector, which never takes more than 100000 (default: 10000, of which it "
        "draws all)",
    )
    options.add_partition_strategy(plot)
    options.add_new_partition_strategy(plot)
    options.add_writing(plot)


class _Pictures(Output):
    """The path of a page, of a picture, or of a folder for pictures."""

    def files(self, arguments: argparse.Namespace) -> list[str]:
        """Returns the files that may be written."""
        if os.path.isdir(self) or not os.path.splitext(self)[1]:
            return [os.path.join(self, f"{kind}.svg") for kind in _KINDS]
        return [self]


class _Projector(Output):
    """The folder of what TensorBoard's projector shows."""

    def files(self, arguments: argparse.Namespace) -> list[str]:
        """Returns the files that may be written."""
        from tf1_embed.pictures.projector import projector_paths

        return projector_paths(self, options.table(arguments, arguments.old))


def _run(arguments: argparse.Namespace) -> int:
    from tf1_embed.pictures.plot import plot_checkpoint

    names, reserved = None, row_options.reserved(arguments)
    if arguments.old_vocab is not None and arguments.new_vocab is None:
        raise ValueError("--old-vocab needs --new-vocab, the vocabulary of the grown table")
    if arguments.new_vocab is not None:
        tokens = row_options.tokens(arguments, arguments.new_vocab)
        names = ["(reserved)"] * reserved.first + tokens + ["(reserved)"] * reserved.last
    table = options.table(arguments, arguments.old)
    plotted = plot_checkpoint(
        arguments.old,
        arguments.new,
        table,
        out=arguments.out,
        kinds=arguments.kind,
        id_map=row_options.map_of_two(arguments, [table]),
        names=names,
        events=arguments.events,
        tags=arguments.tag or ["*loss*"],
        queries=arguments.queries,
        projector=arguments.projector,
        max_points=arguments.max_points,
        partition_strategy=arguments.partition_strategy,
        new_partition_strategy=arguments.new_partition_strategy,
        **options.writing(arguments, "Comparing"),
    )
    return _print_plotted(arguments, plotted)


def _print_plotted(arguments, plotted):
    """Prints what was drawn, and where it is; returns 0."""
    projection = plotted.projection
    if arguments.json:
        result = dict(plotted._asdict(), written=not arguments.dry_run)
        result["projection"] = projection and projection._asdict()
        return output.print_json(result)
    table = output.escaped(plotted.table)
    rows = "row" if plotted.num_old_rows == 1 else "rows"
    output.say(f"{table}: {plotted.num_old_rows} old {rows}, {plotted.num_new_rows} new")
    if projection is not None:
        output.say(f"{projection.num_old} old and {projection.num_new} new rows for the projector")
    for path in plotted.paths + (projection.paths if projection is not None else []):
        output.say(f"dry run: would write {path}" if arguments.dry_run else f"written: {path}")
    if projection is not None and not arguments.dry_run:
        output.say(f"look at it: tensorboard --logdir {shlex.quote(arguments.projector)}")
    return 0
