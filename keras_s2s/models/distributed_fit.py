"""What `fit` needs under `tf.distribute` beyond Keras 3."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.replicas import has_workers


class DistributedFit(keras.Model):
    """A model whose `fit` works under `MirroredStrategy` and `MultiWorkerMirroredStrategy`.

    Keras 3 makes the metrics before the first step from the mean of the replicas' batches, which
    are ids here, and on several machines it takes a mean over an axis that scalar figures lack
    (https://github.com/keras-team/keras/issues/20585). Both are cured here. The model, its
    optimizer and its metrics must be made inside the scope of the strategy.
    """

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        return self._figures(super().train_step(data))

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        return self._figures(super().test_step(data))

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        strategy = self._distribute_strategy
        if strategy is not None and iterator is not None:
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(
                lambda values: strategy.experimental_local_results(values)[0], next(batches)
            )
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)

    def _figures(self, figures: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Give the figures, which are the same in every replica, as Keras takes them."""
        if not has_workers(self._distribute_strategy):
            return figures
        return {name: tf.reshape(figure, [1]) for name, figure in figures.items()}
