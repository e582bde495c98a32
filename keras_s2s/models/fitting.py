"""What `fit` does beyond Keras: it looks after the callbacks that need it, and knows datasets."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import tensorflow as tf

from keras_s2s.training.resume import Resume

_DATASETS = (tf.data.Dataset, tf.distribute.DistributedDataset)


class Fitting(keras.Model):
    """A model whose `fit` can be resumed."""

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train, as `keras.Model.fit` does, with all its arguments.

        A dataset is not asked to be shuffled, which only it can do itself, so there is no warning
        about it. A `Resume` among the callbacks is run as the last of them.

        Args:
            *args: as of `keras.Model.fit`.
            **kwargs: as of `keras.Model.fit`.

        Returns:
            The history.

        Raises:
            ValueError: if callbacks stand in an order in which they cannot work, or a `Resume`
                cannot know the batches of an epoch.
        """
        given = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        given.pop("self")
        if isinstance(given.get("x"), _DATASETS):
            given["shuffle"] = False
        callbacks = given.get("callbacks")
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = given["callbacks"] = _arranged(callbacks)
        listed = _listed(callbacks)
        for callback in listed:
            if hasattr(callback, "check_place"):
                callback.check_place(listed)
        resumed = [callback for callback in listed if isinstance(callback, Resume)]
        for callback in resumed:
            callback.check_data(given)
        try:
            return super().fit(**given)
        finally:
            for callback in resumed:
                callback.release()

    def training_variables(self) -> tuple[list[keras.Variable], list[keras.Variable]]:
        """Give all that training changes, made where it was not yet.

        Returns:
            The variables of the model, of its optimiser and of its random seeds; and those of the
            metrics, which begin anew in each epoch.
        """
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        compiled = self._compile_metrics
        if compiled is not None and not compiled.built:
            logits = tf.zeros([1, 1, self.target_vocabulary_size])
            compiled.build(tf.zeros([1, 1], tf.int32), logits)
        return [*self.variables, *self.optimizer.variables], list(self.metrics_variables)


def _listed(callbacks: Any) -> list[keras.callbacks.Callback]:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return list(callbacks)


def _arranged(callbacks: Any) -> list[keras.callbacks.Callback]:
    """Put what keeps the state of the others behind them."""
    listed = keras.tree.flatten(callbacks) if callbacks is not None else []
    return sorted(listed, key=lambda callback: isinstance(callback, Resume))
