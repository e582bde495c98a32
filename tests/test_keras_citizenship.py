"""Objects work with Keras's tools, and can be copied and printed."""

from __future__ import annotations

import copy
import pickle
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small import SOURCE_IDS, TARGET_LABELS, inputs, make_model
from helpers.translators import TEXTS, make_translator

import keras_s2s as s2s

SEARCH = s2s.BeamSearch(beam_width=2, max_length=4)
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),  # noqa: S301
}


def train(model, **options):
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss=s2s.SequenceLoss())
    return model.fit(inputs(), TARGET_LABELS, verbose=0, **options)


def assert_same_weights(one, other):
    for weight, expected in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_the_same_seed_gives_the_same_weights():
    def new_model():
        keras.utils.set_random_seed(3)
        encoder = s2s.LSTMEncoder(9, 3, dropout=0.2)
        return s2s.Seq2Seq(encoder, s2s.LSTMDecoder(7, 4, attention="luong"))

    assert_same_weights(new_model(), new_model())


def test_a_summary_names_the_parts_and_counts_their_weights(capsys):
    lines = []
    model = make_model("luong")
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert "lstm_encoder" in text
    assert "lstm_decoder" in text
    assert f"Total params: {model.count_params()} " in text


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pydot's own
@pytest.mark.skipif(shutil.which("dot") is None, reason="plot_model needs graphviz")
def test_a_model_is_plotted(tmp_path):
    pytest.importorskip("pydot")
    path = tmp_path / "model.png"
    keras.utils.plot_model(make_model("luong"), path, show_shapes=True)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
def test_tensorboard_s_callback_writes(tmp_path):
    pytest.importorskip("tensorboard")
    train(make_model("luong"), callbacks=[keras.callbacks.TensorBoard(tmp_path, histogram_freq=1)])
    assert list(tmp_path.glob("train/events.out.*"))


# It loads weights before the optimizer has its own, of any model.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
def test_kerastuner_searches_for_settings(tmp_path):
    keras_tuner = pytest.importorskip("keras_tuner")

    def build(settings):
        units = settings.Choice("units", [2, 3])
        encoder = s2s.LSTMEncoder(9, units)
        model = s2s.Seq2Seq(encoder, s2s.LSTMDecoder(7, units, attention="luong"))
        model.compile("adam", loss=s2s.SequenceLoss())
        return model

    tuner = keras_tuner.GridSearch(build, objective="loss", max_trials=1, directory=tmp_path)
    tuner.search(inputs(), TARGET_LABELS, verbose=0)
    (best,) = tuner.get_best_models()
    assert best.encoder.units == tuner.get_best_hyperparameters()[0]["units"] == 2


@pytest.mark.parametrize("layer", [s2s.LSTMEncoder, s2s.GRUEncoder])
@pytest.mark.sampled(1)
def test_an_encoder_can_be_used_in_a_functional_model(layer, tmp_path):
    ids = keras.Input([None], dtype="int32")
    encoded = layer(9, 3, bidirectional=True, context="attention_pool", name="encoder")(ids)
    model = keras.Model(ids, keras.layers.Dense(2)(encoded.context))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.predict(SOURCE_IDS, verbose=0)
    assert expected.shape == (3, 2)
    np.testing.assert_array_equal(again.predict(SOURCE_IDS, verbose=0), expected)


@pytest.mark.parametrize(
    "given",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, object),
        np.array([text.encode() for text in TEXTS]),
        tf.constant(TEXTS),
    ],
    ids=["list", "tuple", "array", "array of objects", "array of bytes", "tensor"],
)
@pytest.mark.sampled(2)
def test_a_translator_takes_texts_in_every_form(translator, given):
    assert translator.translate(given) == translator.translate(TEXTS)
    expected = translator(tf.constant(TEXTS))
    found = translator(given)
    np.testing.assert_array_equal(found["target"], expected["target"])
    np.testing.assert_array_equal(found["scores"], expected["scores"])


@pytest.fixture(scope="module")
def translator():
    return make_translator()


@pytest.mark.parametrize("text", ["abcd", b"abcd"])
def test_a_translator_rejects_a_single_text(translator, text):
    with pytest.raises(TypeError, match="must be a list of texts, not a single text"):
        translator(text)


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.sampled(1)
def test_a_copied_translator_gives_the_same_outputs(translator, way):
    again = COPIES[way](translator)
    assert again is not translator
    assert again.translate(TEXTS) == translator.translate(TEXTS)
    assert again.source.vocabulary == translator.source.vocabulary
    assert again.search == translator.search
    assert_same_weights(again, translator)


@pytest.fixture(scope="module")
def trained():
    model = make_model("luong")
    train(model)
    return model


