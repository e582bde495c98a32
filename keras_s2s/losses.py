"""`SequenceLoss`, and the negative log likelihood of tokens."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_s2s.checks import check_number, short_repr
from keras_s2s.errors import InputError
from keras_s2s.replicas import sum_over_replicas
from keras_s2s.special_ids import PAD_ID

_WEIGHT_SHAPES = "(batch,), (batch, 1), (batch, target_length) or (batch, target_length, 1)"


@keras.saving.register_keras_serializable(package="keras_s2s")
class SequenceLoss(keras.losses.Loss):
    """Negative log likelihood of the targets, averaged over sequences or over tokens.

    The loss of a sequence is -log P(y | x) = -Σ_t log P(y_t | y_<t, c), a sum over its tokens. With
    `reduction="sequence"` the loss is therefore larger than with "token", by a factor of the mean
    target length, and long targets contribute more. Adam needs the same learning rate for both.

    Padding is ignored. The mask is computed from the labels (id 0), so the loss depends neither
    on the padded length nor on rows of padding.

    Args:
        reduction: "sequence": the sum over the tokens of each sequence, averaged over the
            sequences of the batch. "token": the mean over the real tokens of the batch. Defaults
            to "sequence".
        label_smoothing: Float in [0, 1). Probability mass to spread evenly over the
            vocabulary. Defaults to 0.
        name: Name of the loss. Defaults to "sequence_loss".
        dtype: dtype or policy of the result. Defaults to `keras.config.floatx()`. The loss is
            computed in float64 for "float64", otherwise in float32.

    Call arguments:
        y_true: Integers `(batch, target_length)` or `(batch, target_length, 1)`. The labels,
            padded with 0.
        y_pred: Floats `(batch, target_length, vocabulary_size)`. The logits.
        sample_weight: None, `(batch,)` or `(batch, 1)` for sequences, `(batch, target_length)` or
            `(batch, target_length, 1)` for tokens. The means become weighted means; the weight of
            a sequence is the mean of the weights of its tokens.

    Returns:
        A scalar, in nats. In a replica of `tf.distribute`, the replica's part of the mean over the
        global batch, because `tf.distribute` sums the gradients of the replicas.

    Raises:
        ValueError: If an argument is out of range, or the shapes of labels, logits and weights do
            not match.

    Example:
        >>> loss = SequenceLoss(reduction="token")
        >>> float(loss(np.array([[4, 3, 0]]), np.zeros((1, 3, 5)))) == float(np.log(np.float32(5)))
        True

    References:
        - [Rethinking the Inception architecture (Szegedy et al., 2016), section 7](
          https://arxiv.org/abs/1512.00567), for label smoothing
    """

    def __init__(
        self,
        reduction: str = "sequence",
        label_smoothing: float = 0.0,
        name: str = "sequence_loss",
        dtype: Any = None,
    ) -> None:
        if reduction not in ("sequence", "token"):
            raise InputError(
                "`reduction` must be 'sequence', the mean over the sequences of a batch, or "
                "'token', the mean over its tokens. With another reduction, the size of a training "
                "step would depend on the batch size or on the padding. Received: "
                f"reduction={short_repr(reduction)}"
            )
        super().__init__(name=name, reduction="sum", dtype=dtype)
        self.reduction = reduction
        self.label_smoothing = check_number(
            "label_smoothing", label_smoothing, minimum=0.0, below=1.0
        )

    def __call__(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        y_true, y_pred = as_labels(y_true), tf.convert_to_tensor(y_pred)
        check_logits(y_true, y_pred)
        shares = self.token_shares(y_true, sample_weight)
        loss = tf.reduce_sum(shares * self.call(y_true, y_pred))
        return tf.cast(loss, self.dtype)

    def token_shares(self, y_true: tf.Tensor, sample_weight: tf.Tensor | None = None) -> tf.Tensor:
        """Return the weight of each token's negative log likelihood in the loss.

        Args:
            y_true: Integers `(batch, target_length)`. The labels, padded with 0.
            sample_weight: Weights, as in a call.

        Returns:
            `(batch, target_length)`, zero at the padding. Under `tf.distribute`, the weights are
            those in the global batch, whose loss is the sum over the replicas.
        """
        weights = token_weights(y_true, sample_weight, computation_dtype(self.dtype))
        divisor = sum_over_replicas(self._divisor(y_true, weights))
        return tf.math.divide_no_nan(weights, divisor)

    def divisor(self, y_true: tf.Tensor, sample_weight: tf.Tensor | None = None) -> tf.Tensor:
        """Return the weight of a batch in the mean over several batches.

        The weight is the divisor of the loss: the number of sequences or tokens in the batch, or
        the sum of their weights. The mean loss of several batches with these weights equals the
        loss of one batch with all their rows.

        Args:
            y_true: Integers `(batch, target_length)` or `(batch, target_length, 1)`.
            sample_weight: Weights, as in a call.

        Returns:
            A scalar. In a replica of `tf.distribute`, the weight of the replica's part of the
            batch.
        """
        y_true = as_labels(y_true)
        return self._divisor(
            y_true, token_weights(y_true, sample_weight, computation_dtype(self.dtype))
        )

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return token_nll(y_true, y_pred, self.label_smoothing, computation_dtype(self.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}

    def __repr__(self) -> str:
        return f"SequenceLoss({self.reduction!r}, label_smoothing={self.label_smoothing})"

    def _divisor(self, y_true: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Return the number of tokens, or of sequences with at least one token, weighted."""
        if self.reduction == "token":
            return tf.reduce_sum(weights)
        tokens = tf.reduce_sum(real_tokens(y_true, weights.dtype), axis=1)
        return tf.reduce_sum(tf.math.divide_no_nan(tf.reduce_sum(weights, axis=1), tokens))


def computation_dtype(dtype: Any) -> str:
    """Return the dtype in which to compute a result of `dtype`: "float32" or "float64"."""
    return "float64" if dtype == "float64" else "float32"


def as_labels(y_true: Any) -> tf.Tensor:
    """Return labels as a tensor `(batch, target_length)`.

    Args:
        y_true: Numbers `(batch, target_length)` or `(batch, target_length, 1)`.

    Returns:
        The labels, in their own dtype.

    Raises:
        ValueError: If the labels have another shape or are not numbers.
    """
    labels = tf.convert_to_tensor(y_true)
    if not (labels.dtype.is_integer or labels.dtype.is_floating):
        raise InputError(f"`y_true` must be integer ids. Received: y_true of {labels.dtype.name}")
    if labels.shape.rank is None:  # `fit` was called with labels of both shapes
        return tf.reshape(labels, tf.shape(labels)[:2])
    if labels.shape.rank == 3 and labels.shape[2] == 1:
        labels = tf.squeeze(labels, 2)
    if labels.shape.rank != 2:
        raise InputError(
            "`y_true` must have the shape (batch, target_length) or (batch, target_length, 1). "
            f"Received: y_true of shape {tuple(labels.shape)}"
        )
    return labels


def check_logits(labels: tf.Tensor, logits: tf.Tensor) -> None:
    """Check that the static shapes of labels and logits match.

    Args:
        labels: `(batch, target_length)`.
        logits: `(batch, target_length, vocabulary_size)`.

    Raises:
        ValueError: If the shapes differ.
    """
    fits = logits.shape.rank in (None, 3)
    if not fits or not labels.shape.is_compatible_with(logits.shape[:2]):
        raise InputError(
            "`y_pred` must have the shape of `y_true` and the vocabulary as its last dimension. "
            f"Received: y_true of shape {tuple(labels.shape)}, y_pred of shape "
            f"{tuple(logits.shape)}"
        )


def real_tokens(target_labels: tf.Tensor, dtype: Any = "float32") -> tf.Tensor:
    """Return 1.0 at the real tokens of labels `(batch, target_length)`, 0.0 at the padding."""
    return tf.cast(tf.not_equal(target_labels, PAD_ID), dtype)


def token_nll(
    target_labels: tf.Tensor,
    logits: tf.Tensor,
    label_smoothing: float = 0.0,
    dtype: Any = "float32",
) -> tf.Tensor:
    """Compute -log P of each label, optionally with label smoothing.

    Label smoothing spreads `label_smoothing` of the probability mass evenly over all ids (Szegedy
    et al., 2016). The function creates no one-hot labels.

    Args:
        target_labels: Integers `(batch, target_length)`.
        logits: Floats `(batch, target_length, vocabulary_size)`.
        label_smoothing: Probability mass to spread, in [0, 1). Defaults to 0.
        dtype: "float32" or "float64", the dtype of the computation.

    Returns:
        `(batch, target_length)`. Values at the padding are meaningless.
    """
    logits = tf.cast(logits, dtype)
    nll = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.cast(target_labels, tf.int32), logits=logits
    )
    if not label_smoothing:
        return nll
    uniform = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
    return (1.0 - label_smoothing) * nll + label_smoothing * uniform


