"""What a step costs when there are as many new rows as old ones, a million.

Adam moves every row of what it trains in every step, so that the new rows are the cost. A lazy
variant (TensorFlow 1 has one, in contrib) moves those of the batch only: another rule, which gives
other vectors.
"""

from benchmarks import steps

ROWS = 10**6
NAMES = ("floor", "bound", "partition", "chosen_rows")
OPTIMIZERS = {"tf2": ["adam"], "tf1": ["adam", "lazy_adam"]}


def run(options):
    """Measures the optimizers that each TensorFlow has."""
    rows = 10**4 if options.quick else ROWS
    for environment in options.tensorflow:
        for optimizer in OPTIMIZERS[environment]:
            if options.optimizer and optimizer not in options.optimizer:
                continue
            peers = [peer for peer in steps.PEERS if peer.name in NAMES]
            spec = steps.make_spec(rows, optimizer, options, new_rows=rows)
            steps.run_one(name_of(environment, optimizer), spec, peers, environment, options)


def name_of(environment, optimizer):
    """Returns the name of what is measured, without its folder."""
    return f"many-new-rows-{environment}-{optimizer}"
