"""Peers of `make bench`: the same inputs, the same vectors, and a page of what was found.

That they are fast is not tested here: `make guard` looks at ratios.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pyperf")

from benchmarks import growing, guard, huge_pages, page, results, scale, steps
from benchmarks.peers import protocol
from benchmarks.resident import Failed, Resident

SPEC = {
    "old_rows": 300,
    "new_rows": 20,
    "dim": 4,
    "batches": [16, 32],
    "optimizer": "sgd",
    "threads": 1,
}


@pytest.fixture
def options(tmp_path):
    """Options of a small measurement, in the environment of this process alone."""
    return SimpleNamespace(
        rounds=2,
        python_of=lambda name: sys.executable if name == "tf2" else str(tmp_path / name),
        folder=tmp_path,
        max_seconds=100,
        ways=None,
        new_rows=20,
        dim=4,
        batch=[16],
        threads=1,
        quick=False,
    )


def peers_of(*names):
    return [peer for peer in steps.PEERS if peer.name in names]


def train_in_numpy(spec, num_steps):
    """Returns the new rows after so many steps of gradient descent."""
    spec = protocol.Spec(spec)
    rows = spec.new_values()
    for number in range(num_steps):
        _, new_ids = spec.apart(spec.ids(spec.batches[0], number))
        gradient = np.zeros_like(rows)
        np.add.at(gradient, new_ids, 2 * (rows[new_ids] - 1))
        rows = rows - spec.learning_rate * gradient
    return rows


def test_half_of_each_batch_are_new_ids_and_every_process_draws_the_same():
    one, other = protocol.Spec(SPEC), protocol.Spec(json.loads(json.dumps(SPEC)))
    for number in range(3):
        ids = one.ids(32, number)
        assert np.sum(ids >= 300) == 16 and ids.min() >= 0 and ids.max() < 320
        np.testing.assert_array_equal(ids, other.ids(32, number))
    np.testing.assert_array_equal(one.new_values(), other.new_values())
    assert not np.array_equal(one.ids(32, 0), one.ids(32, 1))


def test_peer_trains_the_new_rows_as_numpy_does_and_leaves_the_old_ones(options, tmp_path):
    resident = Resident(sys.executable, "benchmarks.peers.partition", tmp_path / "log")
    try:
        spec = dict(SPEC, checkpoint=steps.write_rows(SPEC, str(tmp_path)))
        assert "TensorFlow" in resident.ask(**spec)["library"]
        answer = resident.ask(turn=16, first=0, warm=1, steps=4)
        assert len(answer["seconds"]) == 4 and min(answer["seconds"]) > 0
        resident.ask(rows=str(tmp_path / "rows.npz"))
        assert resident.ask(save=str(tmp_path / "saved"))["bytes"] > 320 * 4 * 4
        memory = resident.ask(memory=True)
        assert memory["peak"] >= memory["base"] > 0
    finally:
        resident.kill()
    with np.load(tmp_path / "rows.npz") as rows:
        np.testing.assert_allclose(rows["new"], train_in_numpy(SPEC, 5), atol=1e-5)
        spec = protocol.Spec(SPEC)
        np.testing.assert_array_equal(rows["old"], spec.old_values(spec.sample()))


def test_peers_take_turns_and_one_without_an_environment_is_a_row(options):
    turns = []

    def record(name, size, number, seconds):
        turns.append((number, size, name))
        assert seconds

    chosen = peers_of("floor", "bound", "chosen_rows", "torch_hook")
    found = steps.measure(SPEC, chosen, "tf2", options, record)
    assert "its environment is not there" in found["torch_hook"]["cannot"]
    assert {name for name, each in found.items() if "cannot" not in each} == {
        "floor",
        "bound",
        "chosen_rows",
    }
    assert len(turns) == 2 * 2 * 3 == len(set(turns))
    assert found["bound"]["peak"] > 0 and found["bound"]["checkpoint"] > 0


class Quick:
    """Takes the place of a `Resident`: a peer whose step takes so many seconds."""

    def __init__(self, seconds):
        self._seconds = seconds

    def ask(self, **fields):
        if "memory" in fields:
            return {"peak": 2, "base": 1, "huge": 3e9}
        if "save" in fields:
            return {"bytes": 4}
        return {"seconds": [self._seconds]}

    def hear(self, timeout):
        return {}

    def kill(self):
        pass


def test_turns_of_two_groups_are_of_different_rounds(options, monkeypatch):
    def start(group, spec, environment, options, found):
        found.update({name: {"estimate": 0.01} for name in group})
        return {name: Quick(0.01) for name in group}

    monkeypatch.setattr(steps, "start", start)
    monkeypatch.setattr(steps, "check", lambda *args: None)
    monkeypatch.setattr(
        steps, "groups", lambda peers, spec: [["floor", "bound"], ["floor", "full"]]
    )
    rounds = {}

    def record(name, size, number, seconds):
        rounds.setdefault(name, set()).add(number)

    steps.measure(dict(SPEC, batches=[16]), [], "tf2", options, record)
    assert rounds == {"floor": {0, 1, 2, 3}, "bound": {0, 1}, "full": {2, 3}}


@pytest.mark.parametrize(
    "change, freezes, reason",
    [
        (lambda rows: rows["new"].__iadd__(0.01), True, "new rows differ by up to 0.01"),
        (lambda rows: rows["new"].fill(np.nan), True, "new rows differ"),
        (lambda rows: rows["old"].__iadd__(1e-6), True, "old rows moved"),
        (lambda rows: None, False, "no old row moved"),
        (lambda rows: None, True, None),
        (lambda rows: rows["old"].__iadd__(0.1), False, None),
    ],
)
def test_peer_with_other_vectors_is_refused(change, freezes, reason):
    expected = {name: np.ones([3, 2], np.float32) for name in ("new", "old")}
    rows = {name: each.copy() for name, each in expected.items()}
    change(rows)
    found = steps.difference(rows, expected, freezes)
    assert found is None if reason is None else reason in found


def test_process_that_dies_says_its_last_words(tmp_path):
    resident = Resident(sys.executable, "benchmarks.peers.no_such_peer", tmp_path / "log")
    with pytest.raises(Failed, match="No module named"):
        resident.hear(timeout=60)


def test_process_that_says_nothing_is_killed(tmp_path):
    resident = Resident(sys.executable, "benchmarks.peers.floor", tmp_path / "log")
    with pytest.raises(Failed, match="no answer within 0 seconds"):
        resident.hear(timeout=0.1)


def test_ratio_is_of_two_turns_of_the_same_round(tmp_path):
    recorder = results.Recorder(tmp_path / "some.json", rows=3)
    for number, (own, other) in enumerate([(2.0, 1.0), (30.0, 10.0), (1.0, 1.0)]):
        recorder.record("own", number, [own, own * 9, own])
        recorder.record("other", number, [other])
    recorder.record("other", 3, [5.0])
    recorder.write({"own": {"peak": 7}})
    read = results.Results(tmp_path / "some.json")
    assert read.ratio("own", "other") == (2.0, 1.0, 3.0)
    assert read.ratio("own", "missing") is None
    assert (read.seconds("other"), read.facts, read.found["own"]["peak"]) == (3.0, {"rows": 3}, 7)
    assert results.format_ratio(read.ratio("own", "other")) == "2.00 (1.00–3.00)"


def test_page_gets_the_tables_and_keeps_its_prose(tmp_path):
    recorder = results.Recorder(
        tmp_path / "steps-tf2-10000-sgd.json", environment="tf2", batches=[16], dim=4
    )
    for number in range(2):
        for name, seconds in (("floor", 0.001), ("bound", 0.002), ("partition", 0.003)):
            recorder.record(f"{name}, 16", number, [seconds])
    found = {name: {"library": "TensorFlow 0"} for name in ("floor", "bound", "partition")}
    recorder.write(dict(found, tfra={"cannot": "it was not there"}))
    pages = tmp_path / "page.md"
    pages.write_text(
        "Before.\n<!-- measured: steps -->\nold\n<!-- end -->\nBetween.\n"
        "<!-- measured: growing -->\nkept\n<!-- end -->\n<!-- measured: aims -->\n<!-- end -->\n",
        encoding="utf-8",
    )
    page.write(tmp_path, pages)
    text = pages.read_text(encoding="utf-8")
    assert text.startswith("Before.\n<!-- measured: steps -->\n")
    assert "| **tf1_embed, two variables** | 3.000 [1.50 (1.50–1.50)] |" in text
    assert "- TensorFlow Recommenders Addons, SGD, 10 k: it was not there." in text
    assert "old\n" not in text.replace("old rows", "")
    assert "Between.\n<!-- measured: growing -->\nkept\n<!-- end -->\n" in text
    assert "| over the bound, 2.21 | at most 1.05 | 1.50 |" in text
    assert "| over full training, 2.21 | at most 1 | – |" in text


def test_huge_pages_are_beside_plain_ones_at_each_size(options, monkeypatch):
    def open_resident(peer, spec, environment, options, environ):
        return Quick(spec["old_rows"] / (2e5 if environ else 1e5))

    monkeypatch.setattr(steps, "open_resident", open_resident)
    (bound,) = peers_of("bound")
    huge_pages.run_one(bound, "tf2", [300, 600], options)
    found = huge_pages.lines(results.Results(options.folder / "huge-tf2-bound.json"))
    half, same, twice = (f"{each} ({each}–{each})" for each in ("0.50", "1.00", "2.00"))
    assert list(found) == [
        (300, 16, "3.000", "1.500", half, same, "3.00"),
        (600, 16, "6.000", "3.000", half, twice, "3.00"),
    ]


def test_bytes_of_a_step_are_those_of_its_ids_vectors_and_gradients():
    # 3 * 1024 + 64 are looked up; new are half of the heads and tails, and half of the candidates.
    assert scale.predict_network(10**4) == (4 + 4 * 64) * (3 * 1024 + 64 + 1024 + 32)


def test_ways_to_grow_a_checkpoint_are_measured_and_checked(options, monkeypatch):
    # Those that do without TensorFlow, whose import takes seconds.
    monkeypatch.setattr(growing, "WAYS", [way for way in growing.WAYS if way.name != "warm_start"])
    growing.run_one(0.0005, options)
    read = results.Results(options.folder / "growing-0.0005.json")
    for name in ("cp", "tf1_embed_grow", "tf1_embed_verify", "numpy_concat"):
        assert len(read.turns[name]) == len(read.found[name]["memory"]) == 2
    assert "its environment is not there" in read.found["opennmt_update_vocab"]["cannot"]


def test_guard_fails_when_a_ratio_is_above_its_bound(monkeypatch, capsys):
    fast = dict.fromkeys(guard.BOUNDS, 0.01)
    monkeypatch.setattr(guard, "measure_growth", dict)
    monkeypatch.setattr(guard, "measure_start", dict)
    monkeypatch.setattr(guard, "measure_steps", lambda: fast)
    assert guard.main() == 0
    monkeypatch.setattr(guard, "measure_steps", lambda: dict(fast, **{"grow over cp": 99.0}))
    assert guard.main() == 1
    assert "became slow: grow over cp" in capsys.readouterr().out