@pytest.mark.parametrize("way", COPIES)
def test_a_copied_model_has_its_weights_and_its_optimizer(trained, way):
    again = COPIES[way](trained)
    assert_same_weights(again, trained)
    assert int(again.optimizer.iterations) == 1
    for value, expected in zip(again.optimizer.variables, trained.optimizer.variables, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_copied_model_is_trained_on_and_leaves_the_other_as_it_was(trained):
    model, again = trained, copy.deepcopy(trained)
    before = [weight.copy() for weight in model.get_weights()]
    again.fit(inputs(), TARGET_LABELS, verbose=0)
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert not np.array_equal(again.get_weights()[0], before[0])


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize(
    "tokenizer",
    [
        s2s.ByteTokenizer(),
        s2s.CharTokenizer.train(["abcd"]),
        s2s.WordTokenizer.train(["one two"]),
    ],
    ids=["bytes", "characters", "words"],
)
def test_a_copied_tokenizer_gives_the_same_ids(tokenizer, way):
    again = COPIES[way](tokenizer)
    assert again.vocabulary == tokenizer.vocabulary
    assert (
        again.tokenize(["a one", "d"]).numpy().tolist()
        == tokenizer.tokenize(["a one", "d"]).numpy().tolist()
    )


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize(
    "value",
    [
        s2s.GreedySearch(),
        s2s.BeamSearch(beam_width=3, lexicon=[[4, 5]]),
        s2s.DiverseBeamSearch(beam_width=4, num_groups=2),
        s2s.ExactSearch(),
        s2s.ExhaustiveSearch(max_length=3),
        s2s.Sampling(seed=3),
        s2s.Lexicon([[4], [5, 6]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_copied_search_equals_the_other(value, way):
    again = COPIES[way](value)
    assert again == value
    assert hash(again) == hash(value)
    assert repr(again) == repr(value)


def test_searches_are_equal_by_their_settings_and_tokenizers_only_to_themselves():
    assert s2s.BeamSearch(beam_width=3) == s2s.BeamSearch(beam_width=3)
    assert s2s.BeamSearch(beam_width=3) != s2s.BeamSearch(beam_width=2)
    assert s2s.BeamSearch() != s2s.DiverseBeamSearch(num_groups=1)
    # like every Keras layer, which can be in sets: compare their vocabularies
    assert s2s.ByteTokenizer() != s2s.ByteTokenizer()


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize(
    "make",
    [
        lambda: s2s.SequenceLoss("token", label_smoothing=0.1),
        s2s.TokenAccuracy,
        s2s.Perplexity,
        lambda: s2s.LSTMEncoder(9, 3, context="mean"),
        lambda: s2s.GRUDecoder(7, 4, attention="luong"),
    ],
    ids=["loss", "accuracy", "perplexity", "encoder", "decoder"],
)
def test_a_copied_part_has_the_same_settings(make, way):
    part = make()
    again = COPIES[way](part)
    assert type(again) is type(part)
    assert again.get_config() == part.get_config()


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.sampled(2)
def test_a_copied_result_has_the_same_hypotheses(way):
    found = make_model("luong").search(SOURCE_IDS, SEARCH)
    again = COPIES[way](found)
    assert type(again) is s2s.SearchResult
    np.testing.assert_array_equal(again.ids, found.ids)
    assert again.attention is None


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: s2s.CharTokenizer.train(["ab"]), "CharTokenizer(vocabulary_size=6)"),
        (s2s.ByteTokenizer, "ByteTokenizer()"),
        (lambda: s2s.Lexicon([[4]]), "Lexicon(1 output)"),
        (
            lambda: s2s.LSTMEncoder(9, 3, num_layers=2, bidirectional=True, name="e"),
            "LSTMEncoder(9, 3, name='e', embedding_dim=3, num_layers=2, bidirectional=True, "
            "context='last_state')",
        ),
        (
            lambda: s2s.GRUDecoder(7, 4, attention="luong", dropout=0.1, name="d"),
            "GRUDecoder(7, 4, name='d', embedding_dim=4, context_to='initial_state', "
            "attention='luong', dropout=0.1)",
        ),
        (lambda: s2s.SequenceLoss("token"), "SequenceLoss('token', label_smoothing=0.0)"),
    ],
)
def test_the_repr_of_a_part_shows_its_arguments(make, expected):
    assert repr(make()) == expected


def test_the_repr_of_a_model_shows_its_parts(translator):
    model = translator.model
    assert repr(model) == f"Seq2Seq({model.encoder!r}, {model.decoder!r})"
    ensemble = s2s.Ensemble([model], average="log_probabilities")
    assert repr(ensemble) == f"Ensemble([{model!r}], average='log_probabilities')"
    assert repr(translator) == (
        f"Translator({model!r}, CharTokenizer(vocabulary_size=8), "
        f"WordTokenizer(vocabulary_size=7), search={translator.search!r})"
    )
    translator = s2s.Translator(model, translator.source, translator.target, confidence=2.5)
    assert repr(translator).endswith(f"search={translator.search!r}, confidence=2.5)")
