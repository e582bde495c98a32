"""Fast export of LiteRT files, for their tests."""

from __future__ import annotations

import os
from typing import Any

import pytest

import keras_s2s as s2s
from keras_s2s.export import litert_export
from keras_s2s.export.parity import Parity


def write(
    translator: s2s.Translator, path: str | os.PathLike[str], *signatures: str, **options: Any
) -> str:
    """Export some signatures without the built-in checks, which the tests perform themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(litert_export, "_check", lambda *_: Parity("scores", 1e-4, 0.0, 0, 0))
        return s2s.export.litert(translator, path, signatures=signatures, **options)
