"""Training, validating and saving the model of a subword tokenizer."""

from __future__ import annotations

import hashlib
import io
import sys
from typing import Any, cast

import hypothesis
import numpy as np
import pytest
import sentencepiece
from helpers.runtimes import NASTY_TEXTS
from hypothesis import strategies
from sentencepiece import sentencepiece_model_pb2

from keras_s2s.tokenizers import SentencePieceTokenizer
from keras_s2s.tokenizers.tokenizer import have_same_ids

TEXTS = [
    "the lower lowest lowly",
    "the newer newest newly",
    "the wider widest widely",
    *NASTY_TEXTS[:9],
]


@pytest.fixture(scope="module")
def tokenizer():
    return SentencePieceTokenizer.train(TEXTS, vocabulary_size=60, character_coverage=1.0)


def _trained(**options: Any) -> bytes:
    """A model that the sentencepiece package makes with other options."""
    ids = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}
    settings: dict[str, Any] = {"vocab_size": 24, "hard_vocab_limit": False, "minloglevel": 2}
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS[:3]), model_writer=proto, **ids | settings | options
    )
    return proto.getvalue()


def _changed(proto: bytes, change: Any) -> bytes:
    """A model after a change."""
    model = sentencepiece_model_pb2.ModelProto.FromString(proto)
    change(model)
    content: bytes = model.SerializeToString()
    return content


def test_a_word_is_split_into_pieces_of_the_vocabulary(tokenizer):
    texts = ["space", "widely"]
    assert "▁space" in tokenizer.vocabulary
    assert "▁widely" not in tokenizer.vocabulary
    first, second = (
        [tokenizer.vocabulary[i] for i in row if i > 3] for row in tokenizer.tokenize(texts).numpy()
    )
    assert first == ["▁space"]
    assert 1 < len(second) < len("widely")
    assert "".join(second) == "▁widely"


def test_the_vocabulary_has_the_requested_size(tokenizer):
    assert tokenizer.vocabulary_size == len(tokenizer.vocabulary) == 60
    assert tokenizer.vocabulary[:4] == ["[PAD]", "[UNK]", "[BOS]", "[EOS]"]
    assert repr(tokenizer) == "SentencePieceTokenizer(vocabulary_size=60)"
    assert repr(SentencePieceTokenizer()) == "SentencePieceTokenizer(vocabulary_size=0)"


def test_the_same_texts_give_the_same_model(tokenizer):
    again = SentencePieceTokenizer.train(iter(TEXTS), vocabulary_size=60, character_coverage=1.0)
    assert again.proto == tokenizer.proto


@hypothesis.settings(max_examples=200)
@hypothesis.given(
    strategies.text(
        strategies.sampled_from("thelow nst　ﬁ①é́👩x\0▁\t\n⁇日")
        | strategies.characters(exclude_categories=["Cs"])
    )
)
def test_the_ids_are_those_of_the_sentencepiece_package(tokenizer, text):
    expected = _processor(tokenizer).encode(text)
    assert tokenizer.tokenize([text]).numpy().tolist() == [[*expected, 3]]


def _processor(tokenizer: SentencePieceTokenizer) -> Any:
    return sentencepiece.SentencePieceProcessor(model_proto=tokenizer.proto)


def test_other_normalization_gives_other_ids():
    texts = ["ab ab abab"] * 9
    composed, again, as_is = (
        SentencePieceTokenizer.train(texts, vocabulary_size=9, normalization=rules)
        for rules in ("nmt_nfkc", "nmt_nfkc", "identity")
    )
    assert composed.vocabulary == as_is.vocabulary
    assert have_same_ids(composed, again)
    assert not have_same_ids(composed, as_is)


@pytest.mark.parametrize("text", NASTY_TEXTS, ids=ascii)
def test_texts_are_those_of_the_sentencepiece_package(tokenizer, text):
    ids = tokenizer.tokenize([text])
    read = tokenizer.detokenize(ids).numpy()[0].decode()
    expected = _processor(tokenizer).decode(_processor(tokenizer).encode(text))
    # which puts spaces around the sign for unknown text
    assert read.replace("⁇", " ⁇ ") == expected


@pytest.mark.parametrize(
    ("normalization", "read"),
    [
        ("nmt_nfkc", "The FI 1"),
        ("nfkc", "The FI 1"),
        ("nmt_nfkc_cf", "the fi 1"),
        ("nfkc_cf", "the fi 1"),
        ("identity", "Ｔhe ＦＩ ①"),
    ],
)
def test_texts_are_normalized_by_the_chosen_rule(normalization, read):
    texts = ["Ｔhe  ＦＩ ① ", "abcd"]
    tokenizer = SentencePieceTokenizer.train(
        texts,
        vocabulary_size=15,
        character_coverage=1.0,
        normalization=normalization,
    )
    assert tokenizer.detokenize(tokenizer.tokenize(texts)).numpy()[0].decode() == read


