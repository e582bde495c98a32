"""What the replicas of `tf.distribute` tell each other."""

from __future__ import annotations

import tensorflow as tf


def has_workers(strategy: tf.distribute.Strategy | None) -> bool:
    """Say whether a strategy goes over several machines, each with a process of its own."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


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


def gather_from_workers(strategy: tf.distribute.Strategy, value: int) -> list[int]:
    """Learn the value that every replica has; all of them must ask.

    Args:
        strategy: the strategy over several machines.
        value: an integer of 64 bits, that of this machine.

    Returns:
        The values of all replicas, the same list everywhere.
    """

    def gather() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        return context.all_gather(tf.constant([value], tf.int64), axis=0)

    gathered = tf.function(lambda: strategy.run(gather), autograph=False)()
    return [int(it) for it in strategy.experimental_local_results(gathered)[0]]
