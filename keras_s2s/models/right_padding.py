"""Batches padded on the right, as cuDNN requires."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_s2s.special_ids import PAD_ID


def pad_right(inputs: Any, labels: tf.Tensor, sample_weight: Any) -> tuple[Any, tf.Tensor, Any]:
    """Move the padding of a batch to the end of each row.

    Attention, pooled contexts and the loss do not depend on the position of the padding. If the
    padding is at the end already, as in batches of `make_dataset`, nothing is moved.

    Args:
        inputs: Dict of "source_ids" and "target_inputs", integers `(batch, length)`.
        labels: Integers `(batch, target_length)`.
        sample_weight: Weights of the rows or of the tokens, or `None`.

    Returns:
        The same values, with the tokens of each row in their order, then the padding. Labels and
        token weights stay aligned with their target inputs.
    """
    source_ids, target_inputs = inputs["source_ids"], inputs["target_inputs"]
    targets = [target_inputs, labels]
    if sample_weight is not None:
        sample_weight = tf.convert_to_tensor(sample_weight)
        if sample_weight.shape.rank != 1 and sample_weight.shape[1] != 1:
            targets.append(sample_weight)

    def moved() -> list[tf.Tensor]:
        sources = _sort_padding_last([source_ids], source_ids)
        return [*sources, *_sort_padding_last(targets, target_inputs)]

    with tf.device("CPU:0"):
        on_the_right = tf.logical_not(_has_gap(source_ids) | _has_gap(target_inputs))
        source_ids, target_inputs, labels, *weights = tf.cond(
            on_the_right, lambda: [tf.identity(it) for it in (source_ids, *targets)], moved
        )
    for moved_ids, name in ((source_ids, "source_ids"), (target_inputs, "target_inputs")):
        moved_ids.set_shape(inputs[name].shape)
    inputs = {**inputs, "source_ids": source_ids, "target_inputs": target_inputs}
    return inputs, labels, weights[0] if weights else sample_weight


def _has_gap(ids: tf.Tensor) -> tf.Tensor:
    """Check whether a token of `(batch, length)` comes after padding."""
    real = tf.not_equal(ids, PAD_ID)
    return tf.reduce_any(real[:, 1:] & ~real[:, :-1])


def _sort_padding_last(values: list[tf.Tensor], ids: tf.Tensor) -> list[tf.Tensor]:
    """Sort values `(batch, length)` so that those at real ids come first."""
    padding = tf.cast(tf.equal(ids, PAD_ID), tf.int32)
    order = tf.argsort(padding, axis=1, stable=True)
    return [tf.gather(it, order, batch_dims=1) for it in values]
