"""`.ci/environment.py` reports problems clearly."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / ".ci" / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0)])
def test_a_python_without_tensorflow_is_rejected(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(environment.SetupError, match=r"needs Python 3\.11 to 3\.13.* is Python 3"):
        environment.check_python()


def test_a_python_without_venv_is_rejected(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(environment.SetupError, match="apt install python3-venv"):
        environment.check_python()


def test_a_folder_that_is_not_an_environment_is_left_alone(
    environment: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(
        environment.SetupError, match=r"is not an environment\. Nothing was changed"
    ):
        environment.create(str(tmp_path))
    assert (tmp_path / "thesis.txt").exists()


def test_pip_is_used_where_uv_fails(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = []

    def run(command: list[str]) -> bool:
        commands.append(command[2:])
        return command[2] == "pip"

    monkeypatch.setattr(environment, "run", run)
    monkeypatch.setattr(environment, "has_uv", lambda python: True)
    environment.install("folder", "python", "dev")
    assert commands == [
        ["uv", "pip", "install", "--quiet", "--editable", ".[dev]"],
        ["pip", "install", "--editable", ".[dev]"],
    ]
    assert "Continuing with pip" in capsys.readouterr().out


def test_a_failing_pip_is_reported(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "run", lambda command: False)
    with pytest.raises(environment.SetupError, match=r"pip could not install keras_s2s\[dev\]"):
        environment.install("folder", sys.executable, "dev")


def test_an_index_that_pip_is_told_to_use_is_used(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    monkeypatch.delenv("UV_INDEX_URL", raising=False)
    monkeypatch.setattr(environment, "run", lambda command: True)  # uv could be installed
    assert not environment.has_uv(sys.executable)


def test_an_up_to_date_environment_is_not_touched(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]")
    monkeypatch.setattr(environment, "is_usable", lambda folder, python: True)
    installed = []

    def install(folder: str, python: str, extra: str) -> None:
        installed.append(extra)

    monkeypatch.setattr(environment, "install", install)
    for extra in ["examples", "examples", "dev", "dev", "examples"]:
        environment.main(".", extra)
    assert installed == ["examples", "dev"]
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'changed'")
    environment.main(".", "examples")
    assert installed == ["examples", "dev", "examples"]
