"""Retrains a LibRecommender model after users and items have come, as its documentation does.

    python libreco_plain.py OLD_FOLDER INTERACTIONS.CSV NEW_FOLDER EPOCHS

The interactions, of users with items, are those that have come since.
"""

import sys

import numpy as np
import pandas as pd
import tensorflow.compat.v1 as tf
from libreco.algorithms import SVD
from libreco.data import DataInfo, DatasetPure

from tf1_embed import TrainableRowsOptimizer

tf.logging.set_verbosity(tf.logging.ERROR)
old_folder, interactions, new_folder, epochs = sys.argv[1:]

train_data, data_info = DatasetPure.merge_trainset(
    pd.read_csv(interactions), DataInfo.load(old_folder, "svd")
)
model = SVD("ranking", data_info, embed_size=16, n_epochs=int(epochs), lr=0.01, num_neg=2)
model.rebuild_model(old_folder, "svd")
old = np.load(f"{old_folder}/svd_tf_variables.npz")
new = {v: range(len(old[v.name]), int(v.shape[0])) for v in tf.trainable_variables()}
adam = TrainableRowsOptimizer(tf.train.AdamOptimizer(0.01, epsilon=1e-5), new)
model.trainer.training_op = adam.minimize(model.trainer.loss)
model.sess.run(tf.variables_initializer(adam.variables()))
model.fit(train_data, neg_sampling=True, verbose=0)
model.save(new_folder, "svd")  # to be retrained
model.save(new_folder, "svd", inference_only=True)
data_info.save(new_folder, "svd")

# Other systems have stored the vectors: which ones have to be sent to them again?
for variable in tf.trainable_variables():
    before, after = old[variable.name], model.sess.run(variable)[: len(old[variable.name])]
    changed = (before != after).reshape([len(before), -1]).any(axis=1)
    print(f"{variable.name}: {changed.sum()} of {len(before)} old vectors have changed")
