"""The result of a search."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.errors import InputError
from keras_s2s.search.step import (
    State,
    StepFunction,
    attention_width,
    call_step,
    loop_shapes,
    repeat_state,
)
from keras_s2s.special_ids import BOS_ID, EOS_ID, IMPOSSIBLE, PAD_ID, POSSIBLE


class SearchResult(NamedTuple):
    """Result of a search: finished hypotheses, best first, then unfinished ones.

    An empty slot contains pad ids, length 0, log_prob and score -1e9, and finished False. `length`
    is the largest number of tokens that the search allowed.

    If the logits of a row contain NaN or +inf, or are all -inf, the model has diverged. The row
    then has no hypothesis, and its log_probs and scores are NaN.

    Attributes:
        ids: int32 `(batch, num_hypotheses, length)`: tokens, including eos, padded on the right.
        lengths: int32 `(batch, num_hypotheses)`: number of tokens, including eos.
        log_probs: float32 `(batch, num_hypotheses)`: natural log probability of the ids.
        scores: float32 `(batch, num_hypotheses)`: scores by which the hypotheses are ranked.
        finished: bool `(batch, num_hypotheses)`: whether the hypothesis ends in eos.
        attention: float32 `(batch, num_hypotheses, length, source_length)`: attention weights of
            the decoder for each token, zero at pads. `None` unless requested.
        certified: bool `(batch,)`: whether the search proved that no output is better. `None`
            except for an `ExactSearch`.
        nodes: int32 `(batch,)`: number of expanded prefixes. `None` except for an `ExactSearch`.
    """

    ids: tf.Tensor
    lengths: tf.Tensor
    log_probs: tf.Tensor
    scores: tf.Tensor
    finished: tf.Tensor
    attention: tf.Tensor | None = None
    certified: tf.Tensor | None = None
    nodes: tf.Tensor | None = None

    def trim(self) -> SearchResult:
        """Truncate the ids to the longest hypothesis, but keep at least one token.

        This does not work under XLA, which must know every shape at compile time.

        Returns:
            The result with truncated ids `(batch, num_hypotheses, longest)`, and truncated
            attention.
        """
        longest = tf.maximum(tf.reduce_max(self.lengths), 1)
        attention = None if self.attention is None else self.attention[:, :, :longest]
        return self._replace(ids=self.ids[:, :, :longest], attention=attention)

    def source_positions(self) -> tf.Tensor:
        """Return the source position with the most attention at each token.

        Returns:
            int32 `(batch, num_hypotheses, length)`; 0 at pads.

        Raises:
            ValueError: If the result has no attention.
        """
        if self.attention is None:
            raise InputError(
                "`source_positions` requires a result with attention: search with "
                "`return_attention=True`. Received: attention=None"
            )
        return tf.argmax(self.attention, axis=3, output_type=tf.int32)


def make_result(ids: tf.Tensor, log_probs: tf.Tensor, scores: tf.Tensor) -> SearchResult:
    """Create a result from hypotheses `(batch, num_hypotheses, length)`, and clear empty slots.

    A NaN in the log_probs of a row means that the model has diverged.
    """
    log_probs = spread_nan(log_probs)
    diverged = tf.math.is_nan(log_probs)
    possible = log_probs > POSSIBLE
    empty = tf.logical_not(possible | diverged)
    ids = tf.where(tf.expand_dims(possible, 2), ids, PAD_ID)
    return SearchResult(
        ids=ids,
        lengths=count_tokens(ids),
        log_probs=set_impossible(log_probs, empty),
        scores=set_impossible(tf.where(diverged, log_probs, scores), empty),
        finished=tf.reduce_any(tf.equal(ids, EOS_ID), axis=2),
    )


def set_impossible(values: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Set values to -1e9, in float16 files too.

    LiteRT stores the float constants of such a file in float16, in which -1e9 becomes -65504, but
    not its integers.

    Args:
        values: float32 `(...)`.
        where: bool, of a shape that broadcasts to that of `values`. True for the values to set.

    Returns:
        The values, float32 `(...)`.
    """
    return tf.where(where, tf.cast(tf.where(where, int(IMPOSSIBLE), 0), tf.float32), values)


def spread_nan(log_probs: tf.Tensor) -> tf.Tensor:
    """Set all log_probs `(batch, hypotheses)` of a row to NaN if one of them is NaN."""
    diverged = tf.reduce_any(tf.math.is_nan(log_probs), axis=1, keepdims=True)
    return tf.where(diverged, tf.constant(float("nan")), log_probs)


def count_tokens(ids: tf.Tensor) -> tf.Tensor:
    """Count the ids `(..., length)` that are not pad."""
    return tf.reduce_sum(tf.cast(tf.not_equal(ids, PAD_ID), tf.int32), axis=-1)


