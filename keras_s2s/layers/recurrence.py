"""The LSTM step, the GRU step, and a loop over a padded batch that runs in every runtime."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias, TypeVar

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from keras_s2s.layers.products import product

_thread = threading.local()


class LSTMState(NamedTuple):
    """The state of an LSTM layer after a step."""

    hidden: tf.Tensor  # (batch, units)
    cell: tf.Tensor  # (batch, units)


class GRUState(NamedTuple):
    """The state of a GRU layer after a step."""

    hidden: tf.Tensor  # (batch, units)


RecurrentState: TypeAlias = LSTMState | GRUState
"""The state of one recurrent layer; `hidden` is its output."""

State = TypeVar("State", bound=RecurrentState)


def lstm_gates(preactivations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Compute the gates i, f, g, o (Keras's order) from preactivations `(rows, 4 * units)`."""
    i, f, g, o = tf.split(preactivations, 4, axis=-1)
    return tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)


def lstm_step(
    projected: tf.Tensor,
    state: LSTMState,
    recurrent_kernel: tf.Tensor,
    recurrent_mask: tf.Tensor | None = None,
) -> LSTMState:
    """Run one LSTM step.

    Args:
        projected: `(rows, 4 * units)`, the inputs times the kernel plus the bias.
        state: `LSTMState` before the step, `(rows, units)`.
        recurrent_kernel: `(units, 4 * units)`.
        recurrent_mask: `(rows, units)`. Mask applied to h before the recurrent product. Defaults
            to `None`.

    Returns:
        The `LSTMState` after the step.
    """
    recurrent = _recurrent_product(state.hidden, recurrent_kernel, recurrent_mask)
    i, f, g, o = lstm_gates(projected + recurrent)
    cell = f * state.cell + i * g
    return LSTMState(o * tf.tanh(cell), cell)


def gru_step(
    projected: tf.Tensor,
    state: GRUState,
    recurrent_kernel: tf.Tensor,
    recurrent_bias: tf.Tensor,
    recurrent_mask: tf.Tensor | None = None,
) -> GRUState:
    """Run one GRU step, with gates in the order z, r, g (Keras's order).

    Args:
        projected: `(rows, 3 * units)`, the inputs times the kernel plus the bias.
        state: `GRUState` before the step, `(rows, units)`.
        recurrent_kernel: `(units, 3 * units)`.
        recurrent_bias: `(3 * units,)`.
        recurrent_mask: `(rows, units)`. Mask applied to h before the recurrent product. Defaults
            to `None`.

    Returns:
        The `GRUState` after the step.
    """
    recurrent = _recurrent_product(state.hidden, recurrent_kernel, recurrent_mask)
    recurrent += tf.cast(recurrent_bias, recurrent.dtype)
    x_z, x_r, x_g = tf.split(projected, 3, axis=-1)
    h_z, h_r, h_g = tf.split(recurrent, 3, axis=-1)
    z = tf.sigmoid(x_z + h_z)
    g = tf.tanh(x_g + tf.sigmoid(x_r + h_r) * h_g)
    return GRUState(z * state.hidden + (1.0 - z) * g)


@contextlib.contextmanager
def for_litert() -> Iterator[None]:
    """Use operations that are fast in LiteRT while tracing a graph for it.

    LiteRT runs the slice of a step element by element, and replaces an update of a buffer by seven
    operations on the whole buffer. Its own update operation corresponds to one that TensorFlow has
    only for XLA. The gradient of the gather that replaces the slice raises a warning in TensorFlow.
    """
    before = getattr(_thread, "litert", False)
    _thread.litert = True
    try:
        yield
    finally:
        _thread.litert = before


def read_step(values: tf.Tensor, time: tf.Tensor) -> tf.Tensor:
    """Return one step of a tensor.

    Args:
        values: Tensor `(length, batch, ...)`.
        time: Scalar int32.

    Returns:
        `(batch, ...)`.
    """
    return tf.gather(values, time) if getattr(_thread, "litert", False) else values[time]


