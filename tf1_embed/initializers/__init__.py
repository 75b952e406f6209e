"""Values for new rows: told, drawn, from the statistics of the old rows, or from what is known.

An initializer here is a `RowInitializer`, for the `initializer` argument of
`tf1_embed.get_grown_table` and `tf1_embed.grow_checkpoint`. TensorFlow's own initializers, arrays
and tensors serve there too; what these add is the sight of the old rows. Old rows are read when the
variable is initialised, and summed in float64 and chunk by chunk, so that the old table never lies
in memory a second time.

Each is defined once, and computed by TensorFlow in a graph and by NumPy for a checkpoint. Zeros,
constants, copies and all that is known of the new rows themselves are the same bits in both. So are
random values and statistics but for their last bits: sums go in another order, and functions such
as sines are rounded by other libraries.

Random values depend on `seed` and on the table's name alone, not on the graph's seed: two runs give
the same rows, and two tables (the real and the imaginary part of an embedding) different ones.
"""

from tf1_embed.initializers.combined import class_means, mean_of
from tf1_embed.initializers.donor import from_donor
from tf1_embed.initializers.known import Coverage, KnownRows
from tf1_embed.initializers.outside import from_vectors
from tf1_embed.initializers.plain import (
    constant,
    copy_of,
    glorot_normal,
    mean,
    mean_and_covariance,
    zeros,
)
from tf1_embed.initializers.row_initializer import RowInitializer, check_values, told_apart

__all__ = [
    "Coverage",
    "KnownRows",
    "RowInitializer",
    "check_values",
    "class_means",
    "constant",
    "copy_of",
    "from_donor",
    "from_vectors",
    "glorot_normal",
    "mean",
    "mean_and_covariance",
    "mean_of",
    "told_apart",
    "zeros",
]
