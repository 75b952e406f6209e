"""Queries read off graphs, and what has none."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from examples.knowledge_graph.model import QUERIES

NUM_ROWS, DIM = 7, 4
IDS = [2, 5, 2, 0]
RANDOM = np.random.RandomState(0)
TABLE = RANDOM.randn(NUM_ROWS, DIM).astype(np.float32)
USERS = RANDOM.randn(4, DIM).astype(np.float32)
BIAS = RANDOM.randn(4).astype(np.float32)


@pytest.fixture(params=[False, True], ids=["ref", "resource"])
def session(request):
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("", use_resource=request.param):
            session.table = tf.get_variable("table", initializer=TABLE)
        session.vectors = tf.nn.embedding_lookup(session.table, IDS)
        session.run(tf.global_variables_initializer())
        yield session


def test_queries_of_a_factorisation_are_its_users_duplicates_apart(session):
    scores = tf.reduce_sum(session.vectors * USERS, axis=1) + BIAS
    queries, offsets = tf1_embed.row_queries(scores, session.vectors).run(session)
    np.testing.assert_allclose(queries, USERS, rtol=1e-6)
    np.testing.assert_allclose(offsets, BIAS, atol=1e-5)
    np.testing.assert_array_equal(session.run(session.table), TABLE)


def test_several_scores_of_a_vector_have_a_query_each(session):
    scores = tf.matmul(session.vectors, USERS[:3], transpose_b=True) + BIAS[:3]
    found = tf1_embed.row_queries(scores, session.vectors)
    assert found.queries.shape.as_list() == [4, 3, DIM]
    queries, offsets = found.run(session)
    np.testing.assert_allclose(queries, np.broadcast_to(USERS[:3], [4, 3, DIM]), rtol=1e-6)
    np.testing.assert_allclose(offsets, np.broadcast_to(BIAS[:3], [4, 3]), atol=1e-5)


def test_sampled_candidates_have_vectors_of_their_own(session):
    vectors = tf.nn.embedding_lookup(session.table, [[1, 2], [3, 3], [0, 6], [5, 5]])
    scores = tf.einsum("bd,bcd->bc", tf.constant(USERS), vectors)
    queries, offsets = tf1_embed.row_queries(scores, vectors).run(session)
    np.testing.assert_allclose(queries, np.broadcast_to(USERS[:, None], [4, 2, DIM]), rtol=1e-6)
    np.testing.assert_allclose(offsets, 0, atol=1e-5)


@pytest.mark.parametrize("kind", ["complex", "distmult"])
@pytest.mark.parametrize("asks", ["head", "tail"])
def test_either_end_of_a_triple_is_asked_for(session, kind, asks):
    heads = tf.nn.embedding_lookup(session.table, tf.placeholder_with_default([1, 1, 3, 4], [4]))
    ends = {"tail": session.vectors, "head": heads}
    relation = tf.constant(USERS)
    tail_query, head_query = QUERIES[kind](heads, relation, session.vectors)
    scores = tf.reduce_sum(tail_query * session.vectors, axis=1)
    queries, offsets = tf1_embed.row_queries(scores, ends[asks]).run(session)
    expected = session.run(head_query if asks == "head" else tail_query)
    np.testing.assert_allclose(queries, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(offsets, 0, atol=1e-5)


def test_scores_that_a_loop_adds_up_have_queries(session):
    def add(step, total):
        return step + 1, total + tf.reduce_sum(session.vectors * USERS, axis=1)

    _, scores = tf.while_loop(lambda step, _: step < 3, add, [0, tf.constant(BIAS)])
    queries, offsets = tf1_embed.row_queries(scores, session.vectors).run(session)
    np.testing.assert_allclose(queries, 3 * USERS, rtol=1e-5)
    np.testing.assert_allclose(offsets, BIAS, atol=1e-5)


def test_vectors_that_are_gathered_once_more_are_known_by_their_place(session):
    order = [3, 2, 1, 0]
    turned = tf.reduce_sum(tf.gather(session.vectors, order) * USERS, axis=1)
    scores = tf.gather(turned, order)
    queries, _ = tf1_embed.row_queries(scores, session.vectors).run(session)
    np.testing.assert_allclose(queries, USERS[order], rtol=1e-6)


def test_vectors_of_a_split_table_do_as_well():
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf1_embed.get_grown_table("table", num_new_rows=2, old_rows=TABLE)
        vectors = tf1_embed.embedding_lookup(table, [2, NUM_ROWS, 0, NUM_ROWS + 1])
        scores = tf.reduce_sum(vectors * USERS, axis=1) + BIAS
        found = tf1_embed.row_queries(scores, vectors)
        session.run(tf.global_variables_initializer())
        before = session.run([table.frozen, table.trainable])
        queries, offsets = found.run(session)
        after = session.run([table.frozen, table.trainable])
    np.testing.assert_allclose(queries, USERS, rtol=1e-6)
    np.testing.assert_allclose(offsets, BIAS, atol=1e-5)
    for one, same in zip(before, after):
        np.testing.assert_array_equal(one, same)


def test_queries_of_a_grown_table_make_its_new_rows(session):
    ids = tf.placeholder(tf.int32, [None])
    users = tf.placeholder(tf.float32, [None, DIM])
    vectors = tf.nn.embedding_lookup(session.table, ids)
    found = tf1_embed.row_queries(tf.reduce_sum(vectors * users, axis=1), vectors)
    random = np.random.RandomState(1)
    old_ids = random.randint(0, NUM_ROWS, 200)
    old_users, new_users = random.randn(200, DIM), random.randn(50, DIM)
    queries, offsets = found.run(session, {ids: old_ids, users: old_users})
    background = tf1_embed.Background(TABLE)
    ratings = (queries * TABLE[old_ids]).sum(axis=1) + 0.1 * random.randn(200)
    background.add(queries, old_ids, ratings, offsets)
    # Any old row does: of the query it knows nothing.
    queries, offsets = found.run(session, {ids: np.zeros(50, int), users: new_users})
    row = np.array([1.0, -1.0, 0.5, 2.0])
    rows = tf1_embed.solve_rows(
        queries, [NUM_ROWS] * 50, new_users @ row, background, "squared", offsets=offsets
    )
    np.testing.assert_allclose(rows, [row], atol=0.02)


def make_scores(kind, vectors):
    if kind == "distance":
        return -tf.reduce_sum(tf.squared_difference(vectors, USERS), axis=1)
    product = vectors * USERS
    if kind == "dropout":
        product = tf.nn.dropout(product, rate=0.5)
    scores = tf.reduce_sum(product, axis=1)
    if kind == "sigmoid":
        return tf.sigmoid(scores)
    if kind == "relu":
        return tf.nn.relu(scores)
    if kind == "of the batch":
        return scores - tf.reduce_mean(scores)
    return scores


@pytest.mark.parametrize(
    "kind, message",
    [
        ("distance", "squared distances \\(TransE and the like\\).* -1 times the square"),
        ("sigmoid", "not linear in `vectors`"),
        ("relu", "not linear in `vectors`"),
        ("dropout", "without dropout"),
        ("of the batch", "each of one vector of the batch"),
    ],
)
def test_scores_that_are_not_linear_are_refused(session, kind, message):
    found = tf1_embed.row_queries(make_scores(kind, session.vectors), session.vectors)
    with pytest.raises(ValueError, match=message):
        found.run(session)


def test_tensors_that_do_not_fit_are_refused(session):
    with pytest.raises(ValueError, match="`scores` must be of shape \\[batch\\]"):
        tf1_embed.row_queries(tf.zeros([]), session.vectors)
    with pytest.raises(ValueError, match="`vectors` must be floats of known rank"):
        tf1_embed.row_queries(tf.zeros([4]), tf.zeros([4, 2], tf.int32))
    with pytest.raises(ValueError, match="do not depend on `vectors`"):
        tf1_embed.row_queries(tf.zeros([4]), session.vectors)
    with pytest.raises(ValueError, match="a static number of candidates"):
        tf1_embed.row_queries(tf.placeholder(tf.float32, [None, None]), session.vectors)


def test_functions_of_arrays_have_queries_too():
    def scores(vectors):
        return (vectors * USERS).sum(axis=1) + BIAS

    queries, offsets = tf1_embed.row_queries(scores, TABLE[IDS])
    np.testing.assert_allclose(queries, USERS, atol=1e-6)
    np.testing.assert_allclose(offsets, BIAS)
    with pytest.raises(ValueError, match="squared distances"):
        tf1_embed.row_queries(lambda x: -((x - USERS) ** 2).sum(axis=1), TABLE[IDS])
    with pytest.raises(ValueError, match="not linear"):
        tf1_embed.row_queries(lambda x: np.exp(scores(x)), TABLE[IDS])
    with pytest.raises(ValueError, match="`vectors` must be of shape"):
        tf1_embed.row_queries(scores, TABLE[0])
    with pytest.raises(ValueError, match="`scores` must return an array of shape \\[4\\]"):
        tf1_embed.row_queries(lambda x: x, TABLE[IDS])


def test_eager_mode_is_refused(monkeypatch):
    monkeypatch.setattr(tf, "executing_eagerly", lambda: True)
    with pytest.raises(RuntimeError, match="row_queries builds a graph"):
        tf1_embed.row_queries(np.zeros(3), np.zeros([3, 2]))
