"""Goes on training an AmpliGraph model after entities have come to its graph.

    python ampligraph_plain.py OLD_MODEL TRIPLES.TSV NEW_MODEL EPOCHS

The triples are all there are, of old and of new entities; columns are separated by tabs.
"""

import sys

import numpy as np
import tensorflow as tf
from ampligraph.datasets import load_from_csv
from ampligraph.latent_features import ComplEx
from ampligraph.utils import restore_model, save_model

from tf1_embed import TrainableRowsOptimizer

tf.logging.set_verbosity(tf.logging.ERROR)
old_path, triples_path, new_path, epochs = sys.argv[1:]

triples = load_from_csv("", triples_path, sep="\t")
old = restore_model(old_path)

# AmpliGraph numbers entities in the order of their names: the new ones come in between.
entities, relations = np.unique(triples[:, [0, 2]]), np.unique(triples[:, 1])
is_new = ~np.isin(entities, list(old.ent_to_idx))
vectors = np.random.RandomState(0).normal(0, 0.1, [len(entities), old.internal_k])
vectors[~is_new] = old.get_embeddings(entities[~is_new])

model = ComplEx(
    k=old.k,
    eta=10,
    epochs=int(epochs),
    batches_count=10,
    loss="multiclass_nll",
    optimizer="adam",
    optimizer_params={"lr": 0.01},
    initializer="constant",
    initializer_params={
        "entity": vectors.astype(np.float32),
        "relation": old.get_embeddings(relations, "relation"),
    },
)
adam = TrainableRowsOptimizer(tf.train.AdamOptimizer(0.01), {"ent_emb*": is_new}, others="frozen")
model.optimizer.minimize = adam.minimize
model.fit(triples)
save_model(model, new_path)
