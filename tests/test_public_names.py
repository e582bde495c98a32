"""Public names: promised, importable, and imported only when they are used."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import keras_s2s

SOURCE = Path(keras_s2s.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", keras_s2s.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(importlib.import_module("keras_s2s"), name) is not None


def test_type_checkers_see_the_names_that_are_imported_at_run_time() -> None:
    (block,) = (node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {name: f"keras_s2s.{module}" for name, module in keras_s2s._MODULE_OF.items()}
    assert seen == lazy | dict.fromkeys(keras_s2s._SUBMODULES, "keras_s2s")
    assert sorted(seen) == keras_s2s.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'keras_s2s' has no attribute 'Transformer'"):
        keras_s2s.Transformer  # noqa: B018


@pytest.mark.parametrize(
    "program",
    ["import keras_s2s", "from keras_s2s.cli.main import main; main(['train', '--help'])"],
)
def test_tensorflow_is_imported_only_when_it_is_needed(program: str) -> None:
    check = f"import sys\n{program}\nassert 'tensorflow' not in sys.modules, 'imported'"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


def test_classes_are_registered_if_keras_is_imported_already(monkeypatch) -> None:
    importlib.import_module("keras")
    imported: list[str] = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    runpy.run_path(keras_s2s.__file__)
    assert imported == ["keras_s2s.saving"]
    monkeypatch.delitem(sys.modules, "keras")
    runpy.run_path(keras_s2s.__file__)
    assert imported == ["keras_s2s.saving"]


@pytest.mark.parametrize("name", keras_s2s.export.__all__)
def test_no_module_of_the_exports_hides_a_public_name(name: str) -> None:
    for module in set(keras_s2s.export._MODULES.values()):
        importlib.import_module(f"keras_s2s.export.{module}")
    assert callable(getattr(keras_s2s.export, name))
    assert name not in keras_s2s.export._MODULES.values()


def test_dir_lists_the_public_names_only() -> None:
    importlib.import_module("keras_s2s.saving")
    assert dir(keras_s2s) == sorted(keras_s2s.__all__)
    assert dir(keras_s2s.export) == sorted(keras_s2s.export.__all__)


def test_the_package_has_its_version():
    assert keras_s2s.__version__ == importlib.metadata.version("keras-s2s")
