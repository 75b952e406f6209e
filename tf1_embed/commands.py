"""What the commands of `tf1-embed` do: call one function each and print what it returns."""

import json
import math
import shlex
import sys

from tf1_embed.certificates import SUFFIX
from tf1_embed.rows import Rows
from tf1_embed.vocabulary import (
    Reserved,
    append_map,
    id_map,
    parse_reserved,
    read_vocabulary,
)


def inspect(arguments):
    """`tf1-embed inspect`."""
    from tf1_embed.checkpoint.inspect import inspect_checkpoint

    variables = inspect_checkpoint(arguments.checkpoint)
    if arguments.json:
        return _print_json([each._asdict() for each in variables])
    rows = []
    for each in variables:
        kind = each.kind
        if each.table is not None:
            kind = f"{kind} of {each.table}"
        parts = f"{each.num_partitions} partitions" if each.num_partitions > 1 else ""
        rows.append(
            [each.name, each.dtype, _shape(each.shape), _bytes(each.num_bytes), kind, parts]
        )
    _print_columns(rows)
    print(f"{len(variables)} variables, {_bytes(sum(each.num_bytes for each in variables))}")
    return 0


def grow(arguments):
    """`tf1-embed grow`."""
    from tf1_embed.checkpoint.grow import grow_checkpoint

    reserved = _reserved(arguments)
    mapping = None
    if arguments.new_vocab is not None:
        mapping = _id_map(arguments, reserved)
    elif arguments.old_vocab is not None:
        raise ValueError("--old-vocab needs --new-vocab")
    elif reserved != (0, 0):
        mapping = append_map(
            _num_rows(arguments.checkpoint, arguments.table), arguments.rows, reserved
        )
    written = grow_checkpoint(
        arguments.checkpoint,
        arguments.table,
        arguments.out,
        num_new_rows=arguments.rows if mapping is None else None,
        id_map=mapping,
        also=_also(arguments),
        initializer=_initializers(arguments),
        slot_values=_slot_values(arguments),
        reset_slots=arguments.reset_slots,
        partition_strategy=arguments.partition_strategy,
        **_writing(arguments, "Growing"),
    )
    return _print_written(arguments, written)


def merge(arguments):
    """`tf1-embed merge`."""
    from tf1_embed.checkpoint.merge import merge_checkpoint

    rows = None
    if arguments.trainable_rows is not None:
        rows = Rows.of(
            _ids(arguments.trainable_rows), size=_num_rows(arguments.checkpoint, arguments.table)
        )
    written = merge_checkpoint(
        arguments.checkpoint,
        arguments.table,
        arguments.out,
        trainable_rows=rows,
        slot_values=_slot_values(arguments),
        partition_strategy=arguments.partition_strategy,
        **_writing(arguments, "Merging"),
    )
    return _print_written(arguments, written)


def split(arguments):
    """`tf1-embed split`."""
    from tf1_embed.checkpoint.split import split_checkpoint

    rows = None
    if arguments.trainable_rows is not None:
        rows = Rows.of(
            _ids(arguments.trainable_rows), size=_num_rows(arguments.checkpoint, arguments.table)
        )
    written = split_checkpoint(
        arguments.checkpoint,
        arguments.table,
        arguments.out,
        num_old_rows=arguments.old_rows,
        trainable_rows=rows,
        partition_strategy=arguments.partition_strategy,
        **_writing(arguments, "Splitting"),
    )
    return _print_written(arguments, written)


def verify(arguments):
    """`tf1-embed verify`; 1 if a row changed."""
    from tf1_embed.checkpoint.verify import verify_checkpoint

    if (arguments.old_vocab is None) != (arguments.new_vocab is None):
        raise ValueError("give both --old-vocab and --new-vocab, or neither")
    compared = verify_checkpoint(
        arguments.old,
        arguments.new,
        arguments.table,
        id_map=_map_of_two(arguments, arguments.table),
        partition_strategy=arguments.partition_strategy,
        new_partition_strategy=arguments.new_partition_strategy,
        progress=_progress("Comparing"),
    )
    if arguments.json:
        _print_json([each._asdict() for each in compared])
    else:
        for each in compared:
            print(_compared(each))
    return 1 if any(each.num_changed != 0 for each in compared) else 0


