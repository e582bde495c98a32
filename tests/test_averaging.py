from __future__ import annotations

import keras
import numpy as np
import pytest
from helpers.reversing import compile_model, make_data, make_model
from helpers.translators import TEXTS, make_translator

from keras_s2s.layers import LSTMDecoder, LSTMEncoder
from keras_s2s.models import Ensemble, Seq2Seq
from keras_s2s.saving import average_checkpoints, ensemble_checkpoints, load
from keras_s2s.search import GreedySearch
from keras_s2s.tokenizers import WordTokenizer
from keras_s2s.translator import Translator

# TensorFlow's variables do not know NumPy 2's `copy` yet, and Keras saves them
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_the_checkpoints_of_a_training_become_one_model(tmp_path):
    model = compile_model(make_model(units=4), run_eagerly=True)
    inputs, labels = make_data(6, seed=0)
    weights = []
    model.fit(
        inputs,
        labels,
        epochs=3,
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda *_: weights.append(model.get_weights())
            ),
        ],
    )
    averaged = average_checkpoints([tmp_path / f"{epoch}.keras" for epoch in (2, 3)])
    assert averaged.get_config() == model.get_config()
    for average, *parts in zip(averaged.get_weights(), *weights[1:], strict=True):
        np.testing.assert_allclose(average, np.mean(parts, axis=0), atol=1e-7)
        assert np.any(average != parts[1])


def test_translators_keep_their_vocabularies_and_their_search(tmp_path):
    translator = make_translator(confidence=2.5)
    translator.save(tmp_path / "one.keras")
    averaged = average_checkpoints([tmp_path / "one.keras"] * 3)
    assert averaged.translate(["abcd", "d"]) == translator.translate(["abcd", "d"])
    # the temperature was fitted to one checkpoint
    assert averaged.temperature == 1.0
    assert average_checkpoints([tmp_path / "one.keras"]).temperature == 2.5


def test_models_of_other_sizes_are_rejected(tmp_path):
    for units in (4, 5):
        make_model(units=units).save(tmp_path / f"{units}.keras")
    with pytest.raises(
        ValueError, match=r"4.keras' and '.*5.keras', whose models differ in units of the enc"
    ):
        average_checkpoints([tmp_path / "4.keras", tmp_path / "5.keras"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context": "mean"}, "context of the encoder: 'last_state' and 'mean'"),
        ({"reverse_source": True}, "reverse_source of the encoder: False and True"),
    ],
)
def test_models_that_compute_something_else_are_rejected(settings, message, tmp_path):
    Seq2Seq(LSTMEncoder(8, 4), LSTMDecoder(8, 4)).save(tmp_path / "one.keras")
    Seq2Seq(LSTMEncoder(8, 4, **settings), LSTMDecoder(8, 4)).save(tmp_path / "two.keras")
    with pytest.raises(ValueError, match=f"whose models differ in {message}$"):
        average_checkpoints([tmp_path / "one.keras", tmp_path / "two.keras"])


def test_models_may_differ_in_dropout_and_in_what_was_trained(tmp_path):
    Seq2Seq(LSTMEncoder(8, 4), LSTMDecoder(8, 4)).save(tmp_path / "one.keras")
    options = {"dropout": 0.5, "word_dropout": 0.1, "trainable_embeddings": False}
    other = Seq2Seq(LSTMEncoder(8, 4, **options), LSTMDecoder(8, 4, **options))
    other.set_weights(load(tmp_path / "one.keras").get_weights())
    other.save(tmp_path / "two.keras")
    average_checkpoints([tmp_path / "one.keras", tmp_path / "two.keras"])


def test_models_of_different_initial_weights_are_reported(tmp_path):
    paths = [tmp_path / f"{name}.keras" for name in ("one", "two", "three")]
    for path in paths:
        Seq2Seq(LSTMEncoder(40, 32), LSTMDecoder(40, 32)).save(path)
    message = r"two.keras', '.*three.keras': trained from other initial weights than '.*one.keras'"
    with pytest.warns(UserWarning, match=message):
        average_checkpoints(paths)


