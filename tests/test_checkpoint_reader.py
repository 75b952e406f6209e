import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import given
from hypothesis import strategies as st

from support.pieces import save_pieces
from support.tables import (
    DTYPES,
    counting_rows,
    flip_byte,
    in_partitions,
    save_checkpoint,
    special_rows,
    truncate,
)
from tf1_embed.checkpoint.files import reader as module
from tf1_embed.checkpoint.files.catalog import OBJECT_SUFFIX
from tf1_embed.checkpoint.files.crc32c import crc32c, mask
from tf1_embed.checkpoint.files.dtypes import as_dtype
from tf1_embed.checkpoint.files.find import CheckpointDamaged
from tf1_embed.checkpoint.files.index import Entry, read_index, slice_key, write_index
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows

WHOLE = (0, None)
TABLE = counting_rows(1000, 4)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """A table of 1,000 rows takes several chunks."""
    monkeypatch.setattr(module, "CHUNK_BYTES", 5000)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A dict from the way in which TABLE is stored as `e` to the checkpoint's prefix."""
    folder = tmp_path_factory.mktemp("checkpoints")
    values = {"e": TABLE, "bias": counting_rows(50, None)}
    prefixes = {
        "whole": save_checkpoint(folder / "whole", values),
        "one partition": save_checkpoint(folder / "one", values, partitions=1),
        "three partitions": save_checkpoint(folder / "three", values, partitions=3),
        "columns": str(folder / "columns"),
        "tiles": str(folder / "tiles"),
    }
    save_pieces(prefixes["columns"], ["1000 4 -:0,1", "1000 4 -:1,3"], [TABLE[:, :1], TABLE[:, 1:]])
    save_pieces(
        prefixes["tiles"],
        ["1000 4 0,400:0,2", "1000 4 0,400:2,2", "1000 4 400,600:-"],
        [TABLE[:400, :2], TABLE[:400, 2:], TABLE[400:]],
    )
    return prefixes


WAYS = ["whole", "one partition", "three partitions", "columns", "tiles"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("start, stop", [(0, 1000), (0, 0), (0, 1), (999, 1000), (330, 680)])
def test_rows_are_those_of_the_table(checkpoints, way, start, stop):
    with CheckpointReader(checkpoints[way]) as reader:
        rows = reader.rows("e", start, stop)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, TABLE[start:stop])


@pytest.mark.parametrize("way", WAYS)
def test_threads_that_read_at_the_same_time_get_their_own_rows(checkpoints, way):
    starts = np.random.RandomState(0).randint(0, 990, 2000).tolist()
    with CheckpointReader(checkpoints[way]) as reader, ThreadPoolExecutor(4) as pool:
        for start, rows in zip(starts, pool.map(lambda i: reader.rows("e", i, i + 10), starts)):
            np.testing.assert_array_equal(rows, TABLE[start : start + 10])
        reader.check_rest()


@pytest.mark.parametrize("way", WAYS)
def test_chunks_are_the_whole_table_and_small(checkpoints, way):
    with CheckpointReader(checkpoints[way]) as reader:
        chunks = [reader.rows("e", start, stop) for start, stop in reader.chunks("e")]
        reader.check_rest()
    assert len(chunks) > 3
    assert max(chunk.nbytes for chunk in chunks) <= module.CHUNK_BYTES
    np.testing.assert_array_equal(np.concatenate(chunks), TABLE)


@pytest.mark.parametrize("way", WAYS)
def test_any_ids_are_taken_in_their_order(checkpoints, way):
    @given(st.lists(st.integers(0, 999), max_size=30))
    def check(ids):
        np.testing.assert_array_equal(reader.take("e", np.array(ids, np.int64)), TABLE[ids])

    with CheckpointReader(checkpoints[way]) as reader:
        check()
        np.testing.assert_array_equal(reader.take("e", np.arange(20, 700)), TABLE[20:700])
        reader.check_rest()


