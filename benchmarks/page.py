"""Writes what was measured into docs/benchmarks.md, between its marks, and the pictures beside it.

The prose is written by hand; a part begins with `<!-- measured: NAME -->` and ends with
`<!-- end -->`. A part of which nothing was measured stays as it is.
"""

import re
import statistics
from pathlib import Path

from benchmarks import formulations, growing, huge_pages, many_new_rows, scale, steps
from benchmarks.resident import ROOT
from benchmarks.results import Results, format_ratio, milliseconds, number

DOCS = ROOT / "docs"
PAGE = DOCS / "benchmarks.md"
MARKS = r"(<!-- measured: {} -->\n).*?(<!-- end -->)"
SIZES = {10**4: "10 k", 10**5: "100 k", 10**6: "1 M", 10**7: "10 M"}
OPTIMIZERS = {"sgd": "SGD", "adagrad": "Adagrad", "adam": "Adam"}
OPTIMIZERS.update(momentum="Momentum", rmsprop="RMSProp", ftrl="Ftrl")

OPTIMIZERS.update(lazy_adam="lazy Adam")
VERSIONS = {"tf2": "2.21", "tf1": "1.15.5"}


def write(folder, page=None):
    """Writes all parts of which there are results below `folder` into a page, or both pages."""
    if page is None:
        for page in (PAGE, DOCS / "scale.md"):
            write(folder, page)
        return
    text = page.read_text(encoding="utf-8")
    for name, make in PARTS.items():
        part = make(Path(folder))
        pattern = re.compile(MARKS.format(name), re.DOTALL)
        if part and pattern.search(text):
            text = pattern.sub(lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text)
    page.write_text(text, encoding="utf-8")
    print(f"Wrote {page}")


def draw():
    """Draws the pictures of the page, from its tables."""
    # Imports TensorFlow, which the rest does without.
    from benchmarks import pictures

    pictures.draw_benchmarks()


def load(folder, name):
    """Returns the `Results` of a measurement, or None."""
    path = folder / f"{name}.json"
    found = path.with_suffix(".found.json")
    return Results(path) if found.exists() else None


def load_steps(folder, environment, optimizer):
    """Returns a dict from a number of old rows to its `Results`."""
    found = {}
    for path in folder.glob(f"steps-{environment}-*-{optimizer}.found.json"):
        name = path.name[: -len(".found.json")]
        number = re.fullmatch(rf"steps-{environment}-(\d+)-{optimizer}", name)
        if number:
            found[int(number[1])] = load(folder, name)
    return dict(sorted(found.items()))


def machine(folder):
    """Returns a line on what was measured on."""
    lines = {
        load(folder, path.name[: -len(".found.json")]).machine
        for path in folder.glob("*.found.json")
    }
    return "; ".join(sorted(lines)) + "."


