"""PEFT's `TrainableTokens`: chosen rows of an `Embedding`, replaced in a copy of it every step."""

import os

import peft
import torch

from benchmarks.peers import protocol, pytorch


class Model(torch.nn.Module):
    """A table and nothing else."""

    def __init__(self, table):
        super().__init__()
        self.embedding = torch.nn.Embedding.from_pretrained(table, freeze=False)

    def forward(self, ids):
        return self.embedding(ids)


def make(spec):
    new_ids = list(range(spec.old_rows, spec.rows))
    config = peft.TrainableTokensConfig(target_modules=["embedding"], token_indices=new_ids)
    model = peft.get_peft_model(Model(pytorch.whole_tensor(spec)), config)
    (delta,) = [each for each in model.parameters() if each.requires_grad]
    optimizer = pytorch.optimizer(spec, [delta])

    def step(ids):
        pytorch.descend(model(torch.from_numpy(ids)), optimizer)

    def rows(ids):
        with torch.no_grad():
            return model(torch.from_numpy(ids)).numpy()

    def save(folder):
        model.save_pretrained(folder)
        torch.save(optimizer.state_dict(), os.path.join(folder, "optimizer.pt"))

    library = f"PEFT {peft.__version__}, PyTorch {torch.__version__}"
    return protocol.Peer(step, rows, library, save=save)


if __name__ == "__main__":
    pytorch.serve(make)
