"""tf1_embed, two variables: each id is looked up in its own."""

import tf1_embed
from benchmarks.peers import graph


def build(spec):
    table = graph.grown_table(spec)
    optimizer = graph.optimizer(spec)
    return graph.Model(
        old=(table.frozen, 0),
        new=(table.trainable, 0),
        vectors=lambda ids: [tf1_embed.embedding_lookup(table, ids, strategy="partition")],
        minimize=optimizer.minimize,
    )


if __name__ == "__main__":
    graph.serve(build)
