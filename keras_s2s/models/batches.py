"""Batch of a training step: its layout, its split into parts, and its losses and metrics.

If a batch has two parts, two threads compute them in parallel. Unless a loss or metric needs the
padding, the loss and the metrics of a part are computed from its real tokens only, one row each.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, NamedTuple, TypeAlias

import keras
import tensorflow as tf

from keras_s2s import keras_private
from keras_s2s.layers.cudnn_recurrence import runs_on_gpu
from keras_s2s.layers.packing import PackedLogits, PaddedLogits
from keras_s2s.losses import SequenceLoss, token_weights
from keras_s2s.metrics import TokenMean
from keras_s2s.replicas import sum_over_replicas
from keras_s2s.special_ids import PAD_ID

_MAX_PARTS = 2  # more parts have not been measured

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


def fastest_layout(model: keras.Model) -> dict[str, bool]:
    """Return the arguments with which calling a model is fastest in training on this device."""
    if model.jit_compile:
        return {}
    return {"cudnn": True} if runs_on_gpu() else {"packed": True}


def pad_right(inputs: Any, labels: tf.Tensor, sample_weight: Any) -> tuple[Any, tf.Tensor, Any]:
    """Move the padding of a batch to the end of each row, as cuDNN and `OwnOutputs` require.

    Attention, pooled contexts and the loss do not depend on the position of the padding. A batch
    that is padded at the end already, such as one of `make_dataset`, is returned unchanged.

    Args:
        inputs: Dict of "source_ids" and "target_inputs", integers `(batch, length)`.
        labels: Integers `(batch, target_length)`.
        sample_weight: Weights of the rows or of the tokens, or `None`.

    Returns:
        The same values, with the padding of each row after its tokens. Labels and token weights
        stay aligned with their target inputs.
    """
    source_ids, target_inputs = inputs["source_ids"], inputs["target_inputs"]
    targets = [target_inputs, labels]
    if sample_weight is not None:
        sample_weight = tf.convert_to_tensor(sample_weight)
        if sample_weight.shape.rank != 1 and sample_weight.shape[1] != 1:
            targets.append(sample_weight)

    def move_padding() -> list[tf.Tensor]:
        sources = _sort_padding_last([source_ids], source_ids)
        return [*sources, *_sort_padding_last(targets, target_inputs)]

    with tf.device("CPU:0"):
        padded_right = tf.logical_not(_has_gap(source_ids) | _has_gap(target_inputs))
        source_ids, target_inputs, labels, *weights = tf.cond(
            padded_right, lambda: [tf.identity(it) for it in (source_ids, *targets)], move_padding
        )
    for moved_ids, name in ((source_ids, "source_ids"), (target_inputs, "target_inputs")):
        moved_ids.set_shape(inputs[name].shape)
    inputs = {**inputs, "source_ids": source_ids, "target_inputs": target_inputs}
    return inputs, labels, weights[0] if weights else sample_weight


def count_cores() -> int:
    """Count the cores that this process may use, or all cores outside Linux."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count_parts() -> int:
    """Return the number of parts into which to split a batch for the fastest training step.

    If each operation has one thread and several operations may run at once, two halves of a batch
    use two cores better than one batch, whose operations mostly run one after another. If each
    operation has several threads, the halves would compete for them.

    The number depends only on TensorFlow's settings, not on the visible cores, because the last
    bits of the trained weights depend on it.

    Returns:
        2 on a CPU with `set_intra_op_parallelism_threads(1)`, unless only one operation may run at
        once; otherwise 1.
    """
    threads = tf.config.threading
    concurrent = threads.get_inter_op_parallelism_threads() != 1  # 0: one for each core
    one_thread = threads.get_intra_op_parallelism_threads() == 1
    has_gpu = tf.config.list_logical_devices("GPU")
    return _MAX_PARTS if one_thread and concurrent and not has_gpu else 1


def split_batch(
    model: keras.Model, inputs: Any, labels: tf.Tensor, sample_weight: tf.Tensor | None
) -> list[Batch]:
    """Split a batch into parts to compute in parallel.

    Args:
        model: Model that is trained.
        inputs: Dict of ids `(batch, length)`.
        labels: int32 `(batch, target_length)`.
        sample_weight: `(batch,)`, `(batch, target_length)`, or `None`.

    Returns:
        The parts. Part k of n has the rows k, k + n, and so on, so that the parts of a batch that
        is sorted by length are similar. A part may be empty.
    """
    if not _loss_needs_no_padding(model):
        return [Batch(inputs, labels, sample_weight, shares=None)]
    with _labels_on_cpu():
        shares = model.loss.token_shares(labels, sample_weight)
    batch = Batch(inputs, labels, sample_weight, shares)
    parts = count_parts() if _metrics_need_no_padding(model) else 1
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