def test_rows_of_partitions_are_read_run_by_run(tmp_path, monkeypatch):
    prefix = save_checkpoint(tmp_path / "e", {"e": in_partitions(TABLE, 4, "mod")}, partitions=4)
    reads = []
    read_rows = CheckpointReader.rows
    with CheckpointReader(prefix) as reader:
        rows = StoredRows(reader, "e", "mod")
        monkeypatch.setattr(
            reader, "rows", lambda *bounds: reads.append(bounds) or read_rows(reader, *bounds)
        )
        monkeypatch.setattr(module, "_NEAR_BYTES", 0)
        np.testing.assert_array_equal(rows[100:300], TABLE[100:300])
        assert reads == [("e", start, start + 50) for start in (25, 275, 525, 775)]
        # Ids far apart are read by themselves; with those between them, only as much as a chunk.
        monkeypatch.setattr(module, "_NEAR_BYTES", 1 << 20)
        reads.clear()
        ids = np.arange(0, 1000, 37)
        np.testing.assert_array_equal(reader.take("e", ids), read_rows(reader, "e", 0, 1000)[ids])
        assert 1 < len(reads) < 10
        assert max(stop - start for _, start, stop in reads) <= module.CHUNK_BYTES // 16
        reads.clear()
        monkeypatch.setattr(module, "_NEAR_BYTES", 16 * 36)
        np.testing.assert_array_equal(reader.take("e", ids), read_rows(reader, "e", 0, 1000)[ids])
        assert len(reads) == len(ids)
        reader.check_rest()


@pytest.mark.parametrize("start, stop", [(-1, 3), (998, 1001), (5, 4)])
def test_rows_that_there_are_not_are_refused(checkpoints, start, stop):
    with CheckpointReader(checkpoints["whole"]) as reader:
        with pytest.raises(IndexError, match=f"1000 rows, got `start` {start}, `stop` {stop}"):
            reader.rows("e", start, stop)


@pytest.mark.parametrize("dtype", DTYPES + ["int8", "int64", "bool", "complex64"])
@pytest.mark.parametrize("partitions", [None, 2])
def test_rows_of_every_dtype_keep_their_bits(tmp_path, dtype, partitions):
    values = special_rows(dtype) if dtype in DTYPES else counting_rows(9).astype(dtype)
    prefix = save_checkpoint(tmp_path / "m", {"e": values}, partitions)
    with CheckpointReader(prefix) as reader:
        assert reader.dtype("e").name == dtype
        assert reader.rows("e", 1, 8).tobytes() == values[1:8].tobytes()
        reader.check_rest()


def test_partitions_and_slices_are_told(checkpoints):
    expected = {
        "whole": [1000],
        "one partition": [1000],
        "three partitions": [334, 333, 333],
        "columns": [1000],
        "tiles": [1000],
    }
    for way, sizes in expected.items():
        with CheckpointReader(checkpoints[way]) as reader:
            assert reader.partitions("e") == sizes
            assert not reader.is_partial("e")
            assert reader.shape("e") == (1000, 4)
            assert reader.num_bytes("e") == TABLE.nbytes
    with CheckpointReader(checkpoints["three partitions"]) as reader:
        assert reader.slices("e") == [(0, 334), (334, 667), (667, 1000)]


def test_partial_slices_of_several_names_are_read_as_one(tmp_path):
    prefix = str(tmp_path / "m")
    save_pieces(prefix, ["1000 4 0,400:-"], [TABLE[:400]], "e/art_0/Adam")
    entries, _ = read_index((tmp_path / "m.index").read_bytes())
    data = tmp_path / "m.data-00000-of-00001"
    extents = ((400, 600), WHOLE)
    other = entries[slice_key(b"e/art_0/Adam", ((0, 400), WHOLE))]
    whole = entries[b"e/art_0/Adam"]._replace(slices=(extents,))
    start = data.stat().st_size
    data.write_bytes(data.read_bytes() + TABLE[400:].tobytes())
    piece = other._replace(shape=(600, 4), offset=start, size=TABLE[400:].nbytes)
    piece = piece._replace(crc=mask(crc32c(TABLE[400:])))
    entries.update({b"e/art_1/Adam": whole, slice_key(b"e/art_1/Adam", extents): piece})
    (tmp_path / "m.index").write_bytes(write_index(entries))
    with CheckpointReader(prefix) as reader:
        names = reader.names()
        assert names == ["e/art_0/Adam", "e/art_1/Adam"]
        assert all(reader.is_partial(name) for name in names)
        with pytest.raises(CheckpointDamaged, match="do not cover it"):
            reader.rows("e/art_1/Adam", 0, 1000)
        joined = reader.join(names[::-1])
        np.testing.assert_array_equal(reader.rows(joined, 0, 1000), TABLE)
        assert reader.names() == names
        reader.check_rest()


