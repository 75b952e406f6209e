"""Triples (head, relation, tail) of a knowledge graph, and the choice of entities to come later."""

import os
from collections import namedtuple

import numpy as np

UMLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "umls")

Divided = namedtuple("Divided", "old new")


class KnowledgeGraph(namedtuple("KnowledgeGraph", "entities relations train valid test")):
    """Names of entities and of relations, and three int32 arrays `[triples, 3]` of their ids."""

    def known(self):
        """Returns which triples exist in any split, bool `[heads, relations, tails]`.

        One byte for every triple that there could be: right for a small graph such as UMLS.
        """
        known = np.zeros((len(self.entities), len(self.relations), len(self.entities)), bool)
        for head, relation, tail in (split.T for split in (self.train, self.valid, self.test)):
            known[head, relation, tail] = True
        return known


def load(folder=UMLS):
    """Reads `train.txt`, `valid.txt` and `test.txt`: head, relation and tail, tab-separated."""
    splits = {
        name: _read_triples(os.path.join(folder, f"{name}.txt"))
        for name in ("train", "valid", "test")
    }
    names = np.array([triple for triples in splits.values() for triple in triples])
    entities, relations = np.unique(names[:, [0, 2]]), np.unique(names[:, 1])
    entity_ids = {name: i for i, name in enumerate(entities)}
    relation_ids = {name: i for i, name in enumerate(relations)}
    return KnowledgeGraph(
        entities=entities.tolist(),
        relations=relations.tolist(),
        **{
            name: np.array(
                [
                    (entity_ids[head], relation_ids[relation], entity_ids[tail])
                    for head, relation, tail in triples
                ],
                np.int32,
            )
            for name, triples in splits.items()
        },
    )


def put_new_entities_last(graph, num_new, seed, attempts=1000):
    """Chooses the new entities at random and gives them the last ids, as if they came later.

    A choice counts only if without the new entities every old one, and every relation, is still
    in a training triple (it could learn nothing otherwise), and if validation and test have
    triples of both kinds to measure.
    """
    num_entities = len(graph.entities)
    if not 0 < num_new < num_entities:
        raise ValueError(
            f"`num_new` must be from 1 to {num_entities - 1}, one less than there are "
            f"entities; got {num_new}."
        )
    random = np.random.RandomState(seed)
    for _ in range(attempts):
        order = random.permutation(num_entities)
        new_id = np.argsort(order).astype(np.int32)
        train, valid, test = (
            np.stack([new_id[head], relation, new_id[tail]], axis=1)
            for head, relation, tail in (graph.train.T, graph.valid.T, graph.test.T)
        )
        first_new = num_entities - num_new
        old = train[~mentions_new(train, first_new)]
        measured = [mentions_new(split, first_new) for split in (valid, test)]
        if (
            len(np.unique(old[:, [0, 2]])) == first_new
            and len(np.unique(old[:, 1])) == len(graph.relations)
            and len(np.unique(train[:, [0, 2]])) == num_entities
            and all(new.any() and not new.all() for new in measured)
        ):
            return KnowledgeGraph(
                [graph.entities[i] for i in order], graph.relations, train, valid, test
            )
    raise ValueError(
        f"None of {attempts} random choices of {num_new} new entities left every old "
        f"entity and every relation a training triple, and validation and test "
        f"triples of both kinds. Choose fewer new entities."
    )


def mentions_new(triples, first_new):
    """Returns which of the triples `[triples, 3]` have a head or tail of id `first_new` or more."""
    return (triples[:, [0, 2]] >= first_new).any(axis=1)


def divide(triples, first_new):
    """Divides triples `[triples, 3]` into old ones, and those that mention a new entity."""
    new = mentions_new(triples, first_new)
    return Divided(old=triples[~new], new=triples[new])


def _read_triples(path):
    with open(path, encoding="utf-8") as file:
        triples = [line.rstrip("\r\n").split("\t") for line in file if line.strip()]
    for number, triple in enumerate(triples, 1):
        if len(triple) != 3:
            raise ValueError(
                f"Triple {number} of {path} has {len(triple)} tab-separated fields "
                f"instead of head, relation and tail: {triple}"
            )
    if not triples:
        raise ValueError(f"{path} has no triples.")
    return triples
