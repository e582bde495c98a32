"""Callbacks of `fit`, and its data with a known number of steps."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_s2s.checks import short_repr
from keras_s2s.epochs import EpochClock
from keras_s2s.errors import check_package
from keras_s2s.fit_callback import FitCallback


def sort_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    """Sort callbacks so that callbacks that save the state of others run last.

    Args:
        callbacks: Callback, nest of callbacks, or `None`.

    Returns:
        The callbacks.

    Raises:
        TypeError: If an object is not a callback.
        ImportError: If there is a `TensorBoard` callback and the tensorboard package is missing.
            Keras would only raise after tracing.
    """
    listed = keras.tree.flatten(callbacks) if callbacks is not None else []
    for callback in listed:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(
                "`callbacks` must be a list of `keras.callbacks.Callback`. "
                f"Received: {short_repr(callback)}"
            )
    boards = [it for it in listed if isinstance(it, keras.callbacks.TensorBoard)]
    if boards:
        check_package("tensorboard")
    return sorted(listed, key=lambda it: isinstance(it, FitCallback) and it.runs_last)


@contextlib.contextmanager
def fit_hooks(model: keras.Model, arguments: dict[str, Any]) -> Iterator[None]:
    """Call `begin_fit` and `end_fit` of each `FitCallback`, the latter even if `fit` fails.

    An `EpochClock` runs before all other callbacks.

    Args:
        model: Model that `fit` trains.
        arguments: Arguments of `fit`, with sorted "callbacks".
    """
    given = arguments["callbacks"]
    callbacks = given.callbacks if isinstance(given, keras.callbacks.CallbackList) else given
    clock = EpochClock(arguments["initial_epoch"])
    callbacks.insert(0, clock)
    try:
        with contextlib.ExitStack() as stack:
            for callback in list(callbacks):
                if isinstance(callback, FitCallback):
                    stack.callback(callback.end_fit)
                    callback.begin_fit(model, arguments, callbacks)
            yield
    finally:
        callbacks.remove(clock)


@contextlib.contextmanager
def silence_end_of_data(data: Any, steps_per_epoch: int | None) -> Iterator[None]:
    """Silence Keras's warning that a dataset of unknown length ran out of data.

    Args:
        data: Data that `fit` or `evaluate` received.
        steps_per_epoch: Number of batches per epoch. `None` means all.
    """
    unknown = isinstance(data, tf.data.Dataset) and steps_per_epoch is None
    with warnings.catch_warnings():
        if unknown and data.cardinality() == tf.data.UNKNOWN_CARDINALITY:
            warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        yield
