"""The share of target tokens that a teacher-forced model gets right."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.training.token_losses import token_weights


@keras.saving.register_keras_serializable(package="keras_s2s")
class TokenAccuracy(keras.metrics.Metric):
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
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self._direction = "up"  # what Keras's callbacks take for better
        self.correct = self.add_variable((), "zeros", name="correct")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        y_true = tf.cast(y_true, tf.int32)
        weights = token_weights(y_true, sample_weight)
        right = tf.equal(tf.argmax(y_pred, axis=-1, output_type=tf.int32), y_true)
        self.correct.assign_add(tf.reduce_sum(weights * tf.cast(right, tf.float32)))
        self.total.assign_add(tf.reduce_sum(weights))

    def result(self) -> tf.Tensor:
        return tf.math.divide_no_nan(self.correct.value, self.total.value)
