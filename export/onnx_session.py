"""Running an ONNX file in ONNX Runtime, and reading its metadata."""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any

import numpy as np

from keras_s2s.errors import InputError, MissingPackageError


class OnnxSession:
    """Loads an ONNX file of this package into ONNX Runtime.

    Args:
        path: Path of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If the package onnxruntime is not installed.
        ValueError: If the file is damaged, is not an ONNX file, or has an operation that the
            runtime does not have.
    """

    def __init__(self, path: str) -> None:
        if not os.path.isfile(path):
            raise FileNotFoundError(f"There is no file {path!r}.")
        runtime = import_onnx("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors
        try:
            self._session = runtime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common base class
            raise InputError(f"{path}: not an ONNX file, or damaged: {error}") from error

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Run the file.

        Args:
            signature: Name of the only signature.
            inputs: An array for each input.

        Returns:
            An array for each output.
        """
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, inputs), strict=True))


def read_properties(path: str) -> dict[str, str]:
    """Read the metadata of an ONNX file.

    Args:
        path: Path of the file.

    Returns:
        The metadata texts, by name.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If the package onnx is not installed.
        ValueError: If the file is not an ONNX file.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file {path!r}.")
    onnx = import_onnx("onnx")
    decode_error = importlib.import_module("google.protobuf.message").DecodeError
    try:
        model = onnx.load_model(path, load_external_data=False)
    except decode_error as error:
        raise InputError(f"{path!r} is not an ONNX file, or is damaged: {error}") from error
    return {entry.key: entry.value for entry in model.metadata_props}


def import_onnx(name: str) -> Any:
    """Import one of the packages for ONNX.

    Args:
        name: "onnx", "onnxruntime", "tf2onnx", or one of their modules.

    Returns:
        The module.

    Raises:
        ImportError: If it is not installed; the message names the extra that installs it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackageError(
            "ONNX files need the packages onnx, onnxruntime and tf2onnx: "
            f'pip install "keras-s2s[onnx]". Importing {name} failed: {error}'
        ) from error
