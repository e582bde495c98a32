"""The end of a sequence of ids: its first eos. Everything after it is discarded."""

from __future__ import annotations

import tensorflow as tf

from keras_s2s.special_ids import EOS_ID, PAD_ID


def until_eos(ids: tf.Tensor) -> tf.Tensor:
    """Replace everything after the first eos by padding.

    Args:
        ids: Integers `(..., length)`.

    Returns:
        The ids, with the same shape and dtype.
    """
    is_eos = tf.cast(tf.equal(ids, EOS_ID), tf.int32)
    ended = tf.cumsum(is_eos, axis=-1, exclusive=True) > 0
    return tf.where(ended, tf.cast(PAD_ID, ids.dtype), ids)
