"""Metadata and operations of a LiteRT file."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping

from keras_s2s.errors import InputError
from keras_s2s.export.litert_packing import IDENTIFIER, import_schema, pack
from keras_s2s.export.litert_runner import CHECKSUM, CHECKSUM_SIZE, checksum, is_intact


def add_metadata(content: bytes, parts: Mapping[str, bytes]) -> bytes:
    """Add named parts, and a checksum, to the metadata of a LiteRT file.

    Args:
        content: Content of the file.
        parts: The bytes of each part, by name.

    Returns:
        The content of the file with the parts. Existing parts of the same name are replaced. The
        file is written by `pack`, which makes it smaller.
    """
    schema = import_schema()
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


def read_metadata(path: str, name: str) -> bytes:
    """Read a part of the metadata of a LiteRT file.

    Args:
        path: Path of the file.
        name: Name of the part.

    Returns:
        The bytes of the part.

    Raises:
        FileNotFoundError: If the file does not exist or has no such part.
        ValueError: If the file is damaged or not a LiteRT file.
        ImportError: If the package ai-edge-litert is not installed.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no file {path!r}.")
    with open(path, "rb") as file:
        content = file.read()
    if content[4:8] != IDENTIFIER:
        raise InputError(
            f"{path!r} is not a LiteRT file. Received: a file that begins with {content[:8]!r}"
        )
    try:
        part, intact = _find_part(content, name), is_intact(content)
    except (struct.error, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{path!r} is a damaged LiteRT file: {error}") from error
    if not intact:
        raise InputError(f"{path!r} is a damaged LiteRT file: it does not match its checksum")
    if part is None:
        raise FileNotFoundError(
            f"There is no {name!r} in {path!r}: it was not written by `keras_s2s.export.litert`."
        )
    return part


def _find_part(content: bytes, name: str) -> bytes | None:
    model = import_schema().Model.GetRootAs(content)
    for number in range(model.MetadataLength()):
        entry = model.Metadata(number)
        if entry.Name() == name.encode():
            return bytes(model.Buffers(entry.Buffer()).DataAsNumpy())
    return None


def list_operations(content: bytes) -> list[str]:
    """List the operations that an interpreter needs to run a LiteRT file.

    Args:
        content: Content of the file.

    Returns:
        Names of operations in alphabetical order; custom operations by their registered names.
    """
    schema = import_schema()
    builtin = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    model = schema.Model.GetRootAs(content)
    names = set()
    for number in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(number)
        custom = code.CustomCode()
        names.add(custom.decode() if custom else builtin[code.BuiltinCode()])
    return sorted(names)
