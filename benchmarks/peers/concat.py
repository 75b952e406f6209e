"""The question's own attempt: both tables in one tensor, copied in every step."""

import tf1_embed
from benchmarks.peers import graph


def build(spec):
    table = graph.grown_table(spec)
    optimizer = graph.optimizer(spec)
    return graph.Model(
        old=(table.frozen, 0),
        new=(table.trainable, 0),
        vectors=lambda ids: [tf1_embed.embedding_lookup(table, ids, strategy="concat")],
        minimize=optimizer.minimize,
    )


if __name__ == "__main__":
    graph.serve(build)