def token_weights(
    target_labels: tf.Tensor, sample_weight: tf.Tensor | None, dtype: Any = "float32"
) -> tf.Tensor:
    """Return the weight of each token, zero at the padding.

    Args:
        target_labels: Integers `(batch, target_length)`.
        sample_weight: None; `(batch,)` or `(batch, 1)` for whole sequences;
            `(batch, target_length)` or `(batch, target_length, 1)` for tokens.
        dtype: "float32" or "float64".

    Returns:
        `(batch, target_length)`.

    Raises:
        ValueError: If `sample_weight` has another shape.
    """
    real = real_tokens(target_labels, dtype)
    if sample_weight is None:
        return real
    weights = tf.cast(sample_weight, dtype)
    given = weights.shape
    if given.rank is None:  # `fit` was called with weights of several shapes
        weights = tf.reshape(weights, [tf.shape(weights)[0], -1])
    if given.rank == 1:
        weights = tf.expand_dims(weights, 1)
    if given.rank == 3 and given[2] == 1:
        weights = tf.squeeze(weights, 2)
    allowed = (real.shape[:1].concatenate(1), real.shape)
    if weights.shape.rank != 2 or not any(map(weights.shape.is_compatible_with, allowed)):
        raise InputError(
            f"`sample_weight` must have the shape {_WEIGHT_SHAPES}. Received: sample_weight of "
            f"shape {tuple(given)} for labels of shape {tuple(real.shape)}"
        )
    return real * weights
