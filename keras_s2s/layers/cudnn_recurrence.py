"""The recurrence of an LSTM or a GRU over packed rows by cuDNN, which trains them on a GPU.

TensorFlow's loop over the steps starts a few small kernels at each of them; cuDNN computes a whole
layer in one. It takes padded sequences and their lengths, so the rows are laid out in time, longest
sequence in front, and its outputs are taken back into rows.

It is for training alone, which is where rows are packed. What is searched and exported is traced
from padded batches and holds no operation of cuDNN: what was trained on a GPU runs anywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from keras_s2s.layers.packing import Packing
from keras_s2s.layers.recurrence import State

# By the number of gates: cuDNN's name of the layer, and which gates of Keras it has in its order.
_MODES = {4: ("lstm", (0, 1, 2, 3)), 3: ("gru", (1, 0, 2))}


class _Layout(NamedTuple):
    """Where packed rows stand in a batch that is padded behind, longest sequence in front."""

    places: tf.Tensor  # int32 (tokens, 2): step and sequence of each row
    lengths: tf.Tensor  # int32 (batch,): of the sequences, falling
    shape: tf.Tensor  # int32 (2,): steps, sequences


def has_cudnn() -> bool:
    """Whether this TensorFlow was built for cuDNN and sees a GPU."""
    built = tf.sysconfig.get_build_info().get("is_cuda_build", False)
    # not the logical devices, to list which would begin with them: threads could not be set then
    return bool(built and tf.config.get_visible_devices("GPU"))


def run_cudnn(
    inputs: tf.Tensor,
    packing: Packing,
    state: State,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    biases: tf.Tensor,
    *,
    reverse: bool = False,
) -> tuple[tf.Tensor, State]:
    """Run a recurrent layer over packed rows in one operation.

    Args:
        inputs: `(tokens, input_units)`.
        packing: the plan by which the inputs were packed.
        state: the `LSTMState` or `GRUState` `(batch, units)` before the first step, in the batch's
            own order.
        kernel: `(input_units, gates)`.
        recurrent_kernel: `(units, gates)`.
        biases: `(2, gates)`, that of the inputs above that of the state.
        reverse: whether each sequence is read from its end.

    Returns:
        The packed outputs `(tokens, units)` and the state after each sequence's last token.
    """
    kind: Any = type(state)
    units, gates = recurrent_kernel.shape
    mode, order = _MODES[gates // units]
    # of the two kinds of 16 bits it is float16 that cuDNN's recurrent layers are documented for
    dtype = tf.float32 if inputs.dtype == tf.bfloat16 else inputs.dtype
    layout = _lay_out(packing)
    # cuDNN takes no batch and no sequence of length 0: there is one sequence more, of padding,
    # and what is read of an empty one is not looked at
    lengths = tf.concat([tf.maximum(layout.lengths, 1), [1]], axis=0)
    shape = tf.concat([layout.shape, [inputs.shape[1]]], axis=0)
    padded = tf.scatter_nd(layout.places, tf.cast(inputs, dtype), shape)
    first = [
        tf.pad(tf.gather(tf.cast(part, dtype), packing.order), [[0, 1], [0, 0]]) for part in state
    ]
    outputs, *last = tf.raw_ops.CudnnRNNV3(
        input=_reverse(padded, lengths) if reverse else padded,
        input_h=tf.expand_dims(first[0], 0),
        input_c=tf.expand_dims(first[1], 0) if mode == "lstm" else tf.zeros([], dtype),
        params=tf.cast(_parameters(kernel, recurrent_kernel, biases, order), dtype),
        sequence_lengths=lengths,
        rnn_mode=mode,
        is_training=True,
        time_major=True,
    )[: 1 + len(first)]
    outputs = tf.gather_nd(_reverse(outputs, lengths) if reverse else outputs, layout.places)
    some = tf.expand_dims(tf.pad(layout.lengths, [[0, 1]]) > 0, 1)
    ended = [tf.where(some, after[0], before) for after, before in zip(last, first, strict=True)]
    ended = [tf.gather(part, packing.inverse_order) for part in ended]
    outputs, *ended = (tf.ensure_shape(it, [None, units]) for it in (outputs, *ended))
    outputs, *ended = (tf.cast(it, inputs.dtype) for it in (outputs, *ended))
    return outputs, kind(*ended)


def _lay_out(packing: Packing) -> _Layout:
    """Find the place of each row."""
    steps = tf.repeat(tf.range(tf.shape(packing.sizes)[0]), packing.sizes)
    sequences = tf.range(tf.shape(steps)[0]) - tf.gather(packing.starts, steps)
    alive = tf.expand_dims(packing.sizes, 1) > tf.range(packing.shape[0])  # (length, batch)
    return _Layout(
        tf.stack([steps, sequences], axis=1),
        tf.reduce_sum(tf.cast(alive, tf.int32), axis=0),
        tf.stack([packing.shape[1], packing.shape[0] + 1]),
    )


def _parameters(
    kernel: tf.Tensor, recurrent_kernel: tf.Tensor, biases: tf.Tensor, order: tuple[int, ...]
) -> tf.Tensor:
    """Put the weights into the one vector that cuDNN reads: matrices, gate by gate, then biases."""
    matrices = [
        tf.transpose(tf.split(matrix, len(order), axis=1)[gate])
        for matrix in (kernel, recurrent_kernel)
        for gate in order
    ]
    vectors = [tf.split(bias, len(order))[gate] for bias in tf.unstack(biases) for gate in order]
    return tf.concat([tf.reshape(weights, [-1]) for weights in (*matrices, *vectors)], axis=0)


def _reverse(values: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Reverse each sequence of `(length, batch, units)` within its length."""
    return tf.reverse_sequence(values, lengths, seq_axis=0, batch_axis=1)
