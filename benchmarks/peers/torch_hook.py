"""PyTorch, one `Embedding` whose gradient a hook multiplies by 0 for the old rows."""

import torch

from benchmarks.peers import pytorch


def make(spec):
    table = torch.nn.Embedding.from_pretrained(pytorch.whole_tensor(spec), freeze=False)
    trains = torch.zeros(spec.rows, 1)
    trains[spec.old_rows :] = 1
    table.weight.register_hook(lambda gradient: gradient * trains)
    optimizer = pytorch.optimizer(spec, table.parameters())

    def step(ids):
        pytorch.descend(table(torch.from_numpy(ids)), optimizer)

    def rows(ids):
        return table.weight.detach()[torch.from_numpy(ids)].numpy()

    return pytorch.peer(step, rows, table.state_dict(), optimizer)


if __name__ == "__main__":
    pytorch.serve(make)
