"""Legacy code in all its ways adopts tf1_embed as docs/adopting.md says."""

import os
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.adoptions import (
    BATCHES,
    CANNOT_GO_ON,
    NEW_WORDS,
    NUM,
    NUM_OLD,
    OLD_WORDS,
    document,
    read_sections,
    run_program,
    run_section,
)
from support.tables import bits, save_checkpoint
from tf1_embed.cli import main

SECTIONS = read_sections()

# Where the rows of old ids are in a stored table, before and after growth, if not at 0 to 5.
_MOD = [np.argsort(np.argsort(np.arange(num) % 2, kind="stable")) for num in (NUM_OLD, NUM)]
PLACES = {
    7: (range(NUM_OLD), [0, 1, 2, 3, 4, 7]),
    11: (_MOD[0], _MOD[1][:NUM_OLD]),
    14: (range(NUM_OLD), [NEW_WORDS.index(word) for word in OLD_WORDS]),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Function from the number of a section, which it runs once, to its `Outcome` and folder."""
    outcomes = {}

    def run_once(number):
        if number not in outcomes:
            folder = tmp_path_factory.mktemp(f"section_{number}")
            outcomes[number] = run_section(SECTIONS[number], folder), folder
        return outcomes[number]

    return run_once


@pytest.fixture
def outcome_of(outcomes):
    """Function from the number of a section to its `Outcome`."""
    return lambda number: outcomes(number)[0]


@pytest.fixture
def work_in_folder_of(outcomes, monkeypatch):
    """Function from the number of a section, in whose folder the test goes on."""
    return lambda number: monkeypatch.chdir(outcomes(number)[1])


def names_with_rows(number, outcome):
    """Returns the names of all tensors of the old model that have an entry for each id."""
    without = "Adam" if SECTIONS[number].splits else None  # A split table has no slots of old rows.
    return [
        name
        for name, value in outcome.old.items()
        if NUM_OLD in value.shape and not (without and without in name)
    ]


def old_rows(number, value):
    """Returns the rows of old ids, in their order."""
    return _axis_first(value)[list(_places(number, value))]


def new_rows(number, value):
    """Returns the rows of new ids."""
    return np.delete(_axis_first(value), _places(number, value), axis=0)


def _axis_first(value):
    return np.moveaxis(value, 0 if value.shape[0] in (NUM_OLD, NUM) else 1, 0)


def _places(number, value):
    old, grown = PLACES.get(number, (range(NUM_OLD), range(NUM_OLD)))
    return list(old if NUM_OLD in value.shape else grown)


# What the document claims of all sections.


def test_document_counts_its_patterns():
    assert list(SECTIONS) == list(range(1, len(SECTIONS) + 1))
    assert f" in the {len(SECTIONS)} ways below" in document()


def test_first_table_of_the_document_tells_what_its_sections_have():
    rows = re.findall(
        r"^\| \[(\d+)\]\(#(.*?)\) \| (.*?) \| `(\w+)` \| (\d+) \|$", document(), re.MULTILINE
    )
    assert len(rows) == len(SECTIONS)
    for number, anchor, words, adopts_with, num_changed in rows:
        section = SECTIONS[int(number)]
        assert words.lower() == section.title.lower()
        heading = re.sub(r"[^\w -]", "", f"{number}. {section.title}".lower())
        assert anchor == heading.replace(" ", "-")
        assert f"tf1_embed.{adopts_with}(" in section.after
        assert int(num_changed) == section.num_changed


@pytest.mark.parametrize("number", SECTIONS)
def test_adoption_takes_at_most_five_lines_or_three_where_it_wraps(number):
    section = SECTIONS[number]
    assert 0 < section.num_changed <= (3 if "TrainableRowsOptimizer(" in section.after else 5)
    assert "tf1_embed" not in SECTIONS[number].before


@pytest.mark.parametrize("number", SECTIONS)
def test_old_rows_stay_bit_identical_and_new_rows_train(number, outcome_of):
    outcome = outcome_of(number)
    names = names_with_rows(number, outcome)
    assert names
    for name in names:
        started, trained = outcome.started[name], outcome.trained[name]
        assert NUM in trained.shape
        old = bits(old_rows(number, outcome.old[name]))
        np.testing.assert_array_equal(old, bits(old_rows(number, started)), name)
        np.testing.assert_array_equal(old, bits(old_rows(number, trained)), name)
        moved = (new_rows(number, started) != new_rows(number, trained)).reshape(2, -1)
        assert moved.any(axis=1).all(), name


@pytest.mark.parametrize("number", sorted(set(SECTIONS) - CANNOT_GO_ON))
def test_legacy_code_goes_on_from_what_the_adopted_code_saved_and_moves_old_rows(
    number, outcome_of
):
    outcome = outcome_of(number)
    assert set(outcome.legacy) == set(outcome.trained) == set(outcome.old)
    for name in names_with_rows(number, outcome):
        before, after = (old_rows(number, each[name]) for each in (outcome.trained, outcome.legacy))
        assert (bits(before) != bits(after)).any(), name


# What it claims of one section each.


def test_2_slots_have_the_scope_twice(outcome_of):
    assert "model/model/table/Adam" in outcome_of(2).trained


def test_3_norm_is_that_of_new_rows_with_duplicates_summed(outcome_of):
    outcome = outcome_of(3)
    rows = outcome.started["table"]
    gradient = np.zeros([NUM, 2])
    np.add.at(gradient, BATCHES[0], 2 * (rows[BATCHES[0]] - 1))
    with tf.Session(graph=outcome.names["table"].graph) as session:
        outcome.names["table"].load(rows, session)
        norm = session.run(outcome.names["norm"], {outcome.names["ids"]: BATCHES[0]})
    np.testing.assert_allclose(norm, np.linalg.norm(gradient[NUM_OLD:]), rtol=1e-5)


def test_4_var_list_without_the_table_trains_the_rest_and_can_be_noticed(work_in_folder_of, graph):
    work_in_folder_of(16)
    code = SECTIONS[16].after.replace("minimize(loss)", "minimize(loss, var_list=[weights])")
    names = run_program(code, NUM)
    with pytest.raises(ValueError, match="never changes 'table', of which 2 rows are to train"):
        names["optimizer"].check_train_op(names["train_op"])


def test_5_optimizer_has_no_slot_names_and_its_slots_grow(outcome_of):
    outcome = outcome_of(5)
    assert outcome.names["optimizer"].get_slot_names() == []
    assert outcome.trained["table/adam_m"].shape == (NUM, 2)


def test_7_rows_appended_at_the_end_would_give_a_new_id_the_vector_of_the_unknown(outcome_of):
    outcome = outcome_of(7)
    unknown = outcome.old["table"][-1]
    assert (outcome.trained["table"][-1] == unknown).all()
    assert (outcome.trained["table"][NUM_OLD - 1] != unknown).all()


def test_8_table_that_is_not_named_trains_all_its_rows(graph, session):
    code = SECTIONS[8].after.replace('tf1_embed.grown_rows("grown")', '{"real": range(6, 8)}')
    names = run_program(code, NUM)
    session.run(tf.global_variables_initializer())
    before = session.run(names["tables"])
    session.run(names["train_op"], {names["ids"]: BATCHES[0]})
    real, imaginary = (now != then for now, then in zip(session.run(names["tables"]), before))
    assert not real[:NUM_OLD].any()
    assert imaginary[[0, 3, 6, 7]].all()


def test_10_growth_asks_about_the_other_variable_of_that_many_columns(tmp_path, capfd):
    values = {"table": np.ones([6, 2], "f"), "projection": np.ones([2, 6], "f")}
    prefix = save_checkpoint(tmp_path / "old", values)
    out = str(tmp_path / "grown")
    assert main(["grow", prefix, "--table=table", "--rows=2", f"--out={out}"]) == 2
    assert "projection:1" in capfd.readouterr().err


def test_11_growth_and_optimizer_refuse_partitions_without_a_strategy(
    tmp_path, work_in_folder_of, graph
):
    work_in_folder_of(11)
    prefix = save_checkpoint(tmp_path / "old", {"table": np.ones([6, 2], "f")}, partitions=2)
    with pytest.raises(ValueError, match="has 2 partitions.*`partition_strategy`"):
        tf1_embed.grow_checkpoint(prefix, ["table"], str(tmp_path / "grown"), num_new_rows=2)
    with pytest.raises(ValueError, match="has 2 partitions: `partition_strategy` must say"):
        run_program(SECTIONS[11].after.replace(', partition_strategy="mod"', ""), NUM)


def test_11_single_partition_needs_no_strategy(work_in_folder_of, graph, session):
    work_in_folder_of(11)
    code = SECTIONS[11].after.replace(', partition_strategy="mod"', "")
    names = run_program(code.replace("partitioner(2)", "partitioner(1)"), NUM)
    assert list(names["table"])[0].op.name == "table/part_0"
    session.run(tf.global_variables_initializer())
    before = session.run(names["table"].as_tensor())
    session.run(names["train_op"], {names["ids"]: BATCHES[0]})
    moved = (session.run(names["table"].as_tensor()) != before).any(axis=1)
    assert moved.tolist() == [False] * NUM_OLD + [True] * 2


def test_13_projection_of_the_whole_table_would_flip_bits(session):
    rows = np.random.RandomState(0).randn(1000, 2).astype(np.float32)
    once = session.run(tf.nn.l2_normalize(rows, 1))
    assert (bits(session.run(tf.nn.l2_normalize(once, 1))) != bits(once)).any()


def test_14_rows_appended_at_the_end_would_give_words_the_vectors_of_others(outcome_of):
    outcome = outcome_of(14)
    assert (outcome.old["table"] != outcome.trained["table"][:NUM_OLD]).all()


def test_15_table_of_another_name_in_the_checkpoint_is_found(tmp_path, graph, session):
    prefix = save_checkpoint(tmp_path / "old", {"Variable_3": np.ones([6, 2], "f")})
    table = tf1_embed.get_grown_table("entities", 2, prefix, checkpoint_name="Variable_3")
    session.run(tf.global_variables_initializer())
    assert (session.run(table.frozen) == 1).all()
    with pytest.raises(KeyError, match="no variable 'items'; it holds 'Variable_3'.*checkpoint_na"):
        tf1_embed.get_grown_table("items", 2, prefix)


def test_16_slots_of_the_trainable_rows_alone_are_not_in_the_old_checkpoint(
    outcome_of, work_in_folder_of, graph
):
    old = outcome_of(16).old
    work_in_folder_of(16)
    names = run_program(SECTIONS[16].after.replace('"full"', '"rows"'), NUM)
    wanted = {each.op.name for each in tf.global_variables()}
    assert {each.split("/")[1] for each in wanted - set(old)} == {"trainable_rows"}
    of_the_model = [names["table"], names["weights"]]
    assert {each.op.name for each in of_the_model} <= set(old)


def test_18_table_whose_size_is_baked_in_is_refused(graph):
    table = tf.get_variable("table", [NUM_OLD, 2])
    with pytest.raises(ValueError, match="'table' has 6 rows on axis 0.*a table of 8"):
        new = {table: tf1_embed.Rows.range(NUM_OLD, NUM, size=NUM)}
        tf1_embed.TrainableRowsOptimizer(tf.train.AdamOptimizer(), new)


def test_19_array_never_enters_the_graph(outcome_of):
    graph_def = outcome_of(19).names["table"].trainable.graph.as_graph_def()
    constants = [each for each in graph_def.node if each.op == "Const"]
    sizes = [np.prod(tf.make_ndarray(each.attr["value"].tensor).shape) for each in constants]
    assert max(sizes) <= max(len(batch) for batch in BATCHES)


def test_21_brackets_are_refused(tmp_path, graph):
    with pytest.raises(ValueError, match="without brackets, which TensorFlow takes for a pattern"):
        tf1_embed.get_grown_table("table", 2, checkpoint=os.path.join(str(tmp_path), "old[1]"))


def test_22_everything_else_stays_bit_identical_with_its_slots(outcome_of):
    outcome = outcome_of(22)
    for name in ("weights", "weights/Adam", "weights/Adam_1", "mean"):
        assert (bits(outcome.trained[name]) == bits(outcome.old[name])).all()


def test_23_every_lookup_is_of_the_split_table_and_other_variables_train_as_ever(outcome_of):
    outcome = outcome_of(23)
    assert isinstance(outcome.names["table"], tf1_embed.GrownTable)
    assert (outcome.started["relations"][1] != outcome.trained["relations"][1]).any()
    assert "tf1_embed" not in tf.nn.embedding_lookup.__module__


def test_24_each_optimizer_has_its_own_slots_under_the_names_of_before(outcome_of):
    outcome = outcome_of(24)
    assert {"table/Ftrl", "table/Ftrl_1", "weights/Adam", "weights/Adam_1"} <= set(outcome.trained)
    assert (outcome.started["weights"] != outcome.trained["weights"]).any()


def test_24_var_list_of_the_table_alone_must_be_meant(work_in_folder_of, graph):
    work_in_folder_of(24)
    code = SECTIONS[24].after
    assert ', others="trainable"' in code
    with pytest.raises(ValueError, match='`var_list` has wrapped tables alone.*others="trainable'):
        run_program(code.replace(', others="trainable"', ""), NUM)


def test_25_second_phase_trains_all_rows_with_the_slots_of_the_first(
    outcome_of, work_in_folder_of, graph, session
):
    work_in_folder_of(25)
    names = run_program(SECTIONS[25].after, NUM)
    session.run(tf.global_variables_initializer())
    tf.train.Saver().restore(session, "new")
    before = session.run(names["table"])
    session.run(names["train_all"], {names["ids"]: BATCHES[0]})
    moved = (session.run(names["table"]) != before).any(axis=1)
    assert moved[[0, 3, 6, 7]].all()
    assert {each.op.name for each in tf.global_variables()} == set(outcome_of(25).old)
