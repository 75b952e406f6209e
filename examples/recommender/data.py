"""Ratings of films, and the choice of films or of users to come later."""

import io
import os
import zipfile
from collections import namedtuple

import numpy as np

# In the wheel, and in what it installs.
INSIDE = "recbole/dataset_example/ml-100k/ml-100k.inter"

GET_IT = (
    "MovieLens-100k comes with the package recbole: fetch its wheel, which need not be installed, "
    "with `pip download --no-deps recbole`, and give it as --data"
)

# users, items: int32 [ratings], from 0 on. values: float32 [ratings].
Ratings = namedtuple("Ratings", "users items values")


class Split(namedtuple("Split", "train held_out facts test num_rows num_old")):
    """Ratings of old rows to train on and held out; of new rows, the facts and the test."""

    __slots__ = ()


def load(path):
    """Reads the ratings from recbole's wheel, from its `ml-100k.inter`, or from a folder with it.

    Raises:
      FileNotFoundError: if there is nothing of the kind; the error says where to get it.
    """
    if os.path.isdir(path):
        path = os.path.join(path, os.path.basename(INSIDE))
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no {path}. {GET_IT}")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            text = wheel.read(INSIDE).decode("utf-8")
    else:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    header, _, rest = text.partition("\n")
    if not header.startswith("user_id:token\titem_id:token\trating:float"):
        raise ValueError(f"{path} is no file of ratings: it begins with {header!r:.80}")
    table = np.loadtxt(io.StringIO(rest), usecols=(0, 1, 2))
    users, items = (np.unique(table[:, column], return_inverse=True)[1] for column in (0, 1))
    return Ratings(users.astype(np.int32), items.astype(np.int32), table[:, 2].astype(np.float32))


def split(ratings, what, num_new, seed, least=10):
    """Chooses the items, or the users, that come later, and gives them the last ids.

    Args:
      ratings: `Ratings`.
      what: "items" or "users".
      num_new: int, how many come later; each has at least `least` ratings.
      seed: int.

    Returns:
      `(Ratings, Split)`: the ratings with the ids that were given, and ints that index them. Half
      of a new row's ratings are its facts, the others test it; a tenth of the old rows' ratings is
      held out.
    """
    random = np.random.RandomState(seed)
    ids = getattr(ratings, what)
    counts = np.bincount(ids)
    candidates = np.flatnonzero(counts >= least)
    if not 0 < num_new < len(candidates):
        raise ValueError(
            f"`num_new` must be from 1 to {len(candidates) - 1}, one less than there are {what} "
            f"with {least} ratings; got {num_new}"
        )
    chosen = random.permutation(candidates)[:num_new]
    order = np.concatenate([np.setdiff1d(np.arange(len(counts)), chosen), chosen])
    ratings = ratings._replace(**{what: np.argsort(order)[ids].astype(np.int32)})
    first = len(counts) - num_new
    is_new = getattr(ratings, what) >= first
    old = random.permutation(np.flatnonzero(~is_new))
    facts, test = [], []
    for number in range(first, len(counts)):
        own = random.permutation(np.flatnonzero(getattr(ratings, what) == number))
        facts.append(own[: len(own) // 2])
        test.append(own[len(own) // 2 :])
    tenth = len(old) // 10
    return ratings, Split(
        old[tenth:], old[:tenth], np.concatenate(facts), np.concatenate(test), len(counts), first
    )
