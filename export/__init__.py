"""Exports for TF Serving, LiteRT and ONNX, checked against the model.

Names are imported on first use (PEP 562), so that the files for a model server can be written
without TensorFlow. No module here may have the name of a function, which it would hide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_s2s.lazy_names import lazy_names

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

__getattr__, __dir__ = lazy_names(globals(), _MODULES)
