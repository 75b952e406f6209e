"""Certificates that grow and merge leave, and what verify makes of them."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.tables import counting_rows, load_checkpoint, save_checkpoint, special_rows
from tf1_embed import Rows
from tf1_embed.cli import main
from tf1_embed.vocabulary import id_map


@pytest.fixture
def base(tmp_path):
    (tmp_path / "base").mkdir()
    return save_checkpoint(tmp_path / "base" / "model.ckpt", {"e": special_rows(), "b": 1.0})


def certificate_of(prefix, table="e"):
    return tf1_embed.read_certificates(prefix)[table]


def test_grow_certifies_the_old_rows(base, tmp_path):
    out = str(tmp_path / "grown")
    tf1_embed.grow_checkpoint(base, ["e"], out, num_new_rows=3)
    certificate = certificate_of(out)
    assert certificate.rows == Rows.range(0, 14, size=17)
    assert certificate.digest == tf1_embed.fingerprint(special_rows())
    assert certificate.digest == tf1_embed.fingerprint_checkpoint(base, "e")
    assert (certificate.dtype, certificate.row_shape) == ("float32", (2,))
    assert certificate.base == base
    assert not (tmp_path / "base" / "model.ckpt.rows.json").exists()


def test_merge_certifies_the_frozen_rows(tmp_path):
    values = {"e": special_rows(), "e_new_rows": counting_rows(3)}
    prefix = save_checkpoint(tmp_path / "model.ckpt", values)
    tf1_embed.merge_checkpoint(prefix, ["e"], tmp_path / "merged")
    certificate = certificate_of(tmp_path / "merged")
    assert certificate.rows == Rows.range(0, 14, size=17)
    assert certificate.digest == tf1_embed.fingerprint(special_rows())


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_certificates_go_by_ids_whatever_the_partitions(tmp_path, strategy):
    stored = save_checkpoint(tmp_path / "base", {"e": counting_rows(11)}, partitions=3)
    out = str(tmp_path / "grown")
    tf1_embed.grow_checkpoint(stored, ["e"], out, num_new_rows=5, partition_strategy=strategy)
    certificate = certificate_of(out)
    expected = tf1_embed.fingerprint_checkpoint(stored, "e", partition_strategy=strategy)
    assert certificate.digest == expected
    grown = tf1_embed.fingerprint_checkpoint(out, "e", certificate.rows, strategy)
    assert grown == expected


def test_rows_that_moved_by_their_tokens_are_certified_where_they_are(tmp_path):
    base = save_checkpoint(tmp_path / "base", {"e": counting_rows(3)})
    mapped = id_map(["a", "b", "c"], ["c", "x", "a", "b"])
    out = str(tmp_path / "grown")
    tf1_embed.grow_checkpoint(base, ["e"], out, id_map=mapped)
    certificate = certificate_of(out)
    assert certificate.rows == Rows.of([0, 2, 3], size=4)
    grown = load_checkpoint(out)["e"]
    assert certificate.digest == tf1_embed.fingerprint(grown[[0, 2, 3]])


def test_certificate_takes_the_place_of_an_old_checkpoint_that_is_gone(base, tmp_path, capsys):
    out = str(tmp_path / "grown")
    tf1_embed.grow_checkpoint(base, ["e"], out, num_new_rows=3)
    for path in (tmp_path / "base").iterdir():
        path.unlink()
    certificate = f"{out}.rows.json"
    # It grows once more.
    tf1_embed.grow_checkpoint(out, ["e"], tmp_path / "again", num_new_rows=2)
    for new in ("grown", "again"):
        (found,) = tf1_embed.verify_checkpoint(certificate, tmp_path / new, ["e"])
        assert (found.num_rows, found.num_changed) == (14, 0)
    assert main(["verify", certificate, out, "--table", "e"]) == 0
    assert "all 14 old rows are the same" in capsys.readouterr().out
    changed = load_checkpoint(out)
    changed["e"].view(np.uint32)[8, 1] ^= 1
    changed = save_checkpoint(tmp_path / "changed", changed)
    (found,) = tf1_embed.verify_checkpoint(certificate, changed, ["e"])
    assert found.num_changed is None
    assert main(["verify", certificate, changed, "--table", "e"]) == 1
    assert "are not those of the certificate" in capsys.readouterr().out
    assert main(["verify", certificate, changed, "--table", "e", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["num_changed"] is None


def test_certificate_of_another_table_or_for_tokens_is_refused(base, tmp_path):
    out = str(tmp_path / "grown")
    tf1_embed.grow_checkpoint(base, ["e"], out, num_new_rows=3)
    other = save_checkpoint(tmp_path / "other", {"f": special_rows()})
    with pytest.raises(KeyError, match="the certificate is not of 'f' but of e"):
        tf1_embed.verify_checkpoint(f"{out}.rows.json", other, ["f"])
    mapped = id_map(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="a certificate is of ids"):
        tf1_embed.verify_checkpoint(f"{out}.rows.json", out, ["e"], id_map=mapped)
    with pytest.raises(FileNotFoundError, match="there is no certificate"):
        tf1_embed.verify_checkpoint(tmp_path / "none.rows.json", out, ["e"])


def test_replaced_checkpoint_takes_its_certificate_with_it(base, tmp_path):
    out = str(tmp_path / "grown")
    tf1_embed.grow_checkpoint(base, ["e"], out, num_new_rows=3)
    tf1_embed.split_checkpoint(base, ["e"], out, num_old_rows=5, force=True)
    assert not (tmp_path / "grown.rows.json").exists()


# What has grown, for the optimizer.


def test_grown_rows_are_those_of_tables_biases_and_projections(tmp_path):
    values = {"e": counting_rows(3), "bias": np.zeros(3, "f"), "projection": np.zeros([2, 3], "f")}
    prefix, out = save_checkpoint(tmp_path / "old", values), str(tmp_path / "grown")
    also = ["--also", "bias", "--also", "projection:1"]
    assert main(["grow", prefix, "--table", "e", "--rows", "2", *also, "--out", out]) == 0
    new_rows = Rows.range(3, 5, size=5)
    expected = {"e": new_rows, "bias": new_rows, "projection:1": new_rows}
    assert tf1_embed.grown_rows(out) == expected
    assert tf1_embed.grown_rows(f"{out}.rows.json") == expected
    assert list(tf1_embed.read_certificates(out)) == ["e"]


def test_grown_rows_are_where_a_vocabulary_puts_them(base, tmp_path):
    mapping = id_map(list("abcdefghijklmn"), ["new", *"abcdefg", "newer", *"hijklmn"])
    tf1_embed.grow_checkpoint(base, ["e"], tmp_path / "grown", id_map=mapping)
    assert tf1_embed.grown_rows(tmp_path / "grown") == {"e": Rows.of([0, 8], size=16)}


def test_one_line_trains_all_that_grew_and_nothing_else(tmp_path):
    def step(num, grown=None):
        e, other, projection = (
            tf.get_variable(name, shape)
            for name, shape in (("e", [num, 4]), ("other", [4, 4]), ("projection", [4, num]))
        )
        vectors = tf.matmul(tf.nn.embedding_lookup(e, [0, num - 1]), other)
        loss = tf.reduce_sum((tf.matmul(vectors, projection) - 1) ** 2)
        optimizer = tf.train.AdamOptimizer(0.1)
        if grown:
            optimizer = tf1_embed.TrainableRowsOptimizer(
                optimizer, tf1_embed.grown_rows(grown), slots="full", others="frozen"
            )
        return optimizer.minimize(loss)

    def train(num, source, target, grown=None):
        with tf.Graph().as_default(), tf.Session() as session:
            train_op = step(num, grown)
            session.run(tf.global_variables_initializer())
            if source:
                tf.train.Saver().restore(session, source)
            session.run(train_op)
            tf.train.Saver().save(session, target)
        return load_checkpoint(target)

    old, grown, new, further = (str(tmp_path / each) for each in ("old", "grown", "new", "further"))
    # Square, so that no error of shapes tells rows from columns.
    train(3, None, old)
    tf1_embed.grow_checkpoint(old, ["e"], grown, num_new_rows=1, also=["projection:1"])
    before, after = load_checkpoint(grown), train(4, grown, new, grown)
    for name, value in before.items():
        if "power" not in name:
            old = (
                (slice(3),) if name[0] == "e" else (slice(None), slice(3)) if name[0] == "p" else ()
            )
            assert after[name][old].tobytes() == value[old].tobytes(), name
    assert (before["e"][3] != after["e"][3]).all()
    assert (before["projection"][:, 3] != after["projection"][:, 3]).all()
    train(4, new, further)


@pytest.mark.parametrize(
    ("also", "message"),
    [
        ([], "`also` must be a dict of variables"),
        ({"bias": {"rows": [[0, 2]]}}, "it has no `size` of variable 'bias'"),
        ({"bias": {"rows": [[2, 0]], "size": 3}}, "`rows` of variable 'bias'"),
    ],
)
def test_damaged_names_of_what_grew_are_refused(base, tmp_path, also, message):
    tf1_embed.grow_checkpoint(base, ["e"], tmp_path / "grown", num_new_rows=1)
    path = tmp_path / "grown.rows.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "also": also}))
    with pytest.raises(ValueError, match=message):
        tf1_embed.grown_rows(path)
    with pytest.raises(FileNotFoundError, match="there is no certificate"):
        tf1_embed.grown_rows(tmp_path / "none")