def plot(arguments):
    """`tf1-embed plot`."""
    from tf1_embed.checkpoint.plot import plot_checkpoint

    names, reserved = None, _reserved(arguments)
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
        id_map=_map_of_two(arguments, [arguments.table]),
        names=names,
        events=arguments.events,
        tags=arguments.tag or ["*loss*"],
        projector=arguments.projector,
        max_points=arguments.max_points,
        partition_strategy=arguments.partition_strategy,
        new_partition_strategy=arguments.new_partition_strategy,
        **_writing(arguments, "Comparing"),
    )
    return _print_plotted(arguments, plotted)


def extract(arguments):
    """`tf1-embed delta extract`."""
    from tf1_embed.checkpoint.delta import extract_delta

    tokens = None if arguments.new_vocab is None else read_vocabulary(arguments.new_vocab)
    written = extract_delta(
        arguments.base,
        arguments.grown,
        arguments.table,
        arguments.out,
        also=arguments.also,
        tokens=tokens,
        reserved=_reserved(arguments),
        partition_strategy=arguments.partition_strategy,
        **_writing(arguments, "Extracting"),
    )
    return _print_written(arguments, written)


def apply(arguments):
    """`tf1-embed delta apply`."""
    from tf1_embed.checkpoint.delta import apply_delta

    written = apply_delta(
        arguments.base,
        arguments.deltas,
        arguments.out,
        slot_values=_slot_values(arguments),
        partition_strategy=arguments.partition_strategy,
        **_writing(arguments, "Applying"),
    )
    return _print_written(arguments, written)


def revert(arguments):
    """`tf1-embed delta revert`."""
    from tf1_embed.checkpoint.delta import revert_delta

    written = revert_delta(
        arguments.grown,
        arguments.delta,
        arguments.out,
        partition_strategy=arguments.partition_strategy,
        **_writing(arguments, "Reverting"),
    )
    return _print_written(arguments, written)


def audit(arguments):
    """`tf1-embed audit`; 1 if something can move a frozen row."""
    from tf1_embed.auditing import audit_metagraph, report

    ids = _ids(arguments.frozen)
    findings = audit_metagraph(
        arguments.meta,
        dict.fromkeys(arguments.table, ids),
        fetches=arguments.fetch,
        partition_strategy=arguments.partition_strategy,
    )
    if arguments.json:
        _print_json([each._asdict() for each in findings])
    else:
        print(report(findings))
    return 1 if findings else 0


def import_(arguments):
    """`tf1-embed import`."""
    from tf1_embed.checkpoint.vectors import import_vectors

    shape = import_vectors(
        arguments.file,
        arguments.table,
        format=arguments.format,
        vocabulary=arguments.vocab_out,
        **_writing(arguments, "Importing", out=arguments.out),
    )
    return _print_shape(arguments, shape)


def export(arguments):
    """`tf1-embed export`."""
    from tf1_embed.checkpoint.vectors import export_vectors

    shape = export_vectors(
        arguments.checkpoint,
        arguments.table,
        arguments.out,
        arguments.format,
        vocabulary=arguments.vocab,
        reserved=_reserved(arguments),
        partition_strategy=arguments.partition_strategy,
        **_writing(arguments, "Exporting"),
    )
    return _print_shape(arguments, shape)


# From text to arguments of functions.


def _writing(arguments, what, **others):
    return dict(
        force=arguments.force,
        dry_run=arguments.dry_run,
        progress=_progress(what),
        **others,
    )


def _reserved(arguments):
    return parse_reserved(",".join(arguments.reserved)) if arguments.reserved else Reserved(0, 0)


def _id_map(arguments, reserved):
    if arguments.old_vocab is None:
        raise ValueError("--new-vocab needs --old-vocab, the vocabulary of the old table")
    return id_map(
        read_vocabulary(arguments.old_vocab),
        read_vocabulary(arguments.new_vocab),
        reserved=reserved,
        drop_missing=arguments.drop_missing,
    )


