"""Finds the model at a path given by the user, and the settings of its run."""

from __future__ import annotations

import os
from typing import Any

from keras_s2s.cli.paths import MODELS, TRANSLATORS
from keras_s2s.cli.run_folder import BEST, SETTINGS_FILE
from keras_s2s.cli.settings_file import read_config
from keras_s2s.errors import InputError
from keras_s2s.export.versions import is_version

_SUFFIXES = (".keras", ".tflite", ".onnx")


def find_model(path: str, expected: str = MODELS) -> str:
    """Return the path of the model in a run folder or of the newest SavedModel version.

    Args:
        path: Path given by the user.
        expected: What the path may be, for error messages. Defaults to all kinds of models.

    Returns:
        The path of a model file, or the folder of a SavedModel version.

    Raises:
        FileNotFoundError: If there is no model at `path`.
        ValueError: If `path` is a file whose suffix is not that of a model.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: there is no such file")
    if not os.path.isdir(path):
        if not path.endswith(_SUFFIXES):
            raise InputError(f"{path}: not a model. Expected: {expected}")
        return path
    if os.path.exists(os.path.join(path, "saved_model.pb")):
        return path
    if os.path.exists(os.path.join(path, BEST)):
        return os.path.join(path, BEST)
    names = sorted(os.listdir(path))
    for name in sorted(filter(is_version, names), key=int, reverse=True):
        if os.path.exists(os.path.join(path, name, "saved_model.pb")):
            return os.path.join(path, name)
    if SETTINGS_FILE in names:
        raise FileNotFoundError(
            f"{path}: this run has no {BEST} yet; `keras-s2s train` writes it after the first "
            "epoch, or with --models at the end"
        )
    near = [name for name in names if name.endswith(_SUFFIXES)]
    hint = f". Did you mean {os.path.join(path, near[0])}?" if near else ""
    raise FileNotFoundError(f"{path}: there is no model in this folder. Expected: {expected}{hint}")


def find_translator(path: str) -> str:
    """Return the path of a `.keras` file or of the best model in a run folder.

    Args:
        path: Path given by the user.

    Returns:
        The path of the `.keras` file.

    Raises:
        FileNotFoundError: If there is no model at `path`.
        ValueError: If the model is an export.
    """
    found = find_model(path, TRANSLATORS)
    if is_export(found):
        raise InputError(f"{found}: an export. Expected: {TRANSLATORS}")
    return found


def settings_of_run(path: str) -> dict[str, Any]:
    """Return the settings of the run that trained a model.

    Args:
        path: Path of a run folder or of the best model in it, given by the user.

    Returns:
        A dictionary of settings. It is empty if the model is not in a run folder.

    Raises:
        FileNotFoundError: If there is no model at `path`.
        ValueError: If the settings file of the run is damaged.
    """
    found = find_model(path)
    settings = os.path.join(os.path.dirname(found), SETTINGS_FILE)
    if os.path.basename(found) != BEST or not os.path.isfile(settings):
        return {}
    return read_config(settings)


def needs_tensorflow(path: str) -> bool:
    """Return whether running a model at a path returned by `find_model` needs TensorFlow."""
    return os.path.isdir(path) or not path.endswith((".tflite", ".onnx"))


def is_export(path: str) -> bool:
    """Return whether a path returned by `find_model` is an export, not a `.keras` file."""
    return os.path.isdir(path) or not needs_tensorflow(path)