def test_variable_is_found_by_its_name_in_both_kinds_of_checkpoint(checkpoints, tmp_path):
    prefix = save_checkpoint(tmp_path / "m", {"e": TABLE})
    entries, _ = read_index((tmp_path / "m.index").read_bytes())
    key = f"e{OBJECT_SUFFIX}"
    (tmp_path / "m.index").write_bytes(write_index({key.encode(): entries[b"e"]}))
    with CheckpointReader(prefix) as reader:
        assert reader.find("e") == reader.find(key) == key
    with CheckpointReader(checkpoints["whole"]) as reader:
        assert reader.find("e") == "e"
        with pytest.raises(KeyError, match="no variable 'bais'; it holds 'bias', 'e'"):
            reader.find("bais")


def damaged(prefix, *problems):
    """The error names the checkpoint, what is wrong, and the remedy."""
    pattern = rf"checkpoint {prefix} is damaged: .*{'.*'.join(problems)}.*\. Restore it from a copy"
    return pytest.raises(CheckpointDamaged, match=pattern)


@pytest.fixture
def copied(checkpoints, tmp_path):
    """Copies the checkpoint of a way to a folder of the test; returns its prefix."""

    def copy(way):
        folder, name = os.path.split(checkpoints[way])
        for file in os.listdir(folder):
            if file.startswith(f"{name}."):
                shutil.copy(os.path.join(folder, file), str(tmp_path))
        return str(tmp_path / name)

    return copy


def test_missing_index_is_no_checkpoint(copied):
    prefix = copied("whole")
    os.remove(f"{prefix}.index")
    with pytest.raises(FileNotFoundError, match="`checkpoint` must be a checkpoint prefix"):
        CheckpointReader(prefix)


@pytest.mark.parametrize("way", ["whole", "columns"])
def test_missing_data_file_is_found_at_once(copied, way):
    prefix = copied(way)
    file = sorted(f for f in os.listdir(os.path.dirname(prefix)) if ".data-" in f)[-1]
    os.remove(os.path.join(os.path.dirname(prefix), file))
    with damaged(prefix, file, "missing"):
        CheckpointReader(prefix)


@pytest.mark.parametrize("num_bytes", [1, 5000, 16200])
def test_truncated_data_file_is_found_at_once(copied, tmp_path, num_bytes):
    prefix = copied("whole")
    truncate(tmp_path / "whole.data-00000-of-00001", num_bytes)
    with damaged(prefix, "is truncated: its tensors need 16200 bytes"):
        CheckpointReader(prefix)


def test_truncated_index_is_found_at_once(copied, tmp_path):
    prefix = copied("whole")
    truncate(tmp_path / "whole.index", 1)
    with damaged(prefix, "its index cannot be read"):
        CheckpointReader(prefix)


def test_file_that_shrinks_while_it_is_read_is_found(copied, tmp_path):
    prefix = copied("whole")
    with CheckpointReader(prefix) as reader:
        truncate(tmp_path / "whole.data-00000-of-00001", 100)
        with damaged(prefix, "was cut short while 'e' was read"):
            reader.rows("e", 0, 1000)