def _map_of_two(arguments, tables):
    """Returns the `IdMap` from an old table to a grown one; None if every id is kept."""
    reserved = _reserved(arguments)
    if arguments.old_vocab is not None:
        return _id_map(arguments, reserved)
    if arguments.drop_missing:
        raise ValueError("--drop-missing needs --old-vocab and --new-vocab")
    # A certificate says itself which rows of the grown table are the old ones.
    if not reserved.last or arguments.old.endswith(SUFFIX):
        return None
    num_old, num_rows = (_num_rows(each, tables) for each in (arguments.old, arguments.new))
    # Where rows are not merged yet, or none were added, all old ones are where they were.
    return append_map(num_old, num_rows - num_old, reserved) if num_rows > num_old else None


def _num_rows(checkpoint, tables):
    """Returns the number of rows that all of the tables have."""
    from tf1_embed.checkpoint.reader import CheckpointReader
    from tf1_embed.checkpoint.vocabulary_axis import table_axes

    with CheckpointReader(checkpoint) as reader:
        axes = table_axes(reader, tables)
    sizes = sorted({each.size for each in axes})
    if len(sizes) > 1:
        raise ValueError(
            f"tables that are treated alike must have as many rows, got {sizes}; run the command "
            f"for each of them"
        )
    return sizes[0]


def _ids(text):
    """Returns the ids that "3,10:20" means, a list."""
    ids = []
    for part in text.split(","):
        ends = part.split(":")
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            raise ValueError(
                f"rows must be ids and ranges START:STOP, such as 3,10:20; got {text!r}"
            )
        ids.extend(range(int(ends[0]), int(ends[1])) if len(ends) == 2 else [int(part)])
    return ids


def _also(arguments):
    """Returns what else grows: as told, or as found and confirmed."""
    if arguments.also or arguments.only_tables:
        return arguments.also
    from tf1_embed.checkpoint.reader import CheckpointReader
    from tf1_embed.checkpoint.vocabulary_axis import find_also, table_axes

    with CheckpointReader(arguments.checkpoint) as reader:
        found = [str(each) for each in find_also(reader, table_axes(reader, arguments.table))]
    if not found or arguments.also_found:
        return found
    listed = ", ".join(found)
    if not sys.stdin.isatty():
        raise ValueError(
            f"these have as many rows or columns as the tables: {listed}. Say whether they grow as "
            f"well: --also-found (all), --also NAME[:AXIS] (some) or --only-tables (none)"
        )
    print(f"These have as many rows or columns as the tables: {listed}.", file=sys.stderr)
    print("Do they grow as well? [y/N] ", end="", file=sys.stderr, flush=True)
    return found if sys.stdin.readline().strip().lower() in ("y", "yes") else []


def _initializers(arguments):
    """Returns the initializer, or a dict of them, that the options mean."""
    by_name = {}
    for text in arguments.initializer:
        name, equals, initializer = text.rpartition("=")
        by_name[name if equals else None] = _initializer(initializer, arguments.seed)
    if None in by_name and len(by_name) > 1:
        raise ValueError("give one --initializer for all, or NAME=INIT for each variable")
    return by_name.get(None) if None in by_name or not by_name else by_name


def _initializer(text, seed):
    import numpy as np

    from tf1_embed import initializers

    kind, _, argument = text.partition(":")
    if text.endswith(".npy"):
        return np.load(text, allow_pickle=False)
    try:
        if kind in ("zeros", "mean") and not argument:
            return getattr(initializers, kind)()
        if kind in ("glorot_normal", "mean_and_covariance") and not argument:
            return getattr(initializers, kind)(seed=seed)
        if kind == "constant":
            return initializers.constant(float(argument))
        if kind == "copy_of":
            return initializers.copy_of(int(argument))
    except ValueError:
        pass
    raise ValueError(
        f"--initializer must be zeros, glorot_normal, mean, mean_and_covariance, constant:NUMBER, "
        f"copy_of:ID or a .npy file; got {text!r}"
    )


