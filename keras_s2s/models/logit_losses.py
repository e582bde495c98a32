"""Check for losses and metrics that would interpret logits as probabilities."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from keras_s2s.errors import InputError


def check_takes_logits(name: str, given: Any, door: str) -> None:
    """Check that no Keras loss or metric expects probabilities, because the model returns logits.

    Keras would interpret the logits as probabilities and train on wrong values without an error.

    Args:
        name: Name of the argument of `compile`, for the error message.
        given: Value of the argument: a name, a loss, a metric, or a nest of these.
        door: What to use instead, for the error message.

    Raises:
        ValueError: If a loss or metric has `from_logits=False`.
    """
    for item in keras.tree.flatten(given):
        if _takes_probabilities(item):
            shown = repr(item) if isinstance(item, str) else getattr(item, "name", None)
            shown = shown or getattr(item, "__name__", repr(item))
            raise InputError(
                f"`{name}` must take logits, which the model returns: {door}. "
                f"Received: {name}={shown}, which takes probabilities"
            )


def _takes_probabilities(item: Any) -> bool:
    """Check whether a loss or metric of Keras has `from_logits=False`."""
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
