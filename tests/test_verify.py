import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import tf1_embed
from support.tables import (
    DTYPES,
    bits,
    counting_rows,
    flip_byte,
    in_partitions,
    save_checkpoint,
    special_rows,
)
from tf1_embed import rows as chunks
from tf1_embed.checkpoint.files.find import CheckpointDamaged
from tf1_embed.checkpoint.grow import grow_checkpoint
from tf1_embed.checkpoint.verify import Comparison, verify_checkpoint
from tf1_embed.rows import Rows
from tf1_embed.vocabulary import IdMap, id_map


def compare(tmp_path, old, new, **kwargs):
    """Saves two tables and returns their `Comparison`."""
    prefixes = [
        save_checkpoint(tmp_path / name, {"e": value})
        for name, value in (("old", old), ("new", new))
    ]
    (comparison,) = verify_checkpoint(*prefixes, ["e"], **kwargs)
    return comparison


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [None, 2])
def test_grown_tables_are_equal_in_every_old_row(tmp_path, dtype, dim):
    old = special_rows(dtype) if dim else special_rows(dtype)[:, 0].copy()
    new = np.concatenate([old, counting_rows(3, dim, dtype)])
    assert compare(tmp_path, old, new) == Comparison("e", 14, 0, (), 0.0)


# Of each kind of bits in one dtype, of some in the others.
ANY_ROW = [("float32", row) for row in range(14)]
ANY_ROW += [(dtype, row) for dtype in ("float16", "bfloat16", "float64") for row in (1, 8, 13)]


@pytest.mark.parametrize("dtype, row", ANY_ROW)
def test_any_bit_of_any_row_counts(tmp_path, dtype, row):
    old = special_rows(dtype)
    new = old.copy()
    # The lowest bit: of a NaN, its payload; of -0, the smallest denormal.
    bits(new)[row, 1] ^= bits(new).dtype.type(1)
    comparison = compare(tmp_path, old, new)
    assert comparison[:4] == ("e", 14, 1, (row,))
    with np.errstate(all="ignore"):  # the casts of signalling NaNs would warn
        values = [rows[row, 1].astype(np.float64) for rows in (old, new)]
    if np.isfinite(values).all():
        assert comparison.largest_difference == abs(values[1] - values[0]) > 0
    else:
        # A NaN of another payload compares as equal, infinity does not.
        assert comparison.largest_difference == (0 if np.isnan(values).all() else np.inf)


def test_zeros_of_both_signs_differ_but_by_nothing(tmp_path):
    old = np.zeros([3, 2], np.float32)
    new = old.copy()
    new[1, 0] = -0.0
    assert compare(tmp_path, old, new) == Comparison("e", 3, 1, (1,), 0.0)


def test_first_ids_number_of_rows_and_largest_difference_are_told(tmp_path, monkeypatch):
    old = counting_rows(100)
    new = np.concatenate([old, counting_rows(5)])
    new[7:90] += 0.5
    new[50, 1] -= 3
    for chunk_bytes in (chunks.CHUNK_BYTES, 64):
        monkeypatch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
        assert compare(tmp_path, old, new) == Comparison("e", 100, 83, tuple(range(7, 17)), 2.5)


def test_rows_are_compared_by_token(tmp_path):
    old_tokens, new_tokens = list("abcdef"), list("fxbadc")
    mapping = id_map(old_tokens, new_tokens, reserved=(1, 1), drop_missing=True)
    prefix = save_checkpoint(tmp_path / "old", {"e": special_rows()[:8]})
    grow_checkpoint(prefix, ["e"], tmp_path / "new", id_map=mapping)
    (comparison,) = verify_checkpoint(prefix, tmp_path / "new", ["e"], id_map=mapping)
    assert comparison == Comparison("e", 7, 0, (), 0.0)
    (by_id,) = verify_checkpoint(prefix, tmp_path / "new", ["e"])
    assert by_id.num_changed == 6  # all but the padding and "b"


def test_ids_that_differ_are_old_ids_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 16)
    tokens = [str(each) for each in range(40)]
    mapping = id_map(tokens, tokens[::-1])
    old = counting_rows(40)
    new = old[::-1].copy()
    new[5:25] += 1  # old ids 15 to 34
    comparison = compare(tmp_path, old, new, id_map=mapping)
    assert comparison == Comparison("e", 40, 20, tuple(range(15, 25)), 1.0)


LAYOUTS = [(None, None), (2, "div"), (3, "mod"), (3, "div")]


@pytest.mark.parametrize("old_layout", LAYOUTS)
@pytest.mark.parametrize("new_layout", LAYOUTS)
def test_rows_are_compared_across_partitionings(tmp_path, old_layout, new_layout):
    prefixes = []
    table = counting_rows(14)
    changed = counting_rows(17)
    changed[13] = 1
    for name, rows, layout in (("old", table, old_layout), ("new", changed, new_layout)):
        stored = in_partitions(rows, layout[0] or 1, layout[1])
        prefixes.append(save_checkpoint(tmp_path / name, {"e": stored}, layout[0]))
    (comparison,) = verify_checkpoint(
        *prefixes,
        ["e"],
        partition_strategy=old_layout[1],
        new_partition_strategy=new_layout[1],
    )
    assert comparison == Comparison("e", 14, 1, (13,), 12.0)


