"""Files that appear together or not at all, whatever call fails and wherever the process dies."""

import builtins
import errno
import fcntl
import os
import shutil
import signal

import pytest

from tf1_embed.new_files import NewFiles, identities, new_file, together

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")


@pytest.fixture(autouse=True)
def nobody_pulls_the_plug(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


# All that changes something on the disk.
CALLS = ["mkdir", "remove", "replace", "rmdir", "fsync", "open", "copyfile"]
PLACES = {"open": builtins, "copyfile": shutil}


def faults(fault):
    """Returns a function of n that has `fault` called before the n-th call of any."""
    real = {name: getattr(PLACES.get(name, os), name, open) for name in CALLS}

    def patch(number):
        patched, left = pytest.MonkeyPatch(), [number]

        def counted(name):
            def call(*arguments, **options):
                left[0] -= 1
                if left[0] == 0:
                    fault()
                return real[name](*arguments, **options)

            return call

        for name in CALLS:
            patched.setattr(PLACES.get(name, os), name, counted(name), raising=False)
        return patched, left

    return patch


def no_space():
    raise OSError(errno.ENOSPC, "No space left on device")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def write(folder, text, force=True):
    """Writes a set of files, of which one is in another folder, one stays, and one is removed."""
    names = ["data", "index", "state"]
    words = str(folder / "lists" / "words")
    with NewFiles(str(folder / "data"), words, force=force) as files:
        for name in names[:2]:
            with files.open(str(folder / name)) as file:
                file.write(text)
        with files.open(words) as file:
            file.write(text)
        with files.open(str(folder / "state"), stays=True) as file:
            file.write(text)
        if (folder / "more").exists():
            files.remove(str(folder / "more"))


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


OLD = dict.fromkeys(("data", "index", "state", "lists/words", "more"), b"old")
NEW = dict.fromkeys(("data", "index", "state", "lists/words"), b"new")


def make(folder, is_there):
    shutil.rmtree(str(folder), ignore_errors=True)
    folder.mkdir()
    if is_there:
        (folder / "lists").mkdir()
        for name, text in OLD.items():
            (folder / name).write_bytes(text)


@pytest.mark.parametrize("is_there", [True, False])
def test_failure_of_any_call_leaves_what_was_there_and_no_trace(tmp_path, is_there):
    patch, number, left = faults(no_space), 0, [0]
    while left[0] <= 0:
        number += 1
        make(tmp_path / "out", is_there)
        patched, left = patch(number)
        try:
            write(tmp_path / "out", b"new")
        except OSError as error:
            assert error.errno == errno.ENOSPC
            expected = [OLD if is_there else {}]
        else:
            # What fails after the end, when it is cleared up, is no failure.
            expected = [NEW]
        finally:
            patched.undo()
        found = contents(tmp_path / "out")
        trace = {name for name in found if "tf1_embed" in name}
        assert {name: found[name] for name in set(found) - trace} in expected
        # Of what could not be cleared away, the next run leaves nothing.
        write(tmp_path / "out", b"new")
        assert contents(tmp_path / "out") == NEW
        assert {path.name for path in (tmp_path / "out").iterdir()} == {
            "data",
            "index",
            "state",
            "lists",
        }
    assert number > 20


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("next_place", ["data", "lists/words"])
def test_process_killed_at_any_call_leaves_the_old_files_or_the_new_after_the_next_run(
    tmp_path, is_there, next_place
):
    patch, number, status = faults(die), 0, -signal.SIGKILL
    found = []
    while status == -signal.SIGKILL:
        number += 1
        make(tmp_path / "out", is_there)
        child = os.fork()
        if child == 0:
            patch(number)
            write(tmp_path / "out", b"new")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        status = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        # The next run to any of the places fails at once, but it has cleared up.
        with pytest.raises(ZeroDivisionError):
            with NewFiles(str(tmp_path / "out" / next_place), force=True):
                raise ZeroDivisionError
        after = contents(tmp_path / "out")
        after = {name: text for name, text in after.items() if "tf1_embed" not in name}
        assert after in ([OLD, NEW] if is_there else [{}, NEW])
        found.append(after)
        write(tmp_path / "out", b"new")
        assert contents(tmp_path / "out") == NEW
    assert status == 0 and number > 20
    assert found.count(NEW) < len(found) / 2


def test_process_killed_while_it_undoes_is_undone_by_the_next(tmp_path):
    kills = 0
    for number in range(1, 200, 3):
        make(tmp_path / "out", True)
        # The first one dies when all but one of the files have moved.
        child = os.fork()
        if child == 0:
            real = together.flush_to_disk

            def flush(path, real=real):
                real(path)
                if path == str(tmp_path / "out" / "lists"):
                    die()

            together.flush_to_disk = flush
            write(tmp_path / "out", b"new")
        os.waitpid(child, 0)
        assert "data" in contents(tmp_path / "out")
        child = os.fork()
        if child == 0:
            faults(die)(number)
            write(tmp_path / "out", b"new")
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        with pytest.raises(ZeroDivisionError):
            with NewFiles(str(tmp_path / "out" / "data"), force=True):
                raise ZeroDivisionError
        after = contents(tmp_path / "out")
        after = {name: text for name, text in after.items() if "tf1_embed" not in name}
        assert after in (OLD, NEW)
        if not killed:
            break
        kills += 1
    assert kills > 10


def write_folder(place, text):
    """Writes a folder with a file in a folder of its own."""
    with NewFiles(str(place), force=True) as files:
        folder = files.add_folder(str(place))
        os.mkdir(os.path.join(folder, "deep"))
        for name in ("top", "deep/file"):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(text)


@pytest.mark.parametrize("is_there", [True, False])
def test_folder_appears_whole_or_not_at_all_when_the_process_is_killed(tmp_path, is_there):
    patch, number, status = faults(die), 0, -signal.SIGKILL
    place, found = tmp_path / "out" / "model", []
    old, new = (
        {f"model/{name}": text for name in ("top", "deep/file")} for text in (b"old", b"new")
    )
    while status == -signal.SIGKILL:
        number += 1
        make(tmp_path / "out", False)
        if is_there:
            write_folder(place, b"old")
        child = os.fork()
        if child == 0:
            patch(number)
            write_folder(place, b"new")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        status = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        # The next run fails at once, but it has cleared up.
        with pytest.raises(ZeroDivisionError):
            with NewFiles(str(place), force=True):
                raise ZeroDivisionError
        after = contents(tmp_path / "out")
        assert after in ([old, new] if is_there else [{}, new])
        found.append(after)
        write_folder(place, b"new")
        assert contents(tmp_path / "out") == new
    assert status == 0 and number > 10
    assert found.count(new) < len(found) / 2


def test_two_runs_at_a_time_are_one_too_many(tmp_path):
    for place in ("data", "lists/words"):
        with NewFiles(str(tmp_path / "data"), str(tmp_path / "lists" / "words")) as files:
            with pytest.raises(FileExistsError, match="another run is writing to .*at this moment"):
                write(tmp_path, b"other")
            with pytest.raises(FileExistsError, match="another run is writing"):
                NewFiles(str(tmp_path / place)).__enter__()
            with files.open(str(tmp_path / "data")) as file:
                file.write(b"mine")
        assert contents(tmp_path) == {"data": b"mine"}
        (tmp_path / "data").unlink()


def test_file_that_appears_meanwhile_is_not_replaced_without_force(tmp_path):
    with pytest.raises(FileExistsError, match="exists; choose another name"):
        with new_file(str(tmp_path / "a")) as file:
            file.write(b"mine")
            (tmp_path / "a").write_bytes(b"theirs")
    assert contents(tmp_path) == {"a": b"theirs"}


def test_file_that_somebody_wrote_after_a_killed_run_stays(tmp_path):
    make(tmp_path / "out", True)
    child = os.fork()
    if child == 0:
        together.flush_to_disk = lambda path: "lists" in path and path[-1] == "s" and die()
        write(tmp_path / "out", b"new")
    os.waitpid(child, 0)
    (tmp_path / "out" / "index").unlink()
    (tmp_path / "out" / "index").write_bytes(b"theirs")
    with pytest.raises(ZeroDivisionError):
        with NewFiles(str(tmp_path / "out" / "data")):
            raise ZeroDivisionError
    assert contents(tmp_path / "out")["index"] == b"theirs"


def test_folders_are_made_and_removed_again_after_a_failure(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with new_file(str(tmp_path / "a" / "b" / "c")):
            raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    with new_file(str(tmp_path / "a" / "b" / "c")) as file:
        file.write(b"text")
    assert contents(tmp_path) == {"a/b/c": b"text"}


def test_without_locks_what_a_killed_run_left_is_named(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOSYS, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    write(tmp_path, b"new")
    (tmp_path / ".data.tf1_embed").mkdir()
    with pytest.raises(FileExistsError, match="no locks that would tell. Remove it"):
        write(tmp_path, b"newer")
    assert contents(tmp_path)["data"] == b"new"


def test_what_was_published_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(together, "published", [])
    write(tmp_path, b"new")
    assert {os.path.relpath(path, str(tmp_path)) for path in together.published} == set(NEW)

    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rmdir", interrupt)
    with pytest.raises(KeyboardInterrupt):
        with new_file(str(tmp_path / "single")):
            pass
    assert together.published[-1] == str(tmp_path / "single")


def test_links_and_relative_paths_are_the_file_that_they_lead_to(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"text")
    os.symlink("a", str(tmp_path / "soft"))
    os.link(str(tmp_path / "a"), str(tmp_path / "hard"))
    os.symlink("nowhere", str(tmp_path / "dangling"))
    monkeypatch.chdir(tmp_path)
    for name in ("soft", "hard", "./a", str(tmp_path / "a")):
        assert set(identities([name])) == set(identities(["a"]))
    assert set(identities(["dangling"])) == set(identities([str(tmp_path / "nowhere")]))
    assert set(identities(["dangling"])) != set(identities(["a"]))
