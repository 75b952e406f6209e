"""Fixtures of all tests: graphs, kinds of variables, both control flows."""

import collections
import os
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import hypothesis
import pytest
import tensorflow.compat.v1 as tf

tf.logging.set_verbosity(tf.logging.ERROR)

hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True, database=None, max_examples=30
)
hypothesis.settings.load_profile("repeatable")


def pytest_addoption(parser):
    """Adds what runs every test, but not in every case."""
    parser.addoption("--max-cases", type=int, help="run at most so many cases of each test")


def pytest_collection_modifyitems(config, items):
    """Leaves out cases beyond `--max-cases`; which ones stays the same from run to run."""
    max_cases = config.getoption("--max-cases")
    if max_cases is None:
        return
    cases = collections.defaultdict(list)
    # In no order that cases have, or all of those kept could be of one kind of variables.
    for item in sorted(items, key=lambda item: zlib.crc32(item.nodeid.encode())):
        cases[item.nodeid.partition("[")[0]].append(item)
    left_out = [item for each in cases.values() for item in each[max_cases:]]
    config.hook.pytest_deselected(items=left_out)
    kept = set(items) - set(left_out)
    items[:] = [item for item in items if item in kept]


@pytest.fixture
def graph():
    """A new default graph."""
    with tf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def session(graph):
    """A session of the new default graph."""
    with tf.Session(graph=graph) as session:
        yield session


@pytest.fixture(params=["ref", "resource"])
def variables(request, graph):
    """The kind of the variables that the test makes in the new default graph."""
    scope = tf.variable_scope(tf.get_variable_scope(), use_resource=request.param == "resource")
    with scope:
        yield request.param


@pytest.fixture(params=["v1", "v2"])
def control_flow(request):
    """The control flow that `tf.cond` and `tf.while_loop` build in the test."""
    if not hasattr(tf, "control_flow_v2_enabled"):
        if request.param == "v2":
            pytest.skip("control flow v2 can be chosen from TensorFlow 1.15 on")
        yield request.param
        return
    was_v2 = tf.control_flow_v2_enabled()
    _set_control_flow_v2(request.param == "v2")
    yield request.param
    _set_control_flow_v2(was_v2)


def _set_control_flow_v2(enabled):
    if enabled:
        tf.enable_control_flow_v2()
    else:
        tf.disable_control_flow_v2()
