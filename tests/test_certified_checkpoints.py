"""Certificates that grow and merge leave, and what verify makes of them."""

import json

import numpy as np
import pytest

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
