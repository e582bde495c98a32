"""Sequence-to-sequence LSTM models for Keras: trained, searched in the graph, and served."""

from keras_s2s import export, plots
from keras_s2s.averaging import average_checkpoints
from keras_s2s.layers import GRUDecoder, GRUEncoder, LSTMDecoder, LSTMEncoder
from keras_s2s.models import Ensemble, Seq2Seq
from keras_s2s.saving import load
from keras_s2s.search import (
    BeamSearch,
    DiverseBeamSearch,
    ExactSearch,
    ExhaustiveSearch,
    GreedySearch,
    Lexicon,
    Sampling,
    SearchResult,
)
from keras_s2s.search_evaluation import SearchEvaluation
from keras_s2s.text import (
    ByteTokenizer,
    CharTokenizer,
    SentencePieceTokenizer,
    WordTokenizer,
    iterate_pairs,
    make_dataset,
    read_pairs,
    write_records,
)
from keras_s2s.training import Perplexity, Resume, ScheduledSampling, SequenceLoss, TokenAccuracy
from keras_s2s.translator import Translator

__all__ = [
    "BeamSearch",
    "ByteTokenizer",
    "CharTokenizer",
    "DiverseBeamSearch",
    "Ensemble",
    "ExactSearch",
    "ExhaustiveSearch",
    "GRUDecoder",
    "GRUEncoder",
    "GreedySearch",
    "LSTMDecoder",
    "LSTMEncoder",
    "Lexicon",
    "Perplexity",
    "Resume",
    "Sampling",
    "ScheduledSampling",
    "SearchEvaluation",
    "SearchResult",
    "SentencePieceTokenizer",
    "Seq2Seq",
    "SequenceLoss",
    "TokenAccuracy",
    "Translator",
    "WordTokenizer",
    "average_checkpoints",
    "export",
    "iterate_pairs",
    "load",
    "make_dataset",
    "plots",
    "read_pairs",
    "write_records",
]
