"""Exports for TF Serving, LiteRT and ONNX, checked against the model.

Names are imported on first use (PEP 562), so that the files for a model server can be written
without TensorFlow. No module here may have the name of a function, which it would hide.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_s2s.export.litert_export import litert
    from keras_s2s.export.litert_runner import LiteRTRunner
    from keras_s2s.export.onnx_export import onnx
    from keras_s2s.export.parts import read_card, vocabularies
    from keras_s2s.export.saved_model_export import saved_model
    from keras_s2s.export.server_files import Batching, serving_files
    from keras_s2s.export.warmup import Warmup

_MODULES = {
    "Batching": "server_files",
    "LiteRTRunner": "litert_runner",
    "Warmup": "warmup",
    "litert": "litert_export",
    "onnx": "onnx_export",
    "read_card": "parts",
    "saved_model": "saved_model_export",
    "serving_files": "server_files",
    "vocabularies": "parts",
}

__all__ = [
    "Batching",
    "LiteRTRunner",
    "Warmup",
    "litert",
    "onnx",
    "read_card",
    "saved_model",
    "serving_files",
    "vocabularies",
]


def __getattr__(name: str) -> Any:
    """Import the public name `name` on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'keras_s2s.export' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"keras_s2s.export.{_MODULES[name]}"), name)
    globals()[name] = value  # later uses do not call `__getattr__`
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
