"""Draws the pictures of README.md and docs/benchmarks.md into docs/images.

    python -m benchmarks.pictures

Those of the benchmarks are drawn from the tables in the page itself, so that the two agree. That of
the rows is measured: a small table is trained further in three ways.
"""

import os
import re
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow.compat.v1 as tf
from matplotlib.ticker import NullLocator

import tf1_embed
from tf1_embed.pictures.style import INK, MUTED, NEW, OLD, SHADES_OF_NEW, new_figure
from tf1_embed.plots import save

DOCS = Path(__file__).resolve().parent.parent / "docs"

NUM_OLD, NUM_NEW, DIM = 16, 4, 12


# How far each number of a table moves


def train_further(how, num_steps=30):
    """Trains the old rows of a table, then goes on with batches of old ids and new ones.

    Args:
      how: function of an optimizer, a loss and the table, which returns the training operation.
      num_steps: int, of either training.

    Returns:
      float array [NUM_OLD + NUM_NEW, DIM], how far each number moved in the second training.
    """
    num_rows = NUM_OLD + NUM_NEW
    random = np.random.RandomState(0)
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("table", initializer=random.randn(num_rows, DIM).astype("f"))
        ids = tf.placeholder(tf.int32, [None])
        targets = tf.gather(random.randn(num_rows, DIM).astype("f"), ids)
        loss = tf.reduce_sum(tf.squared_difference(tf.nn.embedding_lookup(table, ids), targets))
        optimizer = tf.train.AdamOptimizer(0.02)
        first = optimizer.minimize(loss)
        second = how(optimizer, loss, table)
        session.run(tf.global_variables_initializer())
        for _ in range(num_steps):
            session.run(first, {ids: random.randint(NUM_OLD, size=8)})
        before = session.run(table)
        for _ in range(num_steps):
            session.run(second, {ids: random.randint(num_rows, size=8)})
        return np.abs(session.run(table) - before)


def drop_gradients(optimizer, loss, table):
    frozen = tf1_embed.Rows.range(0, NUM_OLD, size=NUM_OLD + NUM_NEW)
    pairs = tf1_embed.freeze_rows(optimizer.compute_gradients(loss), {table: frozen})
    return optimizer.apply_gradients(pairs)


def wrap(optimizer, loss, table):
    new = tf1_embed.Rows.range(NUM_OLD, NUM_OLD + NUM_NEW, size=NUM_OLD + NUM_NEW)
    optimizer = tf1_embed.TrainableRowsOptimizer(optimizer, {table: new}, slots="full")
    return optimizer.minimize(loss)


def draw_rows():
    """Draws, for three ways to train on, which rows moved and how far."""
    ways = {
        "trained as it is": lambda optimizer, loss, table: optimizer.minimize(loss),
        "gradients of old rows dropped": drop_gradients,
        "tf1_embed": wrap,
    }
    moves = {title: train_further(how) for title, how in ways.items()}
    limit = max(move.max() for move in moves.values())
    with new_figure(9, 3.4) as figure:
        for axes, (title, move) in zip(figure.subplots(1, 3, sharey=True), moves.items()):
            moved = np.ma.masked_equal(move, 0)
            axes.imshow(
                moved, SHADES_OF_NEW, vmin=0, vmax=limit, aspect="auto", interpolation="nearest"
            )
            axes.axhline(NUM_OLD - 0.5, color=INK, linewidth=1)
            num_moved = np.count_nonzero(move[:NUM_OLD].any(axis=1))
            axes.set_title(title, fontweight="bold" if title == "tf1_embed" else "normal")
            axes.set_xlabel(f"{num_moved} of {NUM_OLD} old rows moved")
            axes.set_xticks([])
            axes.set_yticks(
                [(NUM_OLD - 1) / 2, NUM_OLD + (NUM_NEW - 1) / 2], ["old rows", "new rows"]
            )
            axes.tick_params(length=0)
            for side in ("top", "right"):
                axes.spines[side].set_visible(True)
    return figure


# The tables of docs/benchmarks.md


