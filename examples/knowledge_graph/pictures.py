"""Pictures of a growth, as SVG to put into a page."""

import numpy as np

from tf1_embed import Rows, plots
from tf1_embed.solving.interference import Interference

_LABELS = {
    "growth": "new rows only",
    "retrain": "retrained",
    "growth_solved": "new rows only, solved before",
    "base": "base",
}


def change_of_rows(growth):
    """Draws how far each number of the table went: in the growth, and in the retraining."""
    new_rows = _new_rows(growth)
    before = growth.rows["grown_from"]
    change = np.abs(growth.rows["grown"] - before)[new_rows.ids()]
    limit = float(np.quantile(change, 0.99))
    return "\n".join(
        plots.as_svg(plots.row_changes(before, growth.rows[name], new_rows, limit, title), title)
        for name, title in (("grown", "Grown"), ("retrained", "Retrained from scratch"))
    )


def plane_of_entities(growth):
    """Draws the entities on the two principal axes of the old rows; the new ones are named."""
    new_rows = _new_rows(growth)
    figure = plots.old_and_new(
        growth.rows["grown"],
        new_rows,
        names=growth.graph.entities,
        came_from=growth.rows["grown_from"][new_rows.ids()],
    )
    return plots.as_svg(figure, "The entities on a plane")


def old_answers(growth):
    """Draws what right old answers lose to the new rows, trained alone and solved."""
    before = growth.ranks["old_after_old_candidates"]
    found = {
        label: Interference(before, growth.ranks[name])
        for label, name in (
            ("trained alone", "old_after_all_candidates"),
            ("solved, then trained", "old_after_all_candidates_polished"),
        )
        if name in growth.ranks
    }
    return plots.as_svg(plots.old_answers(found), "What old answers lose")


def training_curves(growth):
    """Draws the loss, and how soon the new entities are as good as a retraining makes them."""
    quality, loss = {}, {}
    for name, label in _LABELS.items():
        if name in growth.curves:
            curve = growth.curves[name]
            loss[label] = range(1, len(curve.loss) + 1), curve.loss
            # The base is validated on old triples: another task.
            if name != "base":
                quality[label] = curve.seconds, curve.mrr
    pictures = {
        "New entities, validation MRR": (quality, "seconds of training"),
        "Training loss": (loss, "epoch"),
    }
    return "\n".join(
        plots.as_svg(plots.training_curve(curves, title, xlabel), title)
        for title, (curves, xlabel) in pictures.items()
    )


def _new_rows(growth):
    end = len(growth.graph.entities)
    return Rows.range(growth.num_old, end, size=end)
