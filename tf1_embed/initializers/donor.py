"""New rows by the place that their tokens have in another embedding, among tokens of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from tf1_embed.initializers.combined import weighted_means
from tf1_embed.initializers.known import Knowledge, KnownRows
from tf1_embed.initializers.outside import Outside, check_once
from tf1_embed.initializers.row_initializer import sum_over_chunks
from tf1_embed.rows import rows_in_chunk
from tf1_embed.vocabulary import NONE_RESERVED
from tf1_embed.word_vectors import HowTokens

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

METHODS = ("nearest", "ridge")

# Of the penalty of a ridge regression, as shares of the mean variance of the donor's columns, times
# the number of shared tokens.
_PENALTIES = 10.0 ** np.arange(-4, 3)
_NUM_FOLDS = 5


def from_donor(
    vectors: np.ndarray | PathLike,
    tokens: Sequence[str],
    old_tokens: Sequence[str],
    vocabulary: Sequence[str] | PathLike | None = None,
    method: str = "nearest",
    k: int = 10,
    reserved: tuple[int, int] = NONE_RESERVED,
    fallback: Any = None,
    format: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    duplicates: str = "error",
) -> KnownRows:
    """Makes new rows as another embedding, the donor, relates their tokens to those of old rows.

    The donor may be of another dim and of another space: old and new tokens are compared in it, and
    the result is applied to the table's own rows of the tokens that both have, the shared ones.

        donor   new ≈ ⅔ cat + ⅓ dog        table   row of new = ⅔ row of cat + ⅓ row of dog

    "nearest": the weighted mean of the rows of the `k` shared tokens whose cosine similarity to the
    new one is greatest. The weights are the sparsemax of these similarities: they sum to 1, and
    those that are much smaller than the greatest get 0. Nothing is tuned.

    "ridge": the linear map from the donor's vectors to the table's rows, with an intercept, that
    fits the shared tokens best with a penalty on its squares. Of seven penalties, 1e-4 to 100 times
    the donor's variance, that one is taken that predicts held-out shared tokens best, a fifth of
    them at a time.

    Sources: the idea, its weights and the name "shared", Dobler and de Melo, "FOCUS: Effective
    Embedding Initialization for Monolingual Specialization of Multilingual Models", EMNLP 2023, who
    take all shared tokens in the place of the nearest; sparsemax, Martins and Astudillo, "From
    Softmax to Sparsemax", ICML 2016; maps between embeddings, Mikolov, Le and Sutskever,
    "Exploiting Similarities among Languages for Machine Translation", 2013.

    Args:
      vectors: the donor, as for `from_vectors`; the vectors of shared and new tokens are held.
      tokens: list of strings, those of the new rows, in their order.
      old_tokens: list of strings, those of the old rows, in their order.
      vocabulary: as for `from_vectors`.
      method: "nearest" or "ridge".
      k: int, of "nearest".
      reserved: (first, last), how many old rows at the table's beginning and at its end have no
        token.
      fallback: one of `tf1_embed.initializers`, for new rows whose tokens the donor lacks, or has
        zeros for; default: an error, if there are such.
      format: as for `from_vectors`, as are all arguments that follow.
      encoding: see `from_vectors`.
      errors: see `from_vectors`.
      duplicates: see `from_vectors`.

    Returns:
      `KnownRows`. It raises a ValueError, when the rows are made, if the tokens are not as many as
      the rows; if the donor has no shared token, or is damaged; if tokens lack vectors and there is
      no fallback; if old rows of shared tokens hold NaN or infinity.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if `method` is unknown or `k` not positive; and as for `from_vectors`.

    Example:
      >>> import numpy as np
      >>> donor = np.float32([[1, 0], [0, 1], [1, 0.01]])
      >>> found = from_donor(
      ...     donor, ["kitten"], ["cat", "car"], vocabulary=["cat", "car", "kitten"], k=1
      ... )
      >>> found.coverage().num_known
      1
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {', '.join(METHODS)}; got {method!r}")
    if k < 1:
        raise ValueError(f"`k` must be positive, got {k}")
    check_once("tokens", tokens)
    check_once("old_tokens", old_tokens)
    tokens, old_tokens = list(tokens), list(old_tokens)
    outside = Outside(vectors, vocabulary, format, HowTokens(encoding, errors, duplicates))
    first, last = reserved
    num_old_rows = first + len(old_tokens) + last

    def check(shape, old_rows):
        if old_rows.num_rows != num_old_rows:
            raise ValueError(
                f"from_donor: there must be an old token or a reserved row for each of the "
                f"{old_rows.num_rows} old rows of {old_rows.name!r}, got {len(old_tokens)} tokens "
                f"and {first} + {last} reserved rows"
            )

    def know():
        is_found, found = outside.find([*old_tokens, *tokens])
        found = found.astype(np.float64)
        # A vector of zeros says nothing.
        is_found[is_found] = found.any(axis=1)
        found = found[found.any(axis=1)]
        is_shared, is_known = is_found[: len(old_tokens)], is_found[len(old_tokens) :]
        num_shared = int(np.count_nonzero(is_shared))
        if not num_shared:
            raise ValueError(
                f"from_donor: {outside.name} has none of the {len(old_tokens)} old tokens, such as "
                f"{old_tokens[:3]!r}. Is it of the same language, spelled alike?"
            )
        ids = first + np.flatnonzero(is_shared)
        shared, new = found[:num_shared], found[num_shared:]
        if method == "ridge":
            return _mapped(shared, ids, new, is_known, tokens)
        parts, weights = _nearest(shared, ids, new, min(k, num_shared))
        of_row = np.cumsum(is_known) - 1
        nothing = np.empty(0, np.int64), np.empty(0)
        pairs = [
            (parts[at], weights[at]) if known else nothing for at, known in zip(of_row, is_known)
        ]
        return weighted_means([ids for ids, _ in pairs], [own for _, own in pairs], tokens)

    which = f", k={k}" if method == "nearest" else ", method='ridge'"
    return KnownRows(know, f"from_donor({outside.name}{which}", fallback, check=check)


