"""A file with other or damaged content is rejected, with the reason, before it is loaded."""

from __future__ import annotations

import io
import json
import shutil
import time
import zipfile
from pathlib import Path

import h5py
import keras
import pytest
import tensorflow as tf
from helpers.small import KINDS, make_model
from helpers.translators import make_translator

from keras_s2s.errors import InputError
from keras_s2s.models import Seq2Seq
from keras_s2s.saving import load
from keras_s2s.tokenizers import CharTokenizer
from keras_s2s.translator import Translator

# TensorFlow's variables do not know NumPy 2's `copy` yet, and Keras saves them
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@keras.saving.register_keras_serializable(package="tests.archive")
class Gate(keras.layers.Layer):
    """A context layer."""

    def call(self, memory, mask):
        return tf.reduce_sum(memory, axis=1)


@keras.saving.register_keras_serializable(package="tests.archive")
def first_state(memory, mask):
    return memory[:, 0]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "t.keras"
    make_translator().save(path)
    return path


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-30])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("no archive")


def weights_changed(path):
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"HDF")] ^= 1
    path.write_bytes(raw)


def directory_changed(path):
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02")] ^= 1
    path.write_bytes(raw)


def foreign_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")


def config_without_json(path):
    rewrite(path, "config.json", b"{")


def another_model(path):
    keras.Sequential([keras.Input((2,)), keras.layers.Flatten()]).save(path)


def config_of_nothing(path):
    rewrite(path, "config.json", b"[]")


def vocabulary_of_another_size(path):
    rewrite(path, "vocabulary.json", b'["[PAD]", "[UNK]", "[BOS]", "[EOS]", "a"]')


def config_too_deep(path):
    rewrite(path, "config.json", b"[" * 100_000)


def expanding(path):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/zeros", bytes(200 << 20))


def without_vocabulary(path):
    rewrite(path, "char_tokenizer/vocabulary.json", None)


def half_a_vocabulary(path):
    rewrite(path, "vocabulary.json", b'["[PAD]", "[UNK]", "[B')


def no_list_of_tokens(path):
    rewrite(path, "vocabulary.json", b'{"a": 3}')


def half_the_weights(path):
    rewrite(path, "model.weights.h5", read(path, "model.weights.h5")[:20000])


def no_weights(path):
    rewrite(path, "model.weights.h5", b"")


