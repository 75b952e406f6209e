"""AmpliGraph: the knowledge graph UMLS, to which ten entities come."""

import numpy as np
from ampligraph.evaluation import evaluate_performance, mrr_score
from ampligraph.latent_features import ComplEx
from ampligraph.utils import restore_model, save_model
from outcome import Scores, Table, make_outcome, run_program

from examples.knowledge_graph import data
from tf1_embed import Rows

NUM_NEW = 10
EPOCHS = 30


def run(folder):
    """Runs the programs, which read and write in `folder`; returns an `Outcome`."""
    graph = data.put_new_entities_last(data.load(), NUM_NEW, seed=0)
    first_new = len(graph.entities) - NUM_NEW
    train, valid, test = (_names(graph, each) for each in (graph.train, graph.valid, graph.test))
    old_train = _names(graph, data.divide(graph.train, first_new).old)
    new_test = _names(graph, data.divide(graph.test, first_new).new)
    np.savetxt(folder / "triples.tsv", train, fmt="%s", delimiter="\t")

    old = ComplEx(
        k=64,
        eta=10,
        epochs=EPOCHS,
        batches_count=10,
        loss="multiclass_nll",
        optimizer="adam",
        optimizer_params={"lr": 0.01},
    )
    old.fit(old_train)
    save_model(old, str(folder / "old"))

    models = {}
    for name, program, source, epochs in [
        ("start", "adopted", "old", 0),
        ("plain", "plain", "old", EPOCHS),
        ("adopted", "adopted", "old", EPOCHS),
        ("on", "plain", "adopted", 1),
    ]:
        arguments = folder / source, folder / "triples.tsv", folder / name, epochs
        run_program(f"ampligraph_{program}", *arguments)
        models[name] = restore_model(str(folder / name))

    entities = np.unique(train[:, [0, 2]])
    is_new = np.isin(entities, graph.entities[first_new:])
    vectors = {name: model.get_embeddings(entities) for name, model in models.items()}
    table = Table(old.get_embeddings(entities[~is_new]), new_rows=Rows.where(is_new), **vectors)
    known = np.concatenate([train, valid, test])
    scores = {
        name: mrr_score(evaluate_performance(new_test, model, filter_triples=known))
        for name, model in models.items()
    }
    metric = "filtered mean reciprocal rank of test triples with a new entity"
    return make_outcome("ampligraph", [table], metric, Scores(**scores))


def _names(graph, triples):
    entities, relations = np.array(graph.entities), np.array(graph.relations)
    head, relation, tail = triples.T
    return np.stack([entities[head], relations[relation], entities[tail]], axis=1)
