"""Models: an encoder with a decoder, and ensembles of such models."""

from keras_s2s.models.ensemble import Ensemble
from keras_s2s.models.searchable import Searchable
from keras_s2s.models.seq2seq import Seq2Seq

__all__ = ["Ensemble", "Searchable", "Seq2Seq"]
