"""The command `tf1-embed`: each of its commands is a thin front of one function.

Help and usage errors come at once: neither NumPy nor TensorFlow is imported before a command runs.
"""

import argparse
import logging
import os
import sys
import warnings

from tf1_embed.version import __version__

# What a row's place is said with: 3, 10:20, 3,7,10:20.
_ROWS_HELP = "ids and ranges START:STOP, up to STOP - 1, such as 3,10:20 for 3 and 10 to 19"


def main(argv=None):
    """Runs the command; returns its exit status: 0, 1 if a check failed, 2 if there was an error.

    Args:
      argv: list of strings, the arguments; default: those of the process.
    """
    arguments = make_parser().parse_args(argv)
    if not arguments.debug:
        _quieten_tensorflow()
    try:
        # Not before a command runs: it needs NumPy.
        from tf1_embed import commands

        return getattr(commands, arguments.function)(arguments)
    except KeyboardInterrupt:
        # Of several pictures, some may be.
        written = "" if arguments.command == "plot" else "; nothing was written"
        print(f"tf1-embed: interrupted{written}", file=sys.stderr)
        return 130
    except Exception as error:  # noqa: BLE001 a person reads this, not a traceback
        if arguments.debug:
            raise
        # str() of a KeyError is its repr.
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f"tf1-embed: {message}", file=sys.stderr)
        return 2


