"""The parts of an export other than its graph: the model card and the vocabularies."""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

from keras_s2s.errors import InputError
from keras_s2s.export.litert_file import read_metadata
from keras_s2s.export.sessions import import_onnx
from keras_s2s.files import check_is_file, write_file, written_beside

# Names of files next to the graph, and of metadata in a LiteRT or ONNX file.
CARD = "model_card.json"
READABLE_CARD = "model_card.md"
TOKENIZERS = "tokenizers.json"
VOCABULARIES = {"source": "source_vocabulary.json", "target": "target_vocabulary.json"}

# Folder of a version that a model server ignores.
EXTRA_FOLDER = "assets.extra"


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the model card of an export.

    Args:
        path: The folder of a version, a LiteRT file or an ONNX file.

    Returns:
        The card.

    Raises:
        FileNotFoundError: If the folder or file does not exist or has no card.
        ValueError: If the card is damaged.
        ImportError: If it is a LiteRT file and the ai-edge-litert package is not installed.
    """
    path = os.fspath(path)
    card: dict[str, Any] = parse_part(read_parts(path), CARD, path)
    return card


def vocabularies(
    path: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None
) -> dict[str, list[str]]:
    """Read the vocabularies of an export, and optionally write them to files.

    Args:
        path: The export: the folder of a version, a LiteRT file or an ONNX file.
        folder: Folder to write files for an app to: "source_vocabulary.json" and
            "target_vocabulary.json" (lists of tokens), and "tokenizers.json" (how to split and join
            texts). Existing files are replaced. The page "Clients that tokenize" describes the
            rules. Defaults to `None`: no files are written.

    Returns:
        A dict with the keys "source" and "target". Each value is a list: the token of each id.

    Raises:
        FileNotFoundError: If the export does not exist or has no vocabularies.
        ValueError: If a file is damaged.
        OSError: If the files cannot be written.
        ImportError: If the package that reads the file is not installed.

    Example:
        ```python
        s2s.export.vocabularies("g2p.tflite")["target"]  # ["[PAD]", "[UNK]", "[BOS]", ...]
        s2s.export.vocabularies("g2p.tflite", "app/assets")
        ```
    """
    path = os.fspath(path)
    parts = read_parts(path)
    found = {side: parse_part(parts, name, path) for side, name in VOCABULARIES.items()}
    if folder is not None:
        contents = {name: _part(parts, name, path) for name in (*VOCABULARIES.values(), TOKENIZERS)}
        os.makedirs(folder, exist_ok=True)
        for name, content in contents.items():
            with written_beside(os.path.join(os.fspath(folder), name)) as unfinished:
                write_file(unfinished, content)
    return found


def read_parts(path: str) -> dict[str, bytes]:
    """Read the `card_files` of an export.

    Args:
        path: The folder of a version, a LiteRT file or an ONNX file.

    Returns:
        The bytes of each part that the export has, by name.

    Raises:
        FileNotFoundError: If the folder or file does not exist.
        ValueError: If the file is damaged.
        ImportError: If the package that reads the file is not installed.
    """
    if os.path.isdir(path):
        folder = os.path.join(path, EXTRA_FOLDER)
        found = {}
        for name in (CARD, READABLE_CARD, TOKENIZERS, *VOCABULARIES.values()):
            if os.path.isfile(os.path.join(folder, name)):
                with open(os.path.join(folder, name), "rb") as file:
                    found[name] = file.read()
        return found
    if path.endswith(".onnx"):
        return {name: text.encode() for name, text in _read_properties(path).items()}
    return read_metadata(path)


def parse_part(parts: dict[str, bytes], name: str, path: str) -> Any:
    """Parse one of the JSON parts of an export.

    Args:
        parts: The parts, from `read_parts`.
        name: Name of the part.
        path: Path of the export, for messages.

    Returns:
        The content.

    Raises:
        FileNotFoundError: If the export has no such part.
        ValueError: If the part is damaged.
    """
    content = _part(parts, name, path)
    try:
        return json.loads(content)
    except ValueError as error:
        what = "model card" if name == CARD else repr(name)
        raise InputError(f"The {what} in {path!r} is damaged: {error}") from error


def _part(parts: dict[str, bytes], name: str, path: str) -> bytes:
    """Return the bytes of a part, or raise if the export does not have it."""
    if name in parts:
        return parts[name]
    if os.path.isdir(path):
        what = "model card" if name == CARD else repr(name)
        raise FileNotFoundError(
            f"There is no {what} in {path!r}. Expected: the folder of a version, such as "
            f"'serving/g2p/1', that `saved_model` wrote"
        )
    function = "onnx" if path.endswith(".onnx") else "litert"
    raise FileNotFoundError(
        f"There is no {name!r} in {path!r}: the file was not written by "
        f"`keras_s2s.export.{function}`."
    )


def _read_properties(path: str) -> dict[str, str]:
    """Read the metadata of an ONNX file.

    Args:
        path: Path of the file.

    Returns:
        The metadata texts, by name.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If the onnx package is not installed.
        ValueError: If the file is not an ONNX file.
    """
    check_is_file(path)
    onnx = import_onnx("onnx")
    decode_error = importlib.import_module("google.protobuf.message").DecodeError
    try:
        model = onnx.load_model(path, load_external_data=False)
    except decode_error as error:
        raise InputError(f"{path!r} is not an ONNX file, or is damaged: {error}") from error
    return {entry.key: entry.value for entry in model.metadata_props}
