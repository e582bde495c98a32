from __future__ import annotations

import itertools
import os

import pytest

from keras_s2s.export.versions import check_version, find_versions, publish, unfinished_version


def write_version(folder, version=None):
    with unfinished_version(str(folder)) as unfinished:
        with open(os.path.join(unfinished, "file"), "w") as file:
            file.write("whole")
        return publish(unfinished, str(folder), version)


def test_versions_count_up_from_one(tmp_path):
    folder = tmp_path / "above" / "model"
    assert [write_version(folder) for _ in range(3)] == [str(folder / str(n)) for n in (1, 2, 3)]
    assert sorted(os.listdir(folder)) == ["1", "2", "3"]


def test_the_next_version_is_above_the_highest_existing_one(tmp_path):
    for name in ("2", "007", "10a", "-30", "٤٠", ".20"):
        (tmp_path / name).mkdir()
    assert write_version(tmp_path) == str(tmp_path / "8")


def test_a_version_number_can_be_chosen(tmp_path):
    assert write_version(tmp_path, 20240131) == str(tmp_path / "20240131")
    assert write_version(tmp_path, 5) == str(tmp_path / "5")


@pytest.mark.parametrize("name", ["3", "003"])
def test_an_existing_version_is_refused_and_unchanged(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(FileExistsError, match="Version 3 already exists"):
        write_version(tmp_path, 3)
    assert os.listdir(tmp_path) == [name]
    assert os.listdir(tmp_path / name) == []


@pytest.mark.parametrize("version", [0, -1, 1.5, "1", True])
def test_a_version_must_be_a_positive_integer(tmp_path, version):
    with pytest.raises(ValueError, match="`version` must be a positive integer"):
        check_version(str(tmp_path), version)


def test_a_version_must_fit_into_the_64_bits_of_a_server(tmp_path):
    with pytest.raises(ValueError, match=f"`version` must be at most {2**63 - 1}"):
        check_version(str(tmp_path), 2**63)


@pytest.mark.parametrize("name", ["3", "003"])
def test_a_version_is_not_a_folder_for_versions(tmp_path, name):
    with pytest.raises(ValueError, match=r"not a version: .* Pass `version=3` instead"):
        check_version(os.path.join(tmp_path, name), None)


@pytest.mark.parametrize("below", ["", "below/model"])
def test_a_file_is_not_a_folder_for_versions(tmp_path, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"file' must be a folder for versions"):
        check_version(os.path.join(tmp_path, "file", below), None)


def test_an_unfinished_version_has_no_number(tmp_path):
    with unfinished_version(str(tmp_path)) as unfinished:
        (name,) = os.listdir(tmp_path)
        assert os.path.join(tmp_path, name) == unfinished
        assert name.startswith(".unfinished-")


def write_half(folder, error):
    with unfinished_version(str(folder)) as unfinished:
        with open(os.path.join(unfinished, "file"), "w") as file:
            file.write("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        write_half(tmp_path / "above" / "model", error)
    assert os.listdir(tmp_path) == []


def test_an_existing_folder_is_kept(tmp_path):
    with pytest.raises(OSError, match="disk"):
        write_half(tmp_path, OSError("disk"))
    assert os.listdir(tmp_path) == []


def test_two_exports_at_once_get_different_numbers(tmp_path):
    with unfinished_version(str(tmp_path)) as first, unfinished_version(str(tmp_path)) as second:
        assert publish(first, str(tmp_path), None) == str(tmp_path / "1")
        assert publish(second, str(tmp_path), None) == str(tmp_path / "2")


def test_a_version_published_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    rename = os.rename

    def rename_later(unfinished, path):
        if not os.path.exists(path):
            os.mkdir(path)
            with open(os.path.join(path, "another's"), "w"):
                pass
        monkeypatch.undo()
        rename(unfinished, path)

    monkeypatch.setattr(os, "rename", rename_later)
    assert write_version(tmp_path) == str(tmp_path / "2")
    assert os.listdir(tmp_path / "1") == ["another's"]


def test_a_disk_error_is_reported(tmp_path, monkeypatch):
    def rename(unfinished, path):
        raise OSError("read-only file system")

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="read-only file system"):
        write_version(tmp_path)
    assert os.listdir(tmp_path) == []


def test_permissions_of_a_version_follow_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        path = write_version(tmp_path)
    finally:
        os.umask(before)
    assert os.stat(path).st_mode & 0o777 == 0o755


# The operations on files by which a version comes to be, as places where a process may be killed.
OPERATIONS = ("mkdir", "open", "stat", "fstat", "listdir", "rename", "rmdir", "close")


def publish_and_die(folder: str, moment: int) -> None:
    """Write a version in this process, and exit at one of the operations."""
    count = itertools.count()

    def deadly(operation):
        def run(*arguments, **options):
            if next(count) == moment:
                os._exit(9)
            return operation(*arguments, **options)

        return run

    for name in OPERATIONS:
        setattr(os, name, deadly(getattr(os, name)))
    with unfinished_version(folder) as unfinished:
        with open(os.path.join(unfinished, "first"), "w") as file:
            file.write("first")
        with open(os.path.join(unfinished, "second"), "w") as file:
            file.write("second")
        publish(unfinished, folder, None)
    os._exit(0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it has threads, and forks
def test_a_server_sees_only_complete_versions_after_a_kill(tmp_path):
    code, moment = 9, 0
    while code == 9:
        folder = tmp_path / f"g2p{moment}"
        child = os.fork()
        if child == 0:
            publish_and_die(str(folder), moment)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for version in find_versions(str(folder)):
            assert sorted(os.listdir(folder / str(version))) == ["first", "second"]
        folder.mkdir(exist_ok=True)
        with unfinished_version(str(folder)):
            pass
        assert [name for name in os.listdir(folder) if name.startswith(".")] == []
        moment += 1
    assert code == 0
    assert find_versions(str(folder)) == {1}
    assert moment > 5
