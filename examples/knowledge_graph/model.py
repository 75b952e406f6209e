"""Link prediction in plain TensorFlow 1: ComplEx, DistMult and TransE.

Nothing here knows whether the table of entities was grown. `tf1_embed.embedding_lookup` and
`tf1_embed.matmul` take an ordinary variable as well, and are then `tf.nn.embedding_lookup` and
`tf.matmul`.
"""

import tensorflow.compat.v1 as tf

import tf1_embed


def _complex_queries(head, relation, tail):
    # Trouillon et al., "Complex Embeddings for Simple Link Prediction" (ICML 2016):
    # score = Re <head, relation, conjugate(tail)>; a row holds the real parts, then the imaginary.
    (a, b), (c, d), (e, f) = (tf.split(x, 2, axis=1) for x in (head, relation, tail))
    return (
        tf.concat([a * c - b * d, a * d + b * c], axis=1),
        tf.concat([c * e + d * f, c * f - d * e], axis=1),
    )


def _distmult_queries(head, relation, tail):
    # Yang et al., "Embedding Entities and Relations for Learning and Inference in Knowledge
    # Bases" (ICLR 2015): score = sum(head * relation * tail).
    return head * relation, relation * tail


def _transe_queries(head, relation, tail):
    # Bordes et al., "Translating Embeddings for Modeling Multi-relational Data" (NIPS 2013):
    # score = -|head + relation - tail|^2.
    return head + relation, tail - relation


# From three vectors [batch, width], the queries [batch, width] for the tail and for the head.
QUERIES = {"complex": _complex_queries, "distmult": _distmult_queries, "transe": _transe_queries}


def initializer():
    """Returns how rows begin, those of entities that come later included."""
    return tf.random_normal_initializer(stddev=0.1)


class LinkPredictor:
    """Scores every entity as the tail and as the head of a triple.

    Args:
      entities: the table `[num_entities, width]`: a variable, or one that tf1_embed has grown.
      num_relations: how many relations there are; the model makes their table.
      kind: a key of `QUERIES`.
      penalty: weight of the entities' cubed norm in the loss (N3 of Lacroix et al., "Canonical
        Tensor Decomposition for Knowledge Base Completion", ICML 2018).
      relations: the table `[num_relations, width]`, such as one that tf1_embed has grown; the model
        makes a variable, if not given.

    Attributes:
      heads, relations, tails: int32 placeholders `[batch]`.
      dropout: scalar placeholder, the share of a query that training drops; 0 if not fed.
      tail_scores, head_scores: float32 `[batch, num_entities]`.
      relation_table: the table `[num_relations, width]`.
      loss: scalar, the mean over the batch.
    """

    def __init__(self, entities, num_relations, kind="complex", penalty=0.0, relations=None):
        # In the singular: a placeholder named "relations" would make the variable "relations_1".
        self.heads = tf.placeholder(tf.int32, [None], "head")
        self.relations = tf.placeholder(tf.int32, [None], "relation")
        self.tails = tf.placeholder(tf.int32, [None], "tail")
        self.dropout = tf.placeholder_with_default(0.0, [], "dropout")
        self.relation_table = relations
        if relations is None:
            self.relation_table = tf.get_variable(
                "relations", [num_relations, entities.shape[1]], initializer=initializer()
            )

        head, tail = tf.unstack(
            tf1_embed.embedding_lookup(entities, tf.stack([self.heads, self.tails]))
        )
        relation = tf1_embed.embedding_lookup(self.relation_table, self.relations)
        tail_query, head_query = QUERIES[kind](head, relation, tail)
        if kind == "transe":
            score = _negative_squared_distances
        else:
            score = tf1_embed.matmul
        self.tail_scores = score(tf.nn.dropout(tail_query, rate=self.dropout), entities)
        self.head_scores = score(tf.nn.dropout(head_query, rate=self.dropout), entities)

        self.loss = (
            _cross_entropy(self.tail_scores, self.tails)
            + _cross_entropy(self.head_scores, self.heads)
            + penalty * _cubed_norm(head)
            + penalty * _cubed_norm(tail)
        )


def _negative_squared_distances(queries, entities):
    rows = tf1_embed.embedding_lookup(entities, tf.range(int(entities.shape[0])))
    return (
        2 * tf1_embed.matmul(queries, entities)
        - tf.reduce_sum(tf.square(rows), axis=1)
        - tf.reduce_sum(tf.square(queries), axis=1, keepdims=True)
    )


def _cross_entropy(scores, answers):
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=answers, logits=scores)
    )


def _cubed_norm(vectors):
    return tf.reduce_mean(tf.reduce_sum(tf.abs(vectors) ** 3, axis=1))
