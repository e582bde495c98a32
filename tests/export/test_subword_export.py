"""A subword translator returns the same answers in a SavedModel and a LiteRT file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import keras_s2s as s2s
from keras_s2s.export.saved_model_session import SavedModelSession, read_saved_model
from keras_s2s.export.served_module import ServedModule, check_operations, save, trace
from keras_s2s.export.sessions import LiteRTSession
from keras_s2s.special_ids import EOS_ID, UNK_ID

TEXTS = ["low lower lowest", "new newer newest", "wide wider widest"]
# Known and unknown words and characters, what normalization changes, and nothing.
PROBES = ["the widest", "ＬＯＷ  ﬁne\tnew ", "naïve 日本 👩🏽‍🚀", "", "x" * 70]
SOURCE = np.array([text.encode() for text in PROBES], dtype=object)


@pytest.fixture(scope="module")
def translator():
    source = s2s.SentencePieceTokenizer.train(TEXTS, vocabulary_size=20)
    target = s2s.SentencePieceTokenizer.train(TEXTS[::-1], vocabulary_size=18)
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 6, bidirectional=True),
        s2s.LSTMDecoder(target.vocabulary_size, 6, attention="luong"),
    )
    generator = np.random.default_rng(12)
    for weight in model.weights:
        weight.assign(2 * generator.normal(size=weight.shape))
    bias = model.decoder.logits.bias.numpy()
    bias[[EOS_ID, UNK_ID]] = 0, -9
    model.decoder.logits.bias.assign(bias)
    search = s2s.BeamSearch(beam_width=2, num_hypotheses=2, max_length=8)
    return s2s.Translator(model, source, target, search=search)


@pytest.fixture(scope="module")
def saved(translator, tmp_path_factory):
    """A SavedModel with one signature, which is faster to export than all."""
    folder = str(tmp_path_factory.mktemp("subword"))
    save(ServedModule(translator), trace(translator, ["greedy"]), folder)
    return folder


def test_a_saved_model_returns_the_translators_answers(translator, saved):
    (meta_graph,) = read_saved_model(saved).meta_graphs
    assert "TFText>FastSentencepieceTokenize" in check_operations(meta_graph.graph_def)
    with SavedModelSession(saved) as session:
        _check_answers(translator, session("greedy", {"source": SOURCE}))


@pytest.mark.slow
def test_litert_returns_the_translators_answers(translator, saved, tmp_path):
    converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=["greedy"])
    converter.allow_custom_ops = True
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    _check_answers(translator, LiteRTSession(str(path))("greedy", {"source": SOURCE}))


def _check_answers(translator: s2s.Translator, found: dict[str, Any]) -> None:
    expected = translator.search_texts(tf.constant(PROBES), translator.greedy_search())
    np.testing.assert_array_equal(found["target"], expected["target"])
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-5)
    assert len(set(np.ravel(found["target"]))) > 2


@pytest.mark.slow
def test_the_keras_file_restores_both_models(translator, tmp_path):
    translator.save(tmp_path / "subword.keras")
    loaded = s2s.load(tmp_path / "subword.keras")
    assert loaded.source.proto == translator.source.proto
    assert loaded.target.proto == translator.target.proto
    assert loaded.translate(PROBES[:1]) == translator.translate(PROBES[:1])
