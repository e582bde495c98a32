"""Tokens of a word's characters and its features."""

from __future__ import annotations

import random

import pytest

from keras_s2s.tokenizers import FeatureTokenizer, Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[BOS]", "[EOS]"]


def read(tokenizer: Tokenizer, text: str | bytes) -> list[str]:
    """Return the tokens of a text in the graph, without eos."""
    return [tokenizer.vocabulary[number] for number in tokenizer.tokenize([text]).numpy()[0][:-1]]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("walk V;PST", ["w", "a", "l", "k", ";V", ";PST"]),
        ("walk\tV;PST", ["w", "a", "l", "k", ";V", ";PST"]),
        ("go by V;V.PTCP", ["g", "o", " ", "b", "y", ";V", ";V.PTCP"]),
        ("walk", ["w", "a", "l", "k"]),
        ("a;b ADJ;ACC(PL)", ["a", ";", "b", ";ADJ", ";ACC(PL)"]),
        (" a  ;;V;;PST; ", ["a", ";V", ";PST"]),
        ("a\u3000b\u3000V", ["a", "\u3000", "b", ";V"]),
        ("", []),
        ("  ", []),
    ],
)
def test_a_text_is_characters_and_then_features(text, tokens):
    assert FeatureTokenizer.split_text(text) == tokens
    assert read(FeatureTokenizer([*SPECIAL, *dict.fromkeys([*tokens, "x"])]), text) == tokens


def test_a_feature_differs_from_the_letter_with_its_spelling():
    tokenizer = FeatureTokenizer.train(["V V;x", "x V"])
    assert read(tokenizer, "VxV x;V") == ["V", "x", "V", ";x", ";V"]


def test_each_unknown_token_becomes_one_unk():
    tokenizer = FeatureTokenizer.train(["ab V;PST"])
    assert read(tokenizer, "acb N;PST") == ["a", "[UNK]", "b", "[UNK]", ";PST"]
    assert read(tokenizer, b"a\xff V") == ["a", "[UNK]", ";V"]


def test_without_features_in_training_all_features_are_unknown():
    assert read(FeatureTokenizer.train(["ab"]), "a V") == ["a", "[UNK]"]


def test_python_and_graph_split_texts_equally():
    draw = random.Random(0)
    texts = ["".join(draw.choices("aV;  \u3000é\t€", k=draw.randrange(12))) for _ in range(300)]
    tokens = {token for text in texts for token in FeatureTokenizer.split_text(text)}
    tokenizer = FeatureTokenizer([*SPECIAL, *sorted(tokens)])
    rows = tokenizer.tokenize(texts).numpy()
    for text, row in zip(texts, rows, strict=True):
        expected = FeatureTokenizer.split_text(text)
        assert [tokenizer.vocabulary[number] for number in row[: len(expected)]] == expected
        assert list(row[len(expected) :]) == [3, *[0] * (len(row) - len(expected) - 1)]


@pytest.mark.parametrize("text", ["walk V;PST", "go by V;V.PTCP;PRS", "walk", "a;b ADJ"])
@pytest.mark.sampled(3)
def test_a_text_survives_a_round_trip(text):
    tokenizer = FeatureTokenizer.train([text])
    assert tokenizer.detokenize(tokenizer.tokenize(text)).numpy().decode() == text


@pytest.mark.parametrize("token", ["ab", ";a;b", ";a b", ";;", ""])
def test_an_impossible_token_is_refused(token):
    with pytest.raises(
        ValueError, match="`vocabulary` of FeatureTokenizer must contain only tokens that"
    ):
        FeatureTokenizer([*SPECIAL, "a", token])


def test_assets_restore_the_vocabulary(tmp_path):
    tokenizer, loaded = FeatureTokenizer.train(["ab V;PST"]), FeatureTokenizer()
    tokenizer.save_assets(str(tmp_path))
    loaded.load_assets(str(tmp_path))
    assert loaded.vocabulary == tokenizer.vocabulary
    assert read(loaded, "ab V;PST") == ["a", "b", ";V", ";PST"]
