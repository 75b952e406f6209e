"""`tf1-embed import` and `tf1-embed export`: checkpoints from files of vectors, and back."""

from __future__ import annotations

from tf1_embed.commands import options, output, row_options
from tf1_embed.commands.paths import Input, Output


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    _add_import(commands)
    _add_export(commands)


def _add_import(commands):
    importing = options.add_command(
        commands,
        "import",
        _import,
        "Make a checkpoint of word2vec, GloVe or .npy vectors.",
        "tf1-embed import words.vec --table words --vocab-out words.txt --out runs/words",
    )
    importing.add_argument(
        "file", metavar="FILE", type=Input, help="the file of vectors, also compressed by gzip"
    )
    importing.add_argument(
        "--table", metavar="NAME", required=True, help="the name that the variable gets"
    )
    importing.add_argument(
        "--vocab-out", metavar="FILE", type=Output, help="write the tokens to this file, in UTF-8"
    )
    options.add_vectors(importing)
    options.add_output(importing)


def _import(arguments):
    from tf1_embed.checkpoint.vectors import import_vectors

    imported = import_vectors(
        arguments.file,
        arguments.table,
        format=arguments.format,
        vocabulary=arguments.vocab_out,
        encoding=arguments.encoding,
        errors=arguments.errors,
        duplicates=arguments.duplicates,
        **options.writing(arguments, "Importing", out=arguments.out),
    )
    return _print_shape(arguments, arguments.table, imported.shape, left_out=imported.num_left_out)


def _add_export(commands):
    exporting = options.add_command(
        commands,
        "export",
        _export,
        "Write a table to a word2vec, GloVe or .npy file.",
        "tf1-embed export runs/base --table embedding --format npy --out embedding.npy",
    )
    options.add_prefix(exporting)
    options.add_table(exporting)
    options.add_format(exporting, required=True)
    exporting.add_argument(
        "--vocab", metavar="FILE", type=Input, help="the table's tokens, one a line"
    )
    row_options.add_first_column(exporting)
    row_options.add_reserved(exporting)
    options.add_partition_strategy(exporting)
    options.add_output(exporting, what="the file to write", metavar="FILE", type=Output)


def _export(arguments):
    from tf1_embed.checkpoint.vectors import export_vectors

    table = options.table(arguments, arguments.prefix)
    shape = export_vectors(
        arguments.prefix,
        table,
        arguments.out,
        arguments.format,
        vocabulary=arguments.vocab,
        first_column=arguments.first_column,
        reserved=row_options.reserved(arguments),
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Exporting"),
    )
    return _print_shape(arguments, table, shape)


def _print_shape(arguments, table, shape, **others):
    """Prints the shape of the one table that was written; returns 0."""
    if arguments.json:
        result = {"out": arguments.out, "written": not arguments.dry_run, "shape": list(shape)}
        return output.print_json(dict(result, **others))
    output.say(f"{output.escaped(table)}: {output.format_shape(shape)}")
    if others.get("left_out"):
        output.say(
            f"{output.counted(others['left_out'], 'row')} left out, whose token the file has again "
            f"(--duplicates {arguments.duplicates})"
        )
    return output.print_end(arguments)
