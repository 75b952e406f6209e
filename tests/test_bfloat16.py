import numpy as np
import tensorflow.compat.v1 as tf

from support.tables import bits, numpy_dtype
from tf1_embed.bfloat16 import BFLOAT16, as_bits, as_numbers, cast, name_of

OF_TENSORFLOW = numpy_dtype("bfloat16")


def test_every_value_becomes_the_float_that_tensorflow_makes_of_it(session):
    every = np.arange(1 << 16, dtype=np.uint16).view(OF_TENSORFLOW)
    expected = session.run(tf.cast(tf.constant(every), tf.float32))
    got = as_numbers(every)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))
    np.testing.assert_array_equal(as_numbers(as_bits(every)), got)


def test_numbers_are_rounded_as_tensorflow_rounds_them(session):
    numbers = np.random.RandomState(0).randn(20000) * 10.0 ** np.arange(-4, 46).repeat(400)
    numbers[:6] = [0.0, -0.0, np.inf, -np.inf, 1 + 2**-8, 1 + 3 * 2**-8]
    # Smaller ones become zeros in a graph.
    for name in ("bfloat16", "float16", "float32"):
        expected = session.run(tf.cast(tf.constant(numbers), tf.as_dtype(name)))
        got = cast(numbers, BFLOAT16 if name == "bfloat16" else np.dtype(name))
        np.testing.assert_array_equal(bits(got), bits(expected))
    assert np.isnan(as_numbers(cast(np.float64([np.nan]), BFLOAT16))).all()


def test_names_are_those_of_tensorflow():
    assert name_of(BFLOAT16) == name_of(OF_TENSORFLOW) == name_of(tf.bfloat16) == "bfloat16"
    assert name_of(np.dtype("float32")) == "float32"
    floats = np.zeros(2, np.float32)
    assert as_bits(floats) is floats and as_numbers(floats) is floats
