"""Sessions that run LiteRT and ONNX files in their own runtimes, without TensorFlow."""

from __future__ import annotations

import importlib
import inspect
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_s2s.errors import InputError, missing_package
from keras_s2s.export.litert_runner import import_litert, is_intact, load_text_operations
from keras_s2s.files import check_is_file
from keras_s2s.special_ids import PAD_ID

Arrays = dict[str, np.ndarray[Any, Any]]
Runtime = Callable[[str, Arrays], Arrays]
"""Function of a signature's name and an array for each input. Returns an array for each output."""


class LiteRTSession:
    """LiteRT file in `ai_edge_litert`'s Interpreter.

    Args:
        path: Path of the file.
        text_operations: Whether to add the operations of tensorflow-text to the built-in ones.

    Raises:
        ImportError: If `ai_edge_litert`, or `tensorflow_text` for `text_operations`, is not
            installed.
        ValueError: If the file is damaged or not a LiteRT file.
    """

    def __init__(self, path: str, *, text_operations: bool = True) -> None:
        litert = import_litert("interpreter")
        operations = load_text_operations() if text_operations else []
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
    """LiteRT file in `ai_edge_litert`'s CompiledModel, for the signatures that take ids.

    A call takes one row: in version 2.3.0 the output buffers of a resized batch are too small, and
    reading them crashes the process.

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
        self._model = _load_compiled(path)
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


def _load_compiled(path: str) -> Any:
    """Load a LiteRT file for the CPU."""
    load = import_litert("compiled_model").CompiledModel.from_file
    if "environment" not in inspect.signature(load).parameters:
        return load(path)
    # By default LiteRT tries the plugin of an NPU, and prints errors if its library is absent.
    module = import_litert("environment")
    with tempfile.TemporaryDirectory() as empty:
        environment = module.Environment.create(
            compiler_plugin_path=empty, dispatch_library_path=empty
        )
        return load(path, environment=environment)


class OnnxSession:
    """ONNX file of this package in ONNX Runtime.

    Args:
        path: Path of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If the onnxruntime package is not installed.
        ValueError: If the file is damaged, is not an ONNX file, or has an operation that the
            runtime does not have.
    """

    def __init__(self, path: str) -> None:
        check_is_file(path)
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
        raise missing_package(name.partition(".")[0], error) from error


def pad_sources(inputs: Arrays, source_length: int) -> Arrays:
    """Pad the "source_ids" of a request.

    Args:
        inputs: An array for each input of a signature that takes ids.
        source_length: The length to pad to.

    Returns:
        The inputs, with "source_ids" of that length.

    Raises:
        ValueError: If "source_ids" are longer.
    """
    length = inputs["source_ids"].shape[1]
    if length > source_length:
        raise InputError(
            f"A source must have at most `source_length` tokens, {source_length}, including eos. "
            f"Received: {length} tokens"
        )
    return {**inputs, "source_ids": pad_ids(inputs["source_ids"], source_length)}


def padded(runtime: Runtime, source_length: int | None) -> Runtime:
    """Wrap a runtime whose "source_ids" have a fixed length.

    Args:
        runtime: The runtime.
        source_length: The fixed length, or `None` for any length.

    Returns:
        A runtime that takes shorter "source_ids" and pads them.
    """
    if source_length is None:
        return runtime

    def run(signature: str, inputs: Arrays) -> Arrays:
        return runtime(signature, pad_sources(inputs, source_length))

    return run


def one_by_one(runtime: Runtime, source_length: int | None) -> Runtime:
    """Wrap a runtime that takes one row at a time.

    Args:
        runtime: The runtime.
        source_length: The fixed length of its "source_ids", or `None` for any length.

    Returns:
        A runtime that takes a batch of rows, and calls the wrapped one for each row.
    """
    run_row = padded(runtime, source_length)

    def run(signature: str, inputs: Arrays) -> Arrays:
        size = len(inputs["source_ids"])
        rows = [
            run_row(signature, {name: value[row : row + 1] for name, value in inputs.items()})
            for row in range(size)
        ]
        if "target_ids" in rows[0]:
            longest = max(row["target_ids"].shape[-1] for row in rows)
            for row in rows:
                row["target_ids"] = pad_ids(row["target_ids"], longest)
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    return run


def pad_ids(ids: np.ndarray[Any, Any], length: int) -> np.ndarray[Any, Any]:
    """Pad the last axis of ids to a length.

    Args:
        ids: Ids of any rank.
        length: At least the size of the last axis.

    Returns:
        The padded ids.
    """
    widths = [(0, 0)] * (ids.ndim - 1) + [(0, length - ids.shape[-1])]
    return np.pad(ids, widths, constant_values=PAD_ID)
