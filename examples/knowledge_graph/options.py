"""The command line."""

import argparse
import os

from examples.knowledge_graph import data
from examples.knowledge_graph.model import QUERIES
from examples.knowledge_graph.solving import LINEAR


def parse_options(argv=None):
    """Parses the arguments, those of the process if `argv` is None."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.knowledge_graph",
        description="Grows a trained knowledge graph's table of entities, trains only the new "
        "rows, proves the old ones unchanged and compares with a retraining. Writes "
        "report.json, report.html and checkpoints.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    # The help says in words what these are: it shows no default that is suppressed.
    parser.set_defaults(solve=True, budget=None)
    parser.add_argument(
        "--model", choices=sorted(QUERIES), default="complex", help="how a triple is scored"
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        default=os.path.relpath(data.UMLS),
        help="train.txt, valid.txt and test.txt of tab-separated triples",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        default=os.path.join("runs", "demo"),
        help="where the reports and the checkpoints go",
    )
    parser.add_argument(
        "--new-entities",
        metavar="N",
        type=_positive(int),
        default=10,
        help="how many entities arrive after the first training",
    )
    parser.add_argument(
        "--no-solve",
        dest="solve",
        action="store_false",
        default=argparse.SUPPRESS,
        help="train the new rows from random ones alone; without it they are also solved from the "
        "frozen model, trained on with old answers in view, and these are the ones that are "
        "merged; TransE, whose scores are not linear in a row, cannot be solved",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="chooses the new entities, the first values and the order of triples",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        type=_positive(int),
        default=1,
        help="how many seeds to run and to average over, from --seed on",
    )

    training = parser.add_argument_group(
        "training",
        "the same for the base, the growth and the retraining; the defaults were "
        "chosen on the validation triples",
    )
    training.add_argument(
        "--width",
        metavar="N",
        type=_positive(int),
        default=256,
        help="numbers in a row; for ComplEx half of them are imaginary parts",
    )
    training.add_argument(
        "--epochs",
        metavar="N",
        type=_positive(int),
        default=100,
        help="passes over the training triples",
    )
    training.add_argument(
        "--batch-size", metavar="N", type=_positive(int), default=512, help="triples in a step"
    )
    training.add_argument(
        "--learning-rate",
        metavar="X",
        type=_positive(float),
        default=0.01,
        help="Adam's, at the start; it falls to zero along a half cosine",
    )
    training.add_argument(
        "--dropout",
        metavar="X",
        type=float,
        default=0.5,
        help="share of a query's numbers that a training step drops",
    )
    training.add_argument(
        "--new-row-penalty",
        metavar="X",
        type=float,
        default=0.1,
        help="weight of the cubed norm of new rows during growth: long rows "
        "fit no better, and displace old answers",
    )
    training.add_argument(
        "--polish-epochs",
        metavar="N",
        type=_positive(int),
        default=20,
        help="passes over the new triples after new rows were solved",
    )
    training.add_argument(
        "--polish-learning-rate",
        metavar="X",
        type=_positive(float),
        default=0.05,
        help="Adam's, after new rows were solved",
    )
    training.add_argument(
        "--budget",
        metavar="X",
        type=_positive(float),
        default=argparse.SUPPRESS,
        help="the share of their MRR that old answers may lose to solved rows, such as 0.01; the "
        "weight of old queries is then chosen on validation triples (default: a weight of 1)",
    )
    options = parser.parse_args(argv)
    options.solve = options.solve and options.model in LINEAR
    if not 0 <= options.dropout < 1:
        parser.error(f"argument --dropout: {options.dropout} is not in [0, 1)")
    if options.new_row_penalty < 0:
        parser.error(f"argument --new-row-penalty: {options.new_row_penalty} is negative")
    if options.model == "complex" and options.width % 2:
        parser.error(f"argument --width: {options.width} is odd, and ComplEx splits a row in two")
    return options


def _positive(kind):
    def parse(text):
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    parse.__name__ = kind.__name__  # argparse names it where `text` is no number
    return parse
