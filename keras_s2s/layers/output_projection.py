"""Output projection: the logits of the next token from the features of a decoder."""

from __future__ import annotations

from typing import Any, Protocol

import keras
import tensorflow as tf

from keras_s2s.layers.decoder_features import DecoderMemory, DecoderParts, DecoderState
from keras_s2s.layers.dropout import SequenceDropout
from keras_s2s.layers.embedding import TokenEmbedding
from keras_s2s.layers.monotonic_attention import (
    Emit,
    step_log_probs,
    target_alignments,
    target_log_probs,
)
from keras_s2s.layers.packing import Packing
from keras_s2s.layers.products import compute, matmul
from keras_s2s.special_ids import IMPOSSIBLE


class OutputParts(DecoderParts, Protocol):
    """The settings and layers of a decoder that logits are computed with."""

    num_layers: int
    dropout_layer: SequenceDropout
    logits: Logits
    copy_gate: CopyGate | None


def compute_logits(
    decoder: OutputParts,
    features: tf.Tensor,
    copied: tf.Tensor | None = None,
    kernel: tf.Tensor | None = None,
    *,
    training: bool | None = False,
) -> tf.Tensor:
    """Compute the logits of features. With `copy` they are log probabilities.

    Args:
        decoder: `Decoder`.
        features: Float `(..., units)`.
        copied: Float32 `(..., vocabulary_size + 1)`, the attention on each target id, with `copy`.
        kernel: Kernel of the logits that a search has prepared. `None` uses the decoder's own
            kernel. Defaults to `None`.
        training: Whether dropout is on.

    Returns:
        Float32 `(..., vocabulary_size)`.
    """
    features = decoder.dropout_layer.values(features, decoder.num_layers, training)
    if kernel is not None or (training and features.dtype != tf.float32):
        # In mixed-precision training, this product, the largest, has 16-bit operands too.
        logits = compute(decoder.logits, features, kernel)
    else:
        # Called as a float32 layer to end the decoder's autocast, so that the logits of a model
        # trained in mixed precision are float32 in evaluation.
        logits = decoder.logits(tf.cast(features, tf.float32))
    if decoder.copy_gate is None or copied is None:
        return logits
    return decoder.copy_gate(features, logits, copied)


def sum_alignments(
    decoder: OutputParts,
    queries: tf.Tensor,
    target_inputs: tf.Tensor,
    source: DecoderMemory,
    packing: Packing | None,
    *,
    training: bool | None,
) -> tf.Tensor:
    """Compute log P(y_t | y_<t) of given targets by monotonic attention.

    Args:
        decoder: `Decoder` with monotonic attention.
        queries: Outputs of the recurrent layers, padded or packed.
        target_inputs: Int32 `(batch, target_length)`.
        source: `DecoderMemory` that `Decoder.read` returned.
        packing: `Packing` of the queries, or `None` if they are padded.
        training: Whether dropout is on.

    Returns:
        Float32 `(batch, target_length, vocabulary_size)`, or packed.
    """
    attended: Any = source.attention_inputs
    layer, emit = decoder.attention_layer, _emit(decoder, source, training)
    return target_log_probs(layer, queries, target_inputs, attended, packing, emit)


def sum_alignments_step(
    decoder: OutputParts,
    queries: tf.Tensor,
    token_ids: tf.Tensor,
    state: DecoderState,
    source: DecoderMemory,
) -> tuple[tf.Tensor, DecoderState, tf.Tensor]:
    """Compute log P(y_t | y_<t) of one step by monotonic attention.

    Args:
        decoder: `Decoder` with monotonic attention.
        queries: Outputs of the recurrent layers, `(rows, units)`.
        token_ids: Int32 `(rows,)`, the previous tokens.
        state: `DecoderState` whose alignment is that of the previous tokens.
        source: `DecoderMemory` that `Decoder.read` or `Decoder.prepare_steps` returned.

    Returns:
        Float32 `(rows, vocabulary_size)`, the state with the new alignment, and P(a_t | y_<t)
        `(rows, source_length)`.
    """
    attended: Any = source.attention_inputs
    emit = _emit(decoder, source, training=False)
    log_probs, joint, prior = step_log_probs(
        decoder.attention_layer, queries, token_ids, state.alignment[0], attended, emit
    )
    return log_probs, state._replace(alignment=(joint,)), prior


def compute_alignments(
    decoder: OutputParts, queries: tf.Tensor, labels: tf.Tensor, source: DecoderMemory
) -> tf.Tensor:
    """Compute P(a_t = j | y) of given targets by monotonic attention.

    Args:
        decoder: `Decoder` with monotonic attention.
        queries: Outputs of the recurrent layers, `(batch, target_length, units)`.
        labels: Int32 `(batch, target_length)`.
        source: `DecoderMemory` that `Decoder.read` returned.

    Returns:
        Float32 `(batch, target_length, source_length)`, 0 at the padding.
    """
    attended: Any = source.attention_inputs
    emit = _emit(decoder, source, training=False)
    return target_alignments(decoder.attention_layer, queries, labels, attended, emit)


def _emit(decoder: OutputParts, source: DecoderMemory, training: bool | None) -> Emit:
    """Return the function that computes log P(y_t | a_t)."""
    kernel = source.weights.logits_kernel if source.weights else None

    def emit(features: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
        copied = None if source.copies is None else tf.gather(source.copies, sources)
        logits = compute_logits(decoder, features, copied, kernel, training=training)
        return tf.nn.log_softmax(logits)

    return emit


class Logits(keras.layers.Layer):
    """Logits of all ids: r·W + b, or r·Eᵀ + b with a tied embedding E.

    The logits are float32. If called as a layer, the layer computes in float32. If run by `compute`
    within a 16-bit layer, as in training, it multiplies 16-bit operands.

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


@keras.saving.register_keras_serializable(package="keras_s2s")
class CopyGate(keras.layers.Layer):
    """Pointer-generator: P(y) = p·P_vocabulary(y) + (1 - p)·Σ_i a_i·[x_i = y].

    p = sigmoid(wᵀ·r + b) is the probability of generating, r the features of the logits, and a the
    attention weights. A source token that is not in the target vocabulary is copied as unk. The
    attention on source tokens that cannot be copied is added to the probability of generating.

    The layer computes in float32 and in log space, so that no probability underflows.

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


def _log(values: tf.Tensor) -> tf.Tensor:
    """Return the logarithm of values that may be 0, with a finite gradient."""
    positive = values > 0
    return tf.where(positive, tf.math.log(tf.where(positive, values, 1.0)), IMPOSSIBLE)


def _log_add(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Return log(exp(first) + exp(second)), for which LiteRT has no operation."""
    greater = tf.maximum(first, second)
    return greater + tf.math.log(tf.exp(first - greater) + tf.exp(second - greater))
