"""The recurrence of LSTM and GRU layers by cuDNN, for training on a GPU.

TensorFlow's loop launches a few small kernels at each step. cuDNN computes all steps of a layer,
and of the layers above it, in one operation. It requires a batch padded on the right, and the
lengths of the rows on the host.

cuDNN is used only in training and evaluation. Searches and exports contain no cuDNN operation, so
that a model trained on a GPU runs anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_s2s.gradients import custom_gradient
from keras_s2s.layers.recurrence import RecurrentState
from keras_s2s.special_ids import PAD_ID

# By number of gates: cuDNN's name of the layer, and the order in which cuDNN has Keras's gates.
_MODES = {4: ("lstm", (0, 1, 2, 3)), 3: ("gru", (1, 0, 2))}


class CudnnWeights(NamedTuple):
    """The weights of one layer in one direction, in Keras's layout."""

    kernel: tf.Tensor  # (input_units, gates)
    recurrent_kernel: tf.Tensor  # (units, gates)
    bias: tf.Tensor  # (gates,), or (2, gates): input bias, then recurrent bias


def has_cudnn() -> bool:
    """Return whether this build of TensorFlow has cuDNN and sees a GPU."""
    built = tf.sysconfig.get_build_info().get("is_cuda_build", False)
    # Do not list logical devices: this would initialize them, and threads could not be set then.
    return bool(built and tf.config.get_visible_devices("GPU"))


def runs_on_gpu() -> bool:
    """Return whether an operation created in this context runs on a GPU with cuDNN.

    Within `tf.device("CPU")` or a replica on a CPU, the result is `False` even if there is a GPU.
    """
    if not has_cudnn():
        return False
    device = tf.zeros([]).device
    if not device:  # in a graph, the device is chosen at run time
        with tf.init_scope():
            device = tf.zeros([]).device
    return tf.DeviceSpec.from_string(device).device_type == "GPU"


def row_lengths(ids: tf.Tensor) -> tf.Tensor:
    """Count the real tokens of each row of ids `(batch, length)`: int32 `(batch,)`, on the host."""
    with tf.device("CPU:0"):
        return tf.reduce_sum(tf.cast(tf.not_equal(ids, PAD_ID), tf.int32), axis=1)


def run_cudnn(
    inputs: tf.Tensor,
    lengths: tf.Tensor,
    weights: Sequence[CudnnWeights],
    states: Sequence[RecurrentState] | None = None,
    *,
    bidirectional: bool = False,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Run a stack of recurrent layers in one operation of cuDNN.

    Args:
        inputs: Float `(batch, length, input_units)`, each row padded on the right.
        lengths: Int32 `(batch,)`. Lengths of the rows, on the host.
        weights: Weights of each layer from the bottom up, forward before backward.
        states: State of each layer before the first step, `(batch, units)`. Defaults to zeros.
        bidirectional: Whether each layer has two directions.

    Returns:
        The outputs of the top layer `(batch, length, directions * units)`, and the last output of
        each direction of the top layer, `(batch, units)`.
    """
    units, gates = weights[0].recurrent_kernel.shape
    mode, order = _MODES[gates // units]
    # cuDNN's recurrent layers are documented for float16, not for bfloat16.
    dtype = tf.float32 if inputs.dtype == tf.bfloat16 else inputs.dtype
    add_row = tf.distribute.get_strategy().num_replicas_in_sync > 1
    if add_row:  # cuDNN does not support a replica without rows, so add a row of padding
        inputs, lengths = tf.pad(inputs, [[0, 1], [0, 0], [0, 0]]), tf.pad(lengths, [[0, 1]])
    if states is None:
        hidden = tf.zeros([len(weights), tf.shape(inputs)[0], units], dtype)
        parts = [hidden, hidden]
    else:
        parts = [tf.cast(tf.stack(part), dtype) for part in zip(*states, strict=True)]
        parts = [tf.pad(part, [[0, 0], [0, 1], [0, 0]]) for part in parts] if add_row else parts
    with tf.device("CPU:0"):
        lengths = tf.maximum(lengths, 1)  # cuDNN does not support empty rows either
    outputs, last, *_ = tf.raw_ops.CudnnRNNV3(
        input=tf.transpose(tf.cast(inputs, dtype), [1, 0, 2]),
        input_h=parts[0],
        input_c=parts[1] if mode == "lstm" else tf.zeros([], dtype),
        params=tf.cast(_flatten_weights([*weights], order), dtype),
        sequence_lengths=lengths,
        rnn_mode=mode,
        direction="bidirectional" if bidirectional else "unidirectional",
        is_training=True,
        time_major=True,
    )
    ends = [last[-2], last[-1]] if bidirectional else [last[-1]]
    outputs = tf.cast(tf.transpose(outputs, [1, 0, 2]), inputs.dtype)
    ends = [tf.cast(end, inputs.dtype) for end in ends]
    if add_row:
        outputs, ends = outputs[:-1], [end[:-1] for end in ends]
    outputs.set_shape([None, None, units * (2 if bidirectional else 1)])
    for end in ends:
        end.set_shape([None, units])
    return outputs, ends


def _flatten_weights(weights: Sequence[CudnnWeights], order: tuple[int, ...]) -> tf.Tensor:
    """Flatten the weights to the vector that cuDNN expects: all matrices, then all biases.

    The gradient is written by hand, because automatic differentiation creates twice as many
    operations.
    """
    matrices = [matrix for layer in weights for matrix in layer[:2]]
    biases = [layer.bias for layer in weights]

    @custom_gradient
    def flatten(*tensors: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
        parts = [_sort_gates(tf.transpose(matrix), 1, order) for matrix in tensors[: len(matrices)]]
        for bias in tensors[len(matrices) :]:
            parts.append(_sort_gates(bias, math.prod(bias.shape) // bias.shape[-1], order))
            if bias.shape.rank == 1:
                parts.append(tf.zeros(bias.shape, bias.dtype))  # recurrent bias
        sizes = [part.shape[0] for part in parts]

        def gradient(upstream: tf.Tensor) -> list[tf.Tensor]:
            pieces = tf.split(upstream, sizes)
            gradients = []
            for matrix in matrices:
                by_gate = _sort_gates(pieces.pop(0), 1, order)
                gradients.append(tf.transpose(tf.reshape(by_gate, matrix.shape[::-1])))
            for bias in biases:
                groups = math.prod(bias.shape) // bias.shape[-1]
                by_gate = _sort_gates(pieces.pop(0), groups, order)
                gradients.append(tf.reshape(by_gate, bias.shape))
                if bias.shape.rank == 1:
                    pieces.pop(0)
            return gradients

        return tf.concat(parts, axis=0), gradient

    return flatten(*matrices, *biases)


def _sort_gates(values: tf.Tensor, groups: int, order: tuple[int, ...]) -> tf.Tensor:
    """Flatten values laid out by group and gate, with the gates in cuDNN's order.

    Each order in `_MODES` is its own inverse, so that the gradient can use this function too.
    """
    if order != tuple(range(len(order))):
        values = tf.gather(tf.reshape(values, [groups, len(order), -1]), order, axis=1)
    return tf.reshape(values, [-1])
