"""Sequence-to-sequence LSTM models for Keras, with training, search in the graph, and export.

Public names are imported on first use (PEP 562), so that `import keras_s2s` does not import
TensorFlow. If Keras is imported already, importing `keras_s2s` registers all classes with it, so
that `keras.saving.load_model` finds them.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_s2s import evaluation, export, plots
    from keras_s2s.callbacks import Resume, ScheduledSampling, SearchEvaluation
    from keras_s2s.data import iterate_pairs, make_dataset, read_pairs, write_records
    from keras_s2s.hypothesis import Hypothesis
    from keras_s2s.layers import GRUDecoder, GRUEncoder, LSTMDecoder, LSTMEncoder
    from keras_s2s.losses import SequenceLoss
    from keras_s2s.metrics import Perplexity, TokenAccuracy
    from keras_s2s.models import Ensemble, Seq2Seq
    from keras_s2s.optimizers import FusedAdam
    from keras_s2s.recommended import RecommendedSettings, recommended_settings
    from keras_s2s.saving import average_checkpoints, ensemble_checkpoints, load
    from keras_s2s.search import (
        BeamSearch,
        DiverseBeamSearch,
        ExactSearch,
        ExhaustiveSearch,
        GreedySearch,
        Lexicon,
        Sampling,
        Search,
        SearchResult,
    )
    from keras_s2s.tokenizers import (
        ByteTokenizer,
        CharTokenizer,
        DecomposedCharTokenizer,
        FeatureTokenizer,
        SentencePieceTokenizer,
        Tokenizer,
        WordTokenizer,
        copy_ids,
    )
    from keras_s2s.translator import Translator

# Where each public name is defined. Type checkers read the imports above instead;
# tests/test_public_names.py compares the two.
_MODULES = {
    "callbacks": ["Resume", "ScheduledSampling", "SearchEvaluation"],
    "data": ["iterate_pairs", "make_dataset", "read_pairs", "write_records"],
    "hypothesis": ["Hypothesis"],
    "layers": ["GRUDecoder", "GRUEncoder", "LSTMDecoder", "LSTMEncoder"],
    "losses": ["SequenceLoss"],
    "metrics": ["Perplexity", "TokenAccuracy"],
    "models": ["Ensemble", "Seq2Seq"],
    "optimizers": ["FusedAdam"],
    "recommended": ["RecommendedSettings", "recommended_settings"],
    "saving": ["average_checkpoints", "ensemble_checkpoints", "load"],
    "search": [
        "BeamSearch",
        "DiverseBeamSearch",
        "ExactSearch",
        "ExhaustiveSearch",
        "GreedySearch",
        "Lexicon",
        "Sampling",
        "Search",
        "SearchResult",
    ],
    "tokenizers": [
        "ByteTokenizer",
        "CharTokenizer",
        "DecomposedCharTokenizer",
        "FeatureTokenizer",
        "SentencePieceTokenizer",
        "Tokenizer",
        "WordTokenizer",
        "copy_ids",
    ],
    "translator": ["Translator"],
}
_SUBMODULES = ["evaluation", "export", "plots"]
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "BeamSearch",
    "ByteTokenizer",
    "CharTokenizer",
    "DecomposedCharTokenizer",
    "DiverseBeamSearch",
    "Ensemble",
    "ExactSearch",
    "ExhaustiveSearch",
    "FeatureTokenizer",
    "FusedAdam",
    "GRUDecoder",
    "GRUEncoder",
    "GreedySearch",
    "Hypothesis",
    "LSTMDecoder",
    "LSTMEncoder",
    "Lexicon",
    "Perplexity",
    "RecommendedSettings",
    "Resume",
    "Sampling",
    "ScheduledSampling",
    "Search",
    "SearchEvaluation",
    "SearchResult",
    "SentencePieceTokenizer",
    "Seq2Seq",
    "SequenceLoss",
    "TokenAccuracy",
    "Tokenizer",
    "Translator",
    "WordTokenizer",
    "average_checkpoints",
    "copy_ids",
    "ensemble_checkpoints",
    "evaluation",
    "export",
    "iterate_pairs",
    "load",
    "make_dataset",
    "plots",
    "read_pairs",
    "recommended_settings",
    "write_records",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("keras-s2s")
    if name in _SUBMODULES:
        return importlib.import_module(f"keras_s2s.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'keras_s2s' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"keras_s2s.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # later uses do not call this function
    return value


def __dir__() -> list[str]:
    """List the public names only, imported or not."""
    return sorted(__all__)


def _register_classes() -> None:
    """Register all classes with Keras, if it is imported already."""
    if {"keras", "tensorflow"} <= sys.modules.keys():
        importlib.import_module("keras_s2s.saving")


_register_classes()
