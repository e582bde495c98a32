"""From the logits of a step to the continuations that a search can use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_s2s.search.result import IMPOSSIBLE
from keras_s2s.search.wide_top_k import top_k
from keras_s2s.special_ids import BOS_ID, EOS_ID, PAD_ID

NEVER_EMITTED = (PAD_ID, BOS_ID)

# Up to so many forbidden ids are looked at and then passed over; more are masked beforehand.
_FEW = 16


class Candidates(NamedTuple):
    """Continuations of each hypothesis, most probable first, equals by rising id."""

    log_probs: tf.Tensor  # (n, count) float32; IMPOSSIBLE where the id may not be emitted
    ids: tf.Tensor  # (n, count) int32


def best_candidates(
    logits: tf.Tensor,
    count: int,
    *,
    suppress_ids: Iterable[int] = (),
    allowed: tf.Tensor | None = None,
) -> Candidates:
    """Find the `count` most probable continuations of each hypothesis.

    The softmax is over the whole vocabulary, pad and bos too, though these two are never emitted.
    Only the top is normalised: `log_softmax(logits)[i] = logits[i] - log(sum(exp(logits)))`.

    Args:
        logits: `(n, vocabulary)` of any float dtype.
        count: How many continuations that may be emitted are wanted.
        suppress_ids: More ids that may not be emitted.
        allowed: bool `(n, vocabulary)`; None: all.

    Returns:
        At least `count` continuations that may be emitted, fewer if the vocabulary has no more,
        and in their ranks some that may not.
    """
    vocabulary_size = logits.shape[-1]
    forbidden = {*NEVER_EMITTED, *suppress_ids}
    if allowed is not None or len(forbidden) > _FEW:
        log_probs = all_log_probs(logits, suppress_ids=suppress_ids, allowed=allowed)
        return Candidates(*top_k(log_probs, min(count, vocabulary_size)))
    logits = tf.cast(logits, tf.float32)
    values, ids = top_k(logits, min(count + len(forbidden), vocabulary_size))
    top = values[:, :1]
    normalizer = top + tf.math.log(tf.reduce_sum(tf.exp(logits - top), axis=1, keepdims=True))
    # One look-up in a table says which of these few are forbidden.
    emission = np.zeros(vocabulary_size, np.float32)
    emission[list(forbidden)] = IMPOSSIBLE
    return Candidates(values - normalizer + tf.gather(emission, ids), ids)


def all_log_probs(
    logits: tf.Tensor, *, suppress_ids: Iterable[int] = (), allowed: tf.Tensor | None = None
) -> tf.Tensor:
    """Give the log probability of every continuation: `(n, vocabulary)`, see `best_candidates`."""
    emitted = np.ones(logits.shape[-1], bool)
    emitted[[*NEVER_EMITTED, *suppress_ids]] = False
    allowed = tf.constant(emitted) if allowed is None else tf.logical_and(allowed, emitted)
    return tf.where(allowed, tf.nn.log_softmax(tf.cast(logits, tf.float32)), IMPOSSIBLE)


def forbid_eos(candidates: Candidates, too_short: tf.Tensor) -> Candidates:
    """Make eos impossible where `too_short` says so, of a shape that broadcasts with the ids."""
    forbidden = tf.logical_and(tf.equal(candidates.ids, EOS_ID), too_short)
    return candidates._replace(log_probs=tf.where(forbidden, IMPOSSIBLE, candidates.log_probs))
