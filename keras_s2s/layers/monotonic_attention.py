"""Exact hard monotonic attention, which sums over latent alignments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_s2s.checks import check_positive_int
from keras_s2s.layers.alignment import align_step, align_targets, future_log_probs
from keras_s2s.layers.attention import group_by_source
from keras_s2s.layers.packing import Packing, pack, places_with_padding_last, unpack
from keras_s2s.special_ids import IMPOSSIBLE, PAD_ID

# Moves of at least this many positions share one bias.
LONGEST_MOVE = 8

Emit = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Function of features `(rows, source_length, units)` and the index of each row's source, int32
`(rows,)`. Returns log P(y_t | a_t), float32 `(rows, source_length, vocabulary_size)`."""


@keras.saving.register_keras_serializable(package="keras_s2s")
class MonotonicAttention(keras.layers.Layer):
    """Exact hard monotonic attention of first order: P(y_t | y_<t) = Σ_j P(a_t = j)·P(y_t | j).

    Each target token y_t is aligned to one source position a_t, and positions never decrease. The
    alignment is unknown, so the probability of a target is the sum over all alignments. Before the
    first token, the alignment is at a position before the first one. With the decoder's output s_t,
    which does not depend on the alignment, and the memory h_j:

        P(a_t = j | a_{t-1} = i) = softmax over j ≥ i of (s_tᵀ·W·h_j + b(s_t)[min(j - i, 8)])
        P(y_t | a_t = j)         = softmax(logits(tanh(U·s_t + V·h_j)))

    The forward recursion carries log P(a_t = j | y_≤t) from token to token, in log space and
    float32. The attention weights are P(a_t = j | y_<t): the source position of y_t, predicted
    before y_t is known.

    For each target token, the layer computes logits at all `source_length` positions, and
    `source_length²` transitions. This attention is therefore for vocabularies of characters or
    phones, and for tasks with a monotonic alignment, such as pronunciation and transliteration.

    Masking: positions whose mask is false are never aligned.

    Args:
        units: Positive integer. Size of a query and of the features of the logits.

    Raises:
        ValueError: If `units` is not a positive integer.

    References:
        - [Exact hard monotonic attention for character-level transduction (Wu and Cotterell,
          2019)](https://aclanthology.org/P19-1148)
        - [Morphological inflection generation with hard monotonic attention (Aharoni and
          Goldberg, 2017)](https://aclanthology.org/P17-1183)
    """

    attends_before_step: ClassVar[bool] = False
    sums_alignments: ClassVar[bool] = True  # the inputs of a step do not depend on the alignment

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = check_positive_int("units", units)

    def build(
        self,
        queries_shape: tuple[Any, ...],
        keys_shape: Any,
        memory_shape: Any,
        mask_shape: Any = None,
    ) -> None:
        def kernel(name: str, inputs: int, outputs: int) -> keras.Variable:
            return self.add_weight(shape=(inputs, outputs), initializer="glorot_uniform", name=name)

        self.memory_kernel = kernel("memory_kernel", memory_shape[-1], queries_shape[-1])
        self.readout_memory_kernel = kernel("readout_memory_kernel", memory_shape[-1], self.units)
        self.readout_query_kernel = kernel("readout_query_kernel", queries_shape[-1], self.units)
        self.move_kernel = kernel("move_kernel", queries_shape[-1], LONGEST_MOVE + 1)
        self.move_bias = self.add_weight(
            shape=(LONGEST_MOVE + 1,), initializer="zeros", name="move_bias"
        )
        self.built = True

    def keys(self, memory: tf.Tensor) -> tf.Tensor:
        """Project the memory once for all queries.

        Args:
            memory: `(batch, source_length, memory_units)`.

        Returns:
            `(batch, source_length, query_units + units)`: keys of the transitions, then the
            memory's part of the features.
        """
        kernels = [tf.convert_to_tensor(self.memory_kernel)]
        kernels.append(tf.convert_to_tensor(self.readout_memory_kernel))
        return tf.tensordot(memory, tf.concat(kernels, axis=1), axes=1)

    def features(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Compute the features of the logits for each source position.

        Args:
            queries: `(rows, query_units)`.
            keys: `keys(memory)` of each row, `(rows, source_length, query_units + units)`.

        Returns:
            `(rows, source_length, units)`.
        """
        projected = tf.matmul(queries, tf.convert_to_tensor(self.readout_query_kernel))
        return tf.tanh(tf.expand_dims(projected, 1) + keys[:, :, -self.units :])

    def transitions(self, queries: tf.Tensor, keys: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Compute log P(a_t = j | a_{t-1} = i).

        Args:
            queries: `(batch, queries, query_units)`.
            keys: `keys(memory)`.
            mask: bool `(batch, source_length)`.

        Returns:
            float32 `(batch, queries, source_length + 1, source_length)`. Row 0 is the position
            before the first one, row i + 1 is position i.
        """
        scores = tf.matmul(queries, keys[:, :, : -self.units], transpose_b=True)
        penalty = (1.0 - tf.cast(tf.expand_dims(mask, 1), tf.float32)) * IMPOSSIBLE
        scores = tf.cast(scores, tf.float32) + penalty  # (batch, queries, source_length)
        moves = tf.tensordot(queries, tf.convert_to_tensor(self.move_kernel), axes=1)
        moves = tf.cast(moves, tf.float32) + tf.cast(self.move_bias, tf.float32)
        length = tf.shape(keys)[1]
        distances = tf.expand_dims(tf.range(length), 0) - tf.expand_dims(tf.range(-1, length), 1)
        by_pair = tf.gather(moves, tf.clip_by_value(distances, 0, LONGEST_MOVE), axis=2)
        backward = tf.cast(distances < 0, tf.float32) * IMPOSSIBLE
        return tf.nn.log_softmax(tf.expand_dims(scores, 2) + by_pair + backward)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def target_log_probs(
    layer: MonotonicAttention,
    queries: tf.Tensor,
    target_inputs: tf.Tensor,
    attended: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    packing: Packing | None,
    emit: Emit,
) -> tf.Tensor:
    """Compute log P(y_t | y_<t) for all steps of given targets.

    The alignment moves from one real token to the next, wherever the padding is.

    Args:
        layer: The `MonotonicAttention`.
        queries: The decoder's outputs, `(batch, target_length, query_units)`, or packed
            `(tokens, query_units)`.
        target_inputs: int32 `(batch, target_length)`, padded with 0.
        attended: The `AttentionInputs`: keys, memory and mask.
        packing: `Packing` of the queries, or `None` if they are padded.
        emit: Function that computes log P(y_t | a_t).

    Returns:
        float32 `(batch, target_length, vocabulary_size)`, or packed `(tokens, vocabulary_size)`.
    """
    shape, places = tf.shape(target_inputs), places_with_padding_last(target_inputs)
    inputs = _move(tf.reshape(target_inputs, [-1]), places, shape)
    # The label of a step is the next input. No output depends on the label of the last step.
    labels = tf.concat([inputs[:, 1:], inputs[:, :1]], axis=1)
    if packing is None:
        queries = _move(tf.reshape(queries, [-1, queries.shape[-1]]), places, shape)
    else:
        packing = packing._replace(indices=tf.gather(places, packing.indices))
    emissions, transitions, chosen = _score_targets(layer, queries, labels, attended, packing, emit)
    priors = align_targets(transitions, chosen)
    flat = tf.reshape(priors, [-1, tf.shape(priors)[2]])
    priors = flat if packing is None else pack(priors, packing)
    log_probs = tf.reduce_logsumexp(tf.expand_dims(priors, 2) + emissions, axis=1)
    if packing is not None:
        return log_probs
    return tf.reshape(tf.gather(log_probs, places), [shape[0], shape[1], log_probs.shape[-1]])


def step_log_probs(
    layer: MonotonicAttention,
    queries: tf.Tensor,
    token_ids: tf.Tensor,
    joint: tf.Tensor,
    attended: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    emit: Emit,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Compute log P(y_t | y_<t) for one step of every hypothesis.

    Args:
        layer: The `MonotonicAttention`.
        queries: The decoder's outputs, `(rows, query_units)`. Hypotheses of a source are
            adjacent.
        token_ids: int32 `(rows,)`, the previous tokens y_{t-1}.
        joint: log P(a_{t-1}, y_{t-1}), see `align_step`.
        attended: The `AttentionInputs`: keys, memory and mask, `(batch, ...)`.
        emit: Function that computes log P(y_t | a_t).

    Returns:
        log P(y_t | y_<t) `(rows, vocabulary_size)`, the next `joint`, and P(a_t | y_<t)
        `(rows, source_length)`.
    """
    keys, _, mask = attended
    batch_size, source_length = tf.shape(keys)[0], tf.shape(keys)[1]
    rows = tf.shape(queries)[0]
    grouped = group_by_source(queries, batch_size)
    transitions = layer.transitions(grouped, keys, mask)
    transitions = tf.reshape(transitions, [rows, source_length + 1, source_length])
    sources = tf.range(rows) // tf.maximum(tf.shape(grouped)[1], 1)
    emissions = emit(layer.features(queries, tf.gather(keys, sources)), sources)
    log_probs, joint, prior = align_step(joint, token_ids, transitions, emissions)
    return log_probs, joint, tf.exp(prior)


def target_alignments(
    layer: MonotonicAttention,
    queries: tf.Tensor,
    labels: tf.Tensor,
    attended: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    emit: Emit,
) -> tf.Tensor:
    """Compute P(a_t = j | y): the source position of each token, given the whole target.

    Args:
        layer: The `MonotonicAttention`.
        queries: The decoder's outputs, `(batch, target_length, query_units)`.
        labels: int32 `(batch, target_length)`, targets padded with 0.
        attended: The `AttentionInputs`: keys, memory and mask.
        emit: Function that computes log P(y_t | a_t).

    Returns:
        float32 `(batch, target_length, source_length)`, 0 at the padding.
    """
    _, transitions, chosen = _score_targets(layer, queries, labels, attended, None, emit)
    real = tf.expand_dims(tf.not_equal(labels, PAD_ID), 2)
    chosen = tf.where(real, chosen, 0.0)
    future = future_log_probs(transitions, chosen, real)
    joint = align_targets(transitions, chosen) + chosen + future
    return tf.where(real, tf.nn.softmax(joint), 0.0)


def _move(rows: tf.Tensor, places: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Move rows `(batch * target_length, ...)` to their places `(batch, target_length, ...)`."""
    moved = tf.scatter_nd(tf.expand_dims(places, 1), rows, tf.shape(rows))
    return tf.reshape(moved, [shape[0], shape[1], *rows.shape[1:]])


def _score_targets(
    layer: MonotonicAttention,
    queries: tf.Tensor,
    labels: tf.Tensor,
    attended: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    packing: Packing | None,
    emit: Emit,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Compute log P(y_t | a_t), packed or flat, the transitions, and log P(label | a_t)."""
    keys, _, mask = attended
    shape = tf.shape(labels)
    if packing is None:
        places = tf.range(shape[0] * shape[1])
        rows, padded = tf.reshape(queries, [-1, queries.shape[-1]]), queries
    else:
        places, rows, padded = packing.indices, queries, unpack(queries, packing)
    sources = places // tf.maximum(shape[1], 1)
    emissions = emit(layer.features(rows, tf.gather(keys, sources)), sources)
    labels = tf.gather(tf.reshape(labels, [-1]), places)
    chosen = tf.gather(emissions, labels, axis=2, batch_dims=1)  # (rows, source_length)
    if packing is None:
        chosen = tf.reshape(chosen, [shape[0], shape[1], tf.shape(keys)[1]])
    else:
        chosen = unpack(chosen, packing)
    return emissions, layer.transitions(padded, keys, mask), chosen
