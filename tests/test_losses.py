"""The loss is -log P(y | x), worked out by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.by_hand import (
    LABELS,
    LOGITS,
    REAL,
    SEQUENCE_WEIGHTS,
    TOKEN_WEIGHTS,
    VOCABULARY_SIZE,
    nll,
)

from keras_s2s.losses import SequenceLoss

every_reduction = pytest.mark.parametrize("reduction", ["sequence", "token"])


def expected_loss(reduction, weights=None, label_smoothing=0.0):
    """What the docstring says, with loops. `weights` are None, (batch,) or (batch, length)."""
    losses = nll(label_smoothing=label_smoothing)
    if weights is None:
        weights = np.ones(LABELS.shape)
    if weights.ndim == 1:
        weights = np.repeat(weights[:, np.newaxis], LABELS.shape[1], axis=1)
    total, divisor = 0.0, 0.0
    for row in range(len(LABELS)):
        real = REAL[row]
        total += (weights[row][real] * losses[row][real]).sum()
        divisor += (
            weights[row][real].mean() if reduction == "sequence" else weights[row][real].sum()
        )
    return total / divisor


@every_reduction
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("sample_weight", "as_given"),
    [
        (None, None),
        (SEQUENCE_WEIGHTS, SEQUENCE_WEIGHTS),
        (SEQUENCE_WEIGHTS, SEQUENCE_WEIGHTS[:, np.newaxis]),
        (SEQUENCE_WEIGHTS, tf.constant([1, 0, 2.5], tf.float16)),
        (TOKEN_WEIGHTS, TOKEN_WEIGHTS),
        (TOKEN_WEIGHTS, TOKEN_WEIGHTS[:, :, np.newaxis]),
    ],
    ids=["none", "(batch,)", "(batch, 1)", "float16", "(batch, length)", "(batch, length, 1)"],
)
def test_it_is_the_mean_worked_out_by_hand(reduction, label_smoothing, sample_weight, as_given):
    loss = SequenceLoss(reduction=reduction, label_smoothing=label_smoothing)
    got = loss(LABELS, LOGITS, sample_weight=as_given)
    assert got.dtype == tf.float32
    assert got.shape == ()
    assert float(got) == pytest.approx(
        expected_loss(reduction, sample_weight, label_smoothing), abs=1e-6
    )


def test_the_two_means_differ_by_the_mean_length():
    tokens, sequences = REAL.sum(), len(LABELS)
    by_token = float(SequenceLoss(reduction="token")(LABELS, LOGITS))
    by_sequence = float(SequenceLoss()(LABELS, LOGITS))
    assert by_sequence == pytest.approx(by_token * tokens / sequences, abs=1e-6)


@every_reduction
def test_padding_does_not_change_the_loss(reduction):
    loss = SequenceLoss(reduction=reduction, label_smoothing=0.1)
    labels = np.pad(LABELS, [(0, 0), (0, 4)])
    logits = np.pad(LOGITS, [(0, 0), (0, 4), (0, 0)], constant_values=1e4)
    logits[:, :3][~REAL] = -1e4
    assert float(loss(labels, logits)) == pytest.approx(float(loss(LABELS, LOGITS)), abs=1e-6)


@every_reduction
def test_its_gradient_is_that_of_the_formula_and_zero_at_the_padding(reduction):
    logits = tf.constant(LOGITS, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = SequenceLoss(reduction=reduction)(LABELS, logits)
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=-1, keepdims=True)
    expected = (probabilities - np.eye(VOCABULARY_SIZE)[LABELS]) * REAL[:, :, np.newaxis]
    expected /= len(LABELS) if reduction == "sequence" else REAL.sum()
    np.testing.assert_allclose(tape.gradient(value, logits), expected, atol=1e-6)


@every_reduction
@pytest.mark.parametrize("sample_weight", [None, np.zeros(3), np.zeros([3, 3])])
def test_the_loss_is_zero_if_all_weights_are_zero(reduction, sample_weight):
    labels = LABELS if sample_weight is not None else np.zeros_like(LABELS)
    assert SequenceLoss(reduction=reduction)(labels, LOGITS, sample_weight=sample_weight) == 0.0
    assert SequenceLoss(reduction=reduction)(LABELS[:0], LOGITS[:0]) == 0.0


@every_reduction
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_it_is_computed_in_float32_and_reads_large_ids(reduction, dtype):
    labels = np.array([[3001, 3]])  # float16 would make 3000 of it
    logits = np.zeros([1, 2, 3002], np.float32)
    logits[0, 0, 3001] = logits[0, 1, 3] = 4.0
    exact = float(SequenceLoss(reduction=reduction)(labels, logits))
    got = SequenceLoss(reduction=reduction)(tf.constant(labels, tf.float64), tf.cast(logits, dtype))
    assert got.dtype == tf.float32
    assert float(got) == pytest.approx(exact, abs=1e-6)


@every_reduction
def test_it_is_restored_from_its_config(reduction):
    loss = SequenceLoss(reduction=reduction, label_smoothing=0.2, name="mine")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(again, SequenceLoss)
    assert again.get_config() == loss.get_config()
    assert again.name == "mine"
    assert again(LABELS, LOGITS) == loss(LABELS, LOGITS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reduction": "mean"}, "`reduction` must be 'sequence', .*, or 'token', .* Received: red"),
        ({"reduction": ["sum"]}, "size of a training step would depend on the batch size"),
        ({"label_smoothing": -0.1}, "`label_smoothing` must be a number of at least 0 and below 1"),
        ({"label_smoothing": 1}, "must be a number of at least 0 and below 1.*label_smoothing=1"),
        ({"label_smoothing": "0.1"}, "`label_smoothing` must be a number.*label_smoothing='0.1'"),
    ],
)
def test_bad_arguments_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceLoss(**arguments)


@pytest.mark.parametrize("shape", [(), (2,), (3, 2), (1, 3), (3, 3, 2), (3, 3, 1, 1)])
def test_weights_of_another_shape_are_rejected(shape):
    message = r"`sample_weight` must have the shape \(batch,\), \(batch, 1\), \(batch, target_"
    with pytest.raises(ValueError, match=message):
        SequenceLoss()(LABELS, LOGITS, sample_weight=np.ones(shape))


@every_reduction
def test_labels_may_have_a_last_dimension_of_one_as_in_keras(reduction):
    loss = SequenceLoss(reduction)
    weights = TOKEN_WEIGHTS[:, :, np.newaxis]
    labels = LABELS[:, :, np.newaxis]
    assert loss(labels, LOGITS, weights) == loss(LABELS, LOGITS, TOKEN_WEIGHTS)
    assert loss.divisor(labels, weights) == loss.divisor(LABELS, TOKEN_WEIGHTS)


@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        (LABELS[0], LOGITS, r"`y_true` must have the shape .* Received: y_true of shape \(3,\)"),
        (LABELS.astype(str), LOGITS, "`y_true` must be integer ids. Received: y_true of string"),
        (LABELS != 0, LOGITS, "`y_true` must be integer ids. Received: y_true of bool"),
        (LABELS, LOGITS[:, :2], r"`y_pred` must have the shape of `y_true` .* \(3, 2, 5\)"),
        (LABELS, LOGITS[0], r"`y_pred` must have the shape of `y_true` .* shape \(3, 5\)"),
    ],
)
def test_labels_and_logits_that_do_not_fit_are_rejected(labels, logits, message):
    with pytest.raises(ValueError, match=message):
        SequenceLoss()(labels, logits)


@every_reduction
@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 3), (3, 3, 1)])
def test_weights_of_one_are_no_weights_where_a_row_is_padding_too(reduction, shape):
    labels = LABELS.copy()
    labels[1] = 0
    loss = SequenceLoss(reduction)
    without = float(loss(labels, LOGITS))
    assert float(loss(labels, LOGITS, np.ones(shape))) == pytest.approx(without, rel=1e-6)
    assert float(loss(labels[[0, 2]], LOGITS[[0, 2]])) == pytest.approx(without, rel=1e-6)


def test_a_row_of_padding_is_not_a_sequence():
    labels, logits = np.array([[4, 5, 3, 0], [0, 0, 0, 0]]), np.zeros([2, 4, 8])
    assert float(SequenceLoss()(labels, logits)) == pytest.approx(3 * np.log(8), rel=1e-6)


@every_reduction
@pytest.mark.parametrize("weights", [None, SEQUENCE_WEIGHTS, TOKEN_WEIGHTS])
def test_batches_weighted_by_their_divisors_have_the_loss_of_all_at_once(reduction, weights):
    loss = SequenceLoss(reduction)

    def of(rows):
        part = None if weights is None else weights[rows]
        return float(loss(LABELS[rows], LOGITS[rows], part)), float(
            loss.divisor(LABELS[rows], part)
        )

    losses, divisors = zip(of(slice(0, 1)), of(slice(1, 3)), strict=True)
    whole = expected_loss(reduction, weights)
    assert np.average(losses, weights=divisors) == pytest.approx(whole, rel=1e-6)


@every_reduction
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "mixed_float16"])
def test_the_result_has_the_dtype_that_was_asked_for(reduction, dtype):
    loss = SequenceLoss(reduction, dtype=dtype)
    got = loss(LABELS, LOGITS, SEQUENCE_WEIGHTS)
    assert got.dtype == loss.dtype == dtype.removeprefix("mixed_")
    expected = expected_loss(reduction, SEQUENCE_WEIGHTS)
    error = {"float64": 1e-12, "float32": 1e-6}.get(dtype, 0.01)
    assert float(got) == pytest.approx(expected, rel=error)


def test_the_dtype_follows_floatx_as_that_of_keras_losses():
    keras.config.set_floatx("float64")
    try:
        assert SequenceLoss()(LABELS, LOGITS).dtype == "float64"
    finally:
        keras.config.set_floatx("float32")


@every_reduction
def test_it_says_its_reduction_and_takes_what_keras_losses_take(reduction):
    loss = SequenceLoss(reduction=reduction, name="mine", dtype="float64")
    assert (loss.reduction, loss.name, loss.dtype) == (reduction, "mine", "float64")
    assert set(loss.get_config()) == {"reduction", "name", "label_smoothing"}
    again = SequenceLoss.from_config(loss.get_config())
    assert again.get_config() == loss.get_config()


def test_an_implicit_mask_of_keras_does_not_change_it():
    logits = tf.constant(LOGITS)
    logits._keras_mask = tf.constant(np.eye(3, dtype=bool))  # other positions than the labels'
    assert SequenceLoss()(LABELS, logits) == SequenceLoss()(LABELS, LOGITS)
