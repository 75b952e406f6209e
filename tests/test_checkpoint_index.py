import struct

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from support.pieces import save_slices
from support.tables import counting_rows, load_checkpoint, save_checkpoint
from tf1_embed.checkpoint.files.crc32c import crc32c, mask
from tf1_embed.checkpoint.files.index import Entry, read_index, slice_key, write_index
from tf1_embed.checkpoint.files.sstable import (
    SSTableError,
    read_sstable,
    read_varint,
    write_sstable,
    write_varint,
)

WHOLE = (0, None)


# What TensorFlow writes: one checkpoint for each way in which tensors are stored.
WAYS = {
    "whole": lambda prefix: save_checkpoint(
        prefix, {"e": counting_rows(10), "deep/scope/e/Adam": counting_rows(10, 3, "float64")}
    ),
    "partitioned": lambda prefix: save_checkpoint(
        prefix, {"e": counting_rows(10), "bias": counting_rows(7, None)}, partitions=3
    ),
    "columns": lambda prefix: save_slices(prefix, {"e": counting_rows(4, 5)}, {"e": "4 9 0,4:2,5"}),
    "dtypes": lambda prefix: save_checkpoint(
        prefix,
        {
            "bool": np.array([True, False]),
            "complex": np.array([1 + 2j], np.complex64),
            "double": np.array([[1.5]]),
            "half": counting_rows(3, 2, "float16"),
            "byte": np.arange(5, dtype=np.uint8),
            "scalar": np.int64(-5),
            "words": np.array([b"caf\xc3\xa9", b"", b"\0\xff" * 300], object),
        },
    ),
    "empty": lambda prefix: save_checkpoint(
        prefix, {"rows": np.zeros([0, 3], np.float32), "columns": np.zeros([3, 0], np.float32)}
    ),
    "many": lambda prefix: save_slices(
        prefix, {f"model/a_long_common_prefix/{i:04d}": np.float32(i) for i in range(500)}, {}
    ),
    "long names": lambda prefix: save_slices(
        prefix, {"x" * 3000 + str(i): np.int32(i) for i in range(300)}, {}
    ),
    "unicode": lambda prefix: save_slices(
        prefix, {"größe/表": counting_rows(2), "\U0001f600": np.float32(1)}, {}
    ),
    "large slices": lambda prefix: save_slices(
        prefix, {"e": counting_rows(2)}, {"e": "5000000000 2 4294967296,2:-"}
    ),
    "object-based": lambda prefix: save_object_based(prefix),
}


def save_object_based(prefix):
    with tf.Graph().as_default(), tf.Session() as session:
        variable = tf.get_variable("e", initializer=counting_rows(10), use_resource=True)
        session.run(variable.initializer)
        checkpoint = tf.train.Checkpoint(table=variable)
        checkpoint.write(str(prefix), session=session)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_every_tensor_that_tensorflow_writes_is_found(tmp_path, way):
    prefix = str(tmp_path / "m")
    WAYS[way](prefix)
    reader = tf.train.NewCheckpointReader(prefix)
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    entries, num_shards = read_index((tmp_path / "m.index").read_bytes())
    data = [
        (tmp_path / f"m.data-{shard:05d}-of-{num_shards:05d}").read_bytes()
        for shard in range(num_shards)
    ]
    tensors = {key.decode(): entry for key, entry in entries.items() if not key.startswith(b"\0")}
    assert {name: list(entry.shape) for name, entry in tensors.items()} == shapes
    assert {name: tf.as_dtype(entry.dtype) for name, entry in tensors.items()} == dtypes
    slices = {
        slice_key(name.encode(), extents)
        for name, entry in tensors.items()
        for extents in entry.slices
    }
    assert slices == {key for key in entries if key.startswith(b"\0")}
    for name, entry in tensors.items():
        if entry.slices or dtypes[name] == tf.string:
            continue
        values = data[entry.shard][entry.offset : entry.offset + entry.size]
        assert values == reader.get_tensor(name).tobytes()
        assert mask(crc32c(values)) == entry.crc


@pytest.mark.parametrize("way", sorted(WAYS))
def test_rewritten_indexes_hold_the_same_and_open_in_tensorflow(tmp_path, way):
    prefix = str(tmp_path / "m")
    WAYS[way](prefix)
    index = tmp_path / "m.index"
    entries, num_shards = read_index(index.read_bytes())
    # Neither some slices only nor several data files.
    has_values = way not in ("columns", "large slices") and num_shards == 1
    before = load_checkpoint(prefix) if has_values else {}
    index.write_bytes(write_index(entries))
    assert read_index(index.read_bytes()) == (entries, 1)
    shapes = tf.train.NewCheckpointReader(prefix).get_variable_to_shape_map()
    assert shapes == {
        key.decode(): list(entry.shape)
        for key, entry in entries.items()
        if not key.startswith(b"\0")
    }
    after = load_checkpoint(prefix) if has_values else {}
    assert set(after) == set(before)
    for name, value in before.items():
        assert np.array_equal(after[name], value)


