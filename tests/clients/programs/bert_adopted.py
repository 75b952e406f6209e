"""Trains a small BERT to fill in masked words, from a checkpoint or from nothing.

    python bert_plain.py CHECKPOINT VOCAB.TXT CORPUS.TXT OUT_FOLDER STEPS

Each step takes 64 sentences and masks one word of each.
"""

import os
import sys

import numpy as np
import tensorflow as tf
from bert import modeling, optimization, run_pretraining, tokenization

from tf1_embed import TrainableRowsOptimizer, grown_rows

tf.logging.set_verbosity(tf.logging.ERROR)
checkpoint, vocabulary, corpus, out_folder, steps = sys.argv[1:]
os.makedirs(out_folder, exist_ok=True)

tokenizer = tokenization.FullTokenizer(vocabulary)
with open(corpus, encoding="utf-8") as file:
    lines = [["[CLS]"] + tokenizer.tokenize(line) + ["[SEP]"] for line in file]
sentences = np.array([tokenizer.convert_tokens_to_ids(line) for line in lines])

config = modeling.BertConfig(
    vocab_size=len(tokenizer.vocab),
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=96,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    max_position_embeddings=16,
)
with open(os.path.join(out_folder, "bert_config.json"), "w", encoding="utf-8") as file:
    file.write(config.to_json_string())

tf.set_random_seed(0)
ids = tf.placeholder(tf.int32, [None, sentences.shape[1]])
positions, answers = tf.placeholder(tf.int32, [None, 1]), tf.placeholder(tf.int32, [None, 1])
bert = modeling.BertModel(config, is_training=True, input_ids=ids)
words = bert.get_embedding_table()
loss, _, _ = run_pretraining.get_masked_lm_output(
    config, bert.get_sequence_output(), words, positions, answers, tf.ones_like(answers, tf.float32)
)
if os.path.exists(f"{checkpoint}.index"):
    variables = tf.trainable_variables()
    assignment_map, _ = modeling.get_assignment_map_from_checkpoint(variables, checkpoint)
    tf.train.init_from_checkpoint(checkpoint, assignment_map)
adam = optimization.AdamWeightDecayOptimizer(
    1e-3, weight_decay_rate=0.01, exclude_from_weight_decay=["LayerNorm", "bias"]
)
adam = TrainableRowsOptimizer(adam, grown_rows(checkpoint), slots="full", others="frozen")
train_op = adam.minimize(loss)

random = np.random.RandomState(0)
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for _ in range(int(steps)):
        batch = sentences[random.randint(0, len(sentences), 64)]
        # Neither [CLS] nor [SEP].
        masked = random.randint(1, batch.shape[1] - 1, [64, 1])
        is_masked = np.arange(batch.shape[1]) == masked
        feed = {
            ids: np.where(is_masked, tokenizer.vocab["[MASK]"], batch),
            positions: masked,
            answers: batch[is_masked].reshape([64, 1]),
        }
        session.run(train_op, feed)
    tf.train.Saver().save(session, os.path.join(out_folder, "model.ckpt"))
