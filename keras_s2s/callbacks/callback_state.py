"""Saving and restoring the state of other callbacks, for `Resume`."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_s2s.files import written_beside
from keras_s2s.keras_private import CALLBACK_STATE


def read_callbacks(callbacks: Iterable[keras.callbacks.Callback]) -> list[dict[str, Any]]:
    """Return the state of callbacks.

    Args:
        callbacks: Callbacks of Keras, or with the names of their state in `state_attributes`.

    Returns:
        The "name" and the "state" of each.
    """
    return [_state_of(callback) for callback in callbacks]


def restore_callbacks(
    callbacks: Iterable[keras.callbacks.Callback], states: Iterable[dict[str, Any]]
) -> None:
    """Restore the state of callbacks, matched by class name and order.

    Args:
        callbacks: The callbacks.
        states: The result of `read_callbacks`.
    """
    left: dict[str, list[dict[str, Any]]] = {}
    for state in states:
        left.setdefault(state["name"], []).append(state["state"])
    for callback in callbacks:
        found = left.get(type(callback).__name__)
        if found:
            vars(callback).update(found.pop(0))


@contextlib.contextmanager
def without_batch_hooks(callbacks: Iterable[keras.callbacks.Callback]) -> Iterator[None]:
    """Hide batches that were already trained from Keras's callbacks with a state.

    Otherwise a `ModelCheckpoint` would save a later model under the number of an earlier batch.

    Args:
        callbacks: The callbacks.
    """
    hooks = ("on_train_batch_begin", "on_train_batch_end")
    known = [callback for callback in callbacks if isinstance(callback, tuple(CALLBACK_STATE))]
    for callback in known:
        vars(callback).update(dict.fromkeys(hooks, _ignore))
    try:
        yield
    finally:
        for callback in known:
            for hook in hooks:
                vars(callback).pop(hook, None)


@contextlib.contextmanager
def continued_logs(
    callbacks: Iterable[keras.callbacks.Callback], epoch: int | None
) -> Iterator[None]:
    """Make each `CSVLogger` append to its file instead of overwriting it, and close the file.

    Rows of epochs that will be trained again are removed.

    Args:
        callbacks: The callbacks.
        epoch: The first epoch that will be trained; None if the training is not resumed.
    """
    loggers = [it for it in callbacks if isinstance(it, keras.callbacks.CSVLogger)]
    before = [logger.append for logger in loggers]
    for logger in loggers:
        if epoch is not None and os.path.exists(logger.filename):
            _truncate_log(logger.filename, logger.sep, epoch)
            logger.append = True
    try:
        yield
    finally:
        for logger, append in zip(loggers, before, strict=True):
            logger.append = append
            if logger.csv_file is not None:  # Keras leaves it open if `fit` was interrupted
                logger.csv_file.close()


def _truncate_log(path: str, separator: str, epoch: int) -> None:
    """Remove the rows of `epoch` and later epochs, and an incomplete row."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter=separator))
    kept = [
        row
        for number, row in enumerate(rows)
        if number == 0 or (len(row) == len(rows[0]) and row[0].isdecimal() and int(row[0]) < epoch)
    ]
    if kept != rows:
        with (
            written_beside(path) as unfinished,
            open(unfinished, "w", encoding="utf-8", newline="") as file,
        ):
            csv.writer(file, delimiter=separator).writerows(kept)


def _ignore(batch: int, logs: dict[str, Any] | None = None) -> None:
    """Do nothing with a batch."""


def _state_of(callback: keras.callbacks.Callback) -> dict[str, Any]:
    names: tuple[str, ...] = tuple(getattr(callback, "state_attributes", ()))
    for kind, own in CALLBACK_STATE.items():
        if isinstance(callback, kind):
            names += own
    state = {name: getattr(callback, name) for name in names if hasattr(callback, name)}
    return {"name": type(callback).__name__, "state": state}