def test_the_coverage_decides_which_characters_become_unk():
    texts = ["ab" * 500, "é"]
    all_known = SentencePieceTokenizer.train(texts, vocabulary_size=8, character_coverage=1.0)
    assert 1 not in all_known.tokenize(["é"]).numpy()
    most = SentencePieceTokenizer.train(texts, vocabulary_size=8, character_coverage=0.98)
    assert 1 in most.tokenize(["é"]).numpy()


def test_a_model_of_the_sentencepiece_package_is_accepted(tokenizer, tmp_path):
    path = tmp_path / "spm.model"
    path.write_bytes(_trained())
    for proto in (path, str(path), path.read_bytes()):
        given = SentencePieceTokenizer(proto)
        expected = _processor(given).encode("the widest")
        assert given.tokenize("the widest").numpy().tolist() == [*expected, 3]
        assert given.proto == path.read_bytes()


def test_a_model_without_a_dummy_prefix_survives_a_round_trip():
    proto = _trained(add_dummy_prefix=False, remove_extra_whitespaces=False)
    tokenizer = SentencePieceTokenizer(proto)
    ids = tokenizer.tokenize(["the  new", " new "])
    assert tokenizer.detokenize(ids).numpy().tolist() == [b"the  new", b" new "]


def test_assets_restore_the_model(tokenizer, tmp_path):
    tokenizer.save_assets(str(tmp_path))
    loaded = SentencePieceTokenizer.from_config(tokenizer.get_config())
    loaded.load_assets(str(tmp_path))
    assert loaded.proto == tokenizer.proto
    np.testing.assert_array_equal(loaded.tokenize(NASTY_TEXTS), tokenizer.tokenize(NASTY_TEXTS))
    # and the package that made it reads the file too
    path = tmp_path / "sentencepiece.model"
    sentencepiece.SentencePieceProcessor(model_file=str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    line = f"{digest}  sentencepiece.model\n"
    assert (tmp_path / "sentencepiece.model.sha256").read_text() == line


def test_a_loaded_model_replaces_the_old_one(tmp_path):
    tokenizer = SentencePieceTokenizer.train(["ab"], vocabulary_size=7)
    assert 1 in tokenizer.tokenize("xy").numpy()
    SentencePieceTokenizer.train(["xy"], vocabulary_size=7).save_assets(str(tmp_path))
    tokenizer.load_assets(str(tmp_path))
    assert 1 not in tokenizer.tokenize("xy").numpy()
    assert tokenizer.detokenize(tokenizer.tokenize("xy")).numpy() == b"xy"


@pytest.mark.parametrize("name", ["sentencepiece.model", "sentencepiece.model.sha256"])
def test_a_changed_or_missing_asset_is_refused(tokenizer, name, tmp_path):
    tokenizer.save_assets(str(tmp_path))
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(content[:-3] + b"x" + content[-2:])
    with pytest.raises(ValueError, match=r"\.model: its SHA-256 differs from the one in"):
        SentencePieceTokenizer().load_assets(str(tmp_path))
    path.unlink()
    with pytest.raises(
        FileNotFoundError, match=f"SentencePieceTokenizer is missing. Expected: .*{name}"
    ):
        SentencePieceTokenizer().load_assets(str(tmp_path))


@pytest.mark.parametrize(
    "use", ["tokenize", "detokenize", "vocabulary", "vocabulary_size", "proto"]
)
def test_a_tokenizer_without_a_model_raises_an_error(use):
    arguments = {"tokenize": (["a"],), "detokenize": ([[4]],)}
    with pytest.raises(ValueError, match="SentencePieceTokenizer has no model"):
        getattr(SentencePieceTokenizer(), use)(*arguments[use])


def test_a_model_that_is_truncated_anywhere_is_refused():
    proto = _trained()
    for end in [*range(0, 400, 7), *range(400, len(proto), 4999), len(proto) - 1]:
        with pytest.raises(
            ValueError, match="`proto` must be a SentencePiece model of type unigram"
        ):
            SentencePieceTokenizer(proto[:end])


def _piece(number: int, **values: Any) -> Any:
    """A change of one piece."""

    def change(model: Any) -> None:
        for name, value in values.items():
            setattr(model.pieces[number], name, value)

    return change


def _charsmap(content: bytes) -> Any:
    """A change of the map of characters."""

    def change(model: Any) -> None:
        model.normalizer_spec.precompiled_charsmap = content

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_piece(7, type=6), "its piece 7 is a byte, which LiteRT's tokenizer does not have"),
        (_piece(7, type=4), "its piece 7 is a user-defined symbol"),
        (_piece(0, type=1), "its piece 0 is a piece of type 1"),
        (_piece(7, piece=""), "damaged: its piece 7 is ''"),
        (_piece(7, piece="a\0"), r"damaged: its piece 7 is 'a\\x00'"),
        (_piece(7, score=float("nan")), "damaged: its piece 7 is '.*', score nan"),
        (_piece(7, piece="▁"), "damaged: it contains a piece twice"),
        (lambda model: model.ClearField("normalizer_spec"), "it lacks pieces or settings"),
        (lambda model: model.ClearField("pieces"), "it lacks pieces or settings"),
        (_charsmap(b"\4\0\0"), "its character map is incomplete"),
        (_charsmap(b"\0\1\0\0" + bytes(50)), "its character map is incomplete"),
        (_charsmap(b"\0\0\0\0no end"), "its character map is incomplete"),
        # A trie whose first child is not there, and one whose replacement is not.
        (_charsmap(b"\4\0\0\0" + b"\0\5\0\0" + b"x\0"), "its character map points outside"),
        (
            _charsmap(b"\x08\0\0\0" + b"\0\5\0\0" + b"\xff\0\0\x80" + b"x\0"),
            "its character map points outside",
        ),
    ],
)
def test_an_altered_model_is_refused(change, reason):
    proto = _changed(_trained(), change)
    with pytest.raises(
        ValueError, match=f"Received: a model that cannot be used, because .*{reason}"
    ):
        SentencePieceTokenizer(proto)


