"""What callbacks know of the epochs before, to be kept with the state of a training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from keras_s2s.keras_private import CALLBACK_STATE


def read_callbacks(callbacks: Iterable[keras.callbacks.Callback]) -> list[dict[str, Any]]:
    """Give what callbacks know.

    Args:
        callbacks: of Keras, or with a tuple `state_attributes` of the names that are to be kept.

    Returns:
        The "name" and the "state" of each.
    """
    return [_state_of(callback) for callback in callbacks]


def restore_callbacks(
    callbacks: Iterable[keras.callbacks.Callback], states: Iterable[dict[str, Any]]
) -> None:
    """Give each callback the state of its name's next one; others begin anew.

    Args:
        callbacks: the callbacks.
        states: what `read_callbacks` gave.
    """
    left: dict[str, list[dict[str, Any]]] = {}
    for state in states:
        left.setdefault(state["name"], []).append(state["state"])
    for callback in callbacks:
        found = left.get(type(callback).__name__)
        if found:
            vars(callback).update(found.pop(0))


def _state_of(callback: keras.callbacks.Callback) -> dict[str, Any]:
    names: tuple[str, ...] = tuple(getattr(callback, "state_attributes", ()))
    for kind, own in CALLBACK_STATE.items():
        if isinstance(callback, kind):
            names += own
    state = {name: getattr(callback, name) for name in names if hasattr(callback, name)}
    return {"name": type(callback).__name__, "state": state}
