"""One file holds model, vocabularies and search."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small import KINDS, SOURCE_IDS, TARGET_LABELS, inputs, make_model
from helpers.translators import SEARCH, TEXTS, make_translator

from keras_s2s.errors import InputError
from keras_s2s.losses import SequenceLoss
from keras_s2s.models import Ensemble, Seq2Seq
from keras_s2s.saving import load
from keras_s2s.tokenizers import CharTokenizer
from keras_s2s.translator import Translator

# TensorFlow's variables do not know NumPy 2's `copy` yet, and Keras saves them
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@keras.saving.register_keras_serializable(package="tests.saving")
class Gate(keras.layers.Layer):
    """A context layer with a weight."""

    def build(self, memory_shape):
        self.kernel = self.add_weight(shape=(memory_shape[-1],), initializer="normal")

    def call(self, memory, mask):
        return tf.reduce_sum(tf.sigmoid(self.kernel) * memory, axis=1)


@keras.saving.register_keras_serializable(package="tests.saving")
def first_state(memory, mask):
    return memory[:, 0]


@pytest.fixture(scope="module")
def translator() -> Translator:
    return make_translator()


@pytest.fixture(scope="module")
def saved(translator, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "t.keras"
    translator.save(path)
    return path


def test_a_loaded_translator_answers_bit_for_bit_the_same(translator, saved):
    loaded = load(saved)
    assert isinstance(loaded, Translator)
    assert loaded.search == SEARCH
    assert loaded.source.vocabulary == translator.source.vocabulary
    assert loaded.target.vocabulary == translator.target.vocabulary
    for ours, theirs in zip(loaded.weights, translator.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    found, expected = (it(tf.constant(TEXTS)) for it in (loaded, translator))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.slow
def test_a_loaded_translator_of_an_ensemble_answers_bit_for_bit_the_same(translator, tmp_path):
    other = make_translator().model
    other.set_weights([0.5 * weight for weight in other.get_weights()])
    other.compile("adam", loss=SequenceLoss())
    ensemble = Ensemble([translator.model, other], average="log_probabilities")
    parts = {"search": SEARCH, "replace_unknown": True}
    together = Translator(ensemble, translator.source, translator.target, **parts)
    together.save(tmp_path / "t.keras")
    loaded = load(tmp_path / "t.keras")
    assert isinstance(loaded.model, Ensemble)
    assert loaded.model.average == "log_probabilities"
    assert loaded.replace_unknown
    found, expected = (it(tf.constant(TEXTS)) for it in (loaded, together))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("kind", [*KINDS, "layer", "function"])
def test_a_loaded_model_computes_bit_for_bit_the_same(kind, tmp_path, monkeypatch):
    context = {"layer": Gate(), "function": first_state}.get(kind)
    if context is not None:
        monkeypatch.setitem(KINDS, kind, ({"context": context}, {"attention": "luong"}))
    model = make_model(kind)
    model.save(tmp_path / "m.keras")
    loaded = load(str(tmp_path / "m.keras"))
    assert isinstance(loaded, Seq2Seq)
    assert loaded.decoder.get_config() == model.decoder.get_config()
    np.testing.assert_array_equal(loaded(inputs()), model(inputs()))


def test_one_tokenizer_may_serve_both_sides(tmp_path):
    model = make_model("luong")
    tokenizer = CharTokenizer.train(["abcde"])  # 9 tokens
    model = Seq2Seq(
        model.encoder,
        type(model.decoder).from_config({**model.decoder.get_config(), "vocabulary_size": 9}),
    )
    Translator(model, tokenizer, tokenizer).save(tmp_path / "t.keras")
    loaded = load(tmp_path / "t.keras")
    assert loaded.source is loaded.target
    assert loaded.source.vocabulary == tokenizer.vocabulary


def test_the_file_of_a_trained_translator_holds_no_state_of_training(translator, saved, tmp_path):
    trained = make_translator()
    trained.model.compile("adam", loss=SequenceLoss(), run_eagerly=True)
    ids = trained.source.tokenize(["ab"]).numpy()
    trained.model.fit(
        {"source_ids": ids, "target_inputs": np.array([[2, 4]])}, np.array([[4, 3]]), verbose=0
    )
    optimizer = trained.model.optimizer
    trained.save(tmp_path / "t.keras")
    assert trained.model.optimizer is optimizer
    assert optimizer.iterations == 1
    size = (tmp_path / "t.keras").stat().st_size
    assert size == pytest.approx(saved.stat().st_size, rel=0.05)
    loaded = load(tmp_path / "t.keras")
    assert not loaded.model.compiled
    for ours, theirs in zip(loaded.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    loaded.save(tmp_path / "again.keras")  # without ever having had an optimizer


def test_a_file_that_exists_is_replaced_only_if_allowed(translator, tmp_path):
    path = tmp_path / "t.keras"
    path.write_text("old")
    with pytest.raises(FileExistsError, match=r"t\.keras' already exists; use `overwrite=True`"):
        translator.save(path, overwrite=False)
    assert path.read_text() == "old"
    translator.save(path)
    assert isinstance(load(path), Translator)


def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    translator = make_translator()
    path = tmp_path / "t.keras"
    path.write_text("old")

    def disk_full(folder):
        raise OSError("No space left on device")

    monkeypatch.setattr(translator.target, "save_assets", disk_full)
    with pytest.raises(OSError, match="No space left"):
        translator.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["t.keras"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("kind", ["model", "ensemble"])
def test_a_save_of_a_model_that_fails_leaves_what_was_there(kind, tmp_path, monkeypatch):
    model = make_model("luong") if kind == "model" else Ensemble([make_model("luong")])
    path = tmp_path / "m.keras"
    model.save(path)
    before = path.read_bytes()

    def fill_disk(model, filepath, **options):
        Path(filepath).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(keras.Model, "save", fill_disk)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["m.keras"]
    assert path.read_bytes() == before


def test_where_a_translator_cannot_be_saved_the_reason_is_reported(translator, tmp_path):
    with pytest.raises(ValueError, match=r"must end in '\.keras'\. Received: filepath='.*\.h5'"):
        translator.save(tmp_path / "t.h5")
    with pytest.raises(FileNotFoundError, match=r"There is no folder '.*nowhere' to write"):
        translator.save(tmp_path / "nowhere" / "t.keras")


def test_a_path_that_is_not_a_file_is_rejected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Cannot load '.*t\.keras': there is no such file"):
        load(tmp_path / "t.keras")
    with pytest.raises(FileNotFoundError, match=r"Cannot load '.*': it is a folder"):
        load(tmp_path)
    (tmp_path / "1").mkdir()
    with pytest.raises(FileNotFoundError, match=r"folder of a SavedModel. Expected: the .keras"):
        load(tmp_path)
    for name in ("second.keras", "first.keras"):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r"Did you mean '.*first\.keras'"):
        load(tmp_path)


def test_a_run_folder_is_loaded_by_its_best_model(tmp_path):
    make_model("no attention").save(tmp_path / "best.keras")
    (tmp_path / "after.keras").touch()
    assert isinstance(load(tmp_path), Seq2Seq)
    (tmp_path / "best.keras").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"Cannot load '.*best\.keras': it is not a zip archive"):
        load(tmp_path)


def test_a_model_in_training_is_saved_with_its_optimizer(tmp_path):
    model = make_model("no attention")
    model.compile("adam", loss=SequenceLoss(label_smoothing=0.1), run_eagerly=True)
    model.fit(inputs(), TARGET_LABELS, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = load(tmp_path / "m.keras")
    assert loaded.optimizer.iterations == 1
    assert loaded.loss.get_config() == model.loss.get_config()
    assert loaded.log_prob(SOURCE_IDS, TARGET_LABELS).shape == (3,)
