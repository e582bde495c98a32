"""The state of a training in one file, which is there wholly or not at all."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_s2s.errors import InputError
from keras_s2s.files import written_beside

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, ValueError)


class TrainingState(NamedTuple):
    """Where a training stands."""

    epoch: int  # the epoch that is being trained, or comes next
    steps: int  # how many steps of it were taken
    stopped: bool  # whether a callback has ended the training
    history: dict[str, Any]  # "epoch" and "history" of the epochs before
    callbacks: list[dict[str, Any]]  # "name" and "state" of each
    variables: list[np.ndarray]  # of the model, its optimizer and its seeds
    metrics: list[np.ndarray]  # the sums of the metrics in this epoch
    threads: dict[str, int] = {}  # cores and threads, on which the last bits depend  # noqa: RUF012


def read_values(variables: Sequence[Any]) -> list[np.ndarray]:
    """Copy the values of Keras variables; 16-bit floats, which NumPy has no name for, as float32.

    Args:
        variables: Keras variables.

    Returns:
        Their values.
    """
    values = [np.array(variable.value.numpy()) for variable in variables]
    return [it.astype(np.float32) if it.dtype.kind == "V" else it for it in values]


def write_values(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    """Assign what `read_values` gave.

    Args:
        variables: Keras variables.
        values: Their values.

    Raises:
        ValueError: If there are more or fewer, or shapes differ.
    """
    found = [tuple(value.shape) for value in values]
    for variable, shape in zip(variables, found, strict=False):
        if tuple(variable.shape) != shape:
            raise InputError(
                f"{variable.path!r} has the shape {tuple(variable.shape)}, not {shape} as there"
            )
    if len(variables) != len(found):
        raise InputError(f"there are {len(variables)} variables, not {len(found)} as there")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def save_state(path: str, state: TrainingState) -> None:
    """Write a state beside `path`, and put it in its place when all of it is on the disk.

    Args:
        path: The file; its folder must exist.
        state: What to write.
    """
    parts: dict[str, Any] = {}

    def packed(value: Any) -> Any:
        """Return what JSON can hold, and collect arrays in `parts`."""
        if isinstance(value, np.ndarray) and value.ndim:
            name = f"part_{len(parts)}"
            parts[name] = value
            return {"array": name}
        if isinstance(value, dict):
            return {"items": {name: packed(part) for name, part in value.items()}}
        if isinstance(value, list | tuple):
            return [packed(part) for part in value]
        return value.item() if hasattr(value, "item") else value

    plain = state._replace(variables=[], metrics=[])._asdict()
    plain["sizes"] = [len(state.variables), len(state.metrics)]
    text = json.dumps(packed(plain))
    for kind in ("variables", "metrics"):  # scalars too are arrays
        parts |= {f"{kind}_{number}": it for number, it in enumerate(getattr(state, kind))}
    with written_beside(path) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, state=np.array(text), **parts)
        file.flush()
        os.fsync(file.fileno())


def load_state(path: str) -> TrainingState | None:
    """Read a state.

    Args:
        path: The file.

    Returns:
        The state, or None where there is no such file.

    Raises:
        ValueError: If the file is damaged.
    """
    if not os.path.exists(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:

            def unpacked(value: Any) -> Any:
                if isinstance(value, dict):
                    if "array" in value:
                        return arrays[value["array"]]
                    return {name: unpacked(part) for name, part in value["items"].items()}
                return [unpacked(part) for part in value] if isinstance(value, list) else value

            plain = unpacked(json.loads(str(arrays["state"])))
            for kind, size in zip(("variables", "metrics"), plain.pop("sizes"), strict=True):
                plain[kind] = [arrays[f"{kind}_{number}"] for number in range(size)]
            return TrainingState(**plain)
    except _DAMAGE as error:
        raise InputError(
            f"Cannot resume from {path!r}: it is damaged ({error}). Remove it to begin anew."
        ) from error
