"""Confidences: probabilities that outputs are correct."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.translators import make_translator

import keras_s2s
from keras_s2s.calibration import calibrate, calibration_error, reliability_bins


@pytest.mark.slow
def test_the_fitted_temperature_is_that_of_the_truth():
    random = np.random.default_rng(0)
    log_probs = -random.exponential(1.0, 20_000)
    right = random.random(20_000) < np.exp(log_probs / 3.0)
    found = calibrate(log_probs, right)
    assert found.temperature == pytest.approx(3.0, rel=0.05)
    assert found.error < 0.02 < found.error_before
    np.testing.assert_allclose(found.confidences, np.exp(log_probs / found.temperature))


def test_bins_have_the_number_the_mean_confidence_and_the_share_that_is_right():
    bins = reliability_bins([0.1, 0.15, 0.9, 1.0], [False, True, True, True], bins=5)
    assert bins == [(2, pytest.approx(0.125), 0.5), (2, pytest.approx(0.95), 1.0)]


def test_the_calibration_error_is_the_weighted_distance_from_the_diagonal():
    error = calibration_error([0.1, 0.15, 0.9, 1.0], [False, True, True, True], bins=5)
    assert error == pytest.approx(0.5 * 0.375 + 0.5 * 0.05)


@pytest.mark.parametrize("right", [True, False])
def test_outputs_that_are_all_alike_are_calibrated_without_infinities(right):
    message = f"not calibrated \\(correct: {3 * right} of 3 outputs\\)"
    with pytest.warns(UserWarning, match=message):
        found = calibrate([-0.5, 0.0, -30.0], [right] * 3)
    assert np.isfinite(found.temperature)
    assert np.isfinite(found.error)


@pytest.mark.parametrize(
    ("log_probs", "right", "message"),
    [
        ([], [], "with at least one source"),
        ([-1.0], [True, False], r"shapes \(1,\) and \(2,\)"),
        ([0.5], [True], "`log_probs` must not exceed 0. Received: 0.5"),
    ],
)
def test_invalid_arguments_of_calibrate_are_rejected(log_probs, right, message):
    with pytest.raises(ValueError, match=message):
        calibrate(log_probs, right)


@pytest.mark.parametrize(
    ("confidences", "right", "bins", "message"),
    [
        ([1.5], [True], 10, "`confidences` must be numbers between 0 and 1"),
        ([0.5], [], 10, "`confidences` and `right` must have the same shape"),
        ([0.5], [True], 0, "`bins` must be a positive integer"),
    ],
)
def test_invalid_bins_are_rejected(confidences, right, bins, message):
    with pytest.raises(ValueError, match=message):
        reliability_bins(confidences, right, bins=bins)


def test_the_confidences_follow_the_temperature():
    translator = make_translator(confidence=True)
    for temperature in (1.0, 2.0):  # as `calibrate` sets it
        translator.temperature = temperature
        best = translator.hypotheses(["ab"])[0][0]
        assert best.confidence == pytest.approx(math.exp(best.log_prob / temperature))


PAIRS = [("ab", "one"), ("ab", "two three"), ("cd", "three"), ("abcd", "one two")]


@pytest.mark.filterwarnings("ignore:The confidences are not calibrated")
@pytest.mark.slow
def test_confidences_follow_the_log_probabilities_and_the_temperature(tmp_path):
    translator = make_translator(confidence=True)
    plain = translator(["ab", "cd"])
    np.testing.assert_allclose(plain["confidences"], np.exp(plain["log_probs"]), rtol=1e-6)
    found = translator.calibrate(PAIRS)
    assert found.right.shape == found.confidences.shape == (3,)
    assert translator.temperature == found.temperature
    answer = translator(["ab", "cd"])
    expected = np.exp(answer["log_probs"].numpy() / found.temperature)
    np.testing.assert_allclose(answer["confidences"], expected, rtol=1e-5)
    np.testing.assert_allclose(answer["confidences"][:, 0], found.confidences[:2], rtol=1e-5)
    translator.save(tmp_path / "model.keras")
    loaded = keras_s2s.load(tmp_path / "model.keras")
    assert loaded.temperature == found.temperature
    assert loaded.translate(["ab"]) == translator.translate(["ab"])


def test_a_translator_returns_no_confidences_by_default():
    translator = make_translator()
    assert translator.temperature is None
    assert "confidences" not in translator(["ab"])


@pytest.mark.parametrize("confidence", [0, -1.0, "yes", None])
def test_a_confidence_that_is_not_a_temperature_is_rejected(confidence):
    with pytest.raises(ValueError, match="`confidence` must be False, True or a positive number"):
        make_translator(confidence=confidence)


@pytest.mark.parametrize("export", ["saved_model", "litert"])
@pytest.mark.slow
def test_exports_return_confidences(export, tmp_path):
    translator = make_translator(confidence=2.5)
    texts = ["ab", "cd", "abcd"]
    path = tmp_path / ("model.tflite" if export == "litert" else "model")
    written = getattr(keras_s2s.export, export)(translator, path, probes=texts)
    card = keras_s2s.export.read_card(written)
    assert card["confidence_temperature"] == 2.5
    assert "confidences" in card["signatures"]["serving_default"]["outputs"]
    assert "confidences" not in card["signatures"]["score"]["outputs"]
    if export == "litert":
        from keras_s2s.export.sessions import LiteRTSession as Session
    else:
        from keras_s2s.export.saved_model_session import SavedModelSession as Session
    source = np.array([text.encode() for text in texts], object)
    answer = Session(written)("serving_default", {"source": source})
    wanted = translator(texts)["confidences"]
    np.testing.assert_allclose(answer["confidences"], wanted, atol=1e-4)


def test_outputs_are_right_as_in_the_error_rates_whatever_the_white_space():
    translator = make_translator()
    reference = translator.translate(["abcd"])[0].replace(" ", "  ") + " "
    assert translator.calibrate([("abcd", reference), ("d", "?")]).right.tolist() == [True, False]


def test_a_calibration_needs_a_pair():
    with pytest.raises(
        ValueError, match=r"`pairs` must contain at least one pair\. Received: none"
    ):
        make_translator().calibrate([])
