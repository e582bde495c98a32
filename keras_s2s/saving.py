"""Loading what `Translator.save` wrote."""

from __future__ import annotations

import json
import os
import zipfile
import zlib

import keras

from keras_s2s.models import Ensemble, Seq2Seq
from keras_s2s.translator import Translator

# What zipfile and json raise over bytes that are not as they were written.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


def load(filepath: str | os.PathLike[str]) -> Translator | Seq2Seq | Ensemble:
    """Load a translator, or a bare model, from its `.keras` file.

    Nothing in the file is run: no pickle, no code. Classes and functions of your own must be
    registered with Keras before.

    Args:
        filepath: the `.keras` file.

    Returns:
        The `Translator`, or the `Seq2Seq` or `Ensemble` if the file holds one, answering as when it
        was saved.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, damaged, or holds something else.
    """
    filepath = os.fspath(filepath)
    if not os.path.isfile(filepath):
        what = "a folder" if os.path.isdir(filepath) else "no such file"
        raise FileNotFoundError(f"Cannot load {filepath!r}: it is {what}.")
    _check_archive(filepath)
    loaded = keras.saving.load_model(filepath)
    if isinstance(loaded, Translator):
        loaded.check_vocabularies()
    return loaded


def _check_archive(filepath: str) -> None:
    """Refuse a file that Keras would refuse with a misleading message, or misread."""
    with open(filepath, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(
                f"Cannot load {filepath!r}: it is not a .keras file, or it was cut off while it "
                f"was written or copied. Expected: a zip archive. Received: "
                f"{os.path.getsize(filepath)} bytes that are none"
            )
        try:
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
                names = set(archive.namelist())
                config = json.loads(archive.read("config.json")) if "config.json" in names else None
        except _DAMAGE as error:
            raise ValueError(f"Cannot load {filepath!r}: it is damaged: {error}") from error
    if damaged is not None:
        raise ValueError(f"Cannot load {filepath!r}: its part {damaged!r} is damaged.")
    missing = {"config.json", "model.weights.h5"} - names
    if missing:
        raise ValueError(
            f"Cannot load {filepath!r}: it is no .keras file. Missing: {', '.join(sorted(missing))}"
        )
    expected = {f"keras_s2s>{kind.__name__}" for kind in (Translator, Seq2Seq, Ensemble)}
    found = config.get("registered_name") if isinstance(config, dict) else None
    if found not in expected:
        raise ValueError(
            f"Cannot load {filepath!r}: it holds another kind of model. Expected: "
            f"{', '.join(sorted(expected))}. Received: {found!r}"
        )
