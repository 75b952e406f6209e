"""The house's plan: rooms whose imports go one way, down; TensorFlow where it is needed."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "tf1_embed"

# From the roof to the ground: a room's modules import from its own files and from rooms below it.
# A folder is a room with all that is in it, but for folders that are rooms of their own.
ROOMS = {
    "the command": ["tf1_embed", "__main__", "cli"],
    "commands": ["commands"],
    "pictures": ["plots", "pictures"],
    "proof": ["proof"],
    "auditing": ["auditing"],
    "saved graphs": ["saved"],
    "checkpoint": ["checkpoint"],
    "solving": ["solving"],
    "the answer": ["sparse_lookup", "lookup", "get_table", "table", "optimizer", "gradients"],
    "graph": ["graph"],
    "checkpoint files": ["checkpoint.files"],
    "initializers": ["initializers"],
    "word vectors": ["word_vectors"],
    "vocabulary": ["vocabulary"],
    "rows": [
        "bfloat16",
        "certificates",
        "fingerprints",
        "json_file",
        "new_files",
        "npy",
        "partitions",
        "philox",
        "raw_ops",
        "rows",
        "types",
        "version",
    ],
}

# Import no TensorFlow when they are imported, nor does what they import. What is in a graph, and
# TensorFlow's own initializers, they meet in functions.
WITHOUT_TENSORFLOW = [
    "initializers",
    "word vectors",
    "vocabulary",
    "checkpoint files",
    "checkpoint",
]
WITHOUT_TENSORFLOW_EITHER = [
    "bfloat16",
    "certificates",
    "fingerprints",
    "json_file",
    "new_files",
    "npy",
    "partitions",
    "philox",
    "rows",
    "types",
]

# The one file that may use private names of TensorFlow; it says why.
PRIVATE_NAMES = {"raw_ops"}

# Python's own for named tuples, which have no others.
OF_NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}


def name_of(path):
    """Returns a module's name as in `ROOMS`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts) or "tf1_embed"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module):
    """Returns the number of the room that a module is in, from the roof, or None."""
    while module:
        for number, members in enumerate(ROOMS.values()):
            if module in members:
                return number
        module = module.rpartition(".")[0]
    return None


def tree_of(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def walk(node):
    """Yields a node and those in it, but for what type checkers alone see: it never runs."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", None) == "TYPE_CHECKING":
            for each in child.orelse:
                yield from walk(each)
        else:
            yield from walk(child)


def imports_of(module):
    """Yields each name that a module imports when it runs, in full, wherever in the file."""
    for node in walk(tree_of(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def own_imports_of(module):
    """Returns the modules of this package that a module imports, named as in `ROOMS`."""
    found = set()
    for name in imports_of(module):
        parts = name.split(".")
        if parts[0] == "tf1_embed":
            # The last part, and no other, may be a name in a module.
            candidates = (".".join(parts[1:]), ".".join(parts[1:-1]), "tf1_embed")
            found.add(next(each for each in candidates if each in MODULES))
    return found


def test_every_module_has_its_room():
    homeless = [module for module in MODULES if room_of(module) is None]
    assert not homeless, "give each module a room in ROOMS"
    empty = [each for members in ROOMS.values() for each in members if each not in MODULES]
    assert not empty, "leave out of ROOMS what is gone"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down_only(module):
    upward = {each for each in own_imports_of(module) if room_of(each) < room_of(module)}
    assert not upward, f"{module} imports from rooms above its own: {upward}"


def test_no_imports_go_in_a_circle():
    imports = {module: own_imports_of(module) - {module} for module in MODULES}
    while True:
        # What imports nothing that is left is no part of a circle.
        settled = {module for module, names in imports.items() if not names & set(imports)}
        if not settled:
            break
        imports = {module: names for module, names in imports.items() if module not in settled}
    assert not imports, f"these import one another: {sorted(imports)}"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/how_it_works.md"])
def test_map_of_the_rooms_is_that_of_the_house(page):
    text = (PACKAGE.parent / page).read_text(encoding="utf-8").partition("## The rooms\n")[2]
    rows = re.findall(r"^\| ([a-z ]+) \| (.*?) \| .* \| (all below|none) \|$", text, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(ROOMS)
    assert [imports for _, _, imports in rows] == ["all below"] * (len(ROOMS) - 1) + ["none"]
    for members, (_, where, _) in zip(ROOMS.values(), rows):
        for path in re.findall(r"`([^`]+)`", where):
            name = name_of(PACKAGE / path)
            assert (PACKAGE / path).exists() and name.replace("/", ".") in members, path


def test_imports_are_found_where_they_are_known_to_be():
    assert {"rows", "graph.sources", "initializers", "table"} <= own_imports_of("get_table")
    assert "proof.checker" not in own_imports_of("proof.frozen_bits")
    assert own_imports_of("partitions") == set()


@pytest.mark.parametrize("module", sorted(set(MODULES) - PRIVATE_NAMES))
def test_only_public_names_of_tensorflow_are_imported(module):
    of_tensorflow = {name for name in imports_of(module) if name.split(".")[0] == "tensorflow"}
    assert of_tensorflow <= {"tensorflow.compat.v1"}


def private_names(tree):
    """Yields each private name that is read of an object, by a dot, `getattr` or `hasattr`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name, owner = node.attr, node.value
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr"):
            name, owner = getattr(node.args[1], "value", getattr(node.args[1], "s", "")), None
        else:
            continue
        is_private = str(name).startswith("_") and not str(name).endswith("__")
        if is_private and getattr(owner, "id", None) not in ("self", "cls"):
            yield name


def own_names(tree):
    """Returns the names that a module defines, or has of `self`: those of its own objects."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in ("self", "cls"):
            names.add(node.attr)
    return names


@pytest.mark.parametrize("module", sorted(set(MODULES) - PRIVATE_NAMES))
def test_only_public_names_of_others_objects_are_used(module):
    tree = tree_of(module)
    foreign = set(private_names(tree)) - own_names(tree) - OF_NAMED_TUPLES
    assert not foreign, f"put what has no public name in TensorFlow into {PRIVATE_NAMES}"


def test_private_names_are_found_where_they_are_known_to_be():
    assert set(private_names(tree_of("raw_ops"))) == {
        "_create_slots",
        "_get_control_flow_context",
        "_get_function",
    }
    tree = ast.parse(
        "a._b; self._c; cls._d; a._d; a.__doc__; getattr(a, '_e', 0); hasattr(a, '_f')"
    )
    assert set(private_names(tree)) == {"_b", "_d", "_e", "_f"}
    assert set(private_names(tree)) - own_names(tree) == {"_b", "_e", "_f"}


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


def test_rooms_of_checkpoints_and_vocabularies_do_not_import_tensorflow():
    rooms = [list(ROOMS).index(room) for room in WITHOUT_TENSORFLOW]
    modules = [module for module in MODULES if room_of(module) in rooms]
    assert "checkpoint.grow" in modules and "checkpoint.files.reader" in modules
    program = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module("tf1_embed." + module)
    if "tensorflow" in sys.modules:
        sys.exit(f"{module} imports TensorFlow")
"""
    result = subprocess.run(
        [sys.executable, "-c", program, *modules, *WITHOUT_TENSORFLOW_EITHER],
        cwd=str(PACKAGE.parent),
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr


def test_every_public_name_is_there():
    import tf1_embed

    for name in tf1_embed.__all__:
        assert getattr(tf1_embed, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        tf1_embed.no_such_name  # noqa: B018
