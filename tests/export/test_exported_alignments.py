"""Monotonic attention, copying and features run in a SavedModel and in LiteRT."""

from __future__ import annotations

import numpy as np
import pytest

import keras_s2s as s2s
from keras_s2s.export.litert_runner import LiteRTRunner
from keras_s2s.special_ids import EOS_ID

TEXTS = ["go by V;PST", "abba V;3;SG", "a V"]
KINDS = {
    "monotonic, copy": {"attention": "monotonic", "copy": True},
    "luong, copy": {"attention": "luong", "copy": True},
}


def make_translator(options, **kwargs):
    source, target = s2s.FeatureTokenizer.train(TEXTS), s2s.CharTokenizer.train(["abgo yed"])
    model = s2s.Seq2Seq(
        s2s.LSTMEncoder(source.vocabulary_size, 4, bidirectional=True),
        s2s.LSTMDecoder(target.vocabulary_size, 4, **options),
        copy_ids=s2s.copy_ids(source, target),
    )
    random = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape))
    model.decoder.logits.bias.assign_add(2 * np.eye(target.vocabulary_size)[EOS_ID])
    search = s2s.BeamSearch(beam_width=3, num_hypotheses=2, max_length=6)
    return s2s.Translator(model, source, target, search=search, **kwargs)


# The exports compare every signature with the model, and refuse to finish where one differs.
@pytest.mark.parametrize(
    "kind", ["monotonic, copy", pytest.param("luong, copy", marks=pytest.mark.slow)]
)
@pytest.mark.slow
def test_an_export_returns_the_answers_of_the_model(kind, tmp_path):
    translator = make_translator(KINDS[kind], replace_unknown=True)
    s2s.export.saved_model(translator, str(tmp_path / "served"))
    signatures = ("serving_default", "score")
    s2s.export.litert(translator, str(tmp_path / "model.tflite"), signatures=signatures)
    runner = LiteRTRunner(str(tmp_path / "model.tflite"))
    assert runner.translate(TEXTS) == translator.translate(TEXTS)


@pytest.mark.slow
def test_a_saved_translator_is_loaded_with_its_features(tmp_path):
    translator = make_translator(KINDS["monotonic, copy"])
    translator.save(tmp_path / "inflection.keras")
    loaded = s2s.load(tmp_path / "inflection.keras")
    assert loaded.translate(TEXTS) == translator.translate(TEXTS)
