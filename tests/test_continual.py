"""The benchmark of growing graphs, on snapshots of a slice of UMLS."""

import numpy as np
import pytest

from benchmarks import continual
from examples.knowledge_graph import data
from support.umls import write_slice

FLAGS = "--seeds 1 --width 16 --epochs 10 --polish-epochs 2 --batch-size 128 --dropout 0.1".split()


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    """Three snapshots: each with five entities more, and the last with a relation more."""
    folder = tmp_path_factory.mktemp("snapshots")
    write_slice(folder, num_entities=30)
    graph = data.put_new_entities_last(data.load(str(folder)), 10, seed=0)
    for split in ("train", "valid", "test"):
        triples = getattr(graph, split)
        came = np.searchsorted([20, 25], triples[:, [0, 2]].max(axis=1), side="right")
        for number in range(3):
            path = folder / str(number)
            path.mkdir(exist_ok=True)
            lines = [
                f"{head}\t{'new' if number == 2 and relation == 0 else relation}\t{tail}"
                for head, relation, tail in triples[came == number]
            ]
            (path / f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{split}.txt").rename(folder / f"all_{split}.txt")
    return folder


def test_entities_and_relations_are_numbered_as_they_come(snapshots):
    read = continual.read(str(snapshots), 0, 0)
    assert [each.num_entities for each in read] == [20, 25, 30]
    for before, after in zip(read, read[1:]):
        assert (after.train[:, [0, 2]].max(axis=1) >= before.num_entities).all()
        assert after.train[:, 1].max() < after.num_relations
    assert read[2].num_relations == read[1].num_relations + 1


@pytest.mark.parametrize("retrain, ways", [("yes", 3), ("estimate", 2)])
def test_every_growth_is_measured_by_both_protocols(snapshots, capsys, retrain, ways):
    quality = continual.main(["--data", str(snapshots), "--retrain", retrain, *FLAGS])
    names = {(name, way) for name, way, _ in quality}
    assert len(names) == 1 + 2 * ways
    for (name, _, tests), each in quality.items():
        assert len(each) == 1 and 0 < each[0].all <= each[0].own <= 1
        if name == "growth 2" and tests == "new":
            # There are no entities after its own.
            assert each[0].all == each[0].own
    assert ("(estimated)" in capsys.readouterr().out) == (retrain == "estimate")


def test_folder_that_is_no_snapshots_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="neither train.txt nor numbered folders"):
        continual.read(str(tmp_path), 0, 0)
