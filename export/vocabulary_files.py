"""The vocabularies of an export, for programs that tokenize texts themselves."""

from __future__ import annotations

import json
import os

from keras_s2s.errors import InputError
from keras_s2s.export.model_card import TOKENIZERS, VOCABULARIES, read_part
from keras_s2s.export.served_module import write_file
from keras_s2s.files import written_beside


def vocabularies(
    path: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None
) -> dict[str, list[str]]:
    """Read the vocabularies of an export, and optionally write them to files.

    Args:
        path: The export: the folder of a version, a LiteRT file or an ONNX file.
        folder: Folder to write "source_vocabulary.json" and "target_vocabulary.json" (a list of
            tokens each) and "tokenizers.json" (how the texts of both sides are split) to, for an
            app. Existing files are replaced. The page "Clients that tokenize" describes the rules.
            Defaults to None: no files.

    Returns:
        A dict of "source" and "target": the token of each id.

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
