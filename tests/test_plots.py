"""The pictures show what is there: their cells, points, labels and files."""

import builtins
import html
import importlib
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from support.tables import DTYPES, counting_rows, special_rows
from tf1_embed import Rows

pytest.importorskip("matplotlib")

import matplotlib  # noqa: E402

from tf1_embed import plots  # noqa: E402
from tf1_embed.pictures import plane  # noqa: E402
from tf1_embed.pictures.style import NEW, OLD, ON_DARK  # noqa: E402
from tf1_embed.solving.interference import Interference  # noqa: E402


def title_of(axes):
    return axes.get_title(loc="left")


def cells_of(axes):
    """Returns the cells of a heat map, [numbers in a row, rows], NaN where nothing is drawn."""
    (image,) = axes.images
    return image.get_array().filled(np.nan)


class Streamed:
    """A table that notes how many rows are read at one time."""

    def __init__(self, shape, change=()):
        self.shape, self.dtype, self.most = shape, np.dtype(np.float32), 0
        self._change = dict(change)

    def __getitem__(self, index):
        ids = np.arange(index.start, index.stop) if isinstance(index, slice) else index
        self.most = max(self.most, len(ids))
        rows = np.repeat((ids % 7).astype(np.float32)[:, np.newaxis], self.shape[1], axis=1)
        for row, value in self._change.items():
            rows[ids == row, 1] += value
        return rows


# What changed.


def test_each_cell_is_the_change_of_its_number():
    before = counting_rows(5, 3)
    after = np.concatenate([before, counting_rows(2, 3)])
    after[1, 2] += 0.25
    after[4, 0] -= 1
    figure = plots.row_changes(before, after)
    old, new = figure.axes[:2]
    assert title_of(old) == "2 of 5 old rows changed"
    assert title_of(new) == "2 new"
    expected = np.full([3, 5], np.nan)
    expected[2, 1], expected[0, 4] = 0.25, 1
    np.testing.assert_array_equal(cells_of(old), expected)
    # They had no value before, and colours stand for changes here.
    assert not new.images
    assert new.get_xlabel() == "no value before"


def test_new_rows_are_drawn_as_they_are_where_no_old_row_changed():
    before = counting_rows(5, 3)
    after = np.concatenate([before, np.float32([[0, 1, -2], [0.5, 0, 0]])])
    figure = plots.row_changes(before, after)
    old, new = figure.axes[:2]
    assert title_of(old) == "0 of 5 old rows changed"
    expected = np.abs(after[5:].T).astype(np.float64)
    expected[expected == 0] = np.nan
    np.testing.assert_array_equal(cells_of(new), expected)
    assert figure.axes[2].get_ylabel() == "size of the new rows' numbers"
    assert not old.images or np.isnan(cells_of(old)).all()


def test_one_row_is_said_to_be_one():
    before, after = counting_rows(1, 3), counting_rows(2, 3)
    assert title_of(plots.row_changes(before, after).axes[0]) == "0 of 1 old row changed"
    legend = plots.old_and_new(after, Rows.range(1, 2, size=2)).axes[0].get_legend()
    assert [each.get_text() for each in legend.get_texts()] == ["1 old row", "1 new row"]


def test_names_are_on_the_side_of_their_points():
    values = np.zeros([40, 2], np.float32)
    values[:, 0] = np.linspace(-1, 1, 40)
    values[:, 1] = np.cos(7 * values[:, 0])
    # Five new rows, all far on one side of the old ones.
    values[35:, 0] += 3
    axes = plots.old_and_new(values, Rows.range(35, 40, size=40)).axes[0]
    left, right = axes.get_xlim()
    for text in axes.texts:
        assert (text.xy[0] < (left + right) / 2) == (text.get_position()[0] == left)


