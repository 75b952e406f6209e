"""What TensorBoard's projector shows of a table: the files, and what a browser makes of them."""

import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.chromium import find_chromium, give_up, open_page
from support.tables import counting_rows
from tf1_embed import Rows
from tf1_embed.pictures.projector import write_projector

HOSTILE = 'tab\there\nline\r\x0b\x85\u2028"quote" <b>$x$ \\'


def read_metadata(logdir, table="table"):
    """Returns the rows of the metadata file, without its header."""
    text = (logdir / f"{table}_metadata.tsv").read_bytes().decode()
    lines = [line.split("\t") for line in text.split("\n")[:-1]]
    assert lines[0] == ["name", "mark", "id"]
    return lines[1:]


def read_vectors(logdir, table="table"):
    return np.loadtxt(str(logdir / f"{table}_vectors.tsv"), delimiter="\t", ndmin=2)


# The files.


def test_every_row_has_its_numbers_its_name_and_its_mark(tmp_path):
    values = np.random.RandomState(0).randn(5, 4).astype(np.float32)
    projection = write_projector(str(tmp_path), values, Rows.of([1, 3], size=5), list("abcde"))
    assert (projection.num_old, projection.num_new) == (3, 2)
    assert read_metadata(tmp_path) == [
        ["a", "old", "0"],
        ["c", "old", "2"],
        ["e", "old", "4"],
        ["b", "new", "1"],
        ["d", "new", "3"],
    ]
    # Nine digits are enough for every bit of a float32.
    read = read_vectors(tmp_path).astype(np.float32)
    np.testing.assert_array_equal(read, values[[0, 2, 4, 1, 3]])


def test_config_is_one_that_tensorboard_reads(tmp_path):
    config = pytest.importorskip("tensorboard.plugins.projector.projector_config_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    table = 'a/"b"\\\n'
    write_projector(str(tmp_path), np.eye(5, 4), Rows.range(3, 5, size=5), table=table)
    read = config.ProjectorConfig()
    text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), read)
    (embedding,) = read.embeddings
    assert embedding.tensor_name == 'a/"b"\\ '
    assert list(embedding.tensor_shape) == [5, 4]
    assert embedding.tensor_path == "a__b____vectors.tsv"
    for path in (embedding.tensor_path, embedding.metadata_path):
        assert (tmp_path / path).exists()


def test_no_name_breaks_a_row(tmp_path):
    names = [HOSTILE, "", "plain"]
    write_projector(str(tmp_path), np.eye(3), Rows.range(2, 3, size=3), names)
    read = read_metadata(tmp_path)
    assert [each[1:] for each in read] == [["old", "0"], ["old", "1"], ["new", "2"]]
    assert read[0][0] == 'tab here line    "quote" <b>$x$ \\'


def test_a_name_may_be_a_number_or_have_half_a_surrogate_pair(tmp_path):
    write_projector(str(tmp_path), np.eye(3), Rows.range(2, 3, size=3), [7, "\udc80", "c"])
    assert [each[0] for each in read_metadata(tmp_path)] == ["7", "?", "c"]


