"""What every peer speaks: the same inputs from one specification, and answers as lines of JSON.

A peer is a script of its own, in an environment of its own. The driver starts it, sends one line
with the specification, and then asks for turns:

    {"turn": 1024, "first": 40, "warm": 3, "steps": 20}   -> {"seconds": [...]}
    {"rows": "file.npz"}                                  -> {}    some old rows and all new ones
    {"save": "folder"}                                    -> {"bytes": ...}    its own checkpoint
    {"memory": true}                         -> {"peak": ..., "base": ..., "huge": ...}    bytes

and ends when there is no more to come.

Every peer makes its inputs itself, from seeds, and so has the same ones: the rows that a table
begins with, and the ids of batch number i. It needs nothing but NumPy for this, and runs on Python
3.7 and later.
"""

import gc
import json
import os
import sys
import time

import numpy as np

# The rows of large tables repeat: their number costs time, not their values.
BLOCK_ROWS = 1 << 14
LEARNING_RATES = {"sgd": 0.1, "adagrad": 0.1, "adam": 0.01}
# Those that TensorFlow's peers alone are asked for.
LEARNING_RATES.update(momentum=0.1, rmsprop=0.01, ftrl=0.1, lazy_adam=0.01)
# What libraries disagree on by default.
ADAGRAD_START, ADAM_EPSILON = 0.1, 1e-8


class CannotDo(Exception):
    """Says why a peer cannot do the job; it becomes the peer's row."""


class Spec:
    """What is to be trained: sizes, optimizer, seed. `learning_rate` is that of all peers."""

    def __init__(self, fields):
        self.old_rows = fields["old_rows"]
        self.new_rows = fields["new_rows"]
        self.dim = fields["dim"]
        self.batches = fields["batches"]
        self.optimizer = fields["optimizer"]
        self.threads = fields.get("threads", 2)
        self.seed = fields.get("seed", 0)
        # Of TensorFlow: "old", "new" and "all" rows, as below.
        self.checkpoint = fields.get("checkpoint")
        self.learning_rate = LEARNING_RATES[self.optimizer]
        self._block = np.random.RandomState(self.seed).randn(BLOCK_ROWS, self.dim).astype("f")

    @property
    def rows(self):
        return self.old_rows + self.new_rows

    def old_chunks(self):
        """Yields (first row, values [some, dim]) through all old rows."""
        for start in range(0, self.old_rows, BLOCK_ROWS):
            yield start, self._block[: self.old_rows - start]

    def old_values(self, ids):
        """Returns the values [len(ids), dim] that these old rows begin with."""
        return self._block[np.asarray(ids) % BLOCK_ROWS]

    def new_values(self):
        """Returns the values [new_rows, dim] that the new rows begin with."""
        random = np.random.RandomState(self.seed + 1)
        return random.uniform(-0.5, 0.5, [self.new_rows, self.dim]).astype("f")

    def ids(self, size, number):
        """Returns the ids of batch `number`, int32 [size]: half of them new, in any order."""
        random = np.random.RandomState([self.seed + 2, size, number])
        old = random.randint(0, self.old_rows, size - size // 2)
        new = random.randint(self.old_rows, self.rows, size // 2)
        return random.permutation(np.concatenate([old, new])).astype(np.int32)

    def apart(self, ids):
        """Returns the old ids of a batch, and its new ids counted from 0."""
        is_new = ids >= self.old_rows
        return ids[~is_new], ids[is_new] - np.int32(self.old_rows)

    def sample(self):
        """Returns ids of old rows that a comparison looks at."""
        named = np.concatenate([self.ids(self.batches[0], number) for number in range(5)])
        return np.unique(np.concatenate([np.arange(100), named[named < self.old_rows]]))


class Peer:
    """What a peer's `make(spec)` returns.

    Attributes:
      step: function of what `prepare` returned, or dict from the size of a batch to one.
      rows: function that returns the rows of `ids`, float32 [len(ids), dim], ids of all rows.
      library: string, name and version of what does the work.
      prepare: function of a batch's ids, before the clock starts: how they arrive.
      save: function of a folder that saves a checkpoint as is usual there, or None.
      freezes: whether the old rows stay as they are.
      of_new_only: whether there are no old rows.
    """

    def __init__(
        self, step, rows, library, prepare=None, save=None, freezes=True, of_new_only=False
    ):
        self.step, self.rows, self.library = step, rows, library
        self.prepare = prepare or (lambda ids: ids)
        self.save, self.freezes, self.of_new_only = save, freezes, of_new_only


def take_turn(peer, spec, size, first, warm, steps):
    """Returns the seconds of each of `steps` steps, after `warm` that are not counted."""
    step = peer.step[size] if isinstance(peer.step, dict) else peer.step
    batches = [peer.prepare(spec.ids(size, first + number)) for number in range(warm + steps)]
    for batch in batches[:warm]:
        step(batch)
    seconds = []
    gc.disable()
    try:
        for batch in batches[warm:]:
            start = time.perf_counter()
            step(batch)
            seconds.append(time.perf_counter() - start)
    finally:
        gc.enable()
    return seconds


def memory(field):
    """Returns bytes of this process's memory: VmHWM is the most it had, VmRSS what it has."""
    # Not that of getrusage, which a process inherits from the one that starts it.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def huge_pages():
    """Returns bytes of this process's memory that are in huge pages."""
    try:
        with open("/proc/self/smaps_rollup") as file:
            return sum(int(each.split()[1]) * 1024 for each in file if each.startswith("AnonHuge"))
    except OSError:
        return None


def bytes_below(folder):
    """Returns the bytes of all files below a folder."""
    return sum(
        os.path.getsize(os.path.join(path, name))
        for path, _, names in os.walk(folder)
        for name in names
    )


def serve(make):
    """Serves one driver on standard input and output."""
    # Libraries print what they like: to where nobody takes it for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**fields):
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    spec = Spec(json.loads(sys.stdin.readline()))
    base = memory("VmRSS")
    try:
        peer = make(spec)
    except CannotDo as reason:
        answer(cannot=str(reason))
        return
    answer(library=peer.library, freezes=peer.freezes, of_new_only=peer.of_new_only)
    for line in sys.stdin:
        asked = json.loads(line)
        if "turn" in asked:
            answer(
                seconds=take_turn(
                    peer, spec, asked["turn"], asked["first"], asked["warm"], asked["steps"]
                )
            )
        elif "rows" in asked:
            first_new = 0 if peer.of_new_only else spec.old_rows
            new = peer.rows(np.arange(first_new, first_new + spec.new_rows))
            old = spec.old_values(spec.sample()) if peer.of_new_only else peer.rows(spec.sample())
            np.savez(asked["rows"], new=new, old=old)
            answer()
        elif "save" in asked:
            if peer.save is None:
                answer(bytes=None)
                continue
            os.makedirs(asked["save"])
            peer.save(asked["save"])
            answer(bytes=bytes_below(asked["save"]))
        else:
            answer(base=base, peak=memory("VmHWM"), huge=huge_pages())
