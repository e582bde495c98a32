"""Calibration, on validation pairs, of the probability that a whole output is correct."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from keras_s2s.checks import check_positive_int, count_of
from keras_s2s.errors import InputError

_TEMPERATURES = np.logspace(-2, 2, 2001)  # neighbors differ by 0.5 %
_CERTAIN = 1e-6  # floor for 1 - confidence of a wrong output, so that its loss stays finite


class Calibration(NamedTuple):
    """Result of a calibration.

    Attributes:
        temperature: The confidence of an output is exp(log_prob / temperature).
        error: Expected calibration error of these confidences on the validation pairs.
        error_before: Expected calibration error with temperature 1.
        confidences: Confidence of the best output of each source, float64 `(sources,)`.
        right: Whether each output equals one of its references, bool `(sources,)`.
    """

    temperature: float
    error: float
    error_before: float
    confidences: np.ndarray[Any, Any]
    right: np.ndarray[Any, Any]


def calibrate(log_probs: Any, right: Any) -> Calibration:
    """Fit the temperature that maximizes the likelihood of the labels `right`.

    Temperatures from 0.01 to 100 are compared. If the best one is at either end of this range, too
    few outputs are correct or too few are wrong to fit a temperature, and the function warns.

    Args:
        log_probs: `(sources,)`. Log probability of each output.
        right: `(sources,)`. Whether each output is correct.

    Returns:
        The `Calibration`.

    Raises:
        ValueError: If there are no outputs, the shapes differ, or a log probability is above 0.
    """
    values, truths = np.asarray(log_probs, np.float64), np.asarray(right, bool)
    if values.ndim != 1 or values.shape != truths.shape or not values.size:
        raise InputError(
            "`log_probs` and `right` must have the same shape (sources,), with at least one "
            f"source. Received: shapes {values.shape} and {truths.shape}"
        )
    if not np.all(values <= 1e-3):
        raise InputError(f"`log_probs` must not exceed 0. Received: {values.max()}")
    values = np.minimum(values, 0.0)
    likelihoods = [_likelihood(values / temperature, truths) for temperature in _TEMPERATURES]
    best = int(np.argmax(likelihoods))
    temperature = float(_TEMPERATURES[best])
    if best in (0, len(_TEMPERATURES) - 1):
        warnings.warn(
            f"The confidences are not calibrated (correct: {int(truths.sum())} of "
            f"{count_of(len(truths), 'output')}): the best temperature is at the limit, "
            f"{temperature:g}. Use more validation pairs, some of them with correct and some with "
            "wrong outputs.",
            stacklevel=3,  # the caller of `Translator.calibrate`
        )
    confidences = np.exp(values / temperature)
    return Calibration(
        temperature,
        calibration_error(confidences, truths),
        calibration_error(np.exp(values), truths),
        confidences,
        truths,
    )


def _likelihood(log_confidences: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> float:
    """Return the log likelihood of `right` under confidences."""
    wrong = np.log(np.maximum(-np.expm1(log_confidences), _CERTAIN))
    return float(np.where(right, log_confidences, wrong).sum())


def calibration_error(confidences: Any, right: Any, *, bins: int = 10) -> float:
    """Compute the expected calibration error.

    Outputs are binned by confidence, in bins of equal width. The error is the mean absolute
    difference between a bin's mean confidence and its share of correct outputs, weighted by the
    number of outputs in the bin.

    Args:
        confidences: `(sources,)`. Confidence of each output, 0 to 1.
        right: `(sources,)`. Whether each output is correct.
        bins: Number of bins. Defaults to 10.

    Returns:
        The error, 0 to 1.

    References:
        - [On calibration of modern neural networks (Guo et al., 2017)](
          https://arxiv.org/abs/1706.04599)
    """
    return sum(
        count * abs(confidence - share)
        for count, confidence, share in reliability_bins(confidences, right, bins=bins)
    ) / max(1, len(np.asarray(confidences)))


def reliability_bins(
    confidences: Any, right: Any, *, bins: int = 10
) -> list[tuple[int, float, float]]:
    """Bin outputs by confidence, in bins of equal width.

    Args:
        confidences: `(sources,)`. Confidence of each output, 0 to 1.
        right: `(sources,)`. Whether each output is correct.
        bins: Number of bins. Defaults to 10.

    Returns:
        A tuple for each bin that is not empty: number of outputs, mean confidence, and share of
        correct outputs.

    Raises:
        ValueError: If a confidence is out of range, or the shapes differ.
    """
    check_positive_int("bins", bins)
    values, truths = np.asarray(confidences, np.float64), np.asarray(right, bool)
    if values.ndim != 1 or values.shape != truths.shape:
        raise InputError(
            "`confidences` and `right` must have the same shape (sources,). "
            f"Received: shapes {values.shape} and {truths.shape}"
        )
    if not np.all((values >= 0) & (values <= 1)):
        raise InputError("`confidences` must be numbers between 0 and 1.")
    numbers = np.minimum((values * bins).astype(int), bins - 1)
    return [
        (int(chosen.sum()), float(values[chosen].mean()), float(truths[chosen].mean()))
        for number in range(bins)
        if (chosen := numbers == number).any()
    ]
