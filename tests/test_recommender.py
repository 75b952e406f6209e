"""The example that folds new rows into a recommender, on ratings that a small model made."""

import contextlib
import io
import zipfile

import numpy as np
import pytest

from examples.recommender import data
from examples.recommender.main import WAYS, main


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Ratings of 60 users and 40 items that two numbers of each explain."""
    random = np.random.RandomState(0)
    users, items = random.randn(60, 2), random.randn(40, 2)
    scores = np.clip(3 + users @ items.T + 0.1 * random.randn(60, 40), 1, 5)
    path = tmp_path_factory.mktemp("recommender") / "ml-100k.inter"
    with open(str(path), "w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\trating:float\ttimestamp:float\n")
        for user, item in np.argwhere(random.rand(60, 40) < 0.8):
            file.write(f"{user + 1}\t{item + 1}\t{scores[user, item]:.2f}\t0\n")
    return path


@pytest.mark.parametrize("what", ["items", "users"])
def test_solved_rows_know_more_than_the_mean_and_old_ones_stay(path, what):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        flags = ["--what", what, "--new", "5", "--seeds", "1", "--width", "2", "--epochs", "60"]
        result = main(["--data", str(path), *flags])
    assert result["old_rows_identical"] is True
    assert set(result["rmse"]) == set(WAYS)
    assert set(result["seconds"]) == {*WAYS, "background"}
    (solved,), (mean,) = result["rmse"]["solved"], result["rmse"]["mean"]
    assert solved < 0.7 * mean
    assert f"{solved:.3f}" in printed.getvalue()
    assert "identical, bit for bit" in printed.getvalue()


@pytest.mark.parametrize("what", ["items", "users"])
def test_new_rows_come_last_and_their_ratings_are_apart(path, what):
    before = data.load(str(path))
    ratings, parts = data.split(before, what, 5, seed=1)
    ids = getattr(ratings, what)
    assert parts.num_rows == len(np.unique(ids)) == parts.num_old + 5
    for part in (parts.train, parts.held_out):
        assert (ids[part] < parts.num_old).all()
    for part in (parts.facts, parts.test):
        assert set(ids[part]) == set(range(parts.num_old, parts.num_rows))
    every = np.concatenate([parts.train, parts.held_out, parts.facts, parts.test])
    assert sorted(every) == list(range(len(ratings.values)))
    np.testing.assert_array_equal(ratings.values, before.values)


def test_ratings_are_read_from_a_wheel_as_from_the_file(path, tmp_path):
    wheel = str(tmp_path / "recbole.whl")
    with zipfile.ZipFile(wheel, "w") as file:
        file.write(str(path), data.INSIDE)
    for other in (wheel, str(path.parent)):
        for one, same in zip(data.load(str(path)), data.load(other)):
            np.testing.assert_array_equal(one, same)


def test_what_is_not_there_is_said_with_a_way_on(path, tmp_path):
    with pytest.raises(FileNotFoundError, match="pip download --no-deps recbole"):
        data.load(str(tmp_path / "none.whl"))
    (tmp_path / "other.txt").write_text("head\ttail\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is no file of ratings"):
        data.load(str(tmp_path / "other.txt"))
    with pytest.raises(ValueError, match="`num_new` must be from 1 to 39"):
        data.split(data.load(str(path)), "items", 40, seed=0)
