"""Losses and metrics that would take the logits of a model for probabilities."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from keras_s2s.errors import InputError


def check_takes_logits(name: str, given: Any, door: str) -> None:
    """Refuse a Keras loss or metric that takes probabilities, where the model returns logits.

    Keras computes with them as if they were probabilities, and trains on nonsense without a word.

    Args:
        name: Argument of `compile`, for the message.
        given: What was given: a name, a loss, a metric, or a nest of these.
        door: What to give instead.

    Raises:
        ValueError: if one of them has `from_logits=False`.
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
    """Whether Keras's own loss or metric was left at `from_logits=False`."""
    if isinstance(item, str):
        if item in ("crossentropy", "ce"):  # Keras makes the sparse metric of it
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
