"""The last layer of a decoder, which computes the logits of all target ids."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.layers.embedding import TokenEmbedding
from keras_s2s.layers.products import matmul


class Logits(keras.layers.Layer):
    """Logits of all ids: r·W + b, or r·Eᵀ + b with a tied embedding E.

    The logits are float32. Called as a layer, it computes in float32. Run by `compute` within a
    16-bit layer, as in training, it multiplies 16-bit operands.

    Args:
        vocabulary_size: Positive integer. Number of ids.
        embedding: `TokenEmbedding` whose vectors are the kernel. `None` creates a separate kernel.
            Defaults to `None`.

    Call arguments:
        features: Float `(..., units)`.
        kernel: Kernel in the precision of the product. Defaults to `step_kernel()`.

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
        if features.shape.rank == 2:  # on a CPU, TensorFlow fuses the bias into the product
            product = matmul(features, kernel, transpose_b=tied)
        else:
            product = tf.tensordot(features, kernel, axes=[[-1], [1]] if tied else 1)
        return tf.cast(product, tf.float32) + tf.cast(self.bias, tf.float32)

    def compute_output_shape(self, features_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the shape of the logits."""
        return (*features_shape[:-1], self.vocabulary_size)

    def step_kernel(self) -> tf.Tensor:
        """Return the kernel: W, or E if it is tied."""
        return tf.convert_to_tensor(
            self.kernel if self.embedding is None else self.embedding.embeddings
        )
