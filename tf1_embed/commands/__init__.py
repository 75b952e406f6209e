"""What the commands of `tf1-embed` do: call one function each and print what it returns."""

from tf1_embed.commands import options, output
from tf1_embed.rows import Rows
from tf1_embed.vocabulary import append_map, read_vocabulary


def inspect(arguments):
    """`tf1-embed inspect`."""
    from tf1_embed.checkpoint.inspect import inspect_checkpoint

    return output.print_variables(arguments, inspect_checkpoint(arguments.checkpoint))


def grow(arguments):
    """`tf1-embed grow`."""
    from tf1_embed.checkpoint.grow import grow_checkpoint

    reserved = options.reserved(arguments)
    mapping = None
    if arguments.new_vocab is not None:
        mapping = options.vocabulary_map(arguments)
    elif arguments.old_vocab is not None:
        raise ValueError("--old-vocab needs --new-vocab")
    elif reserved != (0, 0):
        mapping = append_map(
            options.num_rows(arguments.checkpoint, arguments.table), arguments.rows, reserved
        )
    written = grow_checkpoint(
        arguments.checkpoint,
        arguments.table,
        arguments.out,
        num_new_rows=arguments.rows if mapping is None else None,
        id_map=mapping,
        also=options.also(arguments),
        initializer=options.new_row_initializers(arguments),
        slot_values=options.slot_values(arguments),
        reset_slots=arguments.reset_slots,
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Growing"),
    )
    return output.print_written(arguments, written)


def merge(arguments):
    """`tf1-embed merge`."""
    from tf1_embed.checkpoint.merge import merge_checkpoint

    rows = None
    if arguments.trainable_rows is not None:
        rows = Rows.of(
            options.ids(arguments.trainable_rows),
            size=options.num_rows(arguments.checkpoint, arguments.table),
        )
    written = merge_checkpoint(
        arguments.checkpoint,
        arguments.table,
        arguments.out,
        trainable_rows=rows,
        base=arguments.base,
        slot_values=options.slot_values(arguments),
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Merging"),
    )
    return output.print_written(arguments, written)


def split(arguments):
    """`tf1-embed split`."""
    from tf1_embed.checkpoint.split import split_checkpoint

    rows = None
    if arguments.trainable_rows is not None:
        rows = Rows.of(
            options.ids(arguments.trainable_rows),
            size=options.num_rows(arguments.checkpoint, arguments.table),
        )
    written = split_checkpoint(
        arguments.checkpoint,
        arguments.table,
        arguments.out,
        num_old_rows=arguments.old_rows,
        trainable_rows=rows,
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Splitting"),
    )
    return output.print_written(arguments, written)


def verify(arguments):
    """`tf1-embed verify`; 1 if a row changed."""
    from tf1_embed.checkpoint.verify import verify_checkpoint

    if (arguments.old_vocab is None) != (arguments.new_vocab is None):
        raise ValueError("give both --old-vocab and --new-vocab, or neither")
    compared = verify_checkpoint(
        arguments.old,
        arguments.new,
        arguments.table,
        id_map=options.map_of_two(arguments, arguments.table),
        partition_strategy=arguments.partition_strategy,
        new_partition_strategy=arguments.new_partition_strategy,
        progress=options.progress("Comparing"),
    )
    if arguments.json:
        output.print_json([each._asdict() for each in compared])
    else:
        for each in compared:
            print(output.comparison(each))
    return 1 if any(each.num_changed != 0 for each in compared) else 0


def diff_(arguments):
    """`tf1-embed diff`; 1 if something changed or is missing."""
    from tf1_embed.commands.diff import run

    return run(arguments)


def plot(arguments):
    """`tf1-embed plot`."""
    from tf1_embed.pictures.plot import plot_checkpoint

    names, reserved = None, options.reserved(arguments)
    if arguments.old_vocab is not None and arguments.new_vocab is None:
        raise ValueError("--old-vocab needs --new-vocab, the vocabulary of the grown table")
    if arguments.new_vocab is not None:
        tokens = read_vocabulary(arguments.new_vocab)
        names = ["(reserved)"] * reserved.first + tokens + ["(reserved)"] * reserved.last
    plotted = plot_checkpoint(
        arguments.old,
        arguments.new,
        arguments.table,
        out=arguments.out,
        kinds=arguments.kind,
        id_map=options.map_of_two(arguments, [arguments.table]),
        names=names,
        events=arguments.events,
        tags=arguments.tag or ["*loss*"],
        projector=arguments.projector,
        max_points=arguments.max_points,
        partition_strategy=arguments.partition_strategy,
        new_partition_strategy=arguments.new_partition_strategy,
        **options.writing(arguments, "Comparing"),
    )
    return output.print_plotted(arguments, plotted)


def extract(arguments):
    """`tf1-embed delta extract`."""
    from tf1_embed.checkpoint.delta import extract_delta

    tokens = None if arguments.new_vocab is None else read_vocabulary(arguments.new_vocab)
    written = extract_delta(
        arguments.base,
        arguments.grown,
        arguments.table,
        arguments.out,
        also=arguments.also if arguments.also or arguments.only_tables else None,
        tokens=tokens,
        reserved=options.reserved(arguments),
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Extracting"),
    )
    return output.print_written(arguments, written)


def apply(arguments):
    """`tf1-embed delta apply`."""
    from tf1_embed.checkpoint.delta import apply_delta

    written = apply_delta(
        arguments.base,
        arguments.deltas,
        arguments.out,
        slot_values=options.slot_values(arguments),
        others_from=arguments.others_from,
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Applying"),
    )
    return output.print_written(arguments, written)


def revert(arguments):
    """`tf1-embed delta revert`."""
    from tf1_embed.checkpoint.delta import revert_delta

    written = revert_delta(
        arguments.grown,
        arguments.delta,
        arguments.out,
        partition_strategy=arguments.partition_strategy,
        **options.writing(arguments, "Reverting"),
    )
    return output.print_written(arguments, written)


def audit(arguments):
    """`tf1-embed audit`; 1 if a frozen row can move, or what may move one was left out unasked."""
    from tf1_embed.auditing import audit_metagraph, report

    ids = options.ids(arguments.frozen)
    findings = audit_metagraph(
        arguments.meta,
        dict.fromkeys(arguments.table, ids),
        fetches=arguments.fetch,
        partition_strategy=arguments.partition_strategy,
    )
    if arguments.json:
        output.print_json(findings.as_dict())
    else:
        print(report(findings))
    return 1 if findings or findings.left_out and not arguments.fetch else 0


def import_(arguments):
    """`tf1-embed import`."""
    from tf1_embed.checkpoint.vectors import import_vectors

    shape = import_vectors(
        arguments.file,
        arguments.table,
        format=arguments.format,
        vocabulary=arguments.vocab_out,
        **options.writing(arguments, "Importing", out=arguments.out),
    )
    return output.print_shape(arguments, shape)


def export(arguments):
    """`tf1-embed export`."""
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
    return output.print_shape(arguments, shape)
