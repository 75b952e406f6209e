"""The example that grows a knowledge graph's table, on a slice of its data."""

import contextlib
import hashlib
import html
import io
import itertools
import json
import os
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.knowledge_graph import data
from examples.knowledge_graph.evaluation import evaluate, filtered_ranks
from examples.knowledge_graph.main import main
from examples.knowledge_graph.model import LinkPredictor
from examples.knowledge_graph.solving import FrozenModel
from support.umls import HOSTILE, write_slice

REPORT_KEYS = {
    "frozen_rows_identical",
    "frozen_rows_sha256",
    "mrr_new_random",
    "mrr_new_trained",
    "mrr_new_solved",
    "mrr_new_polished",
    "mrr_new_retrained",
    "mrr_old_before",
    "mrr_old_after_old_candidates",
    "mrr_old_after_all_candidates",
    "mrr_old_after_all_candidates_solved",
    "mrr_old_after_all_candidates_polished",
    "mrr_merged",
    "seconds_base",
    "seconds_growth",
    "seconds_solving",
    "seconds_growth_solved",
    "seconds_retrain",
    "tensorflow",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("knowledge_graph")
    write_slice(folder)
    # As an earlier run into the same folder leaves it.
    os.makedirs(str(folder / "out" / "seed_0"))
    (folder / "out" / "seed_0" / "merged.ckpt.index").write_bytes(b"")
    flags = (
        "--new-entities 4 --width 8 --epochs 4 --seeds 2 --dropout 0.1 --polish-epochs 2".split()
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        summary = main(["--data", str(folder), "--out", str(folder / "out"), *flags])
    (folder / "out" / "printed.txt").write_text(printed.getvalue(), encoding="utf-8")
    return summary, folder / "out"


def test_the_report_has_every_promised_number(demo):
    summary, out = demo
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == summary
    assert REPORT_KEYS <= set(summary)
    for key, value in summary.items():
        if key.startswith("mrr_"):
            assert 0 < value <= 1, key
        if key.startswith("seconds_"):
            assert value > 0, key
    assert summary["tensorflow"] == tf.version.VERSION
    assert summary["mrr_new_trained"] == pytest.approx(
        np.mean([run["mrr_new_trained"] for run in summary["runs"]])
    )


def test_only_the_new_rows_change_and_the_merge_keeps_them(demo):
    summary, out = demo
    assert summary["frozen_rows_identical"] is True
    base, trained, grown, merged = (
        tf.train.load_checkpoint(str(out / "seed_0" / f"{name}.ckpt"))
        for name in ("base", "grown", "grown_solved", "merged")
    )
    old = base.get_tensor("entities")
    new = grown.get_tensor("entities_new_rows")
    assert tf1_embed.fingerprint(old) == summary["frozen_rows_sha256"]
    assert set(summary["runs"][0]["frozen_rows_sha256_of"]) == {
        "base",
        "grown",
        "grown_solved",
        "certificate",
        "merged",
    }
    assert grown.get_tensor("entities").tobytes() == old.tobytes()
    assert merged.get_tensor("entities").tobytes() == old.tobytes() + new.tobytes()
    assert not merged.has_tensor("entities_new_rows")
    assert trained.get_tensor("entities").tobytes() == old.tobytes()
    for checkpoint in (trained, grown, merged):
        assert (
            checkpoint.get_tensor("relations").tobytes() == base.get_tensor("relations").tobytes()
        )
    assert summary["mrr_new_trained"] > summary["mrr_new_random"]


def test_each_growth_leaves_a_certificate_and_the_first_is_printed(demo):
    summary, out = demo
    for seed in (0, 1):
        for name in ("grown", "grown_solved"):
            path = out / f"seed_{seed}" / f"{name}.ckpt.rows.json"
            certificate = tf1_embed.read_certificates(str(path))["entities"]
            assert certificate.digest == summary["runs"][seed]["frozen_rows_sha256"]
            assert certificate.base == str(out / f"seed_{seed}" / "base.ckpt")
    first = (out / "seed_0" / "grown.ckpt.rows.json").read_text(encoding="utf-8")
    assert first in (out / "printed.txt").read_text(encoding="utf-8")


def test_what_has_to_be_equal_is_equal(demo):
    summary, _ = demo
    assert summary["mrr_merged"] == pytest.approx(summary["mrr_new_polished"], abs=1e-12)
    assert summary["mrr_old_after_old_candidates"] == pytest.approx(
        summary["mrr_old_before"], abs=1e-12
    )


@pytest.mark.parametrize("kind", ["complex", "distmult"])
def test_solved_rows_score_their_triples_above_others(kind):
    random = np.random.RandomState(0)
    rows = random.randn(43, 12).astype(np.float32)
    relations = random.randn(5, 12).astype(np.float32)
    # What a model of these rows knows: the best three tails of every head and relation.
    triples = []
    for head, relation in itertools.product(range(43), range(5)):
        scores = [score(kind, rows[head], relations[relation], tail) for tail in rows]
        triples += [(head, relation, tail) for tail in np.argsort(scores)[-3:]]
    old, new = data.divide(np.array(triples), 40)
    assert (new[:, [0, 2]] >= 40).all(axis=1).any()
    solved = FrozenModel(rows[:40], relations, kind, old).solve(new, num_new=3)
    assert solved.shape == (3, 12) and solved.dtype == np.float32
    every = np.concatenate([rows[:40], solved])
    ranks = []
    for head, relation, tail in new[new[:, 0] < 40]:
        scores = [score(kind, rows[head], relations[relation], each) for each in every]
        ranks.append(np.sum(scores >= scores[tail]))
    # At random it would be 22.
    assert np.mean(ranks) < 5


def test_what_old_answers_lose_is_said(demo):
    summary, out = demo
    before = summary["mrr_old_after_old_candidates"]
    lost = {
        "new rows trained alone": 1 - summary["mrr_old_after_all_candidates"] / before,
        "solved rows": 1 - summary["mrr_old_after_all_candidates_solved"] / before,
        "solved rows that trained": 1 - summary["mrr_old_after_all_candidates_polished"] / before,
    }
    assert summary["lost"] == pytest.approx(lost)
    sentence = (
        "Of their MRR old answers lose "
        + ", ".join(f"{share:.1%} to {name}" for name, share in lost.items())
        + "."
    )
    for name in ("printed.txt", "report.html"):
        assert sentence in (out / name).read_text(encoding="utf-8")


def test_weight_of_old_queries_is_chosen_for_a_budget(tmp_path):
    write_slice(tmp_path)
    sizes = "--new-entities 4 --width 8 --epochs 4 --dropout 0.1 --polish-epochs 1".split()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        arguments = ["--data", str(tmp_path), "--out", str(tmp_path), *sizes, "--budget", "0.05"]
        summary = main(arguments)
    weight = summary["old_weight"]
    assert weight in [2.0**power for power in range(-4, 9)]
    assert (
        f"At most 5.0% were to be lost to solved rows, on validation triples: old queries have the "
        f"weight {weight:g}." in printed.getvalue()
    )


def test_budget_that_cannot_be_kept_ends_with_a_sentence(tmp_path, monkeypatch):
    write_slice(tmp_path)

    def refuse(*_):
        raise ValueError("old answers lose 9.00% of their mean reciprocal rank")

    monkeypatch.setattr(FrozenModel, "solve_within", refuse)
    sizes = "--new-entities 4 --width 8 --epochs 1".split()
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit, match="lose 9.00%"):
        main(["--data", str(tmp_path), "--out", str(tmp_path), *sizes, "--budget", "0.001"])


@pytest.mark.parametrize("flags", ["--no-solve", "--model transe"])
def test_rows_that_are_not_solved_train_from_random_ones(flags, tmp_path):
    write_slice(tmp_path)
    sizes = "--new-entities 4 --width 8 --epochs 1 --dropout 0.1".split()
    with contextlib.redirect_stdout(io.StringIO()):
        summary = main(["--data", str(tmp_path), "--out", str(tmp_path), *sizes, *flags.split()])
    assert summary["options"]["solve"] is False and "mrr_new_solved" not in summary
    assert summary["mrr_merged"] == pytest.approx(summary["mrr_new_trained"], abs=1e-12)


def test_the_page_escapes_names_and_needs_no_other_file(demo):
    summary, out = demo
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    for name in summary["runs"][0]["new_entities"]:
        assert name.startswith(HOSTILE)
        assert html.escape(name) in page
    # Once in the text and once in the picture of the plane.
    assert page.count("&lt;script&gt;") >= 2 * len(summary["runs"][0]["new_entities"])
    assert page.count("<svg") == 6
    for target in re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s]*)""", page):
        assert target.startswith(("data:", "#")), target


@pytest.mark.parametrize("seed", range(5))
def test_filtered_ranks_equal_those_found_one_by_one(seed):
    random = np.random.RandomState(seed)
    scores = random.randint(0, 4, [30, 12]).astype(np.float32)  # Few values, many ties.
    answers = random.randint(0, 12, 30)
    known = random.rand(30, 12) < 0.3
    known[np.arange(30), answers] = True
    expected = []
    for query in range(30):
        answer = scores[query, answers[query]]
        rivals = [
            scores[query, candidate] for candidate in range(12) if not known[query, candidate]
        ]
        best = 1 + sum(rival > answer for rival in rivals)
        worst = 1 + sum(rival >= answer for rival in rivals)
        expected.append((best + worst) / 2)
    np.testing.assert_array_equal(filtered_ranks(scores, answers, known), expected)


def test_a_model_that_scores_everything_alike_gains_nothing():
    ranks = filtered_ranks(np.zeros([1, 9]), np.array([0]), np.eye(1, 9, dtype=bool))
    assert ranks == [5]


def score(kind, head, relation, tail):
    """Scores one triple of vectors as the papers write it."""
    if kind == "transe":
        return -np.sum((head + relation - tail) ** 2)
    if kind == "distmult":
        return np.sum(head * relation * tail)
    head, relation, tail = (
        x[: len(x) // 2] + 1j * x[len(x) // 2 :] for x in (head, relation, tail)
    )
    return np.sum(head * relation * tail.conj()).real


@pytest.mark.parametrize("num_candidates", [None, 5])
@pytest.mark.parametrize("kind", ["complex", "distmult", "transe"])
def test_a_model_ranks_as_its_formula_does_one_triple_at_a_time(kind, num_candidates):
    random = np.random.RandomState(0)
    num_entities, num_relations = 7, 3
    known = random.rand(num_entities, num_relations, num_entities) < 0.3
    candidates = range(num_candidates or num_entities)
    triples = np.argwhere(known)
    triples = triples[np.isin(triples[:, [0, 2]], candidates).all(axis=1)]
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(0)
        table = tf.get_variable("entities", [num_entities, 6])
        model = LinkPredictor(table, num_relations, kind)
        session.run(tf.global_variables_initializer())
        rows, relations = session.run([table, model.relation_table])
        quality = evaluate(session, model, triples, known, num_candidates, batch_size=5)

    ranks = []
    for head, relation, tail in triples:
        answer = score(kind, rows[head], relations[relation], rows[tail])
        for rivals in (
            [(head, other) for other in candidates if not known[head, relation, other]],
            [(other, tail) for other in candidates if not known[other, relation, tail]],
        ):
            scores = [score(kind, rows[h], relations[relation], rows[t]) for h, t in rivals]
            ranks.append(1 + sum(rival > answer for rival in scores))
    ranks = np.array(ranks)
    assert quality.mrr == pytest.approx(np.mean(1 / ranks))
    assert quality[1:] == tuple(pytest.approx(np.mean(ranks <= k)) for k in (1, 3, 10))


def test_the_data_are_those_that_the_notice_names():
    with open(os.path.join(data.UMLS, "NOTICE"), encoding="utf-8") as file:
        named = re.findall(r"^ +([0-9a-f]{64}) +(\w+\.txt)$", file.read(), re.MULTILINE)
    assert sorted(name for _, name in named) == ["test.txt", "train.txt", "valid.txt"]
    for sha256, name in named:
        with open(os.path.join(data.UMLS, name), "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == sha256, name
    graph = data.load()
    assert (len(graph.entities), len(graph.relations)) == (135, 46)
    assert [len(split) for split in (graph.train, graph.valid, graph.test)] == [5216, 652, 661]


def names_of(graph, triples):
    return {
        (graph.entities[head], graph.relations[relation], graph.entities[tail])
        for head, relation, tail in triples
    }


def test_new_entities_come_last_and_the_old_ones_can_still_be_learned():
    graph = data.load()
    chosen = data.put_new_entities_last(graph, 10, seed=3)
    assert sorted(chosen.entities) == graph.entities
    for before, after in zip(graph[2:], chosen[2:]):
        assert names_of(graph, before) == names_of(chosen, after)
    old, new = data.divide(chosen.train, 125)
    assert set(old[:, [0, 2]].ravel()) == set(range(125))
    assert set(old[:, 1]) == set(range(46))
    assert set(new[:, [0, 2]].ravel()) >= set(range(125, 135))
    assert len(old) + len(new) == 5216
    again = data.put_new_entities_last(graph, 10, seed=3)
    other = data.put_new_entities_last(graph, 10, seed=4)
    assert again.entities == chosen.entities != other.entities


@pytest.mark.parametrize("num_new", [0, 135])
def test_a_number_of_new_entities_that_leaves_none_is_refused(num_new):
    with pytest.raises(ValueError, match="`num_new` must be from 1 to 134"):
        data.put_new_entities_last(data.load(), num_new, seed=0)


def test_too_many_new_entities_are_refused():
    with pytest.raises(ValueError, match="Choose fewer new entities"):
        data.put_new_entities_last(data.load(), 130, seed=0, attempts=5)


def test_a_line_that_is_no_triple_is_named(tmp_path):
    write_slice(tmp_path)
    with open(str(tmp_path / "valid.txt"), "a", encoding="utf-8") as file:
        file.write("head\ttail\n")
    with pytest.raises(ValueError, match=r"valid\.txt has 2 tab-separated fields"):
        data.load(str(tmp_path))


@pytest.mark.parametrize(
    "flags",
    [
        "--width 7",
        "--dropout 1",
        "--new-row-penalty -1",
        "--polish-epochs 0",
        "--epochs 0",
        "--polish-epochs 0",
        "--new-entities -1",
    ],
)
def test_flags_out_of_range_are_refused(flags, capsys):
    with pytest.raises(SystemExit):
        main(flags.split())
    assert flags.split()[0] in capsys.readouterr().err
