"""The package as it is declared: names, versions, extras, and what an import needs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PYTHONS = ["3.11", "3.12", "3.13"]
EXTRAS = ["litert", "subword", "eval", "onnx", "plots", "serving", "examples"]


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_listed_packages_are_those_of_the_tree(pyproject: dict[str, Any]) -> None:
    folders = {
        "keras_s2s": ROOT / "keras_s2s",
        "keras_s2s.export": ROOT / "export",
    }
    found = {
        ".".join([package, *file.parent.relative_to(folder).parts])
        for package, folder in folders.items()
        for file in folder.rglob("*.py")
        if "export" not in file.relative_to(folder).parts
    }
    assert sorted(found) == pyproject["tool"]["setuptools"]["packages"]


def test_folders_of_packages_are_what_their_names_say(pyproject: dict[str, Any]) -> None:
    folders = {"keras_s2s": "keras_s2s", "keras_s2s.export": "export"}
    assert pyproject["tool"]["setuptools"]["package-dir"] == folders


@pytest.mark.parametrize("folder", ["keras_s2s", "export"])
def test_every_folder_of_modules_is_a_package(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        assert (file.parent / "__init__.py").exists()


def test_type_checkers_find_export_through_a_link() -> None:
    link = ROOT / "keras_s2s" / "export"
    assert link.is_symlink()
    assert link.readlink() == Path("../export")


def test_extras_are_the_promised_ones(pyproject: dict[str, Any]) -> None:
    extras = pyproject["project"]["optional-dependencies"]
    assert sorted(extras) == sorted([*EXTRAS, "all", "dev", "docs"])
    assert extras["all"] == [f"keras-s2s[{','.join(sorted(EXTRAS))}]"]


def test_every_place_names_the_same_pythons(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    label = "Programming Language :: Python :: 3."
    classifiers = [text for text in project["classifiers"] if text.startswith(label)]
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    setup = (ROOT / ".ci/environment.py").read_text(encoding="utf-8")
    assert [text.split()[-1] for text in classifiers] == PYTHONS
    assert project["requires-python"] == ">=3.11,<3.14"
    assert re.findall(r"python: (\[.*\])", workflow) == [json.dumps(PYTHONS)]
    assert "OLDEST, NEWEST = (3, 11), (3, 13)" in setup


def test_citation_has_the_version_of_the_package(pyproject: dict[str, Any]) -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {pyproject['project']['version']}\n" in citation


def test_import_needs_no_extra_and_no_tensorflow_text() -> None:
    optional = [
        "ai_edge_litert",
        "matplotlib",
        "rapidfuzz",
        "sacrebleu",
        "sentencepiece",
        "tensorflow_serving",
        "tensorflow_text",
    ]
    program = f"""
import sys
import tomllib
for name in {optional}:
    sys.modules[name] = None  # makes an import of it fail
import keras_s2s
import keras_s2s.export
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
