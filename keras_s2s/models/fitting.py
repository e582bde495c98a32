"""What `fit` does beyond Keras: it looks after the callbacks that need it, and knows datasets."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_s2s.models.batch_ids import plain_refusal
from keras_s2s.models.own_outputs import OwnOutputs

_DATASETS = (tf.data.Dataset, tf.distribute.DistributedDataset)


class Fitting(keras.Model):
    """A model whose `fit` can be resumed, and feed the decoder with its own outputs."""

    _own_outputs: OwnOutputs | None = None

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train, as `keras.Model.fit` does, with all its arguments.

        A dataset is not asked to be shuffled, which only it can do itself, and may not know its
        length: there is no warning about either. A `Resume` among the callbacks is run as the last
        of them.

        Args:
            *args: as of `keras.Model.fit`.
            **kwargs: as of `keras.Model.fit`.

        Returns:
            The history.

        Raises:
            ValueError: if callbacks stand in an order in which they cannot work, a `Resume`
                cannot know the batches of an epoch, or an id is outside the vocabulary.
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
        resumed = [callback for callback in listed if hasattr(callback, "release")]
        for callback in resumed:
            callback.check_data(given)
        try:
            with _quiet_end(given), plain_refusal():
                return super().fit(**given)
        finally:
            for callback in resumed:
                callback.release()

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate, as `keras.Model.evaluate` does, with all its arguments.

        Args:
            *args: as of `keras.Model.evaluate`.
            **kwargs: as of `keras.Model.evaluate`.

        Returns:
            The loss and the metrics.

        Raises:
            ValueError: if an id is outside the vocabulary.
        """
        with plain_refusal():
            return super().evaluate(*args, **kwargs)

    def feed_own_outputs(
        self, probability: float, *, choice: str = "argmax", seed: int | None = None
    ) -> None:
        """Train on what the decoder puts out itself, in place of some of the labels.

        From now on, in training, each target input is replaced with this probability by the token
        that the model, with dropout off, puts out at the step before, given the inputs that it was
        fed until then. With 0 that is teacher forcing, with 1 free running. The loss is that of the
        labels all the same; its gradient is exact for what was fed, and does not go through the
        choice of it. Each training step then takes the decoder's steps one by one first, which
        makes it about a third longer; with 0 it does not.

        A `ScheduledSampling` changes the probability while `fit` runs.

        Args:
            probability: of 0 to 1.
            choice: "argmax", the most probable token, or "sample", one drawn from the softmax.
            seed: the seed of the draws; by default one that `keras.utils.set_random_seed` seeds.

        Raises:
            ValueError: if an argument is out of range.

        References:
            - [Scheduled sampling for sequence prediction with recurrent neural networks (Bengio et
              al., 2015)](https://arxiv.org/abs/1506.03099)
        """
        own = self._own_outputs
        if own is None or own.choice != choice or seed is not None:
            with self.distribute_strategy.scope():
                own = OwnOutputs(choice, seed)
        own.assign(probability)  # refused before anything has changed
        if own is not self._own_outputs:
            self._own_outputs = own
            if self.train_function is not None:
                self.make_train_function(force=True)

    @property
    def sampling_probability(self) -> float:
        """How often the decoder is fed its own output in place of a label, 0 to 1."""
        own = self._own_outputs
        return 0.0 if own is None else float(own.probability.value.numpy())

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
        own = [] if self._own_outputs is None else self._own_outputs.variables
        return [*self.variables, *self.optimizer.variables, *own], list(self.metrics_variables)


@contextlib.contextmanager
def _quiet_end(given: dict[str, Any]) -> Iterator[None]:
    """Let no epoch end with a warning because the dataset did not know its length before."""
    data: Any = given.get("x")
    by_itself = isinstance(data, tf.data.Dataset) and given.get("steps_per_epoch") is None
    with warnings.catch_warnings():
        if by_itself and data.cardinality() == tf.data.UNKNOWN_CARDINALITY:
            warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        yield


def _listed(callbacks: Any) -> list[keras.callbacks.Callback]:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    return list(callbacks)


def _arranged(callbacks: Any) -> list[keras.callbacks.Callback]:
    """Put what keeps the state of the others behind them."""
    listed = keras.tree.flatten(callbacks) if callbacks is not None else []
    return sorted(listed, key=lambda callback: hasattr(callback, "release"))
