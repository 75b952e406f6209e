"""Old queries in the loss of new rows: the gradient of the full softmax, at the new rows' cost."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.tables import bits
from tf1_embed.solving.old_answers import OldAnswers

RANDOM = np.random.RandomState(0)
OLD = RANDOM.randn(30, 4).astype(np.float32)
NEW = RANDOM.randn(3, 4).astype(np.float32)
QUERIES = RANDOM.randn(50, 4).astype(np.float32)
IDS = (QUERIES @ OLD.T).argmax(axis=1)


@pytest.fixture(scope="module")
def background():
    background = tf1_embed.Background(OLD, partitions=True)
    background.add(QUERIES, IDS)
    return background


def test_gradient_is_that_of_the_full_softmax(background):
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf1_embed.get_grown_table("table", num_new_rows=3, old_rows=OLD, initializer=NEW)
        old = OldAnswers(table.trainable, background, QUERIES, num_facts=50, batch_size=50)
        logits = tf1_embed.matmul(tf.constant(QUERIES), table)
        full = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=IDS, logits=logits)
        )
        session.run(tf.global_variables_initializer())
        gradients = [tf.gradients(each, table.trainable)[0] for each in (old.loss, full)]
        found, expected = session.run(gradients, feed_dict=old.feed())
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        loss, full_loss = session.run([old.loss, full], feed_dict=old.feed())
    alone = np.log(np.exp(QUERIES @ OLD.T).sum(axis=1)) - (QUERIES * OLD[IDS]).sum(axis=1)
    assert loss == pytest.approx(full_loss - alone.mean(), rel=1e-3)


def test_training_with_it_leaves_old_rows_and_lowers_what_old_answers_lose(background):
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf1_embed.get_grown_table(
            "table", num_new_rows=3, old_rows=OLD, initializer=3 * NEW
        )
        old = OldAnswers(table.trainable, background, QUERIES, num_facts=10, batch_size=20)
        train_op = tf.train.AdamOptimizer(0.05).minimize(old.loss)
        session.run(tf.global_variables_initializer())
        for _ in range(60):
            session.run(train_op, feed_dict=old.feed())
        rows, frozen = session.run([table.trainable, table.frozen])
    np.testing.assert_array_equal(bits(frozen), bits(OLD))
    before = tf1_embed.interference(QUERIES, IDS, OLD, 3 * NEW)
    after = tf1_embed.interference(QUERIES, IDS, OLD, rows)
    assert after.lost < before.lost / 4


def test_weight_multiplies_what_old_answers_count(background):
    with tf.Graph().as_default(), tf.Session() as session:
        once, thrice = (
            OldAnswers(tf.constant(NEW), background, QUERIES, 50, 50, weight=weight)
            for weight in (1.0, 3.0)
        )
        loss, more = (session.run(each.loss, each.feed()) for each in (once, thrice))
    assert more == pytest.approx(3 * loss, rel=1e-5)


def test_every_old_query_comes_once_before_any_comes_twice(background):
    with tf.Graph().as_default():
        for share, count in ((1.0, 50), (0.3, 15)):
            old = OldAnswers(tf.constant(NEW), background, QUERIES, 10, 4, share)
            seen = []
            for _ in range(int(np.ceil(count / 4))):
                queries, partitions = old.feed().values()
                assert len(queries) == len(partitions) <= 4
                seen += [np.flatnonzero((QUERIES == each).all(axis=1)).item() for each in queries]
            assert len(seen) == len(set(seen)) == count


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"queries": QUERIES[:-1]}, "`queries` must be the 50 that the background was made of"),
        ({"num_facts": 0}, "`num_facts` and `batch_size` must be 1 or more"),
        ({"batch_size": 0}, "`num_facts` and `batch_size` must be 1 or more"),
        ({"share": 1.5}, "`share` in \\(0, 1\\]"),
        ({"weight": -1.0}, "`weight` must be 0 or more, got -1.0"),
        ({"background": tf1_embed.Background(OLD)}, "must have the partitions of its queries"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(background, changed, message):
    arguments = {"background": background, "queries": QUERIES, "num_facts": 1, **changed}
    with tf.Graph().as_default(), pytest.raises(ValueError, match=message):
        OldAnswers(tf.constant(NEW), **arguments)


def test_eager_mode_is_refused(background, monkeypatch):
    monkeypatch.setattr(tf, "executing_eagerly", lambda: True)
    with pytest.raises(RuntimeError, match="OldAnswers builds a graph"):
        OldAnswers(NEW, background, QUERIES, 1)
