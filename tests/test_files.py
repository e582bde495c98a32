"""Files are written atomically, and leftovers of killed processes are removed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from keras_s2s.files import (
    check_writable,
    created_folder,
    existing_parent,
    locked,
    remove_unfinished,
    unfinished_folder,
    written_beside,
)


def write(path: Path, text: str = "new") -> None:
    with written_beside(str(path)) as unfinished:
        Path(unfinished).write_text(text)


def write_half(path: Path, error: BaseException) -> None:
    with written_beside(str(path)) as unfinished:
        Path(unfinished).write_text("half")
        raise error


@pytest.mark.parametrize("before", [None, "old"])
def test_the_unfinished_file_is_renamed_at_the_end(tmp_path, before):
    path = tmp_path / "model.keras"
    if before is not None:
        path.write_text(before)
    with written_beside(str(path), suffix=".keras") as unfinished:
        assert Path(unfinished).parent == tmp_path
        assert unfinished.endswith(".unfinished.keras")
        Path(unfinished).write_text("new")
        assert (path.read_text() if path.exists() else None) == before
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["model.keras"]


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_keeps_the_old_file(tmp_path, before, error):
    path = tmp_path / "model.keras"
    if before is not None:
        path.write_text(before)
    with pytest.raises(error, match="in the middle"):
        write_half(path, error("in the middle"))
    assert (path.read_text() if path.exists() else None) == before
    assert os.listdir(tmp_path) == ([] if before is None else ["model.keras"])


def test_a_relative_path_is_meant_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("model.keras"))
    assert (tmp_path / "model.keras").read_text() == "new"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write(tmp_path / "model.keras")
        assert os.umask(mask) == mask  # unchanged
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.keras").stat().st_mode) == mode


def test_the_umask_of_the_process_is_never_changed(tmp_path, monkeypatch):
    def changed(mask):
        raise AssertionError("another thread would create files with this mask")

    monkeypatch.setattr(os, "umask", changed)
    write(tmp_path / "model.keras")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_a_replaced_file_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "model.keras"
    path.write_text("old")
    path.chmod(mode)
    if not os.access(path, os.W_OK):
        pytest.skip("refused to this user")
    with written_beside(str(path)) as unfinished:
        assert stat.S_IMODE(os.stat(unfinished).st_mode) & ~0o600 & ~mode == 0  # never wider
        Path(unfinished).write_text("new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give")
def test_a_replaced_file_keeps_its_owner(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("old")
    os.chown(path, 1234, 1235)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path, there):
    (tmp_path / "store").mkdir()
    target, link = tmp_path / "store" / "model.keras", tmp_path / "best.keras"
    if there:
        target.write_text("old")
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.read_text() == link.read_text() == "new"
    assert os.listdir(tmp_path / "store") == ["model.keras"]


def test_several_threads_may_write_at_once(tmp_path):
    path = tmp_path / "model.keras"

    def work():
        for _ in range(50):
            write(path)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["model.keras"]


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"There is no folder '.*nowhere' to write 'model\.keras' into\."
    ):
        write(tmp_path / "nowhere" / "model.keras")


@pytest.mark.parametrize("check", [write, check_writable])
def test_an_invalid_destination_is_rejected_with_its_path(tmp_path, check):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match=r"is a folder\. Expected: a file: .*folder"):
        check(tmp_path / "folder")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"not a folder: .*file'"):
        check(tmp_path / "file" / "below" / "model.keras")
    with pytest.raises(FileNotFoundError, match=r"There is no folder"):
        check(tmp_path / "nowhere" / "model.keras")
    with pytest.raises(FileExistsError, match=r"not a regular file.*/dev/null'"):
        check(Path("/dev/null"))
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_the_nearest_existing_parent_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    assert existing_parent("a/b/c") == str(tmp_path)
    assert existing_parent("file/") == existing_parent("file/b") == str(tmp_path / "file")
    assert existing_parent("link") == "link"
    assert existing_parent(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize("folder", ["a", "a/b/c"])
def test_created_folders_are_removed_if_they_stay_empty(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    with created_folder(folder):
        assert os.path.isdir(folder)
    assert os.listdir(tmp_path) == []


def test_folders_with_content_and_old_folders_are_kept(tmp_path):
    (tmp_path / "old").mkdir()
    with created_folder(str(tmp_path / "old")):
        pass
    with created_folder(str(tmp_path / "a" / "b" / "c")):
        (tmp_path / "a" / "b" / "file").touch()
    assert sorted(os.listdir(tmp_path)) == ["a", "old"]
    assert os.listdir(tmp_path / "a" / "b") == ["file"]


@pytest.mark.parametrize("folder", ["file", "file/", "file/a"])
def test_a_folder_is_not_created_in_place_of_a_file(tmp_path, folder):
    (tmp_path / "file").touch()
    error = pytest.raises(NotADirectoryError, match=r"not a folder.*file'$")
    with error, created_folder(str(tmp_path / folder)):
        pass


@pytest.mark.parametrize("check", [write, check_writable])
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path, monkeypatch, check):
    path = tmp_path / "model.keras"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
    with pytest.raises(PermissionError, match=r"read-only.*model\.keras"):
        check(path)
    assert path.read_text() == "old"


@pytest.mark.parametrize("check", [write, check_writable])
def test_a_read_only_file_system_is_reported_with_the_path(tmp_path, monkeypatch, check):
    opened = os.open

    def read_only(path, flags, *mode):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system", path)
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(OSError, match=r"Read-only file system: '.*/model\.keras'$"):
        check(tmp_path / "model.keras")


def test_a_full_disk_is_reported_with_the_path(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device")  # as a write has it: without a name
    with pytest.raises(OSError, match=r"No space left on device: '.*/model\.keras'$"):
        write_half(tmp_path / "model.keras", error)


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    error = FileNotFoundError(errno.ENOENT, "No such file", "/other")
    with pytest.raises(FileNotFoundError, match="'/other'"):
        write_half(tmp_path / "model.keras", error)


def test_checking_leaves_nothing_and_changes_nothing(tmp_path):
    check_writable(tmp_path / "new.keras")
    (tmp_path / "old.keras").write_text("old")
    check_writable(tmp_path / "old.keras")
    assert os.listdir(tmp_path) == ["old.keras"]
    assert (tmp_path / "old.keras").read_text() == "old"


LEAVE = """
import os, signal, sys
from keras_s2s.files import unfinished_folder, written_beside
with written_beside(sys.argv[1] + "/best.keras", suffix=".keras") as name:
    with unfinished_folder(sys.argv[1]) as folder:
        open(folder + "/saved_model.pb", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def leftovers(tmp_path):
    """A folder in which a process was killed while it wrote."""
    ended = subprocess.run([sys.executable, "-c", LEAVE, tmp_path], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 2
    (tmp_path / ".notes.unfinished").write_text("somebody's")
    return tmp_path


def test_files_of_a_killed_process_are_removed_by_the_next_one(leftovers):
    write(leftovers / "best.keras")
    with unfinished_folder(str(leftovers)) as folder:
        assert len(os.listdir(leftovers)) == 3
        assert os.listdir(folder) == []
    assert sorted(os.listdir(leftovers)) == [".notes.unfinished", "best.keras"]


def test_the_leftovers_of_a_folder_are_removed_at_once(leftovers):
    remove_unfinished(str(leftovers))
    assert sum(".keras" in name for name in os.listdir(leftovers)) == 0
    assert (leftovers / ".notes.unfinished").exists()


def test_files_of_a_running_process_are_not_removed(tmp_path):
    path = str(tmp_path / "best.keras")
    sweep = multiprocessing.get_context("spawn").Process(
        target=remove_unfinished, args=(str(tmp_path),)
    )
    with written_beside(path) as unfinished, unfinished_folder(str(tmp_path)) as folder:
        Path(unfinished).write_text("mine")
        sweep.start()
        sweep.join()
        assert sweep.exitcode == 0
        with unfinished_folder(str(tmp_path)):
            assert os.path.isdir(folder)
        write(Path(path), "another's")
        assert Path(unfinished).read_text() == "mine"
    assert Path(path).read_text() == "mine"


HOLD = """
import sys, time
from keras_s2s.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_one_process_s_until_it_ends_however_it_ends(tmp_path):
    path = str(tmp_path / ".lock")
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(BlockingIOError, match=rf"in use by process {holder.pid}: .*\.lock"),
            locked(path),
        ):
            pass
        holder.kill()
    assert os.path.exists(path)
    with locked(path), pytest.raises(BlockingIOError, match="in use"), locked(path):
        pass
    with locked(path):  # also once it was released
        pass
    assert not os.path.exists(path)


# Each operation on files, as a place where a process may be killed.
OPERATIONS = ("open", "fchmod", "fsync", "replace", "remove", "close", "fstat", "stat", "access")


def write_and_die(path: Path, moment: int) -> None:
    """Write in this process, and exit at one of the operations."""
    count = iter(range(1000))

    def deadly(operation):
        def run(*arguments, **options):
            if next(count) == moment:
                os._exit(9)
            return operation(*arguments, **options)

        return run

    for name in OPERATIONS:
        setattr(os, name, deadly(getattr(os, name)))
    write(path)
    os._exit(0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it has threads, and forks
@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.sampled(1)
def test_killed_at_any_operation_the_old_or_the_new_remains(tmp_path, before):
    path = tmp_path / "model.keras"
    outcomes, code, moment = [], 9, 0
    while code == 9:
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_text(before)
        child = os.fork()
        if child == 0:
            write_and_die(path, moment)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        outcomes.append(path.read_text() if path.exists() else None)
        remove_unfinished(str(tmp_path))
        assert set(os.listdir(tmp_path)) <= {"model.keras"}
        moment += 1
    assert code == 0
    assert set(outcomes) == {before, "new"}
    assert moment > 8
