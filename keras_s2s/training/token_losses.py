"""The negative log likelihood of each token, which the loss and the metrics share."""

from __future__ import annotations

import tensorflow as tf

from keras_s2s.special_ids import PAD_ID


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
