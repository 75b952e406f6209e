import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1_embed import philox

SEEDS = [[0, 123456], [7, 2**31 - 1], [-3, 5], [2**40, 9]]
DRAWS = {
    "normal": (tf.random.stateless_normal, lambda shape, seeds, dtype: philox.normal(shape, seeds)),
    "truncated_normal": (tf.random.stateless_truncated_normal, philox.truncated_normal),
}


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
@pytest.mark.parametrize(
    "name, dtype",
    [("normal", np.float64), ("truncated_normal", np.float32), ("truncated_normal", np.float64)],
)
def test_numbers_are_tensorflows_but_for_the_last_bit(session, seeds, name, dtype):
    in_graph, in_numpy = DRAWS[name]
    for shape in ([0], [1], [5], [3, 7], [70001]):
        expected = session.run(in_graph(shape, seeds, dtype=dtype))
        got = in_numpy(shape, seeds, dtype)
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(got, expected, rtol=4 * np.finfo(dtype).eps)
    assert (got == expected).mean() > 0.95
