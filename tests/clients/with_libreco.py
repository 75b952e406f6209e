"""LibRecommender: a shop in which each user has a taste, to which users and items come."""

import numpy as np
import pandas as pd
from libreco.algorithms import SVD
from libreco.data import DataInfo, DatasetPure
from libreco.evaluation import evaluate
from outcome import Scores, Table, make_outcome, run_program
...
