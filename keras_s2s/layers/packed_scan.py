"""Any recurrence over packed rows, with automatic differentiation.

The LSTM has a faster loop in `keras_s2s.layers.packed_recurrence`. This loop is for all other
recurrences: a GRU, and an LSTM with recurrent dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_s2s.layers.packing import Packing, row_array
from keras_s2s.layers.recurrence import State


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
            `(alive, units)` or `None`.
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
    pieces = row_array(length, projected.shape[-1], read_again=True)
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
        (0, row_array(length, units, read_again=True), *ordered),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape(None),
            *(tf.TensorShape([None, units]) for _ in ordered),
        ),
    )
    last = [tf.gather(part, packing.inverse_order) for part in ordered]
    dtype = projected.dtype
    return tf.cast(outputs.concat(), dtype), kind(*(tf.cast(part, dtype) for part in last))
