"""The answer's branch, `tf.cond`: a batch holds old ids only, or new ids only.

So each batch of the others is two here, one after the other, and takes two steps.
"""

import copy

import tf1_embed
from benchmarks.peers import graph, protocol


def build(spec):
    if spec.optimizer == "adam":
        raise protocol.CannotDo(
            "a batch of old ids is a step too, in which Adam moves new rows that no batch named: "
            "other vectors"
        )
    table = graph.grown_table(spec)
    optimizer = graph.optimizer(spec)
    return graph.Model(
        old=(table.frozen, 0),
        new=(table.trainable, 0),
        vectors=lambda ids: [tf1_embed.embedding_lookup(table, ids, strategy="cond")],
        minimize=optimizer.minimize,
    )


def make(spec):
    """Returns the peer that runs its step on either half of a batch."""
    halves_of = copy.copy(spec)
    halves_of.batches = [size // 2 for size in spec.batches]
    peer = graph.make(halves_of, build)

    def both(half):
        def step(halves):
            for each in halves:
                half((each,))

        return step

    def prepare(ids):
        old_ids, new_ids = spec.apart(ids)
        return old_ids, new_ids + spec.old_rows

    peer.step = {size: both(peer.step[size // 2]) for size in spec.batches}
    peer.prepare = prepare
    return peer


if __name__ == "__main__":
    protocol.serve(make)
