"""Evaluation: `compile`, `evaluate`, `predict`, and their steps."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_s2s import keras_private
from keras_s2s.errors import InputError
from keras_s2s.gradients import own_gradients
from keras_s2s.layers.products import fast_products
from keras_s2s.losses import as_labels
from keras_s2s.models.batches import fastest_layout, pad_right, padded, track_loss
from keras_s2s.models.compile_arguments import check_loss, check_metrics
from keras_s2s.models.fit_arguments import silence_end_of_data
from keras_s2s.models.ids import as_value_error, check_batch, check_data, check_inputs
from keras_s2s.optimizers import FusedAdam
from keras_s2s.replicas import has_workers


class Evaluator(keras.Model):
    """Base class of models that compute the logits of given targets.

    The `call` of a subclass returns the logits of a batch; with `cudnn=True`, which uses cuDNN on
    a GPU, maybe as `PaddedLogits`. A subclass has the attributes `source_vocabulary_size` and
    `target_vocabulary_size`.
    """

    # Keras's own method fails for ids under `tf.distribute`.
    _maybe_symbolic_build = keras_private.maybe_symbolic_build

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: str | bool = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Configure the model for training, like `keras.Model.compile`.

        `metrics=["accuracy"]` computes exactly what `TokenAccuracy` computes.

        Args:
            optimizer: Name of an optimizer, or an optimizer. "adam" creates a `FusedAdam`. Defaults
                to "rmsprop".
            loss: `SequenceLoss`, or any loss that takes logits and ignores padding.
            loss_weights: As for `keras.Model.compile`.
            metrics: Metrics, such as `TokenAccuracy` and `Perplexity`. "accuracy" creates a
                `TokenAccuracy` with this name, because Keras's accuracy counts padding.
            weighted_metrics: Metrics that are weighted by `sample_weight`.
            run_eagerly: Whether to run the steps without a graph, for debugging. Defaults to
                `False`.
            steps_per_execution: Number of steps that one call of the compiled function runs.
                Defaults to 1.
            jit_compile: Whether XLA compiles the steps, once per shape of a batch. "auto" means
                `False`. Defaults to "auto".
            auto_scale_loss: Whether to scale the loss in "mixed_float16". Defaults to `True`.

        Raises:
            ValueError: If a Keras loss or metric takes probabilities instead of logits, such
                as "sparse_categorical_crossentropy", or dense targets, such as "mse", or counts
                padding, such as `keras.metrics.SparseTopKCategoricalAccuracy`.
        """
        loss = loss() if inspect.isclass(loss) else loss  # as in Keras
        check_loss(loss)
        super().compile(
            optimizer=FusedAdam() if _is_adam(optimizer) else optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=check_metrics("metrics", metrics),
            weighted_metrics=check_metrics("weighted_metrics", weighted_metrics),
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile the model with a config that `get_compile_config` returned."""
        if type(self).compile is not Evaluator.compile:
            super().compile_from_config(config)  # warns that a subclass must override this too
            return
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Compute the loss and the metrics, like `keras.Model.evaluate`.

        Args:
            x: A dataset, generator or `PyDataset` of batches, or arrays, as for `fit`.
            y: The target labels, if `x` is arrays.
            batch_size: Number of rows in a batch, if `x` is arrays. Defaults to 32.
            verbose: "auto", 0 (silent), 1 (progress bar) or 2 (one line). Defaults to "auto".
            sample_weight: Weights of the rows or of the target tokens, if `x` is arrays.
            steps: Number of batches to evaluate on. Defaults to all.
            callbacks: List of `keras.callbacks.Callback`.
            return_dict: Whether to return a dict instead of a list. Defaults to `False`.
            **kwargs: Arguments that Keras passes internally from `fit`.

        Returns:
            The loss and the metrics.

        Raises:
            ValueError: If an id is outside the vocabulary, or `target_inputs` are padding where the
                labels are not.
        """
        check_data(x)
        with silence_end_of_data(x, steps), self._reporting_errors():
            return super().evaluate(
                x=x,
                y=y,
                batch_size=batch_size,
                verbose=verbose,
                sample_weight=sample_weight,
                steps=steps,
                callbacks=callbacks,
                return_dict=return_dict,
                **kwargs,
            )

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Compute the logits of given targets by teacher forcing, like `keras.Model.predict`.

        To translate, use `search` instead.

        Args:
            x: A dataset, generator or `PyDataset` of batches, or arrays, as for `fit`.
            batch_size: Number of rows in a batch, if `x` is arrays. Defaults to 32.
            verbose: "auto", 0 (silent), 1 (progress bar) or 2 (one line). Defaults to "auto".
            steps: Number of batches to predict. Defaults to all.
            callbacks: List of `keras.callbacks.Callback`.

        Returns:
            The logits, a float32 array `(rows, target_length, target_vocabulary_size)`.

        Raises:
            ValueError: If `x` lacks the source ids or the target inputs, or an id is outside the
                vocabulary.
        """
        check_data(x)
        with silence_end_of_data(x, steps), self._reporting_errors():
            return super().predict(
                x=x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks
            )

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Evaluate on one batch of arrays, like `keras.Model.test_on_batch`.

        Args:
            x: Dict of "source_ids" and "target_inputs".
            y: The target labels.
            sample_weight: Weights as for `evaluate`.
            return_dict: Whether to return a dict instead of a list. Defaults to `False`.

        Returns:
            The loss and the metrics.

        Raises:
            ValueError: As for `evaluate`.
        """
        with self._reporting_errors():
            return super().test_on_batch(x, y, sample_weight, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Compute the logits for one batch of arrays, like `keras.Model.predict_on_batch`.

        Args:
            x: Dict of "source_ids" and "target_inputs".

        Returns:
            The logits, as of `predict`.

        Raises:
            ValueError: As for `predict`.
        """
        with self._reporting_errors():
            return super().predict_on_batch(x)

    @own_gradients
    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluate a batch and return the metrics of the evaluation so far."""
        inputs, labels, sample_weight = self._unpack(data)
        if fastest_layout(self) == {"cudnn": True}:
            inputs, labels, sample_weight = pad_right(inputs, labels, sample_weight)
            logits = padded(self(inputs, training=False, cudnn=True))
        else:
            with fast_products(not self.jit_compile):
                logits = self(inputs, training=False)
        loss = keras_private.compute_loss(
            self, inputs, labels, logits, sample_weight, training=False
        )
        track_loss(self, loss, labels, sample_weight)
        results = self.compute_metrics(inputs, labels, logits, sample_weight)
        return self._for_reduction(results)

    @own_gradients
    def predict_step(self, data: Any) -> tf.Tensor:
        """Compute the logits of a batch."""
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        check_inputs(inputs)
        inputs, _ = self._check_batch(inputs, None)
        return self(inputs, training=False)

    @contextlib.contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        """Convert errors about a batch to a `ValueError`, and discard the traced steps.

        An error in the first trace, such as one about a batch, leaves the variables of optimizer
        and metrics unbuilt. TensorFlow does not let the same function create them later, so the
        next call traces the steps again.
        """
        try:
            with as_value_error():
                yield
        except Exception:
            self.train_function = self.test_function = self.predict_function = None
            raise

    def _unpack(self, data: Any) -> tuple[Any, tf.Tensor, tf.Tensor | None]:
        """Check a batch and return its inputs, labels and weights."""
        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        check_inputs(inputs)
        if labels is None:
            raise InputError(
                "`fit` and `evaluate` need target labels: batches ({'source_ids': ..., "
                "'target_inputs': ...}, target_labels), such as those of `make_dataset(pairs, "
                "source, target)`. Received: no target labels"
            )
        if not getattr(self.loss, "takes_distributions", False):
            labels = as_labels(labels)
        expected = inputs["target_inputs"].shape
        if not labels.shape[:2].is_compatible_with(expected):
            raise InputError(
                "`target_labels` must have the shape of `target_inputs`, (batch, target_length). "
                f"Received: target_labels of shape {tuple(labels.shape)}, target_inputs of shape "
                f"{tuple(expected)}"
            )
        inputs, labels = self._check_batch(inputs, labels)
        return inputs, labels, sample_weight

    def _check_batch(self, inputs: Any, labels: Any) -> tuple[Any, Any]:
        """Check the ids of a batch when the graph runs, and return inputs and labels."""
        if self.jit_compile:  # XLA cannot raise an error
            return inputs, labels
        return check_batch(inputs, labels, self.source_vocabulary_size, self.target_vocabulary_size)

    def _for_reduction(self, results: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Reshape metrics, which are equal in every replica, as Keras's reduction requires."""
        if not has_workers(self.distribute_strategy):
            return results
        return {name: tf.reshape(result, [1]) for name, result in results.items()}


def _is_adam(optimizer: Any) -> bool:
    return isinstance(optimizer, str) and optimizer.lower() == "adam"
