from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies

from keras_s2s.tokenizers import ByteTokenizer

TOKENIZER = ByteTokenizer()


def test_ids_are_the_bytes_after_the_special_ids():
    tokenizer = ByteTokenizer()
    assert tokenizer.tokenize([bytes(range(256))]).numpy().tolist() == [[*range(4, 260), 3]]
    assert tokenizer.vocabulary_size == len(tokenizer.vocabulary) == 260
    assert tokenizer.vocabulary[4 + 0x41] == "<0x41>"


@hypothesis.settings(max_examples=60)
@hypothesis.given(texts=strategies.lists(strategies.binary(max_size=80), max_size=3))
def test_no_byte_is_lost(texts):
    assert TOKENIZER.detokenize(TOKENIZER.tokenize(texts)).numpy().tolist() == texts


def test_the_vocabulary_does_not_depend_on_the_texts():
    assert ByteTokenizer.train(["a"]).vocabulary == ByteTokenizer().vocabulary


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([], ValueError, "must contain at least one text. Received: none"),
        ("abc", TypeError, "must be an iterable of str"),
        ([1], TypeError, "Received: 1 as text 0"),
    ],
)
def test_invalid_training_texts_are_refused(texts, error, message):
    with pytest.raises(error, match=message):
        ByteTokenizer.train(texts)
