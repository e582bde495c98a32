"""Every example runs, with less data and time than by default."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

# Keras saves TensorFlow's variables, which do not know NumPy 2's `copy` yet; Keras 3.15 warns
# where an epoch ends before its data does
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*ran out of data:UserWarning"),
]


@pytest.mark.parametrize(
    ("script", "arguments", "last"),
    [
        ("dates.py", "--pairs 1400 --epochs 1", r"\d+ of 1000 test dates are wrong"),
        ("inflection.py", "--pairs 900 --epochs 1", r"forms wrong [\d.]+ %"),
        ("spelled_numbers.py", "--pairs 1700 --epochs 1", r"\d+ of 1000 test numbers are wrong"),
        ("transliteration.py", "--script hi --epochs 1", r"characters wrong [\d.]+ %"),
        ("translation.py", "--minutes 0.05 --units 32 --pieces 700", r"chrF [\d.]+  nrefs"),
    ],
)
def test_an_example_runs(script, arguments, last, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *arguments.split()])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    assert re.search(last, capsys.readouterr().out)
    assert list(tmp_path.glob("*.keras"))


NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


def test_notebooks_are_found():
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads((EXAMPLES / name).read_text("utf-8"))["cells"]
    names: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), f"{name}, cell {number}", "exec")
            exec(code, names)  # noqa: S102
