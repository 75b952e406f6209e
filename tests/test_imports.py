"""The house's plan: imports go one way, down, and TensorFlow is imported when it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "tf1_embed"

# From the roof to the ground: a module imports from floors below its own only.
FLOORS = [
    ["tf1_embed", "__main__"],
    ["cli"],
    ["commands"],
    ["commands.options", "commands.output"],
    ["checkpoint.delta"],
    ["checkpoint.delta.apply", "checkpoint.delta.extract", "checkpoint.delta.revert"],
    [
        "checkpoint.grow",
        "checkpoint.inspect",
        "checkpoint.merge",
        "checkpoint.plot",
        "checkpoint.split",
        "checkpoint.vectors",
        "checkpoint.verify",
        "proof",
    ],
    ["plots"],
    ["plots.changes", "plots.curves", "plots.files", "plots.norms", "plots.plane", "projector"],
    ["plots.style", "samples"],
    ["checkpoint.delta.file", "checkpoint.delta.rows"],
    ["checkpoint.growth", "frozen_bits"],
    ["checkpoint.split_table", "fingerprints"],
    ["live_rows"],
    ["checkpoint.new_rows", "checkpoint.rewrite", "checkpoint.vocabulary_axis"],
    ["checkpoint.progress", "checkpoint.slots", "checkpoint.stored_rows", "checkpoint.writer"],
    ["checkpoint.ahead", "checkpoint.reader"],
    ["sparse_lookup"],
    ["auditing", "get_table", "lookup", "optimizer"],
    ["auditing.lookups", "auditing.writes", "initial_values", "table", "scratch"],
    ["auditing.frozen_part", "control_flow", "initializers", "old_rows", "train_ops"],
    ["auditing.evaluate", "auditing.findings", "checkpoint.index", "row_ops"],
    ["partitioned_variables"],
    ["checkpoint.sstable", "gradients"],
    ["checkpoint.crc32c", "word_vectors"],
    ["vocabulary", "word_vectors.reader", "word_vectors.writer"],
    ["word_vectors.binary", "word_vectors.npy", "word_vectors.text"],
    ["certificates", "tokens", "word_vectors.chunks", "word_vectors.header"],
    [
        "checkpoint",
        "checkpoint.write_back",
        "chunks",
        "events",
        "new_file",
        "partitions",
        "row_bits",
        "rows",
        "tensorboard",
        "version",
    ],
    ["raw_ops"],
]

# May use private names of TensorFlow, for versions in which they are not public yet.
PRIVATE_NAMES = {"raw_ops"}


def name_of(path):
    """Returns a module's name as in `FLOORS`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts) or "tf1_embed"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
FLOOR_OF = {module: number for number, floor in enumerate(FLOORS) for module in floor}


def imports_of(module):
    """Yields each name that a module imports, in full, wherever in the file it does so."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def own_imports_of(module):
    """Returns the modules of this package that a module imports, named as in `FLOORS`."""
    found = set()
    for name in imports_of(module):
        parts = name.split(".")
        if parts[0] == "tf1_embed":
            # The last part, and no other, may be a name in a module.
            candidates = (".".join(parts[1:]), ".".join(parts[1:-1]), "tf1_embed")
            found.add(next(each for each in candidates if each in MODULES))
    return found


def test_every_module_has_its_floor():
    assert set(FLOOR_OF) == set(MODULES), "give each module a floor in FLOORS"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down_only(module):
    upward = {each for each in own_imports_of(module) if FLOOR_OF[each] <= FLOOR_OF[module]}
    assert not upward, f"{module} imports from its own floor or above: {upward}"


def test_imports_are_found_where_they_are_known_to_be():
    assert {"rows", "old_rows", "initializers", "table"} <= own_imports_of("get_table")
    assert "proof" not in own_imports_of("frozen_bits")
    assert own_imports_of("row_bits") == set()


@pytest.mark.parametrize("module", sorted(set(MODULES) - PRIVATE_NAMES))
def test_only_public_names_of_tensorflow_are_imported(module):
    of_tensorflow = {name for name in imports_of(module) if name.split(".")[0] == "tensorflow"}
    assert of_tensorflow <= {"tensorflow.compat.v1"}


def test_what_needs_no_tensorflow_does_not_import_it():
    program = """
import sys
import tf1_embed, tf1_embed.rows, tf1_embed.cli, tf1_embed.version
tf1_embed.Rows.of([1], 3).contains([1, 2])
dir(tf1_embed)
print(sorted(each for each in sys.modules if each.startswith("tensorflow")))
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=str(PACKAGE.parent),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_every_public_name_is_there():
    import tf1_embed

    for name in tf1_embed.__all__:
        assert getattr(tf1_embed, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        tf1_embed.no_such_name  # noqa: B018