def test_ensembles_and_their_members_have_no_mean(tmp_path):
    model = Seq2Seq(LSTMEncoder(8, 4), LSTMDecoder(8, 4))
    names = ("model", "probabilities", "log_probabilities")
    one, two, three = (tmp_path / f"{name}.keras" for name in names)
    model.save(one)
    for path, average in ((two, names[1]), (three, names[2])):
        Ensemble([model], average=average).save(path)
    with pytest.raises(ValueError, match="whose classes differ: Seq2Seq and Ensemble"):
        average_checkpoints([one, two])
    with pytest.raises(ValueError, match="differ in average: 'probabilities' and 'log_prob"):
        average_checkpoints([two, three])


def test_checkpoints_without_a_meaningful_mean_are_rejected(tmp_path):
    translator = make_translator()
    one, other, small = (tmp_path / f"{name}.keras" for name in ("one", "other", "small"))
    translator.save(one)
    target = WordTokenizer.train(["one two four"])  # as many tokens, another meaning
    Translator(translator.model, translator.source, target).save(other)
    with pytest.raises(ValueError, match=r"other.keras', whose target vocabularies differ"):
        average_checkpoints([one, other])
    translator.model.decoder.readout.quantize("int8")
    translator.save(small)
    with pytest.raises(ValueError, match=r"not quantized.*small.keras', whose weights include int"):
        average_checkpoints([small, small])


def test_a_single_path_and_no_path_are_rejected(tmp_path):
    with pytest.raises(TypeError, match="`paths` must be a list of paths"):
        average_checkpoints(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="at least one path"):
        average_checkpoints([])
    with pytest.raises(TypeError, match="`paths` must be a list of paths"):
        ensemble_checkpoints(tmp_path / "model.keras")


def test_saved_translators_become_an_ensemble_with_the_settings_of_the_first(tmp_path):
    limits = {"max_source_length": 9, "truncate_source": True}
    first = make_translator(confidence=2.5, replace_unknown=True, **limits)
    second = make_translator(search=GreedySearch(max_length=3))
    second.model.set_weights([2 * weight for weight in second.model.get_weights()])
    (tmp_path / "run").mkdir()
    paths = [tmp_path / "first.keras", tmp_path / "run"]
    first.save(paths[0])
    second.save(tmp_path / "run" / "best.keras")
    combined = ensemble_checkpoints(paths, average="log_probabilities")
    assert (combined.temperature, combined.search) == (1.0, first.search)
    assert {name: getattr(combined, name) for name in limits} == limits
    assert combined.replace_unknown
    expected = Ensemble([first.model, second.model], average="log_probabilities")
    assert combined.translate(TEXTS[:2]) == Translator(
        expected, first.source, first.target, search=first.search
    ).translate(TEXTS[:2])

    combined.save(tmp_path / "two.keras")
    paths = [tmp_path / "two.keras", paths[0]]
    with pytest.raises(ValueError, match=r"two.keras': it is an ensemble that averages log_prob"):
        ensemble_checkpoints(paths)
    three = ensemble_checkpoints(paths, average="log_probabilities")
    assert len(three.model.members()) == 3


def test_what_is_no_ensemble_is_rejected(tmp_path):
    translator = make_translator()
    one, bare, foreign = (tmp_path / f"{name}.keras" for name in ("one", "bare", "foreign"))
    translator.save(one)
    translator.model.save(bare)
    target = WordTokenizer.train(["one two four"])  # as many tokens, another meaning
    Translator(translator.model, translator.source, target).save(foreign)
    with pytest.raises(ValueError, match=r"one.keras': it is the same model as '.*one.keras'"):
        ensemble_checkpoints([one, tmp_path / "." / "one.keras"])
    with pytest.raises(ValueError, match=r"bare.keras': it is a bare model without tokenizers"):
        ensemble_checkpoints([one, bare])
    with pytest.raises(ValueError, match=r"foreign.keras': its target tokenizer differs from"):
        ensemble_checkpoints([one, foreign])
    with pytest.raises(ValueError, match="`average` must be one of"):
        ensemble_checkpoints([one, foreign], average="mean")
