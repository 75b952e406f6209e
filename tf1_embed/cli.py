"""The command `tf1-embed`: a thin front of the functions that work on checkpoints."""

import argparse
import sys

from tf1_embed.version import __version__


def main(argv=None):
    """Runs the command; returns its exit status, 2 where it failed.

    Args:
      argv: list of strings, the arguments; default: those of the process.
    """
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except Exception as error:  # noqa: BLE001 a person reads this, not a traceback
        if arguments.debug:
            raise
        # str() of a KeyError is its repr.
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f"tf1-embed: {message}", file=sys.stderr)
        return 2


def _parser():
    parser = argparse.ArgumentParser(
        prog="tf1-embed", description="Grow trained embedding tables, in checkpoints."
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    commands.required = True
    merge = commands.add_parser(
        "merge",
        help="make one variable of a table's old and new rows, under its old name",
        description="Make one variable of a table's old and new rows, under its old name, in a new "
        "checkpoint that the model's original code restores.",
    )
    merge.add_argument("checkpoint", metavar="PREFIX", help="a checkpoint, or its folder")
    merge.add_argument(
        "--table", metavar="NAME", action="append", required=True, help="may be given repeatedly"
    )
    merge.add_argument("--out", metavar="PREFIX", required=True, help="the checkpoint to write")
    merge.set_defaults(run=_merge)
    return parser


def _merge(arguments):
    from tf1_embed.checkpoint import merge_checkpoint

    shapes = merge_checkpoint(arguments.checkpoint, arguments.table, arguments.out)
    for name, shape in shapes.items():
        print(f"{name}: {shape}")
    print(f"written to {arguments.out}")
    return 0