@pytest.mark.parametrize(
    "num_old, num_new, expected",
    [(1000, 7, (93, 7)), (1000, 300, (50, 50)), (20, 300, (20, 80)), (0, 300, (0, 100))],
)
def test_new_rows_are_kept_and_old_ones_sampled(tmp_path, num_old, num_new, expected):
    values = counting_rows(num_old + num_new)
    new_rows = Rows.range(num_old, num_old + num_new, size=num_old + num_new)
    projection = write_projector(str(tmp_path), values, new_rows, max_points=100)
    assert projection[1:] == expected
    ids = np.array([int(each[2]) for each in read_metadata(tmp_path)])
    assert len(set(ids)) == sum(expected)
    assert (read_vectors(tmp_path)[:, 0] == ids).all()
    old = ids[ids < num_old]
    # From everywhere.
    assert num_old == 0 or (np.diff(old) <= 2 * -(-num_old // len(old))).all()
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_projector(str(tmp_path), values, new_rows, max_points=100, force=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_rows_that_are_not_finite_are_left_out(tmp_path):
    values = counting_rows(6)
    values[1, 0], values[5, 1] = np.nan, np.inf
    projection = write_projector(str(tmp_path), values, Rows.range(4, 6, size=6))
    assert projection[1:] == (3, 1)
    assert [each[2] for each in read_metadata(tmp_path)] == ["0", "2", "3", "4"]


def test_rows_that_are_not_finite_take_no_place_of_another(tmp_path):
    values = counting_rows(4000)
    values[np.arange(4000) % 10 != 0] = np.nan
    new_rows = Rows.range(1000, 4000, size=4000)
    projection = write_projector(str(tmp_path), values, new_rows, max_points=150)
    assert projection[1:] == (75, 75)
    ids = np.array([int(each[2]) for each in read_metadata(tmp_path)])
    assert (ids % 10 == 0).all() and len(set(ids)) == 150
    assert (read_vectors(tmp_path)[:, 0] == ids).all()


@pytest.mark.parametrize("dim", [None, 2])
def test_rows_of_few_numbers_get_the_three_axes_that_are_drawn(tmp_path, dim):
    write_projector(str(tmp_path), counting_rows(4, dim), Rows.range(3, 4, size=4))
    assert read_vectors(tmp_path)[3].tolist() == ([3, 0, 0] if dim is None else [3, 3, 0])


def test_nothing_is_replaced_unless_told_to(tmp_path):
    args = (str(tmp_path), np.eye(3), Rows.range(2, 3, size=3))
    assert write_projector(*args, dry_run=True).num_new == 1
    assert not os.listdir(str(tmp_path))
    (tmp_path / "projector_config.pbtxt").write_text("mine")
    with pytest.raises(FileExistsError, match="--force"):
        write_projector(*args)
    assert os.listdir(str(tmp_path)) == ["projector_config.pbtxt"]
    write_projector(*args, force=True)
    assert "table_vectors.tsv" in (tmp_path / "projector_config.pbtxt").read_text()


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"new_rows": [2]}, TypeError, "`new_rows` must be tf1_embed.Rows"),
        ({"new_rows": Rows.range(2, 3, size=4)}, ValueError, "`new_rows` must be of the 3 rows"),
        ({"names": ["a"]}, ValueError, "`names` must be 3, one a row, got 1"),
        ({"values": np.eye(3) * 1j}, TypeError, "`values` must be of real numbers, got complex128"),
        ({"max_points": 100001}, ValueError, "`max_points` must be 2 to 100,000"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, change, error, message):
    arguments = dict({"values": np.eye(3), "new_rows": Rows.range(2, 3, size=3)}, **change)
    with pytest.raises(error, match=message):
        write_projector(str(tmp_path), **arguments)
    assert not os.listdir(str(tmp_path))


# The browser.

# What the projector's own page holds, wherever in its tree of components; None before that.
LOADED = """(() => {
  const walk = node => {
    if (node.localName === 'vz-projector' && node.dataSet) return node.dataSet.points;
    const inner = [...(node.children || []), node.shadowRoot, node.contentDocument];
    for (const each of inner) {
      const found = each && walk(each);
      if (found) return found;
    }
  };
  const points = walk(document);
  return points && points.map(each => each.metadata).every(each => each.mark !== undefined)
    && points.map(each => [String(each.metadata.name), each.metadata.mark, each.metadata.id]);
})()"""


def train(logdir, steps=3):
    """Grows a table in a monitored session that writes its summaries; returns all its rows."""
    with tf.Graph().as_default():
        tf.train.get_or_create_global_step()
        table = tf1_embed.get_grown_table(
            "a/table", 4, old_rows=counting_rows(12, 5), initializer=counting_rows(4, 5, start=12)
        )
        loss = tf.reduce_sum(tf1_embed.embedding_lookup(table, [0, 13]))
        optimizer = tf.train.GradientDescentOptimizer(0.1)
        train_op = optimizer.minimize(loss, tf.train.get_global_step())
        tf1_embed.summaries(table)
        hook = tf1_embed.FrozenRowsHook(table)
        everything = table.read()
        with tf.train.MonitoredTrainingSession(
            checkpoint_dir=logdir, save_summaries_steps=1, hooks=[hook]
        ) as session:
            for _ in range(steps):
                session.run(train_op)
            return session.run(everything)


@contextlib.contextmanager
def tensorboard(logdir):
    """Runs TensorBoard on a free port; yields its address."""
    if importlib.util.find_spec("tensorboard") is None:
        give_up("TensorBoard is not installed")
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logdir]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    try:
        said = []
        # Its words end when it ends.
        for line in process.stdout:
            said.append(line)
            address = re.search(r"http://[\w.:]+", line)
            if address:
                yield address.group(0)
                break
        else:
            raise AssertionError(f"TensorBoard ended: {''.join(said)}")
    finally:
        process.kill()
        process.communicate()


def get_json(url):
    # Not through a proxy of the environment's.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=60) as answer:
        return json.loads(answer.read().decode())


@pytest.mark.slow
def test_in_tensorboard_a_browser_loads_both_marks_and_the_summaries_are_there(tmp_path):
    browser, logdir = find_chromium(), str(tmp_path / "logs")
    values = train(logdir)
    names = [f"word {i}" for i in range(15)] + [HOSTILE]
    write_projector(logdir, values, Rows.range(12, 16, size=16), names, "a/table")
    with tensorboard(logdir) as address:
        with open_page(browser, str(tmp_path / "profile")) as page:
            page.open(f"{address}/#projector")
            points = page.wait_for(LOADED)
        (tags,) = get_json(f"{address}/data/plugin/scalars/tags").values()
        tag = "a/table/frozen_rows/changed"
        assert {tag, "a/table/new_rows/mean_norm"} <= set(tags)
        query = urllib.parse.urlencode({"run": ".", "tag": tag})
        drawn = get_json(f"{address}/data/plugin/scalars/scalars?{query}")
    assert [each[1] for each in points] == ["old"] * 12 + ["new"] * 4
    assert [each[0] for each in points[:15]] == names[:15]
    assert points[15][0].startswith('tab here line    "quote"')
    assert [int(each[2]) for each in points] == list(range(16))
    assert len(drawn) >= 3
    assert {value for _, _, value in drawn} == {0}
