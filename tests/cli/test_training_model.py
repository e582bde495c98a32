"""Training from the weights and vocabularies of another model."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_s2s
from keras_s2s.cli.settings_file import complete
from keras_s2s.cli.settings_of_models import follow_models
from keras_s2s.cli.training_model import build_model, load_initial, load_teacher, take_weights

OPTIONS = [
    *("--units", "8", "--target-tokenizer", "word", "--dropout", "0", "--epochs", "1"),
    *("--learning-rate", "1e-9", "--schedule", "constant", "--warmup-steps", "0"),
]
# Settings that `fit_to_pairs` derives, those of the model from the initial one.
FITTED = {"encoder_layers": 1, "decoder_layers": 1, "attention": "none", "copy": False}
FITTED |= {"learning_rate": 0.1, "label_smoothing": 0.0}
WORDS = [first + second for first in "abc" for second in "abc"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name, words in {"train": WORDS, "valid": WORDS[:3]}.items():
        lines = "".join(f"{word}\t{' '.join(word)}\n" for word in words)
        (folder / f"{name}.tsv").write_text(lines, "utf-8")
    return ["--train", folder / "train.tsv", "--valid", folder / "valid.tsv"]


def save_initial(folder, **settings):
    """Save a model with one letter more than the files have."""
    source = keras_s2s.CharTokenizer.train(["abcd"])
    target = keras_s2s.WordTokenizer.train(["a b c d"])
    encoder = keras_s2s.LSTMEncoder(source.vocabulary_size, 8, bidirectional=True)
    decoder = keras_s2s.LSTMDecoder(target.vocabulary_size, 8, attention="luong")
    model = keras_s2s.Seq2Seq(encoder, decoder, **settings)
    translator = keras_s2s.Translator(model, source, target)
    translator.save(folder / "initial.keras")
    return translator


@pytest.fixture
def train(run, files, tmp_path):
    def train(*options):
        initial = ["--init-from", tmp_path / "initial.keras", "--output", tmp_path / "run"]
        return run("train", *files, *OPTIONS, *initial, *options)

    return train


@pytest.mark.slow
def test_training_starts_from_weights_and_vocabularies(train, tmp_path):
    initial = save_initial(tmp_path)
    code, _, errors = train()
    assert code == 0, errors
    trained = keras_s2s.load(tmp_path / "run" / "best.keras")
    assert trained.source.vocabulary == initial.source.vocabulary
    assert trained.target.vocabulary == initial.target.vocabulary
    weights = zip(initial.model.get_weights(), trained.model.get_weights(), strict=True)
    for old, new in weights:
        np.testing.assert_allclose(new, old, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--units", "9"],
            "its model has `units: 8`. Received: --units 9. Omit the setting",
        ),
        (["--decoder-layers", "2"], "`decoder_layers: 1`. Received: --decoder-layers 2. Omit"),
        (["--cell", "gru"], "its model has `cell: lstm`. Received: --cell gru. Omit"),
        (["--copy"], "its model has `copy: false`. Received: --copy. Omit"),
        (
            ["--target-tokenizer", "char"],
            "its model has `target_tokenizer: word`. Received: --target-tokenizer char. Omit",
        ),
        (["--source-tokenizer", "byte"], "its source tokenizer is a CharTokenizer"),
    ],
)
@pytest.mark.sampled(4)
def test_a_model_with_other_settings_is_an_error(train, tmp_path, options, message):
    save_initial(tmp_path)
    code, _, errors = train(*options)
    assert code == 2
    assert message in errors
    assert not (tmp_path / "run").exists()


def test_missing_settings_follow_the_initial_model(tmp_path, capsys):
    source, target = keras_s2s.CharTokenizer.train(["ab"]), keras_s2s.WordTokenizer.train(["a b"])
    encoder = keras_s2s.GRUEncoder(
        source.vocabulary_size, 4, embedding_dim=3, context="attention_pool", residual=True
    )
    decoder = keras_s2s.GRUDecoder(target.vocabulary_size, 4, embedding_dim=3, residual=True)
    path = str(tmp_path / "initial.keras")
    keras_s2s.Translator(keras_s2s.Seq2Seq(encoder, decoder), source, target).save(path)
    followed = follow_models({"init_from": path, "units": 4, "residual": None, "dropout": 0.1})
    expected = {"init_from": path, "units": 4, "dropout": 0.1, "target_tokenizer": "word"}
    expected |= {"cell": "gru", "embedding_dim": 3, "bidirectional": False, "residual": True}
    assert followed == {**expected, "context": "attention_pool"}
    printed = "initial.keras: target_tokenizer word, cell gru, embedding_dim 3"
    assert printed in capsys.readouterr().out
    assert follow_models({"teacher": path}) == {"teacher": path, "target_tokenizer": "word"}
    settings = complete({"train": ["a"], "valid": "b", **followed, **FITTED})
    model = build_model(settings, source.vocabulary_size, target.vocabulary_size)
    take_weights(model, keras_s2s.load(path), path)


def test_shared_embeddings_have_no_setting(train, tmp_path):
    save_initial(tmp_path, share_embeddings=True)
    code, _, errors = train()
    assert code == 2
    assert "share_embeddings is True in the file and False in the settings" in errors


def test_an_ensemble_is_an_error(train, tmp_path):
    member = save_initial(tmp_path)
    together = keras_s2s.Ensemble([member.model])
    keras_s2s.Translator(together, member.source, member.target).save(tmp_path / "initial.keras")
    code, _, errors = train()
    assert code == 2
    assert "initial.keras: an ensemble. Expected: a single model" in errors


def settings_for(tmp_path, **given):
    paths = {"train": ["train.tsv"], "valid": "valid.tsv"}
    return complete({**paths, "init_from": str(tmp_path / "initial.keras"), **given})


def test_lines_with_features_need_a_model_for_features(tmp_path):
    save_initial(tmp_path)
    load_initial(settings_for(tmp_path, target_tokenizer="word"))
    with pytest.raises(ValueError, match=r"source tokenizer is a CharTokenizer.*FeatureTokenizer"):
        load_initial(settings_for(tmp_path, target_tokenizer="word", features_column=2))


@keras.saving.register_keras_serializable("own")
class OwnTokenizer(keras_s2s.CharTokenizer):
    pass


def test_a_custom_tokenizer_is_an_error(tmp_path):
    initial = save_initial(tmp_path)
    source = OwnTokenizer(initial.source.vocabulary)
    keras_s2s.Translator(initial.model, source, initial.target).save(tmp_path / "initial.keras")
    with pytest.raises(
        ValueError, match=r"is a OwnTokenizer\. Expected: one of CharTokenizer, Dec"
    ):
        load_initial(settings_for(tmp_path, target_tokenizer="word"))


def test_a_teacher_has_the_vocabularies_of_the_initial_model(tmp_path):
    initial = save_initial(tmp_path)
    teacher = str(tmp_path / "initial.keras")
    settings = settings_for(tmp_path, target_tokenizer="word", teacher=teacher)
    assert load_teacher(settings, initial).target.vocabulary == initial.target.vocabulary
    reversed_source = keras_s2s.CharTokenizer(
        [*initial.source.vocabulary[:4], *reversed(initial.source.vocabulary[4:])]
    )
    other = keras_s2s.Translator(initial.model, reversed_source, initial.target)
    with pytest.raises(
        ValueError, match=r"its source tokenizer differs from that of .*initial.ker"
    ):
        load_teacher(settings, other)


def test_a_missing_model_is_an_error(train):
    code, _, errors = train()
    assert code == 2
    assert "initial.keras: there is no such file or folder. Expected: a .keras file" in errors
