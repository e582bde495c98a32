"""Training on the real tokens only: what `fit` does with a model that can compute packed."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.layers.packing import PackedLogits, pack
from keras_s2s.losses import SequenceLoss, token_weights
from keras_s2s.metrics import TokenMean
from keras_s2s.models.batch_parts import Batch, count_parts, split_batch
from keras_s2s.models.fitting import Fitting
from keras_s2s.optimizers import fused_adam
from keras_s2s.replicas import sum_over_replicas


class PackedTraining(Fitting):
    """A model whose training steps compute the logits and the loss of real tokens only.

    `call(inputs, packed=True, training=True)` must give the `PackedLogits` of the targets; what
    is computed packed before them is the model's affair. With a
    `SequenceLoss` and the metrics of this package neither logits nor losses of the padding are
    ever computed; for another loss or metric, and for a `compute_loss` or `compute_metrics` of a
    subclass, the logits are unpacked. The results are the same.

    Where operations have one thread each, the halves of a batch are computed side by side (see
    `keras_s2s.models.batch_parts`); the results are the same but for rounding.

    Under `jit_compile`, which needs fixed shapes, training computes on the padded batch.
    """

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Take one step of the optimiser, on the real tokens of a batch."""
        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self._own_outputs is not None:
            # What is fed is chosen before the step, so that the step is one of teacher forcing,
            # packed and all at once; no gradient goes through a choice.
            inputs = self._own_outputs.mix(self, inputs)
        if self.jit_compile:
            data = keras.utils.pack_x_y_sample_weight(inputs, labels, sample_weight)
            return super().train_step(data)
        takes_rows = self._loss_takes_rows()
        shares = self.loss.token_shares(labels, sample_weight) if takes_rows else None
        parts = split_batch(
            Batch(inputs, labels, sample_weight, shares),
            count_parts() if takes_rows and self._metrics_take_rows() else 1,
        )
        with tf.GradientTape() as tape:
            logits, losses = [], []
            for part in parts:
                logits.append(self(part.inputs, packed=True, training=True))
                losses.append(self._part_loss(part, logits[-1], len(parts)))
            loss = tf.add_n(losses)
            self._track_loss(loss, labels, sample_weight)
            scaled_loss = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        if weights:
            gradients = tape.gradient(scaled_loss, weights)
            with fused_adam(self.optimizer):
                self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return [self._part_metrics(*both) for both in zip(parts, logits, strict=True)][-1]

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluate a batch, the padded one: the figures are the same."""
        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        logits = self(inputs, training=False)
        loss = self.compute_loss(inputs, labels, logits, sample_weight, training=False)
        self._track_loss(loss, labels, sample_weight)
        return self.compute_metrics(inputs, labels, logits, sample_weight)

    def _track_loss(self, loss: tf.Tensor, labels: tf.Tensor, sample_weight: Any) -> None:
        """Add the loss of a batch, of which this replica may have a part, to that of the epoch.

        A `SequenceLoss` is weighted by its divisor: then the loss of an epoch is that of all its
        sequences or tokens, whatever the batches are. Other losses are weighted by rows, as in
        Keras.
        """
        if isinstance(self.loss, SequenceLoss):
            weight = self.loss.divisor(labels, sample_weight)
        else:
            weight = tf.shape(labels)[0]
        self._loss_tracker.update_state(sum_over_replicas(loss), sample_weight=weight)

    def _loss_takes_rows(self) -> bool:
        """Whether the loss is known to be the same without the padding."""
        return (
            isinstance(self.loss, SequenceLoss)
            and self._compile_loss._user_loss_weights is None
            and type(self).compute_loss is keras.Model.compute_loss
        )

    def _metrics_take_rows(self) -> bool:
        """Whether the metrics, which Keras makes before the first step, are all means of tokens."""
        compiled = self._compile_metrics
        return type(self).compute_metrics is keras.Model.compute_metrics and (
            compiled is None
            or (compiled.built and all(isinstance(it, TokenMean) for it in compiled.metrics))
        )

    def _part_loss(self, part: Batch, logits: PackedLogits, parts: int) -> tf.Tensor:
        """Give the share of a part of the batch in its loss, and in what layers have added."""
        if part.shares is None:
            return self.compute_loss(part.inputs, part.labels, logits.unpack(), part.sample_weight)
        losses = self.loss.call(pack(part.labels, logits.packing), logits.rows)
        own = tf.reduce_sum(pack(part.shares, logits.packing) * losses)
        return tf.add_n([own, *(added / parts for added in self.losses)])

    def _part_metrics(self, part: Batch, logits: PackedLogits) -> dict[str, tf.Tensor]:
        """Show a part to the metrics: if they are means over tokens, the tokens as one row."""
        if not self._metrics_take_rows():
            return self.compute_metrics(
                part.inputs, part.labels, logits.unpack(), part.sample_weight
            )

        def one_row(values: tf.Tensor) -> tf.Tensor:
            return tf.expand_dims(pack(values, logits.packing), 0)

        weights = part.sample_weight
        if weights is not None:
            weights = one_row(token_weights(part.labels, weights))
        return self.compute_metrics(
            part.inputs, one_row(part.labels), tf.expand_dims(logits.rows, 0), weights
        )
