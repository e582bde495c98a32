"""Writing a LiteRT file without duplicate parts."""

from __future__ import annotations

import importlib
from typing import Any

IDENTIFIER = b"TFL3"


def import_schema() -> Any:
    """Import the classes of the LiteRT file format.

    Returns:
        The module `ai_edge_litert.schema_py_generated`.
    """
    return importlib.import_module("ai_edge_litert.schema_py_generated")


def pack(model: Any) -> bytes:
    """Write a model to a smaller file that the runtime reads in the same way.

    A converted search has thousands of small tensors and operations in tens of graphs, many of
    them identical: four signatures contain the same loops, and each tensor that uses a quantized
    weight repeats the scales of its rows. Identical parts are written once and referenced, which
    the format allows. Names of tensors inside of a graph and buffers without data are omitted.

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


class _Shared:
    """A part of a file that is written on first use, and then referenced."""

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
