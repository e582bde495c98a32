"""Running a LiteRT file as an app does."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from keras_s2s.errors import InputError, MissingPackageError
from keras_s2s.export.litert_runner import is_intact


class LiteRTSession:
    """Loads a LiteRT file into `ai_edge_litert`'s interpreter, and calls its signatures.

    Args:
        path: Path of the file.
        text_operations: Whether to add the operations of tensorflow-text to the built-in ones.

    Raises:
        ImportError: If `ai_edge_litert` is not installed.
        ValueError: If the file is damaged or not a LiteRT file.
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
            raise InputError(f"{path}: not a LiteRT file, or damaged: {error}") from error
        if not is_intact(Path(path).read_bytes()):  # loading verifies the file, so it comes first
            raise InputError(f"{path}: a damaged LiteRT file: it does not match its checksum")

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Call a signature.

        Args:
            signature: Name of the signature.
            inputs: An array for each input.

        Returns:
            An array for each output.

        Raises:
            ValueError: If LiteRT cannot run the signature, for example because of a missing
                operation.
        """
        try:
            run = self._interpreter.get_signature_runner(signature)
            found: dict[str, np.ndarray[Any, Any]] = run(**inputs)
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"LiteRT cannot run the signature {signature!r} of this model: {error}"
            ) from error
        return found


class CompiledSession:
    """Loads a LiteRT file into `ai_edge_litert`'s CompiledModel, and calls its ids signatures.

    It takes one row at a time: in version 2.3.0 the output buffers of a resized batch are too
    small, and reading them crashes the process.

    Args:
        path: Path of the file, whose search must have a `max_length`.
        source_length: Fixed length of "source_ids", or `None` if it can be resized.
        shapes: For each signature, the shape of each output for one row.
    """

    def __init__(
        self,
        path: str,
        source_length: int | None,
        shapes: dict[str, dict[str, tuple[int, ...]]],
    ) -> None:
        module = importlib.import_module("ai_edge_litert.compiled_model")
        self._model = module.CompiledModel.from_file(path)
        self._source_length, self._shapes = source_length, shapes

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Call a signature with one row.

        Args:
            signature: Name of the signature.
            inputs: "source_ids", int32 `(1, length)`.

        Returns:
            An array for each output.
        """
        model, source_ids = self._model, np.ascontiguousarray(inputs["source_ids"], np.int32)
        if self._source_length is None:
            model.resize_input_tensor_by_name(signature, "source_ids", list(source_ids.shape))
        source = model.create_input_buffer_by_name(signature, "source_ids")
        source.write(source_ids)
        shapes = self._shapes[signature]
        found = {name: model.create_output_buffer_by_name(signature, name) for name in shapes}
        model.run_by_name(signature, {"source_ids": source}, found)
        dtypes = {"target_ids": np.int32, "lengths": np.int32}
        return {
            name: found[name].read(int(np.prod(shape)), dtypes.get(name, np.float32)).reshape(shape)
            for name, shape in shapes.items()
        }


def import_litert() -> Any:
    """Import LiteRT's interpreter.

    Returns:
        The module `ai_edge_litert.interpreter`.

    Raises:
        ImportError: If it is not installed; the message names the extra that installs it.
    """
    try:
        return importlib.import_module("ai_edge_litert.interpreter")
    except ImportError as error:
        raise MissingPackageError(
            "LiteRT files need the package ai-edge-litert, also to check an "
            f'export: pip install "keras-s2s[litert]". Importing it failed: {error}'
        ) from error
