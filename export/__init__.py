"""Export: what was trained is what is served."""

from keras_s2s.export.batching import Batching
from keras_s2s.export.litert_export import litert
from keras_s2s.export.litert_runner import LiteRTRunner
from keras_s2s.export.model_card import read_card
from keras_s2s.export.onnx_export import onnx
from keras_s2s.export.saved_model_export import saved_model
from keras_s2s.export.serving_files import serving_files
from keras_s2s.export.vocabularies import vocabularies
from keras_s2s.export.warmup import Warmup

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
