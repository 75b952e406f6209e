"""What became of every variable from one checkpoint to another."""

import json

import numpy as np
import pytest

import tf1_embed
from support.tables import (
    counting_rows,
    flip_byte,
    in_partitions,
    save_checkpoint,
    special_rows,
)
from tf1_embed import rows as chunks
from tf1_embed.checkpoint.diff import Difference
from tf1_embed.checkpoint.files.find import CheckpointDamaged
from tf1_embed.cli import main

OLD = {
    "e": special_rows(),
    "bias": np.arange(14, dtype="f"),
    "proj": counting_rows(14, 3).T.copy(),
    "square": counting_rows(3, 3),
    "dense": counting_rows(4),
    "gone": counting_rows(2),
    "labels": np.array([b"a", b"bb"]),
    "step": np.int64(10),
    "rate": np.float32(0.5),
    "empty": np.zeros([0, 2], "f"),
    "other": counting_rows(2),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diff")
    new = dict(OLD)
    del new["gone"]
    new["e"] = np.concatenate([OLD["e"], counting_rows(2)])
    new["bias"] = np.append(OLD["bias"], [1, 2]).astype("f")
    new["bias"][3] += 2
    new["proj"] = np.concatenate([OLD["proj"], np.zeros([3, 2], "f")], axis=1)
    new["square"] = np.pad(OLD["square"], [(0, 0), (0, 1)], "constant")
    new["dense"] = OLD["dense"] + np.float32([[0, 0], [0, 0.25], [0, 0], [-1, 0]])
    new["labels"] = np.array([b"a", b"bc"])
    new["step"] = np.int64(250)
    new["added"] = np.float32(1)
    new["other"] = counting_rows(2, 3, "float64")
    return save_checkpoint(folder / "old", OLD), save_checkpoint(folder / "new", new)


def test_each_variable_is_told_truly(pair, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 16)
    found = {each.name: each for each in tf1_embed.diff_checkpoints(*pair)}
    assert list(found) == sorted({*OLD, "added"})
    expected = {
        "e": ("grown", (14, 2), (16, 2), 0, 14, 0, 0.0),
        "bias": ("grown", (14,), (16,), 0, 14, 1, 2.0),
        "proj": ("grown", (3, 14), (3, 16), 1, 14, 0, 0.0),
        "square": ("grown", (3, 3), (3, 4), 1, 3, 0, 0.0),
        "dense": ("changed", (4, 2), (4, 2), 0, 4, 2, 1.0),
        "gone": ("missing", (2, 2), None, 0, None, None, None),
        "labels": ("changed", (2,), (2,), 0, 2, 1, None),
        "step": ("changed", (), (), 0, 1, 1, 240.0),
        "rate": ("same", (), (), 0, 1, 0, 0.0),
        "empty": ("same", (0, 2), (0, 2), 0, 0, 0, 0.0),
        "added": ("new", None, (), 0, None, None, None),
        "other": ("changed", (2, 2), (2, 3), 0, None, None, None),
    }
    assert found == {name: Difference(name, *each) for name, each in expected.items()}
    kept = {name for name, each in found.items() if each.keeps_old}
    assert kept == {"e", "proj", "square", "rate", "empty", "added"}


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_partitions_are_compared_by_ids(tmp_path, strategy):
    base = save_checkpoint(tmp_path / "base", {"e": counting_rows(11)}, partitions=3)
    out = str(tmp_path / "grown")
    tf1_embed.grow_checkpoint(base, ["e"], out, num_new_rows=5, partition_strategy=strategy)
    (found,) = tf1_embed.diff_checkpoints(base, out, strategy)
    assert (found.status, found.num_rows, found.num_changed) == ("grown", 11, 0)
    with pytest.raises(ValueError, match="'e' has 3 partitions"):
        tf1_embed.diff_checkpoints(base, out)
    # As they lie, they are the same, whatever lookups do.
    assert [each.status for each in tf1_embed.diff_checkpoints(base, base)] == ["same"]


def test_as_many_partitions_by_another_strategy_are_compared_by_ids(tmp_path):
    rows = {"e": counting_rows(7)}
    by_mod = {"e": in_partitions(rows["e"], 3, "mod")}
    old = save_checkpoint(tmp_path / "old", rows, 3)
    new = save_checkpoint(tmp_path / "new", by_mod, 3)
    (found,) = tf1_embed.diff_checkpoints(old, new, "div", "mod")
    assert found.status == "same"
    (found,) = tf1_embed.diff_checkpoints(old, new, "div")
    assert (found.status, found.num_changed) == ("changed", 5)
    # Every bit is where it was.
    (found,) = tf1_embed.diff_checkpoints(old, old, "div", "mod")
    assert found.status == "same"


def test_damage_is_no_difference(pair, tmp_path):
    damaged = save_checkpoint(tmp_path / "damaged", {"e": counting_rows(4)})
    flip_byte(tmp_path / "damaged.data-00000-of-00001", 3)
    with pytest.raises(CheckpointDamaged):
        tf1_embed.diff_checkpoints(damaged, damaged)
    with pytest.raises(FileNotFoundError):
        tf1_embed.diff_checkpoints(pair[0], tmp_path / "none")


def test_command_says_what_became_of_all(pair, tmp_path, capsys):
    assert main(["diff", *pair]) == 1
    text = capsys.readouterr().out
    for line in (
        "e       grown    [14, 2] → [16, 2]  all 14 old rows are the same",
        "bias    grown    [14] → [16]        1 of 14 old rows changed by at most 2",
        "proj    grown    [3, 14] → [3, 16]  all 14 old entries on axis 1 are the same",
        "dense   changed  [4, 2]             2 of 4 rows changed by at most 1",
        "gone    missing  [2, 2] → -",
        "step    changed  []                 by at most 240",
        "added   new      - → []",
        "other   changed  [2, 2] → [2, 3]    another dtype or shape",
        "2 others are the same, bit for bit",
    ):
        assert line in [each.rstrip() for each in text.splitlines()], text
    assert main(["diff", *pair, "--json"]) == 1
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == sorted({*OLD, "added"})
    # Growth alone is what was wanted.
    tf1_embed.grow_checkpoint(pair[0], ["e"], tmp_path / "grown", num_new_rows=1, also=[])
    assert main(["diff", pair[0], str(tmp_path / "grown")]) == 0
