"""Parts of a training batch that two threads compute in parallel, and their losses and metrics.

If nothing else needs the padding, the loss and the metrics of a part are computed from the real
tokens only, one row for each.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple, TypeAlias

import keras
import tensorflow as tf

from keras_s2s import keras_private
from keras_s2s.layers.packing import PackedLogits, PaddedLogits
from keras_s2s.losses import SequenceLoss, token_weights
from keras_s2s.metrics import TokenMean

# More than two parts have not been measured.
_PARTS = 2

AnyLogits: TypeAlias = tf.Tensor | PackedLogits | PaddedLogits


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


def loss_takes_rows(model: keras.Model) -> bool:
    """Return whether the loss of a model is known to be the same without the padding."""
    return (
        not model.jit_compile
        and isinstance(model.loss, SequenceLoss)
        and not keras_private.has_loss_weights(model)
        and type(model).compute_loss is keras.Model.compute_loss
    )


def metrics_take_rows(model: keras.Model) -> bool:
    """Return whether all metrics of a model average tokens.

    Keras builds the metrics before the first step.
    """
    metrics = keras_private.compiled_metrics(model)
    return (
        not model.jit_compile
        and type(model).compute_metrics is keras.Model.compute_metrics
        and metrics is not None
        and all(isinstance(metric, TokenMean) for metric in metrics)
    )


def part_loss(model: keras.Model, part: Batch, logits: AnyLogits, num_parts: int) -> tf.Tensor:
    """Compute a part's share of the batch loss and of the losses that layers added.

    Args:
        model: Model that is trained.
        part: Part of the batch.
        logits: AnyLogits of the part.
        num_parts: Number of parts of the batch.

    Returns:
        A scalar.
    """
    if part.shares is None:
        return keras_private.compute_loss(
            model, part.inputs, part.labels, _padded(logits), part.sample_weight, training=True
        )
    losses = model.loss.call(logits.pack(part.labels), logits.rows)
    own = tf.reduce_sum(logits.pack(part.shares) * losses)
    return tf.add_n([own, *(it / num_parts for it in keras_private.added_losses(model))])


def part_metrics(model: keras.Model, part: Batch, logits: AnyLogits) -> dict[str, tf.Tensor]:
    """Update the metrics of a model with a part. Means over tokens get all tokens as one row.

    Args:
        model: Model that is trained.
        part: Part of the batch.
        logits: AnyLogits of the part.

    Returns:
        The metrics of the epoch so far.
    """
    if not metrics_take_rows(model):
        return model.compute_metrics(part.inputs, part.labels, _padded(logits), part.sample_weight)

    def one_row(values: tf.Tensor) -> tf.Tensor:
        return tf.expand_dims(logits.pack(values), 0)

    weights = part.sample_weight
    if weights is not None:
        weights = one_row(token_weights(part.labels, weights))
    return model.compute_metrics(
        part.inputs, one_row(part.labels), tf.expand_dims(logits.rows, 0), weights
    )


def _padded(logits: AnyLogits) -> tf.Tensor:
    """Return logits `(batch, target_length, target_vocabulary_size)`."""
    return logits if isinstance(logits, tf.Tensor) else logits.unpack()