def sparsemax(scores: np.ndarray) -> np.ndarray:
    """Returns the point of the simplex that is nearest to each row of scores.

    Args:
      scores: float64 array of shape [m, k], each row descending.

    Returns:
      float64 array of that shape, each row not negative and of sum 1.

    Example:
      >>> sparsemax(np.array([[0.5, 0.5, -1.0], [3.0, 1.0, 0.0]])).tolist()
      [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]
    """
    counts = np.arange(1, scores.shape[1] + 1)
    sums = np.cumsum(scores, axis=1)
    support = np.count_nonzero(1 + counts * scores > sums, axis=1)
    threshold = (sums[np.arange(len(scores)), support - 1] - 1) / support
    return np.maximum(scores - threshold[:, np.newaxis], 0.0)


def _nearest(shared, ids, new, k):
    """Returns the ids and the weights of the k shared tokens that are nearest to each new one."""
    shared = shared / np.linalg.norm(shared, axis=1, keepdims=True)
    new = new / np.linalg.norm(new, axis=1, keepdims=True)
    parts, weights = [], []
    step = rows_in_chunk(np.float64, [len(shared)])
    for start in range(0, len(new), step):
        similarities = new[start : start + step] @ shared.T
        nearest = np.argpartition(-similarities, k - 1, axis=1)[:, :k]
        scores = np.take_along_axis(similarities, nearest, axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")
        nearest, scores = (np.take_along_axis(each, order, axis=1) for each in (nearest, scores))
        for places, own in zip(nearest, sparsemax(scores)):
            parts.append(ids[places[own > 0]])
            weights.append(own[own > 0])
    return parts, weights


def _mapped(shared, ids, new, is_known, names):
    """Returns `Knowledge` of rows by the linear map that fits the shared tokens' rows."""
    centre = shared.mean(axis=0)
    shared = np.concatenate([shared - centre, np.ones([len(shared), 1])], axis=1)
    new = np.concatenate([new - centre, np.ones([len(new), 1])], axis=1)
    folds = np.arange(len(shared)) % _NUM_FOLDS
    width = shared.shape[1]
    gram = np.array([shared[folds == fold].T @ shared[folds == fold] for fold in range(_NUM_FOLDS)])

    def prepare(shape, old_rows):
        dim = int(np.prod(shape[1:]))
        # Of each fold the products of vectors and rows, then the squares of the rows.
        sums_shape = [_NUM_FOLDS, width + 1, dim]

        def of_chunk(rows, start):
            chosen = slice(int(start), int(start) + len(rows))
            rows = rows.reshape([len(rows), dim])
            total = np.zeros(sums_shape)
            for fold in range(_NUM_FOLDS):
                own = folds[chosen] == fold
                total[fold, :-1] = shared[chosen][own].T @ rows[own]
                total[fold, -1] = np.square(rows[own]).sum(axis=0)
            return total

        def add(rows, start):
            return old_rows.maths.host(of_chunk, [rows, start], sums_shape, np.float64)

        def fill(rows, totals):
            matrix = _best_map(gram, totals[:, :-1], totals[:, -1], len(shared))
            rows[is_known] = (new @ matrix).reshape([-1] + shape[1:])

        return sum_over_chunks(add, sums_shape, shape, old_rows, ids), fill

    return Knowledge(is_known, prepare, names)


def _best_map(gram, products, squares, count):
    """Returns the map [width, dim] with the penalty that predicts held-out rows best."""
    mean_variance = np.trace(gram.sum(axis=0)[:-1, :-1]) / max(1, gram.shape[1] - 1)
    # A donor of one vector has no variance; any penalty gives the intercept then.
    penalties = _PENALTIES * (mean_variance or 1.0)

    def fit(penalty, held_out=None):
        left = gram.sum(axis=0) - (0 if held_out is None else gram[held_out])
        right = products.sum(axis=0) - (0 if held_out is None else products[held_out])
        weights = np.full(len(left), penalty)
        weights[-1] = 1e-9 * count
        return np.linalg.solve(left + np.diag(weights), right)

    def error(penalty):
        total = 0.0
        for fold in range(len(gram) if count > 1 else 0):
            matrix = fit(penalty, fold)
            total += squares[fold].sum() - 2 * (matrix * products[fold]).sum()
            total += (matrix * (gram[fold] @ matrix)).sum()
        return total

    return fit(min(penalties, key=error))