def test_a_model_with_only_special_pieces_is_refused():
    def change(model: Any) -> None:
        del model.pieces[4:]

    with pytest.raises(ValueError, match="it has only special pieces"):
        SentencePieceTokenizer(_changed(_trained(), change))


def test_a_model_with_a_piece_that_is_not_utf8_is_refused():
    proto = _changed(_trained(), _piece(7, piece="QQ")).replace(b"QQ", b"\xff\xfe")
    with pytest.raises(ValueError, match="damaged: its piece 7 is not UTF-8"):
        SentencePieceTokenizer(proto)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model_type": "bpe"}, r"its type is 2 \(1 is unigram\)"),
        ({"pad_id": -1}, "it has pad_id=-1"),
        ({"unk_id": 3, "eos_id": 1}, "it has unk_id=3"),
        ({"treat_whitespace_as_suffix": True}, "its pieces do not mark a space at their beginning"),
        ({"byte_fallback": True, "vocab_size": 300}, "its piece 4 is a byte"),
        ({"user_defined_symbols": ["<de>"]}, "its piece 4 is a user-defined symbol"),
    ],
    ids=str,
)
def test_a_model_of_another_kind_is_refused(options, reason):
    with pytest.raises(ValueError, match=f"cannot be used, because {reason}"):
        SentencePieceTokenizer(_trained(**options))


@pytest.mark.parametrize("proto", [b"", b"\x1f\x8b\x08", b"[PAD]\n[UNK]\n", bytes(100)], ids=repr)
def test_content_that_is_not_a_model_is_refused(proto):
    with pytest.raises(ValueError, match="cannot be used, because it is"):
        SentencePieceTokenizer(proto)


def test_a_model_must_be_bytes_or_a_file(tmp_path):
    with pytest.raises(TypeError, match=r"`proto` must be bytes or a path\. Received: \['a'\]"):
        SentencePieceTokenizer(cast("Any", ["a"]))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.model: there is no such file"):
        SentencePieceTokenizer(tmp_path / "nowhere.model")


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("abc", TypeError, "must be an iterable of str. Received: 'abc'"),
        (3, TypeError, "must be an iterable of str. Received: 3"),
        (["a", 3], TypeError, "Received: 3 as text 1"),
        ([], ValueError, "must contain at least one text that is not empty"),
        (["", " "], ValueError, "must contain at least one text that is not empty"),
        (["a\udfff"], ValueError, "lone surrogate at position 1"),
        (
            ["ab"],
            ValueError,
            r"`vocabulary_size` must be at most 7 .* Received: vocabulary_size=8000",
        ),
    ],
)
def test_invalid_training_texts_are_refused(texts, error, message):
    with pytest.raises(error, match=message):
        SentencePieceTokenizer.train(texts)


def test_without_a_size_the_vocabulary_is_as_large_as_the_texts_allow():
    most = SentencePieceTokenizer.train(["ab"], vocabulary_size=7)
    found = SentencePieceTokenizer.train(["ab"], vocabulary_size=None)
    assert found.vocabulary == most.vocabulary


def test_a_vocabulary_too_small_for_the_characters_is_refused():
    with pytest.raises(ValueError, match=r"vocabulary_size=6\. .* smaller than required_chars"):
        SentencePieceTokenizer.train(TEXTS, vocabulary_size=6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary_size": 4}, "`vocabulary_size` must be an integer of at least 5"),
        ({"character_coverage": 1.1}, "`character_coverage` must be a number between 0.98 and 1"),
        ({"normalization": "nfc"}, "`normalization` must be one of 'nmt_nfkc', 'nfkc'"),
    ],
)
def test_invalid_training_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SentencePieceTokenizer.train(TEXTS, **arguments)


def test_training_without_the_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-s2s\[subword\]'"):
        SentencePieceTokenizer.train(TEXTS)


def test_loading_and_tokenizing_need_no_sentencepiece_package(tokenizer, monkeypatch, tmp_path):
    tokenizer.save_assets(str(tmp_path))
    expected = tokenizer.tokenize(TEXTS).numpy()
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    loaded = SentencePieceTokenizer()
    loaded.load_assets(str(tmp_path))
    np.testing.assert_array_equal(loaded.tokenize(TEXTS), expected)
    assert loaded.detokenize(expected).numpy().tolist() == (
        tokenizer.detokenize(expected).numpy().tolist()
    )
