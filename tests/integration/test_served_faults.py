"""Faults of the machine: a full disk, and a process killed in the middle of an export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_s2s.export.versions import publish, unfinished_version

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "helpers" / "served_faults.py"


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    """The folder of failed exports, and the errors on the full disk."""
    folder = tmp_path_factory.mktemp("faults")
    process = subprocess.Popen(
        [sys.executable, PROGRAM, folder],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
    )
    with process:
        errors = process.stdout.readline()
        assert process.stdout.readline() == "checking\n"
        process.kill()
    return folder, json.loads(errors)


@pytest.mark.parametrize(("number", "place"), [(0, "full/model/"), (1, "full.tflite")])
def test_a_full_disk_is_reported_with_the_place(faults, number, place):
    folder, errors = faults
    kind, message = errors[number]
    assert kind == "OSError"
    assert str(folder / place) in message
    assert "File too large" in message


def test_a_full_disk_leaves_nothing(faults):
    folder, _ = faults
    assert sorted(os.listdir(folder)) == ["killed"]


def test_a_killed_export_leaves_no_version(faults):
    folder, _ = faults
    (name,) = os.listdir(folder / "killed")
    assert os.path.isfile(folder / "killed" / name / "saved_model.pb")
    assert name.startswith(".")


def test_after_a_killed_export_the_next_one_is_version_one(faults):
    folder, _ = faults
    with unfinished_version(str(folder / "killed")) as unfinished:
        assert publish(unfinished, str(folder / "killed"), None) == str(folder / "killed" / "1")
