"""Training: `fit` and its step.

`train_step` checks the ids of the batch and replaces some decoder inputs with outputs of the model.
It splits the batch into parts that run in parallel, and computes the logits and the loss of each
part. Then it updates the weights and the metrics.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s import keras_private
from keras_s2s.gradients import own_gradients, with_gradients_of_others
from keras_s2s.layers.products import fast_products
from keras_s2s.models.batches import (
    fastest_layout,
    pad_right,
    part_loss,
    part_metrics,
    split_batch,
    track_loss,
)
from keras_s2s.models.class_weight import weight_labels
from keras_s2s.models.evaluator import Evaluator
from keras_s2s.models.fit_arguments import fit_hooks, silence_end_of_data, sort_callbacks
from keras_s2s.models.ids import check_data
from keras_s2s.models.own_outputs import OwnOutputs

_DATASETS = (tf.data.Dataset, tf.distribute.DistributedDataset)


class Trainer(Evaluator):
    """Base class of models that `fit` trains on the real tokens of each batch.

    With `packed=True`, the `call` of a subclass returns `PackedLogits`.

    With a `SequenceLoss` and the metrics of this package, the logits and losses of padding are not
    computed. Any other loss or metric, and an overridden `compute_loss` or `compute_metrics`, gets
    the padded logits. The results are the same.
    """

    _own_outputs: OwnOutputs | None = None

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> keras.callbacks.History:
        """Train the model, like `keras.Model.fit`.

        For a dataset, two Keras warnings are not shown: that `shuffle` is ignored, and that a
        dataset of unknown length ran out of data. A `Resume` callback runs last.

        Args:
            x: A dataset, generator or `PyDataset` of batches, or arrays: a dict of "source_ids"
                and "target_inputs", each int32 `(rows, length)` and padded with 0.
            y: The target labels, int32 `(rows, target_length)`, if `x` is arrays. They are 0 where
                "target_inputs" are 0.
            batch_size: Number of rows in a batch, if `x` is arrays. Defaults to 32.
            epochs: Number of epochs, counted from epoch 0 even with an `initial_epoch`. Defaults to
                1.
            verbose: "auto", 0 (silent), 1 (progress bar) or 2 (one line for each epoch). Defaults
                to "auto".
            callbacks: List of `keras.callbacks.Callback`.
            validation_split: Share of the arrays to validate on. Defaults to 0.
            validation_data: Data to evaluate the model on after each epoch, like `x` and `y`.
            shuffle: Whether to shuffle arrays before each epoch. Defaults to `True`.
            class_weight: Dict of weights by target id. Other ids have weight 1; padding has 0.
            sample_weight: Weights of the rows, `(rows,)` or `(rows, 1)`, or of the target tokens,
                `(rows, target_length)` or `(rows, target_length, 1)`, if `x` is arrays.
            initial_epoch: Number of the first epoch. Defaults to 0.
            steps_per_epoch: Number of batches per epoch. Defaults to all.
            validation_steps: Number of batches of `validation_data` to evaluate on.
            validation_batch_size: Batch size of the validation. Defaults to `batch_size`.
            validation_freq: Number of epochs from one validation to the next. Defaults to 1.

        Returns:
            A `keras.callbacks.History`: its `history` has the loss and the metrics of each epoch.

        Raises:
            TypeError: If a callback has the wrong type.
            ValueError: If a batch lacks an input or its labels, an id is outside the vocabulary,
                `target_inputs` are padding where the labels are not, or `class_weight` does not
                map target ids to weights. Also if callbacks are in an invalid order, or a `Resume`
                cannot repeat the batches of an epoch.
        """
        check_data(x)
        if isinstance(x, _DATASETS):
            shuffle = False
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = sort_callbacks(callbacks)
        arguments = {
            "x": x,
            "y": y,
            "batch_size": batch_size,
            "epochs": epochs,
            "verbose": verbose,
            "callbacks": callbacks,
            "validation_split": validation_split,
            "validation_data": validation_data,
            "shuffle": shuffle,
            "class_weight": class_weight,
            "sample_weight": sample_weight,
            "initial_epoch": initial_epoch,
            "steps_per_epoch": steps_per_epoch,
            "validation_steps": validation_steps,
            "validation_batch_size": validation_batch_size,
            "validation_freq": validation_freq,
        }
        arguments = weight_labels(arguments, self.target_vocabulary_size)
        with (
            fit_hooks(self, arguments),
            silence_end_of_data(x, steps_per_epoch),
            keras_private.forget_validation_data(self),
            self._reporting_errors(),
        ):
            return super().fit(**arguments)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Run one training step on arrays, like `keras.Model.train_on_batch`.

        Args:
            x: Dict of "source_ids" and "target_inputs".
            y: The target labels.
            sample_weight: Weights as for `fit`.
            class_weight: Weights of target ids as for `fit`.
            return_dict: Whether to return a dict instead of a list. Defaults to `False`.

        Returns:
            The loss and the metrics.

        Raises:
            ValueError: If an id is outside the vocabulary, `target_inputs` are padding where the
                labels are not, or `class_weight` does not map target ids to weights.
        """
        given = {"x": x, "y": y, "sample_weight": sample_weight, "class_weight": class_weight}
        given = weight_labels(given, self.target_vocabulary_size)
        with self._reporting_errors():
            return super().train_on_batch(**given, return_dict=return_dict)

    @own_gradients
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Run one training step on a batch and return the metrics of the epoch so far."""
        inputs, labels, sample_weight = self._unpack(data)
        layout = fastest_layout(self)
        if self._own_outputs is not None or layout == {"cudnn": True}:
            inputs, labels, sample_weight = pad_right(inputs, labels, sample_weight)
        if self._own_outputs is not None:
            # Choose the inputs first. The training step itself is then teacher forcing: it computes
            # all target steps at once, and no gradient passes through a choice.
            inputs = self._own_outputs.mix(self, inputs)
        parts = split_batch(self, inputs, labels, sample_weight)
        logits, losses = [], []
        with fast_products(not self.jit_compile):
            with tf.GradientTape() as tape:
                for part in parts:
                    logits.append(self(part.inputs, training=True, **layout))
                    losses.append(part_loss(self, part, logits[-1], len(parts)))
                loss = tf.add_n(losses)
                scaled_loss = self.optimizer.scale_loss(loss)
            weights = self.trainable_weights
            gradients = tape.gradient(scaled_loss, weights) if weights else []
        if weights:
            with with_gradients_of_others():
                self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        track_loss(self, loss, labels, sample_weight)
        results = [part_metrics(self, *both) for both in zip(parts, logits, strict=True)]
        return self._for_reduction(results[-1])

    def feed_own_outputs(
        self, probability: float, *, choice: str = "argmax", seed: int | None = None
    ) -> None:
        """Replace some target inputs by outputs of the decoder in training (scheduled sampling).

        From this call on, each target input is replaced, with the given probability, by the token
        that the model predicts at the previous step from its previous inputs, without dropout. 0 is
        teacher forcing, 1 is free running. The labels do not change. The gradient is exact for the
        inputs used and does not pass through the choice of a token. Unless the probability is 0, a
        training step first runs the decoder step by step, which takes about a third longer.

        A `ScheduledSampling` callback changes the probability while `fit` runs.

        Args:
            probability: From 0 to 1.
            choice: "argmax" for the most probable token, or "sample" for a token drawn from the
                softmax. Defaults to "argmax".
            seed: Seed of the random numbers. Defaults to a seed that
                `keras.utils.set_random_seed` determines.

        Raises:
            ValueError: If an argument is out of range.

        References:
            - [Scheduled sampling for sequence prediction with recurrent neural networks (Bengio et
              al., 2015)](https://arxiv.org/abs/1506.03099)
        """
        own = self._own_outputs
        if own is None or own.choice != choice or seed is not None:
            with self.distribute_strategy.scope():
                own = OwnOutputs(choice, seed)
        own.assign(probability)  # raises before the model changes
        self.own_outputs = own

    @property
    def own_outputs(self) -> OwnOutputs | None:
        """`OwnOutputs` that replace target inputs in training, or `None` for teacher forcing."""
        return self._own_outputs

    @own_outputs.setter
    def own_outputs(self, own: OwnOutputs | None) -> None:
        if own is not self._own_outputs:
            self._own_outputs = own
            if self.train_function is not None:
                self.make_train_function(force=True)

    @property
    def sampling_probability(self) -> float:
        """Probability, between 0 and 1, that an output of the decoder replaces a target input."""
        own = self._own_outputs
        return 0.0 if own is None else float(own.probability.value.numpy())

    def training_variables(self) -> tuple[list[keras.Variable], list[keras.Variable]]:
        """Return all variables that training changes. Create the missing ones first.

        Returns:
            The variables of the model, its optimizer and its random numbers; and the variables of
            the metrics, which are reset in each epoch.
        """
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        logits = tf.zeros([1, 1, self.target_vocabulary_size])
        keras_private.build_metrics(self, tf.zeros([1, 1], tf.int32), logits)
        own = [] if self._own_outputs is None else self._own_outputs.variables
        return [*self.variables, *self.optimizer.variables, *own], list(self.metrics_variables)
