"""Sums over the replicas of `tf.distribute`."""

from __future__ import annotations

import tensorflow as tf


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Add up what each replica has; outside of a strategy, the value itself.

    Args:
        value: float32 scalar of this replica.

    Returns:
        float32 scalar, the same in every replica.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
