"""`model.fit` works with Keras's training features."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from helpers.reversing import SIZE, compile_model, make_data, make_model

from keras_s2s.layers import LSTMDecoder, LSTMEncoder
from keras_s2s.losses import SequenceLoss
from keras_s2s.models import Seq2Seq
from keras_s2s.search import BeamSearch, GreedySearch

# TensorFlow's variables do not know NumPy 2's `copy` yet, and Keras saves them
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

INPUTS, LABELS = make_data(512, seed=0)
VALID_INPUTS, VALID_LABELS = make_data(50, seed=1)
FEW, FEW_LABELS = {name: ids[:6] for name, ids in INPUTS.items()}, LABELS[:6]
SEARCH = GreedySearch(max_length=6)


def share_right(model, search=SEARCH) -> float:
    """Return the share of validation sources with a correct answer."""
    found = model.search(VALID_INPUTS["source_ids"], search).ids[:, 0, : VALID_LABELS.shape[1]]
    found = np.pad(found, [(0, 0), (0, VALID_LABELS.shape[1] - found.shape[1])])
    return float((found == VALID_LABELS).all(axis=1).mean())


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """A model trained to reverse strings, its history and its best file."""
    keras.utils.set_random_seed(0)
    model = compile_model(make_model(attention="luong"))
    path = tmp_path_factory.mktemp("fit") / "best.keras"
    before = share_right(model)
    history = model.fit(
        INPUTS,
        LABELS,
        batch_size=32,
        epochs=80,
        verbose=0,
        validation_data=(VALID_INPUTS, VALID_LABELS),
        callbacks=[
            keras.callbacks.ModelCheckpoint(path, save_best_only=True),
            # neither may need `mode`
            keras.callbacks.EarlyStopping("val_perplexity", patience=8),
            keras.callbacks.EarlyStopping("val_token_accuracy", patience=8),
        ],
    ).history
    return model, history, path, before


def test_it_learns_to_reverse_and_the_search_gives_the_right_answers(training):
    model, history, _, before = training
    assert before < 0.1
    assert max(history["val_token_accuracy"]) > 0.95
    assert min(history["val_perplexity"]) < 1.2
    assert 3 < len(history["loss"]) < 80  # stopped early
    # the same search as before the training: it is compiled once and reads the new weights
    assert share_right(model) > 0.9
    assert share_right(model, BeamSearch(beam_width=3, max_length=6)) > 0.9


def test_the_checkpoint_is_the_model_of_the_best_epoch(training):
    model, history, path, _ = training
    best = keras.saving.load_model(path)
    figures = best.evaluate(VALID_INPUTS, VALID_LABELS, verbose=0, return_dict=True)
    assert figures["loss"] == pytest.approx(min(history["val_loss"]), abs=1e-6)
    # compiled as before: training could continue
    assert best.optimizer.iterations.numpy() == 16 * (1 + np.argmin(history["val_loss"]))
    assert best.loss.get_config() == model.loss.get_config()


def test_an_epoch_of_unequal_batches_has_the_figures_of_one_batch(training):
    model, *_ = training
    data = {name: ids[:7] for name, ids in INPUTS.items()}
    labels = LABELS[:7] * (np.arange(7)[:, np.newaxis] % 2 == 0)  # some rows without a token
    for_all = model.evaluate(data, labels, batch_size=7, verbose=0, return_dict=True)
    in_parts = model.evaluate(data, labels, batch_size=3, verbose=0, return_dict=True)
    assert in_parts == pytest.approx(for_all, abs=1e-6)
    assert for_all["perplexity"] > 1.0


def fit_few(model, **kwargs):
    model.fit(FEW, FEW_LABELS, batch_size=4, epochs=2, verbose=0, **kwargs)
    return model.get_weights()


@pytest.fixture(scope="module")
def few_weights():
    """The weights of a small model after four steps."""
    keras.utils.set_random_seed(7)
    return fit_few(compile_model(make_model(units=4)))


def test_the_same_seed_gives_the_same_weights_bit_for_bit(few_weights):
    keras.utils.set_random_seed(7)
    again = fit_few(compile_model(make_model(units=4)))
    for ours, theirs in zip(again, few_weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_under_xla_it_trains_on_the_padded_batch_to_the_same_weights(few_weights):
    keras.utils.set_random_seed(7)
    jitted = fit_few(compile_model(make_model(units=4), jit_compile=True))
    for ours, theirs in zip(jitted, few_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_attention_that_xla_cannot_compile_is_trained_without_it():
    model = make_model(units=4, attention="bahdanau")
    with pytest.warns(UserWarning, match="Model doesn't support `jit_compile=True`"):
        compile_model(model, jit_compile=True)
    assert not model.jit_compile


def test_weights_of_samples_reach_the_loss():
    def weights_after(sample_weight, rows):
        keras.utils.set_random_seed(7)
        model = make_model(units=4)
        # not by Adam, whose step makes rounding large where a gradient is next to nothing
        model.compile(keras.optimizers.SGD(1.0), loss=SequenceLoss(), run_eagerly=True)
        data = {name: ids[rows] for name, ids in FEW.items()}
        model.fit(data, FEW_LABELS[rows], sample_weight=sample_weight, batch_size=6, verbose=0)
        return model.get_weights()

    expected = weights_after(None, slice(2))
    by_row = np.array([1.0, 1, 0, 0, 0, 0])
    by_token = np.repeat(by_row[:, np.newaxis], FEW_LABELS.shape[1], axis=1)
    for sample_weight in (by_row, by_token):
        for ours, theirs in zip(weights_after(sample_weight, slice(6)), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("attention", [None, "luong", "bahdanau"])
@pytest.mark.sampled(1)
def test_in_mixed_precision_it_trains_and_searches_in_float32(attention):
    model = make_model(units=4, attention=attention, dtype="mixed_bfloat16")
    compile_model(model, run_eagerly=True)
    before = model.get_weights()
    model.fit(FEW, FEW_LABELS, batch_size=6, verbose=0)
    assert all(weight.dtype == "float32" for weight in model.weights)
    assert all(np.any(old != new) for old, new in zip(before, model.get_weights(), strict=True))
    same = make_model(units=4, attention=attention)
    same.set_weights(model.get_weights())
    search = BeamSearch(beam_width=2, max_length=3)
    found, expected = (it.search(FEW["source_ids"], search) for it in (model, same))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.log_probs, expected.log_probs)
    log_probs = model.log_prob(FEW["source_ids"], found.ids[:, 0])
    np.testing.assert_allclose(log_probs, found.log_probs[:, 0], atol=1e-4)


def test_without_tensorboard_its_callback_is_rejected_before_tracing(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    model = compile_model(make_model())
    with pytest.raises(ImportError, match=r"needs tensorboard.*keras-s2s\[plots\]"):
        model.fit(FEW, FEW_LABELS, callbacks=[keras.callbacks.TensorBoard(tmp_path)])
    assert model.train_function is None


@pytest.mark.sampled(7)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("attention", ["luong", "bahdanau", "monotonic"])
def test_ids_may_be_integers_of_any_size(attention, dtype):
    decoder = LSTMDecoder(SIZE, 6, attention=attention, copy=True)
    model = compile_model(Seq2Seq(LSTMEncoder(SIZE, 6), decoder))
    expected = model.evaluate(FEW, FEW_LABELS, verbose=0, return_dict=True)
    inputs = {name: ids.astype(dtype) for name, ids in FEW.items()}
    found = model.evaluate(inputs, FEW_LABELS.astype(dtype), verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-5)
    history = model.fit(inputs, FEW_LABELS.astype(dtype), verbose=0).history
    assert np.isfinite(history["loss"]).all()
