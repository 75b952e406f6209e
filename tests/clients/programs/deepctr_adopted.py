"""Trains DeepCTR's DeepFM to tell who clicks on what, or goes on where its folder's training ended.

    python deepctr_plain.py CLICKS.CSV HELD_OUT.CSV FOLDER NUM_ADS EPOCHS

Prints the area under the ROC curve of the clicks held out.
"""

import sys

import pandas as pd
import tensorflow as tf
from deepctr.estimator import DeepFMEstimator
from deepctr.estimator.inputs import input_fn_pandas

from tf1_embed import TrainableRowsOptimizer, grown_rows

tf.logging.set_verbosity(tf.logging.ERROR)
clicks, held_out, folder, num_ads, epochs = sys.argv[1:]

columns = [
    tf.feature_column.categorical_column_with_identity("user", 300),
    tf.feature_column.categorical_column_with_identity("ad", int(num_ads)),
]
linear, dnn = tf.train.FtrlOptimizer(0.1), tf.train.AdamOptimizer(0.01)
new = {"trainable_rows": grown_rows(f"{folder}/grown"), "slots": "full", "others": "frozen"}
linear, dnn = TrainableRowsOptimizer(linear, **new), TrainableRowsOptimizer(dnn, **new)
model = DeepFMEstimator(
    linear_feature_columns=columns,
    dnn_feature_columns=[tf.feature_column.embedding_column(each, 8) for each in columns],
    dnn_hidden_units=(32, 16),
    linear_optimizer=linear,
    dnn_optimizer=dnn,
    model_dir=folder,
    config=tf.estimator.RunConfig(tf_random_seed=0),
)


def read(path, num_epochs):
    return input_fn_pandas(pd.read_csv(path), ["user", "ad"], "click", num_epochs=num_epochs)


if int(epochs):
    model.train(read(clicks, int(epochs)))
print("AUC", model.evaluate(read(held_out, 1))["AUC"])
