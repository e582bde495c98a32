"""Checks of the losses and metrics that are passed to `compile`."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from keras_s2s.errors import InputError
from keras_s2s.metrics import TokenAccuracy
from keras_s2s.special_ids import PAD_ID

# Keras's names of the metric that `TokenAccuracy` replaces.
_ACCURACY = {"acc", "accuracy", "sparse_categorical_accuracy"}
# Keras's losses and metrics that take ids, or that call a function of the user. All others whose
# name does not begin with "sparse" need dense targets.
_TAKE_IDS = {
    "CTC",
    "IoU",
    "LossFunctionWrapper",
    "Mean",
    "MeanIoU",
    "MeanMetricWrapper",
    "Sum",
    "ctc",
}
# Those of them that average all positions.
_COUNT_PADDING = {"IoU", "Mean", "MeanIoU", "Sum"}
# Names that Keras resolves by the shape of the labels.
_BY_SHAPE = {"acc", "accuracy", "ce", "crossentropy"}


def check_loss(loss: Any) -> None:
    """Check that a loss takes logits and target ids, and ignores padding.

    Args:
        loss: Value of the argument of `compile`.

    Raises:
        ValueError: If a Keras loss does not.
    """
    own = "`keras.losses.SparseCategoricalCrossentropy` with from_logits=True and ignore_class=0"
    check_takes_ids("loss", loss, f"use `SequenceLoss()`, or {own}")
    check_takes_logits("loss", loss, "use `SequenceLoss()`, or from_logits=True")
    check_ignores_padding("loss", loss, "use `SequenceLoss()`, or ignore_class=0")


def check_metrics(name: str, metrics: Any) -> Any:
    """Check that metrics take logits and target ids, and ignore padding.

    Args:
        name: Name of the argument of `compile`.
        metrics: Value of the argument.

    Returns:
        The metrics, with a `TokenAccuracy` in place of the name of Keras's accuracy, which would
        count padding.

    Raises:
        ValueError: If another Keras metric does not.
    """

    def replace(metric: Any) -> Any:
        is_accuracy = isinstance(metric, str) and metric.lower() in _ACCURACY
        return TokenAccuracy(name=metric) if is_accuracy else metric

    metrics = keras.tree.map_structure(replace, metrics)
    check_takes_ids(name, metrics, "use `TokenAccuracy()` or `Perplexity()`")
    check_takes_logits(name, metrics, "use `Perplexity()`, or from_logits=True")
    check_ignores_padding(name, metrics, "use `TokenAccuracy()` or `Perplexity()`")
    return metrics


def check_ignores_padding(name: str, given: Any, alternative: str) -> None:
    """Check that no Keras loss or metric of target ids counts padding.

    Keras does not know which ids are padding, and would include them in its means.

    Args:
        name: Name of the argument of `compile`, for the error message.
        given: Value of the argument: a name, a loss, a metric, or a nest of these.
        alternative: Advice what to use instead, for the error message.

    Raises:
        ValueError: If a loss or metric counts padding.
    """
    for item in keras.tree.flatten(given):
        if _counts_padding(item):
            raise InputError(
                f"`{name}` must ignore padding: {alternative}. Received: {name}={_describe(item)}, "
                "which counts padding as tokens"
            )


def check_takes_logits(name: str, given: Any, alternative: str) -> None:
    """Check that no Keras loss or metric expects probabilities, because the model returns logits.

    Keras would interpret the logits as probabilities and train on wrong values without an error.

    Args:
        name: Name of the argument of `compile`, for the error message.
        given: Value of the argument: a name, a loss, a metric, or a nest of these.
        alternative: Advice what to use instead, for the error message.

    Raises:
        ValueError: If a loss or metric has `from_logits=False`.
    """
    for item in keras.tree.flatten(given):
        if _takes_probabilities(item):
            raise InputError(
                f"`{name}` must take logits, which the model returns: {alternative}. "
                f"Received: {name}={_describe(item)}, which takes probabilities"
            )


def check_takes_ids(name: str, given: Any, alternative: str) -> None:
    """Check that no Keras loss or metric expects dense targets, because the labels are ids.

    Keras would fail on the shapes, or broadcast the ids and train on them as if they were numbers.

    Args:
        name: Name of the argument of `compile`, for the error message.
        given: Value of the argument: a name, a loss, a metric, or a nest of these.
        alternative: Advice what to use instead, for the error message.

    Raises:
        ValueError: If a loss or metric compares the logits with targets of the same shape.
    """
    for item in keras.tree.flatten(given):
        if _takes_dense_targets(item):
            raise InputError(
                f"`{name}` must compare logits (batch, length, vocabulary) with target ids (batch, "
                f"length): {alternative}. Received: {name}={_describe(item)}, which needs targets "
                "of the shape of the logits"
            )


def _describe(item: Any) -> str:
    """Return the name of a loss or metric for an error message."""
    shown = repr(item) if isinstance(item, str) else getattr(item, "name", None)
    return str(shown or getattr(item, "__name__", repr(item)))


def _takes_dense_targets(item: Any) -> bool:
    """Return whether a Keras loss or metric needs targets of the same shape as the outputs."""
    name = _name_in_keras(item)
    return name is not None and not name.lower().startswith("sparse") and name not in _TAKE_IDS


def _counts_padding(item: Any) -> bool:
    """Return whether a Keras loss or metric includes the padding in its mean."""
    name = _name_in_keras(item)
    if name is None or not (name.lower().startswith("sparse") or name in _COUNT_PADDING):
        return False
    # Keras's mean of a crossentropy metric counts the positions that it ignores.
    ignores = isinstance(item, keras.losses.Loss | keras.metrics.IoU)
    return not (ignores and getattr(item, "ignore_class", None) == PAD_ID)


def _name_in_keras(item: Any) -> str | None:
    """Return the name of a Keras loss or metric. `None` for a custom one."""
    if isinstance(item, str):
        if item in _BY_SHAPE:
            return None
        for get in (keras.losses.get, keras.metrics.get):
            try:
                item = get(item)
                break
            except ValueError:  # not a name of this kind
                continue
        else:
            return None  # Keras reports the unknown name
    named = item if hasattr(item, "__name__") else type(item)
    of_keras = str(getattr(named, "__module__", "")).startswith("keras.")
    return str(named.__name__) if of_keras else None


def _takes_probabilities(item: Any) -> bool:
    """Return whether a Keras loss or metric has `from_logits=False`."""
    if isinstance(item, str):
        if item in ("crossentropy", "ce"):  # Keras converts it to the sparse metric
            return True
        try:
            item = keras.losses.get(item)
        except ValueError:  # not the name of a loss
            return False
    if isinstance(item, keras.losses.Loss | keras.metrics.Metric):
        return item.get_config().get("from_logits") is False
    if not callable(item):
        return False
    try:
        parameter = inspect.signature(item).parameters.get("from_logits")
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.default is False
