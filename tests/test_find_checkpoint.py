"""Which checkpoint a path names, as people and shells write it."""

import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.tables import counting_rows, load_checkpoint, save_checkpoint
from tf1_embed.checkpoint.files.find import find_checkpoint


@pytest.fixture
def prefix(tmp_path):
    prefix = save_checkpoint(tmp_path / "runs" / "model.ckpt-7", {"e": counting_rows(3)})
    (tmp_path / "runs" / "model.ckpt-7.meta").write_bytes(b"")
    return prefix


@pytest.mark.parametrize("end", ["", ".index", ".meta", ".data-00000-of-00001"])
def test_any_file_of_a_checkpoint_names_it(prefix, end):
    assert find_checkpoint(prefix + end) == prefix


def test_folder_names_its_latest(prefix, tmp_path):
    assert find_checkpoint(tmp_path / "runs") == prefix
    os.remove(f"{prefix}.index")
    with pytest.raises(FileNotFoundError, match="found neither at .*model.ckpt-7.index', which"):
        find_checkpoint(tmp_path / "runs")


@pytest.mark.parametrize("given", ["sm", "sm/", "sm/variables", "sm/saved_model.pb"])
def test_saved_model_names_its_variables(tmp_path, monkeypatch, given):
    (tmp_path / "sm").mkdir()
    prefix = save_checkpoint(tmp_path / "sm" / "variables" / "variables", {"e": counting_rows(3)})
    os.remove(str(tmp_path / "sm" / "variables" / "checkpoint"))
    (tmp_path / "sm" / "saved_model.pb").write_bytes(b"")
    found = find_checkpoint(f"{tmp_path}/{given}")
    assert os.path.samefile(f"{found}.index", f"{prefix}.index")
    np.testing.assert_array_equal(load_checkpoint(found)["e"], counting_rows(3))


def test_format_of_before_tensorflow_1_is_named(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("e", [6, 2])
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver(write_version=tf.train.SaverDef.V1)
        prefix = saver.save(session, str(tmp_path / "model.ckpt"))
    for given in (prefix, tmp_path):
        with pytest.raises(ValueError, match="of the format V1, .* is not read. Convert it"):
            find_checkpoint(given)


def test_other_files_are_no_checkpoints(tmp_path):
    (tmp_path / "words.txt").write_text("a\n")
    for given in ("words.txt", "nothing", ".", "words.txt.index"):
        with pytest.raises(FileNotFoundError, match="found neither"):
            find_checkpoint(tmp_path / given)
