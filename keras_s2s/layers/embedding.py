"""Embedding with a dense gradient, so that Adam takes correct steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_positive_int
from keras_s2s.errors import InputError
from keras_s2s.gradients import custom_gradient

# Bound of the uniform initial vectors. Keras's 0.05 is too small to move the gates of the first
# layer and, with tied logits, the last layer. Translation from scratch then learns several times
# slower.
_MAX_INITIAL = 0.5


def check_integers(name: str, ids: tf.Tensor) -> None:
    """Check that ids are integers.

    Args:
        name: Name of the argument, for the error message.
        ids: Tensor of ids.

    Raises:
        TypeError: If the ids are not integers.
    """
    if not tf.as_dtype(ids.dtype).is_integer:
        dtype = tf.as_dtype(ids.dtype).name
        raise TypeError(f"`{name}` must be integers. Received: {name} of dtype {dtype}")


@keras.saving.register_keras_serializable(package="keras_s2s")
class TokenEmbedding(keras.layers.Layer):
    """Embedding layer with a dense gradient: one vector for each id of a vocabulary.

    The gradient of `keras.layers.Embedding` is sparse. Keras passes its rows to the optimizer
    without summing repeated ids. Under Adam and similar optimizers, a token
    that occurs n times in a batch then takes a step √n times too long, and gradient norms are
    wrong. This layer sums them. Its initial vectors are uniform between
    -0.5 and 0.5, ten times as large as in Keras.

    Masking: the layer creates no mask. Encoders and decoders compute their masks from the ids.

    Args:
        vocabulary_size: Positive integer. Number of ids.
        embedding_dim: Positive integer. Size of a vector.

    Call arguments:
        ids: Int32 tensor of any shape, each id in [0, vocabulary_size).

    Returns:
        The vectors, shape `ids.shape + (embedding_dim,)`.

    Raises:
        TypeError: If the ids are not integers.
        ValueError: If an argument is not a positive integer.
    """

    def __init__(self, vocabulary_size: int, embedding_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = check_positive_int("vocabulary_size", vocabulary_size)
        self.embedding_dim = check_positive_int("embedding_dim", embedding_dim)
        self._is_shared = False

    def build(self, ids_shape: tuple[int | None, ...] | None = None) -> None:
        self.embeddings = self.add_weight(
            shape=(self.vocabulary_size, self.embedding_dim),
            initializer=keras.initializers.RandomUniform(-_MAX_INITIAL, _MAX_INITIAL),
            name="embeddings",
        )
        self.built = True

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        check_integers("ids", ids)
        if ids.dtype not in (tf.int32, tf.int64):  # `tf.gather` supports no other types
            ids = tf.cast(ids, tf.int32)
        return _gather(tf.convert_to_tensor(self.embeddings), ids)

    def compute_output_shape(self, ids_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the vectors."""
        return (*ids_shape, self.embedding_dim)

    def share(self, other: TokenEmbedding) -> None:
        """Use the vectors of `other`. They are trained together and saved once, with `other`.

        If either embedding is frozen, the vectors are frozen.

        Args:
            other: `TokenEmbedding` of the same sizes.

        Raises:
            ValueError: If the sizes differ, or this embedding is built already.
        """
        sizes = [(each.vocabulary_size, each.embedding_dim) for each in (self, other)]
        if sizes[0] != sizes[1]:
            raise InputError(
                "Shared embeddings must have the same vocabulary_size and embedding_dim. "
                f"Received: {sizes[0]} and {sizes[1]}"
            )
        if self.built:
            raise InputError(
                "An embedding must be shared before it is built. Received: an embedding that is "
                "already built"
            )
        if not other.built:
            other.build()
        self.embeddings = other.embeddings
        self.embeddings.trainable = bool(self.trainable and other.embeddings.trainable)
        self._is_shared = True
        self.built = True

    def save_own_variables(self, store: Any) -> None:
        if not self._is_shared:
            super().save_own_variables(store)

    def load_own_variables(self, store: Any) -> None:
        if not self._is_shared:
            super().load_own_variables(store)

    def set_embeddings(self, matrix: Any) -> None:
        """Set the vectors, for example to pretrained ones. Builds the layer if necessary.

        Args:
            matrix: Numbers `(vocabulary_size, embedding_dim)`. Row n is the vector of id n.

        Raises:
            ValueError: If the matrix has the wrong shape or contains NaN or infinity.
        """
        matrix = np.asarray(matrix, np.float32)
        shape = (self.vocabulary_size, self.embedding_dim)
        if matrix.shape != shape:
            raise InputError(
                f"`matrix` must have the shape (vocabulary_size, embedding_dim) = {shape}. "
                f"Received: shape {matrix.shape}"
            )
        if not np.isfinite(matrix).all():
            row = int(np.argmin(np.isfinite(matrix).all(axis=1)))
            raise InputError(
                f"`matrix` must contain finite numbers only. Received: {matrix[row]} in row {row}"
            )
        if not self.built:
            self.build()
        self.embeddings.assign(matrix)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_dim": self.embedding_dim,
        }


@custom_gradient
def _gather(
    table: tf.Tensor, ids: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        # Sum in float32: adding ones in bfloat16 stops at 256.
        rows = tf.cast(tf.reshape(upstream, [-1, table.shape[1]]), tf.float32)
        total = tf.math.unsorted_segment_sum(rows, tf.reshape(ids, [-1]), table.shape[0])
        return tf.cast(total, table.dtype), None

    return tf.gather(table, ids), gradient
