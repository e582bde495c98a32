"""Configuration in a `.keras` file, read without Keras."""

from __future__ import annotations

import json
import zipfile
import zlib
from typing import Any

from keras_s2s.errors import InputError

CONFIG = "config.json"
_MAX_BYTES = 64 << 20

# Errors that zipfile, json and h5py raise for damaged files.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    ValueError,
)


def read_config(archive: zipfile.ZipFile) -> Any:
    """Read the configuration of a saved model.

    Args:
        archive: The `.keras` file, open for reading.

    Returns:
        The value in its JSON. It is not checked, and may be of any type.

    Raises:
        ValueError: If the configuration is too large, or not JSON. If the file is damaged, any
            error of `DAMAGE` may be raised.
    """
    size = archive.getinfo(CONFIG).file_size
    if size > _MAX_BYTES:
        raise InputError(f"{CONFIG!r} has {size} bytes")
    return json.loads(archive.read(CONFIG))