def read_table(part, caption=None):
    """Returns a table of a measured part of the page, as a list of lists of cells."""
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    text = page.split(f"<!-- measured: {part} -->\n")[1].split("<!-- end -->")[0]
    if caption:
        text = text.split(f"{caption}:\n")[1]
    lines = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE).group().splitlines()
    plain = [re.sub("[*`]", "", line) for line in lines]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in plain]
    return rows[:1] + rows[2:]


def has_table(part):
    """Tells whether a part of the page was measured yet."""
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    return f"<!-- measured: {part} -->\n<!-- end -->" not in page


def ratio(cell):
    """Returns the first number in a cell's brackets, or else its only one; NaN if there is none."""
    found = re.search(r"\[([\d.,]+)", cell) or re.match(r"([\d.,]+)", cell)
    return float(found.group(1).replace(",", "")) if found else float("nan")


def draw_dots(axes, labels, series, limits):
    """Draws one line of dots for each label; `series` maps a name to its values and style."""
    for name, (values, style) in series.items():
        axes.plot(values, range(len(labels)), linestyle="none", markersize=8, label=name, **style)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    ticks = [each for each in (1, 10, 100, 1000, 10000) if each <= limits[1]]
    axes.set_xticks(ticks, list(map(str, ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color=MUTED, alpha=0.3)
    axes.axvline(1, color=INK, linewidth=1)


def draw_steps():
    """Draws the steps of all peers over the bound, SGD at batches of 1024."""
    header, *rows = read_table("steps", "SGD, batches of 1024")
    rows = [row for row in rows if not row[0].startswith("bound")]
    styles = {
        "10 k": {"marker": "o", "markerfacecolor": "none", "color": OLD, "markeredgewidth": 2},
        "1 M": {"marker": "D", "color": NEW},
    }
    series = {
        f"{size} old rows": ([ratio(row[header.index(size)]) for row in rows], style)
        for size, style in styles.items()
    }
    with new_figure(9, 4.2) as figure:
        axes = figure.subplots()
        draw_dots(axes, [row[0] for row in rows], series, (0.5, 5000))
        axes.set_xlabel("time of a step ÷ the bound: new rows trained, old rows gathered")
        axes.legend(loc="upper right")
    return figure


def draw_optimizers():
    """Draws the ratios of the ways to train in TensorFlow, for each optimizer."""
    header, *rows = read_table("optimizers")
    full = {"marker": "s", "markerfacecolor": "none", "color": MUTED, "markeredgewidth": 2}
    one = {"marker": "D", "color": OLD}
    series = {
        name: ([ratio(row[header.index(name)]) for row in rows], style)
        for name, style in (("full training", full), ("one variable", one))
    }
    with new_figure(9, 3.2) as figure:
        axes = figure.subplots()
        draw_dots(axes, [row[0] for row in rows], series, (0.3, 1500))
        axes.set_xlabel("time of a step at 1 M rows ÷ tf1_embed with two variables")
        axes.legend(loc="upper right")
    return figure


def draw_growing():
    """Draws the ways to grow a checkpoint over `cp`, at each size."""
    header, *rows = read_table("growing")
    markers = ("o", "s", "D", "^")
    series = {
        size: (
            [ratio(row[number]) for row in rows],
            {"marker": marker, "markerfacecolor": "none", "color": OLD, "markeredgewidth": 2},
        )
        for (number, size), marker in zip(enumerate(header[1:], 1), markers)
    }
    with new_figure(9, 3.2) as figure:
        axes = figure.subplots()
        draw_dots(axes, [row[0] for row in rows], series, (0.2, 200))
        axes.set_xlabel("seconds ÷ cp of the same files")
        axes.legend(loc="upper right")
    return figure


BENCHMARKS = {"steps": draw_steps, "optimizers": draw_optimizers, "growing": draw_growing}


def draw_benchmarks():
    """Draws the pictures of the benchmarks, from those tables that the page has."""
    for name, draw in BENCHMARKS.items():
        if has_table(name):
            save(draw(), str(DOCS / "images" / f"{name}.svg"), force=True)


def main():
    save(draw_rows(), str(DOCS / "images" / "rows.svg"), force=True)
    draw_benchmarks()


if __name__ == "__main__":
    main()
