"""Nobody ever finds half of a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from keras_s2s.files import written_beside


def write_half(path: Path, error: BaseException) -> None:
    with written_beside(str(path)) as unfinished:
        Path(unfinished).write_text("half")
        raise error


@pytest.mark.parametrize("before", [None, "old"])
def test_what_is_written_beside_is_renamed_in_the_end(tmp_path, before):
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
def test_a_failure_leaves_what_was_there(tmp_path, before, error):
    path = tmp_path / "model.keras"
    if before is not None:
        path.write_text(before)
    with pytest.raises(error, match="in the middle"):
        write_half(path, error("in the middle"))
    assert (path.read_text() if path.exists() else None) == before
    assert os.listdir(tmp_path) == ([] if before is None else ["model.keras"])


def test_a_relative_path_is_meant_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with written_beside("model.keras") as unfinished:
        Path(unfinished).write_text("new")
    assert (tmp_path / "model.keras").read_text() == "new"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_file_has_the_permissions_of_any_new_file(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with written_beside(str(tmp_path / "model.keras")) as unfinished:
            Path(unfinished).write_text("new")
        assert os.umask(mask) == mask  # left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.keras").stat().st_mode) == mode


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    message = r"There is no folder '.*nowhere' to write 'model\.keras' into\."
    with (
        pytest.raises(FileNotFoundError, match=message),
        written_beside(str(tmp_path / "nowhere" / "model.keras")),
    ):
        pass