def table(header, rows):
    """Returns a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, each)) + " |" for each in lines)


def cell(results, name, size, reference="bound"):
    """Returns the milliseconds of a peer and its ratio to another one."""
    seconds = results.seconds(f"{name}, {size}")
    if seconds is None:
        return "–"
    ratio = format_ratio(results.ratio(f"{name}, {size}", f"{reference}, {size}"))
    return f"{milliseconds(seconds)} [{ratio}]"


def step_tables(folder, environment):
    """Returns the tables of training steps on one TensorFlow."""
    parts = []
    for optimizer, title in OPTIMIZERS.items():
        results = load_steps(folder, environment, optimizer)
        if not results:
            continue
        batches = sorted({size for each in results.values() for size in each.facts["batches"]})
        for size in batches:
            rows = []
            for peer in steps.PEERS:
                found = [each.found.get(peer.name) for each in results.values()]
                if not any(found) or all(each and "cannot" in each for each in found):
                    continue
                rows.append(
                    [peer.title] + [cell(each, peer.name, size) for each in results.values()]
                )
            heads = [SIZES.get(each, each) for each in results]
            parts.append(f"{title}, batches of {size}:")
            parts.append(table(["old rows", *heads], rows))
        parts += cannot_lines(results, title)
    return "\n\n".join(parts)


def cannot_lines(results, title):
    """Returns what was tried of peers that could not do the job, and of which sizes."""
    reasons = {}
    for old_rows, each in results.items():
        for peer in steps.PEERS:
            reason = (each.found.get(peer.name) or {}).get("cannot")
            if reason:
                reasons.setdefault((peer.title, reason), []).append(SIZES.get(old_rows, old_rows))
    lines = [
        f"- {peer}, {title}, {', '.join(map(str, sizes))}: {reason}."
        for (peer, reason), sizes in reasons.items()
    ]
    return ["\n".join(lines)] if lines else []


def libraries(folder):
    """Returns a line that names every library and its version."""
    names = {
        fields["library"]
        for path in folder.glob("steps-*.found.json")
        for fields in load(folder, path.name[: -len(".found.json")]).found.values()
        if "library" in fields
    }
    return "; ".join(sorted(names)) + "."


def steps_part(folder):
    """Returns the part on training steps, TensorFlow 2.21."""
    tables = step_tables(folder, "tf2")
    return tables and f"{machine(folder)} {libraries(folder)}\n\n{tables}"


def aims_part(folder):
    """Returns the part on what this project aims at, and where it stands: SGD, all sizes."""
    ways = [
        ("tf2", "over the bound, 2.21", "partition", "bound", "at most 1.05", None),
        ("tf1", "over the bound, 1.15.5", "partition", "bound", "at most 1.10", None),
        ("tf2", "over ids apart, 2.21", "partition", "apart", "", None),
        ("tf1", "over ids apart, 1.15.5", "partition", "apart", "", None),
        ("tf2", "over full training, 2.21", "partition", "full", "at most 1", None),
        ("tf1", "over full training, 1.15.5", "partition", "full", "at most 1", None),
        ("tf2", "over PyTorch by hand, 2.21", "partition", "torch_two_tables", "at most 1", None),
        (
            "tf2",
            "the question's concat over it, 2.21",
            "concat",
            "partition",
            "at least 100",
            10**6,
        ),
        ("tf2", "PEFT over it, 2.21", "peft_tokens", "partition", "at least 100", 10**6),
    ]
    rows, batches = [], []
    for environment, title, name, reference, aim, only in ways:
        found = load_steps(folder, environment, "sgd")
        found = {size: each for size, each in found.items() if only in (None, size)}
        if not found:
            continue
        batches = next(iter(found.values())).facts["batches"]
        title += "" if only is None else f", {SIZES[only]} old rows"
        rows.append([title, aim, *(span(found, name, reference, each) for each in batches)])
    for environment, version in VERSIONS.items():
        flat = load(folder, f"huge-{environment}-partition")
        if not (rows and flat):
            continue
        sizes = flat.facts["sizes"]
        names = [f"{size} rows, {huge_pages.HUGE}" for size in (sizes[-1], sizes[0])]
        title = f"{SIZES[sizes[-1]]} old rows over {SIZES[sizes[0]]}, huge pages, {version}"
        cells = [flat.ratio(*(f"{name}, {each}" for name in names)) for each in batches]
        rows.append([title, "at most 1.10", *(number(each.median) for each in cells)])
    return rows and table(["", "aim", *(f"batches of {each}" for each in batches)], rows)


def span(found, name, reference, batch):
    """Returns the least and the most of a ratio over the sizes of tables, as text."""
    ratios = [each.ratio(f"{name}, {batch}", f"{reference}, {batch}") for each in found.values()]
    texts = [number(each) for each in sorted(each.median for each in ratios if each)]
    return "–".join(dict.fromkeys([texts[0], texts[-1]])) if texts else "–"


def memory_part(folder):
    """Returns the part on memory and checkpoints."""
    rows = []
    for optimizer, title in OPTIMIZERS.items():
        results = load_steps(folder, "tf2", optimizer)
        if len(results) < 2 or optimizer not in ("sgd", "adagrad", "adam"):
            continue
        smallest, largest = min(results), max(results)
        saved = max((size for size in results if size <= 10**6), default=smallest)
        dim = results[smallest].facts["dim"]
        more = 4 * dim * (largest - smallest)
        for peer in steps.PEERS:
            both = [results[each].found.get(peer.name) or {} for each in (smallest, largest)]
            if peer.name == "floor" or not all("peak" in each for each in both):
                continue
            tables = (both[1]["peak"] - both[0]["peak"]) / more
            bytes_saved = (results[saved].found.get(peer.name) or {}).get("checkpoint")
            in_tables = bytes_saved / (4 * dim * saved) if bytes_saved else None
            rows.append(
                [
                    title,
                    peer.title,
                    f"{tables:.2f} (up to {SIZES.get(largest, largest)})",
                    f"{in_tables:.2f}" if in_tables else "–",
                ]
            )
    header = ["optimizer", "", "peak memory, in tables", "checkpoint at 1 M rows, in tables"]
    return rows and table(header, rows)


def optimizers_part(folder, old_rows=10**6, size=1024):
    """Returns the part on optimizers: times the split table's step."""
    rows = []
    names = {"dropped": "slices dropped only", "full": "full training"}
    names["chosen_rows"] = "one variable"
    for optimizer, title in OPTIMIZERS.items():
        results = load_steps(folder, "tf2", optimizer).get(old_rows)
        own = results and results.seconds(f"partition, {size}")
        if own:
            ratios = [results.ratio(f"{name}, {size}", f"partition, {size}") for name in names]
            rows.append([title, milliseconds(own), *map(format_ratio, ratios)])
    return rows and table(["optimizer", "two variables, ms", *names.values()], rows)


def formulations_part(folder):
    """Returns the part on other formulations of the lookup."""
    rows, batches = [], []
    for environment, title in VERSIONS.items():
        results = load(folder, f"formulations-{environment}")
        if results:
            batches = results.facts["batches"]
            rows += [[title, *cells] for cells in formulations.lines(results)]
    return rows and table(["TensorFlow", "", *(f"batches of {each}" for each in batches)], rows)


