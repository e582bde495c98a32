"""What callbacks know of the epochs before, to be kept with the state of a training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

# What the callbacks of Keras know of the epochs before.
_STATE_ATTRIBUTES: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.ModelCheckpoint: (
        "best",
        "epochs_since_last_save",
        "_batches_seen_since_last_saving",
        "_last_batch_seen",
    ),
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
}


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
    for kind, own in _STATE_ATTRIBUTES.items():
        if isinstance(callback, kind):
            names += own
    state = {name: getattr(callback, name) for name in names if hasattr(callback, name)}
    return {"name": type(callback).__name__, "state": state}
