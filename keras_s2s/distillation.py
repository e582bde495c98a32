"""Knowledge distillation: train a model on the predictions of another, usually an ensemble.

References:
    - [Distilling the knowledge in a neural network (Hinton et al., 2015)](
      https://arxiv.org/abs/1503.02531)
    - [Sequence-level knowledge distillation (Kim and Rush, 2016)](
      https://arxiv.org/abs/1606.07947), "word-level" distillation
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from keras_s2s.checks import check_number
from keras_s2s.losses import SequenceLoss, real_tokens, token_weights
from keras_s2s.models import Searchable
from keras_s2s.replicas import sum_over_replicas

TEACHER_WEIGHT = 0.8
_MAX_CACHE = 1 << 30  # bytes


class Teacher(Protocol):
    """Model to learn from, or its predictions."""

    def target_logits(self, source_ids: tf.Tensor, target_ids: tf.Tensor) -> tf.Tensor:
        """Return the logits `(batch, target_length, vocabulary_size)` of given targets."""


def cache_predictions(
    teacher: Searchable,
    dataset: tf.data.Dataset,
    advance: Callable[[int], object] = lambda pairs: None,
) -> Teacher:
    """Compute the predictions of a teacher once, for all epochs.

    Otherwise, `teach` computes them in every epoch, which takes about a third of the time of a
    training step for each model of the teacher.

    Args:
        teacher: Model that predicts each token, given the previous labels.
        dataset: Batches of `make_dataset` with all pairs, in the same order each time
            (`shuffle=False`), so that a resumed run has exactly the same predictions.
        advance: Function to call after each batch with the number of its pairs.

    Returns:
        The predictions, in float16, or the teacher itself if they take more than 1 GiB.
    """
    tokens = sum(int(_count(labels).sum()) for _, labels in dataset.as_numpy_iterator())
    if 2 * tokens * teacher.target_vocabulary_size > _MAX_CACHE:
        return teacher
    return _CachedPredictions(teacher, dataset, advance)


def teach(dataset: tf.data.Dataset, teacher: Teacher, weight: float = TEACHER_WEIGHT) -> Any:
    """Replace the labels of a dataset by a mixture of the labels and the teacher's predictions.

    Args:
        dataset: Batches of `make_dataset`.
        teacher: Model that predicts each token, given the previous labels, or the result of
            `cache_predictions`.
        weight: Weight of the teacher in the mixture, 0 to 1. Defaults to 0.8.

    Returns:
        The dataset with labels float32 `(batch, target_length, vocabulary_size)`: probabilities at
        real tokens, zeros at the padding.

    Raises:
        ValueError: If `weight` is out of range.
    """
    weight = check_number("weight", weight, minimum=0, maximum=1)

    def soften(inputs: dict[str, tf.Tensor], labels: tf.Tensor) -> Any:
        logits = tf.cast(teacher.target_logits(inputs["source_ids"], labels), tf.float32)
        hard = tf.one_hot(labels, tf.shape(logits)[2])
        mixture = weight * tf.nn.softmax(logits) + (1.0 - weight) * hard
        return inputs, mixture * tf.expand_dims(real_tokens(labels), 2)

    return dataset.map(tf.autograph.experimental.do_not_convert(soften))


@keras.saving.register_keras_serializable(package="keras_s2s")
class DistillationLoss(keras.losses.Loss):
    """Cross-entropy with the labels of `teach`, averaged over real tokens.

    If the labels are ids `(batch, target_length)`, as in validation batches, the loss is that of
    `SequenceLoss` with reduction "token".

    Args:
        name: Name of the loss.
    """

    takes_distributions = True  # tells `Seq2Seq.fit` that labels need not be ids

    def __init__(self, name: str = "distillation_loss") -> None:
        super().__init__(name=name, reduction="sum", dtype="float32")
        self._of_ids = SequenceLoss("token")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        y_true = tf.convert_to_tensor(y_true)
        if y_true.shape.rank == 2:
            return self._of_ids(y_true, y_pred, sample_weight)
        weights = _weights(y_true, sample_weight)
        total = tf.reduce_sum(weights * self.call(y_true, y_pred))
        return tf.math.divide_no_nan(total, sum_over_replicas(tf.reduce_sum(weights)))

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(y_true * tf.nn.log_softmax(tf.cast(y_pred, tf.float32)), axis=2)

    def divisor(self, y_true: Any, sample_weight: Any = None) -> tf.Tensor:
        """Return the number of real tokens, weighted: the weight of a batch in a mean over batches.

        Args:
            y_true: Labels of `teach`, or ids.
            sample_weight: Weights, as for `SequenceLoss`.

        Returns:
            A scalar.
        """
        y_true = tf.convert_to_tensor(y_true)
        if y_true.shape.rank == 2:
            return self._of_ids.divisor(y_true, sample_weight)
        return tf.reduce_sum(_weights(y_true, sample_weight))

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


def _weights(distributions: tf.Tensor, sample_weight: Any) -> tf.Tensor:
    """Return the weight of each token, float32 `(batch, target_length)`, zero at the padding."""
    return token_weights(tf.reduce_sum(distributions, axis=2), sample_weight)


class _CachedPredictions:
    """The log probabilities that a teacher predicts, by pair. See `cache_predictions`."""

    def __init__(
        self,
        teacher: Searchable,
        dataset: tf.data.Dataset,
        advance: Callable[[int], object],
    ) -> None:
        self._vocabulary_size = teacher.target_vocabulary_size
        self._predictions: dict[bytes, np.ndarray[Any, Any]] = {}

        @tf.autograph.experimental.do_not_convert
        def predict(inputs: dict[str, tf.Tensor], labels: tf.Tensor) -> Any:
            logits = tf.cast(teacher.target_logits(inputs["source_ids"], labels), tf.float32)
            log_probs = tf.cast(tf.nn.log_softmax(logits), tf.float16)
            return inputs["source_ids"], labels, log_probs

        for source_ids, labels, log_probs in dataset.map(predict).as_numpy_iterator():
            for key, row, count in zip(
                _keys(source_ids, labels), log_probs, _count(labels), strict=True
            ):
                self._predictions[key] = row[:count].copy()
            advance(len(labels))

    def target_logits(self, source_ids: tf.Tensor, target_ids: tf.Tensor) -> tf.Tensor:
        """Return the log probabilities of the tokens of cached pairs.

        Args:
            source_ids: int32 `(batch, source_length)`.
            target_ids: int32 `(batch, target_length)`.

        Returns:
            float16 `(batch, target_length, vocabulary_size)`, zeros at the padding.
        """
        found = tf.numpy_function(self._find, [source_ids, target_ids], tf.float16)
        return tf.ensure_shape(found, [*target_ids.shape, self._vocabulary_size])

    def _find(
        self, source_ids: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        found = np.zeros((*labels.shape, self._vocabulary_size), np.float16)
        for number, key in enumerate(_keys(source_ids, labels)):
            row = self._predictions[key]
            found[number, : len(row)] = row
        return found


def _keys(source_ids: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> list[bytes]:
    """Return a key for each pair of a batch: its ids without padding. Each side ends in eos."""
    return [
        source[:length].tobytes() + target[:count].tobytes()
        for source, length, target, count in zip(
            source_ids, _count(source_ids), labels, _count(labels), strict=True
        )
    ]


def _count(ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the number of tokens in each row."""
    return np.count_nonzero(ids, axis=1)
