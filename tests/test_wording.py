"""Texts are plain American English, and docstrings have Keras's sections in Keras's order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("keras_s2s", "export", "examples", "benchmarks", "docs")
MOST_WORDS = 35  # of a sentence
SECTIONS = (
    "Args",
    "Call arguments",
    "Attributes",
    "Returns",
    "Yields",
    "Raises",
    "Example",
    "References",
)

# A docstring begins with what an object is or does, not with one of these words.
FIRST_WORDS = re.compile(
    "(Gives?|How|Learns?|Lets?|Puts?|Refuses?|Says?|Takes?|Tells?|What|Where|Whether|Which)\\b"
)
PHRASES = (
    "as it was made|as they were made|behind|comes to nothing|goes on|in front of|is none of|"
    "of one's own|(?<!each )(?<!none )(?<!some )of which|shall|so many|stands there|that is none|"
    "thing to do|to begin anew"
)
BRITISH = (
    r"analys(?:e|es|ed|ing)|behaviours?|cancelled|cent(?:re|res)|colours?|favou?rites?(?<=our)|"
    r"honou?rs?(?<=our)|labelled|modelled|modelling|neighbours?|artefacts?|programmes?|travelled|"
    r"(?:capital|general|initial|maxim|minim|normal|optim|organ|quant|random|recogn|regular|serial|"
    r"special|summar|token|util|vector|visual)is(?:e|es|ed|er|ers|ing|ation|ations)"
)
FORBIDDEN = re.compile(rf"\b(?:{PHRASES}|{BRITISH})\b", re.IGNORECASE)


@cache
def _texts() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return place and text of all docstrings, and of all strings."""
    docstrings, messages = [], []
    for path in sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("keras_s2s/export/"):  # a link to export/
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node)
                if text:
                    docstrings.append((f"{name}: {getattr(node, 'name', 'module')}", text))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                messages.append((f"{name}:{node.lineno}", node.value))
    return docstrings, messages


def _docstrings() -> list[tuple[str, str]]:
    return _texts()[0]


def _messages() -> list[tuple[str, str]]:
    return _texts()[1]


@cache
def _pages() -> list[tuple[str, str]]:
    """Return the place and the prose of every Markdown page, without code and tables."""
    found = []
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")]:
        text = re.sub(r"(?ms)^```.*?^```|^    .*?$|^\|.*?$", "", path.read_text("utf-8"))
        found.append((path.relative_to(ROOT).as_posix(), text))
    return found


def _without_code(text: str) -> str:
    """Remove code, links and doctests from a text."""
    text = re.sub(r"(?ms)^```.*?^```|^\s*(?:>>>|\.\.\.|[a-z]'? =) .*?$", "", text)
    return re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+", "x", text)


def _sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text; an empty line, an item and an argument end one."""
    for block in re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.) |\n\s*[*\w]+: ", _without_code(text)):
        yield from re.split(r"(?<=[.:;!?])\s+", " ".join(block.split()))


@pytest.mark.parametrize("texts", [_docstrings, _messages, _pages])
def test_no_phrase_sounds_translated_and_spelling_is_american(texts) -> None:
    wrong = [
        f"{place}: {found.group()}"
        for place, text in texts()
        for found in FORBIDDEN.finditer(_without_code(text))
    ]
    assert wrong == []


def test_a_docstring_begins_with_what_it_describes() -> None:
    wrong = [
        f"{place}: {text.split()[0]}"
        for place, text in _docstrings()
        if FIRST_WORDS.match(text) or text[0].islower()
    ]
    assert wrong == []


def test_the_sections_of_a_docstring_are_in_order() -> None:
    wrong = []
    for place, text in _docstrings():
        found = re.findall(rf"(?m)^({'|'.join(SECTIONS)}):$", text)
        if found != sorted(set(found), key=SECTIONS.index):
            wrong.append(f"{place}: {', '.join(found)}")
    assert wrong == []


@pytest.mark.parametrize("texts", [_docstrings, _pages])
def test_no_sentence_is_longer_than_a_reader_can_hold(texts) -> None:
    wrong = [
        f"{place}: {sentence}"
        for place, text in texts()
        for sentence in _sentences(text)
        if len(sentence.split()) > MOST_WORDS
    ]
    assert wrong == []
