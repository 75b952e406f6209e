"""Vectors of synsets by the words of their glosses alone, which nothing was trained for.

Positive pointwise mutual information of synset and word, and of that matrix the largest singular
vectors: Levy, Goldberg and Dagan, "Improving Distributional Similarity with Lessons Learned from
Word Embeddings", TACL 2015, with glosses in the place of contexts.
"""

import numpy as np


def embed(bags, num_words, width, seed=0):
    """Returns float32 `[rows, width]`.

    Args:
      bags: ints `[rows, most]` of words, padded with -1.
      num_words: int.
      width: int.
      seed: int, of the method, which is by random projection (Halko, Martinsson and Tropp, 2011).
    """
    random = np.random.RandomState(seed)
    rows, places = np.nonzero(bags >= 0)
    words = bags[rows, places]
    in_row, of_word = (
        np.bincount(rows, minlength=len(bags)),
        np.bincount(words, minlength=num_words),
    )
    values = np.maximum(0.0, np.log(len(words) / (in_row[rows] * of_word[words])))

    def times(matrix, into, out_of, size):
        order = np.argsort(into, kind="stable")
        starts = np.flatnonzero(np.diff(into[order], prepend=-1))
        product = np.zeros([size, matrix.shape[1]])
        products = matrix[out_of[order]] * values[order, np.newaxis]
        product[into[order][starts]] = np.add.reduceat(products, starts, axis=0)
        return product

    basis = random.randn(num_words, width + 10)
    for _ in range(4):
        basis, _ = np.linalg.qr(times(basis, rows, words, len(bags)))
        basis, _ = np.linalg.qr(times(basis, words, rows, num_words))
    left, sizes, _ = np.linalg.svd(times(basis, rows, words, len(bags)), full_matrices=False)
    return (left * np.sqrt(sizes))[:, :width].astype(np.float32)
