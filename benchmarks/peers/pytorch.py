"""What the peers in PyTorch have in common."""

import os

import torch

from benchmarks.peers import protocol


def optimizer(spec, parameters):
    """Returns the optimizer that is asked for."""
    if spec.optimizer == "sgd":
        return torch.optim.SGD(parameters, spec.learning_rate)
    if spec.optimizer == "adagrad":
        return torch.optim.Adagrad(
            parameters, spec.learning_rate, initial_accumulator_value=protocol.ADAGRAD_START
        )
    return torch.optim.Adam(parameters, spec.learning_rate, eps=protocol.ADAM_EPSILON)


def old_tensor(spec, num_rows):
    """Returns a tensor of `num_rows`, which begins with the old rows."""
    table = torch.empty(num_rows, spec.dim)
    for start, values in spec.old_chunks():
        table[start : start + len(values)] = torch.from_numpy(values)
    return table


def whole_tensor(spec):
    """Returns a tensor of all rows, old and new."""
    table = old_tensor(spec, spec.rows)
    table[spec.old_rows :] = torch.from_numpy(spec.new_values())
    return table


def give(parameter, values):
    """Gives a parameter its first values."""
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values))


def descend(vectors, optimizer):
    """Takes a step of the optimizer on the loss of these vectors."""
    loss = (vectors - 1).square().sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def peer(step, rows, parts, optimizer):
    """Returns the `Peer` of a step; its checkpoint holds `parts` and the optimizer's state."""

    def save(folder):
        state = dict(parts, optimizer=optimizer.state_dict())
        torch.save(state, os.path.join(folder, "model.pt"))

    return protocol.Peer(step, rows, f"PyTorch {torch.__version__}", save=save)


def serve(make):
    """Serves the peer that `make(spec)` returns."""

    def make_with_threads(spec):
        torch.set_num_threads(spec.threads)
        return make(spec)

    protocol.serve(make_with_threads)
