"""A context that a learned query picks out of the memory."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.layers.attention import masked_softmax


@keras.saving.register_keras_serializable(package="keras_s2s")
class AttentionPool(keras.layers.Layer):
    """Weighs the states by how well they fit one learned query: c = Σ_t a_t·h_t.

    u_t = tanh(W·h_t + b), a = softmax over t of (qᵀ·u_t), with q a weight of the layer. The
    softmax is computed in float32 whatever the memory is.

    Masking: positions whose mask is false get no weight.

    Call arguments:
        memory: float `(batch, source_length, units)`, zero at the padding.
        mask: bool `(batch, source_length)`, true at real tokens.

    Returns:
        The context, `(batch, units)`; zeros for a row without real tokens.

    Example:
        >>> AttentionPool()(tf.zeros([2, 5, 4]), mask=tf.ones([2, 5], tf.bool)).shape
        TensorShape([2, 4])

    References:
        - [Hierarchical attention networks for document classification (Yang et al., 2016)](
          https://aclanthology.org/N16-1174)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True  # without it Keras warns of a mask that is given as argument

    def build(self, memory_shape: tuple[Any, ...]) -> None:
        units = memory_shape[-1]
        self.kernel = self.add_weight(
            shape=(units, units), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(shape=(units,), initializer="zeros", name="bias")
        self.query = self.add_weight(shape=(units, 1), initializer="glorot_uniform", name="query")
        self.built = True

    def call(self, memory: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        hidden = tf.tanh(tf.tensordot(memory, kernel, axes=1) + bias)
        scores = tf.tensordot(hidden, tf.convert_to_tensor(self.query), axes=1)
        weights = masked_softmax(tf.squeeze(scores, axis=2), mask)
        weights = tf.expand_dims(tf.cast(weights, memory.dtype), 2)  # (batch, source_length, 1)
        return tf.reduce_sum(weights * memory, axis=1)
