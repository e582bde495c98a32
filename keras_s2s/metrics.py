"""Metrics over target tokens: `Perplexity` and `TokenAccuracy`."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.losses import as_labels, check_logits, computation_dtype, token_nll, token_weights


class TokenMean(keras.metrics.Metric):
    """Base class of metrics that average a value of each real target token over an epoch.

    Sums and counts are accumulated over the epoch and divided once, so every token has the same
    weight, whatever the batches are. Padding is ignored. A subclass defines the value.

    Args:
        name: Name of the metric.
        direction: "up" if higher values are better, or "down", for Keras's callbacks.
        dtype: dtype or policy of the result. Defaults to `keras.config.floatx()`. Sums are kept
            in float64 for "float64", otherwise in float32: float16 can count only to 2,048.

    Call arguments:
        y_true: Integers `(batch, target_length)` or `(batch, target_length, 1)`. The labels,
            padded with 0.
        y_pred: Floats `(batch, target_length, vocabulary_size)`. The logits.
        sample_weight: None, `(batch,)` or `(batch, 1)` for sequences, `(batch, target_length)` or
            `(batch, target_length, 1)` for tokens.

    Raises:
        ValueError: If the shapes of labels, logits and weights do not match.
    """

    def __init__(self, name: str, direction: str, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._direction = direction
        counted = computation_dtype(self.dtype)
        self.sum = self.add_variable((), "zeros", dtype=counted, name="sum")
        self.total = self.add_variable((), "zeros", dtype=counted, name="total")

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        y_true, y_pred = as_labels(y_true), tf.convert_to_tensor(y_pred)
        check_logits(y_true, y_pred)
        weights = token_weights(y_true, sample_weight, self.sum.dtype)
        values = tf.cast(self._values(y_true, y_pred), weights.dtype)
        self.sum.assign_add(tf.reduce_sum(weights * values))
        self.total.assign_add(tf.reduce_sum(weights))

    def result(self) -> tf.Tensor:
        return tf.cast(self._mean(), self.dtype)

    def _mean(self) -> tf.Tensor:
        """Divide the sum of the epoch by its count, in the dtype of both."""
        return tf.math.divide_no_nan(self.sum.value, self.total.value)

    def _values(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the value of each token, `(batch, target_length)`."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="keras_s2s")
class Perplexity(TokenMean):
    """Perplexity of the target tokens of an epoch: exp(-(1/N) Σ log P(y_t | y_<t, c)).

    N is the number of tokens without padding.

    Log probabilities and counts are summed over the epoch and divided once. The result therefore
    differs from the exponential of the mean loss of batches. Labels are not smoothed. Padding is
    ignored.

    Args:
        name: Name of the metric. Defaults to "perplexity".
        dtype: dtype or policy of the result. Defaults to `keras.config.floatx()`.

    Call arguments:
        y_true: Integers `(batch, target_length)` or `(batch, target_length, 1)`. The labels,
            padded with 0.
        y_pred: Floats `(batch, target_length, vocabulary_size)`. The logits.
        sample_weight: None, `(batch,)` or `(batch, 1)` for sequences, `(batch, target_length)` or
            `(batch, target_length, 1)` for tokens.
    """

    def __init__(self, name: str = "perplexity", dtype: Any = None) -> None:
        super().__init__(name, direction="down", dtype=dtype)

    def result(self) -> tf.Tensor:
        return tf.cast(tf.exp(self._mean()), self.dtype)

    def _values(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return token_nll(y_true, y_pred, dtype=self.sum.dtype)


@keras.saving.register_keras_serializable(package="keras_s2s")
class TokenAccuracy(TokenMean):
    """Fraction of target tokens that the model ranks first, given the correct previous tokens.

    Counts are summed over the epoch and divided once, so every token has the same weight,
    regardless of the batches. Padding is ignored.

    Args:
        name: Name of the metric. Defaults to "token_accuracy".
        dtype: dtype or policy of the result. Defaults to `keras.config.floatx()`.

    Call arguments:
        y_true: Integers `(batch, target_length)` or `(batch, target_length, 1)`. The labels,
            padded with 0.
        y_pred: Floats `(batch, target_length, vocabulary_size)`. The logits.
        sample_weight: None, `(batch,)` or `(batch, 1)` for sequences, `(batch, target_length)` or
            `(batch, target_length, 1)` for tokens.
    """

    def __init__(self, name: str = "token_accuracy", dtype: Any = None) -> None:
        super().__init__(name, direction="up", dtype=dtype)

    def _values(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        best = tf.argmax(y_pred, axis=-1, output_type=tf.int32)
        return tf.equal(best, tf.cast(y_true, tf.int32))
