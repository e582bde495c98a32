"""Tokenizers, attentions and copying, through a file and every export: the same answers."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.served_litert import write

import keras_s2s as s2s
from keras_s2s.export.saved_model_session import SavedModelSession
from keras_s2s.export.served_module import ServedModule, save, trace
from keras_s2s.export.sessions import LiteRTSession, OnnxSession
from keras_s2s.special_ids import EOS_ID

KNOWN = ["low lower V;PST", "new newest N;PL", "wide"]
LONG = "low new wide " * 8
TEXTS = ["low V;PST", "newest é", "wide lower new N;;PL", "日本", "", LONG]
# The tokens of LONG are more than this: no hypothesis. All other texts have fewer.
MAX_SOURCE_LENGTH = 23
TOKENIZERS = {
    "bytes": s2s.ByteTokenizer,
    "characters": lambda: s2s.CharTokenizer.train(KNOWN),
    "decomposed characters": lambda: s2s.DecomposedCharTokenizer.train([*KNOWN, "é 日 각"]),
    "words": lambda: s2s.WordTokenizer.train(KNOWN),
    "features": lambda: s2s.FeatureTokenizer.train(KNOWN),
    "pieces": lambda: s2s.SentencePieceTokenizer.train(KNOWN, vocabulary_size=24),
}
# Every tokenizer, and each kind of attention, with and without copying. The tests of each export
# cover further combinations.
KINDS = {
    ("bytes", None, False): [pytest.mark.slow],
    ("words", "monotonic", True): [],
    ("characters", "luong", True): [pytest.mark.slow],
    ("features", "monotonic", False): [pytest.mark.slow],
    ("pieces", "luong", False): [pytest.mark.slow],
    ("bytes", "bahdanau", False): [pytest.mark.slow],
    ("decomposed characters", "luong", True): [pytest.mark.slow],
    ("words", "luong_concat", True): [pytest.mark.slow],
    ("characters", "luong_dot", False): [pytest.mark.slow],
}


def make_translator(tokenizer, attention, copy):
    """Random weights, scaled so that answers differ from text to text."""
    both = TOKENIZERS[tokenizer]()
    model = s2s.Seq2Seq(
        # Luong's dot product needs memory of the decoder's size.
        s2s.LSTMEncoder(both.vocabulary_size, 5, bidirectional=attention != "luong_dot"),
        s2s.LSTMDecoder(both.vocabulary_size, 5, attention=attention, copy=copy),
        copy_ids=s2s.copy_ids(both, both) if copy else None,
    )
    generator = np.random.default_rng(7)
    for weight in model.weights:
        weight.assign(1.5 * generator.normal(size=weight.shape))
    model.decoder.logits.bias.assign_add(2 * np.eye(both.vocabulary_size)[EOS_ID])
    return s2s.Translator(
        model,
        both,
        both,
        search=s2s.BeamSearch(beam_width=3, num_hypotheses=2, max_length=6),
        max_source_length=6 if tokenizer == "words" else MAX_SOURCE_LENGTH,
    )


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=marks) for kind, marks in KINDS.items()],
    ids=lambda kind: "-".join(map(str, kind)),
)
def translator(request):
    keras.utils.set_random_seed(0)
    return make_translator(*request.param)


@pytest.fixture(scope="module")
def expected(translator):
    """The model's answers to texts and to their ids."""
    source_ids = translator.source.tokenize(TEXTS).numpy()
    by_text = translator(tf.constant(TEXTS))
    by_ids = translator.search_ids(tf.constant(source_ids), translator.search)
    answers = {name: value.numpy() for name, value in {**by_text, **by_ids}.items()}
    assert len(set(answers["scores"][:, 0].round(3))) > 3
    rejected = [text in ("", LONG) for text in TEXTS]
    assert (answers["lengths"] == 0).all(axis=1).tolist() == rejected
    assert (answers["scores"] == -1e9).all(axis=1).tolist() == rejected
    return {"source_ids": source_ids, **answers}


def assert_same(found, expected):
    """Compare answers to texts or to ids."""
    assert {"scores", "log_probs"} < set(found) < set(expected)
    for name, value in found.items():
        if name in ("scores", "log_probs"):
            np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-4)
        elif name == "target_ids":  # a runtime may pad them to the maximum length
            length = expected[name].shape[2]
            np.testing.assert_array_equal(value[:, :, :length], expected[name])
            assert not np.any(value[:, :, length:])
        else:
            np.testing.assert_array_equal(value, expected[name])


def strings():
    return np.array([text.encode() for text in TEXTS], dtype=object)


def test_a_keras_file_restores_the_translator(translator, expected, tmp_path):
    translator.save(tmp_path / "t.keras")
    loaded = s2s.load(tmp_path / "t.keras")
    assert_same(loaded(tf.constant(TEXTS)), expected)
    some = TEXTS[:3]
    assert loaded.translate(some) == [
        text.decode("utf-8", "replace") for text in expected["target"][:3, 0]
    ]


@pytest.fixture(scope="module")
def saved_model(translator, tmp_path_factory):
    """A SavedModel without the built-in checks, which these tests perform themselves."""
    folder = str(tmp_path_factory.mktemp("served"))
    names = ("serving_default", "ids")
    save(ServedModule(translator, names), trace(translator, names), folder)
    return folder


def test_a_saved_model_answers_to_texts_and_to_ids(saved_model, expected):
    with SavedModelSession(saved_model) as session:
        assert_same(session("serving_default", {"source": strings()}), expected)
        assert_same(session("ids", {"source_ids": expected["source_ids"]}), expected)


def test_a_litert_file_answers_to_texts_and_to_ids(translator, expected, tmp_path):
    path = write(translator, tmp_path / "t.tflite", "serving_default", "ids")
    assert_same(LiteRTSession(path)("serving_default", {"source": strings()}), expected)
    built_in = LiteRTSession(path, text_operations=False)
    assert_same(built_in("ids", {"source_ids": expected["source_ids"]}), expected)


@pytest.mark.slow
def test_an_onnx_file_answers_to_ids(translator, expected, tmp_path):
    pytest.importorskip("tf2onnx")
    path = s2s.export.onnx(translator, tmp_path / "t.onnx")
    assert_same(OnnxSession(path)("ids", {"source_ids": expected["source_ids"]}), expected)


@pytest.mark.slow
def test_exports_of_ids_alone_return_the_answers_of_the_model(
    translator, expected, tmp_path, monkeypatch
):
    folder = s2s.export.saved_model(translator, tmp_path / "served", signatures=("ids",))
    asked = {"source_ids": expected["source_ids"]}
    with SavedModelSession(folder) as session:
        assert_same(session("ids", asked), expected)
    path = s2s.export.litert(translator, tmp_path / "t.tflite", signatures=("ids",))
    assert_same(LiteRTSession(path, text_operations=False)("ids", asked), expected)
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)  # sends nothing, forks nothing
    openvino = pytest.importorskip("openvino")
    answers = openvino.compile_model(openvino.convert_model(folder), "CPU")(asked)
    names = ("target_ids", "lengths", "scores", "log_probs")
    assert_same({name: answers[name] for name in names}, expected)
