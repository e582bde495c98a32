"""Readout: from the outputs of a decoder's recurrent layers to the logits of the next token."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_s2s.layers.decoder_state import DecoderMemory, DecoderState
from keras_s2s.layers.monotonic_attention import (
    Emit,
    step_log_probs,
    target_alignments,
    target_log_probs,
)
from keras_s2s.layers.packing import Packing
from keras_s2s.layers.products import compute


class Readout:
    """Computes the logits of a decoder from features, and sums over alignments if necessary.

    With `copy` or monotonic attention the logits are log probabilities.

    Args:
        decoder: `Decoder` whose layers are used.
    """

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def logits_of(
        self,
        features: tf.Tensor,
        copied: tf.Tensor | None = None,
        kernel: tf.Tensor | None = None,
        *,
        training: bool | None = False,
    ) -> tf.Tensor:
        """Compute the logits.

        Args:
            features: Float `(..., units)`.
            copied: Float32 `(..., vocabulary_size + 1)`, the attention on each target id, with
                `copy`.
            kernel: Kernel of the logits, if a search has prepared it. Defaults to `None`.
            training: Whether dropout is on.

        Returns:
            Float32 `(..., vocabulary_size)`.
        """
        decoder = self._decoder
        features = decoder.dropout_layer.values(features, decoder.num_layers, training)
        if kernel is not None or (training and features.dtype != tf.float32):
            # In training, the largest product has 16-bit operands like the others.
            logits = compute(decoder.logits, features, kernel)
        else:
            # Called as a float32 layer to end the decoder's autocast, so that the logits of a
            # model trained in mixed precision are float32 in evaluation.
            logits = decoder.logits(tf.cast(features, tf.float32))
        return logits if copied is None else decoder.copy_gate(features, logits, copied)

    def sum_alignments(
        self,
        queries: tf.Tensor,
        target_inputs: tf.Tensor,
        source: DecoderMemory,
        packing: Packing | None,
        *,
        training: bool | None,
    ) -> tf.Tensor:
        """Compute log P(y_t | y_<t) of given targets by monotonic attention.

        Args:
            queries: Outputs of the recurrent layers, padded or packed.
            target_inputs: Int32 `(batch, target_length)`.
            source: `DecoderMemory` that `Decoder.read` returned.
            packing: `Packing` of the queries, or `None` if they are padded.
            training: Whether dropout is on.

        Returns:
            Float32 `(batch, target_length, vocabulary_size)`, or packed.
        """
        attended: Any = source.attended
        layer, emit = self._decoder.attention_layer, self._emit(source, training)
        return target_log_probs(layer, queries, target_inputs, attended, packing, emit)

    def sum_moves(
        self, queries: tf.Tensor, token_ids: tf.Tensor, state: DecoderState, source: DecoderMemory
    ) -> tuple[tf.Tensor, DecoderState, tf.Tensor]:
        """Compute log P(y_t | y_<t) of one step by monotonic attention.

        Args:
            queries: Outputs of the recurrent layers, `(rows, units)`.
            token_ids: Int32 `(rows,)`, the previous tokens.
            state: State before the previous tokens.
            source: `DecoderMemory` that `Decoder.read` returned.

        Returns:
            Float32 `(rows, vocabulary_size)`, the state with the new alignment, and P(a_t | y_<t)
            `(rows, source_length)`.
        """
        attended: Any = source.attended
        layer, emit = self._decoder.attention_layer, self._emit(source, training=False)
        log_probs, joint, prior = step_log_probs(
            layer, queries, token_ids, state.alignment[0], attended, emit
        )
        return log_probs, state._replace(alignment=(joint,)), prior

    def align(self, queries: tf.Tensor, labels: tf.Tensor, source: DecoderMemory) -> tf.Tensor:
        """Compute P(a_t = j | y) of given targets by monotonic attention.

        Args:
            queries: Outputs of the recurrent layers, `(batch, target_length, units)`.
            labels: Int32 `(batch, target_length)`.
            source: `DecoderMemory` that `Decoder.read` returned.

        Returns:
            Float32 `(batch, target_length, source_length)`.
        """
        attended: Any = source.attended
        emit = self._emit(source, training=False)
        return target_alignments(self._decoder.attention_layer, queries, labels, attended, emit)

    def _emit(self, source: DecoderMemory, training: bool | None) -> Emit:
        """Return the function that computes log P(y_t | a_t)."""
        kernel = source.weights.logits_kernel if source.weights else None

        def emit(features: tf.Tensor, sources: tf.Tensor) -> tf.Tensor:
            copied = None if source.copies is None else tf.gather(source.copies, sources)
            logits = self.logits_of(features, copied, kernel, training=training)
            return tf.nn.log_softmax(logits)

        return emit
