"""Communication between the replicas of `tf.distribute`."""

from __future__ import annotations

import tensorflow as tf


def has_workers(strategy: tf.distribute.Strategy | None) -> bool:
    """Return whether a strategy runs on several machines, each with its own process."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Sum a value over all replicas. Outside a strategy, return the value itself.

    Args:
        value: float32 scalar of this replica.

    Returns:
        float32 scalar, the same in every replica.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def gather_from_workers(strategy: tf.distribute.Strategy, value: int) -> list[int]:
    """Collect an integer from every replica. All replicas must call this function.

    Args:
        strategy: The strategy over several machines.
        value: A 64-bit integer, the value of this machine.

    Returns:
        The values of all replicas, in the same order everywhere.
    """

    def gather() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        return context.all_gather(tf.constant([value], tf.int64), axis=0)

    gathered = tf.function(lambda: strategy.run(gather), autograph=False)()
    return [int(it) for it in strategy.experimental_local_results(gathered)[0]]
