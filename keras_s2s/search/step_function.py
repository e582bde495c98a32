"""Calling the user's step function, and keeping one decoder state per hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

State = Any
"""Any nest of tensors whose first dimension counts the hypotheses."""

StepFunction = Callable[[tf.Tensor, State], tuple[tf.Tensor, ...]]
"""`step(token_ids (n,), state) -> (logits (n, vocabulary), state)`, and, where the decoder has
attention, `(n, source_length)` as a third."""


class StepOutput(NamedTuple):
    """What a step function gives."""

    logits: tf.Tensor  # (n, vocabulary)
    state: State  # nest of (n, ...)
    attention: tf.Tensor | None  # (n, source_length) float32


def call_step(
    step: StepFunction, token_ids: tf.Tensor, state: State, vocabulary_size: int
) -> StepOutput:
    """Call `step` and check that it gives what it owes.

    Args:
        step: The step function.
        token_ids: int32 `(n,)`, the last token of each hypothesis.
        state: Nest of tensors `(n, ...)`.
        vocabulary_size: What the last dimension of the logits must be.

    Returns:
        The logits `(n, vocabulary_size)`, the new state, of the structure of the old one, and the
        attention, if there is any.

    Raises:
        ValueError: If `step` gives something else.
    """
    outputs = step(token_ids, state)
    if not isinstance(outputs, tuple) or len(outputs) not in (2, 3):
        raise ValueError(
            "`step` must return a tuple (logits, state) or (logits, state, attention). "
            f"Received: {_describe(outputs)}"
        )
    logits, new_state, *attention = outputs
    new_state = () if new_state is None else new_state
    logits = tf.convert_to_tensor(logits)
    expected = tf.TensorShape([token_ids.shape[0], vocabulary_size])
    if not logits.dtype.is_floating or not logits.shape.is_compatible_with(expected):
        raise ValueError(
            f"`step` must return float logits of shape (n, {vocabulary_size}), one row for each of "
            f"the n tokens. Received: {logits.dtype.name} of shape {logits.shape} for n="
            f"{token_ids.shape[0]}"
        )
    logits.set_shape(expected)
    try:
        tf.nest.assert_same_structure(state, new_state)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"`step` must return a state of the structure that it was given. Received: {error}"
        ) from error
    new_state = tf.nest.map_structure(_like, state, new_state)
    return StepOutput(logits, new_state, tf.cast(attention[0], tf.float32) if attention else None)


def attention_width(
    step: StepFunction, state: State, batch_size: int | tf.Tensor, vocabulary_size: int, bos_id: int
) -> tf.Tensor:
    """Find out how many source positions the attention of `step` has, by calling it once."""
    first = call_step(step, tf.fill([batch_size], bos_id), state, vocabulary_size)
    if first.attention is None:
        raise ValueError(
            "`step` must return a tuple (logits, state, attention) for a search that asks for "
            "attention. Received: a tuple of 2"
        )
    return tf.shape(first.attention)[1]


def repeat_state(state: State, batch_size: int | tf.Tensor, times: int) -> State:
    """Repeat every row of every tensor `(batch, ...)` to `(batch * times, ...)`, row by row."""
    if times == 1:
        return state
    return gather_state(state, tf.range(batch_size * times) // times)


def gather_state(state: State, indices: tf.Tensor) -> State:
    """Reorder the hypotheses of every tensor `(n, ...)` by `indices` `(m,)`."""
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, indices), state)


def loop_shapes(carried: Any) -> Any:
    """Give the shapes that a loop may rely on: all but the first dimension of each tensor."""

    def shape(tensor: tf.Tensor) -> tf.TensorShape:
        return tensor.shape if tensor.shape.rank == 0 else tf.TensorShape([None]) + tensor.shape[1:]

    return tf.nest.map_structure(shape, carried)


def check_state(state: State, batch_size: int | tf.Tensor) -> State:
    """Give `state` as tensors, raise `ValueError` where one has not `batch_size` rows.

    None, of a step that needs no state, is an empty one.
    """
    if state is None:
        return ()
    rows = tf.get_static_value(batch_size)

    def check(tensor: Any) -> tf.Tensor:
        tensor = tf.convert_to_tensor(tensor)
        shape = tensor.shape
        if shape.rank == 0 or (rows is not None and not shape[:1].is_compatible_with([rows])):
            raise ValueError(
                "Every tensor in `state` must have one row for each of the batch: a first "
                f"dimension of {rows}. Received: {tensor.dtype.name} of shape {shape}"
            )
        return tensor

    return tf.nest.map_structure(check, state)


def _like(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """Give `new` the static shape that it lost on its way through the step."""
    new = tf.convert_to_tensor(new)
    if old.shape.rank is not None and new.shape.is_compatible_with(old.shape):
        new.set_shape(old.shape)
    return new


def _describe(outputs: Any) -> str:
    """Say what came in place of a pair."""
    if isinstance(outputs, tuple):
        return f"a tuple of {len(outputs)}"
    return f"a {type(outputs).__name__}"
