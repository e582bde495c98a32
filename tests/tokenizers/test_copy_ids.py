"""The target ids of copied source tokens."""

from __future__ import annotations

import pytest

from keras_s2s.tokenizers import (
    ByteTokenizer,
    CharTokenizer,
    FeatureTokenizer,
    WordTokenizer,
    copy_ids,
)


def test_a_token_is_copied_as_its_like_and_unk_otherwise():
    source, target = WordTokenizer.train(["a b c"]), WordTokenizer.train(["b c c d"])
    assert source.vocabulary[4:] == ["a", "b", "c"]
    assert target.vocabulary[4:] == ["c", "b", "d"]
    assert copy_ids(source, target) == [-1, 1, -1, 3, 1, 5, 4]


def test_features_are_never_copied():
    source, target = FeatureTokenizer.train(["ab a;V"]), CharTokenizer.train([";abV"])
    copied = dict(zip(source.vocabulary, copy_ids(source, target), strict=True))
    assert copied[";V"] == copied[";a"] == -1
    assert [target.vocabulary[copied[letter]] for letter in "ab"] == ["a", "b"]


def test_one_vocabulary_is_copied_as_it_is():
    tokenizer = ByteTokenizer()
    assert copy_ids(tokenizer, tokenizer)[4:] == list(range(4, 260))


def test_what_is_not_a_tokenizer_is_refused():
    with pytest.raises(TypeError, match="`target` must be a Tokenizer"):
        copy_ids(ByteTokenizer(), ["a"])
