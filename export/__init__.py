"""Export: what was trained is what is served."""

from keras_s2s.export.litert_export import litert
from keras_s2s.export.litert_runner import LiteRTRunner
from keras_s2s.export.model_card import read_card
from keras_s2s.export.saved_model_export import saved_model

__all__ = ["LiteRTRunner", "litert", "read_card", "saved_model"]
