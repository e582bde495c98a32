"""Pairs and tokenizers for training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from keras_s2s import CharTokenizer, WordTokenizer
from keras_s2s.cli.settings_file import complete
from keras_s2s.cli.training_data import make_data
from keras_s2s.cli.training_pairs import read_training_pairs

ESCAPED = {ord("("): r"\(", ord(")"): r"\)"}


@pytest.fixture
def files(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("ab ba\tone two\nba\ttwo\n", "utf-8")
    return {"train": [str(path)], "valid": str(path), "source_tokenizer": "subword"}


def _make_data(given, initial=None):
    settings = complete(given)
    return make_data(settings, read_training_pairs(settings), initial)


def test_a_subword_vocabulary_is_as_large_as_the_texts_allow(files, capsys):
    _make_data(files)
    assert "Source vocabulary: fewer than 8,000 subwords, because" in capsys.readouterr().out


def test_a_subword_vocabulary_that_is_too_large_names_the_setting(files):
    with pytest.raises(ValueError, match=r"`source_vocabulary_size` must be at most \d+ for these"):
        _make_data({**files, "source_vocabulary_size": 500})


@pytest.mark.parametrize(
    ("target", "kind", "suggested"),
    [("HH AH0 L OW1", "char", True), ("HH AH0 L OW1", "word", False), ("one two", "char", False)],
)
def test_a_word_tokenizer_is_suggested_for_symbols(target, kind, suggested, files, capsys):
    Path(files["valid"]).write_text(f"ab\t{target}\n", "utf-8")
    _make_data({**files, "source_tokenizer": "char", "target_tokenizer": kind})
    assert ("--target-tokenizer word" in capsys.readouterr().err) == suggested


@pytest.mark.parametrize(
    ("letters", "given", "expected"),
    [(20, {}, 1000), (1200, {}, 1201), (1200, {"max_source_length": 1100}, 1100)],
)
def test_a_model_accepts_the_sources_that_it_is_trained_on(files, letters, given, expected):
    Path(files["valid"]).write_text(f"{letters * 'a'}\tb\n", "utf-8")
    data = _make_data({**files, "source_tokenizer": "char", **given})
    assert data.max_source_length == expected


def _initial(source, target):
    return SimpleNamespace(
        source=CharTokenizer.train([source]), target=WordTokenizer.train([target])
    )


@pytest.mark.parametrize(
    ("texts", "lacking"),
    [
        (("xyz", "one two"), "source vocabulary .* 100.0% (such as 'a', 'b', ' ') of their source"),
        (("ab ", "three"), "target vocabulary .* 100.0% (such as 'two', 'one') of their target"),
    ],
)
def test_a_vocabulary_that_lacks_most_tokens_is_refused(texts, lacking, files):
    given = {**files, "source_tokenizer": None, "init_from": "m.keras"}
    with pytest.raises(ValueError, match=f"m.keras: its {lacking}".translate(ESCAPED)):
        _make_data(given, _initial(*texts))


def test_a_vocabulary_size_without_effect_is_reported(files, capsys):
    given = {**files, "source_tokenizer": None, "teacher": "m.keras", "target_vocabulary_size": 9}
    _make_data({**given, "source_vocabulary_size": 7}, _initial("ab ", "one two"))
    warnings = [line for line in capsys.readouterr().err.splitlines() if "no effect" in line]
    assert warnings == [
        "keras-s2s: warning: `target_vocabulary_size: 9` has no effect: the target vocabulary is "
        "that of m.keras, with 6 tokens"
    ]


def test_bytes_have_no_vocabulary_size(files, capsys):
    _make_data({**files, "source_tokenizer": "byte", "source_vocabulary_size": 6})
    expected = (
        "`source_vocabulary_size: 6` has no effect: the source vocabulary is the bytes, with 260"
    )
    assert expected in capsys.readouterr().err


def test_a_vocabulary_that_lacks_some_tokens_is_reported(files, capsys):
    _make_data({**files, "source_tokenizer": None, "teacher": "m.keras"}, _initial("ab ", "two"))
    expected = "warning: the target vocabulary of m.keras lacks 33.3% (such as 'one') of the target"
    assert expected in capsys.readouterr().err
