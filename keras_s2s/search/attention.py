"""Where a decoder with attention looked, token by token."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from keras_s2s.search.step_function import (
    State,
    StepFunction,
    attention_width,
    call_step,
    loop_shapes,
    repeat_state,
)
from keras_s2s.special_ids import BOS_ID, PAD_ID


class _Replay(NamedTuple):
    """What the loop carries."""

    position: tf.Tensor  # () int32
    attention: tf.Tensor  # (batch * num_hypotheses, length, source_length)
    last_ids: tf.Tensor  # (batch * num_hypotheses,) int32
    step_state: State  # nest of (batch * num_hypotheses, ...)


def replay_attention(
    step: StepFunction,
    state: State,
    batch_size: int | tf.Tensor,
    vocabulary_size: int,
    ids: tf.Tensor,
) -> tf.Tensor:
    """Let the decoder say again what was found, and note where it looks.

    To keep the attention of every live hypothesis during a search would cost more than this: it
    would be moved at every step, and nearly all of it thrown away.

    Args:
        step: A step function that gives attention.
        state: Nest of tensors `(batch, ...)`, the decoder's state before bos.
        batch_size: Number of rows.
        vocabulary_size: Number of ids.
        ids: int32 `(batch, num_hypotheses, length)`.

    Returns:
        float32 `(batch, num_hypotheses, length, source_length)`, zero at pads.

    Raises:
        ValueError: If `step` gives no attention.
    """
    num_hypotheses, length = ids.shape[1], tf.shape(ids)[2]
    width = attention_width(step, state, batch_size, vocabulary_size, BOS_ID)
    flat_ids = tf.reshape(ids, [-1, length])
    longest = tf.reduce_max(tf.reduce_sum(tf.cast(tf.not_equal(ids, PAD_ID), tf.int32), axis=2))

    def advance(loop: _Replay) -> _Replay:
        output = call_step(step, loop.last_ids, loop.step_state, vocabulary_size)
        here = tf.reshape(tf.equal(tf.range(length), loop.position), [1, -1, 1])
        attention = tf.where(here, tf.expand_dims(output.attention, 1), loop.attention)
        attention.set_shape(loop.attention.shape)  # which is lost where `length` is 1
        return _Replay(
            position=loop.position + 1,
            attention=attention,
            last_ids=tf.gather(flat_ids, loop.position, axis=1),
            step_state=output.state,
        )

    first = _Replay(
        position=tf.constant(0),
        attention=tf.zeros([batch_size * num_hypotheses, length, width]),
        last_ids=tf.fill([batch_size * num_hypotheses], BOS_ID),
        step_state=repeat_state(state, batch_size, num_hypotheses),
    )
    (last,) = tf.while_loop(
        lambda loop: loop.position < longest,
        lambda loop: (advance(loop),),
        (first,),
        shape_invariants=(loop_shapes(first),),
    )
    attention = tf.where(tf.expand_dims(tf.equal(flat_ids, PAD_ID), 2), 0.0, last.attention)
    return tf.reshape(attention, [batch_size, num_hypotheses, length, width])
