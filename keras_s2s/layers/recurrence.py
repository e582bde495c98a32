"""The LSTM recurrence over a padded batch, as a loop that every runtime can run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf


class LSTMState(NamedTuple):
    """The state of one LSTM layer after some step."""

    hidden: tf.Tensor  # (batch, units)
    cell: tf.Tensor  # (batch, units)


def lstm_gates(preactivations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Activate the gates i, f, g, o (Keras's order) of `(rows, 4 * units)` preactivations."""
    i, f, g, o = tf.split(preactivations, 4, axis=-1)
    return tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)


def lstm_step(projected: tf.Tensor, state: LSTMState, recurrent_kernel: tf.Tensor) -> LSTMState:
    """Take one LSTM step for `projected` inputs `(rows, 4 * units)`: x·W + b, done before."""
    i, f, g, o = lstm_gates(projected + tf.matmul(state.hidden, recurrent_kernel))
    cell = f * state.cell + i * g
    return LSTMState(o * tf.tanh(cell), cell)


def scan_steps(
    step: Callable[[tf.Tensor, Any], tuple[tf.Tensor, Any]],
    state: Any,
    length: tf.Tensor,
    output_shape: tuple[tf.Tensor | int, int],
    dtype: tf.DType,
    *,
    reverse: bool = False,
) -> tuple[tf.Tensor, Any]:
    """Run `step(time, state) -> (output, state)` over all times and stack its outputs.

    The outputs are written into one buffer, not into a TensorArray, because the LiteRT converter
    knows no TensorArray whose elements have a dynamic batch. Each write copies the buffer, so
    that part of the cost grows with the square of the length.

    Args:
        step: the function of a scalar int32 time and a state.
        state: a nest of tensors whose shapes do not change.
        length: scalar int32, the number of steps.
        output_shape: `(batch, units)` of one output.
        dtype: dtype of the outputs.
        reverse: whether time runs from `length - 1` down to 0.

    Returns:
        The outputs `(batch, length, units)`, in the order of time, and the last state.
    """
    batch_size, units = output_shape
    leaves = tf.nest.flatten(state)
    num_steps = length * tf.minimum(batch_size, 1)  # TensorFlow cannot update an empty buffer

    def body(k: tf.Tensor, outputs: tf.Tensor, *leaves: tf.Tensor) -> tuple[tf.Tensor, ...]:
        time = length - 1 - k if reverse else k
        output, new_state = step(time, tf.nest.pack_sequence_as(state, leaves))
        outputs = tf.tensor_scatter_nd_update(
            outputs, tf.reshape(time, [1, 1]), tf.expand_dims(output, 0)
        )
        return k + 1, outputs, *tf.nest.flatten(new_state)

    outputs = tf.zeros([length, batch_size, units], dtype)
    invariants = (
        tf.TensorShape([]),
        tf.TensorShape([None, None, units]),
        *(tf.TensorShape([None, *leaf.shape[1:]]) for leaf in leaves),
    )
    _, outputs, *leaves = tf.while_loop(
        lambda k, *_: k < num_steps,
        body,
        (0, outputs, *leaves),
        shape_invariants=invariants,
        maximum_iterations=num_steps,  # XLA must know it to keep what the gradient needs
    )
    return tf.transpose(outputs, [1, 0, 2]), tf.nest.pack_sequence_as(state, leaves)


def lstm_padded(
    projected: tf.Tensor,
    mask: tf.Tensor,
    state: LSTMState,
    recurrent_kernel: tf.Tensor,
    *,
    reverse: bool = False,
) -> tuple[tf.Tensor, LSTMState]:
    """Run an LSTM over a padded batch.

    At the padding the state passes unchanged and the output is zero, so neither depends on how
    far a batch is padded.

    Args:
        projected: `(batch, length, 4 * units)`, the inputs times the kernel plus the bias.
        mask: bool `(batch, length)`, true at real tokens.
        state: the `LSTMState` before the first step.
        recurrent_kernel: `(units, 4 * units)`.
        reverse: whether the sequence is read from its end.

    Returns:
        The outputs `(batch, length, units)` and the state after the last real token.
    """
    units = recurrent_kernel.shape[0]
    by_time = tf.transpose(projected, [1, 0, 2])  # (length, batch, 4 * units)
    mask_by_time = tf.expand_dims(tf.transpose(mask), 2)  # (length, batch, 1)

    def step(time: tf.Tensor, state: LSTMState) -> tuple[tf.Tensor, LSTMState]:
        real = mask_by_time[time]
        new = lstm_step(by_time[time], state, recurrent_kernel)
        output = tf.where(real, new.hidden, tf.zeros_like(new.hidden))
        kept = [tf.where(real, after, before) for after, before in zip(new, state, strict=True)]
        return output, LSTMState(*kept)

    shape = tf.shape(projected)
    return scan_steps(step, state, shape[1], (shape[0], units), projected.dtype, reverse=reverse)
