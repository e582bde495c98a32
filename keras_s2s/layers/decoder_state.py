"""The state of a decoder, and the memory that every step reads."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from keras_s2s.layers.packing import Packing
from keras_s2s.layers.recurrence import RecurrentState
from keras_s2s.layers.stack import StackWeights


class DecoderState(NamedTuple):
    """State of a decoder after a step."""

    layers: tuple[RecurrentState, ...]  # each (rows, units)
    readout: tuple[tf.Tensor, ...] = ()  # with input feeding: the last readout, (rows, units)
    # with monotonic attention: log P(a_t, y_t), (rows, source_length + 1, vocabulary_size)
    alignment: tuple[tf.Tensor, ...] = ()


class Attended(NamedTuple):
    """Inputs of attention, one row per source."""

    keys: tf.Tensor  # (batch, source_length, units)
    memory: tf.Tensor  # (batch, source_length, memory_units)
    mask: tf.Tensor  # bool (batch, source_length)


class DecoderWeights(NamedTuple):
    """The matrices of a decoder's recurrent layers and of its logits."""

    stack: StackWeights
    logits_kernel: tf.Tensor  # (units, vocabulary_size), tied: (vocabulary_size, embedding_dim)


class DecoderMemory(NamedTuple):
    """Tensors that every step reads and that do not change, one row per source."""

    context: tf.Tensor | None  # (batch, context_units), if each step reads it
    attended: Attended | None  # if there is attention
    weights: DecoderWeights | None = None  # if prepared for many steps
    copies: tf.Tensor | None = None  # (batch, source_length, vocabulary_size + 1), with `copy`


def at_each_step(context: tf.Tensor, mask: tf.Tensor, packing: Packing | None) -> tf.Tensor:
    """Repeat a context `(batch, units)` for every step, padded or packed."""
    if packing is not None:
        return tf.gather(context, packing.indices // tf.maximum(packing.shape[1], 1))
    return tf.tile(tf.expand_dims(context, 1), [1, tf.shape(mask)[1], 1])


def by_source(values: tf.Tensor, batch_size: tf.Tensor) -> tf.Tensor:
    """Group `(rows, units)` by source: `(batch, hypotheses, units)`. Hypotheses are adjacent."""
    per_source = tf.shape(values)[0] // tf.maximum(batch_size, 1)
    return tf.reshape(values, [batch_size, per_source, values.shape[-1]])


def for_each_hypothesis(context: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Repeat a context `(batch, units)` for the hypotheses of each source: `(rows, units)`."""
    per_source = rows // tf.maximum(tf.shape(context)[0], 1)
    repeated = tf.tile(tf.expand_dims(context, 1), [1, per_source, 1])
    return tf.reshape(repeated, [-1, context.shape[-1]])