def _quieten_tensorflow():
    """Keeps what TensorFlow says while it is imported away from the command's own words."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN announces itself at any level.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # NumPy's, about dtypes of TensorFlow 1.
    warnings.filterwarnings("ignore", category=FutureWarning, module="tensor")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def make_parser():
    """Returns the `argparse.ArgumentParser` of the command."""
    parser = argparse.ArgumentParser(
        prog="tf1-embed",
        description="Grow trained embedding tables in TensorFlow checkpoints, and prove that the "
        "old rows did not change.",
        epilog="Exit status: 0; 1 if verify, diff or audit found something; 2 after an error.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    subparsers.required = True

    def command(name, function, summary, description=None, parent=subparsers):
        made = parent.add_parser(name, help=summary, description=description or summary)
        made.set_defaults(function=function)
        made.add_argument("--json", action="store_true", help="print the result as JSON")
        # Before the command or after it.
        made.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
        return made

    inspect = command("inspect", "inspect", "List variables, tables and slot variables.")
    _add_prefix(inspect)

    grow = command(
        "grow",
        "grow",
        "Append rows to tables, their slot variables, biases and projections.",
        "Append rows to tables, and to all that has a row for each of theirs. The model's original "
        "code, given the larger number of rows, restores the result.",
    )
    _add_prefix(grow)
    _add_tables(grow)
    how_many = grow.add_mutually_exclusive_group(required=True)
    how_many.add_argument("--rows", metavar="K", type=int, help="append so many rows")
    how_many.add_argument(
        "--new-vocab", metavar="FILE", help="grow to this vocabulary, one token a line"
    )
    grow.add_argument(
        "--old-vocab", metavar="FILE", help="the vocabulary that the table was trained with"
    )
    grow.add_argument(
        "--drop-missing",
        action="store_true",
        help="drop rows of tokens that the new vocabulary lacks; else they are an error",
    )
    _add_reserved(grow)
    grow.add_argument(
        "--also",
        metavar="NAME[:AXIS]",
        action="append",
        default=[],
        help="a bias, or with :1 a projection [dim, rows], that grows too",
    )
    grow.add_argument(
        "--also-found",
        action="store_true",
        help="grow all variables that have as many rows or columns as the tables",
    )
    grow.add_argument(
        "--only-tables", action="store_true", help="grow none of them, and do not ask"
    )
    grow.add_argument(
        "--initializer",
        metavar="[NAME=]INIT",
        action="append",
        default=[],
        help="values of new rows: zeros, glorot_normal (default), mean, mean_and_covariance, "
        "constant:NUMBER, copy_of:ID, or a .npy file; with NAME= of one variable",
    )
    grow.add_argument(
        "--seed", type=int, default=0, help="of an --initializer that draws values (default: 0)"
    )
    _add_slot_values(grow, "new rows")
    grow.add_argument(
        "--reset-slots", action="store_true", help="start the slots of old rows anew as well"
    )
    _add_partition_strategy(grow)
    _add_output(grow)

    merge = command(
        "merge",
        "merge",
        "Make one variable of a table's frozen and trainable rows.",
        "Make one variable of a table's frozen and trainable rows, under its old name. The model's "
        "original code restores the result.",
    )
    _add_prefix(merge)
    _add_tables(merge)
    merge.add_argument(
        "--trainable-rows",
        metavar="ROWS",
        help=f"of a row-split table, which rows those are: {_ROWS_HELP}",
    )
    merge.add_argument(
        "--base",
        metavar="BASE",
        help="the checkpoint that the tables grew from: slots and averages of frozen rows, and all "
        "else that the training did not hold, are as in it",
    )
    _add_slot_values(merge, "frozen rows")
    _add_partition_strategy(merge)
    _add_output(merge)

    split = command(
        "split",
        "split",
        "Make two variables of a table, its frozen and its trainable rows.",
        "Make two variables of a table, its frozen and its trainable rows: the inverse of merge.",
    )
    _add_prefix(split)
    _add_tables(split)
    which = split.add_mutually_exclusive_group(required=True)
    which.add_argument("--old-rows", metavar="N", type=int, help="the first N rows are frozen")
    which.add_argument("--trainable-rows", metavar="ROWS", help=f"these train: {_ROWS_HELP}")
    _add_partition_strategy(split)
    _add_output(split)

    diff = command(
        "diff",
        "diff_",
        "Tell what became of every variable from one checkpoint to another.",
        "Tell what became of every variable from one checkpoint to another. Exit status 1 if one "
        "is missing, or changed in any bit of what was there; 0 if some grew or are new, and the "
        "old ones are all the same.",
    )
    diff.add_argument("old", metavar="OLD", help="the old checkpoint")
    diff.add_argument("new", metavar="NEW", help="the new one")
    _add_partition_strategy(diff)
    diff.add_argument(
        "--new-partition-strategy",
        choices=["mod", "div"],
        help="that of NEW, if it is another (default: the same)",
    )

    verify = command(
        "verify",
        "verify",
        "Check that every old row is the same, bit for bit.",
        "Check that every old row of a table is in a grown checkpoint, bit for bit. Exit status 1 "
        "if not.",
    )
    verify.add_argument(
        "old", metavar="OLD", help="the old checkpoint, or a certificate, *.rows.json"
    )
    verify.add_argument("new", metavar="NEW", help="the grown checkpoint")
    _add_tables(verify)
    verify.add_argument("--old-vocab", metavar="FILE", help="compare by token: the old vocabulary")
    verify.add_argument("--new-vocab", metavar="FILE", help="compare by token: the new vocabulary")
    verify.add_argument(
        "--drop-missing", action="store_true", help="leave out tokens that the new one lacks"
    )
    _add_reserved(verify)
    _add_partition_strategy(verify)
    verify.add_argument(
        "--new-partition-strategy",
        choices=["mod", "div"],
        help="that of NEW, if it is another (default: the same)",
    )

    plot = command(
        "plot",
        "plot",
        "Draw what changed, where the new rows are, and how they trained.",
        "Draw what a growth did to a table: a heat map of what changed, a map of old and new rows, "
        "their norms, the curve of the training; and write what TensorBoard's projector shows.",
    )
    plot.add_argument("old", metavar="OLD", help="the old checkpoint, or its folder")
    plot.add_argument("new", metavar="NEW", help="the grown checkpoint, merged or not")
    plot.add_argument("--table", metavar="NAME", required=True, help="the variable's name")
    plot.add_argument(
        "--out",
        metavar="FILE",
        help="a page .html, a picture .png or .svg, or a folder for pictures .svg",
    )
    plot.add_argument(
        "--kind",
        choices=["changes", "map", "norms", "curve"],
        action="append",
        help="draw this one; may be given repeatedly (default: all that there is data for)",
    )
    plot.add_argument(
        "--old-vocab", metavar="FILE", help="with --new-vocab: rows follow their tokens"
    )
    plot.add_argument("--new-vocab", metavar="FILE", help="the names of the rows, one a line")
    plot.add_argument(
        "--drop-missing", action="store_true", help="leave out tokens that the new one lacks"
    )
    _add_reserved(plot)
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
        "--projector", metavar="LOGDIR", help="write what TensorBoard's projector shows"
    )
    plot.add_argument(
        "--max-points",
        metavar="N",
        type=int,
        default=10000,
        help="of the projector, which never takes more than 100000 (default: 10000, of which it "
        "draws all)",
    )
    _add_partition_strategy(plot)
    plot.add_argument(
        "--new-partition-strategy",
        choices=["mod", "div"],
        help="that of NEW, if it is another (default: the same)",
    )
    _add_writing(plot)

    delta = subparsers.add_parser(
        "delta",
        help="Keep new rows in a small file of their own; apply and revert it.",
        description="Keep new rows, and the fingerprint of the rows they belong to, in a small "
        "file of their own; apply and revert it.",
    )
    deltas = delta.add_subparsers(title="commands", metavar="COMMAND", dest="delta_command")
    deltas.required = True
    extract = command(
        "extract", "extract", "Take the new rows out of a grown checkpoint.", parent=deltas
    )
    extract.add_argument("base", metavar="BASE", help="the checkpoint before growth")
    extract.add_argument("grown", metavar="GROWN", help="the one after it")
    _add_tables(extract)
    extract.add_argument(
        "--also", metavar="NAME[:AXIS]", action="append", default=[], help="as for grow"
    )
    extract.add_argument(
        "--only-tables",
        action="store_true",
        help="leave out all else that grew or changed; else it is an error",
    )
    extract.add_argument("--new-vocab", metavar="FILE", help="note the tokens of the new rows")
    _add_reserved(extract)
    _add_partition_strategy(extract)
    _add_output(extract)
    apply = command("apply", "apply", "Append the rows of deltas.", parent=deltas)
    apply.add_argument("base", metavar="BASE", help="the checkpoint that the first was made from")
    apply.add_argument("deltas", metavar="DELTA", nargs="+", help="deltas, in their order")
    apply.add_argument(
        "--others-from",
        metavar="GROWN",
        help="what the deltas left out, such as other variables that were trained, is as in this "
        "checkpoint (default: as in BASE)",
    )
    _add_slot_values(apply, "new rows")
    _add_partition_strategy(apply)
    _add_output(apply)
    revert = command("revert", "revert", "Remove the rows of a delta.", parent=deltas)
    revert.add_argument("grown", metavar="GROWN", help="a checkpoint with the delta's rows")
    revert.add_argument("delta", metavar="DELTA", help="the delta that was applied last")
    _add_partition_strategy(revert)
    _add_output(revert)

    audit = command(
        "audit",
        "audit",
        "Find what in a saved graph can move a frozen row.",
        "Find what in a saved graph (a MetaGraph, *.meta) can move a frozen row.",
    )
    audit.add_argument("meta", metavar="META", help="the path of a .meta file")
    audit.add_argument(
        "--table", metavar="NAME", action="append", required=True, help="a name or pattern"
    )
    audit.add_argument("--frozen", metavar="ROWS", required=True, help=_ROWS_HELP)
    audit.add_argument(
        "--fetch",
        metavar="NAME",
        action="append",
        help="what a step runs (default: the training operations that the graph names)",
    )
    _add_partition_strategy(audit)

    importing = command(
        "import", "import_", "Make a checkpoint of word2vec, GloVe or .npy vectors."
    )
    importing.add_argument("file", metavar="FILE", help="the file of vectors")
    importing.add_argument("--table", metavar="NAME", required=True, help="the variable's name")
    _add_format(importing, required=False)
    importing.add_argument("--vocab-out", metavar="FILE", help="write the tokens to this file")
    _add_output(importing)

    exporting = command("export", "export", "Write a table to a word2vec, GloVe or .npy file.")
    _add_prefix(exporting)
    exporting.add_argument("--table", metavar="NAME", required=True, help="the variable's name")
    _add_format(exporting, required=True)
    exporting.add_argument("--vocab", metavar="FILE", help="the table's tokens, one a line")
    _add_reserved(exporting)
    _add_partition_strategy(exporting)
    _add_output(exporting, what="the file to write", metavar="FILE")
    return parser


def _add_prefix(parser):
    parser.add_argument("checkpoint", metavar="PREFIX", help="a checkpoint, or its folder")


def _add_tables(parser):
    parser.add_argument(
        "--table",
        metavar="NAME",
        action="append",
        required=True,
        help="a table's name or a pattern such as 'user_*'; may be given repeatedly",
    )


def _add_reserved(parser):
    parser.add_argument(
        "--reserved",
        metavar="WHERE",
        action="append",
        default=[],
        help="rows that have no token: first:1 (padding), last:1 (out of vocabulary), or both",
    )


def _add_slot_values(parser, rows):
    parser.add_argument(
        "--slot-value",
        metavar="SLOT=NUMBER",
        action="append",
        default=[],
        help=f"value of a slot variable in {rows}, such as Adagrad=1e-8 (default: what "
        "TensorFlow's optimizers begin with)",
    )


def _add_partition_strategy(parser):
    parser.add_argument(
        "--partition-strategy",
        choices=["mod", "div"],
        help="how the model's lookups send ids to the partitions of a partitioned table: mod is "
        "the default of tf.nn.embedding_lookup, div that of feature columns",
    )


def _add_format(parser, required):
    parser.add_argument(
        "--format",
        choices=["word2vec", "word2vec-bin", "glove", "npy"],
        required=required,
        help="the file's format" + ("" if required else " (default: what the file shows)"),
    )


def _add_output(parser, what="the checkpoint to write", metavar="PREFIX"):
    parser.add_argument("--out", metavar=metavar, required=True, help=what)
    _add_writing(parser)


def _add_writing(parser):
    parser.add_argument("--force", action="store_true", help="replace it if it exists")
    parser.add_argument(
        "--dry-run", action="store_true", help="write nothing; print what would be written"
    )
