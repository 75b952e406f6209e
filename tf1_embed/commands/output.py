"""What several commands print: from results to text, or to JSON.

Nothing that is printed can fail: what a command did is not undone by a pipe that nobody reads.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
from typing import IO, TYPE_CHECKING, Any, Iterable, Sequence

if TYPE_CHECKING:
    from tf1_embed.checkpoint.rewrite import Written
    from tf1_embed.saved.grow import GrownModel

# Of a graph; a training's gradients have a constant for each operation on a table.
_MOST_NODES = 20


def say(text: str, file: IO[str] | None = None, end: str = "\n") -> None:
    """Prints text, with control characters escaped, whatever the stream is able to take.

    Args:
      text: lines, of which each may have tabs.
      file: default: stdout.
      end: what follows.
    """
    file = sys.stdout if file is None else file
    if file is None:
        # There is none, as of a service.
        return
    text = "\n".join("\t".join(map(escaped, line.split("\t"))) for line in text.split("\n")) + end
    encoding = getattr(file, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("→", "->").encode(encoding, "backslashreplace").decode(encoding)
    try:
        file.write(text)
    except (OSError, ValueError) as error:
        _give_up(file, error)


def warn(text: str, end: str = "\n") -> None:
    """Prints text to stderr at once."""
    say(text, sys.stderr, end)
    flush()


def flush() -> None:
    """Has all that was printed leave the process, if it can."""
    for file in (sys.stdout, sys.stderr):
        try:
            if file is not None:
                file.flush()
        except (OSError, ValueError) as error:
            _give_up(file, error)


def escaped(text: str) -> str:
    """Returns one line of text, with what a terminal would obey written as Python writes it."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def _give_up(file, error):
    """Prints nothing more to a stream: it is a pipe that nobody reads, or a disk that is full."""
    with contextlib.suppress(OSError, ValueError):
        # What the stream still holds goes there, else Python complains when it exits.
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, file.fileno())
        os.close(descriptor)
    if file is sys.stdout and not isinstance(error, BrokenPipeError):
        say(f"tf1-embed: what it says could not be printed: {error}", sys.stderr)


def print_written(
    arguments: argparse.Namespace,
    written: Sequence[Written],
    rows: dict[str, dict[str, int]] | None = None,
    known: Sequence[dict[str, Any]] = (),
    model: GrownModel | None = None,
) -> int:
    """Prints what became of each tensor; returns 0.

    Args:
      arguments: those of the command.
      written: what became of each tensor.
      rows: how many rows of each table were kept, moved, dropped and new.
      known: of how many new rows each file knew something, and what the others got.
      model: of a graph that grew as well.
    """
    from tf1_embed.checkpoint.files.names import is_saved_model

    total = sum(each.num_bytes for each in written)
    graph_left = arguments.out.graph_left(arguments)
    if arguments.json:
        result = {
            "out": arguments.out,
            "written": not arguments.dry_run,
            "graph_left": graph_left,
            "bytes": total,
            "tensors": [each._asdict() for each in written],
        }
        if rows is not None:
            result["rows"] = rows
        if known:
            result["initializers"] = list(known)
        if model is not None:
            result["graph"] = [each._asdict() for each in model.nodes]
            result["restored"] = model.num_proved
        return print_json(result)
    changed = [each for each in written if each.changed]
    print_columns(
        [each.name, each.dtype, _change(each), format_bytes(each.num_bytes)]
        for each in (written if arguments.dry_run else changed)
    )
    for table, count in (rows or {}).items():
        moved = f" ({count['moved']} of them moved)" if count["moved"] else ""
        kept = f"{counted(count['kept'], 'row')} kept{moved}"
        say(f"{escaped(table)}: {kept}, {count['dropped']} dropped, {count['new']} new")
    for file in known:
        of_variable = "" if file["variable"] is None else f"{file['variable']}: "
        lacking, count = file["lacking"], file["num_known"]
        say(
            f"{escaped(of_variable + file['initializer'])}: {counted(count, 'new row')} known"
            + (f", {len(lacking)} by {file['fallback']} ({_some(lacking)})" if lacking else "")
        )
    if not arguments.dry_run and len(written) > len(changed):
        num_others = len(written) - len(changed)
        say("1 other as it was" if num_others == 1 else f"{num_others} others as they were")
    for each in written:
        if each.note is not None:
            say(f"{escaped(each.name)}: {each.note}")
    if model is not None:
        _print_graph(model)
    elif "prefix" in arguments and is_saved_model(arguments.prefix):
        say(f"a checkpoint alone: the graphs of the SavedModel {escaped(arguments.prefix)} stay")
    if graph_left is not None:
        say(f"{escaped(graph_left)} stays as it was: a graph from before, of other shapes perhaps")
    return print_end(arguments, total)


def _print_graph(model):
    """Prints what of a graph grew, and what stayed although it has the number of rows."""
    grown = [each for each in model.nodes if each.new is not None]
    kept = [each for each in model.nodes if each.new is None]
    if len(grown) > _MOST_NODES:
        say(f"{len(grown)} constants of the graph grew with them; --json lists them")
    else:
        print_columns([each.name, f"{each.old} → {each.new}"] for each in grown)
    print_columns([each.name, f"{each.old}, kept"] for each in kept)
    if model.num_proved:
        say(
            f"TensorFlow restored it; {counted(model.num_proved, 'variable')} that grew: as in the "
            f"checkpoint, bit for bit"
        )


def print_end(arguments: argparse.Namespace, total: int | None = None) -> int:
    """Prints where the result is, or would be; returns 0."""
    size = "" if total is None else f"{format_bytes(total)} "
    say(
        f"dry run: {size}would be written to {arguments.out}"
        if arguments.dry_run
        else f"{size}written to {arguments.out}"
    )
    return 0


def print_json(value: Any) -> int:
    """Prints a value as JSON; returns 0."""
    say(json.dumps(_plain(value), indent=2))
    return 0


def _plain(value):
    """Returns a value in types that JSON has; it has no infinity."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def print_columns(rows: Iterable[Sequence[str]]) -> None:
    """Prints rows of texts in columns as wide as they need."""
    rows = [[escaped(text) for text in row] for row in rows]
    widths = (
        [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    )
    for row in rows:
        say("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def _some(names):
    return escaped(", ".join(names[:5]) + (", …" if len(names) > 5 else ""))


def _change(written):
    if written.partitions is not None:
        before, after = written.partitions
        return f"{_shapes(written)}, {before} → {counted(after, 'partition')}"
    if written.old_shape == written.new_shape:
        return format_shape(written.new_shape) + (" other values" if written.changed else "")
    return _shapes(written)


def _shapes(written):
    if written.old_shape == written.new_shape:
        return format_shape(written.new_shape)
    old = "-" if written.old_shape is None else format_shape(written.old_shape)
    new = "-" if written.new_shape is None else format_shape(written.new_shape)
    return f"{old} → {new}"


def counted(count: int, noun: str) -> str:
    """Returns a number of things as text, such as "1 row" or "2 rows"."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def format_shape(shape: Sequence[int]) -> str:
    """Returns a shape as text, such as "[10, 2]"."""
    return f"[{', '.join(str(dim) for dim in shape)}]"


def format_bytes(count: int) -> str:
    """Returns a number of bytes as text, such as "1.2 MB"."""
    if count < 1000:
        return f"{count} bytes"
    power = min(3, int(math.log10(count)) // 3)
    return f"{count / 1000**power:.1f} {' KMG'[power]}B"
