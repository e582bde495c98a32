"""Settings in the file of a trained model, read without TensorFlow."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import Any

import click

from keras_s2s.cli.model_paths import find_model, find_translator, is_export
from keras_s2s.cli.setting import as_in_file, value_as_given
from keras_s2s.cli.setting_table import SETTINGS, TOKENIZER_CLASSES
from keras_s2s.errors import InputError
from keras_s2s.recommended import FITTED
from keras_s2s.saved_config import DAMAGE, read_config

_CELLS = {"LSTMEncoder": "lstm", "GRUEncoder": "gru"}
_KINDS = {name: kind for kind, name in TOKENIZER_CLASSES.items()}
_SHARED = ("residual", "layer_normalization")


def follow_models(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in missing settings from the models at `init_from` and `teacher`.

    Prints the settings that are not the defaults. Settings derived from the pairs stay open:
    `fit_to_pairs` copies them from the initial model, and prints them.

    Args:
        given: Mapping of the given settings.

    Returns:
        A dictionary of the given settings and those of the models.

    Raises:
        FileNotFoundError: If there is no model at a path.
        ValueError: If the initial model is an ensemble, or a given setting is not its own.
    """
    completed = {name: value for name, value in given.items() if value is not None}
    for option in ("init_from", "teacher"):
        path = completed.get(option)
        if path is None:
            continue
        config = _read_config(find_translator(path))
        found = _target_tokenizer(config)
        if option == "init_from":
            if _get(config, "model", "class_name") == "Ensemble":
                raise InputError(f"{path}: an ensemble. Expected: a single model")
            found |= _model_settings(config)
            _check_alike(completed, found, path)
        taken = {
            name: value
            for name, value in found.items()
            if name not in completed and name not in FITTED and value != SETTINGS[name].default
        }
        if taken:
            listed = ", ".join(f"{name} {value}" for name, value in taken.items())
            click.echo(f"Settings of {path}: {listed}")
        completed |= taken
    return {**given, **completed}


def columns_of(path: str) -> str | None:
    """Return how to read a source line with tabs for a model, before it is loaded.

    Args:
        path: Path of a model, given by the user.

    Returns:
        "features" for a model with a features tokenizer, and `None`, which rejects tabs, for one
        with another tokenizer. "text", which accepts them, if only loading the model can tell.

    Raises:
        FileNotFoundError: If there is no model at `path`.
        ValueError: If `path` is a file whose suffix is not that of a model.
    """
    found = find_model(path)
    config = {} if is_export(found) else _read_config(found)
    kind = _KINDS.get(_get(config, "source", "class_name"))
    if kind is None:
        return "text"
    return "features" if kind == "features" else None


def model_sizes(path: str) -> dict[str, Any]:
    """Return the settings of a model that would otherwise be derived from the pairs.

    Args:
        path: Path of the model to start from.

    Returns:
        A dictionary of sizes, attention and copying; empty if the file is damaged.
    """
    found = _model_settings(_read_config(find_translator(path)))
    return {name: value for name, value in found.items() if name in FITTED}


def source_tokenizer_of(path: str) -> str | None:
    """Return the kind of the source tokenizer of a model, or `None` if it is unknown.

    Args:
        path: Path of the model to start from, or of a teacher.
    """
    return _KINDS.get(_get(_read_config(find_translator(path)), "source", "class_name"))


def _check_alike(given: Mapping[str, Any], found: Mapping[str, Any], path: str) -> None:
    """Check that the given settings are those of the model."""
    for name, value in found.items():
        there = found["units"] if name == "embedding_dim" and value is None else value
        here = given.get(name, there)
        if here != there:
            raise InputError(
                f"{path}: its model has {as_in_file(name, there)}. Received: "
                f"{value_as_given(name, here)}. Omit the setting to use that of the model"
            )


def _read_config(path: str) -> Any:
    """Return the configuration of a translator; empty if the file is damaged, as `load` reports."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _get(read_config(archive), "config")
    except DAMAGE:
        return {}


def _target_tokenizer(config: Any) -> dict[str, Any]:
    kind = _KINDS.get(_get(config, "target", "class_name"))
    return {} if kind is None else {"target_tokenizer": kind}


def _model_settings(config: Any) -> dict[str, Any]:
    """Return the settings of the model in a configuration, except those it does not have."""
    encoder = _get(config, "model", "config", "encoder", "config") or {}
    decoder = _get(config, "model", "config", "decoder", "config") or {}
    cell = _CELLS.get(_get(config, "model", "config", "encoder", "class_name"))
    if not encoder or not decoder or cell is None:
        return {}
    wide = encoder.get("embedding_dim") != encoder.get("units")
    found = {
        "cell": cell,
        "units": encoder.get("units"),
        "embedding_dim": encoder.get("embedding_dim") if wide else None,
        "encoder_layers": encoder.get("num_layers"),
        "decoder_layers": decoder.get("num_layers"),
        "bidirectional": encoder.get("bidirectional"),
        "context": _context(encoder.get("context")),
        "context_to": decoder.get("context_to"),
        "attention": decoder.get("attention") or "none",
        "copy": decoder.get("copy"),
        "input_feeding": decoder.get("input_feeding"),
        **{name: encoder.get(name) for name in _SHARED},
    }
    return {
        name: value for name, value in found.items() if value is not None or name == "embedding_dim"
    }


def _context(serialized: Any) -> str | None:
    """Return the setting for a serialized context, or `None` if there is none."""
    if isinstance(serialized, str):
        return serialized
    kind, name = _get(serialized, "class_name"), _get(serialized, "registered_name")
    if kind == "function":
        name = serialized.get("config")
    elif name == "keras_s2s>AttentionPool":
        return "attention_pool"
    return name if isinstance(name, str) and ">" in name else None


def _get(value: Any, *names: str) -> Any:
    """Return a value in nested dictionaries, or `None`."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
