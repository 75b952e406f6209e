"""DeepCTR: DeepFM as an Estimator of two optimizers, each of which has a table of ads; ads come."""

import re
import shutil

import numpy as np
import pandas as pd
import tensorflow.compat.v1 as tf
from outcome import Scores, Table, make_outcome, run_program

from tf1_embed import Rows, grow_checkpoint, initializers

NUM_USERS, NUM_OLD_ADS, NUM_ADS = 300, 100, 120
NUM_TASTES = 4
OLD_EPOCHS, NEW_EPOCHS, EPOCHS_ON = 10, 8, 1

LINEAR = "linear/linear_model/ad/weights"
VECTORS = "dnn/input_layer_1/ad_embedding/embedding_weights"


def run(folder):
    """Runs the programs, which read and write in `folder`; returns an `Outcome`."""
    clicks = _draw_clicks(np.random.RandomState(0), 24000)
    of_new = clicks.ad >= NUM_OLD_ADS
    old, new = clicks[~of_new], clicks[of_new]
    since = pd.concat([old[16000:], new[1000:]]).sample(frac=1, random_state=0)
    for name, train, held_out in [
        ("old", old[:15000], old[15000:16000]),
        ("new", since, new[:1000]),
    ]:
        train.to_csv(folder / f"{name}.csv", index=False)
        held_out.to_csv(folder / f"{name}_held_out.csv", index=False)

    def run_in(name, program, data, num_ads, epochs, source=None):
        if source is not None:
            shutil.copytree(str(folder / source), str(folder / name))
        files = folder / f"{data}.csv", folder / f"{data}_held_out.csv", folder / name
        output = run_program(f"deepctr_{program}", *files, num_ads, epochs)
        return float(re.search(r"^AUC (.+)$", output, flags=re.MULTILINE).group(1))

    run_in("old", "plain", "old", NUM_OLD_ADS, OLD_EPOCHS)
    (folder / "start").mkdir()
    grow_checkpoint(
        str(folder / "old"),
        [LINEAR, VECTORS],
        str(folder / "start" / "grown"),
        num_new_rows=NUM_ADS - NUM_OLD_ADS,
        # As TensorFlow begins a linear model.
        initializer={LINEAR: initializers.zeros()},
    )
    scores = {
        "plain": run_in("plain", "plain", "new", NUM_ADS, NEW_EPOCHS, source="start"),
        "adopted": run_in("adopted", "adopted", "new", NUM_ADS, NEW_EPOCHS, source="start"),
        "on": run_in("on", "plain", "new", NUM_ADS, EPOCHS_ON, source="adopted"),
        # Last: an evaluation writes its events into the folder.
        "start": run_in("start", "plain", "new", NUM_ADS, 0),
    }
    tables = [_table(folder, variable) for variable in _trainable_variables(folder / "old")]
    metric = "area under the ROC curve of held-out clicks on new ads"
    return make_outcome("deepctr", tables, metric, Scores(**scores))


def _draw_clicks(random, num_shown):
    """Draws users and ads; who has the taste of an ad, its remainder, nearly always clicks."""
    users, ads = random.randint(0, NUM_USERS, num_shown), random.randint(0, NUM_ADS, num_shown)
    chance = np.where(users % NUM_TASTES == ads % NUM_TASTES, 0.9, 0.1)
    click = (random.rand(num_shown) < chance).astype(int)
    return pd.DataFrame({"user": users, "ad": ads, "click": click})


def _trainable_variables(folder):
    names = [name for name, _ in tf.train.list_variables(str(folder))]
    # What other names continue is a variable, and they are its slots.
    return [name for name in names if any(each.startswith(f"{name}/") for each in names)]


def _table(folder, variable):
    """Returns the `Table` of a variable; all rows of most are old, and stay with those of ads."""
    values = {
        name: tf.train.load_variable(str(folder / name), variable)
        for name in ("old", "start", "plain", "adopted", "on")
    }
    return Table(
        new_rows=Rows.range(len(values["old"]), len(values["on"]), len(values["on"])), **values
    )
