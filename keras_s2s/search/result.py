"""What every search gives back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.special_ids import EOS_ID, PAD_ID

# The log probability of what cannot be. It is finite because LiteRT turns -inf into -3.4e38, and
# sums of it stay far below POSSIBLE, which no real output's log probability falls under.
IMPOSSIBLE = -1e9
POSSIBLE = -5e8


class SearchResult(NamedTuple):
    """The hypotheses that a search found, best first, the finished before the unfinished.

    A slot for which there was no hypothesis holds pad ids, length 0, log_prob and score -1e9, and
    finished False. `length` is the largest number of tokens that the search allowed.

    Attributes:
        ids: int32 `(batch, num_hypotheses, length)`: the tokens, eos included, padded on the right.
        lengths: int32 `(batch, num_hypotheses)`: tokens in each hypothesis, eos counted.
        log_probs: float32 `(batch, num_hypotheses)`: natural log probability of the ids.
        scores: float32 `(batch, num_hypotheses)`: what the hypotheses are ranked by.
        finished: bool `(batch, num_hypotheses)`: whether the hypothesis ends in eos.
        attention: float32 `(batch, num_hypotheses, length, source_length)`: where the decoder
            looked for each token, zero at pads. None unless asked for.
        certified: bool `(batch,)`, of an `ExactSearch`: whether no output is better than these.
        nodes: int32 `(batch,)`, of an `ExactSearch`: how many hypotheses were looked into.
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
        """Cut the ids to the longest hypothesis, at least one token.

        Not under XLA, which must know every shape beforehand.

        Returns:
            The same result with ids of shape `(batch, num_hypotheses, longest)`.
        """
        longest = tf.maximum(tf.reduce_max(self.lengths), 1)
        attention = None if self.attention is None else self.attention[:, :, :longest]
        return self._replace(ids=self.ids[:, :, :longest], attention=attention)

    def source_positions(self) -> tf.Tensor:
        """Find the source position that each token looks at most: to copy an unknown word from.

        Returns:
            int32 `(batch, num_hypotheses, length)`; 0 at pads.

        Raises:
            ValueError: If the result has no attention.
        """
        if self.attention is None:
            raise ValueError(
                "`source_positions` needs a result with attention: search with "
                "`return_attention=True`. Received: attention=None"
            )
        return tf.argmax(self.attention, axis=3, output_type=tf.int32)


def make_result(ids: tf.Tensor, log_probs: tf.Tensor, scores: tf.Tensor) -> SearchResult:
    """Describe hypotheses `(batch, num_hypotheses, length)`, emptying the slots without one."""
    possible = log_probs > POSSIBLE
    ids = tf.where(tf.expand_dims(possible, 2), ids, PAD_ID)
    return SearchResult(
        ids=ids,
        lengths=count_tokens(ids),
        log_probs=tf.where(possible, log_probs, IMPOSSIBLE),
        scores=tf.where(possible, scores, IMPOSSIBLE),
        finished=tf.reduce_any(tf.equal(ids, EOS_ID), axis=2),
    )


def count_tokens(ids: tf.Tensor) -> tf.Tensor:
    """Count the ids `(..., length)` that are not pad: pad is never part of a hypothesis."""
    return tf.reduce_sum(tf.cast(tf.not_equal(ids, PAD_ID), tf.int32), axis=-1)


def rank_hypotheses(
    ids: tf.Tensor, log_probs: tf.Tensor, scores: tf.Tensor, count: int
) -> SearchResult:
    """Give the best `count` of hypotheses that come in any order, the finished first.

    Args:
        ids: int32 `(batch, hypotheses, length)`.
        log_probs: float32 `(batch, hypotheses)`, IMPOSSIBLE where there is no hypothesis.
        scores: float32 `(batch, hypotheses)`.
        count: At most the number of hypotheses.
    """
    scores = tf.where(log_probs > POSSIBLE, scores, IMPOSSIBLE)
    scores, by_score = tf.math.top_k(scores, ids.shape[1])
    finished = tf.reduce_any(tf.equal(ids, EOS_ID), axis=2)
    finished = tf.gather(finished, by_score, batch_dims=1) & (scores > IMPOSSIBLE)
    # Of equals, top-k leaves the order as it is.
    _, order = tf.math.top_k(tf.cast(finished, tf.float32), count)
    chosen = tf.gather(by_score, order, batch_dims=1)
    return make_result(
        tf.gather(ids, chosen, batch_dims=1),
        tf.gather(log_probs, chosen, batch_dims=1),
        tf.gather(scores, order, batch_dims=1),
    )


def without_repeats(ids: tf.Tensor, log_probs: tf.Tensor) -> tf.Tensor:
    """Make the log_probs of hypotheses that are there already IMPOSSIBLE.

    Args:
        ids: int32 `(batch, hypotheses, length)`.
        log_probs: float32 `(batch, hypotheses)`.
    """
    number = ids.shape[1]
    same = tf.reduce_all(tf.equal(tf.expand_dims(ids, 1), tf.expand_dims(ids, 2)), axis=3)
    earlier = np.tril(np.ones([number, number], bool), -1)
    repeated = tf.reduce_any(tf.logical_and(same, earlier), axis=2)
    return tf.where(repeated, IMPOSSIBLE, log_probs)