def test_what_did_not_change_is_not_drawn_and_said_so():
    before = special_rows()
    figure = plots.row_changes(before, before.copy())
    assert title_of(figure.axes[0]) == f"0 of {len(before)} old rows changed"
    assert np.isnan(cells_of(figure.axes[0])).all()
    assert [each.get_text() for each in figure.axes[0].texts] == ["exactly zero"]
    # There are no colours to explain.
    assert len(figure.axes) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_changes_of_every_dtype_are_drawn(dtype):
    before = counting_rows(4, 3, dtype)
    after = before.copy()
    after[2, 1] = 2.5
    axes = plots.row_changes(before, after).axes[0]
    assert title_of(axes) == "1 of 4 old rows changed"
    assert cells_of(axes)[1, 2] == 0.5


def test_a_change_of_bits_that_compare_as_equal_is_drawn():
    before = np.float32([[0, 0], [1, 1], [np.nan, 0], [np.inf, 0]])
    after = before.copy()
    after[0, 1], after[2, 0], after[3, 0] = -0.0, -np.nan, -np.inf
    axes = plots.row_changes(before, after).axes[0]
    assert title_of(axes) == "3 of 4 old rows changed"
    drawn = cells_of(axes)
    (image,) = axes.images
    # What is no number is as far as can be.
    assert drawn[1, 0] == 0
    assert min(drawn[0, 2], drawn[0, 3]) > image.norm.vmax
    colours = image.cmap(image.norm(image.get_array()))
    # The smallest change can be seen, what did not change cannot.
    assert colours[1, 0, 3] > 0.2
    assert colours[0, 1, 3] == 0


