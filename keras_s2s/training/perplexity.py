"""The perplexity of a teacher-forced model."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.training.token_losses import token_nll, token_weights


@keras.saving.register_keras_serializable(package="keras_s2s")
class Perplexity(keras.metrics.Metric):
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
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self._direction = "down"  # what Keras's callbacks take for better
        self.nll = self.add_variable((), "zeros", name="nll")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        weights = token_weights(y_true, sample_weight)
        self.nll.assign_add(tf.reduce_sum(weights * token_nll(y_true, y_pred)))
        self.total.assign_add(tf.reduce_sum(weights))

    def result(self) -> tf.Tensor:
        return tf.exp(tf.math.divide_no_nan(self.nll.value, self.total.value))
