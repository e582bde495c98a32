"""What one row of a batch is held to: its own lengths and its own length penalty."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class Limits(NamedTuple):
    """The limits of every row, as tensors that broadcast against `(batch, hypotheses)`."""

    max_length: tf.Tensor  # (batch, 1) int32
    longest: int | tf.Tensor  # the largest max_length there can be: the width of the ids
    min_length: tf.Tensor | None  # (batch, 1) int32; None: no row has one
    length_penalty: tf.Tensor | float  # () or (batch, 1) float32


def row_values(
    name: str, value: Any, batch_size: int | tf.Tensor, *, dtype: tf.DType, minimum: float
) -> tf.Tensor:
    """Give one number for each row, as a tensor `(batch, 1)`.

    Args:
        name: The argument's name, for the message.
        value: A number, or one for each row: `(batch,)`.
        batch_size: Number of rows.
        dtype: The wanted dtype. Integers are taken from any integer dtype.
        minimum: The least that is allowed. What is known before the graph runs is refused below
            it; what only the run knows is raised to it.

    Raises:
        TypeError: If integers are wanted and something else comes.
        ValueError: If the shape or a value is wrong.
    """
    tensor = tf.convert_to_tensor(value)
    if not (tensor.dtype.is_integer or (tensor.dtype.is_floating and dtype.is_floating)):
        raise TypeError(
            f"`{name}` must hold {'numbers' if dtype.is_floating else 'integers'}. "
            f"Received: dtype={tensor.dtype.name}"
        )
    rows = tf.get_static_value(batch_size)
    if tensor.shape.rank == 0:
        tensor = tf.fill([batch_size], tensor)
    elif not tensor.shape.is_compatible_with([rows]):
        raise ValueError(
            f"`{name}` must be one number, or one for each row: ({rows},). "
            f"Received: shape {tensor.shape}"
        )
    known = tf.get_static_value(tensor)
    # Written so that NaN is refused too.
    if known is not None and not np.all(known >= minimum):
        raise ValueError(
            f"`{name}` must be at least {minimum:g} in every row. Received: {known.tolist()}"
        )
    tensor = tf.reshape(tf.cast(tensor, dtype), [-1, 1])
    return tensor if known is not None else tf.maximum(tensor, tf.cast(minimum, dtype))
