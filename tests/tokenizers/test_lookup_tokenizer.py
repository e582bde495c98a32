"""Training, validating and saving the vocabulary of char and word tokenizers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.runtimes import NASTY_TEXTS

from keras_s2s.tokenizers import CharTokenizer, WordTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[BOS]", "[EOS]"]
BOTH = pytest.mark.parametrize("kind", [CharTokenizer, WordTokenizer])


def test_the_vocabulary_is_sorted_by_frequency_then_code_point():
    assert CharTokenizer.train(["cab", "bc", "zB"]).vocabulary == [*SPECIAL, *"bcBaz"]
    words = WordTokenizer.train(["the cat", "The cat sat", "a"]).vocabulary
    assert words == [*SPECIAL, "cat", "The", "a", "sat", "the"]


@BOTH
def test_the_order_of_the_texts_does_not_change_the_vocabulary(kind):
    vocabulary = kind.train(NASTY_TEXTS).vocabulary
    assert kind.train(iter(NASTY_TEXTS[::-1])).vocabulary == vocabulary


@BOTH
def test_a_vocabulary_can_be_passed(kind):
    trained = kind.train(["a b", "b"])
    given = kind(trained.vocabulary)
    assert given.vocabulary == trained.vocabulary
    assert given.vocabulary_size == trained.vocabulary_size == len(trained.vocabulary)
    np.testing.assert_array_equal(given.tokenize(["a b c"]), trained.tokenize(["a b c"]))


def test_the_vocabulary_limit_counts_special_tokens():
    tokenizer = CharTokenizer.train(["aaabbc"], max_vocabulary_size=6)
    assert tokenizer.vocabulary == [*SPECIAL, "a", "b"]
    assert tokenizer.tokenize(["cab"]).numpy().tolist() == [[1, 4, 5, 3]]


def test_rare_tokens_are_dropped():
    assert WordTokenizer.train(["x y x", "z y"], min_count=2).vocabulary == [*SPECIAL, "x", "y"]


def test_each_unknown_token_becomes_one_unk():
    char = CharTokenizer.train(["ab"])
    assert char.tokenize(["é a€€b"]).numpy().tolist() == [[1, 1, 4, 1, 1, 5, 3]]
    word = WordTokenizer.train(["ab"])
    assert word.tokenize(["é ab €€ ab."]).numpy().tolist() == [[1, 4, 1, 1, 3]]


def test_the_spelling_of_a_special_token_is_ordinary_text():
    texts = ["[EOS] [PAD] x [UNK] [BOS]"]
    word = WordTokenizer.train(texts)
    assert word.vocabulary == [*SPECIAL, "x"]
    assert word.tokenize(texts).numpy().tolist() == [[1, 1, 4, 1, 1, 3]]
    char = CharTokenizer.train(texts)
    assert char.detokenize(char.tokenize(texts)).numpy()[0].decode() == texts[0]


@BOTH
def test_every_text_survives_a_round_trip(kind):
    tokenizer = kind.train(NASTY_TEXTS)
    ids = tokenizer.tokenize(NASTY_TEXTS).numpy()
    read = tokenizer.detokenize(ids).numpy()
    for text, row, back in zip(NASTY_TEXTS, ids.tolist(), read, strict=True):
        tokens = kind.split_text(text)
        known = [token if token not in SPECIAL else "[UNK]" for token in tokens]
        assert [tokenizer.vocabulary[i] for i in row[: row.index(3)]] == known
        pieces = [token if token not in SPECIAL else "⁇" for token in tokens]
        assert back.decode() == kind.separator.join(pieces)


@BOTH
def test_a_loaded_vocabulary_replaces_the_old_one(kind, tmp_path):
    tokenizer = kind.train(["a"])
    assert tokenizer.tokenize(["a b"]).numpy()[0, 0] == 4
    kind.train(["b"]).save_assets(str(tmp_path))
    tokenizer.load_assets(str(tmp_path))
    assert tokenizer.tokenize("b").numpy().tolist() == [4, 3]
    assert tokenizer.tokenize("a").numpy().tolist() == [1, 3]
    assert tokenizer.detokenize([4, 3]).numpy() == b"b"


@BOTH
def test_assets_restore_the_vocabulary(kind, tmp_path):
    tokenizer = kind.train(NASTY_TEXTS)
    tokenizer.save_assets(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["vocabulary.json"]
    loaded = kind.from_config(tokenizer.get_config())
    loaded.load_assets(str(tmp_path))
    assert loaded.vocabulary == tokenizer.vocabulary
    np.testing.assert_array_equal(loaded.tokenize(NASTY_TEXTS), tokenizer.tokenize(NASTY_TEXTS))


@BOTH
@pytest.mark.parametrize("use", ["tokenize", "detokenize", "vocabulary", "vocabulary_size"])
def test_a_tokenizer_without_a_vocabulary_raises_an_error(kind, use):
    arguments = {"tokenize": (["a"],), "detokenize": ([[4]],)}
    with pytest.raises(ValueError, match=f"{kind.__name__} has no vocabulary. Pass `vocabulary`"):
        getattr(kind(), use)(*arguments[use])
    with pytest.raises(ValueError, match="has no vocabulary"):
        _ = kind().tables


@BOTH
@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", ValueError, "vocabulary.json: not a JSON file in UTF-8"),
        (b'["[PAD]", ', ValueError, "not a JSON file in UTF-8"),
        (b'["\xff"]', ValueError, "not a JSON file in UTF-8"),
        (b'{"a": 1}', TypeError, "must be a list of str. Received: dict"),
        (b'["a", 1]', TypeError, "must be a list of str. Received: 1 as token 1"),
        (b'["a"]', ValueError, r"must begin with \[PAD\], \[UNK\], \[BOS\], \[EOS\]"),
    ],
)
def test_a_damaged_asset_is_refused(kind, content, error, message, tmp_path):
    (tmp_path / "vocabulary.json").write_bytes(content)
    with pytest.raises(error, match=message):
        kind().load_assets(str(tmp_path))


@BOTH
def test_a_missing_asset_is_refused(kind, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{kind.__name__} is missing. Expected: .*json"):
        kind().load_assets(str(tmp_path))


@BOTH
@pytest.mark.parametrize(
    ("vocabulary", "error", "message"),
    [
        ("abc", TypeError, "must be a list of str. Received: str"),
        (7, TypeError, "must be a list of str. Received: int"),
        ([*SPECIAL, None], TypeError, "must be a list of str. Received: None as token 4"),
        ([*SPECIAL, b"a"], TypeError, "Received: b'a' as token 4"),
        ([], ValueError, r"must begin with \[PAD\].* Received: \[\]"),
        (["a", *SPECIAL], ValueError, r"must begin with .* Received: \['a', '\[PAD\]'"),
        (
            SPECIAL,
            ValueError,
            "must have at least one token after the special tokens. Received: none",
        ),
        ([*SPECIAL, "a", "b", "a"], ValueError, "Received: 'a' as tokens 4 and 6"),
        ([*SPECIAL, "a", "[EOS]"], ValueError, r"Received: '\[EOS\]' as tokens 3 and 5"),
        ([*SPECIAL, ""], ValueError, "tokens that it splits texts into. Received: '' as token 4"),
        (
            [*SPECIAL, "a b"],
            ValueError,
            "tokens that it splits texts into. Received: 'a b' as token 4",
        ),
        ([*SPECIAL, "\ud800"], ValueError, "lone surrogate"),
    ],
)
def test_an_invalid_vocabulary_is_refused(kind, vocabulary, error, message):
    with pytest.raises(error, match=message):
        kind(vocabulary)


def test_a_vocabulary_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"`vocabulary` of CharTokenizer .* Received: 'ab'"):
        CharTokenizer([*SPECIAL, "ab"])
    with pytest.raises(ValueError, match=r"`vocabulary` of WordTokenizer .* Received: '\\u3000'"):
        WordTokenizer([*SPECIAL, "\u3000"])


@BOTH
@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("abc", TypeError, "must be an iterable of str. Received: 'abc'"),
        (3, TypeError, "must be an iterable of str. Received: 3"),
        (["a", 3], TypeError, "Received: 3 as text 1"),
        ([b"a"], TypeError, "Received: b'a' as text 0"),
        ([], ValueError, "must contain at least one token. Received: none"),
        (["", ""], ValueError, "must contain at least one token. Received: none"),
        (["a\udfff"], ValueError, "lone surrogate at position 1"),
    ],
)
def test_invalid_training_texts_are_refused(kind, texts, error, message):
    with pytest.raises(error, match=message):
        kind.train(texts)


@BOTH
def test_invalid_training_arguments_are_refused(kind):
    with pytest.raises(ValueError, match="`max_vocabulary_size` must be an integer of at least 5"):
        kind.train(["a"], max_vocabulary_size=4)
    with pytest.raises(ValueError, match="`min_count` must be a positive integer"):
        kind.train(["a"], min_count=0)
    with pytest.raises(ValueError, match=r"token that occurs 3 times. .* with 2 different tokens"):
        kind.train(["x\ty", "x"][:1] if kind is WordTokenizer else ["xy"], min_count=3)


def test_the_asset_can_be_read_without_this_package(tmp_path):
    tokenizer = CharTokenizer.train(["é\n"])
    tokenizer.save_assets(str(tmp_path))
    read = json.loads((tmp_path / "vocabulary.json").read_text(encoding="utf-8"))
    assert read == tokenizer.vocabulary
