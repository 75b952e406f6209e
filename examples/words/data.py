"""Which synsets are old and which new, which words explain them, and what is asked of them."""

import re
from collections import Counter, namedtuple

import numpy as np

# Padding of bags of words.
NONE = -1
_MOST_WORDS = 24

# keys: list of strings, a sense key of each row, the old ones first. words: list of strings, those
# of glosses. bags: ints [rows, 24] of words, padded with -1. hypernyms: ints [rows], which of the
# `num_hypernyms` synsets that have others below them is above each, or -1. files: list of strings,
# of the lexicographers. parts: list of ids for each new row, the old ones that have a word of it.
# num_old: int.
Growth = namedtuple("Growth", "keys words bags hypernyms num_hypernyms files parts num_old")


def grow(old, new, num_old, seed, least=4):
    """Chooses old synsets and takes all new ones, those of which no sense key is in the old ones.

    Args:
      old, new: lists of `Synset`, of two versions.
      num_old: int, how many old ones: those that new ones are related to, and others by chance.
      seed: int.
      least: int, how many words a gloss must have.

    Returns:
      `Growth`.
    """
    random = np.random.RandomState(seed)
    old_keys = {key for each in old for key in each.keys}
    arrived = [each for each in new if not old_keys.intersection(each.keys)]
    old, arrived = (
        [each for each in some if len(bag_of(each)) >= least] for some in (old, arrived)
    )
    if not arrived:
        raise ValueError("the new version has no synset that the old one lacks")
    chosen = _choose(old, arrived, num_old, random)
    rows = [*chosen, *arrived]
    counts = Counter(word for each in chosen for word in bag_of(each))
    # A word is known from the old glosses; the most frequent ones say nothing.
    words = sorted(
        word for word, count in counts.items() if 3 <= count <= max(3, len(chosen) // 20)
    )
    number = {word: at for at, word in enumerate(words)}
    bags = np.full([len(rows), _MOST_WORDS], NONE, np.int32)
    for row, each in enumerate(rows):
        own = [number[word] for word in bag_of(each) if word in number][:_MOST_WORDS]
        bags[row, : len(own)] = own
    # Every key of a synset finds it.
    first_of = {key: each.keys[0] for each in [*old, *arrived] for key in each.keys}
    above = [first_of.get(each.hypernym) for each in rows]
    candidates = sorted({key for key in above[: len(chosen)] if key is not None})
    place = {key: at for at, key in enumerate(candidates)}
    hypernyms = np.array([place.get(key, NONE) for key in above], np.int32)
    by_lemma = {}
    for row, each in enumerate(chosen):
        for lemma in each.lemmas:
            by_lemma.setdefault(lemma, []).append(row)
    parts = [[row for word in pieces(each) for row in by_lemma.get(word, ())] for each in arrived]
    return Growth(
        [each.keys[0] for each in rows],
        words,
        bags,
        hypernyms,
        len(candidates),
        [each.file for each in rows],
        [list(dict.fromkeys(ids)) for ids in parts],
        len(chosen),
    )


def bag_of(synset):
    """Returns the distinct words of a gloss, examples among them."""
    return list(dict.fromkeys(re.findall(r"[a-z]{3,}", synset.gloss.lower())))


def pieces(synset):
    """Returns the words that lemmas are made of: "solar_panel" of "solar" and "panel"."""
    found = [each for lemma in synset.lemmas for each in re.split(r"[_\- /]+", lemma)]
    return list(dict.fromkeys(each for each in found if len(each) > 2))


def _choose(old, arrived, num_old, random):
    """Returns old synsets that new ones are related to, and others by chance."""
    lemmas = {word for each in arrived for word in pieces(each)}
    above = {each.hypernym for each in arrived}
    related, others = [], []
    for each in old:
        is_related = lemmas.intersection(each.lemmas) or above.intersection(each.keys)
        (related if is_related else others).append(each)
    related = [related[at] for at in random.permutation(len(related))[:num_old]]
    chosen = random.permutation(len(others))[: num_old - len(related)]
    return [*related, *(others[at] for at in chosen)]
