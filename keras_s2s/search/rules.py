"""Rules about which tokens may follow in an output.

A rule is a step function like that of a decoder. It takes the last token of each hypothesis and its
own state, and returns the tokens that may follow. A rule applies to the whole output. If there are
several rules, all of them apply.
"""

from __future__ import annotations

import tensorflow as tf

from keras_s2s.search.step import State
from keras_s2s.special_ids import PAD_ID


class BeginsWith:
    """Rule that the output begins with the prefix of its row.

    Args:
        prefix: int32 `(batch, prefix_length)`. Each row ends at its first pad.
        vocabulary_size: Number of ids.
    """

    def __init__(self, prefix: tf.Tensor, vocabulary_size: int) -> None:
        ended = tf.cumsum(tf.cast(tf.equal(prefix, PAD_ID), tf.int32), axis=1) > 0
        # Append one pad, so that there is always a first column.
        self.prefix = tf.pad(tf.where(ended, PAD_ID, prefix), [[0, 0], [0, 1]])
        self.vocabulary_size = vocabulary_size

    def initial_state(self, batch_size: int | tf.Tensor) -> State:
        """Return the remaining prefixes, which are complete before bos."""
        return self.prefix

    def __call__(self, last_ids: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Require the next id of the prefix. After the prefix, allow every id."""
        wanted = state[:, :1]
        allowed = tf.equal(tf.range(self.vocabulary_size), wanted) | tf.equal(wanted, PAD_ID)
        return allowed, tf.pad(state[:, 1:], [[0, 0], [0, 1]])


class NoRepeatedNgram:
    """Rule that no n-gram occurs twice in the output.

    Args:
        size: Length n of the n-grams, at least 1.
        max_length: Maximum number of tokens of an output.
        vocabulary_size: Number of ids.
    """

    def __init__(self, size: int, max_length: int | tf.Tensor, vocabulary_size: int) -> None:
        self.size = size
        self.max_length = max_length
        self.vocabulary_size = vocabulary_size

    def initial_state(self, batch_size: int | tf.Tensor) -> State:
        """Return the last tokens, newest on the right. There are none before bos."""
        # Long enough for windows of `size` over the longest output.
        return tf.fill([batch_size, self.max_length + self.size], PAD_ID)

    def __call__(self, last_ids: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
        """Forbid each token that followed the last n - 1 tokens earlier in the output."""
        history = tf.concat([state[:, 1:], tf.expand_dims(last_ids, 1)], axis=1)
        length = tf.shape(history)[1]
        windows = length - self.size + 1  # number of n-grams
        repeated = tf.fill([tf.shape(history)[0], windows], True)
        for place in range(self.size - 1):
            newest = history[:, length - self.size + 1 + place :][:, :1]
            repeated = repeated & tf.equal(history[:, place : place + windows], newest)
        followers = tf.where(repeated, history[:, self.size - 1 :], PAD_ID)
        return tf.logical_not(mark_ids(followers, self.vocabulary_size)), history


def mark_ids(ids: tf.Tensor, vocabulary_size: int) -> tf.Tensor:
    """Mark the ids `(n, count)` that occur in each row: bool `(n, vocabulary)`."""
    number, count = tf.shape(ids)[0], tf.shape(ids)[1]
    rows = tf.range(number * count) // count
    places = tf.stack([rows, tf.reshape(ids, [-1])], axis=1)
    counts = tf.scatter_nd(places, tf.ones_like(rows), [number, vocabulary_size])
    return counts > 0
