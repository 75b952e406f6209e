import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from tf1_embed.checkpoint.files.dtypes import as_dtype, of_number
from tf1_embed.checkpoint.files.state import read_state, write_state


def known_to_tensorflow():
    for number in range(1, 100):
        try:
            yield tf.as_dtype(number)
        except TypeError:
            pass


def test_numbers_names_and_sizes_are_those_of_tensorflow():
    without_size = {"string", "resource", "variant"}
    for expected in known_to_tensorflow():
        got = of_number(expected.as_datatype_enum)
        assert got.name == expected.name
        if got.name not in without_size:
            assert got.size == expected.size
            assert got == as_dtype(expected) == as_dtype(got)
        if not got.name.startswith("float8") and not got.name.startswith("float4"):
            assert got.is_floating == expected.is_floating
    assert of_number(0) is of_number(99) is None


def test_dtype_that_no_checkpoint_holds_is_refused():
    with pytest.raises(TypeError, match="dtype that checkpoints hold, got datetime64"):
        as_dtype(np.dtype("datetime64[s]"))


NAMES = ["model.ckpt-1", "a'b\"c\\d\te\x01\n", "caf\u00e9", "/runs/a b"]


@pytest.mark.parametrize("latest", NAMES)
def test_state_file_is_read_and_written_as_tensorflow_does(latest):
    text = str(tf.train.generate_checkpoint_state_proto("/folder", latest, [*NAMES, latest]))
    assert read_state(text) == (latest, [*NAMES, latest])
    ours = write_state(latest, [*NAMES, latest])
    assert read_state(ours) == (latest, [*NAMES, latest])
    # Versions differ in how they write what is no ASCII.
    in_ascii = [line for line in text.splitlines() if "caf" not in line]
    assert [line for line in ours.splitlines() if "caf" not in line] == in_ascii


def test_state_file_may_be_spelt_in_other_ways():
    text = """# model_checkpoint_path: "by hand"
    model_checkpoint_path: 'a' "b\\x41"
    all_model_checkpoint_paths : "a: model_checkpoint_path: 'b'"  last_preserved_timestamp: 1.5
    """
    assert read_state(text) == ("abA", ["a: model_checkpoint_path: 'b'"])
    assert read_state("") == (None, [])