def rank_hypotheses(
    ids: tf.Tensor, log_probs: tf.Tensor, scores: tf.Tensor, count: int
) -> SearchResult:
    """Sort hypotheses, finished before unfinished, and return the best `count`.

    Args:
        ids: int32 `(batch, hypotheses, length)`.
        log_probs: float32 `(batch, hypotheses)`, IMPOSSIBLE in empty slots.
        scores: float32 `(batch, hypotheses)`.
        count: Number of hypotheses to return, at most the number given.

    Returns:
        The `SearchResult`.
    """
    log_probs = spread_nan(log_probs)
    scores = tf.where(log_probs > POSSIBLE, scores, IMPOSSIBLE)
    scores, by_score = tf.math.top_k(scores, ids.shape[1])
    finished = tf.reduce_any(tf.equal(ids, EOS_ID), axis=2)
    finished = tf.gather(finished, by_score, batch_dims=1) & (scores > IMPOSSIBLE)
    # `top_k` keeps the order of equal values.
    _, order = tf.math.top_k(tf.cast(finished, tf.float32), count)
    chosen = tf.gather(by_score, order, batch_dims=1)
    return make_result(
        tf.gather(ids, chosen, batch_dims=1),
        tf.gather(log_probs, chosen, batch_dims=1),
        tf.gather(scores, order, batch_dims=1),
    )


def mask_duplicates(ids: tf.Tensor, log_probs: tf.Tensor) -> tf.Tensor:
    """Set the log_probs of repeated hypotheses to IMPOSSIBLE.

    Args:
        ids: int32 `(batch, hypotheses, length)`.
        log_probs: float32 `(batch, hypotheses)`.

    Returns:
        The new log_probs. The first of equal hypotheses keeps its own.
    """
    number = ids.shape[1]
    same = tf.reduce_all(tf.equal(tf.expand_dims(ids, 1), tf.expand_dims(ids, 2)), axis=3)
    earlier = np.tril(np.ones([number, number], bool), -1)
    repeated = tf.reduce_any(tf.logical_and(same, earlier), axis=2)
    return tf.where(repeated & (log_probs > POSSIBLE), IMPOSSIBLE, log_probs)  # NaN stays


# The attention of this many steps is collected in a small tensor, which is then copied to the
# result. Copying the whole result at each step would take quadratic time.
_BLOCK = 64


class _AttentionLoop(NamedTuple):
    """Loop state of `replay_attention`."""

    position: tf.Tensor  # () int32
    block: tf.Tensor  # (block, batch * num_hypotheses, source_length): the latest positions
    last_ids: tf.Tensor  # (batch * num_hypotheses,) int32
    decoder_state: State  # nest of (batch * num_hypotheses, ...)


def replay_attention(
    step: StepFunction,
    state: State,
    batch_size: int | tf.Tensor,
    vocabulary_size: int,
    ids: tf.Tensor,
) -> tf.Tensor:
    """Run the decoder again over the hypotheses found, and record its attention.

    Storing the attention of every live hypothesis during a search would take more time, because it
    would be reordered at every step, and nearly all of it discarded.

    Args:
        step: Step function that returns attention.
        state: Nest of tensors `(batch, ...)`, the decoder's state before bos.
        batch_size: Number of rows.
        vocabulary_size: Number of ids.
        ids: int32 `(batch, num_hypotheses, length)`.

    Returns:
        float32 `(batch, num_hypotheses, length, source_length)`, zero at pads.

    Raises:
        ValueError: If `step` returns no attention.
    """
    num_hypotheses, length = ids.shape[1], tf.shape(ids)[2]
    count, block = batch_size * num_hypotheses, tf.minimum(length, _BLOCK)
    num_blocks = (length + block - 1) // block
    width = attention_width(step, state, batch_size, vocabulary_size)
    flat_ids = tf.reshape(ids, [-1, length])
    longest = tf.reduce_max(count_tokens(ids))

    def advance(loop: _AttentionLoop) -> _AttentionLoop:
        output = call_step(step, loop.last_ids, loop.decoder_state, vocabulary_size)
        here = tf.reshape(tf.equal(tf.range(block), loop.position % block), [-1, 1, 1])
        return _AttentionLoop(
            position=loop.position + 1,
            block=tf.where(here, output.attention, loop.block),
            last_ids=tf.gather(flat_ids, loop.position, axis=1),
            decoder_state=output.state,
        )

    first = _AttentionLoop(
        position=tf.constant(0),
        block=tf.zeros([block, count, width]),
        last_ids=tf.fill([count], BOS_ID),
        decoder_state=repeat_state(state, batch_size, num_hypotheses),
    )
    shapes = loop_shapes(first)._replace(block=tf.TensorShape([None] * 3))

    def advance_block(
        attention: tf.Tensor, loop: _AttentionLoop
    ) -> tuple[tf.Tensor, _AttentionLoop]:
        number = loop.position // block
        end = tf.minimum((number + 1) * block, longest)
        (loop,) = tf.while_loop(
            lambda loop: loop.position < end,
            lambda loop: (advance(loop),),
            (loop,),
            shape_invariants=(shapes,),
        )
        here = tf.reshape(tf.equal(tf.range(num_blocks), number), [-1, 1, 1, 1])
        return tf.where(here, loop.block, attention), loop

    attention, _ = tf.while_loop(
        lambda attention, loop: loop.position < longest,
        advance_block,
        (tf.zeros([num_blocks, block, count, width]), first),
        shape_invariants=(tf.TensorShape([None] * 4), shapes),
    )
    attention = tf.reshape(attention, [num_blocks * block, count, width])[:length]
    attention = tf.transpose(attention, [1, 0, 2])  # (count, length, source_length)
    attention = tf.where(tf.expand_dims(tf.equal(flat_ids, PAD_ID), 2), 0.0, attention)
    return tf.reshape(attention, [batch_size, num_hypotheses, length, width])
