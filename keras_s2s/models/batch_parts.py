"""Splitting a batch into parts that two threads compute in parallel."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import tensorflow as tf

# More than two parts have not been measured.
_PARTS = 2


class Batch(NamedTuple):
    """Data of a training step.

    Attributes:
        inputs: Dict of ids `(batch, length)`.
        labels: int32 `(batch, target_length)`.
        sample_weight: `(batch,)`, `(batch, target_length)`, or `None`.
        shares: float32 `(batch, target_length)`. Weight of each label in the loss of the whole
            batch. `None` if the loss is not known to be a sum.
    """

    inputs: Any
    labels: tf.Tensor
    sample_weight: tf.Tensor | None
    shares: tf.Tensor | None


def count_cores() -> int:
    """Count the cores that this process may use, or all cores if the system does not tell."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count_parts() -> int:
    """Return the number of parts in which a batch is computed fastest.

    If each operation has one thread and several operations run at once, two halves of a batch
    use two cores better than a sequence of products that the cores share. If an operation has
    several threads of its own, halves would compete for them.

    The number depends only on what was set, not on the visible cores: the last bits of the weights
    depend on it.

    Returns:
        2 on a CPU with `set_intra_op_parallelism_threads(1)`, unless only one operation may run at
        once; otherwise 1.
    """
    threads = tf.config.threading
    side_by_side = threads.get_inter_op_parallelism_threads() != 1  # 0: as many as there are cores
    alone = threads.get_intra_op_parallelism_threads() == 1
    halves = alone and side_by_side and not tf.config.list_logical_devices("GPU")
    return _PARTS if halves else 1


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """Split the rows of a batch into parts.

    Args:
        batch: Batch to split.
        parts: Number of parts. Part k has the rows k, k + parts, and so on, so that the parts of a
            batch that is sorted by length are similar. A part may be empty.

    Returns:
        The parts.
    """
    if parts == 1:
        return [batch]

    def take(values: tf.Tensor | None, part: int) -> tf.Tensor | None:
        return None if values is None else values[part::parts]

    return [
        Batch(
            *(tf.nest.map_structure(lambda it, part=part: take(it, part), side) for side in batch)
        )
        for part in range(parts)
    ]
