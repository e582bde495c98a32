"""Tokenizer of decomposed characters."""

from __future__ import annotations

import unicodedata

import pytest

from keras_s2s import (
    CharTokenizer,
    DecomposedCharTokenizer,
    LSTMDecoder,
    LSTMEncoder,
    Seq2Seq,
    Translator,
)
from keras_s2s.special_ids import EOS_ID, UNK_ID

TEXTS = ["각가", "나힣", "ệ é", "ᾂ Å が", "ab", "각a한"]


@pytest.fixture(scope="module")
def tokenizer():
    return DecomposedCharTokenizer.train(TEXTS)


def test_ids_are_those_of_the_decomposed_text(tokenizer):
    plain = CharTokenizer(tokenizer.vocabulary)
    decomposed = [unicodedata.normalize("NFD", text) for text in TEXTS]
    expected = plain.tokenize(decomposed).numpy().tolist()
    assert tokenizer.tokenize(TEXTS).numpy().tolist() == expected
    assert tokenizer.tokenize(decomposed).numpy().tolist() == expected


def test_composed_and_decomposed_characters_differ_only_as_documented():
    # "ẍ" with a dot below: the composed text has the diaeresis first, the decomposed one the dot
    decomposed = "x\u0323\u0308"
    composed = unicodedata.normalize("NFC", decomposed)
    tokenizer = DecomposedCharTokenizer.train([decomposed])
    first, second, one, two = tokenizer.tokenize([composed, decomposed, "é", "e\u0301"]).numpy()
    assert first.tolist() != second.tolist()
    assert sorted(first) == sorted(second)
    assert one.tolist() == [UNK_ID, EOS_ID, 0, 0]
    assert two.tolist() == [UNK_ID, UNK_ID, EOS_ID, 0]


def test_known_parts_of_unseen_characters_have_ids():
    tokenizer = DecomposedCharTokenizer.train(["각난"])
    first = [id_ for id_ in tokenizer.tokenize("간").numpy().tolist() if id_ > 3]
    assert [tokenizer.vocabulary[id_] for id_ in first] == ["ᄀ", "ᅡ", "ᆫ"]
    assert tokenizer.tokenize("갉").numpy().tolist()[2:] == [1, 3]  # an unknown last letter


@pytest.mark.parametrize("text", ["힣", "é", "日", "x"])
def test_a_character_without_known_parts_is_one_unk(text):
    assert DecomposedCharTokenizer.train(["abc"]).tokenize(text).numpy().tolist() == [1, 3]


@pytest.mark.parametrize(
    "text", [b"\xea\xb0\x80\x80", b"\xea\xb0", b"\xc3\xb0\x80", b"\xf0\xb0\x80"]
)
def test_invalid_bytes_are_one_unk(tokenizer, text):
    assert tokenizer.tokenize([text]).numpy().tolist() == [[1, 3]]


def test_composed_tokens_are_refused():
    with pytest.raises(ValueError, match="must contain only tokens that it splits texts into"):
        DecomposedCharTokenizer(["[PAD]", "[UNK]", "[BOS]", "[EOS]", "é"])


def test_unknown_tokens_are_not_replaced_by_parts_of_characters(tokenizer):
    model = Seq2Seq(
        LSTMEncoder(tokenizer.vocabulary_size, 2),
        LSTMDecoder(tokenizer.vocabulary_size, 2, attention="luong"),
    )
    with pytest.raises(ValueError, match="source tokenizer whose tokens are parts of the text"):
        Translator(model, tokenizer, tokenizer, replace_unknown=True)
