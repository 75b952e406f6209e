"""Brings files of word vectors into checkpoints, and tables of checkpoints into such files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from tf1_embed.bfloat16 import name_of
from tf1_embed.checkpoint.files.dtypes import as_dtype
from tf1_embed.checkpoint.files.names import files_of, new_files_of
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.files.writer import CheckpointWriter
from tf1_embed.checkpoint.rewrite import Silence
from tf1_embed.new_files import check_absent, check_not_read
from tf1_embed.rows import rows_in_chunk
from tf1_embed.vocabulary import NONE_RESERVED, Reserved, encode_vocabulary, read_vocabulary
from tf1_embed.word_vectors import HowTokens, open_word_vectors, write_word_vectors

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress


class Imported(NamedTuple):
    """What was imported.

    Attributes:
      shape: the shape of the table.
      num_left_out: the number of rows whose tokens the file has again.
    """

    shape: tuple[int, int]
    num_left_out: int


def import_vectors(
    path: PathLike,
    table: str,
    out: PathLike,
    format: str | None = None,
    vocabulary: PathLike | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    duplicates: str = "error",
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Writes a checkpoint that holds a file of word vectors as a table. The file is streamed.

    `tf1_embed.get_grown_table(table, checkpoint=out, ...)` grows it, or `grow_checkpoint`.

    Args:
      path: string, a file in word2vec's text or binary format, GloVe's, or `.npy`.
      table: string, the variable's name.
      out: string, the prefix to write; its folder is made if it is not there.
      format: "word2vec", "word2vec-bin", "glove" or "npy"; default: what the file itself shows.
      vocabulary: string, the file to write the tokens to, one a line in the order of the rows.
      encoding: string, that of the tokens in the file.
      errors: string, what becomes of bytes that are not of the encoding, as for `bytes.decode`:
        "strict" for an error, "replace", "backslashreplace" or "ignore".
      duplicates: "first" or "last", which row counts of a token that the file has more than once;
        or "error".
      force: bool, whether a checkpoint at `out`, or a file at `vocabulary`, is replaced.
      dry_run: bool, whether nothing is written.
      progress: function of the number of bytes in all, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.

    Returns:
      `Imported`.

    Raises:
      FileNotFoundError: if there is no such file.
      FileExistsError: if `out` or `vocabulary` exists and not `force`, or is the file that is read.
      ValueError: if the file is damaged, or in another format; if `vocabulary` is given for
        `.npy`, which has no tokens.
      OSError: if the disk is full.
    """
    path, out = os.fspath(path), os.fspath(out)
    vectors = open_word_vectors(path, format, how=HowTokens(encoding, errors, duplicates))
    dtype, shape = as_dtype(vectors.dtype), (vectors.num_rows, vectors.dim)
    num_bytes = vectors.num_rows * vectors.dim * dtype.size
    beside = [] if vocabulary is None else [os.fspath(vocabulary)]
    check_not_read(new_files_of(out) + files_of(out) + beside, [path])
    writer = CheckpointWriter(out, force=force, beside=beside)
    writer.check_room(num_bytes)
    if dry_run:
        return Imported(shape, vectors.num_left_out)
    tokens: list[str] = []

    def rows():
        for chunk_tokens, chunk in vectors.chunks():
            if vocabulary is not None:
                if chunk_tokens is None:
                    raise ValueError(f"{path} has no tokens to write to {vocabulary}")
                tokens.extend(chunk_tokens)
            yield chunk

    with (progress or Silence)(num_bytes) as bar:
        writer.progress = bar.update
        with writer:
            writer.add(table, dtype, shape, rows())
            for each in beside:
                writer.add_file(each, encode_vocabulary(tokens))
    return Imported(shape, vectors.num_left_out)


def export_vectors(
    checkpoint: PathLike,
    table: str,
    path: PathLike,
    format: str,
    vocabulary: PathLike | None = None,
    first_column: bool = False,
    reserved: Reserved = NONE_RESERVED,
    partition_strategy: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> tuple[int, int]:
    """Writes a table of a checkpoint to a file of word vectors, row by row in the order of the ids.

    Args:
      checkpoint: string, a checkpoint prefix on a local disk, or a folder, whose latest is taken.
      table: string, the name of a variable of shape [num_rows, dim].
      path: string, the file to write.
      format: "word2vec", "word2vec-bin", "glove" or "npy", which keeps the dtype; the others are of
        float32.
      vocabulary: string, the file of the table's tokens, one a line; not needed for "npy".
      first_column: bool, whether its tokens end at the first tab of their line.
      reserved: `tf1_embed.vocabulary.Reserved`, rows at the table's beginning and end that have no
        token and are left out.
      partition_strategy: "mod" or "div", needed where the table has partitions.
      force: bool, whether a file at `path` is replaced.
      dry_run: bool, whether nothing is written.
      progress: as for `import_vectors`.

    Returns:
      the shape of what was written, a tuple of ints.

    Raises:
      FileNotFoundError: if there is no such checkpoint or vocabulary.
      FileExistsError: if `path` exists and not `force`, or is a file that is read.
      KeyError: if the checkpoint holds no such table.
      ValueError: if the table is no matrix, or has not a row for each token and reserved row; if a
        token cannot be written in the format.
      CheckpointDamaged: if the checkpoint is damaged.
    """
    first, last = reserved
    with CheckpointReader(checkpoint) as reader:
        stored = StoredRows(reader, reader.find(table), partition_strategy)
        if len(stored.shape) != 2 or not reader.dtype(stored.name).is_floating:
            raise ValueError(
                f"{table!r} must be floats of shape [num_rows, dim], got "
                f"{name_of(stored.dtype)} of shape {list(stored.shape)}"
            )
        num_rows, dim = stored.shape[0] - first - last, stored.shape[1]
        tokens = None
        if vocabulary is not None:
            tokens = read_vocabulary(vocabulary, first_column)
            if len(tokens) != num_rows:
                raise ValueError(
                    f"{vocabulary} has {len(tokens)} tokens; {table!r} has {stored.shape[0]} rows, "
                    f"of which {first} + {last} are reserved"
                )
        elif format != "npy":
            raise ValueError(f"format {format!r} needs the tokens: give `vocabulary` (--vocab)")
        path = os.fspath(path)
        others = [] if vocabulary is None else [os.fspath(vocabulary)]
        check_not_read([path], files_of(reader.prefix) + others)
        check_absent(path, force)
        if dry_run:
            return num_rows, dim
        step = rows_in_chunk(stored.dtype, stored.shape[1:])

        def chunks(bar):
            for start in range(0, num_rows, step):
                stop = min(start + step, num_rows)
                rows = stored[slice(first + start, first + stop)]
                yield (None if tokens is None else tokens[start:stop]), rows
                bar.update(rows.nbytes)
            # Before the file takes its name.
            reader.check_rest()

        with (progress or Silence)(num_rows * dim * stored.dtype.itemsize) as bar:
            write_word_vectors(path, format, num_rows, dim, chunks(bar), force=force)
    return num_rows, dim
