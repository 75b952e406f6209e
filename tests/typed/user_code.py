"""Code of users, right and wrong, that `make lint` shows to mypy and nobody runs.

What is wrong has a `type: ignore` of the one error that is to be found; mypy complains of those
that it does not need.
"""

from __future__ import annotations

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow import Variable
from typing_extensions import assert_type

import tf1_embed
from tf1_embed import GrownTable, Rows, embedding_lookup, get_grown_table
from tf1_embed.vocabulary import IdMap, id_map, read_vocabulary


def right() -> None:
    table = get_grown_table("embedding", 2, old_rows=np.zeros([4, 3], np.float32))
    assert_type(table, GrownTable)
    assert_type(table.frozen, Variable)
    assert_type(table.trainable, Variable)
    assert_type(table.trainable_rows, Rows)
    assert_type(table.num_new_rows, int)
    print(table.frozen.name.upper(), table.frozen.shape.as_list())

    ids = tf.placeholder(tf.int64, [None])
    loss = tf.reduce_sum(embedding_lookup(table, ids) ** 2)
    train_op = tf.train.AdamOptimizer().minimize(loss)
    merged = tf1_embed.summaries(table)
    hook = tf1_embed.FrozenRowsHook(table, every_n_steps=10, every_n_secs=None)
    with tf.train.MonitoredSession(hooks=[hook]) as session:
        session.run([train_op, merged], {ids: [1, 5]})

    variable = tf.get_variable("other", [8, 2])
    optimizer = tf1_embed.TrainableRowsOptimizer(
        tf.train.AdamOptimizer(), {variable: Rows.range(6, 8, size=8)}
    )
    optimizer.minimize(tf.reduce_sum(variable))
    checker = tf1_embed.FrozenRowsChecker({variable: Rows.of([1, 2], 8)})
    assert_type(checker.seconds, float)
    assert_type(tf1_embed.fingerprint(np.eye(3)), str)
    tf1_embed.initializers.glorot_normal(seed=1)


def right_without_tensorflow() -> None:
    old = read_vocabulary("old.txt")
    assert_type(old, list[str])
    mapped = id_map(old, [*old, "new"])
    assert_type(mapped, IdMap)
    assert_type(mapped.new_rows, Rows)
    tf1_embed.grow_checkpoint("old", ["embedding"], "new", num_new_rows={"embedding": 2})
    for comparison in tf1_embed.verify_checkpoint("old", "new", ["embedding"]):
        print(comparison)


def right_pictures() -> None:
    from matplotlib.figure import Figure

    from tf1_embed import plots

    figure = plots.norms(np.eye(5), Rows.range(3, 5, size=5))
    assert_type(figure, Figure)
    plots.save(figure, "norms.svg")


def wrong(table: GrownTable) -> None:
    tf1_embed.embeding_lookup(table, [1])  # type: ignore[attr-defined]
    tf1_embed.lookup_no_such(table, [1])  # type: ignore[attr-defined]
    tf1_embed.initializers.glorot_norml()  # type: ignore[attr-defined]
    print(table.frosen)  # type: ignore[attr-defined]
    get_grown_table("embedding", num_new_row=2)  # type: ignore[call-arg]
    embedding_lookup(table, [1], strategi="cond")  # type: ignore[call-arg]
    tf1_embed.FrozenRowsHook(table, every_n_step=10)  # type: ignore[call-arg]
    tf1_embed.FrozenRowsHook(table, every_n_steps="10")  # type: ignore[arg-type]
    table.frozen.name + 1  # type: ignore[operator]
    table.num_new_rows.upper()  # type: ignore[attr-defined]
    read_vocabulary(b"old.txt")  # type: ignore[arg-type]
    id_map("old.txt", "new.txt", reserved=1)  # type: ignore[arg-type]
    tf1_embed.fingerprint(np.eye(3)).digest()  # type: ignore[attr-defined]
