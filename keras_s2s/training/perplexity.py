"""The perplexity of a teacher-forced model."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.training.token_losses import token_nll
from keras_s2s.training.token_mean import TokenMean


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
