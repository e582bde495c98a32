"""What every search gives back."""

from __future__ import annotations

from typing import NamedTuple

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
    """

    ids: tf.Tensor
    lengths: tf.Tensor
    log_probs: tf.Tensor
    scores: tf.Tensor
    finished: tf.Tensor

    def trim(self) -> SearchResult:
        """Cut the ids to the longest hypothesis, at least one token.

        Not under XLA, which must know every shape beforehand.

        Returns:
            The same result with ids of shape `(batch, num_hypotheses, longest)`.
        """
        longest = tf.maximum(tf.reduce_max(self.lengths), 1)
        return self._replace(ids=self.ids[:, :, :longest])


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
