"""Knowledge distillation: train a model on the predictions of another, usually an ensemble.

References:
    - [Distilling the knowledge in a neural network (Hinton et al., 2015)](
      https://arxiv.org/abs/1503.02531)
    - [Sequence-level knowledge distillation (Kim and Rush, 2016)](
      https://arxiv.org/abs/1606.07947), "word-level" distillation
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.checks import check_number
from keras_s2s.losses import SequenceLoss, real_tokens, token_weights
from keras_s2s.models import Searchable
from keras_s2s.replicas import sum_over_replicas

TEACHER_WEIGHT = 0.8


def teach(dataset: tf.data.Dataset, teacher: Searchable, weight: float = TEACHER_WEIGHT) -> Any:
    """Replace the labels of a dataset by a mixture of the labels and the teacher's predictions.

    Args:
        dataset: Batches of `make_dataset`.
        teacher: Model that predicts each token, given the previous labels.
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
