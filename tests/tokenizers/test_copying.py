"""Source tokens are copied to targets, as ids and as texts, in the graph and in LiteRT."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text
from ai_edge_litert.interpreter import InterpreterWithCustomOps

from keras_s2s.special_ids import EOS_ID
from keras_s2s.tokenizers import (
    ByteTokenizer,
    CharTokenizer,
    DecomposedCharTokenizer,
    FeatureTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
    copy_ids,
)
from keras_s2s.tokenizers.copying import prefer_unknown, replace_unknown
from keras_s2s.tokenizers.feature_tokenizer import is_feature
from keras_s2s.tokenizers.lookup_tokenizer import LookupTokenizer

TEXTS = ["Mr Müller 👩🏽‍🚀", "", "a　日本 b", " \t", "x" * 70 + " y", "e\u0301"]
LENGTH, WIDTH = 9, 73  # of the longest source, in characters, with eos

SOURCES = [
    WordTokenizer.train(["a b"]),
    CharTokenizer.train(["ab"]),
    FeatureTokenizer.train(["ab V"]),
]
TARGETS = [
    WordTokenizer.train(["Herr é"]),
    CharTokenizer.train(["Herr é"]),
    ByteTokenizer(),
]


def questions(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ids of three hypotheses per text, many unknown, and their attention."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, size, size=(len(TEXTS), 3, LENGTH)).astype(np.int32)
    ids[random.random(ids.shape) < 0.5] = 1
    ids[random.random(ids.shape) < 0.1] = 3
    attention = random.random(size=(len(TEXTS), 3, LENGTH, WIDTH)).astype(np.float32)
    return ids, attention


def by_hand(target: Tokenizer, ids, source: LookupTokenizer, text: str, attention) -> bytes:
    """The text of one hypothesis, by the docstring."""
    tokens = source.split_text(text)
    features = isinstance(source, FeatureTokenizer)
    copied = [place for place, token in enumerate(tokens) if not (features and is_feature(token))]
    separator = " " if isinstance(target, WordTokenizer) else ""
    pieces = [piece if isinstance(piece, bytes) else piece.encode() for piece in target.pieces()[0]]
    parts = []
    for position, id_ in enumerate(ids):
        if id_ == 3:
            break
        if id_ == 1 and tokens:
            parts.append(tokens[max(copied, key=lambda it: attention[position, it])].encode())
        elif id_ not in (0, 2):
            parts.append(pieces[id_])
    return separator.encode().join(parts)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: type(target).__name__)
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__name__)
def test_an_unknown_token_becomes_the_source_token_with_the_most_attention(source, target):
    ids, attention = questions(target.vocabulary_size)
    found = replace_unknown(target, tf.constant(ids), source, tf.constant(TEXTS), attention)
    for row, text in enumerate(TEXTS):
        for place in range(3):
            expected = by_hand(target, ids[row, place], source, text, attention[row, place])
            assert found[row, place].numpy() == expected


@pytest.mark.parametrize(
    "target",
    [
        *TARGETS,
        DecomposedCharTokenizer.train(["Herr \u00e9"]),
        FeatureTokenizer.train(["abr V;PST", "b N"]),
        SentencePieceTokenizer.train(["Herr Mr Herr"] * 9, vocabulary_size=10),
    ],
    ids=lambda target: type(target).__name__,
)
def test_without_unknown_tokens_the_text_is_that_of_detokenize(target):
    ids, attention = questions(target.vocabulary_size)
    ids[ids == 1] = 4
    found = replace_unknown(target, tf.constant(ids), SOURCES[0], tf.constant(TEXTS), attention)
    np.testing.assert_array_equal(found, target.detokenize(ids))


def test_an_unknown_token_is_replaced_between_features():
    target = FeatureTokenizer.train(["ab V;PST"])
    v, past = (target.vocabulary.index(token) for token in (";V", ";PST"))
    ids = tf.constant([[[1, v, past, 3]], [[v, 1, past, 3]]])
    attention = tf.one_hot([[[1] * 4]] * 2, 3)
    texts = tf.constant(["xyz"] * 2)
    found = replace_unknown(target, ids, CharTokenizer.train(["ab"]), texts, attention)
    assert found.numpy().tolist() == [[b"y V;PST"], [b" Vy PST"]]
    unknown = target.detokenize(ids).numpy().tolist()
    assert unknown == [["\u2047 V;PST".encode()], [" V\u2047 PST".encode()]]


@pytest.mark.parametrize(("source", "target"), list(zip(SOURCES, TARGETS, strict=False)))
@pytest.mark.slow
def test_litert_returns_the_same_texts(source, target, tmp_path):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None], tf.int32, name="ids"),
            tf.TensorSpec([None], tf.string, name="texts"),
            tf.TensorSpec([None, None, None, None], tf.float32, name="attention"),
        ]
    )
    def run(ids, texts, attention):
        return {"target": replace_unknown(target, ids, source, texts, attention)}

    module = tf.Module()
    module.run = run
    tf.saved_model.save(module, str(tmp_path), signatures=run)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = True
    litert = InterpreterWithCustomOps(
        model_content=converter.convert(),
        custom_op_registerers=tensorflow_text.tflite_registrar.SELECT_TFTEXT_OPS,
    ).get_signature_runner()
    ids, attention = questions(target.vocabulary_size)
    texts = np.array([text.encode() for text in TEXTS], dtype=object)
    for rows in (slice(None), slice(1), slice(1, 2)):
        found = litert(ids=ids[rows], texts=texts[rows], attention=attention[rows])["target"]
        np.testing.assert_array_equal(found, run(ids[rows], texts[rows], attention[rows])["target"])


def test_no_texts_have_no_answers():
    ids, attention = questions(7)
    found = replace_unknown(
        TARGETS[0], ids[:0], SOURCES[0], tf.constant([], tf.string), attention[:0]
    )
    assert found.shape == (0, 3)


def test_a_token_is_copied_as_the_same_spelling_or_unk():
    source, target = WordTokenizer.train(["a b c"]), WordTokenizer.train(["b c c d"])
    assert source.vocabulary[4:] == ["a", "b", "c"]
    assert target.vocabulary[4:] == ["c", "b", "d"]
    assert copy_ids(source, target) == [-1, 1, -1, 3, 1, 5, 4]


def test_tokenizers_with_different_spellings_copy_nothing():
    words, characters = WordTokenizer.train(["ab cd"]), CharTokenizer.train(["abcd"])
    assert max(copy_ids(characters, characters)) > EOS_ID
    assert max(copy_ids(words, characters)) <= EOS_ID


def test_features_are_never_copied():
    source, target = FeatureTokenizer.train(["ab a;V"]), CharTokenizer.train([";abV"])
    copied = dict(zip(source.vocabulary, copy_ids(source, target), strict=True))
    assert copied[";V"] == copied[";a"] == -1
    assert [target.vocabulary[copied[letter]] for letter in "ab"] == ["a", "b"]


def test_pieces_that_the_target_lacks_are_never_copied():
    source = SentencePieceTokenizer.train(["ab ab abab"] * 9, vocabulary_size=9)
    ids = copy_ids(source, CharTokenizer.train(["a"]))
    assert ids[:4] == [-1, 1, -1, 3]
    copied = dict(zip(source.vocabulary[4:], ids[4:], strict=True))
    assert copied.pop("a") == 4
    assert set(copied.values()) == {-1}


def test_tokens_that_a_model_copies_as_unk_are_preferred():
    attention = tf.constant([[[[0.9, 0.02, 0.07, 0.01], [0.1, 0.5, 0.2, 0.2]]]])
    weighted = prefer_unknown(attention, tf.constant([[4, 5, 6, 3]]), [-1, 1, -1, 3, 4, 1, 1])
    assert tf.argmax(weighted, axis=3).numpy().tolist() == [[[2, 1]]]
    known = prefer_unknown(attention, tf.constant([[4, 4, 4, 3]]), [-1, 1, -1, 3, 4, 1, 1])
    assert tf.argmax(known, axis=3).numpy().tolist() == [[[0, 1]]]  # the largest, as before


def test_a_shared_vocabulary_is_copied_unchanged():
    tokenizer = ByteTokenizer()
    assert copy_ids(tokenizer, tokenizer)[4:] == list(range(4, 260))


def test_a_tokenizer_must_be_a_tokenizer():
    with pytest.raises(TypeError, match="`target` must be a Tokenizer"):
        copy_ids(ByteTokenizer(), ["a"])
