"""What editors and type checkers see: public names, all annotated. `make lint` runs mypy itself."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tf1_embed

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tf1_embed"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def is_public(name):
    """Tells names that users write: no others, but for methods that Python's syntax calls."""
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def public_definitions(body, prefix=""):
    """Yields (name, node) of each public class and function, and of those in public classes."""
    for node in body:
        if isinstance(node, (ast.If, ast.Try)):
            yield from public_definitions(node.body, prefix)
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)) and is_public(node.name):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{prefix}{node.name}.")


def missing_in_function(name, node):
    """Yields what has no annotation: parameters but `self` and `cls`, and what is returned."""
    is_static = any(getattr(each, "id", None) == "staticmethod" for each in node.decorator_list)
    parameters = list(getattr(node.args, "posonlyargs", [])) + node.args.args
    if "." in name and not is_static:
        parameters = parameters[1:]
    parameters += node.args.kwonlyargs
    parameters += [each for each in (node.args.vararg, node.args.kwarg) if each is not None]
    for parameter in parameters:
        if parameter.annotation is None and not parameter.arg.startswith("_"):
            yield f"{name}({parameter.arg})"
    if node.returns is None and node.name != "__init__":
        yield f"{name} ->"


def documented_attributes(node):
    """Returns the names that the Attributes section of a class's docstring lists."""
    docstring = ast.get_docstring(node) or ""
    section = re.search(r"^Attributes:\n((?:  .*\n|\n)*)", docstring + "\n", re.MULTILINE)
    if section is None:
        return []
    lines = re.findall(r"^  (\w[\w, ]*):", section.group(1), re.MULTILINE)
    return [name for line in lines for name in line.split(", ")]


def annotated_attributes(node):
    """Returns the names that a class, or its `self`, has with an annotation, and its properties."""
    names = set()
    for each in ast.walk(node):
        if isinstance(each, ast.AnnAssign):
            names.add(getattr(each.target, "id", None) or getattr(each.target, "attr", None))
        elif isinstance(each, ast.FunctionDef) and each.decorator_list:
            names.add(each.name)
    return names


def missing_annotations(source):
    """Returns what of a module's public definitions has no annotation, a list of strings."""
    missing = []
    for name, node in public_definitions(ast.parse(source).body):
        if isinstance(node, ast.FunctionDef):
            missing += missing_in_function(name, node)
        else:
            unknown = set(documented_attributes(node)) - annotated_attributes(node)
            missing += [f"{name}.{each}" for each in sorted(unknown)]
    return missing


@pytest.mark.parametrize("module", sorted(MODULES))
def test_public_functions_classes_and_attributes_are_annotated(module):
    missing = missing_annotations(MODULES[module].read_text(encoding="utf-8"))
    assert not missing


def test_what_is_not_annotated_is_found():
    source = '''
def good(a: int, *, b: str = "") -> None: ...
def _private(a): ...
def bad(a, *args, b: int, **kwargs): ...
class Thing:
    """A thing.

    Attributes:
      one: int, explained over
        two lines: that is one of them.
      two, three: ints.
      four: int.
    """
    one: int
    def __init__(self, one):
        self.two: int = one
        self.three = one
    @property
    def four(self): ...
    @classmethod
    def make(cls, path) -> Thing: ...
    @staticmethod
    def look(path: str): ...
'''
    assert missing_annotations(source) == [
        *("bad(a)", "bad(args)", "bad(kwargs)", "bad ->"),
        *("Thing.three", "Thing.__init__(one)", "Thing.four ->"),
        *("Thing.make(path)", "Thing.look ->"),
    ]


# The public names.


def names_for_checkers():
    """Returns what `__init__.py` imports for type checkers, a dict from name to module."""
    names = {}
    for node in ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and node.test.id == "TYPE_CHECKING":
            for statement in node.body:
                (alias,) = statement.names
                assert alias.asname == alias.name, "`import x as x` is what makes a name public"
                names[alias.name] = statement.module
    return names


def test_checkers_see_the_names_that_there_are_where_they_are():
    seen = names_for_checkers()
    assert sorted([*seen, "__version__"]) == sorted(tf1_embed.__all__)
    for name, module in seen.items():
        assert getattr(importlib.import_module(module), name) is getattr(tf1_embed, name)


def test_a_name_that_is_a_module_is_that_module():
    assert tf1_embed.initializers is importlib.import_module("tf1_embed.initializers")


def test_help_opens_with_each_public_name_in_a_line():
    lines = re.findall(r"^    (\w+)  +\S", tf1_embed.__doc__, re.MULTILINE)
    assert sorted([*lines, "__version__"]) == sorted(tf1_embed.__all__)


def test_types_are_nothing_at_run_time():
    program = (
        "import sys, tf1_embed.types\n"
        "print([each for each in vars(tf1_embed.types) if each[0].isupper()])\n"
        "print('tensorflow' in sys.modules, 'numpy' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=str(ROOT), capture_output=True, text=True, timeout=120
    )
    assert result.stdout.splitlines() == ["['TYPE_CHECKING']", "False False"], result.stderr
