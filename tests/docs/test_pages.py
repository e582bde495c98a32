"""The programs in README and documentation run as printed, and links are valid."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import keras_s2s

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {str(path.relative_to(DOCS)): path.read_text("utf-8") for path in DOCS.rglob("*.md")}


def programs(text):
    """Return the Python code of a page, with its line numbers for tracebacks."""
    lines, inside = [], False
    for line in text.splitlines():
        if inside and line == "```":
            inside = False
        lines.append(line if inside else "")
        if line == "```python":
            inside = True
    return "\n".join(lines)


WITH_PROGRAMS = sorted(page for page, text in PAGES.items() if programs(text).strip())


# TensorFlow's variables do not know NumPy 2's `copy` yet, and Keras saves them
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("page", WITH_PROGRAMS)
def test_the_program_of_a_page_runs_as_printed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(programs(PAGES[page]), page, "exec"), {"__name__": "__main__"})  # noqa: S102


def test_there_are_programs_to_run():
    assert {"tutorial.md", "how-to/lexicon.md"} <= set(WITH_PROGRAMS)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_links_of_a_page_lead_to_files(page):
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", PAGES[page]):
        if not re.match(r"[a-z]+:", link):
            assert (DOCS / page).parent.joinpath(link).resolve().is_file(), link


def pages_of(menu):
    """Return the pages of a part of the menu."""
    if isinstance(menu, str):
        return [menu]
    parts = menu.values() if isinstance(menu, dict) else menu
    return [page for part in parts for page in pages_of(part)]


def test_every_page_is_in_the_menu():
    text = (DOCS.parent / "mkdocs.yml").read_text("utf-8")
    menu = yaml.safe_load(text[text.index("\nnav:") :])["nav"]
    assert sorted(pages_of(menu)) == sorted(PAGES)


PUBLIC_NAMES = [
    f"{module.__name__}.{name}"
    for module in (keras_s2s, keras_s2s.evaluation, keras_s2s.export, keras_s2s.plots)
    for name in module.__all__
    if name not in keras_s2s._SUBMODULES
]


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_every_public_name_is_in_the_reference(name):
    pages = "".join(text for page, text in PAGES.items() if page.startswith("reference"))
    assert f"\n::: {name}\n" in pages


# Not --quiet: then mkdocs would not count its warnings.
@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"],
        cwd=DOCS.parent,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = (tmp_path / "site" / "reference").glob("*/index.html")
    reference = "".join(page.read_text("utf-8") for page in pages)
    for name in (
        "BeamSearch",
        "CharTokenizer.train",
        "Seq2Seq.feed_own_outputs",
        "Seq2Seq.fit",
        "Seq2Seq.log_prob",
        "Seq2Seq.search",
        "WordTokenizer.tokenize",
        "export.LiteRTRunner.translate",
        "Search.__call__",
    ):
        assert f'id="keras_s2s.{name}"' in reference, name
    assert "**settings" not in reference
    assert "<blockquote>" not in reference  # a doctest that was rendered as text


README = (DOCS.parent / "README.md").read_text("utf-8")
(README_PROGRAM,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
def test_the_readme_s_first_program_runs_as_printed(tmp_path):
    program = README_PROGRAM
    assert len([line for line in program.splitlines() if line]) == 20
    expected = re.search(r"# (\['.*'\])", program).group(1)
    (tmp_path / "dates.py").write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, "dates.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert expected in done.stdout
    made = {path.name for path in tmp_path.iterdir()}
    assert {"dates.keras", "dates.tflite", "serving"} <= made
    assert (tmp_path / "serving" / "dates" / "1" / "saved_model.pb").is_file()
