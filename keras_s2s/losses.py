"""The loss of sequences, and the negative log likelihood of their tokens."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.checks import check_choice, check_number
from keras_s2s.replicas import sum_over_replicas
from keras_s2s.special_ids import PAD_ID


@keras.saving.register_keras_serializable(package="keras_s2s")
class SequenceLoss(keras.losses.Loss):
    """-log P(y | x) = -Σ_t log P(y_t | y_<t, c), its mean over sequences or over tokens.

    Padding counts nowhere: the mask is made from the labels (id 0), so a batch has the same loss
    however far it is padded.

    Args:
        reduction: "sequence": the sum over the tokens of each sequence, its mean over the
            sequences of the batch. "token": the mean over the real tokens of the batch.
        label_smoothing: how much of the probability is spread evenly over the vocabulary,
            in [0, 1).
        name: name of the loss.

    Call arguments:
        y_true: integers `(batch, target_length)`: the labels, padded with 0.
        y_pred: float `(batch, target_length, vocabulary_size)`: logits.
        sample_weight: None, `(batch,)` or `(batch, target_length)`. The means become weighted
            means; a sequence weighs as much as its tokens do on average.

    Returns:
        A float32 scalar, in nats. In a replica of `tf.distribute`: its part of the mean over the
        global batch, as the replicas' gradients are added up.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> loss = SequenceLoss(reduction="token")
        >>> float(loss(np.array([[4, 3, 0]]), np.zeros((1, 3, 5)))) == float(np.log(np.float32(5)))
        True

    References:
        - [Rethinking the Inception architecture (Szegedy et al., 2016), section 7](
          https://arxiv.org/abs/1512.00567), for label smoothing
    """

    def __init__(
        self,
        reduction: str = "sequence",
        label_smoothing: float = 0.0,
        name: str = "sequence_loss",
    ) -> None:
        # float32 whatever the policy: a float16 loss would cast the ids
        super().__init__(name=name, reduction="sum", dtype="float32")
        self.sequence_reduction = check_choice("reduction", reduction, ("sequence", "token"))
        self.label_smoothing = check_number(
            "label_smoothing", label_smoothing, minimum=0.0, maximum=1.0
        )
        if self.label_smoothing == 1.0:
            raise ValueError(
                "`label_smoothing` must be below 1: nothing of the labels would be left. "
                "Received: label_smoothing=1.0"
            )

    def __call__(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        shares = self.token_shares(tf.convert_to_tensor(y_true), sample_weight)
        return tf.reduce_sum(shares * self.call(y_true, y_pred))

    def token_shares(self, y_true: tf.Tensor, sample_weight: tf.Tensor | None = None) -> tf.Tensor:
        """Give the factor with which the -log P of each token enters the loss.

        Args:
            y_true: integers `(batch, target_length)`: the labels, padded with 0.
            sample_weight: None, `(batch,)` or `(batch, target_length)`.

        Returns:
            float32 `(batch, target_length)`, zero at the padding. Under `tf.distribute` the batch
            is the global one: the sum over the replicas is the loss.
        """
        weights = token_weights(y_true, sample_weight)
        if self.sequence_reduction == "token":
            divisor = tf.reduce_sum(weights)
        elif sample_weight is None:
            divisor = tf.cast(tf.shape(y_true)[0], tf.float32)
        else:
            tokens = tf.reduce_sum(real_tokens(y_true), axis=1)
            divisor = tf.reduce_sum(tf.math.divide_no_nan(tf.reduce_sum(weights, axis=1), tokens))
        return tf.math.divide_no_nan(weights, sum_over_replicas(divisor))

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return token_nll(y_true, y_pred, self.label_smoothing)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "reduction": self.sequence_reduction,
            "label_smoothing": self.label_smoothing,
        }

    def __repr__(self) -> str:
        return f"SequenceLoss({self.sequence_reduction!r}, label_smoothing={self.label_smoothing})"


def real_tokens(target_labels: tf.Tensor) -> tf.Tensor:
    """Give 1.0 at the real tokens of labels `(batch, target_length)` and 0.0 at the padding."""
    return tf.cast(tf.not_equal(target_labels, PAD_ID), tf.float32)


def token_nll(
    target_labels: tf.Tensor, logits: tf.Tensor, label_smoothing: float = 0.0
) -> tf.Tensor:
    """Compute -log P of each label, with the labels smoothed over the vocabulary if asked.

    Smoothing puts `label_smoothing` of the probability evenly on all ids (Szegedy et al., 2016);
    no one-hot labels are made.

    Args:
        target_labels: integers `(batch, target_length)`.
        logits: float `(batch, target_length, vocabulary_size)`.
        label_smoothing: how much of the probability is spread, in [0, 1).

    Returns:
        float32 `(batch, target_length)`; at the padding, numbers without a meaning.
    """
    logits = tf.cast(logits, tf.float32)
    nll = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.cast(target_labels, tf.int32), logits=logits
    )
    if not label_smoothing:
        return nll
    uniform = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
    return (1.0 - label_smoothing) * nll + label_smoothing * uniform


def token_weights(target_labels: tf.Tensor, sample_weight: tf.Tensor | None) -> tf.Tensor:
    """Give the weight of each token, zero at the padding.

    Args:
        target_labels: integers `(batch, target_length)`.
        sample_weight: None, `(batch,)` or `(batch, 1)` for whole sequences, or
            `(batch, target_length)` for tokens.

    Returns:
        float32 `(batch, target_length)`.

    Raises:
        ValueError: if `sample_weight` has another rank.
    """
    real = real_tokens(target_labels)
    if sample_weight is None:
        return real
    weights = tf.cast(sample_weight, tf.float32)
    if weights.shape.rank == 1:
        weights = tf.expand_dims(weights, 1)
    if weights.shape.rank != 2:
        raise ValueError(
            "`sample_weight` must have the shape (batch,) or (batch, target_length). "
            f"Received: sample_weight of shape {tuple(weights.shape)}"
        )
    return real * weights
