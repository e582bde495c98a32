"""Where a sequence of ids ends: at its first eos. What follows is discarded."""

from __future__ import annotations

import tensorflow as tf

from keras_s2s.special_ids import EOS_ID, PAD_ID


def until_eos(ids: tf.Tensor) -> tf.Tensor:
    """Put padding in place of whatever stands behind the first eos.

    Args:
        ids: integers `(..., length)`.

    Returns:
        The ids, of the same shape and dtype.
    """
    is_eos = tf.cast(tf.equal(ids, EOS_ID), tf.int32)
    ended = tf.cumsum(is_eos, axis=-1, exclusive=True) > 0
    return tf.where(ended, tf.cast(PAD_ID, ids.dtype), ids)