def weights_without_values(path):
    """A small file with a variable that claims four terabytes."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_dataset("vars", (10**12,), "float32", chunks=(1024,))
    rewrite(path, "model.weights.h5", memory.getvalue())


def with_(**changed):
    """Change settings of the encoder."""

    def change(path):
        config = json.loads(read(path, "config.json"))
        config["config"]["model"]["config"]["encoder"]["config"] |= changed
        rewrite(path, "config.json", json.dumps(config).encode())

    return change


def read(path, name):
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def rewrite(path, name, content):
    """Replace the first part of an archive whose name ends as given."""
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    name = next(part for part in parts if part.endswith(name))
    parts = {part: old for part, old in parts.items() if part != name}
    if content is not None:
        parts[name] = content
    with zipfile.ZipFile(path, "w") as archive:
        for part, bytes_ in parts.items():
            archive.writestr(part, bytes_)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (cut_off, r"it is not a zip archive \([\d,]+ bytes\), as every \.keras file is"),
        (empty, r"it is not a zip archive \(0 bytes\), as every"),
        (text, r"it is not a zip archive \(10 bytes\), as every"),
        (weights_changed, "its part 'model.weights.h5' is damaged"),
        (directory_changed, "it is damaged: Bad magic number"),
        (config_without_json, "it is damaged: Expecting property name"),
        (foreign_archive, r"not a \.keras file\. Missing: config\.json, model\.weights\.h5"),
        (
            another_model,
            r"another kind of model. Expected: keras_s2s>Ensemble, .*Received: 'Sequential'",
        ),
        (config_of_nothing, "it is another kind of model.*Received: None"),
        (config_too_deep, "it is damaged: RecursionError"),
        (expanding, "it expands to more than 100 times its size"),
        (without_vocabulary, "a vocabulary is missing. Expected: those of CharTokenizer and WordT"),
        (half_a_vocabulary, "its part 'assets.*vocabulary.json' is damaged: Unterminated string"),
        (no_list_of_tokens, "its part 'assets.*vocabulary.json' is not a list of tokens"),
        (half_the_weights, "its part 'model.weights.h5' is damaged: "),
        (no_weights, "its part 'model.weights.h5' is damaged: "),
        (with_(units=-1), "`units` of LSTMEncoder must be a positive integer. Received: -1"),
        (with_(units="x"), "`units` of LSTMEncoder must be a positive integer. Received: 'x'"),
        (with_(units=1e9), "`units` of LSTMEncoder must be a positive integer. Received: 1000000"),
        (with_(units=10**9), "LSTMEncoder is larger than its stored weights: units 1000000000, "),
        (with_(units=10**400), r"larger than its stored weights: units 1000+\.\.\.0+, embedding"),
        (
            with_(num_layers=10**6),
            "LSTMEncoder is larger than its stored weights: .*num_layers 1000",
        ),
        (
            with_(vocabulary_size=10**8),
            "larger than its stored weights: .*vocabulary_size 100000000",
        ),
        (with_(units=5), "its parts do not make a model: "),
        (with_(cell="x"), "its parts do not make a model: "),
        (weights_without_values, "its part 'model.weights.h5' is damaged: 'vars' claims the shape"),
        (vocabulary_of_another_size, "must have the size that the model expects, .*with 5 tokens"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_without_a_translator_is_rejected(saved, tmp_path, harm, message):
    path = tmp_path / "t.keras"
    shutil.copy(saved, path)
    harm(path)
    started = time.process_time()
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert time.process_time() - started < 10
    assert str(caught.value).startswith(f"Cannot load {str(path)!r}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700 + len(str(path))


def test_a_file_by_another_name_is_rejected(saved, tmp_path):
    path = tmp_path / "x.h5"
    shutil.copy(saved, path)
    with pytest.raises(
        InputError, match=r"x\.h5': the name of a saved model must end in '\.keras'"
    ):
        load(path)


@pytest.mark.parametrize("own", [Gate, first_state])
def test_a_name_that_is_not_registered_is_reported(tmp_path, monkeypatch, own):
    monkeypatch.setitem(KINDS, "own", ({"context": own() if own is Gate else own}, {}))
    make_model("own").save(tmp_path / "m.keras")
    name = f"tests.archive>{own.__name__}"
    with monkeypatch.context() as without:
        without.delitem(keras.saving.get_custom_objects(), name)
        with pytest.raises(InputError, match=f"it needs '{name}', which no .* --import MODULE"):
            load(tmp_path / "m.keras")
    assert isinstance(load(tmp_path / "m.keras"), Seq2Seq)


class Unregistered(Seq2Seq):
    """A model that Keras saves, but cannot load."""


def test_a_class_that_is_not_registered_is_reported(tmp_path):
    model = Unregistered.from_config(make_model("no attention").get_config())
    source, target = CharTokenizer.train(["abcde"]), CharTokenizer.train(["abc"])
    Translator(model, source, target).save(tmp_path / "m.keras")
    with pytest.raises(InputError, match=r"it needs 'Unregistered', which .*custom_object_scope"):
        load(tmp_path / "m.keras")
    with keras.saving.custom_object_scope({"Unregistered": Unregistered}):
        assert isinstance(load(tmp_path / "m.keras").model, Unregistered)


@pytest.mark.parametrize("name", ["g2p.tflite", "g2p.onnx"])
def test_an_export_is_not_loaded(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"it is an export\. Expected: the \.keras file that was"):
        load(tmp_path / name)
