"""The notebooks run, hold what they claim, and are stored as a run leaves them."""

import html
import re
import sys
from pathlib import Path

import nbformat
import pytest
import tensorflow.compat.v1 as tf

ROOT = Path(__file__).resolve().parent.parent
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in PATHS]

MAX_BYTES, MAX_PICTURE_BYTES = 400_000, 100_000

# The outputs are those of the newest TensorFlow; older ones word some errors differently.
WRITES_OUTPUTS = tf.__version__.startswith("2.")

sys.path.insert(0, str(ROOT / "notebooks"))
from execute import execute  # noqa: E402


@pytest.fixture(params=PATHS, ids=NAMES)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    """The cells of code, with their outputs, as they are stored."""
    return code_of(nbformat.read(str(path), as_version=4))


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell):
    """Returns what a cell prints and results in, whatever its fractions are."""
    parts = [
        output.get("text", output.get("data", {}).get("text/plain", "")) for output in cell.outputs
    ]
    return re.sub(r"\s*-?\d*\.\d+(e[+-]\d+)?\s*", " # ", "".join(parts))


def pictures_of(cell):
    data = [output.get("data", {}) for output in cell.outputs]
    assert not [each for each in data if "image/png" in each], "end the cell with Picture(…)"
    return [each["image/svg+xml"] for each in data if "image/svg+xml" in each]


def test_there_are_six_in_order():
    assert [name[:2] for name in NAMES] == ["01", "02", "03", "04", "05", "06"]


@pytest.mark.slow
def test_runs_and_prints_and_draws_what_is_stored(path, cells):
    executed = code_of(execute(path))
    for stored, ran in zip(cells, executed):
        assert len(pictures_of(stored)) == len(pictures_of(ran)), stored.source
        if WRITES_OUTPUTS:
            assert text_of(stored) == text_of(ran), stored.source


def test_is_stored_as_a_complete_run_from_the_top(cells):
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if is_noise(output)]


def is_noise(output):
    return output.output_type == "error" or output.get("name") == "stderr"


def test_has_pictures_and_is_small(path, cells):
    pictures = [picture for cell in cells for picture in pictures_of(cell)]
    assert len(pictures) >= 3
    assert max(map(len, pictures)) <= MAX_PICTURE_BYTES
    assert path.stat().st_size <= MAX_BYTES


def test_pictures_follow_the_scheme_and_have_words_for_who_does_not_see_them(cells):
    for cell in cells:
        for picture in pictures_of(cell):
            words = cell.metadata["mystnb"]["image"]["alt"]
            assert len(words) > 40 and html.escape(words) in picture
            assert "prefers-color-scheme: dark" in picture
            # Black that no scheme turns would not be seen on dark paper.
            assert not re.search(r"(fill|stroke): #000000", picture)


def test_asks_before_it_shows(path):
    sources = [cell.source for cell in nbformat.read(str(path), as_version=4).cells]
    asked = [i for i, source in enumerate(sources) if source.startswith("**Predict, then run.**")]
    assert len(asked) >= 2 and "make jupyter" in sources[0]
    for i in asked:
        # The answer is hidden; the cell that shows it comes next.
        assert re.search(r"\n\n<details>\n<summary>Answer</summary>\n\n", sources[i])
        assert sources[i].endswith("\n\n</details>")


def test_cells_that_only_draw_are_folded(cells):
    folded = [cell for cell in cells if "hide-input" in cell.metadata.get("tags", [])]
    assert folded or "draw_graph" in cells[0].source
    for cell in folded:
        assert cell.metadata["jupyter"]["source_hidden"] is True
        assert "Figure(" in cell.source


def test_names_no_place_on_the_machine_that_ran_it(path):
    text = re.sub(r"data:image/png;base64[^>]*", "", path.read_text(encoding="utf-8"))
    assert not re.search(r"(?<![\w.:/])/(home|root|tmp|usr|Users|var)/|site-packages", text)
    assert "WARNING" not in text


def test_ends_in_an_assertion(cells):
    lines = cells[-1].source.splitlines()
    assert [line for line in lines if line.startswith("assert ")]
    assert re.match(r"assert |    |\]$", lines[-1])


def test_begins_with_a_title_of_its_number(path):
    first = nbformat.read(str(path), as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {int(path.stem[:2])}. ")


def test_links_lead_somewhere(path):
    for cell in nbformat.read(str(path), as_version=4).cells:
        for target in re.findall(r"\]\(([^)#]+)\)", cell.source):
            if cell.cell_type == "markdown":
                assert (path.parent / target).exists(), target
