"""Attention over the memory, by the steps of a decoder or by one learned query."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_s2s.checks import check_choice, check_positive_int
from keras_s2s.errors import InputError
from keras_s2s.layers.products import compute
from keras_s2s.special_ids import IMPOSSIBLE


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Compute a softmax whose weights are zero where the mask is false.

    Args:
        scores: float `(..., source_length)`.
        mask: bool, broadcastable to the shape of the scores.

    Returns:
        The weights. They are always float32, because a masked score of -1e9 does not fit into
        float16. If all positions are masked, the weights are equal.
    """
    penalty = (1.0 - tf.cast(mask, tf.float32)) * IMPOSSIBLE
    return tf.nn.softmax(tf.cast(scores, tf.float32) + penalty)


def group_by_source(values: tf.Tensor, batch_size: tf.Tensor) -> tf.Tensor:
    """Group adjacent hypotheses `(rows, units)` by source: `(batch, hypotheses, units)`."""
    per_source = tf.shape(values)[0] // tf.maximum(batch_size, 1)
    return tf.reshape(values, [batch_size, per_source, values.shape[-1]])


class _Attention(keras.layers.Layer):
    """Base class of attention layers: softmax and weighted sum. Subclasses compute the scores."""

    attends_before_step: ClassVar[bool] = False  # whether a step reads what is attended before it
    sums_alignments: ClassVar[bool] = False

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = check_positive_int("units", units)

    def compute_mask(self, *args: Any) -> None:
        """Return no mask, because the mask of the memory does not apply to the queries."""

    def keys(self, memory: tf.Tensor) -> tf.Tensor:
        """Project the memory `(batch, source_length, memory_units)` once for all queries."""
        return tf.tensordot(memory, tf.convert_to_tensor(self.memory_kernel), axes=1)

    def call(
        self,
        queries: tf.Tensor,
        keys: tf.Tensor,
        memory: tf.Tensor,
        mask: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if mask is None:
            mask = tf.ones(tf.shape(memory)[:2], tf.bool)
        weights = masked_softmax(self._scores(queries, keys), tf.expand_dims(mask, 1))
        return tf.matmul(tf.cast(weights, memory.dtype), memory), weights

    def attend_rows(
        self, queries: tf.Tensor, keys: tf.Tensor, memory: tf.Tensor, mask: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Attend with one query per hypothesis, `(rows, units)`. Those of a source are adjacent.

        Returns:
            The attended memory `(rows, memory_units)` and the weights `(rows, source_length)`.
        """
        rows, sources = tf.shape(queries)[0], tf.shape(memory)
        attended, weights = compute(self, group_by_source(queries, sources[0]), keys, memory, mask)
        return (
            tf.reshape(attended, [rows, memory.shape[-1]]),
            tf.reshape(weights, [rows, sources[1]]),
        )

    def compute_output_shape(
        self,
        queries_shape: tuple[Any, ...],
        keys_shape: Any,
        memory_shape: tuple[Any, ...],
        mask_shape: Any = None,
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the shapes of the attended memory and of the weights."""
        rows, queries = queries_shape[:2]
        return (rows, queries, memory_shape[-1]), (rows, queries, memory_shape[1])

    def compute_output_spec(self, queries: Any, keys: Any, memory: Any, mask: Any = None) -> Any:
        """Return the specs of the attended memory and of the weights, which are float32."""
        shapes = self.compute_output_shape(queries.shape, keys.shape, memory.shape)
        return (
            keras.KerasTensor(shapes[0], self.compute_dtype),
            keras.KerasTensor(shapes[1], "float32"),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}

    def _scores(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError

    def _add_memory_kernel(self, memory_units: int) -> None:
        self.memory_kernel = self.add_weight(
            shape=(memory_units, self.units), initializer="glorot_uniform", name="memory_kernel"
        )

    def _add_additive_kernels(self, query_units: int) -> None:
        self.query_kernel = self.add_weight(
            shape=(query_units, self.units), initializer="glorot_uniform", name="query_kernel"
        )
        self.score_kernel = self.add_weight(
            shape=(self.units, 1), initializer="glorot_uniform", name="score_kernel"
        )

    def _additive_scores(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        projected = tf.tensordot(queries, tf.convert_to_tensor(self.query_kernel), axes=1)
        energy = tf.tanh(tf.expand_dims(projected, 2) + tf.expand_dims(keys, 1))
        score_kernel = tf.convert_to_tensor(self.score_kernel)
        return tf.squeeze(tf.tensordot(energy, score_kernel, axes=1), axis=3)


@keras.saving.register_keras_serializable(package="keras_s2s")
class LuongAttention(_Attention):
    """Multiplicative attention of decoder states s over the encoder states h of the memory.

    The argument `score` selects the function:

        "general"   score(s, h) = sᵀ·W·h
        "dot"       score(s, h) = sᵀ·h, for states of the same size
        "concat"    score(s, h) = vᵀ·tanh(W·[s; h])

    Masking: positions whose mask is false get weight zero.

    Args:
        units: Positive integer. Size of a query. With "concat", also the size of the hidden layer.
        score: "general", "dot" or "concat". Defaults to "general".

    Call arguments:
        queries: Float `(batch, queries, units)`. One query per hypothesis or time step.
        keys: `keys(memory)`, `(batch, source_length, units)`.
        memory: Float `(batch, source_length, memory_units)`.
        mask: Bool `(batch, source_length)`, true at real tokens. Defaults to all true.

    Returns:
        The attended memory `(batch, queries, memory_units)` and the weights, float32
        `(batch, queries, source_length)`.

    Raises:
        ValueError: If `units` is not a positive integer, `score` is unknown, or `score` is "dot"
            and the memory does not have `units` units.

    References:
        - [Effective approaches to attention-based neural machine translation
          (Luong et al., 2015)](https://arxiv.org/abs/1508.04025)
    """

    def __init__(self, units: int, *, score: str = "general", **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.score = check_choice("score", score, ("general", "dot", "concat"))

    def build(
        self,
        queries_shape: tuple[Any, ...],
        keys_shape: Any,
        memory_shape: Any,
        mask_shape: Any = None,
    ) -> None:
        if self.score != "dot":
            self._add_memory_kernel(memory_shape[-1])
        elif memory_shape[-1] != self.units:
            raise InputError(
                'Attention with score="dot" requires a memory with as many units as the queries, '
                f"units={self.units}. Received: a memory of shape {tuple(memory_shape)}"
            )
        if self.score == "concat":
            self._add_additive_kernels(queries_shape[-1])
        self.built = True

    def keys(self, memory: tf.Tensor) -> tf.Tensor:
        return memory if self.score == "dot" else super().keys(memory)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "score": self.score}

    def _scores(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        if self.score == "concat":
            return self._additive_scores(queries, keys)
        return tf.matmul(queries, keys, transpose_b=True)


@keras.saving.register_keras_serializable(package="keras_s2s")
class BahdanauAttention(_Attention):
    """Additive attention: score(s, h) = vᵀ·tanh(W·s + U·h).

    Masking: positions whose mask is false get weight zero.

    Args:
        units: Positive integer. Size of the hidden layer.

    Call arguments:
        queries: Float `(batch, queries, query_units)`.
        keys: `keys(memory)`, `(batch, source_length, units)`.
        memory: Float `(batch, source_length, memory_units)`.
        mask: Bool `(batch, source_length)`, true at real tokens. Defaults to all true.

    Returns:
        The attended memory `(batch, queries, memory_units)` and the weights, float32
        `(batch, queries, source_length)`.

    Raises:
        ValueError: If `units` is not a positive integer.

    References:
        - [Neural machine translation by jointly learning to align and translate
          (Bahdanau et al., 2015)](https://arxiv.org/abs/1409.0473)
    """

    attends_before_step = True

    def build(
        self,
        queries_shape: tuple[Any, ...],
        keys_shape: Any,
        memory_shape: Any,
        mask_shape: Any = None,
    ) -> None:
        self._add_memory_kernel(memory_shape[-1])
        self._add_additive_kernels(queries_shape[-1])
        self.built = True

    def _scores(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        return self._additive_scores(queries, keys)


@keras.saving.register_keras_serializable(package="keras_s2s")
class AttentionPool(keras.layers.Layer):
    """Weighted mean of the encoder states, by attention with one learned query: c = Σ_t a_t·h_t.

    u_t = tanh(W·h_t + b) and a = softmax over t of (qᵀ·u_t), where q is a weight of the layer. The
    layer always computes the softmax in float32.

    Masking: positions whose mask is false get weight zero.

    Call arguments:
        memory: Float `(batch, source_length, units)`, zero at the padding.
        mask: Bool `(batch, source_length)`, true at real tokens. Defaults to the mask of the
            memory, or to all true if it has none.

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
        self.supports_masking = True

    def build(self, memory_shape: tuple[Any, ...]) -> None:
        units = memory_shape[-1]
        self.kernel = self.add_weight(
            shape=(units, units), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(shape=(units,), initializer="zeros", name="bias")
        self.query = self.add_weight(shape=(units, 1), initializer="glorot_uniform", name="query")
        self.built = True

    def call(self, memory: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        if mask is None:
            mask = tf.ones(tf.shape(memory)[:2], tf.bool)
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        hidden = tf.tanh(tf.tensordot(memory, kernel, axes=1) + bias)
        scores = tf.tensordot(hidden, tf.convert_to_tensor(self.query), axes=1)
        weights = masked_softmax(tf.squeeze(scores, axis=2), mask)
        weights = tf.expand_dims(tf.cast(weights, memory.dtype), 2)  # (batch, source_length, 1)
        return tf.reduce_sum(weights * memory, axis=1)

    def compute_mask(self, memory: Any, mask: Any = None) -> None:
        """Return no mask, because the context has no time axis."""

    def compute_output_shape(self, memory_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the context."""
        return memory_shape[0], memory_shape[-1]

    def get_config(self) -> dict[str, Any]:
        # Keras cannot create the config automatically if `dtype` is a policy.
        return super().get_config()
