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
    content = read_part(path, CARD)
    try:
        card: dict[str, Any] = json.loads(content)
    except ValueError as error:
        raise InputError(f"The model card in {path!r} is damaged: {error}") from error
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
    names = [*VOCABULARIES.values(), TOKENIZERS]
    if folder is None:
        names.remove(TOKENIZERS)
    parts = {name: read_part(path, name) for name in names}
    found = {}
    for side, name in VOCABULARIES.items():
        try:
            found[side] = json.loads(parts[name])
        except ValueError as error:
            raise InputError(f"The {name!r} in {path!r} is damaged: {error}") from error
    if folder is not None:
        os.makedirs(folder, exist_ok=True)
        for name, content in parts.items():
            with written_beside(os.path.join(os.fspath(folder), name)) as unfinished:
                write_file(unfinished, content)
    return found


def read_part(path: str, name: str) -> bytes:
    """Read one of the `card_files` of an export.

    Args:
        path: The folder of a version, a LiteRT file or an ONNX file.
        name: Name of the part.

    Returns:
        The bytes of the part.

    Raises:
        FileNotFoundError: If the folder or file does not exist or has no such part.
        ValueError: If the file is damaged.
        ImportError: If the package that reads the file is not installed.
    """
    if path.endswith(".onnx") and not os.path.isdir(path):
        properties = _read_properties(path)
        if name not in properties:
            raise FileNotFoundError(
                f"There is no {name!r} in {path!r}: the file was not written by "
                "`keras_s2s.export.onnx`."
            )
        return properties[name].encode()
    if not os.path.isdir(path):
        return read_metadata(path, name)
    part = os.path.join(path, EXTRA_FOLDER, name)
    if not os.path.isfile(part):
        what = "model card" if name == CARD else repr(name)
        raise FileNotFoundError(
            f"There is no {what} in {path!r}. Expected: the folder of a version, such as "
            f"'serving/g2p/1', that `saved_model` wrote"
        )
    with open(part, "rb") as file:
        return file.read()


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
