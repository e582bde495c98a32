"""Features of a decoder: the inputs of its logits.

Depending on the attention, features are computed for a whole target at once or step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import keras
import tensorflow as tf

from keras_s2s.layers.attention import BahdanauAttention, LuongAttention
from keras_s2s.layers.embedding import TokenEmbedding
from keras_s2s.layers.monotonic_attention import MonotonicAttention
from keras_s2s.layers.packing import Packing, pack, unpack
from keras_s2s.layers.products import compute, dense
from keras_s2s.layers.recurrence import RecurrentState, scan_steps
from keras_s2s.layers.stack import RecurrentStack, StackWeights

Layers: TypeAlias = tuple[RecurrentState, ...]
"""The states of all recurrent layers, from the bottom up, each part `(rows, units)`."""


class DecoderState(NamedTuple):
    """State of a decoder after a step."""

    layers: Layers
    readout: tuple[tf.Tensor, ...] = ()  # with input feeding: the last readout, (rows, units)
    # with monotonic attention: log P(a_t, y_t), (rows, source_length + 1, vocabulary_size)
    alignment: tuple[tf.Tensor, ...] = ()


class AttentionInputs(NamedTuple):
    """Inputs of attention, with one row per source."""

    keys: tf.Tensor  # (batch, source_length, units)
    memory: tf.Tensor  # (batch, source_length, memory_units)
    mask: tf.Tensor  # bool (batch, source_length)


class DecoderWeights(NamedTuple):
    """Matrices of a decoder's recurrent layers and of its logits."""

    stack: StackWeights
    logits_kernel: tf.Tensor  # (units, vocabulary_size), tied: (vocabulary_size, embedding_dim)


class DecoderMemory(NamedTuple):
    """Tensors that every step reads and no step changes, with one row per source."""

    context: tf.Tensor | None  # (batch, context_units), None: steps do not read it
    attention_inputs: AttentionInputs | None  # None: no attention
    weights: DecoderWeights | None = None  # None: not prepared
    copies: tf.Tensor | None = None  # (batch, source_length, vocabulary_size + 1), with `copy`


ATTENTION: dict[str, tuple[type[keras.layers.Layer], dict[str, str]]] = {
    "luong": (LuongAttention, {"score": "general"}),
    "luong_dot": (LuongAttention, {"score": "dot"}),
    "luong_concat": (LuongAttention, {"score": "concat"}),
    "bahdanau": (BahdanauAttention, {}),
    "monotonic": (MonotonicAttention, {}),
}
"""Class and arguments of the layer, by the value of a decoder's argument `attention`."""


class DecoderParts(Protocol):
    """The settings and layers of a decoder that features are computed with."""

    units: int
    vocabulary_size: int
    copy: bool
    input_feeding: bool
    embedding: TokenEmbedding
    stack: RecurrentStack
    attention_layer: Any  # a layer of `ATTENTION`, or None
    readout: keras.layers.Dense

    @property
    def attends_before_step(self) -> bool:
        """True if each step attends with the previous state and reads the attended memory."""

    @property
    def sums_alignments(self) -> bool:
        """True if the probability of a target sums over alignments."""


def make_attention(kind: str, units: int, **kwargs: Any) -> keras.layers.Layer:
    """Create the attention layer for a key of `ATTENTION`."""
    layer, arguments = ATTENTION[kind]
    return layer(units, **arguments, **kwargs)


