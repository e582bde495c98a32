"""Metrics over target tokens: `Perplexity` and `TokenAccuracy`."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.losses import token_nll, token_weights


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


@keras.saving.register_keras_serializable(package="keras_s2s")
class Perplexity(TokenMean):
    """exp(-(1/N) Σ log P(y_t | y_<t, c)) over all N real target tokens of an epoch.

    Log probabilities and counts are summed over the epoch and divided once: the exponential of an
    averaged loss would be another number. Labels are not smoothed. Padding counts nowhere.

    Args:
        name: name of the metric.

    Call arguments:
        y_true: integers `(batch, target_length)`: the labels, padded with 0.
        y_pred: float `(batch, target_length, vocabulary_size)`: logits.
        sample_weight: None, `(batch,)` or `(batch, target_length)`.
    """

    def __init__(self, name: str = "perplexity", **kwargs: Any) -> None:
        super().__init__(name, direction="down", **kwargs)

    def result(self) -> tf.Tensor:
        return tf.exp(super().result())

    def _values(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return token_nll(y_true, y_pred)


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
