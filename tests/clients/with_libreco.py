"""LibRecommender: a shop, of which each user and each item has a taste; users and items come."""

import numpy as np
import pandas as pd
import tensorflow.compat.v1 as tf
from libreco.algorithms import SVD
from libreco.data import DataInfo, DatasetPure
from libreco.evaluation import evaluate
from outcome import Scores, Table, make_outcome, run_program

from tf1_embed import Rows

NUM_OLD_USERS, NUM_USERS = 300, 340
NUM_OLD_ITEMS, NUM_ITEMS = 120, 140
NUM_TASTES = 4
EPOCHS = 40

METRIC = "roc_auc"


def run(folder):
    """Runs the programs, which read and write in `folder`; returns an `Outcome`."""
    pairs = _draw_pairs(np.random.RandomState(0), 6000)
    of_new = (pairs.user >= NUM_OLD_USERS) | (pairs.item >= NUM_OLD_ITEMS)
    held_out, new_train = pairs[of_new][:400], pairs[of_new][400:]
    new_train.to_csv(folder / "interactions.csv", index=False)

    old_train, data_info = DatasetPure.build_trainset(pairs[~of_new])
    # A graph of its own: what else is in it would change the random values.
    with tf.Graph().as_default():
        old = SVD("ranking", data_info, embed_size=16, n_epochs=EPOCHS, lr=0.01, num_neg=2)
        old.fit(old_train, neg_sampling=True, verbose=0)
        old.save(str(folder / "old"), "svd")
    data_info.save(str(folder / "old"), "svd")

    scores, variables = {}, {}
    for name, program, source, epochs in [
        ("start", "adopted", "old", 0),
        ("plain", "plain", "old", EPOCHS),
        ("adopted", "adopted", "old", EPOCHS),
        ("on", "plain", "adopted", 1),
    ]:
        arguments = folder / source, folder / "interactions.csv", folder / name, epochs
        run_program(f"libreco_{program}", *arguments)
        variables[name] = np.load(str(folder / name / "svd_tf_variables.npz"))
        with tf.Graph().as_default():
            new_info = DataInfo.load(str(folder / name), "svd")
            model = SVD.load(str(folder / name), "svd", new_info)
            scores[name] = evaluate(model, held_out, neg_sampling=True, metrics=[METRIC])[METRIC]

    tables = []
    for variable in SVD.user_variables + SVD.item_variables:
        before = np.load(str(folder / "old" / "svd_tf_variables.npz"))[f"{variable}:0"]
        after = {name: each[f"{variable}:0"] for name, each in variables.items()}
        size = len(after["adopted"])
        tables.append(Table(before, new_rows=Rows.range(len(before), size, size), **after))
    metric = "area under the ROC curve of held-out pairs with a new user or item"
    return make_outcome("libreco", tables, metric, Scores(**scores))


def _draw_pairs(random, num_pairs):
    """Draws pairs of a user and an item whose ids have the same remainder, their taste."""
    tastes = random.randint(0, NUM_TASTES, num_pairs)
    users = tastes + NUM_TASTES * random.randint(0, NUM_USERS // NUM_TASTES, num_pairs)
    items = tastes + NUM_TASTES * random.randint(0, NUM_ITEMS // NUM_TASTES, num_pairs)
    return pd.DataFrame({"user": users, "item": items, "label": 1}).drop_duplicates()