def compute_features(
    decoder: DecoderParts,
    ids: tf.Tensor,
    mask: tf.Tensor,
    state: DecoderState,
    source: DecoderMemory,
    *,
    packing: Packing | None = None,
    lengths: tf.Tensor | None = None,
    training: bool | None = False,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Compute the features of a whole target, for all steps at once.

    Args:
        decoder: `Decoder`.
        ids: Int32 `(batch, target_length)`. Inputs of the decoder.
        mask: Bool `(batch, target_length)`, true at real tokens.
        state: `DecoderState` before the first step.
        source: `DecoderMemory` that `Decoder.read` returned.
        packing: `Packing` of the real tokens. `None` computes padded features.
        lengths: Int32 `(batch,)`. Lengths of the rows, for cuDNN. `None` does not use cuDNN.
        training: Whether dropout is on.

    Returns:
        The features `(batch, target_length, units)`, or packed `(tokens, units)`; and, with
        `copy`, the attention on each target id, padded. Otherwise `None`.
    """
    values = compute(decoder.embedding, ids if packing is None else pack(ids, packing))
    if source.context is not None:
        values = tf.concat([values, repeat_for_steps(source.context, mask, packing)], axis=-1)
    values, _ = compute(
        decoder.stack,
        values,
        mask=mask,
        states=state.layers,
        packing=packing,
        lengths=lengths,
        training=training,
    )
    copied = None
    if source.attention_inputs is not None and not decoder.sums_alignments:
        queries = values if packing is None else unpack(values, packing)
        attended, weights = compute(decoder.attention_layer, queries, *source.attention_inputs)
        attended = attended if packing is None else pack(attended, packing)
        values = dense(decoder.readout, tf.concat([values, attended], axis=-1))
        copied = attend_copies(weights, source.copies) if decoder.copy else None
    return values, copied


def compute_features_stepwise(
    decoder: DecoderParts,
    ids: tf.Tensor,
    mask: tf.Tensor,
    state: DecoderState,
    source: DecoderMemory,
    *,
    training: bool | None,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Compute the features of a whole target in a loop over its steps.

    Args:
        decoder: `Decoder`.
        ids: Int32 `(batch, target_length)`. Inputs of the decoder.
        mask: Bool `(batch, target_length)`, true at real tokens.
        state: `DecoderState` before the first step.
        source: `DecoderMemory` that `Decoder.read` returned.
        training: Whether dropout is on.

    Returns:
        The features `(batch, target_length, units)`; and, with `copy`, the attention on each
        target id. Otherwise `None`.
    """
    shape = tf.shape(ids)
    ids = tf.transpose(ids)
    real = tf.expand_dims(tf.transpose(mask), 2)  # (target_length, batch, 1)
    dtype = state.layers[0].hidden.dtype
    recurrent_masks = decoder.stack.recurrent_masks(shape[0], dtype, training)

    def step(time: tf.Tensor, state: DecoderState) -> tuple[tf.Tensor, DecoderState]:
        features, new_state, weights = compute_step_features(
            decoder, ids[time], state, source, recurrent_masks, training
        )
        if decoder.copy:
            copied = attend_copies(weights, source.copies)
            features = tf.concat([tf.cast(features, tf.float32), copied], axis=1)
        return features, tf.nest.map_structure(
            lambda after, before: tf.where(real[time], after, before), new_state, state
        )

    units = decoder.units
    if not decoder.copy:
        return scan_steps(step, state, shape[1], (shape[0], units), dtype)[0], None
    # Attention on copied tokens stays float32 in mixed precision.
    width = units + decoder.vocabulary_size + 1
    outputs = scan_steps(step, state, shape[1], (shape[0], width), tf.float32)[0]
    return tf.cast(outputs[:, :, :units], dtype), outputs[:, :, units:]


def compute_step_features(
    decoder: DecoderParts,
    token_ids: tf.Tensor,
    state: DecoderState,
    source: DecoderMemory,
    recurrent_masks: list[tf.Tensor | None] | None = None,
    training: bool | None = False,
) -> tuple[tf.Tensor, DecoderState, tf.Tensor | None]:
    """Compute the features of one step.

    Args:
        decoder: `Decoder`.
        token_ids: Int32 `(rows,)`. Previous tokens.
        state: `DecoderState`, each part `(rows, units)`.
        source: `DecoderMemory` that `Decoder.read` or `Decoder.prepare_steps` returned.
        recurrent_masks: Masks of recurrent dropout, one for each layer. `None` means no recurrent
            dropout. Defaults to `None`.
        training: Whether dropout is on. Defaults to `False`.

    Returns:
        The features `(rows, units)`; the next state; and the attention weights
        `(rows, source_length)`, or `None`.
    """
    projected, parts = None, []
    prepared = source.weights.stack if source.weights else None
    if prepared is None or prepared.token_inputs is None:
        parts.append(compute(decoder.embedding, token_ids))
    else:
        projected = tf.gather(prepared.token_inputs, token_ids)
    if source.context is not None:
        parts.append(repeat_for_hypotheses(source.context, tf.shape(token_ids)[0]))
    inputs: Any = source.attention_inputs
    return run_step(
        decoder,
        parts,
        state,
        attend=lambda queries: decoder.attention_layer.attend_rows(queries, *inputs),
        recur=lambda values, states: decoder.stack.step(
            values, states, recurrent_masks, training, weights=prepared, projected=projected
        ),
        read_out=lambda joined: dense(decoder.readout, joined),
    )


def run_step(
    decoder: DecoderParts,
    parts: Sequence[tf.Tensor],
    state: DecoderState,
    *,
    attend: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    recur: Callable[[tf.Tensor | None, Layers], tuple[tf.Tensor, Layers]],
    read_out: Callable[[tf.Tensor], tf.Tensor],
) -> tuple[tf.Tensor, DecoderState, tf.Tensor | None]:
    """Run the parts of one step in the order that the attention of the decoder requires.

    Args:
        decoder: `Decoder`.
        parts: Inputs of the lowest layer that do not depend on the state, each `(rows, any)`.
        state: `DecoderState`, each part `(rows, units)`.
        attend: Function of queries `(rows, units)`. Returns the attended memory
            `(rows, memory_units)` and the weights `(rows, source_length)`.
        recur: Function of the inputs of the lowest layer, or `None` if there are none, and the
            states of the layers. Returns the output of the top layer and the new states.
        read_out: Function of that output and the attended memory, concatenated. Returns the
            features.

    Returns:
        The features `(rows, units)`; the next state; and the attention weights, or `None`.
    """
    weights, attended, inputs = None, None, list(parts)
    if decoder.attends_before_step:
        attended, weights = attend(state.layers[-1].hidden)
        inputs.append(attended)
    inputs.extend(state.readout)
    values, layers = recur(tf.concat(inputs, axis=-1) if inputs else None, state.layers)
    if decoder.attention_layer and attended is None and not decoder.sums_alignments:
        attended, weights = attend(values)
    if attended is not None:
        values = read_out(tf.concat([values, attended], axis=-1))
    readout = (values,) if decoder.input_feeding else ()
    return values, DecoderState(layers, readout, state.alignment), weights


def encode_copies(copy_ids: tf.Tensor, vocabulary_size: int) -> tf.Tensor:
    """Encode the target id that each source position copies.

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
    """Sum the attention weights of the source tokens by the target id that they copy.

    Args:
        weights: Float32 `(batch, queries, source_length)`, or `(rows, source_length)` with
            adjacent hypotheses of each source.
        copies: Output of `encode_copies`.

    Returns:
        Float32 `(batch, queries, vocabulary_size + 1)`, or `(rows, vocabulary_size + 1)`.
    """
    if weights.shape.rank == 3:
        return tf.matmul(weights, copies)
    batch_size, rows = tf.shape(copies)[0], tf.shape(weights)[0]
    per_source = rows // tf.maximum(batch_size, 1)
    by_source = tf.reshape(weights, [batch_size, per_source, tf.shape(copies)[1]])
    return tf.reshape(tf.matmul(by_source, copies), [rows, copies.shape[-1]])


def repeat_for_steps(context: tf.Tensor, mask: tf.Tensor, packing: Packing | None) -> tf.Tensor:
    """Repeat a context `(batch, units)` for every step, padded or packed."""
    if packing is not None:
        return tf.gather(context, packing.indices // tf.maximum(packing.shape[1], 1))
    return tf.tile(tf.expand_dims(context, 1), [1, tf.shape(mask)[1], 1])


def repeat_for_hypotheses(context: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Repeat a context `(batch, units)` for the hypotheses of each source: `(rows, units)`."""
    per_source = rows // tf.maximum(tf.shape(context)[0], 1)
    repeated = tf.tile(tf.expand_dims(context, 1), [1, per_source, 1])
    return tf.reshape(repeated, [-1, context.shape[-1]])