def test_several_tables_are_compared_by_name_and_by_pattern(tmp_path):
    values = {name: counting_rows(4) for name in ("a_x", "a_y", "b", "a_y/Adam", "c")}
    old = save_checkpoint(tmp_path / "old", values)
    values.update(a_y=counting_rows(4, start=1), c=counting_rows(4, start=1))
    new = save_checkpoint(tmp_path / "new", values)
    comparisons = verify_checkpoint(old, new, ["a_*", "b"])
    assert [(each.table, each.num_changed) for each in comparisons] == [
        ("a_x", 0),
        ("a_y", 4),
        ("b", 0),
    ]


def test_object_based_checkpoint_is_compared_with_one_of_names(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable("x", initializer=counting_rows(4), use_resource=True)
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Checkpoint(e=table).save(str(tmp_path / "object"), session=session)
    new = save_checkpoint(tmp_path / "new", {"e": counting_rows(6)})
    assert verify_checkpoint(prefix, new, ["e"]) == [Comparison("e", 4, 0, (), 0.0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of checkpoints that cannot be compared."""
    folder = tmp_path_factory.mktemp("verify")
    save_checkpoint(folder / "old", {"e": counting_rows(4)})
    save_checkpoint(folder / "fewer", {"e": counting_rows(3)})
    save_checkpoint(folder / "wider", {"e": counting_rows(4, 3)})
    save_checkpoint(folder / "double", {"e": counting_rows(4, dtype="float64")})
    save_checkpoint(folder / "other", {"f": counting_rows(4)})
    save_checkpoint(folder / "parts", {"e": counting_rows(4)}, partitions=2)
    save_checkpoint(folder / "damaged", {"e": counting_rows(4)})
    flip_byte(folder / "damaged.data-00000-of-00001", 3)
    return folder


REFUSED = {
    "fewer rows": (ValueError, "'e' has 4 rows in the old checkpoint and only 3", {"new": "fewer"}),
    "another shape": (ValueError, r"shape \[4, 2\] .* shape \[4, 3\]", {"new": "wider"}),
    "another dtype": (ValueError, r"of float32 .* of float64", {"new": "double"}),
    "not in the new": (KeyError, "other holds no variable 'e'", {"new": "other"}),
    "not in the old": (KeyError, "other holds no variable 'e'", {"old": "other"}),
    "no strategy of the old": (ValueError, "'e' has 2 partitions", {"old": "parts"}),
    "no strategy of the new": (ValueError, "'e' has 2 partitions", {"new": "parts"}),
    "unknown strategy": (ValueError, "must be mod or div", {"partition_strategy": "hash"}),
    "another vocabulary": (
        ValueError,
        "the ids are for 1 and 2 rows, but 'e' has 4 and 4",
        {"id_map": id_map(["a"], ["a", "b"])},
    ),
    "a string": (ValueError, "`tables` must be a list of names", {"tables": "e"}),
    "no tables": (ValueError, "`tables` must be a list of names, got none", {"tables": []}),
    "no old checkpoint": (FileNotFoundError, "nothing", {"old": "nothing"}),
    "no new checkpoint": (FileNotFoundError, "nothing", {"new": "nothing"}),
    "damaged old": (CheckpointDamaged, "damaged", {"old": "damaged"}),
    "damaged new": (CheckpointDamaged, "damaged", {"new": "damaged"}),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_compared_is_refused(folder, name):
    kind, match, changed = REFUSED[name]
    arguments = {"old": "old", "new": "old", "tables": ["e"], **changed}
    for argument in ("old", "new"):
        arguments[argument] = str(folder / arguments[argument])
    with pytest.raises(kind, match=match):
        verify_checkpoint(**arguments)


def test_progress_is_told_of_every_old_byte(folder):
    told = []

    class Bar:
        def __init__(self, num_bytes):
            told.append(num_bytes)

        def __enter__(self):
            return self

        def __exit__(self, kind, error, trace):
            pass

        def update(self, num_bytes):
            told.append(num_bytes)

    verify_checkpoint(str(folder / "old"), str(folder / "old"), ["e"], progress=Bar)
    assert told == [32, 32]


# Other axes, and variables that are no tables.


def saved(tmp_path, **values):
    """Saves checkpoints of these names; returns their prefixes."""
    return [save_checkpoint(tmp_path / name, each) for name, each in values.items()]


def test_columns_are_compared_where_the_axis_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 16)
    # More columns than rows, and as many; a chunk is a row.
    for dim in (2, 6):
        old = np.arange(dim * 6, dtype=np.float32).reshape(dim, 6)
        new = np.concatenate([old, np.ones([dim, 3], np.float32)], axis=1)
        changed = new.copy()
        changed[1, 5] = np.nextafter(changed[1, 5], np.float32(99))
        changed[0, 5] += 1
        changed[0, 7] += 1
        prefixes = saved(
            tmp_path,
            old={"proj": old, "t": old.T.copy()},
            new={"proj": new, "t": new.T.copy()},
            changed={"proj": changed, "t": new.T.copy()},
        )
        found = verify_checkpoint(prefixes[0], prefixes[1], ["proj:1", "t"])
        assert found == [("proj:1", 6, 0, (), 0.0), ("t", 6, 0, (), 0.0)]
        (found,) = verify_checkpoint(prefixes[0], prefixes[2], ["pro?:1"])
        assert found == ("proj:1", 6, 1, (5,), 1.0)


def test_columns_are_compared_by_token(tmp_path):
    old = np.arange(6, dtype=np.float32).reshape(2, 3)
    new = np.stack([old[:, 2], [7, 7], old[:, 0], old[:, 1]], axis=1).astype(np.float32)
    prefixes = saved(tmp_path, old={"p": old}, new={"p": new})
    mapping = id_map(["a", "b", "c"], ["c", "x", "a", "b"])
    assert verify_checkpoint(*prefixes, ["p:1"], mapping) == [("p:1", 3, 0, (), 0.0)]
    new[1, 3] += 4
    changed = save_checkpoint(tmp_path / "changed", {"p": new})
    (found,) = verify_checkpoint(prefixes[0], changed, ["p:1"], mapping)
    assert found == ("p:1", 3, 1, (1,), 4.0)


def test_pattern_leaves_out_what_has_no_rows_and_a_name_is_refused(tmp_path):
    old = {"power": np.float32(0.9), "step": np.int64(7), "t": counting_rows(4)}
    old["empty"] = np.zeros([0, 2], "f")
    prefixes = saved(tmp_path, old=old, new={**old, "t": counting_rows(6)})
    assert verify_checkpoint(*prefixes, ["*"]) == [("t", 4, 0, (), 0.0)]
    with pytest.raises(ValueError, match=r"'power' has no rows, but shape \[\]"):
        verify_checkpoint(*prefixes, ["power"])
    with pytest.raises(ValueError, match=r"'empty' has no values, but shape \[0, 2\]"):
        verify_checkpoint(*prefixes, ["empty"])
    with pytest.raises(ValueError, match=r"'t' has no rows on axis 2, but shape \[4, 2\]"):
        verify_checkpoint(*prefixes, ["t:2"])
    with pytest.raises(ValueError, match="nothing that '.*e.*' matches has rows on axis 0: "):
        verify_checkpoint(*prefixes, ["*e*"])


def test_vocabulary_that_keeps_no_row_proves_nothing(tmp_path):
    prefixes = saved(tmp_path, old={"e": counting_rows(1)}, new={"e": counting_rows(1)})
    mapping = IdMap(Rows.range(0, 1, size=1), 1, np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="keeps no row of 'e', so that nothing would be proved"):
        verify_checkpoint(*prefixes, ["e"], mapping)


@pytest.mark.parametrize(
    "old, new, difference",
    [
        (np.complex64(1 + 2j), np.complex64(1 + 5j), 3.0),
        (np.complex64(1), np.complex64(complex(np.nan, 1)), np.inf),
        (np.int64(2**60), np.int64(2**60 + 1), 1.0),
        (np.int64(-(2**63)), np.int64(2**63 - 1), float(2**64)),
        (np.int8(-128), np.int8(127), 255.0),
        (np.bool_(True), np.bool_(False), 1.0),
    ],
)
def test_differences_of_any_numbers_are_told_truly(tmp_path, old, new, difference):
    found = compare(tmp_path, np.array([[old], [old]]), np.array([[old], [new]]))
    assert found == ("e", 2, 1, (1,), difference)


def test_strings_are_compared(tmp_path):
    old = {"labels": np.array([b"x", b"yy", b""]), "e": counting_rows(2)}
    new = {"labels": np.array([b"x", b"yy", b"", b"z"]), "e": counting_rows(3)}
    other = {"labels": np.array([b"x", b"y", b"", b"z"]), "e": counting_rows(3)}
    prefixes = saved(tmp_path, old=old, new=new, other=other)
    found = verify_checkpoint(prefixes[0], prefixes[1], ["*"])
    assert found == [("e", 2, 0, (), 0.0), ("labels", 3, 0, (), 0.0)]
    found = verify_checkpoint(prefixes[0], prefixes[2], ["labels"])
    assert found == [("labels", 3, 1, (1,), None)]
    floats = save_checkpoint(tmp_path / "floats", {"labels": counting_rows(4, None)})
    with pytest.raises(ValueError, match=r"it is of string and shape \[3\] .* of float32"):
        verify_checkpoint(prefixes[0], floats, ["labels"])
    with pytest.raises(TypeError, match="'labels' is of dtype string, but rows must be of numbers"):
        tf1_embed.fingerprint_checkpoint(prefixes[0], "labels")
