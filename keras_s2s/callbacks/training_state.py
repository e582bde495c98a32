"""The training state that `Resume` saves: one file, written atomically.

The state includes that of the other callbacks.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_s2s.errors import InputError
from keras_s2s.files import written_beside
from keras_s2s.fit_callback import HasState
from keras_s2s.keras_private import CALLBACK_STATE

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, TypeError, ValueError)


class TrainingState(NamedTuple):
    """State of a training run after a step."""

    epoch: int  # the current epoch, or the next one
    steps: int  # number of steps completed in this epoch
    stopped: bool  # whether a callback has stopped training
    epochs: int  # the number of epochs to train
    history: dict[str, Any]  # "epoch" and "history" of the previous epochs
    callbacks: list[dict[str, Any]]  # "name" and "state" of each callback
    variables: list[np.ndarray]  # of the model, its optimizer and its seeds
    metrics: list[np.ndarray]  # sums of the metrics in this epoch
    threads: dict[str, int]  # the last bits of sums depend on them


def save_state(path: str, state: TrainingState) -> None:
    """Write a state to a temporary file next to `path`, and rename the complete file.

    Args:
        path: Destination path. Its folder must exist.
        state: The state to write.
    """
    parts: dict[str, Any] = {}

    def to_json(value: Any) -> Any:
        """Return a JSON-compatible value, and collect arrays in `parts`."""
        if isinstance(value, np.ndarray) and value.ndim:
            name = f"part_{len(parts)}"
            parts[name] = value
            return {"array": name}
        if isinstance(value, dict):
            return {"items": {name: to_json(part) for name, part in value.items()}}
        if isinstance(value, list | tuple):
            return [to_json(part) for part in value]
        return value.item() if hasattr(value, "item") else value

    plain = state._replace(variables=[], metrics=[])._asdict()
    plain["sizes"] = [len(state.variables), len(state.metrics)]
    text = json.dumps(to_json(plain))
    for kind in ("variables", "metrics"):  # scalars are arrays too
        parts |= {f"{kind}_{number}": it for number, it in enumerate(getattr(state, kind))}
    with written_beside(path) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, state=np.array(text), **parts)
        file.flush()
        os.fsync(file.fileno())


def load_state(path: str) -> TrainingState | None:
    """Read a state.

    Args:
        path: Path of the file.

    Returns:
        The state, or None if the file does not exist.

    Raises:
        ValueError: If the file is damaged.
    """
    if not os.path.exists(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:

            def from_json(value: Any) -> Any:
                if isinstance(value, dict):
                    if "array" in value:
                        return arrays[value["array"]]
                    return {name: from_json(part) for name, part in value["items"].items()}
                return [from_json(part) for part in value] if isinstance(value, list) else value

            plain = from_json(json.loads(str(arrays["state"])))
            for kind, size in zip(("variables", "metrics"), plain.pop("sizes"), strict=True):
                plain[kind] = [arrays[f"{kind}_{number}"] for number in range(size)]
            return TrainingState(**plain)
    except _DAMAGE as error:
        raise InputError(
            f"Cannot resume from {path!r}: it is damaged ({error}). Remove it to start over."
        ) from error


def read_values(variables: Sequence[Any]) -> list[np.ndarray]:
    """Copy the values of Keras variables. Convert bfloat16, which NumPy lacks, to float32.

    Args:
        variables: Keras variables.

    Returns:
        Their values.
    """
    values = [np.array(variable.value.numpy()) for variable in variables]
    return [it.astype(np.float32) if it.dtype.kind == "V" else it for it in values]


def write_values(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    """Assign values that `read_values` returned.

    Args:
        variables: Keras variables.
        values: The values of the variables.

    Raises:
        ValueError: If the number of values or a shape differs.
    """
    found = [tuple(value.shape) for value in values]
    for variable, shape in zip(variables, found, strict=False):
        if tuple(variable.shape) != shape:
            raise InputError(
                f"{variable.path!r} has the shape {tuple(variable.shape)}, not {shape} as in "
                "the file"
            )
    if len(variables) != len(found):
        raise InputError(f"there are {len(variables)} variables, not {len(found)} as in the file")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def read_callbacks(callbacks: Iterable[keras.callbacks.Callback]) -> list[dict[str, Any]]:
    """Return the state of callbacks.

    Args:
        callbacks: Callbacks of Keras, or callbacks that list their state in `state_attributes`.

    Returns:
        A dict of "name" and "state" for each callback.
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
    """Do not call Keras's stateful callbacks for batches that were already trained.

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
    """Make each `CSVLogger` append to its file instead of overwriting the file, and close it.

    Rows of epochs that will be trained again are removed.

    Args:
        callbacks: The callbacks.
        epoch: First epoch to train. `None` if training is not resumed.
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
    names: tuple[str, ...] = (
        tuple(callback.state_attributes) if isinstance(callback, HasState) else ()
    )
    for kind, own in CALLBACK_STATE.items():
        if isinstance(callback, kind):
            names += own
    state = {name: getattr(callback, name) for name in names if hasattr(callback, name)}
    return {"name": type(callback).__name__, "state": state}
