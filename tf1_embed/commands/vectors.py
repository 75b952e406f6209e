"""`tf1-embed import` and `tf1-embed export`: checkpoints from files of vectors, and back."""

from __future__ import annotations

from tf1_embed.commands import options, output


def add_to(commands: options.Commands) -> None:
    """Adds the command and its options."""
    _add_import(commands)
    _add_export(commands)


def _add_import(commands):
    importing = options.add_command(
        commands, "import", _import, "Make a checkpoint of word2vec, GloVe or .npy vectors."
    )
    importing.add_argument("file", metavar="FILE", help="the file of vectors")
    options.add_table(importing)
    _add_format(importing, required=False)
    importing.add_argument("--vocab-out", metavar="FILE", help="write the tokens to this file")
    options.add_output(importing)


def _import(arguments):
    from tf1_embed.checkpoint.vectors import import_vectors

    shape = import_vectors(
        arguments.file,
        arguments.table,
        format=arguments.format,
        vocabulary=arguments.vocab_out,
        **options.writing(arguments, "Importing", out=arguments.out),
    )
    return _print_shape(arguments, shape)


def _add_export(commands):
    exporting = options.add_command(
        commands, "export", _export, "Write a table to a word2vec, GloVe or .npy file."
    )
    options.add_prefix(exporting)
    options.add_table(exporting)
    _add_format(exporting, required=True)
    exporting.add_argument("--vocab", metavar="FILE", help="the table's tokens, one a line")
    options.add_reserved(exporting)
    options.add_partition_strategy(exporting)
    options.add_output(exporting, what="the file to write", metavar="FILE")


def _export(arguments):
    from tf1_embed.checkpoint.vectors import export_vectors

    shape = export_vectors(
        arguments.checkpoint,
        arguments.table,
        arguments.out,
        arguments.format,
        vocabulary=arguments.vocab,
        reserved=options.reserved(arguments),
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Exporting"),
    )
    return _print_shape(arguments, shape)


def _add_format(parser, required):
    parser.add_argument(
        "--format",
        choices=["word2vec", "word2vec-bin", "glove", "npy"],
        required=required,
        help="the file's format" + ("" if required else " (default: what the file shows)"),
    )


def _print_shape(arguments, shape):
    """Prints the shape of the one table that was written; returns 0."""
    if arguments.json:
        return output.print_json(
            {"out": arguments.out, "written": not arguments.dry_run, "shape": list(shape)}
        )
    print(f"{arguments.table}: {output.format_shape(shape)}")
    return output.print_end(arguments)