def test_slices_are_found_along_both_axes(tmp_path):
    save_slices(tmp_path / "rows", {"e": counting_rows(4, 9)}, {"e": "10 9 3,4:-"})
    save_slices(tmp_path / "columns", {"e": counting_rows(4, 5)}, {"e": "4 9 -:2,5"})
    expected = {"rows": ((3, 4), WHOLE), "columns": (WHOLE, (2, 5))}
    for name, extents in expected.items():
        entries, _ = read_index((tmp_path / f"{name}.index").read_bytes())
        assert entries[b"e"].slices == (extents,)
        assert entries[slice_key(b"e", extents)].size == 4 * (9 if name == "rows" else 5) * 4


@pytest.mark.parametrize("start", [0, 63, 64, 8191, 8192, 2**20 - 1, 2**20, 2**31, 2**45])
def test_keys_of_slices_are_those_of_tensorflow_whatever_their_length(tmp_path, start):
    save_slices(tmp_path / "m", {"e": np.zeros(3, np.int8)}, {"e": f"{start + 9} {start},3"})
    entries, _ = read_index((tmp_path / "m.index").read_bytes())
    assert set(entries) == {b"e", slice_key(b"e", ((start, 3),))}


def test_entry_says_what_it_was_given():
    entry = Entry(1, (10, 0, 2**40), 0, 5, 2**35, 0xFFFFFFFF, ((WHOLE, (0, 0), (5, 2**39)),))
    assert read_index(write_index({b"e": entry})) == ({b"e": entry}, 1)
    assert entry.num_values == 0
    assert entry._replace(shape=(2**40, 2**40)).num_values == 2**80


KEYS = st.binary(min_size=1, max_size=40)


@given(st.dictionaries(KEYS, st.binary(max_size=300), max_size=50))
def test_any_table_is_read_as_it_was_written(entries):
    assert list(read_sstable(write_sstable(entries)).items()) == sorted(entries.items())


def test_table_of_many_blocks_is_read_as_it_was_written():
    entries = {f"{i:06d}".encode(): bytes(1000) for i in range(2000)}
    content = write_sstable(entries)
    assert len(content) > 7 * 256 << 10
    assert read_sstable(content) == entries


@given(st.integers(0, 2**64 - 1))
def test_any_number_is_read_as_it_was_written(number):
    encoded = write_varint(number)
    assert read_varint(b"?" + encoded + b"!", 1) == (number, 1 + len(encoded))


@pytest.mark.parametrize(
    "encoded", [b"", b"\x80", b"\xff" * 10, b"\xff" * 9 + b"\x02", b"\x80" * 99]
)
def test_number_that_does_not_end_or_is_too_large_is_refused(encoded):
    with pytest.raises(SSTableError, match="does not end"):
        read_varint(encoded, 0)


ENTRIES = {
    b"embedding": Entry(1, (10, 2), 0, 0, 0, 0, (((0, 4), WHOLE), ((4, 6), WHOLE))),
    slice_key(b"embedding", ((0, 4), WHOLE)): Entry(1, (4, 2), 0, 0, 32, 123, ()),
    slice_key(b"embedding", ((4, 6), WHOLE)): Entry(1, (6, 2), 0, 32, 48, 456, ()),
    b"step": Entry(9, (), 0, 80, 8, 789, ()),
}
CONTENT = write_index(ENTRIES)


@pytest.mark.parametrize("size", range(len(CONTENT)))
def test_truncated_index_is_refused_wherever_it_ends(size):
    with pytest.raises(SSTableError):
        read_index(CONTENT[:size])


def test_every_flipped_bit_is_found_or_harmless():
    for position in range(len(CONTENT)):
        for bit in range(8):
            content = bytearray(CONTENT)
            content[position] ^= 1 << bit
            try:
                entries = read_index(bytes(content))
            except SSTableError:
                continue
            # In the padding of the footer, or the block of metadata that nothing needs.
            assert entries == (ENTRIES, 1)


@given(st.binary(max_size=500))
def test_arbitrary_bytes_are_refused(content):
    with pytest.raises(SSTableError):
        read_index(content)


def sealed(blocks):
    """Returns a table of the given blocks under right checksums; the last one is of handles."""
    content, handle = b"", b""
    for block in blocks:
        handle = write_varint(len(content)) + write_varint(len(block))
        content += block + b"\0" + struct.pack("<I", mask(crc32c(block + b"\0")))
    return content + (b"\0\0" + handle).ljust(40, b"\0") + CONTENT[-8:]