def write_step(outputs: tf.Tensor, time: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Replace one step of a buffer.

    Args:
        outputs: Tensor `(length, batch, units)`.
        time: Scalar int32.
        output: Tensor `(batch, units)`.

    Returns:
        The buffer with the step.
    """
    output = tf.expand_dims(output, 0)
    if getattr(_thread, "litert", False):
        return gen_xla_ops.xla_dynamic_update_slice(outputs, output, tf.stack([time, 0, 0]))
    return tf.tensor_scatter_nd_update(outputs, tf.reshape(time, [1, 1]), output)


def scan_steps(
    step: Callable[[tf.Tensor, Any], tuple[tf.Tensor, Any]],
    state: Any,
    length: tf.Tensor,
    output_shape: tuple[tf.Tensor | int, int],
    dtype: tf.DType,
    *,
    reverse: bool = False,
) -> tuple[tf.Tensor, Any]:
    """Run `step(time, state) -> (output, state)` for all times and stack the outputs.

    The outputs are written to a buffer, because the LiteRT converter does not support a TensorArray
    whose elements have a dynamic batch. Each write copies the buffer, so a part of the cost
    grows with the square of the length.

    Args:
        step: Function of a scalar int32 time and a state.
        state: Nest of tensors whose shapes do not change.
        length: Scalar int32, the number of steps.
        output_shape: `(batch, units)` of one output.
        dtype: Dtype of the outputs.
        reverse: Whether time runs from `length - 1` to 0. Defaults to `False`.

    Returns:
        The outputs `(batch, length, units)`, in the order of time, and the last state.
    """
    batch_size, units = output_shape
    leaves = tf.nest.flatten(state)
    num_steps = length * tf.minimum(batch_size, 1)  # TensorFlow cannot update an empty buffer

    def body(k: tf.Tensor, outputs: tf.Tensor, *leaves: tf.Tensor) -> tuple[tf.Tensor, ...]:
        time = length - 1 - k if reverse else k
        output, new_state = step(time, tf.nest.pack_sequence_as(state, leaves))
        return k + 1, write_step(outputs, time, output), *tf.nest.flatten(new_state)

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
        maximum_iterations=num_steps,  # XLA needs it to keep values for the gradient
    )
    return tf.transpose(outputs, [1, 0, 2]), tf.nest.pack_sequence_as(state, leaves)


def scan_padded(
    step: Callable[[tf.Tensor, State], State],
    projected: tf.Tensor,
    mask: tf.Tensor,
    state: State,
    *,
    reverse: bool = False,
) -> tuple[tf.Tensor, State]:
    """Run a recurrent layer over a padded batch.

    At the padding, the state does not change and the output is zero. The amount of padding does not
    change the result.

    Args:
        step: Function of projected inputs `(batch, gates)` and a state. Returns the new state.
        projected: `(batch, length, gates)`, the inputs times the kernel plus the bias.
        mask: Bool `(batch, length)`, true at real tokens.
        state: State before the first step.
        reverse: Whether the sequence is read from its end. Defaults to `False`.

    Returns:
        The outputs `(batch, length, units)` and the state after the last real token.
    """
    kind: Any = type(state)
    units = state.hidden.shape[-1]
    by_time = tf.transpose(projected, [1, 0, 2])  # (length, batch, gates)
    mask_by_time = tf.expand_dims(tf.transpose(mask), 2)  # (length, batch, 1)

    def masked_step(time: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        real = read_step(mask_by_time, time)
        new = step(read_step(by_time, time), state)
        output = tf.where(real, new.hidden, tf.zeros_like(new.hidden))
        kept = [tf.where(real, after, before) for after, before in zip(new, state, strict=True)]
        return output, kind(*kept)

    shape = tf.shape(projected)
    return scan_steps(
        masked_step, state, shape[1], (shape[0], units), projected.dtype, reverse=reverse
    )


def _recurrent_product(
    hidden: tf.Tensor, kernel: tf.Tensor, recurrent_mask: tf.Tensor | None
) -> tf.Tensor:
    """Multiply h, masked if there is a mask, by the recurrent kernel."""
    if recurrent_mask is not None:
        hidden = hidden * tf.cast(recurrent_mask, hidden.dtype)
    return product(hidden, kernel)
