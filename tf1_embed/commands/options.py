"""What the options of the commands mean: from text to arguments of functions."""

import sys

from tf1_embed.certificates import SUFFIX
from tf1_embed.vocabulary import Reserved, append_map, id_map, parse_reserved, read_vocabulary


def writing(arguments, what, **others):
    """Returns the arguments that all functions take which write."""
    return dict(
        force=arguments.force,
        dry_run=arguments.dry_run,
        progress=progress(what),
        **others,
    )


def reserved(arguments):
    """Returns the `Reserved` rows."""
    return parse_reserved(",".join(arguments.reserved)) if arguments.reserved else Reserved(0, 0)


def vocabulary_map(arguments):
    """Returns the `IdMap` from the old vocabulary to the new one."""
    if arguments.old_vocab is None:
        raise ValueError("--new-vocab needs --old-vocab, the vocabulary of the old table")
    return id_map(
        read_vocabulary(arguments.old_vocab),
        read_vocabulary(arguments.new_vocab),
        reserved=reserved(arguments),
        drop_missing=arguments.drop_missing,
    )


def map_of_two(arguments, tables):
    """Returns the `IdMap` from an old table to a grown one; None if every id is kept."""
    if arguments.old_vocab is not None:
        return vocabulary_map(arguments)
    if arguments.drop_missing:
        raise ValueError("--drop-missing needs --old-vocab and --new-vocab")
    rows = reserved(arguments)
    # A certificate says itself which rows of the grown table are the old ones.
    if not rows.last or arguments.old.endswith(SUFFIX):
        return None
    num_old, num_new = (num_rows(each, tables) for each in (arguments.old, arguments.new))
    # Where rows are not merged yet, or none were added, all old ones are where they were.
    return append_map(num_old, num_new - num_old, rows) if num_new > num_old else None


def num_rows(checkpoint, tables):
    """Returns the number of rows that all of the tables have."""
    from tf1_embed.checkpoint.files.reader import CheckpointReader
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


def ids(text):
    """Returns the ids that "3,10:20" means, a list."""
    found = []
    for part in text.split(","):
        ends = part.split(":")
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            raise ValueError(
                f"rows must be ids and ranges START:STOP, such as 3,10:20; got {text!r}"
            )
        found.extend(range(int(ends[0]), int(ends[1])) if len(ends) == 2 else [int(part)])
    return found


def also(arguments):
    """Returns what else grows: as told, or as found and confirmed."""
    if arguments.also or arguments.only_tables:
        return arguments.also
    from tf1_embed.checkpoint.files.reader import CheckpointReader
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


def new_row_initializers(arguments):
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


def slot_values(arguments):
    """Returns the values of slot variables, a dict from name to float or "table"."""
    values = {}
    for text in arguments.slot_value:
        name, equals, number = text.rpartition("=")
        try:
            values[name] = number if number == "table" else float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ValueError(f"--slot-value must be SLOT=NUMBER or SLOT=table, got {text!r}")
    return values


def progress(what):
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