def many_new_rows_part(folder):
    """Returns the part on a million new rows."""
    rows, batches = [], []
    for environment, title in VERSIONS.items():
        for optimizer in many_new_rows.OPTIMIZERS[environment]:
            results = load(folder, many_new_rows.name_of(environment, optimizer))
            if results is None:
                continue
            batches = results.facts["batches"]
            for peer in steps.PEERS:
                if peer.name in results.found:
                    cells = [cell(results, peer.name, size) for size in batches]
                    rows.append([title, OPTIMIZERS[optimizer], peer.title, *cells])
    return rows and table(["TensorFlow", "", "", *(f"batches of {each}" for each in batches)], rows)


def growing_part(folder):
    """Returns the part on growing checkpoints."""
    found = {}
    for path in folder.glob("growing-*.found.json"):
        results = load(folder, path.name[: -len(".found.json")])
        found[results.facts["gigabytes"]] = results
    if not found:
        return None
    found = dict(sorted(found.items()))
    rows = []
    for way in [*growing.WAYS, growing.VERIFY]:
        cells = []
        for results in found.values():
            seconds, extra = results.seconds(way.name), results.found.get(way.name, {})
            if seconds is None:
                cells.append(extra.get("cannot", "–"))
                continue
            memory = statistics.median(extra["memory"]) / 1e6
            ratio = format_ratio(results.ratio(way.name, "cp"))
            cells.append(f"{seconds:.2f} s [{ratio}], {memory:,.0f} MB")
        rows.append([way.title, *cells])
    return table(["", *(f"{each:g} GB" for each in found)], rows)


def jobs_part(folder):
    """Returns the part on whole jobs."""
    parts = []
    for path in sorted(folder.glob("jobs-*.found.json")):
        results = load(folder, path.name[: -len(".found.json")])
        rows = []
        for title, fields in results.found.items():
            if fields.get("cannot"):
                rows.append([title, fields["cannot"], "", ""])
                continue
            cells = [statistics.mean(fields[each]) for each in ("new", "old", "seconds")]
            rows.append([title, *(f"{each:.3f}" for each in cells[:2]), f"{cells[2]:.1f} s"])
        parts.append(f"{results.facts['data']}, {results.facts['new']} new entities:")
        parts.append(table(["", "MRR, new facts", "MRR, old facts", "time"], rows))
    return "\n\n".join(parts)


def huge_part(folder):
    """Returns the part on huge pages."""
    rows = []
    for environment, title in VERSIONS.items():
        for peer in steps.PEERS:
            results = load(folder, f"huge-{environment}-{peer.name}")
            for size, *cells in huge_pages.lines(results) if results else ():
                version = title if peer.environments == steps.GRAPH else "–"
                rows.append([version, peer.title.split(":")[0], SIZES.get(size, size), *cells])
    header = ["TensorFlow", "", "old rows", "batch", "ms", "ms, huge pages", "over plain pages"]
    return rows and table([*header, "huge, over the smaller table", "GB in huge pages"], rows)


BILLION_GB = 4 * 64 * 10**9 / 1e9


def scale_part(folder):
    """Returns the part on what touches every row, of docs/scale.md."""
    results = load(folder, "scale")
    if results is None or "slope" not in results.found["operations"]["load"]:
        return None
    sizes = results.facts["sizes"]
    rows = []
    for operation, each in results.found["operations"].items():
        seconds = each["fixed"] + each["slope"] * BILLION_GB
        rows.append(
            [operation]
            + [f"{one:.2f} s" for one in each["seconds"]]
            + [f"{each['slope']:.2f}", f"{each['ratio']:.2f}", f"{seconds / 60:.0f} min"]
        )
    heads = [SIZES.get(size, f"{size / 1e6:g} M") for size in sizes]
    heads += [
        "seconds a GB",
        f"{heads[-1]}, measured over predicted",
        "a billion, one after the other",
    ]
    return table(["", *heads], rows)


def network_part(folder):
    """Returns the part on what a step sends, of docs/scale.md."""
    results = load(folder, "scale")
    if results is None:
        return None
    sizes = results.facts["server_rows"]
    formula = [scale.predict_network(size) / 1e3 for size in sizes]
    lines = {"by the formula": formula, **results.found["network"]}
    rows = [
        [servers, *(f"{each:,.0f} KB" for each in sent), f"{max(sent) / min(sent):.2f}"]
        for servers, sent in lines.items()
    ]
    heads = [f"{SIZES.get(size, size)} rows" for size in sizes]
    return table(["servers", *heads, "most over least"], rows)


PARTS = {
    "aims": aims_part,
    "steps": steps_part,
    "steps 1.15": lambda folder: step_tables(folder, "tf1"),
    "optimizers": optimizers_part,
    "formulations": formulations_part,
    "many new rows": many_new_rows_part,
    "memory": memory_part,
    "growing": growing_part,
    "jobs": jobs_part,
    "huge pages": huge_part,
    "scale": scale_part,
    "network": network_part,
}
