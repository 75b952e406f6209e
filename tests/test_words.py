"""The example of new synsets, on a WordNet of the test's own."""

import contextlib
import io
import tarfile

import numpy as np
import pytest

from examples.words import donor, wordnet
from examples.words.data import grow, pieces
from examples.words.main import WAYS, main

# Words of kinds of things; each kind has a file of the lexicographers' and a hypernym.
KINDS = [
    [f"{kind}{first}{second}" for first in "abcdefgh" for second in "abcdefg"]
    for kind in ("red", "blue", "grey")
]


def line(number, words, gloss, hypernym=None, file=6):
    """Returns a line of data.noun; the synset's number is its offset."""
    pointers = "000" if hypernym is None else f"001 @ {hypernym:08d} n 0000"
    named = " ".join(f"{each} 0" for each in words)
    return f"{number:08d} {file:02d} n {len(words):02x} {named} {pointers} | {gloss}  \n"


def write(folder, count, shift, extra=0):
    """Writes a WordNet of `count` synsets and more; `shift` moves all offsets."""
    random = np.random.RandomState(0)
    lines = ["  1 This is a licence.\n"]
    for kind in range(len(KINDS)):
        lines.append(line(kind + shift, [f"kind_{kind}"], "one two three four", file=3))
    for number in range(count + extra):
        kind = number % len(KINDS)
        gloss = " ".join(random.choice(KINDS[kind], 8, replace=False))
        # A new synset's lemma has that of an old one in it.
        names = [f"Thing{number}"] if number < count else [f"thing{kind}_new{number}", "newer(a)"]
        lines.append(line(100 + number + shift, names, gloss, kind + shift, file=10 + kind))
    folder.mkdir()
    (folder / "data.noun").write_text("".join(lines), encoding="latin-1")
    for part in ("verb", "adv"):
        (folder / f"data.{part}").write_text("", encoding="latin-1")
    head = "00000005 00 a 01 light 0 001 & 00000009 a 0000 | having little weight at all  \n"
    satellite = "00000009 00 s 01 airy 2 001 & 00000005 a 0000 | as light as the air is  \n"
    (folder / "data.adj").write_text(head + satellite, encoding="latin-1")
    return folder


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Two versions; the later one has twelve synsets more, and other offsets."""
    folder = tmp_path_factory.mktemp("wordnet")
    return write(folder / "3.0", 180, 1000), write(folder / "3.1", 180, 5000, extra=12)


def test_ways_to_begin_are_compared_and_old_rows_stay(versions):
    printed = io.StringIO()
    flags = ["--num-old", "185", "--seeds", "1", "--width", "8", "--base-epochs", "24"]
    flags += ["--layer-epochs", "20", "--epochs", "0", "20", "--batch-size", "64"]
    with contextlib.redirect_stdout(printed):
        result = main(["--old", str(versions[0]), "--new", str(versions[1]), *flags])
    assert result["old_rows_identical"] is True
    assert result["num_new"] == 12
    assert set(result["new"]) == {*WAYS, "retrained"}
    first = {way: result["new"][way][0][0] for way in WAYS}
    for way in ("class", "nearest", "ridge", "solved"):
        assert first[way] > max(first["random"], first["mean"]) + 0.1, first
    # What is trained on no hypernym finds them by the words.
    assert result["new"]["random"][0][-1] > first["random"]
    text = printed.getvalue()
    assert "12 new synsets among 185 old ones" in text
    assert "identical, bit for bit" in text
    assert f"{first['nearest']:7.3f}" in text


def test_synsets_are_matched_by_their_keys_and_new_ones_come_last(versions):
    old, new = (wordnet.load(str(each)) for each in versions)
    data = grow(old, new, 100, seed=1)
    assert data.num_old == 100 and len(data.keys) == 112
    assert all("_new" in key for key in data.keys[100:])
    assert len(set(data.keys)) == 112
    # The lemma "thing0_new180" has "thing0" in it, which is an old synset's.
    assert [data.keys[row] for row in data.parts[0]] == ["thing0%1:10:00::"]
    # All new ones have the hypernyms that old ones have.
    assert (data.hypernyms[100:] >= 0).all() and data.num_hypernyms <= 3
    satellite = next(each for each in old if each.lemmas == ["airy"])
    assert satellite.keys == ["airy%5:00:02:light:00"]
    assert pieces(new[-3]) == ["thing2", "new191", "newer"]
    with pytest.raises(ValueError, match="no synset that the old one lacks"):
        grow(old, old, 100, seed=1)


def test_packages_are_read_as_folders_are(versions, tmp_path):
    expected = wordnet.load(str(versions[0]))
    with tarfile.open(str(tmp_path / "db.tgz"), "w:gz") as archive:
        archive.add(str(versions[0]), "package/dict")
    assert wordnet.load(str(tmp_path / "db.tgz")) == expected
    with tarfile.open(str(tmp_path / "data.tar.xz"), "w:xz") as archive:
        archive.add(str(versions[0]), "./usr/share/wordnet")
    members = [(b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"odd")]
    members.append((b"data.tar.xz", (tmp_path / "data.tar.xz").read_bytes()))
    with open(str(tmp_path / "base.deb"), "wb") as file:
        file.write(b"!<arch>\n")
        for name, content in members:
            file.write(name.ljust(48) + str(len(content)).encode().ljust(10) + b"`\n" + content)
            file.write(b"\n" * (len(content) % 2))
    assert wordnet.load(str(tmp_path / "base.deb")) == expected


def test_what_is_not_there_is_said_with_a_way_on(tmp_path):
    with pytest.raises(FileNotFoundError, match="apt-get download wordnet-base"):
        wordnet.load(str(tmp_path / "none.deb"))
    with pytest.raises(FileNotFoundError, match=r"has no data.noun of WordNet.*npm pack"):
        wordnet.load(str(tmp_path))
    (tmp_path / "odd").write_bytes(b"odd")
    with pytest.raises(ValueError, match="is no package that can be read"):
        wordnet.load(str(tmp_path / "odd"))
    (tmp_path / "empty.deb").write_bytes(b"!<arch>\n")
    with pytest.raises(ValueError, match="is a package without data.tar"):
        wordnet.load(str(tmp_path / "empty.deb"))


def test_donor_is_the_svd_of_positive_mutual_information():
    random = np.random.RandomState(0)
    bags = np.full([30, 6], -1, np.int32)
    for row in bags:
        row[:4] = random.choice(12, 4, replace=False)
    counts = np.zeros([30, 12])
    np.add.at(counts, np.nonzero(bags >= 0)[:1] + (bags[bags >= 0],), 1)
    expected = counts.sum() * counts / counts.sum(axis=1, keepdims=True) / counts.sum(axis=0)
    expected = np.where(counts > 0, np.maximum(0, np.log(np.maximum(expected, 1e-9))), 0)
    left, sizes, _ = np.linalg.svd(expected)
    expected = left[:, :2] * np.sqrt(sizes[:2])
    got = donor.embed(bags, 12, 2)
    np.testing.assert_allclose(np.abs(got), np.abs(expected), atol=1e-3)
