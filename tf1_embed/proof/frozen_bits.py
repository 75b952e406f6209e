"""The bits of one variable's frozen rows: kept at the start, compared later."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.certificates import Certificate
from tf1_embed.checkpoint.files.find import find_checkpoint
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.fingerprints import (
    ChangedRows,
    Digest,
    as_bytes,
    beside,
    check_rows,
    chunks_of,
    how_far,
)
from tf1_embed.graph.live_rows import LiveRows
from tf1_embed.proof.fingerprint import fingerprint_checkpoint
from tf1_embed.proof.summaries import record_changed_rows

if TYPE_CHECKING:
    from typing import BinaryIO, Mapping

    from tf1_embed.rows import Rows
    from tf1_embed.types import LiveVariable, PathLike

# How many of the rows that changed are named.
_NUM_NAMED = 10


class FrozenRowsChanged(Exception):
    """Rows that were to stay have changed.

    Attributes:
      variable: string, the full name of the variable.
      ids: list of ints, the first rows that changed, at most 10; None where it cannot be told.
      count: int, how many rows changed; None where it cannot be told.
      largest_difference: float, between a number before and after. 0.0 if they all compare equal
        and only bits differ, as in the sign of a zero or the payload of a NaN; infinite if a number
        became a NaN; None where it cannot be told.
      step: int, the global step at which it was noticed; None where there is none.
    """

    variable: str
    ids: list[int] | None
    count: int | None
    largest_difference: float | None
    step: int | None

    def __init__(
        self,
        message: str,
        variable: str,
        change: tuple[list[int], int, float] | None = None,
        step: int | None = None,
    ) -> None:
        super().__init__(message)
        self.variable = variable
        self.ids, self.count, self.largest_difference = change or (None, None, None)
        self.step = step


class FrozenBits:
    """The frozen rows of one variable in a session.

    The bits of before lie in a temporary file: in memory they would be a second table, and a digest
    alone would tell that something changed, but not which rows did, nor how far.

    Attributes:
      name: string, the full name of the variable.
      rows: `Rows`, those that are frozen.
      axis: int, along which their ids count.
    """

    name: str
    rows: Rows
    axis: int

    def __init__(
        self,
        variable: LiveVariable,
        rows: Rows,
        partition_strategy: str | None = None,
        axis: int = 0,
    ) -> None:
        """Makes the operations that read the rows."""
        self._live = LiveRows(variable, partition_strategy, axis)
        self.name, self.rows, self.axis = self._live.name, rows, axis
        check_rows(f"variable {self.name}", self._live.shape, self._live.dtype, rows, axis)
        self._global_step = tf.train.get_global_step(self._live.graph)
        self._expected: Certificate | None = None
        self._digest: str | None = None
        self._file: BinaryIO | None = None

    def expect_certificate(self, certificates: Mapping[str, Certificate], path: str) -> None:
        """Sets what the rows have to be at the start: what one of the certificates says."""
        own = self._certificate(None, None)
        if own.key not in certificates:
            names = ", ".join(repr(each) for each in sorted(certificates))
            raise KeyError(f"{path!r} has no certificate of {own.key!r}; it has {names}")
        expected = certificates[own.key]
        for field in ("dtype", "row_shape"):
            if getattr(expected, field) != getattr(own, field):
                raise ValueError(
                    f"`expected`: by {path!r} {self.name!r} has {field} "
                    f"{getattr(expected, field)!r}, the variable has {getattr(own, field)!r}"
                )
        # The table may have grown since, and its size with it.
        if expected.rows.runs() != own.rows.runs():
            raise ValueError(
                f"`expected`: {path!r} is a certificate of other rows of {self.name!r} than are "
                f"frozen: {expected.rows}, not {own.rows}"
            )
        self._expected = expected

    def expect_checkpoint(self, checkpoint: str) -> None:
        """Sets what the rows have to be at the start: what they are in a checkpoint."""
        base = find_checkpoint(checkpoint)
        digest = fingerprint_checkpoint(
            base, self.name, self.rows, self._live.partition_strategy, self.axis
        )
        self._expected = self._certificate(digest, base)

    def start(self, session: tf.Session, folder: PathLike | None = None) -> None:
        """Compares the rows with what was expected, and keeps their bits."""
        file = tempfile.TemporaryFile(dir=folder)
        self._digest = self.compare_with_expected(session, file)
        self._file = file

    def compare_with_expected(self, session: tf.Session, file: BinaryIO | None = None) -> str:
        """Compares the rows with what was expected.

        Args:
          session: `tf.Session`.
          file: a file to write their bits to.

        Returns:
          string, their fingerprint.

        Raises:
          FrozenRowsChanged: if it is not the one that was expected.
        """
        axis, shape = self.axis, self._live.shape
        in_making = Digest(self._live.dtype, shape[:axis] + (self.rows.count,) + shape[axis + 1 :])
        for _, values in self._chunks(session):
            in_making.update(values)
            if file is not None:
                file.write(as_bytes(values).data)
        digest, expected = in_making.hexdigest(), self._expected
        if expected is not None and digest != expected.digest:
            self._report(session, self._change_since(expected.base, session))
        record_changed_rows(session, self._live.graph, self.name, 0)
        return digest

    def check(self, session: tf.Session) -> None:
        """Compares the rows with the bits that were kept.

        Raises:
          FrozenRowsChanged: if a bit differs.
          ValueError: if there are none.
        """
        if self._file is None:
            raise ValueError("call start(session) first, which takes the bits to compare with")
        self._file.seek(0)
        change = self._change(self._beside_kept(self._chunks(session)))
        if change is not None:
            self._report(session, change)
        record_changed_rows(session, self._live.graph, self.name, 0)

    def certificate(self) -> Certificate:
        """Returns the `Certificate` of the bits that were kept."""
        if self._file is None:
            raise ValueError("call start(session) first, which takes the bits to certify")
        return self._certificate(self._digest, self._expected and self._expected.base)

    def _certificate(self, digest, base):
        live, axis = self._live, self.axis
        row_shape = live.shape[:axis] + live.shape[axis + 1 :]
        return Certificate(self.name, self.rows, live.dtype.name, row_shape, digest, base, axis)

    def _chunks(self, session):
        return chunks_of(self._live.in_session(session), self.rows, self.axis)

    def _change_since(self, checkpoint, session):
        """Returns what `_change` does; None, too, if the checkpoint is gone."""
        if checkpoint is None or not tf.gfile.Exists(f"{checkpoint}.index"):
            return None
        with CheckpointReader(checkpoint) as reader:
            name, strategy = reader.find(self.name), self._live.partition_strategy
            stored = StoredRows(reader, name, strategy, self.axis)
            return self._change(beside(stored, self._chunks(session), self.axis))

    def _beside_kept(self, chunks):
        """Yields ids, the values that were kept of them, and those of each chunk."""
        for ids, new in chunks:
            old = np.frombuffer(self._file.read(new.nbytes), np.uint8)
            yield ids, old.view(new.dtype).reshape(new.shape), new

    def _change(self, pairs):
        """Returns (first ids, count, largest difference) of the rows that changed, or None."""
        changed = ChangedRows(_NUM_NAMED, self.axis)
        for ids, old, new in pairs:
            changed.add(ids, old, new)
        found = changed.first_ids, changed.count, changed.largest_difference
        return found if changed.count else None

    def _report(self, session, change):
        """Raises FrozenRowsChanged."""
        step = None if self._global_step is None else int(session.run(self._global_step))
        at_step = "" if step is None else f", at step {step}"
        if change is None:
            message = (
                f"the frozen rows of {self.name!r} are not those that were expected{at_step}; "
                f"which ones differ cannot be told without the checkpoint that the certificate is "
                f"of"
            )
        else:
            ids, count, largest = change
            record_changed_rows(session, self._live.graph, self.name, count)
            more = f" and {count - len(ids)} more" if count > len(ids) else ""
            far = how_far(largest)
            what = f"entries on axis {self.axis}" if self.axis else "rows"
            message = (
                f"{count} of {self.rows.count} frozen {what} of {self.name!r} changed {far}"
                f"{at_step}: {', '.join(str(each) for each in ids)}{more}"
            )
        raise FrozenRowsChanged(
            f"{message}. Restore them from the checkpoint of before, and train by a GrownTable or "
            f"under TrainableRowsOptimizer, which leave them as they are",
            self.name,
            change,
            step,
        )
