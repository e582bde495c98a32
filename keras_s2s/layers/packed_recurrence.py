"""Recurrences over packed rows: an LSTM with a hand-written gradient, and all other layers.

`lstm_packed` makes training fast on a CPU because its loops compute as little as possible. The
forward loop computes only h·R, for the sequences that have not ended, and stores the gates. The
backward loop computes only dz·Rᵀ. Automatic differentiation would sum the gradient of the recurrent
kernel step by step; here it is one product over all rows after the loop. The results are those of
`keras.layers.LSTM`. For the forward equations, see Hochreiter and Schmidhuber, 1997.

In mixed precision, only the operands of the products are 16-bit. Gates and states stay float32, so
that the sum in a cell is not rounded at each step.

`scan_packed` runs all other recurrences, with automatic differentiation: a GRU, and an LSTM with
recurrent dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_s2s.gradients import custom_gradient
from keras_s2s.layers.packing import Packing
from keras_s2s.layers.products import matmul, product
from keras_s2s.layers.recurrence import LSTMState, State, lstm_gates


def lstm_packed(
    projected: tf.Tensor,
    packing: Packing,
    state: LSTMState,
    recurrent_kernel: tf.Tensor,
    *,
    reverse: bool = False,
) -> tuple[tf.Tensor, LSTMState]:
    """Run an LSTM over packed rows.

    Args:
        projected: `(tokens, 4 * units)`, the packed inputs times the kernel plus the bias.
        packing: `Packing` of the inputs.
        state: `LSTMState` `(batch, units)` before the first step, in the order of the batch.
        recurrent_kernel: `(units, 4 * units)`.
        reverse: Whether each sequence is read from its end. Defaults to `False`.

    Returns:
        The packed outputs `(tokens, units)` and the state after each sequence's last token.
    """

    @custom_gradient
    def run(
        projected: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor, kernel: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, ...], Callable[..., tuple[tf.Tensor, ...]]]:
        tape, hidden, cell = _forward(projected, packing, hidden, cell, kernel, reverse)

        def gradient(
            d_output: tf.Tensor, d_hidden: tf.Tensor, d_cell: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            # The gradient of a gather is an `IndexedSlices`.
            d_output, d_hidden, d_cell = map(tf.convert_to_tensor, (d_output, d_hidden, d_cell))
            return _backward(d_output, packing, d_hidden, d_cell, kernel, tape, reverse)

        return (tape.output.concat(), hidden, cell), gradient

    dtype = projected.dtype
    projected, hidden, cell = (tf.cast(part, tf.float32) for part in (projected, *state))
    hidden, cell = (tf.gather(part, packing.order) for part in (hidden, cell))
    outputs = run(projected, hidden, cell, recurrent_kernel)
    output, hidden, cell = (tf.cast(part, dtype) for part in outputs)
    hidden, cell = (tf.gather(part, packing.inverse_order) for part in (hidden, cell))
    return output, LSTMState(hidden, cell)


def scan_packed(
    step: Callable[[tf.Tensor, State, tf.Tensor | None], State],
    projected: tf.Tensor,
    packing: Packing,
    state: State,
    *,
    recurrent_mask: tf.Tensor | None = None,
    reverse: bool = False,
) -> tuple[tf.Tensor, State]:
    """Run a recurrent layer over packed rows, with a float32 state.

    Args:
        step: Function of projected inputs `(alive, gates)`, a state, and a recurrent mask
            `(alive, units)` or `None`, where `alive` sequences have not ended. Returns the new
            state.
        projected: `(tokens, gates)`, the packed inputs times the kernel plus the bias.
        packing: `Packing` of the inputs.
        state: State `(batch, units)` before the first step, in the order of the batch.
        recurrent_mask: `(batch, units)`, in the order of the batch, the same for all steps.
            Defaults to `None`.
        reverse: Whether each sequence is read from its end. Defaults to `False`.

    Returns:
        The packed outputs `(tokens, units)` and the state after each sequence's last token.
    """
    length = tf.shape(packing.sizes)[0]
    pieces = row_array(length, projected.shape[-1])
    pieces = pieces.split(tf.cast(projected, tf.float32), packing.sizes)
    kind: Any = type(state)
    ordered: list[tf.Tensor] = [
        tf.gather(tf.cast(part, tf.float32), packing.order) for part in state
    ]
    if recurrent_mask is not None:
        recurrent_mask = tf.gather(recurrent_mask, packing.order)

    def body(
        k: tf.Tensor, outputs: tf.TensorArray, *state: tf.Tensor
    ) -> tuple[tf.Tensor | tf.TensorArray, ...]:
        time = length - 1 - k if reverse else k
        alive = packing.sizes[time]
        dropped = None if recurrent_mask is None else recurrent_mask[:alive]
        new = step(pieces.read(time), kind(*(part[:alive] for part in state)), dropped)
        joined: list[tf.Tensor] = [
            tf.concat([after, before[alive:]], axis=0)
            for after, before in zip(new, state, strict=True)
        ]
        return k + 1, outputs.write(time, new.hidden), *joined

    units: int = state.hidden.shape[-1]
    _, outputs, *ordered = tf.while_loop(
        lambda k, *_: k < length,
        body,
        (0, row_array(length, units), *ordered),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape(None),
            *(tf.TensorShape([None, units]) for _ in ordered),
        ),
    )
    last = [tf.gather(part, packing.inverse_order) for part in ordered]
    dtype = projected.dtype
    return tf.cast(outputs.concat(), dtype), kind(*(tf.cast(part, dtype) for part in last))


class _Tape(NamedTuple):
    """Values of the forward loop for the backward loop: one `(alive, units)` tensor per step."""

    i: tf.TensorArray
    f: tf.TensorArray
    g: tf.TensorArray
    o: tf.TensorArray
    tanh_cell: tf.TensorArray
    cell_before: tf.TensorArray
    hidden_before: tf.TensorArray
    output: tf.TensorArray


def _forward(
    projected: tf.Tensor,
    packing: Packing,
    hidden: tf.Tensor,
    cell: tf.Tensor,
    kernel: tf.Tensor,
    reverse: bool,
) -> tuple[_Tape, tf.Tensor, tf.Tensor]:
    """Run the forward loop. Sequences that have ended keep their last state."""
    length = tf.shape(packing.sizes)[0]
    units = kernel.shape[0]

    def body(
        k: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor, tape: _Tape
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, _Tape]:
        time = length - 1 - k if reverse else k
        alive, start = packing.sizes[time], packing.starts[time]
        hidden_before, cell_before = hidden[:alive], cell[:alive]
        recurrent = product(hidden_before, kernel)
        i, f, g, o = lstm_gates(projected[start : start + alive] + recurrent)
        new_cell = f * cell_before + i * g
        tanh_cell = tf.tanh(new_cell)
        output = o * tanh_cell
        pieces = (i, f, g, o, tanh_cell, cell_before, hidden_before, output)
        tape = _Tape(*(kept.write(time, piece) for kept, piece in zip(tape, pieces, strict=True)))
        hidden = tf.concat([output, hidden[alive:]], axis=0)
        cell = tf.concat([new_cell, cell[alive:]], axis=0)
        return k + 1, hidden, cell, tape

    tape = _Tape(*(row_array(length, units) for _ in _Tape._fields))
    state_shape = tf.TensorShape([None, units])
    _, hidden, cell, tape = tf.while_loop(
        lambda k, *_: k < length,
        body,
        (0, hidden, cell, tape),
        shape_invariants=(
            tf.TensorShape([]),
            state_shape,
            state_shape,
            tf.nest.map_structure(lambda _: tf.TensorShape(None), tape),
        ),
    )
    return tape, hidden, cell


def _backward(
    d_output: tf.Tensor,
    packing: Packing,
    d_hidden: tf.Tensor,
    d_cell: tf.Tensor,
    kernel: tf.Tensor,
    tape: _Tape,
    reverse: bool,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Run the backward loop, then compute the kernel's gradient in one product."""
    length = tf.shape(packing.sizes)[0]
    units = kernel.shape[0]

    def body(
        k: tf.Tensor, d_hidden: tf.Tensor, d_cell: tf.Tensor, d_projected: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.TensorArray]:
        time = k if reverse else length - 1 - k
        alive, start = packing.sizes[time], packing.starts[time]
        i, f, g, o, tanh_cell, cell_before = (kept.read(time) for kept in tape[:6])
        d_out = d_hidden[:alive] + d_output[start : start + alive]
        d_new_cell = d_cell[:alive] + d_out * o * (1.0 - tanh_cell * tanh_cell)
        d_gates = tf.concat(
            [
                d_new_cell * g * i * (1.0 - i),
                d_new_cell * cell_before * f * (1.0 - f),
                d_new_cell * i * (1.0 - g * g),
                d_out * tanh_cell * o * (1.0 - o),
            ],
            axis=1,
        )
        d_hidden_before = product(d_gates, kernel, transpose_b=True)
        d_hidden = tf.concat([d_hidden_before, d_hidden[alive:]], axis=0)
        d_cell = tf.concat([d_new_cell * f, d_cell[alive:]], axis=0)
        return k + 1, d_hidden, d_cell, d_projected.write(time, d_gates)

    state_shape = tf.TensorShape([None, units])
    _, d_hidden, d_cell, d_pieces = tf.while_loop(
        lambda k, *_: k < length,
        body,
        (0, d_hidden, d_cell, row_array(length, 4 * units)),
        shape_invariants=(tf.TensorShape([]), state_shape, state_shape, tf.TensorShape(None)),
    )
    d_projected = d_pieces.concat()
    hidden_before = tf.cast(tape.hidden_before.concat(), kernel.dtype)
    d_kernel = matmul(hidden_before, tf.cast(d_projected, kernel.dtype), transpose_a=True)
    return d_projected, d_hidden, d_cell, d_kernel


def row_array(length: tf.Tensor, units: int | None) -> tf.TensorArray:
    """Create an array with one tensor of rows per step. Steps may have different numbers of rows.

    Args:
        length: Scalar int32, the number of steps.
        units: Size of a row, if it is known.

    Returns:
        A float32 array of `length` tensors `(alive, units)`.
    """
    return tf.TensorArray(
        tf.float32,
        size=length,
        element_shape=[None, units],
        infer_shape=False,
        clear_after_read=False,  # a persistent tape computes several gradients
    )
