"""The package as pip installs it and as Python imports it, with and without TensorFlow."""

import email
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tf1_embed

ROOT = Path(__file__).resolve().parent.parent

# Run before a program, makes every import of TensorFlow fail as it does where there is none.
WITHOUT_TENSORFLOW = """
import sys

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

sys.meta_path.insert(0, NoTensorFlow())
"""


def run_python(*args, cwd=ROOT):
    return subprocess.run(
        [sys.executable, *args], cwd=cwd, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the sources: a build leaves its folders beside `setup.py`."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("tf1_embed", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    result = run_python(
        *["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", "."], cwd=source
    )
    assert result.returncode == 0, result.stderr
    (path,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def read_from_wheel(wheel, name):
    return wheel.read(f"tf1_embed-{tf1_embed.__version__}.dist-info/{name}").decode()


def test_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
    in_wheel = {name for name in wheel.namelist() if ".dist-info/" not in name}
    in_package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tf1_embed").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert in_wheel == in_package


def test_wheel_says_that_the_package_is_typed(wheel):
    assert "tf1_embed/py.typed" in wheel.namelist()


def test_wheel_states_name_version_and_licence(wheel):
    metadata = email.message_from_string(read_from_wheel(wheel, "METADATA"))
    assert metadata["Name"] == "tf1-embed"
    assert metadata["Version"] == tf1_embed.__version__
    assert metadata["License"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.7"


def test_wheel_requires_numpy_alone_and_tensorflow_only_as_an_extra(wheel):
    metadata = email.message_from_string(read_from_wheel(wheel, "METADATA"))
    requirements = metadata.get_all("Requires-Dist")
    assert [line for line in requirements if "extra ==" not in line] == ["numpy"]
    with_tensorflow = [line for line in requirements if line.startswith("tensorflow")]
    assert len(with_tensorflow) == 1
    assert with_tensorflow[0].replace('"', "'").endswith("extra == 'tf'")


def test_wheel_installs_the_command(wheel):
    assert "tf1-embed = tf1_embed.cli:main" in read_from_wheel(wheel, "entry_points.txt")


def test_import_does_not_import_tensorflow():
    result = run_python("-c", "import sys, tf1_embed; print('tensorflow' in sys.modules)")
    assert result.stdout.strip() == "False", result.stderr


def test_import_works_without_tensorflow():
    result = run_python("-c", WITHOUT_TENSORFLOW + "import tf1_embed; print(tf1_embed.__version__)")
    assert result.stdout.strip() == tf1_embed.__version__, result.stderr


def test_name_that_needs_tensorflow_says_how_to_install_it():
    program = """
import tf1_embed

try:
    tf1_embed.get_grown_table("embedding", 2)
except ImportError as error:
    print(error)
"""
    result = run_python("-c", WITHOUT_TENSORFLOW + program)
    assert "pip install tensorflow" in result.stdout, result.stderr


def test_help_works_without_tensorflow():
    program = "import runpy; runpy.run_module('tf1_embed', run_name='__main__')"
    result = run_python("-c", WITHOUT_TENSORFLOW + program, "--help")
    assert result.returncode == 0, result.stderr
    assert "usage: tf1-embed" in result.stdout
