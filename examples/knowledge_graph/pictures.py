"""Pictures of a growth, as SVG to put into a page: they take their colours from its style sheet."""

import io
import re

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

# Colours of Okabe and Ito, which the colour-blind tell apart; a page replaces them by its own
# variables, one set for light and one for dark. Shapes and line styles differ as well.
INK, MUTED, OLD, NEW = "#2b2b2b", "#8a8a8a", "#0072b2", "#d55e00"
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", OLD: "var(--old)", NEW: "var(--new)"}

# Seen through to the page where nothing changed, so that it serves on light and on dark.
_CHANGE = LinearSegmentedColormap.from_list("change", [to_rgba(NEW, 0.15), to_rgba(NEW)])
_CHANGE = _CHANGE.with_extremes(bad=(0, 0, 0, 0))

_STYLE = {
    "svg.fonttype": "none",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def change_of_rows(growth):
    """Draws how far each number of the table went: in the growth, and in the retraining."""
    old, end = growth.num_old, len(growth.graph.entities)
    grown = np.abs(growth.rows["grown"] - growth.rows["grown_from"])
    retrained = np.abs(growth.rows["retrained"] - growth.rows["grown_from"])
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9, 5.6), layout="constrained")
        panels = figure.subplots(2, 1, sharex=True, sharey=True)
        limit = np.quantile(grown[old:], 0.99)
        for axes, change, title in (
            (
                panels[0],
                grown,
                f"Grown: {np.count_nonzero(grown[:old].any(axis=1))} of {old} old rows changed",
            ),
            (
                panels[1],
                retrained,
                "Retrained from scratch: "
                f"{np.count_nonzero(retrained[:old].any(axis=1))} of {old} old rows changed",
            ),
        ):
            image = axes.imshow(
                np.ma.masked_equal(change, 0).T,
                cmap=_CHANGE,
                vmin=0,
                vmax=limit,
                aspect="auto",
                interpolation="none",
                extent=(0, end, change.shape[1], 0),
            )
            axes.axvline(old, color=INK, linewidth=1)
            if not change[:old].any():
                axes.text(
                    old / 2,
                    change.shape[1] / 2,
                    "exactly zero",
                    color=MUTED,
                    ha="center",
                    va="center",
                )
            axes.set_title(title)
            axes.set_ylabel("number in the row")
        panels[1].set_xlabel("row (entity id)")
        panels[1].set_xticks([*range(0, old, 25), old, end])
        figure.colorbar(image, ax=panels, label="absolute change", extend="max", shrink=0.6)
        return _as_svg(figure, "The change of every number in the table")


def plane_of_entities(growth):
    """Draws the entities on the two principal axes of the old rows; the new ones are named."""
    old, rows = growth.num_old, growth.rows["grown"]
    centre = rows[:old].mean(axis=0)
    axes_of_rows = np.linalg.svd(rows[:old] - centre, full_matrices=False)[2][:2]
    points = (rows - centre) @ axes_of_rows.T
    begun = (growth.rows["grown_from"][old:] - centre) @ axes_of_rows.T
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9, 6), layout="constrained")
        axes = figure.subplots()
        axes.scatter(
            *points[:old].T,
            s=26,
            color=OLD,
            alpha=0.55,
            linewidths=0,
            label=f"{old} old entities, where they were",
        )
        for start, stop in zip(begun, points[old:]):
            axes.plot(*zip(start, stop), color=NEW, linewidth=0.8, alpha=0.6)
        axes.scatter(
            *points[old:].T,
            s=64,
            color=NEW,
            marker="^",
            linewidths=0,
            zorder=3,
            label=f"{len(rows) - old} new entities, with the way they came",
        )
        _name_in_margins(axes, points[old:], growth.graph.entities[old:])
        axes.axis("off")  # Directions of a projection: their numbers say nothing.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.08), ncol=2)
        return _as_svg(figure, "The entities on a plane")


def training_curves(growth):
    """Draws the loss, and how soon the new entities are as good as a retraining makes them."""
    lines = {
        "growth": ("new rows only", NEW, "-"),
        "retrain": ("retrained", OLD, "--"),
        "growth_replay": ("new rows only, with replay", INK, ":"),
        "base": ("base", MUTED, "-."),
    }
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        quality, loss = figure.subplots(1, 2)
        for name, (label, colour, style) in lines.items():
            if name not in growth.curves:
                continue
            curve = growth.curves[name]
            loss.plot(
                range(1, len(curve.loss) + 1),
                curve.loss,
                color=colour,
                linestyle=style,
                label=label,
            )
            if name != "base":  # It is validated on old triples: another task.
                quality.plot(
                    curve.seconds,
                    curve.mrr,
                    color=colour,
                    linestyle=style,
                    marker="^" if name == "growth" else "o",
                    markersize=4,
                    label=label,
                )
        quality.set_title("New entities, validation MRR")
        quality.set_xlabel("seconds of training")
        quality.set_ylim(0, 1)
        quality.legend(loc="lower right")
        loss.set_title("Training loss")
        loss.set_xlabel("epoch")
        loss.set_ylim(bottom=0)
        loss.legend()
        return _as_svg(figure, "Training curves")


def _name_in_margins(axes, points, names):
    """Writes names beside the plot, in the order of their points' heights, so that none overlap."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    by_x = np.argsort(points[:, 0])
    for side, members in (("right", by_x[: len(by_x) // 2]), ("left", by_x[len(by_x) // 2 :])):
        members = members[np.argsort(points[members, 1])]
        heights = bottom + (top - bottom) * (np.arange(len(members)) + 0.5) / len(members)
        for member, height in zip(members, heights):
            axes.annotate(
                _label(names[member]),
                points[member],
                xytext=(left if side == "right" else right, height),
                ha=side,
                va="center",
                color=INK,
                annotation_clip=False,
                arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.6},
            )


def _label(name, longest=34):
    short = name if len(name) <= longest else f"{name[: longest - 1]}…"
    return short.replace("$", r"\$")  # A bare dollar sign begins a formula.


def _as_svg(figure, label):
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue().decode()
    svg = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # The same in every picture of a page.
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
