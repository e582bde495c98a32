"""The last layer of a decoder: what every target id is worth."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.layers.embedding import TokenEmbedding


class Logits(keras.layers.Layer):
    """Gives logits = r·W + b, or with a tied embedding E logits = r·Eᵀ + b.

    The logits are float32 whatever the features are: called as a layer all is computed in float32;
    by its `call` within a layer of 16 bits, as training does, the product has operands of 16 bits.

    Args:
        vocabulary_size: how many ids there are.
        embedding: the `TokenEmbedding` whose vectors are the kernel, or None for a kernel of its
            own.

    Call arguments:
        features: float `(..., units)`.
        kernel: what `step_kernel` gives, in the precision that the product is wanted in.

    Returns:
        The logits, float32 `(..., vocabulary_size)`.

    References:
        - [Using the output embedding to improve language models (Press and Wolf, 2017)](
          https://arxiv.org/abs/1608.05859)
    """

    def __init__(
        self, vocabulary_size: int, embedding: TokenEmbedding | None = None, **kwargs: Any
    ) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.vocabulary_size = vocabulary_size
        self.embedding = embedding

    def build(self, features_shape: tuple[Any, ...]) -> None:
        if self.embedding is None:
            self.kernel = self.add_weight(
                shape=(features_shape[-1], self.vocabulary_size),
                initializer="glorot_uniform",
                name="kernel",
            )
        self.bias = self.add_weight(shape=(self.vocabulary_size,), initializer="zeros", name="bias")
        self.built = True

    def call(self, features: tf.Tensor, kernel: tf.Tensor | None = None) -> tf.Tensor:
        kernel = self.step_kernel() if kernel is None else kernel
        features, tied = tf.cast(features, kernel.dtype), self.embedding is not None
        if features.shape.rank == 2:  # TensorFlow adds the bias within the product, on a CPU
            product = tf.matmul(features, kernel, transpose_b=tied)
        else:
            product = tf.tensordot(features, kernel, axes=[[-1], [1]] if tied else 1)
        return tf.cast(product, tf.float32) + tf.cast(self.bias, tf.float32)

    def compute_output_shape(self, features_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the shape of the logits."""
        return (*features_shape[:-1], self.vocabulary_size)

    def step_kernel(self) -> tf.Tensor:
        """Give the matrix that features are multiplied with: W, or tied E."""
        return tf.convert_to_tensor(
            self.kernel if self.embedding is None else self.embedding.embeddings
        )
