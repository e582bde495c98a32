"""Accuracy and perplexity are those of all tokens of an epoch, however the batches fell."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.by_hand import LABELS, LOGITS, REAL, SEQUENCE_WEIGHTS, TOKEN_WEIGHTS, nll

from keras_s2s.metrics import Perplexity, TokenAccuracy

RIGHT = (LOGITS.argmax(axis=-1) == LABELS).astype(float)
BY_HAND = {
    TokenAccuracy: lambda weights: (weights * RIGHT).sum() / weights.sum(),
    Perplexity: lambda weights: np.exp((weights * nll()).sum() / weights.sum()),
}
every_metric = pytest.mark.parametrize("kind", BY_HAND)


def test_the_example_has_right_and_wrong_tokens():
    assert 0 < (RIGHT * REAL).sum() < REAL.sum()


@every_metric
@pytest.mark.parametrize(
    ("weights", "as_given"),
    [
        (REAL, None),
        (REAL * SEQUENCE_WEIGHTS[:, np.newaxis], SEQUENCE_WEIGHTS),
        (REAL * SEQUENCE_WEIGHTS[:, np.newaxis], SEQUENCE_WEIGHTS[:, np.newaxis]),
        (REAL * TOKEN_WEIGHTS, TOKEN_WEIGHTS),
        (REAL * TOKEN_WEIGHTS, TOKEN_WEIGHTS[:, :, np.newaxis]),
    ],
    ids=["none", "(batch,)", "(batch, 1)", "(batch, length)", "(batch, length, 1)"],
)
def test_it_is_the_number_worked_out_by_hand(kind, weights, as_given):
    metric = kind()
    metric.update_state(LABELS, LOGITS, sample_weight=as_given)
    assert float(metric.result()) == pytest.approx(BY_HAND[kind](weights), abs=1e-6)


@every_metric
def test_it_is_true_over_an_epoch_of_unequal_batches(kind):
    metric = kind()
    metric.update_state(LABELS[:1], LOGITS[:1])
    for_one = float(metric.result())
    metric.update_state(LABELS[1:, :2], LOGITS[1:, :2])  # two rows, shorter padding
    assert float(metric.result()) == pytest.approx(BY_HAND[kind](REAL), abs=1e-6)
    assert float(metric.result()) != pytest.approx(for_one, abs=1e-3)
    metric.reset_state()
    metric.update_state(LABELS[:1], LOGITS[:1])
    assert float(metric.result()) == for_one


@every_metric
def test_padding_does_not_change_it(kind):
    metric = kind()
    padded = np.pad(LOGITS, [(0, 0), (0, 4), (0, 0)])
    padded[:, 3:, 0] = 50.0  # the model predicts pad at the padding
    metric.update_state(np.pad(LABELS, [(0, 0), (0, 4)]), padded)
    assert float(metric.result()) == pytest.approx(BY_HAND[kind](REAL), abs=1e-6)


@pytest.mark.parametrize(("kind", "nothing"), [(TokenAccuracy, 0.0), (Perplexity, 1.0)])
def test_before_any_token_it_is_finite(kind, nothing):
    metric = kind()
    assert metric.result() == nothing
    metric.update_state(np.zeros_like(LABELS), LOGITS)
    assert metric.result() == nothing


@every_metric
def test_it_is_counted_in_float32_under_mixed_precision(kind):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        metric = kind()
    finally:
        keras.config.set_dtype_policy("float32")
    ids = tf.fill([1, 4001], 3)
    logits = tf.one_hot(ids, 4) * 20.0
    metric.update_state(ids, logits)
    assert metric.total.numpy() == 4001.0  # float16 counts to 2048
    assert float(metric.result()) == pytest.approx(1.0, abs=1e-6)


@every_metric
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "mixed_float16"])
def test_the_result_has_the_dtype_that_was_asked_for_and_sums_are_accurate(kind, dtype):
    metric = kind(dtype=dtype)
    assert metric.dtype == dtype.removeprefix("mixed_")
    metric.update_state(LABELS, LOGITS)
    assert metric.result().dtype == metric.dtype
    error = {"float64": 1e-12, "float32": 1e-6}.get(dtype, 0.01)
    assert float(metric.result()) == pytest.approx(BY_HAND[kind](REAL), rel=error)
    metric.reset_state()
    ids = tf.fill([1, 4001], 3)
    metric.update_state(ids, tf.one_hot(ids, 4))
    assert metric.total.numpy() == 4001.0


@every_metric
def test_it_is_restored_from_its_config(kind):
    metric = kind(name="mine", dtype="float16")
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert isinstance(again, kind)
    assert again.get_config() == metric.get_config() == {"name": "mine", "dtype": "float16"}


@every_metric
def test_it_has_a_state_as_metrics_of_keras_have(kind):
    metric = kind()
    assert [variable.name for variable in metric.variables] == ["sum", "total"]
    first = metric(LABELS, LOGITS)  # updates and returns the result
    assert float(first) == float(metric.result())
    state = metric.stateless_update_state(metric.variables, LABELS, LOGITS, TOKEN_WEIGHTS)
    assert float(metric.result()) == float(first)
    metric.update_state(LABELS, LOGITS, TOKEN_WEIGHTS)
    assert float(metric.stateless_result(state)) == float(metric.result())
    metric.reset_state()
    assert [float(variable.value) for variable in metric.variables] == [0.0, 0.0]


@every_metric
def test_labels_may_have_a_last_dimension_of_one_as_in_keras(kind):
    metric = kind()
    metric.update_state(LABELS[:, :, np.newaxis], LOGITS)
    assert float(metric.result()) == pytest.approx(BY_HAND[kind](REAL), abs=1e-6)


@every_metric
@pytest.mark.parametrize("shape", [(), (2,), (3, 2), (3, 3, 2)])
def test_weights_of_another_shape_are_rejected(kind, shape):
    with pytest.raises(ValueError, match=r"`sample_weight` must have the shape \(batch,\), "):
        kind().update_state(LABELS, LOGITS, sample_weight=np.ones(shape))


@every_metric
def test_labels_and_logits_that_do_not_fit_are_rejected(kind):
    with pytest.raises(ValueError, match="`y_pred` must have the shape of `y_true`"):
        kind().update_state(LABELS[:, :2], LOGITS)
