"""Limiting the length of sources, inside a graph."""

from __future__ import annotations

import tensorflow as tf

from keras_s2s.special_ids import EOS_ID, PAD_ID

# The score of a slot without a hypothesis.
_NO_SCORE = -1e9


def limit_length(
    ids: tf.Tensor, max_length: int | None, *, truncate: bool = False
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Limit the length of rows of ids, so that a long row does not slow down its batch.

    A row ends with its first eos, which counts. A row without eos is as long as the tensor.

    Args:
        ids: int32 `(batch, length)`.
        max_length: Maximum number of tokens of a row. `None` for no limit.
        truncate: Whether to truncate longer rows, so that they end in eos. Otherwise longer rows
            are refused: only an eos remains. Defaults to False.

    Returns:
        The ids, no longer than `max_length`, and a bool tensor `(batch,)` that is true for refused
        rows, or `None` if no row can be refused.
        rows that are refused; `None` where none can be.
    """
    if max_length is None or (ids.shape[1] is not None and ids.shape[1] <= max_length):
        return ids, None
    is_end = tf.cast(tf.equal(ids, EOS_ID), tf.int32)
    inside = tf.equal(tf.cumsum(is_end, axis=1, exclusive=True), 0)
    lengths = tf.reduce_sum(tf.cast(inside, tf.int32), axis=1)
    too_long = lengths > max_length
    marked = tf.expand_dims(too_long, 1)
    if truncate:
        ids = ids[:, :max_length]
        is_last = tf.expand_dims(tf.equal(tf.range(tf.shape(ids)[1]), max_length - 1), 0)
        return tf.where(marked & is_last, EOS_ID, ids), None
    positions = tf.expand_dims(tf.range(tf.shape(ids)[1]), 0)
    ids = tf.where(marked, tf.where(tf.equal(positions, 0), EOS_ID, PAD_ID), ids)
    longest = tf.reduce_max(tf.concat([[1], tf.where(too_long, 1, lengths)], 0))
    return ids[:, :longest], too_long


def without_answers(
    answers: dict[str, tf.Tensor], refused: tf.Tensor | None
) -> dict[str, tf.Tensor]:
    """Replace the answers of refused rows by unused slots.

    Args:
        answers: Tensors, each `(batch, ...)`: ids and lengths int32, scores float32.
        refused: bool `(batch,)`, or `None` if no row is refused.

    Returns:
        The answers. In refused rows scores and log probabilities are -1e9, and everything else
        is 0.
        all else.
    """
    if refused is None:
        return answers
    unused = {"scores": _NO_SCORE, "log_probs": _NO_SCORE}  # ids pad, lengths and confidences 0
    return {
        name: tf.where(
            tf.reshape(refused, [-1] + [1] * (value.shape.rank - 1)),
            tf.constant(unused.get(name, 0), value.dtype),
            value,
        )
        for name, value in answers.items()
    }
