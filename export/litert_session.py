"""Runs a LiteRT file as an app does."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np


class LiteRTSession:
    """Loads a LiteRT file into `ai_edge_litert`'s interpreter, and calls signatures.

    Args:
        path: the file.
        text_operations: whether to add the operations of tensorflow-text to the built-in ones.

    Raises:
        ImportError: if `ai_edge_litert` is not installed.
        ValueError: if it is no LiteRT file, or a damaged one.
    """

    def __init__(self, path: str, *, text_operations: bool = True) -> None:
        operations = []
        if text_operations:
            text = importlib.import_module("tensorflow_text")
            operations = text.tflite_registrar.SELECT_TFTEXT_OPS
        litert = import_litert()
        try:
            self._interpreter = litert.InterpreterWithCustomOps(
                custom_op_registerers=operations, model_path=path
            )
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path}: no LiteRT file, or a damaged one: {error}") from error

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Call a signature.

        Args:
            signature: its name.
            inputs: an array for each of its inputs.

        Returns:
            An array for each of its outputs.

        Raises:
            ValueError: if LiteRT cannot run it, for lack of an operation for instance.
        """
        try:
            run = self._interpreter.get_signature_runner(signature)
            found: dict[str, np.ndarray[Any, Any]] = run(**inputs)
        except RuntimeError as error:
            raise ValueError(
                f"LiteRT cannot run the signature {signature!r} of this model: {error}"
            ) from error
        return found


def import_litert() -> Any:
    """Import LiteRT's interpreter.

    Returns:
        The module `ai_edge_litert.interpreter`.

    Raises:
        ImportError: if it is not installed, with the extra that installs it.
    """
    try:
        return importlib.import_module("ai_edge_litert.interpreter")
    except ImportError as error:
        raise ImportError(
            "LiteRT files need the package ai-edge-litert, which runs them as an app does, to "
            f'try out an export too: pip install "keras-s2s[litert]". Importing it failed: {error}'
        ) from error
