"""Files of word vectors, read and written in chunks: word2vec, GloVe, and `.npy`.

| format         | file                             | tokens |
|----------------|----------------------------------|--------|
| `word2vec`     | word2vec's text, fastText's .vec | yes    |
| `word2vec-bin` | word2vec's binary                | yes    |
| `glove`        | GloVe's text, without a header   | yes    |
| `npy`          | NumPy's .npy, nothing pickled    | no     |
"""

from tf1_embed.word_vectors.chunks import HowTokens
from tf1_embed.word_vectors.reader import FORMATS, open_word_vectors
from tf1_embed.word_vectors.writer import write_word_vectors

__all__ = ["FORMATS", "HowTokens", "open_word_vectors", "write_word_vectors"]
