"""Every option of the layers can be trained, saved, and exported to SavedModel and LiteRT."""

from __future__ import annotations

import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.optioned import OPTIONED

import keras_s2s as s2s
from keras_s2s.export import litert_export, saved_model_export
from keras_s2s.special_ids import EOS_ID, UNK_ID

pytestmark = pytest.mark.slow

TEXTS = ["abcd", "d", "dcbaab"]


@pytest.fixture(scope="module", params=OPTIONED)
def trained(request) -> s2s.Translator:
    """A translator after one training step, with weights that give texts different answers."""
    keras.utils.set_random_seed(0)
    tokenizer = s2s.CharTokenizer.train(["abcd"])
    model = OPTIONED[request.param](tokenizer.vocabulary_size)
    random = np.random.default_rng(0)
    for weight in (*model.trainable_weights, model.decoder.embedding.embeddings):
        weight.assign(random.normal(size=weight.shape))
    before = [weight.numpy() for weight in model.trainable_weights]
    model.compile("sgd", loss=s2s.SequenceLoss())
    pairs = [(text, text[::-1]) for text in TEXTS]
    dataset = s2s.make_dataset(pairs, tokenizer, tokenizer, batch_size=3)
    history = model.fit(dataset, verbose=0, shuffle=False).history
    assert np.isfinite(history["loss"][0])
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.any(weight.numpy() != old), weight.path
    bias = model.decoder.logits.bias.numpy()
    bias[[EOS_ID, UNK_ID]] = 1, -30
    model.decoder.logits.bias.assign(bias)
    search = s2s.BeamSearch(beam_width=2, num_hypotheses=2, max_length=5)
    return s2s.Translator(model, tokenizer, tokenizer, search=search)


def assert_same_answers(translator, other):
    for name, value in translator(tf.constant(TEXTS)).items():
        if name == "target":
            np.testing.assert_array_equal(other[name], value)
        else:
            np.testing.assert_allclose(other[name], value, atol=1e-4)


def test_a_keras_file_loads_the_same_model(trained, tmp_path):
    trained.save(tmp_path / "t.keras")
    loaded = s2s.load(tmp_path / "t.keras")
    assert_same_answers(trained, loaded(tf.constant(TEXTS)))
    assert len(loaded.model.weights) == len(trained.model.weights)
    shares = trained.model.share_embeddings
    assert (
        loaded.model.decoder.embedding.embeddings is loaded.model.encoder.embedding.embeddings
    ) == shares


def test_a_saved_model_returns_the_answers_of_the_model(trained, tmp_path, monkeypatch):
    few = {name: saved_model_export.SIGNATURES[name] for name in ("serving_default", "score")}
    monkeypatch.setattr(saved_model_export, "SIGNATURES", few)
    path = s2s.export.saved_model(trained, tmp_path / "t", probes=TEXTS)
    served = tf.saved_model.load(path).signatures["serving_default"]
    assert_same_answers(trained, served(source=tf.constant(TEXTS)))


def test_a_litert_file_returns_the_answers_of_the_model(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(litert_export, "LITERT_SIGNATURES", ("serving_default", "score"))
    path = s2s.export.litert(trained, tmp_path / "t.tflite", probes=TEXTS)
    parity = s2s.export.read_card(path)["parity"]
    assert parity["num_same_texts"] == parity["num_texts"] > len(TEXTS)


def test_every_weight_is_stored_once(trained, tmp_path):
    model = trained.model
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as file:
        file.extract("model.weights.h5", tmp_path)
    shapes = []
    with h5py.File(tmp_path / "model.weights.h5") as stored:
        stored.visititems(
            lambda name, value: (
                shapes.append(value.shape)
                if isinstance(value, h5py.Dataset) and not name.startswith("optimizer")
                else None
            )
        )
    assert sorted(shapes) == sorted(tuple(weight.shape) for weight in model.weights)
