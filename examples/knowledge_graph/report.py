"""What a growth showed: as text, as report.json and as report.html."""

import html
import json
import os
import string

import numpy as np
import tensorflow.compat.v1 as tf

# name of a measurement -> what it is, and what to make of its number
MEASUREMENTS = {
    "new_random": (
        "New entities, random rows",
        "Appended and not trained yet: they know nothing. The floor.",
    ),
    "new_trained": (
        "New entities, new rows trained",
        "Only the new rows trained, on the triples that mention them; the old rows "
        "and all relations stayed frozen.",
    ),
    "new_solved": (
        "New entities, new rows solved",
        "The frozen model's queries are constants, which leaves a convex problem: no graph, no "
        "learning rate (docs/solving.md).",
    ),
    "new_polished": (
        "New entities, solved, then trained",
        "Then the new rows trained for some epochs, with old answers in view at the cost of new "
        "rows alone.",
    ),
    "new_retrained": (
        "New entities, everything retrained",
        "The alternative: all rows trained again from scratch, which changes every "
        "vector that anybody stored.",
    ),
    "merged": (
        "New entities, merged checkpoint",
        "One table under its old name, opened by the original model. It has to equal the "
        "trained rows above.",
    ),
    "old_before": ("Old entities, before", "The base model on the triples among old entities."),
    "old_after_old_candidates": (
        "Old entities, after, among the old",
        "Only old entities may be the answer. No old row moved, so that "
        "this has to equal the line above.",
    ),
    "old_after_all_candidates": (
        "Old entities, after, among all",
        "New entities may be the answer too. No old row moved: what "
        "changes is that new rows compete with them (entity interference): these "
        "trained on new triples alone, and nobody told them where they are wrong answers.",
    ),
    "old_after_all_candidates_solved": (
        "Old entities, after, among all, solved",
        "The same with solved rows, which know where they are wrong answers.",
    ),
    "old_after_all_candidates_polished": (
        "Old entities, after, among all, trained on",
        "The same with solved rows that then trained.",
    ),
    "old_retrained": (
        "Old entities, everything retrained",
        "Among all entities too, by the model that was trained on all.",
    ),
}

TRAININGS = {
    "base": "Base, on the old entities",
    "growth": "Growth, new rows only",
    "solving": "Growth, new rows solved",
    "growth_solved": "Growth, solved rows trained on",
    "retrain": "Retraining from scratch",
}


# Of which rows -> the measurement of old answers among all entities.
LOST_TO = {
    "new rows trained alone": "old_after_all_candidates",
    "solved rows": "old_after_all_candidates_solved",
    "solved rows that trained": "old_after_all_candidates_polished",
}


def summarize(growths, options):
    """Returns the content of report.json: means over the seeds, and each seed in `runs`."""
    runs = [_summarize_one(growth) for growth in growths]
    first = runs[0]
    means = {
        key: float(np.mean([run[key] for run in runs]))
        for key in first
        if key.startswith(("mrr_", "seconds_", "old_weight"))
    }
    hits = {
        name: {
            k: float(np.mean([run["hits"][name][k] for run in runs])) for k in first["hits"][name]
        }
        for name in first["hits"]
    }
    return {
        "frozen_rows_identical": all(run["frozen_rows_identical"] for run in runs),
        "frozen_rows_sha256": first["frozen_rows_sha256"],
        **means,
        "lost": dict(_lost(means)),
        "tensorflow": tf.version.VERSION,
        "hits": hits,
        "seeds": [run["seed"] for run in runs],
        "options": vars(options),
        "runs": runs,
    }


def _summarize_one(growth):
    names = [name for name in MEASUREMENTS if name in growth.quality]
    return {
        "seed": growth.seed,
        "new_entities": growth.graph.entities[growth.num_old :],
        "frozen_rows_identical": len(set(growth.fingerprints.values())) == 1,
        "frozen_rows_sha256": growth.fingerprints["base"],
        "frozen_rows_sha256_of": growth.fingerprints,
        **{f"mrr_{name}": growth.quality[name].mrr for name in names},
        **{f"seconds_{name}": curve.seconds[-1] for name, curve in growth.curves.items()},
        **{f"seconds_{name}": seconds for name, seconds in growth.seconds.items()},
        "old_weight": growth.old_weight,
        "hits": {name: dict(zip(("1", "3", "10"), growth.quality[name][1:])) for name in names},
    }


