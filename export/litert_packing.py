"""Writing a LiteRT file without what it holds twice."""

from __future__ import annotations

import importlib
from typing import Any

IDENTIFIER = b"TFL3"


def import_schema() -> Any:
    """Import the classes of a LiteRT file.

    Returns:
        The module `ai_edge_litert.schema_py_generated`.
    """
    return importlib.import_module("ai_edge_litert.schema_py_generated")


def pack(model: Any) -> bytes:
    """Write a model; the runtime reads the same from it, but it is smaller.

    A converted search is thousands of small tensors and operations in tens of graphs, many of
    them alike: four signatures hold the same loops, and each tensor that uses a quantized weight
    repeats the scales of its rows. What is alike is written once and referred to, which the format
    allows. Left out are the names of tensors inside of a graph and buffers without data.

    Args:
        model: A `ModelT`; changed by this.

    Returns:
        The file.
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
    """A part of a file that is written where it is first asked for, and then referred to."""

    def __init__(self, part: Any) -> None:
        self._part, self._place = part, None

    def Pack(self, builder: Any) -> Any:  # noqa: N802, the name that generated code calls
        if self._place is None:
            self._place = self._part.Pack(builder)
        return self._place


def _share(shared: dict[Any, _Shared], part: Any) -> _Shared | None:
    """Give the one of all parts that are alike."""
    return None if part is None else shared.setdefault(_content(part), _Shared(part))


def _content(part: Any) -> Any:
    """Give what makes a part the same as another, to be compared and hashed."""
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
    """Let all tensors without data have buffer 0, which has none; number the others anew."""
    holders = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    holders += model.metadata or []
    numbers = {0: 0}
    for holder in holders:
        buffer = model.buffers[holder.buffer]
        # a buffer behind the end of a file of more than 2 GB has a size, and no data here
        if buffer.data is None and not buffer.size:
            holder.buffer = 0
        numbers.setdefault(holder.buffer, len(numbers))
        holder.buffer = numbers[holder.buffer]
    model.buffers = [model.buffers[old] for old in numbers]
