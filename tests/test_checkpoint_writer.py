import collections
import contextlib
import errno
import fcntl
import os
import shutil
import signal
import threading

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from support.tables import (
    DTYPES,
    counting_rows,
    flip_byte,
    load_checkpoint,
    numpy_dtype,
    save_checkpoint,
    special_rows,
)
from tf1_embed.checkpoint import rewrite as rewriting
from tf1_embed.checkpoint.files import write_back
from tf1_embed.checkpoint.files import writer as module
from tf1_embed.checkpoint.files.ahead import ahead
from tf1_embed.checkpoint.files.find import CheckpointDamaged
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.writer import CheckpointWriter
from tf1_embed.checkpoint.rewrite import Change, rewrite
from tf1_embed.new_files import together

TABLE = counting_rows(10, 3)


def write(prefix, values=TABLE, **options):
    """Writes a checkpoint of one table `e`."""
    with CheckpointWriter(prefix, **options) as writer:
        writer.add("e", tf.as_dtype(values.dtype), values.shape, [values])


def files(folder):
    """Returns a dict from each file and folder below a folder to its bytes, None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def assert_holds(prefix, expected):
    got = load_checkpoint(prefix)
    assert set(got) == set(expected)
    for name, value in expected.items():
        got_value, value = np.asarray(got[name]), np.asarray(value)
        assert (got_value.shape, got_value.dtype) == (value.shape, value.dtype)
        assert got_value.tolist() == value.tolist() or got_value.tobytes() == value.tobytes()


OTHER_DTYPES = "int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool complex64 complex128".split()


@pytest.mark.parametrize("dtype", DTYPES + OTHER_DTYPES)
def test_numbers_of_every_dtype_open_in_tensorflow_bit_for_bit(tmp_path, dtype):
    values = special_rows(dtype) if dtype in DTYPES else counting_rows(9).astype(numpy_dtype(dtype))
    write(tmp_path / "m", values)
    assert load_checkpoint(tmp_path / "m")["e"].tobytes() == values.tobytes()
    assert load_checkpoint(tmp_path / "m")["e"].dtype == values.dtype


@pytest.mark.parametrize("shape", [(), (0, 3), (3, 0), (1,), (2, 3, 4), (5000, 300)])
def test_any_shape_opens_in_tensorflow(tmp_path, shape):
    values = np.arange(np.prod(shape, dtype=int), dtype=np.int32).reshape(shape)
    write(tmp_path / "m", values)
    assert_holds(tmp_path / "m", {"e": values})


@pytest.mark.parametrize("cuts", [[], [0], [1, 4], [4, 4, 9], range(1, 10)])
def test_chunks_may_be_cut_anywhere(tmp_path, cuts):
    slices = [(0, 4), (4, 7), (7, 10)]
    for prefix, bounds in ((tmp_path / "whole", None), (tmp_path / "slices", slices)):
        with CheckpointWriter(prefix) as writer:
            writer.add("e", tf.float32, [10, 3], iter(np.split(TABLE, list(cuts))), bounds)
        assert_holds(prefix, {"e": TABLE})
    with CheckpointReader(tmp_path / "slices") as reader:
        assert reader.slices("e") == slices


def test_arrays_that_are_not_contiguous_are_written_in_row_major_order(tmp_path):
    with CheckpointWriter(tmp_path / "m") as writer:
        writer.add("e", tf.float32, [3, 10], [TABLE.T])
        writer.add("every_other", tf.float32, [5, 3], [TABLE[::2]])
    assert_holds(tmp_path / "m", {"e": TABLE.T, "every_other": TABLE[::2]})


def test_saver_restores_what_was_written_into_any_partitions(tmp_path):
    with CheckpointWriter(tmp_path / "m") as writer:
        writer.add("e", tf.float32, [10, 3], [TABLE], [(0, 4), (4, 7), (7, 10)])
    for partitioner in (None, tf.fixed_size_partitioner(2), tf.fixed_size_partitioner(3)):
        with tf.Graph().as_default(), tf.Session() as session:
            table = tf.get_variable("e", [10, 3], partitioner=partitioner)
            tf.train.Saver().restore(session, str(tmp_path / "m"))
            np.testing.assert_array_equal(session.run(tf.convert_to_tensor(table)), TABLE)


@pytest.mark.parametrize("partitions", [None, 3])
def test_copies_are_bit_for_bit_and_keep_their_slices(tmp_path, partitions):
    values = {
        "e": special_rows(),
        "ids": np.arange(9),
        "flags": np.array([True, False] * 4),
    }
    if partitions is None:
        values.update(
            words=np.array([b"caf\xc3\xa9", b"", b"\0" * 5000], object),
            scalar=np.int64(2**60),
            empty=np.zeros([0, 3]),
        )
    source = save_checkpoint(tmp_path / "source", values, partitions)
    with CheckpointReader(source) as reader, CheckpointWriter(tmp_path / "m") as writer:
        for name in reader.names():
            writer.copy(reader, name)
        reader.check_rest()
    # Not `values`: as it folds constants, TF 1.13 loses a zero's sign before it is saved.
    assert_holds(tmp_path / "m", load_checkpoint(source))
    with CheckpointReader(source) as one, CheckpointReader(tmp_path / "m") as other:
        assert [one.slices(n) for n in values if n != "scalar"] == [
            other.slices(n) for n in values if n != "scalar"
        ]


@pytest.mark.parametrize(
    "shape, slices, problem",
    [
        ([11, 3], None, "fewer"),
        ([9, 3], None, "more"),
        ([0, 3], None, "more"),
        ([10, 3], [(0, 4), (4, 9)], "more"),
        ([10, 3], [(0, 4), (4, 11)], "fewer"),
        ([10, 3], [(0, 10), (10, 11)], "fewer"),
    ],
)
def test_wrong_number_of_values_is_refused_and_nothing_written(tmp_path, shape, slices, problem):
    with pytest.raises(ValueError, match=f"'e' got {problem} values than its shape has"):
        with CheckpointWriter(tmp_path / "m") as writer:
            writer.add("e", tf.float32, shape, [TABLE], slices)
    assert files(tmp_path) == {}


@pytest.mark.parametrize("dtype", ["float64", "int32", ">f4"])
def test_values_of_another_dtype_are_refused_and_nothing_written(tmp_path, dtype):
    with pytest.raises(ValueError, match="values of 'e' must be float32, got"):
        with CheckpointWriter(tmp_path / "m") as writer:
            writer.add("e", tf.float32, [10, 3], [TABLE.astype(dtype)])
    assert files(tmp_path) == {}


# What there is already.


def test_checkpoint_that_exists_is_replaced_by_force_only(tmp_path):
    save_checkpoint(tmp_path / "m", {"old": TABLE}, partitions=2)
    before = files(tmp_path)
    with pytest.raises(FileExistsError, match="exists; choose another"):
        write(tmp_path / "m")
    assert files(tmp_path) == before
    write(tmp_path / "m", force=True)
    assert_holds(tmp_path / "m", {"e": TABLE})
    assert set(files(tmp_path)) == set(before)


def test_data_files_of_a_replaced_checkpoint_are_gone(tmp_path):
    write(tmp_path / "m")
    for number in range(3):
        shutil.copy(
            str(tmp_path / "m.data-00000-of-00001"), str(tmp_path / f"m.data-{number:05d}-of-00003")
        )
    (tmp_path / "m.data-00000-of-00003.txt").write_text("of somebody else")
    write(tmp_path / "m", force=True)
    assert set(files(tmp_path)) == {
        "checkpoint",
        "m.data-00000-of-00001",
        "m.data-00000-of-00003.txt",
        "m.index",
    }


@pytest.fixture
def source(tmp_path):
    """The prefix of a checkpoint that is read, in a folder of its own."""
    (tmp_path / "source").mkdir()
    return save_checkpoint(tmp_path / "source" / "m", {"e": TABLE})


def spellings(prefix, tmp_path):
    """Returns other names of the files of a checkpoint."""
    folder, name = os.path.split(prefix)
    (tmp_path / "folder_link").symlink_to(folder, target_is_directory=True)
    for end in (".index", ".data-00000-of-00001"):
        (tmp_path / f"link{end}").symlink_to(prefix + end)
        os.link(prefix + end, str(tmp_path / f"hard_link{end}"))
    return {
        "same": prefix,
        "relative": os.path.relpath(prefix),
        "dots": f"{folder}/../{os.path.basename(folder)}/./{name}",
        "link to the folder": str(tmp_path / "folder_link" / name),
        "links to the files": str(tmp_path / "link"),
        "hard links": str(tmp_path / "hard_link"),
    }


SPELLINGS = ["same", "relative", "dots", "link to the folder", "links to the files", "hard links"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_own_input_is_never_replaced_however_it_is_spelled(source, tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    other = spellings(source, tmp_path)[spelling]
    before = files(tmp_path)
    for out, read in ((other, source), (source, other)):
        with pytest.raises(FileExistsError, match="`out` is the checkpoint that is read"):
            CheckpointWriter(out, force=True, source=read)
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["folder", "folder/", "m/", "folder/."])
def test_folder_is_no_prefix(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="`out` must be a prefix .* such as .*model.ckpt"):
        CheckpointWriter(f"{tmp_path}/{name}")


def test_folder_of_the_prefix_is_made_and_removed_after_a_failure(tmp_path):
    writer = CheckpointWriter(tmp_path / "missing" / "deep" / "m")
    writer.check_room(1)
    assert not files(tmp_path)
    with leaves_no_trace(tmp_path), pytest.raises(ZeroDivisionError), writer:
        raise ZeroDivisionError
    write(tmp_path / "missing" / "deep" / "m")
    assert_holds(tmp_path / "missing" / "deep" / "m", {"e": TABLE})


@pytest.mark.parametrize("suffix", [".rows.json", ".delta.json", ".data-00000-of-00002"])
def test_files_of_others_are_replaced_by_force_only(tmp_path, suffix):
    (tmp_path / f"m{suffix}").write_bytes(b"theirs")
    with leaves_no_trace(tmp_path):
        with pytest.raises(FileExistsError, match=f"m{suffix} exists, and is not of this run"):
            write(tmp_path / "m")
    write(tmp_path / "m", force=True)
    assert set(files(tmp_path)) == {"m.index", "m.data-00000-of-00001", "checkpoint"}


def test_files_beside_it_appear_with_the_checkpoint(tmp_path):
    words = tmp_path / "lists" / "words"
    with leaves_no_trace(tmp_path), pytest.raises(ZeroDivisionError):
        with CheckpointWriter(tmp_path / "m", beside=[str(words)]) as writer:
            writer.add_file(str(words), b"text")
            raise ZeroDivisionError
    with CheckpointWriter(tmp_path / "m", beside=[str(words)]) as writer:
        writer.add("e", tf.float32, [10, 3], [TABLE])
        writer.add_file(str(words), b"text")
        assert not words.exists()
    assert words.read_bytes() == b"text"
    with pytest.raises(FileExistsError, match="words exists"):
        CheckpointWriter(tmp_path / "n", beside=[str(words)])


def test_checkpoint_that_is_not_to_be_the_latest_is_not(tmp_path):
    write(tmp_path / "m", is_latest=False)
    assert set(files(tmp_path)) == {"m.index", "m.data-00000-of-00001"}


def test_brackets_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`out` must be a path without brackets"):
        CheckpointWriter(tmp_path / "m[1]")


@pytest.mark.parametrize("name", ["with space", "ünï-cødé", "star*?", "a.b", "m.index", "-m", ".m"])
def test_odd_prefixes_are_written(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write(name)
    assert_holds(tmp_path / name, {"e": TABLE})
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / name)
    assert len(files(tmp_path)) == 3


# The folder's `checkpoint` file.


def state(folder):
    return (folder / "checkpoint").read_text(encoding="utf-8").splitlines()


def test_new_checkpoint_is_the_latest_and_others_are_kept(tmp_path):
    paths = ["/elsewhere/m", "m-0", "new", "m-1"]
    tf.train.update_checkpoint_state(str(tmp_path), "m-1", paths)
    write(tmp_path / "new")
    # Relative, so that the folder may move.
    assert state(tmp_path) == [
        'model_checkpoint_path: "new"',
        'all_model_checkpoint_paths: "/elsewhere/m"',
        'all_model_checkpoint_paths: "m-0"',
        'all_model_checkpoint_paths: "m-1"',
        'all_model_checkpoint_paths: "new"',
    ]
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "new")


def test_folder_of_the_input_goes_on_with_its_own_latest(source, tmp_path):
    folder = tmp_path / "source"
    before = state(folder)
    write(folder / "new", source=source)
    assert state(folder) == before
    write(tmp_path / "new", source=source)
    assert state(tmp_path)[0] == 'model_checkpoint_path: "new"'
    assert state(folder) == before


def test_folder_of_an_input_that_ends_in_a_slash_goes_on_with_its_own_latest(source, tmp_path):
    folder = tmp_path / "source"
    for end in (".index", ".data-00000-of-00001"):
        shutil.copy(source + end, str(folder / end))
    before = state(folder)
    write(folder / "new", source=f"{folder}/")
    assert state(folder) == before


# Failures.


@contextlib.contextmanager
def leaves_no_trace(folder):
    before = files(folder)
    yield
    assert files(folder) == before


# Each of them, and where it is called.
CALLS = {
    "mkdir": os,
    "open": together,
    "write_index": module,
    "flush_to_disk": together,
    "replace": os,
    "copyfile": shutil,
}


def failing(monkeypatch, call, number):
    """Makes the n-th of the calls of the writer fail; returns the list of calls made."""
    made = []
    place = CALLS[call]
    real = getattr(place, call, open)

    def fail(*arguments, **options):
        made.append(arguments)
        if len(made) == number:
            raise OSError(errno.ENOSPC, "no space left")
        return real(*arguments, **options)

    monkeypatch.setattr(place, call, fail, raising=False)
    return made


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("exists", [False, True])
def test_failure_at_any_call_leaves_no_trace_and_what_was_there(tmp_path, call, exists):
    if exists:
        save_checkpoint(tmp_path / "m", {"old": TABLE})
    number = 0
    while True:
        number += 1
        with pytest.MonkeyPatch.context() as monkeypatch:
            made = failing(monkeypatch, call, number)
            before = files(tmp_path)
            try:
                write(tmp_path / "m", force=exists)
            except OSError as error:
                assert error.errno == errno.ENOSPC
            else:
                break
            monkeypatch.undo()
            assert files(tmp_path) == before
    # All calls were tried, and then there was nothing left to fail.
    assert number - 1 <= len(made) if call == "flush_to_disk" else len(made) == number - 1
    assert number > 1 or call == "copyfile"
    assert_holds(tmp_path / "m", {"e": TABLE})


def test_exception_in_the_context_leaves_no_trace(tmp_path):
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with leaves_no_trace(tmp_path), pytest.raises(error):
            with CheckpointWriter(tmp_path / "m") as writer:
                writer.add("e", tf.float32, [10, 3], [TABLE])
                raise error


def test_exception_of_the_chunks_arrives_and_leaves_no_trace(tmp_path):
    def chunks():
        yield TABLE[:5]
        raise ZeroDivisionError("while reading")

    with leaves_no_trace(tmp_path), pytest.raises(ZeroDivisionError, match="while reading"):
        with CheckpointWriter(tmp_path / "m") as writer:
            writer.add("e", tf.float32, [10, 3], chunks())


def test_thread_that_reads_ends_with_a_failure_to_write(tmp_path, monkeypatch):
    def fail(num_bytes):
        raise OSError(errno.ENOSPC, "no space left")

    before = threading.active_count()
    with pytest.raises(OSError, match="no space left") as caught:
        with CheckpointWriter(tmp_path / "m") as writer:
            writer.progress = fail
            writer.add("e", tf.float32, [10, 3], (row[np.newaxis] for row in TABLE))
    # The traceback keeps the frames alive, the thread is gone all the same.
    assert caught.tb is not None and threading.active_count() == before


def test_items_arrive_in_order_and_one_ahead():
    made = []

    def items():
        for number in range(5):
            made.append(number)
            yield number

    assert list(ahead(items())) == [0, 1, 2, 3, 4]
    del made[:]
    iterator = ahead(items())
    assert next(iterator) == 0
    iterator.close()
    assert len(made) <= 3


# What runs that were killed left; tests/test_new_files.py kills at every call.


def killed(prefix, call, number, **options):
    """Has a process killed before the n-th of the calls, while it writes."""
    child = os.fork()
    if child == 0:
        real = getattr(CALLS[call], call, open)
        made = []

        def die(*arguments, **keywords):
            made.append(arguments)
            if len(made) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **keywords)

        setattr(CALLS[call], call, die)
        write(prefix, **options)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_leftovers_of_dead_runs_are_removed_and_those_of_live_ones_are_not(tmp_path):
    assert killed(tmp_path / "m", "write_index", 1)
    assert (tmp_path / ".m.tf1_embed").is_dir()
    with CheckpointWriter(tmp_path / "m") as alive:
        with pytest.raises(FileExistsError, match="another run is writing to"):
            write(tmp_path / "m", force=True)
        alive.add("e", tf.float32, [10, 3], [TABLE])
    assert_holds(tmp_path / "m", {"e": TABLE})
    assert not list(tmp_path.glob(".m*"))


def test_folders_of_other_prefixes_stay(tmp_path):
    for name in (".m-1.tf1_embed", ".m.x.tf1_embed", "m.tf1_embed", ".m.tmp"):
        (tmp_path / name).mkdir()
    before = set(files(tmp_path))
    write(tmp_path / "m")
    assert before < set(files(tmp_path))


@pytest.mark.parametrize("moved", range(7))
def test_checkpoint_that_a_killed_run_was_about_to_replace_is_back_after_the_next(tmp_path, moved):
    prefix = save_checkpoint(tmp_path / "m", {"old": TABLE})
    (tmp_path / "m.rows.json").write_bytes(b"{}")
    expected = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert killed(prefix, "replace", moved + 1, force=True)
    # The next run fails, too, but it has cleared up.
    with contextlib.suppress(KeyboardInterrupt), CheckpointWriter(prefix, force=True):
        raise KeyboardInterrupt
    assert files(tmp_path) == expected
    # Without force it is not replaced, although it was not there when the run began.
    killed(prefix, "replace", moved + 1, force=True)
    with pytest.raises(FileExistsError, match="m exists; choose another name"):
        write(prefix)
    assert files(tmp_path) == expected


def test_file_system_without_locks_is_written_to(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOSYS, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    write(tmp_path / "m")
    assert_holds(tmp_path / "m", {"e": TABLE})


# Writing anew.


def test_rewritten_checkpoint_has_what_changed_and_the_rest(source, tmp_path):
    changes = {
        "e": Change(tf.float32, (12, 3), lambda: [TABLE, TABLE[:2]], None, (10, 3)),
        "new": Change(tf.int32, (), lambda: [np.int32([5])]),
    }
    with CheckpointReader(source) as reader:
        written = rewrite(reader, changes, tmp_path / "m")
    assert [each[:4] for each in written] == [
        ("e", "float32", (10, 3), (12, 3)),
        ("new", "int32", None, ()),
    ]
    assert_holds(tmp_path / "m", {"e": np.concatenate([TABLE, TABLE[:2]]), "new": np.int32(5)})


@pytest.mark.parametrize("free", [119, 120])
def test_disk_without_room_is_refused_before_anything_is_written(
    source, tmp_path, monkeypatch, free
):
    Usage = collections.namedtuple("Usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: Usage(999, 999 - free, free))
    with CheckpointReader(source) as reader:
        if free == 120:
            rewrite(reader, {}, tmp_path / "m")
            return
        with leaves_no_trace(tmp_path), pytest.raises(
            OSError, match="the disk has only 119"
        ) as got:
            rewrite(reader, {}, tmp_path / "m")
    assert got.value.errno == errno.ENOSPC


def test_dry_run_writes_nothing(source, tmp_path):
    with CheckpointReader(source) as reader, leaves_no_trace(tmp_path):
        [written] = rewrite(reader, {}, tmp_path / "m", dry_run=True)
    assert written == rewriting.Written("e", "float32", (10, 3), (10, 3), 120, False)


@pytest.mark.parametrize("position", [0, 60, 119])
def test_damage_that_is_copied_is_found_before_anything_is_published(source, tmp_path, position):
    flip_byte(tmp_path / "source" / "m.data-00000-of-00001", position)
    with CheckpointReader(source) as reader, leaves_no_trace(tmp_path):
        with pytest.raises(CheckpointDamaged, match="checksum of 'e'"):
            rewrite(reader, {}, tmp_path / "m")


# Bytes go to the disk while others are written.


def save_while_flushing(tmp_path, monkeypatch, flush, before_last=lambda: None):
    """Writes a checkpoint, of which a few bytes at a time are flushed by `flush`."""
    monkeypatch.setattr(write_back, "FLUSH_BYTES", 100)
    monkeypatch.setattr(os, "fdatasync", flush, raising=False)

    def chunks():
        for start in range(0, 40, 10):
            if start == 30:
                before_last()
            yield counting_rows(40)[start : start + 10]

    with CheckpointWriter(tmp_path / "out") as writer:
        writer.add("e", tf.float32, [40, 2], chunks())


def test_data_are_flushed_while_they_are_written(tmp_path, monkeypatch):
    flushed = threading.Event()

    def wait():
        assert flushed.wait(60)

    save_while_flushing(tmp_path, monkeypatch, lambda file: flushed.set(), wait)
    np.testing.assert_array_equal(load_checkpoint(tmp_path / "out")["e"], counting_rows(40))


@pytest.mark.parametrize("last_only", [False, True])
def test_error_of_a_flush_is_raised_and_nothing_is_published(tmp_path, monkeypatch, last_only):
    def fail(file):
        if last_only:
            released.wait(10)
        raise OSError(errno.EIO, "Input/output error")

    released = threading.Event()
    finish = write_back.WriteBack.finish
    monkeypatch.setattr(write_back.WriteBack, "finish", lambda self: (released.set(), finish(self)))
    with pytest.raises(OSError, match="Input/output error"):
        save_while_flushing(tmp_path, monkeypatch, fail)
    assert os.listdir(str(tmp_path)) == []