def part_loss(model: keras.Model, part: Batch, logits: AnyLogits, num_parts: int) -> tf.Tensor:
    """Compute a part's share of the loss of the batch and of the losses that layers added.

    Args:
        model: Model that is trained.
        part: Part of the batch.
        logits: Logits of the part.
        num_parts: Number of parts of the batch.

    Returns:
        A scalar.
    """
    if part.shares is None:
        return keras_private.compute_loss(
            model, part.inputs, part.labels, padded(logits), part.sample_weight, training=True
        )
    losses = model.loss.call(logits.pack(part.labels), logits.rows)
    own = tf.reduce_sum(logits.pack(part.shares) * losses)
    return tf.add_n([own, *(it / num_parts for it in keras_private.added_losses(model))])


def part_metrics(model: keras.Model, part: Batch, logits: AnyLogits) -> dict[str, tf.Tensor]:
    """Update the metrics of a model with a part of a batch.

    If all metrics average tokens, they get the real tokens of the part as one row.

    Args:
        model: Model that is trained.
        part: Part of the batch.
        logits: Logits of the part.

    Returns:
        The metrics of the epoch so far.
    """
    if not _metrics_need_no_padding(model):
        return model.compute_metrics(part.inputs, part.labels, padded(logits), part.sample_weight)

    def one_row(values: tf.Tensor) -> tf.Tensor:
        return tf.expand_dims(logits.pack(values), 0)

    weights = part.sample_weight
    if weights is not None:
        weights = one_row(token_weights(part.labels, weights))
    return model.compute_metrics(
        part.inputs, one_row(part.labels), tf.expand_dims(logits.rows, 0), weights
    )


def track_loss(model: keras.Model, loss: tf.Tensor, labels: tf.Tensor, sample_weight: Any) -> None:
    """Add the loss of a batch, or of this replica's part of it, to the loss of the epoch.

    A loss of this package is weighted by its `divisor`, so that the loss of an epoch is the mean
    over all its sequences or tokens, whatever the batches are. Other losses are weighted by rows,
    as in Keras.

    Args:
        model: Model that is trained or evaluated.
        loss: Scalar.
        labels: `(batch, target_length)`.
        sample_weight: `(batch,)`, `(batch, target_length)`, or `None`.
    """
    if hasattr(model.loss, "divisor"):
        with _labels_on_cpu():
            weight = model.loss.divisor(labels, sample_weight)
    else:
        weight = tf.shape(labels)[0]
    keras_private.track_loss(model, sum_over_replicas(loss), weight)


def padded(logits: AnyLogits) -> tf.Tensor:
    """Return logits as a tensor `(batch, target_length, target_vocabulary_size)`."""
    return logits if isinstance(logits, tf.Tensor) else logits.unpack()


def _loss_needs_no_padding(model: keras.Model) -> bool:
    """Return whether the loss of a model can be computed from the real tokens only."""
    return (
        not model.jit_compile
        and isinstance(model.loss, SequenceLoss)
        and not keras_private.has_loss_weights(model)
        and type(model).compute_loss is keras.Model.compute_loss
    )


def _metrics_need_no_padding(model: keras.Model) -> bool:
    """Return whether all metrics of a model average tokens.

    Keras builds the metrics before the first training step.
    """
    metrics = keras_private.compiled_metrics(model)
    return (
        not model.jit_compile
        and type(model).compute_metrics is keras.Model.compute_metrics
        and metrics is not None
        and all(isinstance(metric, TokenMean) for metric in metrics)
    )


def _labels_on_cpu() -> contextlib.AbstractContextManager[None]:
    """Place operations on the labels on the CPU, to avoid many transfers to a GPU."""
    alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
    return tf.device("CPU:0") if alone and runs_on_gpu() else contextlib.nullcontext()


def _has_gap(ids: tf.Tensor) -> tf.Tensor:
    """Return whether any token of `(batch, length)` comes after padding."""
    real = tf.not_equal(ids, PAD_ID)
    return tf.reduce_any(real[:, 1:] & ~real[:, :-1])


def _sort_padding_last(values: list[tf.Tensor], ids: tf.Tensor) -> list[tf.Tensor]:
    """Sort values `(batch, length)` so that the values at real ids come first."""
    padding = tf.cast(tf.equal(ids, PAD_ID), tf.int32)
    order = tf.argsort(padding, axis=1, stable=True)
    return [tf.gather(it, order, batch_dims=1) for it in values]
