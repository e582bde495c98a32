"""Pairs and tokenizers of a training."""

from __future__ import annotations

import pytest

from keras_s2s.cli.settings import complete
from keras_s2s.cli.training_data import make_data
from keras_s2s.cli.training_pairs import read_training_pairs


@pytest.fixture
def files(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("ab ba\tone two\nba\ttwo\n", "utf-8")
    return {"train": [str(path)], "valid": str(path), "source_tokenizer": "subword"}


def _make_data(given):
    settings = complete(given)
    return make_data(settings, read_training_pairs(settings))


def test_a_subword_vocabulary_is_as_large_as_the_texts_allow(files, capsys):
    data = _make_data(files)
    size = data.source.vocabulary_size
    assert f"source: {size} subwords instead of 8,000, because" in capsys.readouterr().out


def test_a_subword_vocabulary_that_is_too_large_names_the_setting(files):
    with pytest.raises(ValueError, match=r"`source_vocabulary_size` must be at most \d+ for these"):
        _make_data({**files, "source_vocabulary_size": 500})
