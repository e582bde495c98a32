"""The wheel: built, installed in a fresh environment, used outside the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
SOURCES = ["pyproject.toml", "README.md", "LICENSE", "keras_s2s", "export"]


def _run(*command: str | Path, cwd: Path) -> str:
    """Run a command and return its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source archive, and the wheel from it, outside the checkout."""
    folder = tmp_path_factory.mktemp("build")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, folder / name)
    _run(sys.executable, "-m", "build", "--no-isolation", cwd=folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel in a fresh environment that uses the TensorFlow of this one."""
    folder = tmp_path_factory.mktemp("elsewhere").resolve() / "venv"
    venv.create(folder, symlinks=True)
    _run(
        *(sys.executable, "-m", "pip", "--python", folder / "bin" / "python"),
        *("install", "--quiet", "--no-deps", "--no-index", wheel),
        cwd=folder,
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    # A plain path in a .pth file comes last in sys.path, and the .pth files in it, an editable
    # install of the checkout among them, are not read.
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def test_the_wheel_contains_only_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "keras_s2s",
        f"keras_s2s-{VERSION}.dist-info",
    }
    assert "keras_s2s/py.typed" in names
    assert "keras_s2s/export/__init__.py" in names


def test_the_wheel_contains_every_module(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    package = {
        f"keras_s2s/{file.relative_to(ROOT / 'keras_s2s')}" for file in _modules("keras_s2s")
    }
    export = {
        f"keras_s2s/export/{file.relative_to(ROOT / 'export')}" for file in _modules("export")
    }
    assert names == package | export


def test_the_wheel_contains_the_server_templates(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if "/serving/" in name}
    files = set(os.listdir(ROOT / "export/serving")) - {"__pycache__"}
    templates = {f"keras_s2s/export/serving/{name}" for name in files}
    assert names == templates
    assert "keras_s2s/export/serving/models.config" in names


def _modules(folder: str) -> list[Path]:
    """Return the Python files under a folder of the repository, links not followed."""
    files = (ROOT / folder).rglob("*.py")
    return [file for file in files if (ROOT / "keras_s2s" / "export") not in file.parents]


def test_the_wheel_works_outside_the_checkout(installed: Path) -> None:
    program = ROOT / "tests" / "helpers" / "wheel_smoke.py"
    found = json.loads(_run(installed / "bin" / "python", "-I", program, cwd=installed))
    (packages,) = installed.glob("lib/python*/site-packages")
    assert found == {
        "keras_s2s": str(packages / "keras_s2s" / "__init__.py"),
        "keras_s2s.export": str(packages / "keras_s2s" / "export" / "__init__.py"),
        "top-level export": False,
    }