def as_text(summary):
    """Returns the results as a table of plain text."""
    seeds = summary["seeds"]
    lines = [
        "",
        f"Mean of {len(seeds)} seeds" if len(seeds) > 1 else f"Seed {seeds[0]}",
        f"{'':45}{'MRR':>6}{'Hits@1':>8}{'Hits@3':>8}{'Hits@10':>9}",
    ]
    for name, (label, _) in _measured(summary):
        hits = summary["hits"][name]
        lines.append(
            f"{label:45}{summary[f'mrr_{name}']:6.3f}{hits['1']:8.3f}{hits['3']:8.3f}"
            f"{hits['10']:9.3f}"
        )
    lines.append("")
    for key, label in _timed(summary):
        lines.append(f"{label:45}{summary[key]:6.2f} s")
    lines += ["", what_old_answers_lose(summary)]
    same = "identical, bit for bit" if summary["frozen_rows_identical"] else "CHANGED"
    lines += ["", f"Old rows before and after: {same} (SHA-256 {summary['frozen_rows_sha256']})"]
    return "\n".join(lines)


def what_old_answers_lose(summary):
    """Returns a sentence on what is lost of the old MRR, and on the budget if there was one."""
    lost = ", ".join(f"{share:.1%} to {name}" for name, share in summary["lost"].items())
    sentence = f"Of their MRR old answers lose {lost}."
    if summary["options"].get("budget"):
        sentence += (
            f" At most {summary['options']['budget']:.1%} were to be lost to solved rows, on "
            f"validation triples: old queries have the weight {summary['old_weight']:g}."
        )
    return sentence


def _lost(means):
    before = means["mrr_old_after_old_candidates"]
    for name, measurement in LOST_TO.items():
        if f"mrr_{measurement}" in means:
            yield name, 1 - means[f"mrr_{measurement}"] / before


def write(summary, growths, options):
    """Writes report.json and report.html into `options.out` and returns their paths."""
    paths = [os.path.join(options.out, name) for name in ("report.json", "report.html")]
    with open(paths[0], "w", encoding="utf-8") as file:
        json.dump(summary, file, indent=2, allow_nan=False)
        file.write("\n")
    with open(paths[1], "w", encoding="utf-8") as file:
        file.write(as_html(summary, growths[0]))
    return paths


def as_html(summary, growth):
    """Returns a page that needs no other file, with the pictures of one growth."""
    # Not needed for anything else, and slow to import.
    from examples.knowledge_graph import pictures

    with open(os.path.join(os.path.dirname(__file__), "page.html"), encoding="utf-8") as file:
        page = string.Template(file.read())
    seeds = summary["seeds"]
    new_entities = growth.graph.entities[growth.num_old :]
    return page.substitute(
        num_new=len(new_entities),
        num_old=growth.num_old,
        verdict="not one bit moved" if summary["frozen_rows_identical"] else "THEY CHANGED",
        mrr_random=_short(summary["mrr_new_random"]),
        mrr_trained=_short(summary["mrr_new_trained"]),
        mrr_retrained=_short(summary["mrr_new_retrained"]),
        seconds_growth=f"{summary['seconds_growth']:.1f}",
        seconds_retrain=f"{summary['seconds_retrain']:.1f}",
        new_entities=", ".join(html.escape(name) for name in new_entities),
        change_of_rows=pictures.change_of_rows(growth),
        plane=pictures.plane_of_entities(growth),
        old_answers=pictures.old_answers(growth),
        curves=pictures.training_curves(growth),
        rows="\n".join(_html_rows(summary)),
        lost=what_old_answers_lose(summary),
        times="\n".join(
            f"<tr><td>{label}<td>{summary[key]:.2f} s" for key, label in _timed(summary)
        ),
        hashes="\n".join(
            f"<tr><td>{name}<td><code>{sha256}</code>"
            for name, sha256 in growth.fingerprints.items()
        ),
        basis=(
            f"The numbers are means of {len(seeds)} seeds, with the least and the greatest "
            f"below each MRR; the pictures and the checksums are of seed {growth.seed}."
            if len(seeds) > 1
            else f"One run, of seed {growth.seed}."
        ),
        options=html.escape(
            ", ".join(
                f"{name.replace('_', ' ')} {value}" for name, value in summary["options"].items()
            )
        ),
        tensorflow=html.escape(summary["tensorflow"]),
    )


def _html_rows(summary):
    for name, (label, sentence) in _measured(summary):
        each = [run[f"mrr_{name}"] for run in summary["runs"]]
        spread = (
            f"<br><small>{_short(min(each))} to {_short(max(each))}</small>"
            if len(each) > 1
            else ""
        )
        cells = "".join(f"<td>{_short(share)}" for share in summary["hits"][name].values())
        yield (
            f"<tr><th scope=row>{label}<td><b>{_short(summary[f'mrr_{name}'])}</b>{spread}"
            f"{cells}<td>{sentence}"
        )


def _measured(summary):
    return [(name, text) for name, text in MEASUREMENTS.items() if f"mrr_{name}" in summary]


def _timed(summary):
    return [
        (f"seconds_{name}", label)
        for name, label in TRAININGS.items()
        if f"seconds_{name}" in summary
    ]


def _short(number):
    """Writes .915 for 0.915, and 1.000."""
    return f"{number:.3f}".lstrip("0")
