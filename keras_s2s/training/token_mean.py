"""What the metrics over target tokens have in common."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.training.token_losses import token_weights


class TokenMean(keras.metrics.Metric):
    """The weighted mean of one number for each real target token of an epoch.

    Sums and counts are kept over the epoch and divided once, so every token weighs the same
    however the batches fell. Padding counts nowhere. What the number is, a sub-class says.

    Args:
        name: name of the metric.
        direction: "up" or "down": which way is better, for Keras's callbacks.

    Call arguments:
        y_true: integers `(batch, target_length)`: the labels, padded with 0.
        y_pred: float `(batch, target_length, vocabulary_size)`: logits.
        sample_weight: None, `(batch,)` or `(batch, target_length)`.
    """

    def __init__(self, name: str, direction: str, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self._direction = direction
        self.sum = self.add_variable((), "zeros", name="sum")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        weights = token_weights(y_true, sample_weight)
        self.sum.assign_add(tf.reduce_sum(weights * self._values(y_true, y_pred)))
        self.total.assign_add(tf.reduce_sum(weights))

    def result(self) -> tf.Tensor:
        return tf.math.divide_no_nan(self.sum.value, self.total.value)

    def _values(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Give the number of each token, float32 `(batch, target_length)`."""
        raise NotImplementedError
