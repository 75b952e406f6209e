"""The demo's model over a sample of the entities, since a cluster should not send them all.

The demo scores every entity in every step. Here those of a batch are scored against the same few
candidates, drawn at random: a step sends the rows of its batch and of the candidates, however many
entities there are.
"""

import tensorflow.compat.v1 as tf

import tf1_embed
from examples.knowledge_graph.model import QUERIES, initializer


class SampledLinkPredictor:
    """Tells the true tail, and the true head, of a triple from candidates drawn at random.

    Args:
      entities: the table `[num_entities, width]`: a variable, or one that tf1_embed has grown.
      num_relations: how many relations there are; the model makes their table.
      num_candidates: how many entities are drawn for a batch.

    Attributes:
      triples: int32 placeholder `[batch, 3]`.
      relation_table: the variable `[num_relations, width]`.
      loss: scalar, the mean over the batch.
    """

    def __init__(self, entities, num_relations, num_candidates):
        self.triples = tf.placeholder(tf.int32, [None, 3], "triples")
        num_entities, width = (int(size) for size in entities.shape)
        self.relation_table = tf.get_variable(
            "relations", [num_relations, width], initializer=initializer()
        )
        heads, relations, tails = tf.unstack(self.triples, axis=1)
        candidates = tf.random_uniform([num_candidates], maxval=num_entities, dtype=tf.int32)
        # In one lookup, which sends fewer messages than three.
        rows = tf1_embed.embedding_lookup(entities, tf.concat([heads, tails, candidates], 0))
        batch = tf.size(heads)
        head, tail, candidate_rows = tf.split(rows, tf.stack([batch, batch, num_candidates]))
        relation = tf.nn.embedding_lookup(self.relation_table, relations)
        tail_query, head_query = QUERIES["complex"](head, relation, tail)

        def cross_entropy(queries, answers, answer_rows):
            score = tf.reduce_sum(queries * answer_rows, axis=1, keepdims=True)
            rivals = tf.matmul(queries, candidate_rows, transpose_b=True)
            # An answer is not its own rival.
            rivals -= 1e9 * tf.cast(tf.equal(answers[:, tf.newaxis], candidates), tf.float32)
            return tf.reduce_mean(
                tf.reduce_logsumexp(tf.concat([score, rivals], 1), 1, keepdims=True) - score
            )

        self.loss = cross_entropy(tail_query, tails, tail) + cross_entropy(head_query, heads, head)
