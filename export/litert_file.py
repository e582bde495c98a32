"""Read and write LiteRT files: metadata, operations, and a smaller file without duplicates."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Mapping
from typing import Any

from keras_s2s.errors import InputError
from keras_s2s.export.litert_runner import (
    CHECKSUM,
    CHECKSUM_SIZE,
    checksum,
    import_litert,
    is_intact,
)
from keras_s2s.files import check_is_file

IDENTIFIER = b"TFL3"


def add_metadata(content: bytes, parts: Mapping[str, bytes]) -> bytes:
    """Add named parts, and a checksum, to the metadata of a LiteRT file.

    Args:
        content: Content of the file.
        parts: The bytes of each part, by name. Existing parts of the same name are replaced.

    Returns:
        The content of the new file, made smaller by `pack`.
    """
    schema = import_litert("schema_py_generated")
    parts = {**parts, CHECKSUM: b"0" * CHECKSUM_SIZE}
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    kept = [entry for entry in model.metadata or [] if entry.name.decode() not in parts]
    for name, part in parts.items():
        buffer = schema.BufferT()
        buffer.data = bytearray(part)
        model.buffers.append(buffer)
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, len(model.buffers) - 1
        kept.append(entry)
    model.metadata = kept
    packed = pack(model)
    start, digits = checksum(packed) or (0, b"")
    return packed[:start] + digits + packed[start + len(digits) :]


def read_metadata(path: str) -> dict[str, bytes]:
    """Read the metadata of a LiteRT file.

    Args:
        path: Path of the file.

    Returns:
        The bytes of each part, by name.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged or not a LiteRT file.
        ImportError: If the ai-edge-litert package is not installed.
    """
    check_is_file(path)
    with open(path, "rb") as file:
        content = file.read()
    if content[4:8] != IDENTIFIER:
        raise InputError(
            f"{path!r} is not a LiteRT file. Received: a file that begins with {content[:8]!r}"
        )
    try:
        parts, intact = _find_parts(content), is_intact(content)
    except (struct.error, AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{path!r} is a damaged LiteRT file: {error}") from error
    if not intact:
        raise InputError(f"{path!r} is a damaged LiteRT file: it does not match its checksum")
    return parts


def list_operations(content: bytes) -> list[str]:
    """List the operations that an interpreter needs to run a LiteRT file.

    Args:
        content: Content of the file.

    Returns:
        Names of operations in alphabetical order; custom operations by their registered names.
    """
    schema = import_litert("schema_py_generated")
    builtin = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    model = schema.Model.GetRootAs(content)
    names = set()
    for number in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(number)
        custom = code.CustomCode()
        names.add(custom.decode() if custom else builtin[code.BuiltinCode()])
    return sorted(names)


def pack(model: Any) -> bytes:
    """Serialize a model to a smaller file that is equivalent to the runtime.

    A converted search has thousands of small tensors and operations in tens of graphs, many of
    them identical: four signatures contain the same loops, and each tensor that uses a quantized
    weight repeats the scales of its rows. Identical parts are written once and referenced, which
    the format allows. Names of tensors inside a graph and buffers without data are omitted.

    Args:
        model: A `ModelT`; modified in place.

    Returns:
        The content of the file.
    """
    _drop_buffers(model)
    shared: dict[Any, _Shared] = {}
    for graph in model.subgraphs:
        outside = {*map(int, graph.inputs), *map(int, graph.outputs)}
        for number, tensor in enumerate(graph.tensors):
            if number not in outside:
                tensor.name = b""
            tensor.quantization = _share(shared, tensor.quantization)
        graph.tensors = [_share(shared, tensor) for tensor in graph.tensors]
        graph.operators = [_share(shared, operator) for operator in graph.operators]
    builder = importlib.import_module("flatbuffers").Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _find_parts(content: bytes) -> dict[str, bytes]:
    model = import_litert("schema_py_generated").Model.GetRootAs(content)
    entries = [model.Metadata(number) for number in range(model.MetadataLength())]
    return {
        entry.Name().decode(): bytes(model.Buffers(entry.Buffer()).DataAsNumpy())
        for entry in entries
    }


class _Shared:
    """Part of a file that is written on first use, and referenced afterwards."""

    def __init__(self, part: Any) -> None:
        self._part, self._place = part, None

    def Pack(self, builder: Any) -> Any:  # noqa: N802, the name that generated code calls
        if self._place is None:
            self._place = self._part.Pack(builder)
        return self._place


def _share(shared: dict[Any, _Shared], part: Any) -> _Shared | None:
    """Return the shared part that is identical to `part`."""
    return None if part is None else shared.setdefault(_content(part), _Shared(part))


def _content(part: Any) -> Any:
    """Return a hashable value that is equal for identical parts."""
    if isinstance(part, _Shared):
        return id(part)
    if hasattr(part, "tobytes"):
        return str(part.dtype), part.shape, part.tobytes()
    if isinstance(part, list):
        return tuple(_content(item) for item in part)
    if hasattr(part, "Pack"):
        return type(part), tuple((name, _content(value)) for name, value in vars(part).items())
    return type(part), part


def _drop_buffers(model: Any) -> None:
    """Point all tensors without data to the empty buffer 0, and renumber the other buffers."""
    holders = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    holders += model.metadata or []
    numbers = {0: 0}
    for holder in holders:
        buffer = model.buffers[holder.buffer]
        # a buffer stored after the model, in files of more than 2 GB, has a size but no data here
        if buffer.data is None and not buffer.size:
            holder.buffer = 0
        numbers.setdefault(holder.buffer, len(numbers))
        holder.buffer = numbers[holder.buffer]
    model.buffers = [model.buffers[old] for old in numbers]
