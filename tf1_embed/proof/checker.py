"""The proof that frozen rows stay: their bits, taken once and compared again and again.

    a certificate or the old checkpoint, if given
        │ the same fingerprint?
        v
    start: bits into a temporary file ──> check ──> check … at the end ──> certificate

`FrozenRowsHook` does this in monitored sessions, `FrozenRowsChecker` in any; `check_frozen_rows`
does the first step alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import tensorflow.compat.v1 as tf

from tf1_embed.certificates import Certificate, write_certificates
from tf1_embed.graph.variables import VariableLike
from tf1_embed.proof.frozen_rows import FrozenRows, describe, frozen_bits_of

if TYPE_CHECKING:
    from tf1_embed.types import PathLike


class FrozenRowsChecker:
    """Checks frozen rows of variables in a session, bit for bit, against what they were.

    The operations that read are made here, before the graph is finalized; a check adds none. It
    pulls the rows through the session in chunks of 4 MB. The bits of before are kept in a temporary
    file as large as the frozen rows, which vanishes with the checker.

    With an optimizer of `tf1_embed`, or a `GrownTable`, a check may run while other threads train.

    Attributes:
      seconds: float, what the last check took.

    Example:
      >>> import numpy as np
      >>> import tensorflow.compat.v1 as tf
      >>> import tf1_embed
      >>> with tf.Graph().as_default(), tf.Session() as session:
      ...     table = tf.get_variable("embedding", initializer=np.zeros([4, 2], np.float32))
      ...     frozen = tf1_embed.Rows.range(0, 3, size=4)
      ...     checker = tf1_embed.FrozenRowsChecker({table: frozen})
      ...     session.run(table.initializer)
      ...     checker.start(session)
      ...     session.run(tf.scatter_update(table, [1, 3], np.ones([2, 2], np.float32)).op)
      ...     try:
      ...         checker.check(session)
      ...     except tf1_embed.FrozenRowsChanged as changed:
      ...         print(changed.variable, changed.ids, changed.largest_difference)
      embedding [1] 1.0
    """

    def __init__(
        self,
        frozen_rows: FrozenRows,
        expected: PathLike | None = None,
        partition_strategy: str | None = None,
        folder: PathLike | None = None,
        axis: int | dict[VariableLike, int] = 0,
    ):
        """Makes the operations that read the rows; reads none yet.

        Args:
          frozen_rows: dict from variable, its name, or a pattern of names such as `model/ent*`, to
            its frozen rows: `Rows`, or ids, a range, a slice, or a bool vector; those of the whole
            table for a partitioned one. Or a `GrownTable`, or a list of them.
          expected: string, what the rows have to be at the start: the path of a certificate
            (`….rows.json`), or the prefix of the old checkpoint. Default: whatever they are.
          partition_strategy: "mod" or "div", how lookups send ids to the partitions of variables
            that have more than one.
          folder: string, where the temporary file is made; default: the system's place.
          axis: int, or a dict from variables to ints, along which ids count, as for
            `TrainableRowsOptimizer`: 1 for a projection [dim, num_ids], whose columns are then
            meant; also said by a name, "projection:1".

        Raises:
          TypeError: if `frozen_rows` are none of these.
          ValueError: if a variable lacks some of its rows, or the axis; if `axis` is given for a
            `GrownTable`; if `partition_strategy` is needed and not given; if `expected` is a
            certificate of other rows, or damaged.
          FileNotFoundError: if `expected` does not exist.
          KeyError: if a name or pattern matches no variable (the trainable ones are listed), or
            `expected` has no table of a variable's name.
          RuntimeError: if the graph is finalized, and no earlier checker read these variables; if
            a variable is named in eager mode.
        """
        self._tables = frozen_bits_of(frozen_rows, expected, partition_strategy, axis)
        self._folder = folder
        self.seconds: float = 0.0

    def start(self, session: tf.Session) -> None:
        """Takes the bits that all later checks compare with.

        Args:
          session: `tf.Session` in which the variables have their values.

        Raises:
          FrozenRowsChanged: if the rows are not those that were `expected`.
        """
        self._timed(lambda table: table.start(session, self._folder))

    def check(self, session: tf.Session) -> None:
        """Compares the rows with what they were at the start.

        Args:
          session: `tf.Session`.

        Raises:
          FrozenRowsChanged: if a bit of them has changed, for the first table where one has.
          ValueError: if `start` was not called before.
        """
        self._timed(lambda table: table.check(session))

    def certificates(self) -> list[Certificate]:
        """Returns what was proved by the last check, a list of `Certificate`.

        Raises:
          ValueError: if `start` was not called before.
        """
        return [table.certificate() for table in self._tables]

    def _timed(self, look):
        started = time.perf_counter()
        for table in self._tables:
            look(table)
        self.seconds = time.perf_counter() - started


class FrozenRowsHook(tf.train.SessionRunHook):
    """Checks frozen rows while a `MonitoredTrainingSession` or an Estimator trains.

    The bits are taken when the session has been made and restored, and compared every N runs of the
    session, every T seconds and at the end. A check by time is put off until a hundred times as
    long has passed as the last one took: by default the hook takes at most 1 % of the time. Where
    several workers train, one needs the hook, such as the chief.

    In an Estimator, which makes the variables in its `model_fn`, make the hook there, for the
    `training_hooks` of the `EstimatorSpec`.

    Example:
      >>> import numpy as np
      >>> import tensorflow.compat.v1 as tf
      >>> import tf1_embed
      >>> with tf.Graph().as_default():
      ...     table = tf1_embed.get_grown_table("table", 2, old_rows=np.zeros([4, 2], "f"))
      ...     loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, [0, 5]))
      ...     train_op = tf.train.AdamOptimizer().minimize(loss)
      ...     hook = tf1_embed.FrozenRowsHook(table, every_n_steps=10)
      ...     with tf.train.MonitoredSession(hooks=[hook]) as session:
      ...         for _ in range(20):
      ...             session.run(train_op)
      ...     print("unchanged")
      unchanged
    """

    def __init__(
        self,
        frozen_rows: FrozenRows,
        every_n_steps: int | None = None,
        every_n_secs: float | None = 600,
        expected: PathLike | None = None,
        certificate: PathLike | None = None,
        partition_strategy: str | None = None,
        folder: PathLike | None = None,
        axis: int | dict[VariableLike, int] = 0,
    ):
        """Takes what to check, and how often.

        Args:
          frozen_rows: as for `FrozenRowsChecker`; names are looked for when the session is made.
          every_n_steps: int, checks after so many runs of the session; None: not by steps.
          every_n_secs: float, checks after so many seconds; None: not by time.
          expected: as for `FrozenRowsChecker`.
          certificate: string, a checkpoint prefix or a path that ends in `.rows.json`, where a
            certificate of the rows is written after the check at the end; None: nowhere.
          partition_strategy: as for `FrozenRowsChecker`.
          folder: as for `FrozenRowsChecker`.
          axis: as for `FrozenRowsChecker`.

        Raises:
          ValueError: if `every_n_steps` or `every_n_secs` is not positive.
        """
        for argument, value in (("every_n_steps", every_n_steps), ("every_n_secs", every_n_secs)):
            if value is not None and not value > 0:
                raise ValueError(f"`{argument}` must be positive, or None; got {value!r}")
        self._frozen_rows = frozen_rows
        self._options = (expected, partition_strategy, folder, axis)
        self._every_n_steps = every_n_steps
        self._every_n_secs = every_n_secs
        self._certificate = certificate
        self._checker: Any = None
        self._started = False

    def begin(self) -> None:
        """Makes the operations that read the rows."""
        self._checker = FrozenRowsChecker(self._frozen_rows, *self._options)
        self._started = False
        self._runs = 0

    def after_create_session(self, session: tf.Session, coord: tf.train.Coordinator) -> None:
        """Takes the bits; in a session made again after a failure, compares them."""
        del coord
        if self._started:
            self._check(session)
            return
        self._checker.start(session)
        self._started = True
        self._checked_at = time.monotonic()

    def after_run(
        self, run_context: tf.train.SessionRunContext, run_values: tf.train.SessionRunValues
    ) -> None:
        """Checks, if it is time."""
        del run_values
        self._runs += 1
        if self._is_due():
            self._check(run_context.session)

    def end(self, session: tf.Session) -> None:
        """Checks a last time, and writes the certificate."""
        self._check(session)
        if self._certificate is not None:
            write_certificates(self._certificate, self._checker.certificates())

    def __repr__(self) -> str:
        often = [
            text
            for value, text in (
                (self._every_n_steps, f"every {self._every_n_steps} steps"),
                (self._every_n_secs, f"every {self._every_n_secs} s"),
            )
            if value is not None
        ]
        when = " or ".join(often + ["at the end"])
        return f"<FrozenRowsHook of {describe(self._frozen_rows)}, {when}>"

    def _is_due(self):
        if self._every_n_steps is not None and self._runs % self._every_n_steps == 0:
            return True
        if self._every_n_secs is None:
            return False
        passed = time.monotonic() - self._checked_at
        return passed >= max(self._every_n_secs, 100 * self._checker.seconds)

    def _check(self, session):
        self._checker.check(session)
        self._checked_at = time.monotonic()


def check_frozen_rows(
    session: tf.Session,
    frozen_rows: FrozenRows,
    expected: PathLike,
    partition_strategy: str | None = None,
    axis: int | dict[VariableLike, int] = 0,
) -> None:
    """Checks once that frozen rows in a session are those of a certificate or a checkpoint.

    Without `expected`, to compare with the rows of an earlier moment of the same session, use
    `FrozenRowsChecker`.

    Args:
      session: `tf.Session` in which the variables have their values.
      frozen_rows: as for `FrozenRowsChecker`.
      expected: string, the path of a certificate (`….rows.json`), or the prefix of the old
        checkpoint.
      partition_strategy: as for `FrozenRowsChecker`.
      axis: as for `FrozenRowsChecker`.

    Raises:
      FrozenRowsChanged: if a bit differs.
      KeyError: if a name or pattern matches no variable, or `expected` has no table of its name.
      ValueError: if `expected` is None, and as for `FrozenRowsChecker`.
    """
    if expected is None:
        raise ValueError("`expected` must be the path of a certificate or a checkpoint, got None")
    with session.graph.as_default():
        tables = frozen_bits_of(frozen_rows, expected, partition_strategy, axis)
    for table in tables:
        table.compare_with_expected(session)