def block_of(entries):
    """Returns a block of (shared, rest of the key, value)."""
    block = b"".join(
        b"".join(write_varint(each) for each in (shared, len(rest), len(value))) + rest + value
        for shared, rest, value in entries
    )
    return block + struct.pack("<II", 0, 1)


# Damage that the checksums do not show, since they are those of the damaged bytes.
@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 9), KEYS | st.just(b""), st.binary(max_size=60)), max_size=9)
)
def test_arbitrary_entries_under_right_checksums_are_read_or_refused(entries):
    block = block_of(entries)
    handles = block_of([(0, b"~", write_varint(0) + write_varint(len(block)))])
    read_or_refuse(sealed([block, handles]))


@settings(max_examples=150)
@given(st.data())
def test_altered_entries_under_right_checksums_are_read_or_refused(data):
    entries = read_sstable(CONTENT)
    key = data.draw(st.sampled_from(sorted(entries)))
    value = bytearray(entries[key])
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    entries[key] = bytes(value)
    read_or_refuse(write_sstable(entries))


@settings(max_examples=150)
@given(st.binary(max_size=100), st.binary(max_size=100))
def test_arbitrary_blocks_under_right_checksums_are_read_or_refused(block, handles):
    read_or_refuse(sealed([block, handles]))


def read_or_refuse(content):
    try:
        entries, num_shards = read_index(content)
    except SSTableError:
        return
    assert isinstance(num_shards, int)
    for entry in entries.values():
        assert all(isinstance(each, int) for each in entry[:1] + entry[2:6] + entry.shape)
        assert all(len(extents) == len(entry.shape) for extents in entry.slices)


def test_keys_that_would_take_any_amount_of_memory_are_refused():
    # Each key is the one before and one more byte: 100 kB that say gigabytes.
    block = block_of([(number, b"x", b"") for number in range(25000)])
    handles = block_of([(0, b"~", write_varint(0) + write_varint(len(block)))])
    with pytest.raises(SSTableError, match="longer than a writer makes them"):
        read_index(sealed([block, handles]))


def test_block_that_is_named_many_times_is_refused():
    block = block_of([(0, b"", b"")])
    handle = write_varint(0) + write_varint(len(block))
    handles = block_of([(0, bytes([number]), handle) for number in range(200)])
    with pytest.raises(SSTableError, match="blocks overlap"):
        read_index(sealed([block, handles]))


@pytest.mark.parametrize(
    "entry, problem",
    [
        (Entry(1, (-1, 4), 0, 0, 0, 0, ()), "negative dim"),
        (Entry(1, (10, 2), 0, 0, 0, 0, (((0, 11), WHOLE),)), "beyond"),
        (Entry(1, (10, 2), 0, 0, 0, 0, (((5, None), WHOLE),)), "beyond"),
        (Entry(1, (10, 2), 0, 0, 0, 0, ((WHOLE,),)), "beyond"),
        (Entry(1, (10, 2), 0, 0, 0, 0, ((WHOLE, WHOLE, WHOLE),)), "beyond"),
    ],
)
def test_shapes_that_cannot_be_are_refused(entry, problem):
    # As a protocol buffer encodes a negative number.
    entry = entry._replace(shape=tuple(dim % 2**64 for dim in entry.shape))
    with pytest.raises(SSTableError, match=problem):
        read_index(write_index({b"e": entry}))


def test_index_without_header_is_refused():
    with pytest.raises(SSTableError, match="no header"):
        read_index(write_sstable({b"e": b""}))


def test_index_of_a_big_endian_machine_is_refused():
    with pytest.raises(SSTableError, match="big-endian"):
        read_index(write_sstable({b"": b"\x08\x01\x10\x01"}))


def test_compressed_block_is_refused():
    content = bytearray(sealed([block_of([]), block_of([])]))
    start = len(content) - 48 - 5
    content[start] = 1
    content[start + 1 : start + 5] = struct.pack(
        "<I", mask(crc32c(bytes(content[start - len(block_of([])) : start + 1])))
    )
    with pytest.raises(SSTableError, match="compressed"):
        read_sstable(bytes(content))


def test_kinds_of_fields_that_are_unknown_are_passed_over():
    known = read_sstable(CONTENT)[b"step"]
    unknown = bytes([15 << 3 | 2, 2]) + b"??" + bytes([14 << 3 | 1]) + bytes(8) + b"\x78\x05"
    entries = read_sstable(CONTENT)
    entries[b"step"] = unknown + known
    assert read_index(write_sstable(entries)) == (ENTRIES, 1)