def _slot_values(arguments):
    values = {}
    for text in arguments.slot_value:
        name, equals, number = text.rpartition("=")
        try:
            values[name] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ValueError(f"--slot-value must be SLOT=NUMBER, got {text!r}")
    return values


def _progress(what):
    """Returns what makes a progress bar, if there is a terminal to show it and tqdm to draw it."""
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return lambda num_bytes: tqdm(
        total=num_bytes, desc=what, unit="B", unit_scale=True, leave=False, delay=0.5
    )


# From results to text.


def _print_written(arguments, written):
    total = sum(each.num_bytes for each in written)
    if arguments.json:
        result = {
            "out": arguments.out,
            "written": not arguments.dry_run,
            "bytes": total,
            "tensors": [each._asdict() for each in written],
        }
        return _print_json(result)
    changed = [each for each in written if each.changed]
    _print_columns(
        [each.name, each.dtype, _change(each), _bytes(each.num_bytes)]
        for each in (written if arguments.dry_run else changed)
    )
    if not arguments.dry_run and len(written) > len(changed):
        print(f"{len(written) - len(changed)} others as they were")
    return _print_end(arguments, total)


def _compared(each):
    if each.num_changed == 0:
        return f"{each.table}: all {each.num_rows} old rows are the same, bit for bit"
    if each.num_changed is None:
        return (
            f"{each.table}: the {each.num_rows} old rows are not those of the certificate; which "
            f"of them differ only the old checkpoint could tell"
        )
    more = ", ..." if each.num_changed > len(each.first_ids) else ""
    far = (
        f"by at most {each.largest_difference:g}"
        if each.largest_difference
        else "in bits that compare as equal"
    )
    return (
        f"{each.table}: {each.num_changed} of {each.num_rows} old rows changed {far}: ids "
        f"{', '.join(str(i) for i in each.first_ids)}{more}"
    )


def _print_plotted(arguments, plotted):
    projection = plotted.projection
    if arguments.json:
        result = dict(plotted._asdict(), written=not arguments.dry_run)
        result["projection"] = projection and projection._asdict()
        return _print_json(result)
    print(f"{plotted.table}: {plotted.num_old_rows} old rows, {plotted.num_new_rows} new")
    if projection is not None:
        print(f"{projection.num_old} old and {projection.num_new} new rows for the projector")
    for path in plotted.paths + (projection.paths if projection is not None else []):
        print(f"dry run: would write {path}" if arguments.dry_run else f"written: {path}")
    if projection is not None and not arguments.dry_run:
        print(f"look at it: tensorboard --logdir {shlex.quote(arguments.projector)}")
    return 0


def _print_shape(arguments, shape):
    if arguments.json:
        return _print_json(
            {"out": arguments.out, "written": not arguments.dry_run, "shape": list(shape)}
        )
    print(f"{arguments.table}: {_shape(shape)}")
    return _print_end(arguments)


def _print_end(arguments, total=None):
    size = "" if total is None else f"{_bytes(total)} "
    print(
        f"dry run: {size}would be written to {arguments.out}"
        if arguments.dry_run
        else f"{size}written to {arguments.out}"
    )
    return 0


def _print_json(value):
    print(json.dumps(_plain(value), indent=2))
    return 0


def _plain(value):
    """Returns a value in types that JSON has; it has no infinity."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _print_columns(rows):
    rows = [list(row) for row in rows]
    widths = (
        [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    )
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def _change(written):
    if written.old_shape == written.new_shape:
        return _shape(written.new_shape) + (" other values" if written.changed else "")
    old = "-" if written.old_shape is None else _shape(written.old_shape)
    new = "-" if written.new_shape is None else _shape(written.new_shape)
    return f"{old} → {new}"


def _shape(shape):
    return f"[{', '.join(str(dim) for dim in shape)}]"


def _bytes(count):
    if count < 1000:
        return f"{count} bytes"
    power = min(3, int(math.log10(count)) // 3)
    return f"{count / 1000**power:.1f} {' KMG'[power]}B"
