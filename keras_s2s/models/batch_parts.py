"""A batch in parts, which two threads compute side by side."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import tensorflow as tf

# More than two were not measured.
_PARTS = 2


class Batch(NamedTuple):
    """What a training step is about.

    Attributes:
        inputs: dict of ids `(batch, length)`.
        labels: int32 `(batch, target_length)`.
        sample_weight: `(batch,)`, `(batch, target_length)`, or None.
        shares: float32 `(batch, target_length)`, the weight of each label in the loss of the whole
            batch, or None where the loss is not known to be a sum.
    """

    inputs: Any
    labels: tf.Tensor
    sample_weight: tf.Tensor | None
    shares: tf.Tensor | None


def count_cores() -> int:
    """Count the cores that this process may use, where the system tells, or all."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count_parts() -> int:
    """Say in how many parts a batch is computed quickest, with the threads that TensorFlow has.

    Where each operation has one thread and several operations run at once, two halves of a batch
    keep two cores busier than one product after the other, shared by the two. Where an operation
    has several threads of its own, halves would only be in one another's way.

    Returns:
        2 on a CPU with `set_intra_op_parallelism_threads(1)` and two cores or more, otherwise 1.
    """
    threads = tf.config.threading
    side_by_side = min(threads.get_inter_op_parallelism_threads() or _PARTS, count_cores())
    alone = threads.get_intra_op_parallelism_threads() == 1
    halves = alone and side_by_side >= _PARTS and not tf.config.list_logical_devices("GPU")
    return _PARTS if halves else 1


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """Deal out the rows of a batch.

    Args:
        batch: the batch.
        parts: how many; part k has the rows k, k + parts, and so on, so that parts of a batch that
            is ordered by length are alike. A part may be empty.

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
