"""The core tests on TensorFlow 1.13.1 to the newest; `make test-matrix` runs them.

Each version has an environment of its own, which is made again when its file in
requirements/matrix/ has changed, and kept in .venv/matrix, or where MATRIX_ENVIRONMENTS says.
REQUIRE_ALL=1 makes a missing Python an error. One version alone: `nox -s 2.4`.
"""

import os
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree

import nox

ROOT = Path(__file__).resolve().parent
ENVIRONMENTS = Path(os.environ.get("MATRIX_ENVIRONMENTS", ROOT / ".venv" / "matrix")).resolve()

# The TensorFlows, and the Python that each runs on. Those of `make test` are not repeated, but for
# the newest, here on a newer Python.
PYTHONS = {
    "1.13.1": "3.7",
    "1.14.0": "3.7",
    "2.4": "3.7",
    "2.11": "3.7",
    "2.15": "3.10",
    "2.16": "3.12",
    "2.21": "3.13",
}

# The table and its lookup, the gradients, the optimizer, the proof, the checkpoints.
CORE = """
    imports rows row_ops initializers sources table lookup partitions partitioned_tables
    gradients optimizer full_slots wrapped_tables invariants audit tensorflow_facts
    fingerprints certificates proof tensorboard
    crc32c checkpoint_index checkpoint_reader checkpoint_writer
    grow clocks slots split merge verify diff delta certified_checkpoints
    row_queries solving
""".split()

# Of a test with more cases than these, the others are left to `make test`.
MAX_CASES = 4

nox.options.default_venv_backend = "venv"
nox.options.download_python = "never"
nox.options.envdir = str(ENVIRONMENTS)
nox.options.error_on_missing_interpreters = bool(os.environ.get("REQUIRE_ALL"))

results = {}


def find_python(version):
    """Returns the path of a Python of that version, from the PATH or pyenv, or its mere name."""
    command = [str(ROOT / "requirements" / "find_python.sh"), version]
    return subprocess.check_output(command, text=True).strip() or f"python{version}"


def requirements_of(tensorflow):
    """Returns the file that lists what the environment holds, and the copy it was made from."""
    name = f"{tensorflow}.txt"
    return ROOT / "requirements" / "matrix" / name, ENVIRONMENTS / name


def is_made(tensorflow):
    """Tells whether the environment is there, and holds what its requirements say now."""
    wanted, installed = requirements_of(tensorflow)
    return installed.exists() and installed.read_bytes() == wanted.read_bytes()


def run_core(session, tensorflow):
    """Runs the core tests in an environment, which it makes if need be."""
    start = time.monotonic()
    wanted, installed = requirements_of(tensorflow)
    if not is_made(tensorflow):
        installed.unlink(missing_ok=True)
        session.install("--no-deps", "-r", str(wanted))
        installed.write_bytes(wanted.read_bytes())
    report = ENVIRONMENTS / f"{tensorflow}.xml"
    report.unlink(missing_ok=True)
    try:
        session.run(
            *["python", "-m", "pytest", "-q", "-n", "2", f"--max-cases={MAX_CASES}"],
            *["-p", "no:cacheprovider", "--disable-warnings", f"--junit-xml={report}"],
            *[f"tests/test_{name}.py" for name in CORE],
            env={"PYTHONPATH": str(ROOT)},
        )
    finally:
        results[tensorflow] = (*counts_of(report), round(time.monotonic() - start))


def counts_of(report):
    """Returns how many tests passed, were skipped and failed; pytest may have died before."""
    if not report.exists():
        return 0, 0, "all"
    suite = ElementTree.parse(report).getroot().find("testsuite")
    names = ("tests", "skipped", "failures", "errors")
    tests, skipped, failures, errors = (int(suite.get(name)) for name in names)
    return tests - skipped - failures - errors, skipped, failures + errors


def add_session(tensorflow, python):
    """Makes `run_core` on that TensorFlow a session of nox."""

    @nox.session(name=tensorflow, python=find_python(python), reuse_venv=is_made(tensorflow))
    def session_of_version(session):
        run_core(session, tensorflow)


for tensorflow, python in PYTHONS.items():
    add_session(tensorflow, python)


@nox.session(python=False)
def summary(session):
    """Prints what ran on which TensorFlow, and what did not."""
    row = "{:<12}{:<8}{:>8}{:>9}{:>8}{:>9}"
    print(row.format("TensorFlow", "Python", "passed", "skipped", "failed", "seconds"))
    for tensorflow, python in PYTHONS.items():
        if tensorflow in results:
            print(row.format(tensorflow, python, *results[tensorflow]))
        else:
            found = os.path.isabs(find_python(python))
            why = "not asked for" if found else "left out: no such Python was found"
            print(f"{tensorflow:<12}{python:<8}  {why}")
