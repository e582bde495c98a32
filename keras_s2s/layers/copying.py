"""Copying source tokens: a mixture of generated tokens and attended source tokens."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

_NEVER = -1e9  # finite, because the LiteRT converter silently turns -inf into another number


@keras.saving.register_keras_serializable(package="keras_s2s")
class CopyGate(keras.layers.Layer):
    """Pointer-generator: P(y) = p·P_vocabulary(y) + (1 - p)·Σ_i a_i·[x_i = y].

    p = sigmoid(wᵀ·r + b) is the probability of generating, r the features of the logits, and a the
    attention weights. A source token that is not in the target vocabulary is copied as unk. The
    attention on source tokens that cannot be copied is added to the probability of generating.

    Everything is computed in float32 and in log space, so that no probability underflows.

    Call arguments:
        features: Float `(..., units)`.
        logits: Float32 `(..., vocabulary_size)`.
        copied: Float32 `(..., vocabulary_size + 1)`. Attention on each target id, and on tokens
            that cannot be copied. Sums to 1.

    Returns:
        log P(y), float32 `(..., vocabulary_size)`.

    References:
        - [Get to the point: summarization with pointer-generator networks (See et al., 2017)](
          https://aclanthology.org/P17-1099)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def build(self, features_shape: tuple[Any, ...], *other_shapes: Any) -> None:
        self.kernel = self.add_weight(
            shape=(features_shape[-1], 1), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(shape=(1,), initializer="zeros", name="bias")
        self.built = True

    def call(self, features: tf.Tensor, logits: tf.Tensor, copied: tf.Tensor) -> tf.Tensor:
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        gate = tf.tensordot(tf.cast(features, tf.float32), kernel, axes=1) + bias
        gate = tf.nn.log_softmax(tf.concat([gate, tf.zeros_like(gate)], axis=-1))
        generate, copy = gate[..., :1], gate[..., 1:]  # log p, log (1 - p)
        generate = _log_add(generate, copy + _log(copied[..., -1:]))
        return _log_add(generate + tf.nn.log_softmax(logits), copy + _log(copied[..., :-1]))


def copied_tokens(copy_ids: tf.Tensor, vocabulary_size: int) -> tf.Tensor:
    """Encode which target id each source position copies.

    Args:
        copy_ids: Int32 `(batch, source_length)`. Target id of each source token, or -1 if it
            cannot be copied.
        vocabulary_size: Number of target ids.

    Returns:
        Float32 `(batch, source_length, vocabulary_size + 1)`, one-hot. The last column is for -1.
    """
    ids = tf.where(copy_ids < 0, vocabulary_size, copy_ids)
    return tf.one_hot(ids, vocabulary_size + 1)


def attend_copies(weights: tf.Tensor, copies: tf.Tensor) -> tf.Tensor:
    """Sum the attention on each target id.

    Args:
        weights: Float32 `(batch, queries, source_length)`, or `(rows, source_length)` with
            adjacent hypotheses of each source.
        copies: Output of `copied_tokens`.

    Returns:
        Float32 `(batch, queries, vocabulary_size + 1)`, or `(rows, vocabulary_size + 1)`.
    """
    if weights.shape.rank == 3:
        return tf.matmul(weights, copies)
    batch_size, rows = tf.shape(copies)[0], tf.shape(weights)[0]
    per_source = rows // tf.maximum(batch_size, 1)
    by_source = tf.reshape(weights, [batch_size, per_source, tf.shape(copies)[1]])
    return tf.reshape(tf.matmul(by_source, copies), [rows, copies.shape[-1]])


def _log(values: tf.Tensor) -> tf.Tensor:
    """Return the logarithm of values that may be 0, with a finite gradient."""
    positive = values > 0
    return tf.where(positive, tf.math.log(tf.where(positive, values, 1.0)), _NEVER)


def _log_add(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Return log(exp(first) + exp(second)), for which LiteRT has no operation."""
    greater = tf.maximum(first, second)
    return greater + tf.math.log(tf.exp(first - greater) + tf.exp(second - greater))
