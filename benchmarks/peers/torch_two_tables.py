"""PyTorch, two tables by hand: a frozen tensor and an `Embedding` of the new rows."""

import torch
from torch.nn import functional

from benchmarks.peers import pytorch


def make(spec):
    old = pytorch.old_tensor(spec, spec.old_rows)
    # SparseAdam is another rule, which leaves rows that no batch names where they are.
    new = torch.nn.Embedding(spec.new_rows, spec.dim, sparse=spec.optimizer != "adam")
    pytorch.give(new.weight, spec.new_values())
    optimizer = pytorch.optimizer(spec, new.parameters())

    def step(ids):
        ids = torch.from_numpy(ids)
        is_new = ids >= spec.old_rows
        new_at, old_at = is_new.nonzero()[:, 0], (~is_new).nonzero()[:, 0]
        vectors = torch.empty(len(ids), spec.dim)
        vectors = vectors.index_copy(0, new_at, new(ids[new_at] - spec.old_rows))
        vectors = vectors.index_copy(0, old_at, functional.embedding(ids[old_at], old))
        pytorch.descend(vectors, optimizer)

    def rows(ids):
        if ids[0] >= spec.old_rows:
            return new.weight.detach()[torch.from_numpy(ids - spec.old_rows)].numpy()
        return old[torch.from_numpy(ids)].numpy()

    return pytorch.peer(step, rows, {"old": old, "new": new.weight}, optimizer)


if __name__ == "__main__":
    pytorch.serve(make)
