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
            it, NaN too; what only the run knows is raised to it.

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
    if known is not None and not np.all(known >= minimum):
        raise ValueError(
            f"`{name}` must be at least {minimum:g} in every row. Received: {known.tolist()}"
        )
    tensor = tf.reshape(tf.cast(tensor, dtype), [-1, 1])
    if known is not None:
        return tensor
    least = tf.cast(minimum, dtype)
    return tf.where(tensor >= least, tensor, least)  # where NaN is raised too


def row_integers(
    name: str, value: Any, batch_size: int | tf.Tensor, *, minimum: int
) -> tf.Tensor | None:
    """Give one int32 for each row, as `row_values` does; None for None."""
    if value is None:
        return None
    return row_values(name, value, batch_size, dtype=tf.int32, minimum=minimum)


def length_limits(
    batch_size: int | tf.Tensor,
    max_length: int | None,
    max_length_ratio: float | None,
    source_lengths: tf.Tensor | None,
) -> tuple[tf.Tensor, int | tf.Tensor]:
    """Give each row's largest length by a number, by its source, or by the smaller of both.

    Args:
        batch_size: Number of rows.
        max_length: The limit of all rows; None: only the ratio counts.
        max_length_ratio: The limit in source lengths; None: only the number counts.
        source_lengths: int32 `(batch, 1)`, wanted with a ratio.

    Returns:
        The limits, int32 `(batch, 1)`, and the largest that there can be.

    Raises:
        ValueError: If a ratio comes without source lengths.
    """
    limit = None if max_length is None else tf.fill([batch_size, 1], max_length)
    if max_length_ratio is not None:
        if source_lengths is None:
            raise ValueError(
                "`source_lengths` must be given to a search with `max_length_ratio`. "
                f"Received: source_lengths=None, max_length_ratio={max_length_ratio}"
            )
        by_source = tf.math.ceil(max_length_ratio * tf.cast(source_lengths, tf.float32))
        by_source = tf.maximum(tf.cast(by_source, tf.int32), 1)
        limit = by_source if limit is None else tf.minimum(limit, by_source)
    return limit, largest(limit) if max_length is None else max_length


def largest(limit: tf.Tensor) -> tf.Tensor:
    """Give the largest limit, 1 in an empty batch."""
    return tf.maximum(tf.reduce_max(limit), 1)


def check_prefix(prefix: Any, batch_size: int | tf.Tensor, vocabulary_size: int) -> tf.Tensor:
    """Give `prefix` as int32 `(batch, prefix_length)`.

    Raises:
        TypeError: If it does not hold integers.
        ValueError: If it has another shape or, where that is known, an id outside the vocabulary.
    """
    prefix = tf.convert_to_tensor(prefix)
    if not prefix.dtype.is_integer:
        raise TypeError(f"`prefix` must hold integers. Received: dtype={prefix.dtype.name}")
    rows = tf.get_static_value(batch_size)
    if not prefix.shape.is_compatible_with([rows, None]):
        raise ValueError(
            f"`prefix` must have the shape ({rows}, prefix_length). Received: shape {prefix.shape}"
        )
    known = tf.get_static_value(prefix)
    if known is not None and known.size and not 0 <= known.min() <= known.max() < vocabulary_size:
        raise ValueError(
            f"Every id in `prefix` must be at least 0 and below vocabulary_size={vocabulary_size}. "
            f"Received: ids from {known.min()} to {known.max()}"
        )
    return tf.cast(prefix, tf.int32)