ORDERS = {
    "in order": [(0, 400), (400, 1000)],
    "backwards": [(400, 1000), (0, 400)],
    "overlapping": [(0, 600), (300, 1000), (0, 1000)],
    "a row of each partition": [(0, 1), (400, 401), (999, 1000)],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", sorted(ORDERS))
def test_flipped_byte_anywhere_is_found_in_whatever_order_rows_are_read(
    copied, tmp_path, way, order
):
    prefix = copied(way)
    for path in sorted(tmp_path.glob("*.data-*")):
        before = path.read_bytes()
        for position in np.linspace(0, len(before) - 1, 5).astype(int):
            flip_byte(path, position)
            with CheckpointReader(prefix) as reader:
                with damaged(prefix, "the checksum of '(e|bias)' does not match its values"):
                    for start, stop in ORDERS[order]:
                        reader.rows("e", start, stop)
                    if "bias" in reader.names():
                        reader.rows("bias", 0, 50)
                    reader.check_rest()
            path.write_bytes(before)


def test_damage_to_tensors_that_are_not_read_does_not_matter(copied, tmp_path):
    prefix = copied("whole")
    with CheckpointReader(prefix) as reader:
        offset = reader.entry("bias").offset
    flip_byte(tmp_path / "whole.data-00000-of-00001", offset + 3)
    with CheckpointReader(prefix) as reader:
        np.testing.assert_array_equal(reader.rows("e", 0, 1000), TABLE)
        reader.check_rest()


def test_damaged_strings_are_found(tmp_path):
    words = np.array([b"caf\xc3\xa9", b"", b"a" * 20000], object)
    prefix = save_checkpoint(tmp_path / "m", {"words": words})
    data = tmp_path / "m.data-00000-of-00001"
    before = data.read_bytes()
    for position in [*range(20), 4999, 5000, 12345, len(before) - 1]:
        flip_byte(data, position)
        with CheckpointReader(prefix) as reader:
            for _, _, chunks in reader.raw("words"):
                for _ in chunks:
                    pass
            with damaged(prefix, "checksum of 'words'"):
                reader.check_rest()
        data.write_bytes(before)
    with CheckpointReader(prefix) as reader:
        assert b"".join(c.tobytes() for _, _, chunks in reader.raw("words") for c in chunks)
        reader.check_rest()


def altered(prefix, alter):
    """Changes the entries of an index, whose checksums are then right again."""
    with open(f"{prefix}.index", "rb") as file:
        entries, _ = read_index(file.read())
    alter(entries)
    with open(f"{prefix}.index", "wb") as file:
        file.write(write_index(entries))


def replace(key, **fields):
    def alter(entries):
        entries[key] = entries[key]._replace(**fields)

    return alter


E_SLICES = [((0, 334), (0, 4)), ((334, 333), (0, 4)), ((667, 333), (0, 4))]


@pytest.mark.parametrize(
    "alter, problem",
    [
        (replace(b"e", shape=(10**6, 10**6)), "needs 4000000000000 bytes, its index says 16000"),
        # 2**64 values are none to a product of 64 bits.
        (replace(b"e", shape=(2**32, 2**32), size=0), "needs 73786976294838206464 bytes"),
        (replace(b"e", shape=(1000, 5)), "needs 20000 bytes"),
        (replace(b"e", dtype=2), "needs 32000 bytes"),
        (replace(b"e", offset=2**62), "is truncated"),
        (replace(b"e", offset=201), "is truncated"),
        (replace(b"e", shard=7), "data-00007-of-00001 is missing"),
        (replace(b"e", crc=5), "checksum of 'e'"),
        (replace(b"e", offset=0), "checksum of 'e'"),
    ],
)
def test_index_that_contradicts_the_data_is_refused(copied, alter, problem):
    prefix = copied("whole")
    altered(prefix, alter)
    with damaged(prefix, problem), CheckpointReader(prefix) as reader:
        reader.rows("e", 0, 1000)


def without(number):
    def alter(entries):
        slices = [each for index, each in enumerate(E_SLICES) if index != number]
        entries[b"e"] = entries[b"e"]._replace(slices=tuple(slices))

    return alter


def overlapping(entries):
    extents = ((333, 334), (0, 4))
    entries[slice_key(b"e", extents)] = entries[slice_key(b"e", E_SLICES[0])]
    entries[b"e"] = entries[b"e"]._replace(slices=(E_SLICES[0], extents, E_SLICES[2]))


def replaced_slice(**fields):
    return replace(slice_key(b"e", E_SLICES[1]), **fields)


@pytest.mark.parametrize(
    "alter, problem",
    [
        (without(0), r"the slices of 'e', of shape \[1000, 4\], do not cover it"),
        (without(1), "do not cover it"),
        (without(2), "do not cover it"),
        (replace(b"e", shape=(1001, 4)), "do not cover it"),
        (overlapping, r"the slices of 'e', of shape \[1000, 4\], overlap"),
        (replace(b"e", slices=tuple(E_SLICES + E_SLICES[:1])), "overlap"),
        (lambda entries: entries.pop(slice_key(b"e", E_SLICES[1])), "a slice of 'e' is not in it"),
        (replaced_slice(shape=(4, 333)), "a slice of 'e' has another shape or dtype"),
        (replaced_slice(shape=(333,)), "a slice of 'e' has another shape or dtype"),
        (replaced_slice(dtype=3), "a slice of 'e' has another shape or dtype"),
        (replaced_slice(size=333), "needs 5328 bytes, its index says 333"),
    ],
)
def test_slices_that_do_not_make_the_table_are_refused_before_a_row_is_read(copied, alter, problem):
    prefix = copied("three partitions")
    altered(prefix, alter)
    with damaged(prefix, problem), CheckpointReader(prefix) as reader:
        reader.rows("e", 0, 0)


# Fields under which everything still is consistent have to give the right rows.
@given(st.sampled_from(["dtype", "shape", "shard", "offset", "size", "crc"]), st.data())
def test_any_altered_entry_is_refused_or_read_right(checkpoints, tmp_path_factory, field, data):
    numbers = st.integers(0, 2**63 - 1) | st.integers(0, 20000)
    values = {"shape": st.lists(numbers, max_size=4).map(tuple), "crc": st.integers(0, 2**32 - 1)}
    value = data.draw(values.get(field, numbers))
    prefix = str(tmp_path_factory.mktemp("altered") / "whole")
    for end in (".index", ".data-00000-of-00001"):
        shutil.copy(checkpoints["whole"] + end, prefix + end)
    altered(prefix, replace(b"e", **{field: value}))
    try:
        with CheckpointReader(prefix) as reader:
            if reader.dtype("e") == as_dtype(tf.float32) and reader.shape("e") == (1000, 4):
                np.testing.assert_array_equal(reader.rows("e", 0, 1000), TABLE)
            for _, _, chunks in reader.raw("e"):
                for _ in chunks:
                    pass
            reader.check_rest()
    except CheckpointDamaged as error:
        assert prefix in str(error)


def test_many_slices_are_checked_in_no_time(tmp_path):
    num_rows = 5000
    slices = tuple(((row, 1), WHOLE) for row in range(num_rows))
    entries = {b"e": Entry(1, (num_rows, 1), 0, 0, 0, 0, slices)}
    for row, extents in enumerate(slices):
        entries[slice_key(b"e", extents)] = Entry(1, (1, 1), 0, 4 * row, 4, 0, ())
    (tmp_path / "m.index").write_bytes(write_index(entries))
    (tmp_path / "m.data-00000-of-00001").write_bytes(counting_rows(num_rows, 1).tobytes())
    with CheckpointReader(str(tmp_path / "m")) as reader:
        assert len(reader.partitions("e")) == num_rows
        assert reader.rows("e", 70, 70).shape == (0, 1)


def test_tensor_of_a_dtype_that_tensorflow_does_not_know_passes_as_bytes(copied):
    prefix = copied("whole")
    altered(prefix, replace(b"e", dtype=99))
    with CheckpointReader(prefix) as reader:
        assert reader.dtype("e") is None
        [(_, _, chunks)] = reader.raw("e")
        assert b"".join(chunk.tobytes() for chunk in chunks) == TABLE.tobytes()
        reader.check_rest()


@pytest.mark.parametrize("name", ["with space", "ünï-cødé", "star*?", "a.b", "m.index", "-m"])
def test_odd_prefixes_are_read(tmp_path, name):
    prefix = save_checkpoint(tmp_path / "m", {"e": TABLE})
    for end in (".index", ".data-00000-of-00001"):
        os.rename(prefix + end, str(tmp_path / name) + end)
    with CheckpointReader(str(tmp_path / name)) as reader:
        np.testing.assert_array_equal(reader.rows("e", 0, 1000), TABLE)


def test_prefix_that_ends_in_a_slash_is_a_prefix_still(tmp_path):
    words = np.array([b"a", b"b"], object)
    save_checkpoint(tmp_path / "m", {"e": TABLE, "words": words})
    for end in (".index", ".data-00000-of-00001"):
        os.rename(str(tmp_path / f"m{end}"), str(tmp_path / end))
    prefix = f"{tmp_path}/"
    with CheckpointReader(prefix) as reader:
        assert reader.prefix == prefix
        np.testing.assert_array_equal(reader.rows("e", 0, 1000), TABLE)
        assert [chunk for _, _, chunks in reader.raw("words") for chunk in chunks]
        reader.check_rest()


def test_folder_and_relative_path_are_read(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "m", {"e": TABLE})
    monkeypatch.chdir(tmp_path)
    for checkpoint in ("m", "./m", ".", str(tmp_path), tmp_path / "m"):
        with CheckpointReader(checkpoint) as reader:
            assert reader.shape("e") == (1000, 4)


def test_files_are_closed(checkpoints):
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    with CheckpointReader(checkpoints["columns"]) as reader:
        reader.rows("e", 0, 10)
    if before:
        assert set(os.listdir("/proc/self/fd")) == before
