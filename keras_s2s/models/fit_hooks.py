"""Callbacks and warnings of a `fit`: their order, their hooks, and a warning that is silenced."""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_s2s.epochs import EpochClock
from keras_s2s.errors import MissingPackageError


def arrange_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    """Sort callbacks so that those that save the state of others run last.

    Args:
        callbacks: Callback, nest of callbacks, or `None`.

    Returns:
        The callbacks.

    Raises:
        ImportError: If a `TensorBoard` callback lacks its package. Keras checks after tracing.
    """
    listed = keras.tree.flatten(callbacks) if callbacks is not None else []
    boards = [it for it in listed if isinstance(it, keras.callbacks.TensorBoard)]
    if boards and importlib.util.find_spec("tensorboard") is None:
        raise MissingPackageError(
            "`keras.callbacks.TensorBoard` needs tensorboard, which is not installed: "
            "pip install 'keras-s2s[plots]'"
        )
    return sorted(listed, key=lambda callback: getattr(callback, "runs_last", False))


@contextlib.contextmanager
def fit_hooks(model: keras.Model, arguments: dict[str, Any]) -> Iterator[None]:
    """Call the hooks of callbacks before and after a `fit`, also if it fails.

    Callbacks may define `begin_fit(model, arguments, callbacks)`, which is called before Keras
    reads the arguments, and `end_fit()`. An `EpochClock` runs before all of them.

    Args:
        model: Model that `fit` trains.
        arguments: Arguments of `fit`, with "callbacks" arranged.
    """
    given = arguments["callbacks"]
    callbacks = given.callbacks if isinstance(given, keras.callbacks.CallbackList) else given
    clock = EpochClock(arguments["initial_epoch"])
    callbacks.insert(0, clock)
    try:
        with contextlib.ExitStack() as stack:
            for callback in list(callbacks):
                if hasattr(callback, "end_fit"):
                    stack.callback(callback.end_fit)
                if hasattr(callback, "begin_fit"):
                    callback.begin_fit(model, arguments, callbacks)
            yield
    finally:
        callbacks.remove(clock)


@contextlib.contextmanager
def quiet_end(data: Any, steps_per_epoch: int | None) -> Iterator[None]:
    """Silence the warning that an epoch of a dataset of unknown length has ended.

    Args:
        data: Data that `fit` or `evaluate` received.
        steps_per_epoch: Number of batches of an epoch. `None` means all.
    """
    unknown = isinstance(data, tf.data.Dataset) and steps_per_epoch is None
    with warnings.catch_warnings():
        if unknown and data.cardinality() == tf.data.UNKNOWN_CARDINALITY:
            warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        yield
