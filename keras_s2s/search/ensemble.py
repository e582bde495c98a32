"""Step function of an ensemble of decoders with the same target vocabulary."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_s2s import checks
from keras_s2s.errors import InputError
from keras_s2s.search.step import State, StepFunction, call_step, keep_nan, log_softmax
from keras_s2s.special_ids import IMPOSSIBLE, POSSIBLE

AVERAGES = ("probabilities", "log_probabilities")


def ensemble_step(
    steps: Sequence[StepFunction], vocabulary_size: int, *, average: str = "probabilities"
) -> StepFunction:
    """Combine several step functions into one.

    Args:
        steps: List of step functions, as for a search.
        vocabulary_size: Number of ids, the same for all decoders.
        average: "probabilities" for the arithmetic mean of the decoders' probabilities,
            "log_probabilities" for their geometric mean, normalized to sum to one. Defaults to
            "probabilities".

    Returns:
        A step function whose state is a tuple of the decoders' states. Its attention is the mean
        over the decoders that return one.

    Raises:
        TypeError: If `steps` is not a list.
        ValueError: If there is no step function, or `average` is unknown.

    Example:
        >>> import tensorflow as tf
        >>> def constant_step(probabilities):
        ...     return lambda token_ids, state: (tf.math.log([probabilities]), state)
        >>> step = ensemble_step(
        ...     [constant_step([0.1, 0.1, 0.2, 0.6]), constant_step([0.1, 0.1, 0.6, 0.2])], 4)
        >>> logits, _ = step(tf.constant([2]), ((), ()))
        >>> tf.exp(logits).numpy().round(4)
        array([[0.1, 0.1, 0.4, 0.4]], dtype=float32)

    References:
        - [Sequence to sequence learning with neural networks (Sutskever et al., 2014)](
          https://arxiv.org/abs/1409.3215)
    """
    if callable(steps) or not isinstance(steps, Sequence):
        raise TypeError(
            f"`steps` must be a list of step functions. Received: steps={checks.short_repr(steps)}"
        )
    if not steps:
        raise InputError("`steps` must contain at least one step function. Received: none")
    checks.check_choice("average", average, AVERAGES)

    selects = all(hasattr(step, "for_rows") for step in steps)
    kind = _SelectingStep if selects else _EnsembleStep
    return kind(tuple(steps), vocabulary_size, average)


@dataclasses.dataclass(frozen=True)
class _EnsembleStep:
    """Step function that averages the logits of several step functions."""

    steps: tuple[Any, ...]  # StepFunction
    vocabulary_size: int
    average: str

    def __call__(self, token_ids: tf.Tensor, state: State) -> tuple[tf.Tensor, ...]:
        """Run one step of every decoder."""
        outputs = [
            call_step(one, token_ids, own_state, self.vocabulary_size)
            for one, own_state in zip(self.steps, state, strict=True)
        ]
        logits = average_logits([output.logits for output in outputs], self.average)
        new_state = tuple(output.state for output in outputs)
        attention = [output.attention for output in outputs if output.attention is not None]
        if not attention:
            return logits, new_state
        return logits, new_state, tf.add_n(attention) / len(attention)


class _SelectingStep(_EnsembleStep):
    """Step function of decoders that all select rows of the batch."""

    @property
    def row_bytes(self) -> float | tf.Tensor:
        """Number of bytes that `for_rows` copies for each row."""
        return sum(getattr(step, "row_bytes", 0.0) for step in self.steps)

    def for_rows(self, rows: tf.Tensor) -> _EnsembleStep:
        """Return the step for hypotheses of some rows of the batch, int32 `(some,)`."""
        return dataclasses.replace(self, steps=tuple(step.for_rows(rows) for step in self.steps))


def average_logits(logits: Sequence[tf.Tensor], average: str) -> tf.Tensor:
    """Compute the logits of the mean of several decoders.

    Args:
        logits: One tensor `(..., vocabulary)` for each decoder.
        average: "probabilities" or "log_probabilities", as in `ensemble_step`.

    Returns:
        float32 `(..., vocabulary)`, logits, which a softmax normalizes. For
        "log_probabilities", an id that one decoder makes impossible stays impossible. NaN if no
        id is possible.
    """
    log_probs = tf.stack([log_softmax(tf.cast(one, tf.float32)) for one in logits])
    if average == "log_probabilities":
        mean = tf.reduce_mean(log_probs, axis=0)
        possible = tf.reduce_min(log_probs, axis=0) > POSSIBLE
        any_possible = tf.reduce_any(possible, axis=-1, keepdims=True)
        impossible = tf.where(any_possible, IMPOSSIBLE, float("nan"))
        # Keep NaN, because it marks a decoder that has diverged.
        return tf.where(possible | tf.math.is_nan(mean), mean, impossible)
    mean = tf.reduce_logsumexp(log_probs, axis=0) - tf.math.log(float(len(logits)))
    # The log probabilities of a decoder that has diverged are all NaN.
    return keep_nan(mean, tf.reduce_sum(log_probs[..., :1], axis=0))