def test_one_changed_row_of_a_million_is_seen_and_memory_is_bounded():
    before = Streamed((1000000, 8))
    after = Streamed((1000100, 8), {765432: 0.5, 3: 0.125, 4: 0.25})
    axes = plots.row_changes(before, after).axes[0]
    assert title_of(axes) == "3 of 1,000,000 old rows changed"
    drawn = cells_of(axes)
    assert drawn.shape == (8, 240)
    assert drawn[1, 765432 * 240 // 1000000] == 0.5
    # The largest of two that share a cell.
    assert drawn[1, 0] == 0.25
    assert np.isfinite(drawn).sum() == 2
    assert max(before.most, after.most) <= 1 << 17


def test_a_cell_has_the_largest_change_of_all_its_numbers():
    change = np.random.RandomState(0).rand(700, 130)
    axes = plots.row_changes(np.zeros([700, 130]), change).axes[0]
    expected = np.zeros([64, 240])
    for row in range(700):
        for number in range(130):
            cell = number * 64 // 130, row * 240 // 700
            expected[cell] = max(expected[cell], change[row, number])
    np.testing.assert_array_equal(cells_of(axes), expected)


@pytest.mark.parametrize("has_new_rows", [False, True])
def test_new_rows_may_be_anywhere(has_new_rows):
    after = counting_rows(6)
    new_rows = Rows.of([0, 3], size=6)
    before = after.copy()
    before[[2, 3]] -= 0.5
    if not has_new_rows:
        before = before[(~new_rows).ids()]
    old, new = plots.row_changes(before, after, new_rows).axes[:2]
    assert title_of(old) == "1 of 4 old rows changed"
    assert old.get_xlabel() == "place among the old rows"
    assert cells_of(old)[0].tolist()[1] == 0.5
    assert bool(new.images) == has_new_rows
    if has_new_rows:
        np.testing.assert_array_equal(cells_of(new)[0], [np.nan, 0.5])


def test_a_limit_makes_the_colours_of_two_pictures_the_same():
    figure = plots.row_changes(np.zeros([3, 2]), np.full([3, 2], 2.0), limit=8, title="Mine")
    assert figure.axes[0].images[0].norm.vmax == 8
    assert title_of(figure.axes[0]) == "Mine: 3 of 3 old rows changed"


@pytest.mark.parametrize(
    "before, after, new_rows, error, message",
    [
        ([4, 2], [5, 2], [4], TypeError, "`new_rows` must be tf1_embed.Rows"),
        ([4, 2], [5, 2], Rows.range(4, 6, size=6), ValueError, "of the 5 rows of `after`, got"),
        ([3, 2], [5, 2], Rows.range(4, 5, size=5), ValueError, "each of the 4 old rows.*got 3"),
        ([4, 3], [5, 2], None, ValueError, "`before` must have rows like those of `after`"),
    ],
)
def test_tables_that_do_not_fit_are_refused(before, after, new_rows, error, message):
    with pytest.raises(error, match=message):
        plots.row_changes(np.zeros(before), np.zeros(after), new_rows)


def test_tables_of_other_dtypes_are_refused():
    with pytest.raises(ValueError, match="float64 of shape .*got float32"):
        plots.row_changes(np.zeros([3, 2], np.float32), np.zeros([3, 2]))


# The map.


def points_of(axes, marker):
    (index,) = [i for i, each in enumerate(axes.collections) if marker in each.get_label()]
    return axes.collections[index].get_offsets()


def test_the_plane_is_that_of_the_old_rows_and_new_ones_are_named():
    random = np.random.RandomState(0)
    plane = np.linalg.qr(random.randn(6, 6))[0][:2]
    old = random.randn(40, 2) @ np.diag([5, 2]) @ plane + 3
    new = old[:3] + plane[0]
    names = [f"row {i}" for i in range(43)]
    values = np.concatenate([old, new])
    axes = plots.old_and_new(values, Rows.range(40, 43, size=43), names).axes[0]
    drawn_old, drawn_new = points_of(axes, "40 old rows"), points_of(axes, "3 new rows")
    # They lie in a plane: all distances are as they were, in the scale of the picture.
    scale = np.abs(values).max()
    np.testing.assert_allclose(
        scale * np.linalg.norm(drawn_old[1:] - drawn_old[:-1], axis=1),
        np.linalg.norm(old[1:] - old[:-1], axis=1),
    )
    np.testing.assert_allclose(scale * np.linalg.norm(drawn_new - drawn_old[:3], axis=1), 1)
    assert sorted(each.get_text() for each in axes.texts) == names[40:]
    assert "100% of their variance" in axes.figure._supxlabel.get_text()


@pytest.mark.parametrize("num_new", [1, 30])
def test_names_do_not_overlap(num_new):
    values = np.random.RandomState(0).randn(50 + num_new, 4)
    names = [f"a name of the row with the id {i}" for i in range(50 + num_new)]
    figure = plots.old_and_new(values, Rows.range(50, 50 + num_new, size=50 + num_new), names)
    figure.draw_without_rendering()
    texts = figure.axes[0].texts
    assert len(texts) == num_new
    boxes = [
        matplotlib.text.Text.get_window_extent(each, figure._get_renderer())
        if hasattr(figure, "_get_renderer")
        else matplotlib.text.Text.get_window_extent(each)
        for each in texts
    ]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert 0 <= box.x0 and box.x1 <= figure.bbox.width


def test_many_rows_are_a_density_and_have_no_names():
    values = np.random.RandomState(0).randn(60000, 4).astype(np.float32)
    axes = plots.old_and_new(values, Rows.range(55000, 60000, size=60000)).axes[0]
    assert not axes.texts
    assert len(points_of(axes, "2,000 of 5,000 new rows")) == 2000
    assert len(points_of(axes, "50,000 of 55,000 old rows, their density")) == 0
    (image,) = axes.images
    # All but what lies far out.
    assert 49500 <= np.expm1(image.get_array().filled(0)).sum() <= 50000


def test_ways_of_new_rows_are_drawn():
    values = np.concatenate([np.random.RandomState(0).randn(20, 3), np.zeros([2, 3])])
    figure = plots.old_and_new(values, Rows.range(20, 22, size=22), came_from=values[:2])
    assert len(figure.axes[0].lines) == 2
    np.testing.assert_allclose(
        figure.axes[0].lines[1].get_xydata()[0], points_of(figure.axes[0], "old")[1]
    )


@pytest.mark.parametrize("dim", [None, 1, 2])
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("num_old, num_new", [(0, 2), (1, 0), (3, 1), (2500, 40)])
def test_tables_of_few_rows_and_numbers_are_drawn(num_old, num_new, dim):
    values = counting_rows(num_old + num_new, dim)
    new_rows = Rows.range(num_old, num_old + num_new, size=num_old + num_new)
    plots.as_svg(plots.old_and_new(values, new_rows), "map")
    plots.as_svg(plots.norms(values, new_rows), "norms")
    plots.as_svg(plots.row_changes(values[:num_old], values, new_rows), "changes")


def test_an_empty_table_is_drawn():
    empty, rows = np.zeros([0, 4]), Rows.range(0, 0, size=0)
    assert title_of(plots.row_changes(empty, empty).axes[0]) == "0 of 0 old rows changed"
    plots.as_svg(plots.old_and_new(empty, rows), "map")
    plots.as_svg(plots.norms(empty, rows), "norms")


@pytest.mark.parametrize(
    "values, error, message",
    [
        (np.zeros([3, 2], np.complex64), TypeError, "must be of real numbers, got complex64"),
        (np.zeros([3, 0]), ValueError, r"must have numbers in its rows, got shape \[3, 0\]"),
    ],
)
def test_tables_that_cannot_be_shown_are_refused(values, error, message):
    new_rows = Rows.range(2, 3, size=3)
    for draw in (plots.old_and_new, plots.norms):
        with pytest.raises(error, match=f"`values` {message}"):
            draw(values, new_rows)
    with pytest.raises(error, match=f"`after` {message}"):
        plots.row_changes(values, values)


def test_very_large_numbers_are_drawn_as_small_ones_are():
    values = np.random.RandomState(0).randn(30, 3)
    new_rows = Rows.range(25, 30, size=30)
    expected, drawn = (
        points_of(plots.old_and_new(each, new_rows).axes[0], "25 old rows")
        for each in (values, values * 2.0**900)
    )
    np.testing.assert_array_equal(drawn, expected)
    axes = plots.norms(np.full([3, 2], 1e200), Rows.range(2, 3, size=3)).axes[0]
    assert "3 rows whose norm is not finite are left out" in axes.get_xlabel()


def test_without_finite_old_rows_the_map_says_that_it_is_of_the_new_ones():
    values = np.random.RandomState(0).randn(6, 3)
    values[:2] = np.nan
    figure = plots.old_and_new(values, Rows.range(2, 6, size=6))
    assert "in which new rows differ most" in figure._supxlabel.get_text()


def test_of_long_rows_fewer_are_read(monkeypatch):
    monkeypatch.setattr(plane, "_MAX_BYTES", 3000 * 8 * 8)
    table = Streamed((5000, 8))
    axes = plots.old_and_new(table, Rows.range(4000, 5000, size=5000)).axes[0]
    assert "3,000 of 4,000 old rows, their density" in axes.get_legend_handles_labels()[1]


def test_axes_of_long_rows_are_the_same_without_their_covariance(monkeypatch):
    values, rows = np.random.RandomState(0).randn(20, 6), Rows.range(15, 20, size=20)
    expected = plots.old_and_new(values, rows)
    monkeypatch.setattr(plane, "_MAX_COVARIANCE", 5)
    figure = plots.old_and_new(values, rows)
    for marker in ("old", "new"):
        np.testing.assert_allclose(
            points_of(figure.axes[0], marker), points_of(expected.axes[0], marker), atol=1e-9
        )
    assert figure._supxlabel.get_text() == expected._supxlabel.get_text()
    for num_rows in (0, 1, 2):
        plots.old_and_new(values[:num_rows], Rows.range(0, 0, size=num_rows))


def test_rows_that_are_not_finite_do_not_spoil_a_picture():
    values = np.random.RandomState(0).randn(30, 3)
    values[[3, 29]] = np.nan
    new_rows = Rows.range(25, 30, size=30)
    axes = plots.old_and_new(values, new_rows).axes[0]
    assert len(points_of(axes, "24 of 25 old rows")) == 24
    assert len(axes.texts) == 4
    assert "2 rows whose norm is not finite" in plots.norms(values, new_rows).axes[0].get_xlabel()


def test_names_of_another_number_are_refused():
    new_rows = Rows.range(2, 3, size=3)
    with pytest.raises(ValueError, match="`names` must be 3, one a row, got 1"):
        plots.old_and_new(np.eye(3), new_rows, names=["a"])
    with pytest.raises(ValueError, match="`came_from` must have 1 rows, one a new row, got 2"):
        plots.old_and_new(np.eye(3), new_rows, came_from=np.eye(2, 3))
    for draw in (plots.old_and_new, plots.norms):
        with pytest.raises(ValueError, match="`new_rows` must be of the 4 rows of `values`"):
            draw(np.eye(4), new_rows)
        with pytest.raises(TypeError, match="`new_rows` must be tf1_embed.Rows"):
            draw(np.eye(4), [3])


# The norms.


def test_norms_are_shares_of_the_old_rows_and_of_the_new_ones():
    values = np.concatenate([np.full([300, 4], 0.5), np.full([100, 4], 1.0)])
    axes = plots.norms(values, Rows.range(300, 400, size=400)).axes[0]
    assert title_of(axes) == "Median norm of old rows 1, of new rows 2"
    for patch in axes.patches:
        assert patch.get_path().vertices[:, 1].max() == pytest.approx(100)
    assert [each.get_text() for each in axes.get_legend().get_texts()] == [
        "300 old rows",
        "100 new rows",
    ]


def test_few_new_rows_are_marked_one_by_one():
    values = np.diag([1.0, 2, 3, 4])
    (line,) = plots.norms(values, Rows.range(2, 4, size=4)).axes[0].lines
    assert line.get_xdata().tolist() == [3, 4]


def test_norms_of_several_magnitudes_have_a_logarithmic_scale():
    rows = Rows.range(3, 4, size=4)
    assert plots.norms(np.diag([1.0, 2, 3, 1e6]), rows).axes[0].get_xscale() == "log"
    assert plots.norms(np.diag([1.0, 2, 3, 4]), rows).axes[0].get_xscale() == "linear"


# The curves.


def test_curves_are_drawn_without_what_is_not_finite():
    curves = {"loss": ([1, 2, 3], [5, np.nan, 4]), "other $x": ([1, 9], [1, 2])}
    axes = plots.training_curve(curves, "A title", "epoch", "loss").axes[0]
    first, second = axes.lines
    assert first.get_xydata().tolist() == [[1, 5], [3, 4]]
    assert first.get_linestyle() != second.get_linestyle()
    assert (title_of(axes), axes.get_xlabel(), axes.get_ylabel()) == ("A title", "epoch", "loss")
    assert "other $x" in plots.as_svg(axes.figure, "curves")


def test_a_label_that_begins_with_an_underscore_is_in_the_legend():
    axes = plots.training_curve({"_loss": ([1, 2], [2, 1])}).axes[0]
    (text,) = axes.get_legend().get_texts()
    assert text.get_text().endswith("_loss")


def test_long_curves_are_means_of_stretches():
    steps = np.arange(100000)
    (line,) = plots.training_curve({"loss": (steps, steps % 2)}).axes[0].lines
    assert len(line.get_xdata()) == 500
    np.testing.assert_allclose(line.get_ydata(), 0.5)
    assert (np.diff(line.get_xdata()) > 0).all()


@pytest.mark.parametrize(
    "curves, message",
    [
        ({}, "`curves` must be 1 to 16, got 0"),
        ({"a": ([1, 2], [1])}, r"as many steps as values, got \[2\] and \[1\] of 'a'"),
        ({"a": ([1], [np.nan])}, "a finite value each; 'a' has none"),
    ],
)
def test_curves_without_values_are_refused(curves, message):
    with pytest.raises(ValueError, match=message):
        plots.training_curve(curves)


# Old answers.


def test_lines_are_the_shares_of_right_answers_among_the_first():
    before = np.array([1.0, 1.0, 2.5, 40.0])
    found = {
        "trained": Interference(before, np.array([1.0, 3.0, 3.5, 40.0])),
        "_solved": Interference(before, before),
    }
    (axes,) = plots.old_answers(found).axes
    lines = {line.get_label(): line for line in axes.lines}
    for name, ranks in (("trained", [1, 3, 3.5, 40]), ("_solved", before)):
        line = lines[f"among all rows, {name}"]
        for k in (1, 2, 3, 10, 39, 40):
            among = line.get_xdata() <= k
            assert line.get_ydata()[among][-1] == 100 * np.mean(np.floor(ranks) <= k)
    assert axes.get_xlim() == (1, 40)
    lost = found["trained"].lost
    assert title_of(axes) == (
        f"Of their MRR old answers lose {lost:.1%} to new rows: trained, 0.0% to new rows: _solved"
    )
    assert len(axes.get_legend().get_texts()) == 3


@pytest.mark.parametrize(
    "ranks, message",
    [
        ([], "must be 1 to 4 of them, got 0"),
        ([[]], "has no queries"),
        ([[1.0], [2.0]], "of the same queries and old rows; the ranks of 'way 1'"),
    ],
)
def test_old_answers_that_cannot_be_compared_are_refused(ranks, message):
    found = {
        f"way {i}": Interference(np.array(each), np.array(each)) for i, each in enumerate(ranks)
    }
    with pytest.raises(ValueError, match=message):
        plots.old_answers(found)


# Files.


def draw_all():
    values = np.random.RandomState(0).randn(3000, 4)
    new_rows = Rows.range(2990, 3000, size=3000)
    names = [f"<name & {i}> $x_^{{$" for i in range(3000)]
    return {
        "What <changed>": plots.row_changes(values[:2990] + 1e-3, values, new_rows),
        "Map": plots.old_and_new(values, new_rows, names),
        "Norms": plots.norms(values, new_rows),
        "Curve": plots.training_curve({"loss": ([1, 2], [2, 1])}),
        "Answers": plots.old_answers({"<solved & $x_^{$": Interference(np.ones(3), np.ones(3))}),
    }


@pytest.fixture(scope="module")
def figures():
    return draw_all()


def test_equal_pictures_are_equal_files(tmp_path, figures):
    for number, drawn in enumerate([figures, draw_all()]):
        (tmp_path / str(number)).mkdir()
        for i, figure in enumerate(drawn.values()):
            for suffix in ("png", "svg"):
                plots.save(figure, str(tmp_path / str(number) / f"{i}.{suffix}"))
        plots.write_page(str(tmp_path / str(number) / "page.html"), drawn)
    for path in (tmp_path / "0").iterdir():
        assert path.read_bytes() == (tmp_path / "1" / path.name).read_bytes(), path.name


def test_svg_has_its_labels_as_text_and_colours_for_light_and_dark(tmp_path, figures):
    path = tmp_path / "map.svg"
    plots.save(figures["Map"], str(path))
    svg = path.read_text(encoding="utf-8")
    texts = [each.text for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("text")]
    for i in range(2990, 3000):
        assert f"<name & {i}> $x_^{{$" in texts
    assert "10 new rows" in texts
    light, dark = svg.split("</style>", 1)[1], svg.split("</style>", 1)[0]
    assert NEW in light and ON_DARK[NEW] not in light
    assert "prefers-color-scheme: dark" in dark and ON_DARK[NEW] in dark
    # Every colour that is drawn has one for dark paper.
    drawn = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", light))
    assert drawn <= set(ON_DARK), drawn


def test_names_that_no_svg_can_hold_are_drawn_with_replacements(tmp_path):
    names = ["\x00a", "b\x1b", "\ud800c", "d\ufffe", "e"]
    figure = plots.old_and_new(np.eye(5, 3), Rows.range(1, 5, size=5), names)
    plots.save(figure, str(tmp_path / "map.png"))
    svg = plots.as_svg(figure, names[0] + names[2])
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == "\ufffda\ufffdc"
    texts = {each.text for each in root.iter() if each.tag.endswith("text")}
    assert {"b\ufffd", "\ufffdc", "d\ufffd", "e"} <= texts
    plots.write_page(str(tmp_path / "page.html"), {names[2]: figure}, heading=names[0] + names[2])
    assert "<h1>\ufffda\ufffdc</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("error")
def test_names_in_every_script_are_drawn_without_warnings(tmp_path):
    names = ["", "漢字", "עברית", "\u200b", "🦎"]
    figure = plots.old_and_new(np.eye(5, 3), Rows.range(1, 5, size=5), names)
    plots.save(figure, str(tmp_path / "map.png"))
    assert "漢字" in plots.as_svg(figure, "map")


def contrast(colour, paper):
    """Returns the contrast of two colours as WCAG 2 has it, 1 to 21."""

    def luminance(text):
        parts = np.array(matplotlib.colors.to_rgb(text))
        parts = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return parts @ [0.2126, 0.7152, 0.0722]

    dark, light = sorted([luminance(colour), luminance(paper)])
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_read_on_light_and_on_dark_paper():
    papers = ("#ffffff", ON_DARK["#ffffff"])
    for colour, dark in ON_DARK.items():
        if colour != papers[0]:
            # 4.5 is what text needs, 3 what else is drawn.
            needed = 3 if colour in (OLD, NEW) else 4.5
            assert contrast(colour, papers[0]) >= needed, colour
            assert contrast(dark, papers[1]) >= needed, dark


def test_page_needs_no_other_file_and_escapes_what_it_is_given(tmp_path, figures):
    path = tmp_path / "page.html"
    plots.write_page(str(path), figures, heading="<script>alert(1)</script>")
    page = path.read_text(encoding="utf-8")
    assert page.count("<svg") == len(figures)
    assert "<script" not in page
    assert html.escape("What <changed>") in page
    for target in re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s]*)""", page):
        assert target.startswith(("data:", "#")), target
    # No two elements have the same name, or one picture would be cut as another is.
    names = re.findall(r' id="([^"]*)"', page)
    assert len(names) == len(set(names))


def test_png_is_a_picture_on_light_paper(tmp_path, figures):
    path = str(tmp_path / "norms.png")
    plots.save(figures["Norms"], path)
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[:2] == (576, 1440)
    assert (pixels[0, 0] == 1).all()


def test_nothing_is_replaced_unless_told_to(tmp_path, figures):
    for write in (
        lambda force: plots.save(figures["Curve"], str(tmp_path / "a.svg"), force),
        lambda force: plots.write_page(str(tmp_path / "a.html"), figures, force=force),
    ):
        write(False)
        with pytest.raises(FileExistsError, match="--force"):
            write(False)
        write(True)


def test_what_cannot_be_written_is_refused(tmp_path, figures):
    with pytest.raises(ValueError, match="`path` must end in .png or .svg, got 'a.jpg'"):
        plots.save(figures["Curve"], "a.jpg")
    with pytest.raises(ValueError, match="`figures` must be one or more"):
        plots.write_page(str(tmp_path / "a.html"), {})
    assert not list(tmp_path.iterdir())


def test_the_style_of_the_user_is_neither_used_nor_changed(figures):
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        figure = plots.training_curve({"loss": ([1, 2], [2, 1])})
        svg = plots.as_svg(figure, "Curve")
        assert dict(matplotlib.rcParams) == before
    assert svg == plots.as_svg(figures["Curve"], "Curve")


@pytest.mark.parametrize("missing, expected", [("matplotlib", "pip install"), ("PIL", "PIL")])
def test_only_a_missing_matplotlib_is_called_not_installed(monkeypatch, missing, expected):
    def fail(name, *args):
        if name == "matplotlib":
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return real_import(name, *args)

    real_import = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ImportError, match=expected) as raised:
        importlib.reload(plots)
    assert ("is not installed" in str(raised.value)) == (missing == "matplotlib")
