"""What a frozen model knows of a row before it has any fact: the old rows, and the old queries."""

from __future__ import annotations

from typing import Any

import numpy as np

from tf1_embed.certificates import (
    SUFFIX,
    Certificate,
    encode_certificates,
    read_certificates,
)
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.writer import CheckpointWriter
from tf1_embed.fingerprints import digest_of
from tf1_embed.rows import Rows
from tf1_embed.solving.facts import check_facts, log_partitions, parts

_TABLE = "rows"
_SUMS = ("gram", "numbers", "query_offset_sum", "query_sum")
_PARTITIONS = "log_partitions"


class Background:
    """Old rows and old queries, in memory of the order of dim².

    A score is `query · row + offset`. Every old query, with the old row that answers it, is added
    once, in batches of any size; none is kept. What is kept are sums: of the queries, of their
    outer products, of the right scores, and, where asked for, the logarithm of each query's
    softmax partition over all old rows (4 bytes a query).

    Attributes:
      old_rows: the rows as they were given, `[num_old_rows, dim]`.
      num_old_rows: int.
      dim: int.
      num_queries: int, how many old queries were added.
      mean: float64 `[dim]`, of the old rows.
      covariance: float64 `[dim, dim]`, of the old rows.
      mean_square_norm: float, of the old rows.
      mean_norm: float, of the old rows.
      mean_cube: float, the mean absolute cube of the old rows' numbers.
      query_sum: float64 `[dim]`.
      query_offset_sum: float64 `[dim]`, the sum of the queries, each times its offset.
      gram: float64 `[dim, dim]`, the sum of the queries' outer products.

    Example:
      >>> old_rows = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
      >>> background = Background(old_rows)
      >>> background.add(queries=[[2.0, 0.0], [0.0, 3.0]], ids=[0, 1])
      >>> background.right_mean, background.random_mean
      (2.5, 0.0)
    """

    old_rows: Any
    num_old_rows: int
    dim: int
    mean: np.ndarray
    covariance: np.ndarray
    mean_square_norm: float
    mean_norm: float
    mean_cube: float
    query_sum: np.ndarray
    query_offset_sum: np.ndarray
    gram: np.ndarray

    def __init__(self, old_rows: Any, partitions: bool = False) -> None:
        """Takes the frozen rows.

        Args:
          old_rows: floats `[num_old_rows, dim]`, an array or a memory map.
          partitions: whether to keep the logarithm of the partition over all old rows for each
            query, as softmax models need; it costs a score for every pair of query and row.

        Raises:
          ValueError: if the rows are no matrix of finite floats.
        """
        if not hasattr(old_rows, "dtype"):
            old_rows = np.asarray(old_rows)
        if len(old_rows.shape) != 2 or old_rows.dtype.kind != "f" or not len(old_rows):
            raise ValueError(
                f"`old_rows` must be floats of shape [num_old_rows, dim], got {old_rows.dtype} of "
                f"shape {list(old_rows.shape)}"
            )
        self.old_rows = old_rows
        self.num_old_rows, self.dim = (int(each) for each in old_rows.shape)
        self._look_at_rows()
        self.query_sum = np.zeros(self.dim)
        self.query_offset_sum = np.zeros(self.dim)
        self.gram = np.zeros((self.dim, self.dim))
        # How many, and the sums of: right scores, their squares, offsets, squares of what the
        # scores miss of targets; how many had targets.
        self._numbers = np.zeros(6)
        self._log_partitions: list[np.ndarray] | None = [] if partitions else None

    def add(self, queries: Any, ids: Any, targets: Any = None, offsets: Any = None) -> None:
        """Adds old queries and what answers them.

        Args:
          queries: floats `[batch, dim]`.
          ids: ints `[batch]`, the old row that each is answered by, or was rated with.
          targets: floats `[batch]`, what the scores were trained to be; None where a fact says
            only that the row is the right one.
          offsets: floats `[batch]`, what is added to each score; default 0.

        Raises:
          ValueError: if shapes do not fit, numbers are not finite, or an id is not an old row's.
        """
        queries, ids, targets, offsets = check_facts(self.dim, queries, ids, targets, offsets)
        if ids.size and not 0 <= ids.min() <= ids.max() < self.num_old_rows:
            raise ValueError(
                f"`ids` must be those of old rows, in [0, {self.num_old_rows}); got "
                f"{ids.min()} to {ids.max()}"
            )
        for part in parts(len(ids), self.dim):
            self._add(
                queries[part].astype(np.float64),
                ids[part],
                None if targets is None else targets[part],
                offsets[part],
            )

    def _add(self, queries, ids, targets, offsets):
        right = np.einsum("ij,ij->i", queries, self.old_rows[ids].astype(np.float64)) + offsets
        self.query_sum += queries.sum(axis=0)
        self.query_offset_sum += offsets @ queries
        self.gram += queries.T @ queries
        self._numbers[:4] += len(ids), right.sum(), (right**2).sum(), offsets.sum()
        if targets is not None:
            self._numbers[4:] += ((targets - right) ** 2).sum(), len(ids)
        if self._log_partitions is not None:
            # Without offsets: those are of all rows, and cancel in a softmax.
            values = log_partitions(queries, self.old_rows)
            self._log_partitions.append(values.astype(np.float32))

    @property
    def num_queries(self) -> int:
        """How many old queries were added."""
        return int(self._numbers[0])

    @property
    def right_mean(self) -> float:
        """The mean score of old queries with the rows that answer them."""
        return float(self._numbers[1] / self._count())

    @property
    def random_mean(self) -> float:
        """The mean score of old queries with all old rows."""
        return float((self.query_sum @ self.mean + self._numbers[3]) / self._count())

    @property
    def noise_variance(self) -> float:
        """The mean square of what right scores miss of their targets.

        Where no targets were given, the variance of the right scores: their mean is the target.
        """
        self._count()
        if self._numbers[5]:
            return float(self._numbers[4] / self._numbers[5])
        return float(max(self._numbers[2] / self.num_queries - self.right_mean**2, 0.0))

    @property
    def has_targets(self) -> bool:
        """Whether old queries came with targets."""
        return bool(self._numbers[5])

    @property
    def log_partitions(self) -> np.ndarray | None:
        """The logarithm of each query's partition over the old rows, float32 `[num_queries]`.

        Without the query's offset, which all rows have in common. In the order in which the queries
        were added; None if not asked for.
        """
        if self._log_partitions is None:
            return None
        return np.concatenate([np.zeros(0, np.float32)] + self._log_partitions)

    def shrunk_covariance(self) -> np.ndarray:
        """Returns the old rows' covariance, drawn to a multiple of the identity where they are few.

        By how much is the formula of Ledoit and Wolf, "A well-conditioned estimator for
        large-dimensional covariance matrices" (2004), which needs no tuning: nothing for many
        rows, all the way for fewer rows than can tell a direction from another.

        Returns:
          float64 `[dim, dim]`, positive definite unless all old rows are the same.
        """
        scale = np.trace(self.covariance) / self.dim
        target = scale * np.eye(self.dim)
        distance = ((self.covariance - target) ** 2).sum()
        error = (self._fourth_moment - (self.covariance**2).sum()) / self.num_old_rows
        share = min(1.0, error / distance) if distance > 0 else 1.0
        return share * target + (1 - share) * self.covariance

    def save(self, prefix: str, force: bool = False) -> None:
        """Saves the sums as a small checkpoint, with the fingerprint of the old rows beside it.

        The old rows are not in it.

        Args:
          prefix: string, the prefix to write; its folder is made if it is not there.
          force: whether a checkpoint of that prefix is replaced.

        Raises:
          FileExistsError: if there is a checkpoint of that prefix and not `force`.
        """
        tensors: dict[str, np.ndarray] = {
            "gram": self.gram,
            "numbers": self._numbers,
            "query_offset_sum": self.query_offset_sum,
            "query_sum": self.query_sum,
        }
        log_partitions = self.log_partitions
        if log_partitions is not None:
            tensors[_PARTITIONS] = log_partitions
        rows = Rows.range(0, self.num_old_rows, size=self.num_old_rows)
        certificate = Certificate(
            _TABLE,
            rows,
            self.old_rows.dtype.name,
            (self.dim,),
            digest_of(self.old_rows),
            base=None,
        )
        # No model is trained on from it: the folder's latest checkpoint stays what it is.
        with CheckpointWriter(prefix, force, is_latest=False) as writer:
            for name, values in sorted(tensors.items()):
                writer.add(name, values.dtype, values.shape, iter([values]))
            writer.add_file(writer.prefix + SUFFIX, encode_certificates([certificate]))

    @classmethod
    def load(cls, prefix: str, old_rows: Any) -> Background:
        """Loads what `save` wrote, for the same rows.

        Args:
          prefix: string, the checkpoint's prefix.
          old_rows: floats `[num_old_rows, dim]`, the rows it was made of, bit for bit.

        Returns:
          `Background`.

        Raises:
          FileNotFoundError: if there is no such checkpoint, or no certificate beside it.
          ValueError: if it was made of other rows, or is no background.
        """
        certificate = read_certificates(prefix).get(_TABLE)
        background = cls(old_rows)
        digest = digest_of(background.old_rows)
        if certificate is None or certificate.digest != digest:
            made_of = "no rows that it names" if certificate is None else certificate.digest
            raise ValueError(
                f"`old_rows` are not those that {prefix} was made of: their fingerprint is "
                f"{digest}, there it is {made_of}. Make a new Background of these"
            )
        with CheckpointReader(prefix) as reader:
            names = set(reader.names())
            if not set(_SUMS) <= names:
                raise ValueError(f"{prefix} is no background: it holds {sorted(names)}")
            read = {name: np.array(reader.rows(name, 0, reader.shape(name)[0])) for name in names}
            reader.check_rest()
        background.gram, background._numbers = read["gram"], read["numbers"]
        background.query_sum = read["query_sum"]
        background.query_offset_sum = read["query_offset_sum"]
        background._log_partitions = [read[_PARTITIONS]] if _PARTITIONS in names else None
        return background

    def _count(self):
        if not self.num_queries:
            raise ValueError("the background has no queries yet: `add` old ones first")
        return self.num_queries

    def _look_at_rows(self):
        total, square_norm, norm, cubes = np.zeros(self.dim), 0.0, 0.0, 0.0
        for rows in _chunks(self.old_rows):
            if not np.isfinite(rows).all():
                raise ValueError("`old_rows` hold NaN or infinity")
            norms = np.linalg.norm(rows, axis=1)
            total += rows.sum(axis=0)
            square_norm += (norms**2).sum()
            norm += norms.sum()
            cubes += (np.abs(rows) ** 3).sum()
        self.mean = total / self.num_old_rows
        self.mean_square_norm = float(square_norm / self.num_old_rows)
        self.mean_norm = float(norm / self.num_old_rows)
        self.mean_cube = float(cubes / (self.num_old_rows * self.dim))
        scatter, fourth = np.zeros((self.dim, self.dim)), 0.0
        for rows in _chunks(self.old_rows):
            centred = rows - self.mean
            scatter += centred.T @ centred
            fourth += (np.einsum("ij,ij->i", centred, centred) ** 2).sum()
        self.covariance = scatter / self.num_old_rows
        # The mean of |row - mean|^4.
        self._fourth_moment = fourth / self.num_old_rows


def _chunks(rows):
    """Yields rows in float64, as many as make a chunk of scores."""
    for part in parts(rows.shape[0], rows.shape[1]):
        yield np.asarray(rows[part]).astype(np.float64)
