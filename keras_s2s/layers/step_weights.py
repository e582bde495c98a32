"""The weights that every step of a search multiplies with, prepared once before the first."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

# A table of so many projected tokens costs about as much as it saves in a dozen steps of a single
# hypothesis; a larger vocabulary would make short searches slower.
MOST_PROJECTED_TOKENS = 256


class StepWeights(NamedTuple):
    """The matrices of one recurrent layer."""

    kernel: tf.Tensor  # (input_units, gates * units)
    recurrent_kernel: tf.Tensor  # (units, gates * units)


class StackWeights(NamedTuple):
    """The matrices of all layers of a stack, and what each token adds to the lowest."""

    layers: tuple[StepWeights, ...]
    token_inputs: tf.Tensor | None  # (vocabulary_size, gates * units); None: too many tokens


class DecoderWeights(NamedTuple):
    """The matrices of a decoder's recurrent layers and of its logits."""

    stack: StackWeights
    logits_kernel: tf.Tensor  # (units, vocabulary_size), or tied (vocabulary_size, embedding_dim)


def product(values: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Multiply in the precision of the kernel and give the result in that of the values."""
    return tf.cast(tf.matmul(tf.cast(values, kernel.dtype), kernel), values.dtype)
