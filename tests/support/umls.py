"""A slice of the UMLS graph that comes with the example, small enough to train on in a test."""

import os

import numpy as np

from examples.knowledge_graph import data

# In every entity's name: markup, quotes, and what matplotlib reads as mathematics.
HOSTILE = """<script>alert(1)</script>&"'$x_^{$"""


def write_slice(folder, num_entities=40):
    """Writes the triples among the commonest entities, each name with something hostile in it."""
    graph = data.load()
    ids, counts = np.unique(graph.train[:, [0, 2]], return_counts=True)
    kept = ids[np.argsort(-counts, kind="stable")[:num_entities]]
    for name in ("train", "valid", "test"):
        triples = getattr(graph, name)
        with open(os.path.join(str(folder), f"{name}.txt"), "w", encoding="utf-8") as file:
            for head, relation, tail in triples[np.isin(triples[:, [0, 2]], kept).all(axis=1)]:
                file.write(
                    f"{HOSTILE}{graph.entities[head]}\t{graph.relations[relation]}\t"
                    f"{HOSTILE}{graph.entities[tail]}\n"
                )
