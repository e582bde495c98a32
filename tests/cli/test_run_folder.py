"""The files of a run folder."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from keras_s2s.cli.run_folder import (
    check_data,
    check_folder,
    checksums_of,
    claimed,
    member_folders,
    write_text,
)
from keras_s2s.cli.settings_file import complete, read_config, to_yaml


@pytest.fixture
def settings(tmp_path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("a\tb\n")
    folder = tmp_path / "run"
    folder.mkdir()
    given = {"train": [str(pairs)], "valid": str(pairs), "output": str(folder)}
    return complete(given)


def write_run(settings, epochs, *, state=True, best=True):
    """Write the files of a run with this many epochs into each of its folders."""
    write_text(f"{settings.output}/settings.yaml", to_yaml(vars(settings)))
    for folder in member_folders(settings):
        os.makedirs(f"{folder}/state")
        write_text(f"{folder}/learning_curve.csv", "epoch,loss\n" + epochs * "0,1\n")
        if best:
            write_text(f"{folder}/best.keras", "")
        if state:
            write_text(f"{folder}/state/training_state.npz", "")


@pytest.mark.parametrize("models", [1, 2])
def test_a_complete_run_can_be_resumed(settings, models):
    settings.models = models
    write_run(settings, 3)
    assert check_folder(settings)


@pytest.mark.parametrize("models", [1, 2])
@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("state", "this run of 3 epochs cannot be resumed: its folder state/ is missing"),
        ("best", "this run of 3 epochs cannot be resumed: its best.keras is missing"),
    ],
)
def test_a_run_without_its_state_or_best_model_is_not_overwritten(
    settings, models, missing, message
):
    settings.models = models
    write_run(settings, 3, **{missing: False})
    with pytest.raises(ValueError, match=message):
        check_folder(settings)


def test_a_run_killed_in_its_first_epoch_starts_again(settings):
    write_run(settings, 1, state=False)
    assert not check_folder(settings)
    write_text(f"{settings.output}/figures.json", "{}")
    with pytest.raises(ValueError, match="this run of 1 epoch cannot be resumed"):
        check_folder(settings)


@pytest.mark.parametrize("models", [1, 2])
def test_settings_and_data_may_change_before_a_state_is_saved(settings, tmp_path, models):
    settings.models = models
    write_run(settings, 0, state=False, best=False)
    first = SimpleNamespace(**{**vars(settings), "output": member_folders(settings)[0]})
    recorded = [settings, first]
    for each in recorded:
        check_data(each.output, checksums_of(each))
    settings.length_penalty, settings.valid = 0.5, str(tmp_path / "others.tsv")
    write_text(settings.valid, "c\td\n")
    assert not check_folder(settings)
    for each in recorded:
        each.valid = settings.valid
        check_data(each.output, checksums_of(each))


def test_paths_may_have_bytes_that_are_not_utf_8(settings, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.tsv")
    write_text(path, "a\tb\n")
    settings.train, settings.valid = [path], path
    write_run(settings, 1)
    for _ in range(2):  # recorded, then compared
        check_data(settings.output, checksums_of(settings))
    assert read_config(f"{settings.output}/settings.yaml")["valid"] == path


def test_a_claimed_folder_is_removed_if_nothing_was_written(tmp_path):
    folder = tmp_path / "runs" / "one"
    with claimed(str(folder)):
        assert [path.name for path in folder.iterdir()] == [".lock"]
    assert list(tmp_path.iterdir()) == []
    with claimed(str(folder)):
        (folder / "best.keras").touch()
    assert [path.name for path in folder.iterdir()] == ["best.keras"]


@pytest.mark.parametrize("below", ["", "one/two"])
def test_a_file_is_no_run_folder(tmp_path, below):
    (tmp_path / "file").touch()
    error = pytest.raises(NotADirectoryError, match=r"file: a file\. Expected: a folder")
    with error, claimed(os.path.join(tmp_path, "file", below)):
        pass
