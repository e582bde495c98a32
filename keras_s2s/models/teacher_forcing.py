"""Decoder inputs for teacher forcing, and log probabilities of targets."""

from __future__ import annotations

import tensorflow as tf

from keras_s2s.search.step import normalize
from keras_s2s.special_ids import PAD_ID


def shift_right(target_ids: tf.Tensor, first_id: int) -> tf.Tensor:
    """Return the inputs that predict `target_ids`: `first_id`, then all ids but the last.

    Args:
        target_ids: int32 `(batch, target_length)`, padded with 0.
        first_id: Id of the first input.

    Returns:
        int32 `(batch, target_length)`, with padding where the target has padding.
    """
    first = tf.fill([tf.shape(target_ids)[0], 1], first_id)
    shifted = tf.concat([first, target_ids[:, :-1]], axis=1)
    return tf.where(tf.equal(target_ids, PAD_ID), PAD_ID, shifted)


def sum_log_probs(logits: tf.Tensor, target_ids: tf.Tensor) -> tf.Tensor:
    """Sum the log probabilities of the real tokens.

    Args:
        logits: float32 `(batch, target_length, vocabulary_size)`.
        target_ids: int32 `(batch, target_length)`, padded with 0.

    Returns:
        float32 `(batch,)`.
    """
    chosen = tf.gather(logits, tf.expand_dims(target_ids, 2), axis=2, batch_dims=2)
    largest = tf.reduce_max(logits, axis=2, keepdims=True)
    log_probs = tf.squeeze(normalize(chosen, logits, largest), 2)
    return tf.reduce_sum(tf.where(tf.equal(target_ids, PAD_ID), 0.0, log_probs), axis=1)
