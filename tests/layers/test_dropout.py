"""What is dropped, where and how often."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.layers.dropout import SequenceDropout, check_rates

IDS = tf.constant(np.tile([[2, 5, 6, 7, 3, 0]], [500, 1]), tf.int32)


def test_words_become_unk_at_their_rate_and_the_special_tokens_stay():
    dropped = SequenceDropout(1, 0.0, 0.0, 0.25).words(IDS, training=True).numpy()
    words = dropped[:, 1:4]
    assert np.all((words == 1) | (words == IDS[:, 1:4].numpy()))
    assert abs(np.mean(words == 1) - 0.25) < 0.05  # five standard deviations of 1500 coins
    np.testing.assert_array_equal(np.delete(dropped, [1, 2, 3], axis=1), IDS.numpy()[:, [0, 4, 5]])


def test_kept_values_are_scaled_up():
    mask = SequenceDropout(1, 0.0, 0.75, 0.0).recurrent_mask(0, (1000, 2), tf.float32, True)
    assert set(np.unique(mask)) == {0.0, 4.0}
    assert abs(np.mean(mask) - 1.0) < 0.25  # six standard deviations


def test_outside_training_nothing_is_dropped():
    layer = SequenceDropout(1, 0.5, 0.5, 0.5)
    values = tf.ones([2, 3])
    assert layer.values(values, 0, training=False) is values
    assert layer.words(IDS, training=None) is IDS
    assert layer.recurrent_mask(0, (2, 3), tf.float32, False) is None


@pytest.mark.parametrize("rates", [(0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)])
def test_the_same_seed_drops_the_same_values(rates):
    def draw():
        keras.utils.set_random_seed(3)
        layer = SequenceDropout(1, *rates)
        mask = layer.recurrent_mask(0, (9, 9), tf.float32, True)
        return [
            layer.values(tf.ones([9, 9]), 1, True),
            layer.words(IDS, True),
            *([] if mask is None else [mask]),
        ]

    for one, other in zip(draw(), draw(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_rates_there_is_nothing_to_save():
    assert SequenceDropout(2, 0.0, (0, 0), 0.0).variables == []
    assert len(SequenceDropout(2, (0, 0, 0.1), 0.0, 0.0).variables) == 1


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (-0.1, r"`dropout` must be a number between 0 and 1\. Received: dropout=-0\.1"),
        ("0.5", r"`dropout` must be a number between 0 and 1\. Received: dropout='0\.5'"),
        ([0.1, 2], r"`dropout` must be a number between 0 and 1\. Received: dropout=2"),
        (
            [0.1],
            r"`dropout` must be one rate, or a sequence of length 2: here and there\. "
            r"Received: dropout=\[0\.1\]",
        ),
    ],
)
def test_an_invalid_rate_is_rejected(rates, message):
    with pytest.raises(ValueError, match=message):
        check_rates("dropout", rates, 2, "here and there")
