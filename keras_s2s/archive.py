"""Check a `.keras` file before Keras builds the model in it.

A file is rejected, with the reason, before memory is allocated for what it claims to contain.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import h5py
import keras

from keras_s2s.checks import count_of, one_line, short_repr
from keras_s2s.errors import InputError
from keras_s2s.saved_config import CONFIG, DAMAGE, read_config
from keras_s2s.tokenizers import Tokenizer

_WEIGHTS = "model.weights.h5"

_MAX_EXPANSION = 100  # ratio of the expanded size of an archive to its own size
_SIZES = ("units", "embedding_dim", "vocabulary_size", "input_dim", "output_dim")


class _Archive(NamedTuple):
    """Contents of a file that are read before the model is built."""

    config: Any
    vocabularies: int  # number of tokenizers with a vocabulary
    variables: int  # in the weights file
    values: int  # of all variables together


def check_archive(filepath: str, kinds: tuple[type, ...]) -> None:
    """Check the contents of a `.keras` file, except for the values of the weights.

    Args:
        filepath: Path of the file, which must exist.
        kinds: Classes of models of this package that the file may contain.

    Raises:
        ValueError: If the file is truncated, damaged or something else, if sizes in it exceed its
            stored weights, if a vocabulary is missing, or if a class or function that the model
            needs is not registered.
    """
    archive = _read_archive(filepath)
    _check_kind(archive.config, kinds)
    _check_sizes(archive)
    _check_registered(archive.config)
    _check_vocabularies(archive)


def reason_of(error: Exception) -> str:
    """Return the message of an error in one line, with the class of the error if necessary.

    Args:
        error: The exception that a damaged file caused.
    """
    if isinstance(error, ValueError | OSError | zipfile.BadZipFile):
        return one_line(error)
    return one_line(f"{type(error).__name__}: {error}")


def _read_archive(filepath: str) -> _Archive:
    """Read and check a file, except for the values of the weights."""
    size = os.path.getsize(filepath)
    if filepath.endswith((".tflite", ".onnx")):
        raise InputError("it is an export. Expected: the .keras file that was exported")
    if not zipfile.is_zipfile(filepath):
        counted = count_of(size, "byte")
        raise InputError(
            f"it is not a zip archive ({counted}), as every .keras file is. It may be truncated"
        )
    if not filepath.endswith(".keras"):
        raise InputError("the name of a saved model must end in '.keras'; rename the file")
    try:
        with zipfile.ZipFile(filepath) as archive:
            parts = {part.filename: part.file_size for part in archive.infolist()}
            if sum(part.file_size for part in archive.infolist()) > _MAX_EXPANSION * size:
                raise InputError(f"it expands to more than {_MAX_EXPANSION} times its size")
            missing = {CONFIG, _WEIGHTS} - parts.keys()
            if missing:
                raise InputError(f"not a .keras file. Missing: {', '.join(sorted(missing))}")
            damaged = archive.testzip()
            if damaged is not None:
                raise InputError(f"its part {damaged!r} is damaged")
            config = read_config(archive)
            weights = archive.read(_WEIGHTS)
            owners = {os.path.dirname(name) for name in parts if name.startswith("assets/")}
            for name in parts:
                if name.endswith("/vocabulary.json"):
                    _check_vocabulary(name, archive.read(name))
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"it is damaged: {reason_of(error)}") from error
    try:
        sizes = _variable_sizes(weights)
    except DAMAGE as error:
        raise InputError(f"its part {_WEIGHTS!r} is damaged: {reason_of(error)}") from error
    return _Archive(config, len(owners), len(sizes), sum(sizes))


def _variable_sizes(weights: bytes) -> list[int]:
    """Return the size of each variable. Raise if a variable is larger than the file."""
    sizes: list[int] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item.size or 0)
            if item.nbytes > len(weights):
                raise InputError(f"{name!r} claims the shape {item.shape}")

    with h5py.File(io.BytesIO(weights), "r") as file:
        file.visititems(visit)
    return sizes


def _check_kind(config: Any, kinds: tuple[type, ...]) -> None:
    """Raise if the file contains another kind of model."""
    expected = {f"keras_s2s>{kind.__name__}" for kind in kinds}
    found = config.get("registered_name") if isinstance(config, dict) else None
    if not isinstance(found, str) or found not in expected:
        raise InputError(
            f"it is another kind of model. Expected: {', '.join(sorted(expected))}. Received: "
            f"{found or _class_name(config)!r}"
        )


def _class_name(config: Any) -> Any:
    """Return the name of a class of Keras itself, such as "Sequential"."""
    return config.get("class_name") if isinstance(config, dict) else None


def _check_sizes(archive: _Archive) -> None:
    """Raise if the sizes in the config exceed the stored weights, before building a huge model."""
    for part in _parts(archive.config):
        given = part["config"] if isinstance(part.get("config"), dict) else {}
        name = part.get("class_name")
        sizes = {key: given[key] for key in _SIZES if given.get(key) is not None}
        layers = given.get("num_layers", 1)
        for key, value in {**sizes, "num_layers": layers}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(
                    f"`{key}` of {name} must be a positive integer. Received: {short_repr(value)}"
                )
        least = max(sizes.values(), default=0)
        if "units" in sizes and "vocabulary_size" in sizes:
            units = sizes["units"]
            embeddings = sizes["vocabulary_size"] * sizes.get("embedding_dim", units)
            least = max(least, units * units * layers, embeddings)
        # A byte of a quantized variable stores at most two values.
        if least > 2 * archive.values or layers > archive.variables:
            described = {**sizes, "num_layers": layers}.items()
            listed = ", ".join(f"{key} {short_repr(value)}" for key, value in described)
            raise InputError(
                f"{name} is larger than its stored weights: {listed}, with "
                f"{count_of(archive.variables, 'variable')} of "
                f"{count_of(archive.values, 'value')} in {_WEIGHTS!r}"
            )


def _check_registered(config: Any) -> None:
    """Raise if a class or function is not registered by any imported module."""
    missing = set()
    for part in _parts(config):
        name = part["config"] if part.get("class_name") == "function" else part["registered_name"]
        if not isinstance(name, str) or name.startswith("keras_s2s>"):
            continue
        if ">" not in name and (part.get("class_name") == "function" or _is_of_keras(part)):
            continue
        if keras.saving.get_registered_object(name) is None:
            missing.add(name)
    if missing:
        raise InputError(
            f"it needs {', '.join(map(repr, sorted(missing)))}, which no imported module has "
            "registered with Keras. Import the module that defines it before loading; on the "
            "command line: --import MODULE. If the class itself is not registered, load the file "
            "in a `keras.saving.custom_object_scope({name: class})`"
        )


def _is_of_keras(part: dict[str, Any]) -> bool:
    """Return whether Keras itself finds the class of a serialized object."""
    module = part.get("module")
    return not isinstance(module, str) or module.partition(".")[0] in ("keras", "builtins")


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Yield the serialized objects in a configuration, including nested ones."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value and "registered_name" in value and "config" in value:
                yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_vocabularies(archive: _Archive) -> None:
    """Raise if the file lacks the vocabulary of a tokenizer."""
    names = [it["registered_name"] for it in _parts(archive.config)]
    kinds = [keras.saving.get_registered_object(name) for name in names if isinstance(name, str)]
    tokenizers = [
        kind.__name__
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, Tokenizer) and hasattr(kind, "save_assets")
    ]
    if len(tokenizers) > archive.vocabularies:
        raise InputError(
            f"a vocabulary is missing. Expected: those of {' and '.join(sorted(tokenizers))}"
        )


def _check_vocabulary(name: str, content: bytes) -> None:
    """Raise if a vocabulary is not a list of tokens."""
    try:
        tokens = json.loads(content)
    except DAMAGE as error:
        raise InputError(f"its part {name!r} is damaged: {reason_of(error)}") from error
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise InputError(f"its part {name!r} is not a list of tokens")
