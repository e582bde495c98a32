"""The share of target tokens that a teacher-forced model gets right."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.training.token_mean import TokenMean


@keras.saving.register_keras_serializable(package="keras_s2s")
class TokenAccuracy(TokenMean):
    """The share of real target tokens whose most probable id is the label, given those before it.

    Counts are summed over the epoch and divided once, so every token weighs the same however the
    batches fell. Padding counts nowhere.

    Args:
        name: name of the metric.

    Call arguments:
        y_true: integers `(batch, target_length)`: the labels, padded with 0.
        y_pred: float `(batch, target_length, vocabulary_size)`: logits.
        sample_weight: None, `(batch,)` or `(batch, target_length)`.
    """

    def __init__(self, name: str = "token_accuracy", **kwargs: Any) -> None:
        super().__init__(name, direction="up", **kwargs)

    def _values(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        best = tf.argmax(y_pred, axis=-1, output_type=tf.int32)
        return tf.cast(tf.equal(best, tf.cast(y_true, tf.int32)), tf.float32)
